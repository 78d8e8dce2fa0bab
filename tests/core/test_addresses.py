"""Which addresses are of the internet, whatever they are disguised as."""

import pytest

from taskfleet.core.addresses import is_public, plain


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.255.255.254", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254"),
        *("100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.170", "192.0.2.1", "198.18.0.1", "192.88.99.1"),
        *("198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "0.0.0.0", "0.1.2.3"),
        *("::", "::1", "fe80::1%eth0", "fc00::1", "fd00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "::127.0.0.1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001::1"),
        *("2001:db8::1", "3fff::1", "100::1", "5f00::1"),
    ],
)
def test_an_address_inside_is_none_of_the_internet(address: str) -> None:
    assert not is_public(plain(address))


@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", "1.1.1.1", "93.184.216.34", "172.32.0.1", "100.63.255.255", "::ffff:8.8.8.8"),
        *("2606:4700::1111", "2606:4700:4700::1111", "64:ff9b::808:808"),
    ],
)
def test_an_address_outside_is_one(address: str) -> None:
    assert is_public(plain(address))
