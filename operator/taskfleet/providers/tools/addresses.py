"""Which addresses a tool may connect to. Pure: names are resolved elsewhere, and each address asked about here."""

import ipaddress
from collections.abc import Sequence

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Public by their numbers and not by what is there: a cloud's metadata and agents.
_METADATA = frozenset((ipaddress.ip_address("168.63.129.16"),))
# What the library of some Python versions takes for public, or what has another address inside.
_NEVER_PUBLIC = tuple(
    ipaddress.ip_network(text)
    for text in ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2002::/16", "2001:db8::/32", "3fff::/20")
)
_UNICAST_6 = ipaddress.ip_network("2000::/3")


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
        found = _plain(ipaddress.ip_address(address.partition("%")[0]))
        if any(found in network for network in self._networks):
            return
        if not _is_public(found):
            named = host if host == str(found) else f"{host} ({found})"
            raise AddressRefused(
                f"{named} is not a public address, and this pool does not allow it (tools.network.allowedNetworks)"
            )


def _matches(name: str, pattern: str) -> bool:
    return name.endswith(pattern[1:]) if pattern.startswith("*.") else name == pattern


def _plain(address: _Address) -> _Address:
    """An IPv4 address that is written as one of IPv6 is what it is."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped


def _is_public(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST_6:
        return False
    known = any(address in network for network in _NEVER_PUBLIC if network.version == address.version)
    return address.is_global and not address.is_multicast and not known and address not in _METADATA
