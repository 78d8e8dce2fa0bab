"""Which IP addresses are of the internet. What webhooks and tools send goes to no other unless that is allowed.

Pure: names are resolved elsewhere, and each address is asked about here.
"""

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Public by their numbers and not by what is there: a cloud's metadata and agents.
_METADATA = frozenset((ipaddress.ip_address("168.63.129.16"),))
# What the library of some Python versions takes for public, or what has another address inside.
_NEVER_PUBLIC = tuple(
    ipaddress.ip_network(text)
    for text in ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2002::/16", "2001:db8::/32", "3fff::/20")
)
_UNICAST_6 = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def plain(address: str) -> Address:
    """An address without its zone; one of IPv4 that is written as one of IPv6 is what it is. Raises ValueError."""
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return found if mapped is None else mapped


def is_public(address: Address) -> bool:
    """Whether an address is neither private, loopback, link-local nor one of those in disguise."""
    if address in _NAT64:
        return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST_6:
        return False
    known = any(address in network for network in _NEVER_PUBLIC if network.version == address.version)
    return address.is_global and not address.is_multicast and not known and address not in _METADATA
