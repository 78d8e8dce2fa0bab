"""Which addresses are public, and which are refused whatever they are called."""

import pytest

from taskfleet.providers.tools.addresses import AddressRefused, AddressRules

PUBLIC = ["93.184.216.34", "2606:4700:4700::1111", "::ffff:8.8.8.8"]
NOT_PUBLIC = ["127.0.0.1", "169.254.169.254", "168.63.129.16", "fe80::1%eth0", "::ffff:a00:1", "64:ff9b::7f00:1"]


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_allowed(address: str) -> None:
    AddressRules().check("example.com", address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    with pytest.raises(AddressRefused, match=r"example\.com .* is not a public address"):
        AddressRules().check("example.com", address)


@pytest.mark.parametrize(
    ("networks", "address", "allowed"),
    [
        (["10.1.0.0/16"], "10.1.9.9", True),
        (["10.1.0.0/16"], "10.2.0.1", False),
        (["10.1.0.1/16"], "10.1.9.9", True),
        (["127.0.0.1/32"], "::ffff:127.0.0.1", True),
        (["127.0.0.1/32"], "::1", False),
        (["fd00:1::/64"], "fd00:1::7", True),
        (["0.0.0.0/0"], "::1", False),
    ],
)
def test_a_network_that_the_pool_allows_is_no_more_than_that(networks: list[str], address: str, allowed: bool) -> None:
    rules = AddressRules(networks=networks)
    if allowed:
        rules.check("a", address)
    else:
        with pytest.raises(AddressRefused, match="allowedNetworks"):
            rules.check("a", address)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        *(("example.com", True), ("EXAMPLE.com.", True), ("a.team.example", True), ("b.a.team.example", True)),
        *(("team.example", False), ("notexample.com", False), ("example.com.evil.test", False), ("1.2.3.4", False)),
        ("xteam.example", False),
    ],
)
def test_only_hosts_on_the_list_are_asked_for(host: str, allowed: bool) -> None:
    rules = AddressRules(hosts=["example.com", "*.team.example"])
    if allowed:
        rules.check_host(host)
    else:
        with pytest.raises(AddressRefused, match="not among the hosts"):
            rules.check_host(host)
