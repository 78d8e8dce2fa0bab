"""``/console``: the gateway for people, as a page that uses nothing but its public API."""
