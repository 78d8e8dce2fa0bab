"""Which addresses a tool may connect to. Pure: names are resolved elsewhere, and each address asked about here."""

import ipaddress
from collections.abc import Sequence

from taskfleet.core.addresses import is_public, plain


class AddressRefused(Exception):
    """A place that the pool does not let tools go to; the sentence names it and why."""


class AddressRules:
    """Public addresses, and those of ``networks``; only ``hosts`` if there are any."""

    def __init__(self, hosts: Sequence[str] = (), networks: Sequence[str] = ()) -> None:
        """Raises ValueError for a network that is none."""
        self._hosts = tuple(hosts)
        self._networks = tuple(ipaddress.ip_network(text, strict=False) for text in networks)

    def check_host(self, host: str) -> None:
        """Raises AddressRefused for a name that is not on the list of hosts."""
        name = host.lower().rstrip(".")
        if self._hosts and not any(_matches(name, pattern) for pattern in self._hosts):
            raise AddressRefused(f"{host} is not among the hosts that this pool allows (tools.network.allowedHosts)")

    def check(self, host: str, address: str) -> None:
        """Raises AddressRefused for an address, found for ``host``, that is neither public nor allowed."""
        found = plain(address)
        if any(found in network for network in self._networks):
            return
        if not is_public(found):
            named = host if host == str(found) else f"{host} ({found})"
            raise AddressRefused(
                f"{named} is not a public address, and this pool does not allow it (tools.network.allowedNetworks)"
            )


def _matches(name: str, pattern: str) -> bool:
    return name.endswith(pattern[1:]) if pattern.startswith("*.") else name == pattern
