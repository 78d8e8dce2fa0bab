"""A store's URL as a process is told it, with the authority that signed the store's certificate."""

import os
import ssl

import click

from taskfleet.core.errors import InputError
from taskfleet.store.address import trusting

AUTHORITY = "TASKFLEET_STORE_CA"


def with_authority(url: str) -> str:
    """Of a store with TLS: its URL carries what the variable holds, so that whoever is given it has that too.

    Raises InputError where that is no certificate.
    """
    authority = os.environ.get(AUTHORITY, "")
    if authority:
        try:
            ssl.create_default_context().load_verify_locations(cadata=authority)
        except (ssl.SSLError, ValueError):
            words = "it holds no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----"
            raise InputError(f"{AUTHORITY}: {words}") from None
    return trusting(url, authority)


def url_option(_context: click.Context, _option: click.Parameter, url: str | None) -> str | None:
    """``with_authority`` for an option; None where it was left out."""
    return None if url is None else with_authority(url)
