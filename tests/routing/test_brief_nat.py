"""A phone behind a NAT is registered from its octets as on the long way."""

from __future__ import annotations

import pytest

from tests.routing.twice_answered import BEHIND_NAT, CONFIGS, PHONE, Pair, message

VIAS = (
    "SIP/2.0/UDP 192.0.2.7:5060;branch={};rport",
    "SIP/2.0/UDP 192.0.2.7:5060;branch={}",
    "SIP/2.0/UDP 192.0.2.7;rport;branch={}",
)
HOME = "SIP/2.0/UDP 10.0.0.7:5060;branch={};rport"
AT_HOME = "Contact: <sip:bob@10.0.0.7:5060>"


@pytest.mark.parametrize("name", ["plain", "wall", "durable", "shared"])
@pytest.mark.parametrize("params", ["", ";transport=udp", ";line=4"])
def test_a_phone_behind_a_nat_is_registered_from_octets(name: str, params: str) -> None:
    """Such phones register once a minute, to keep their NAT open: nearly all REGISTERs are theirs."""
    pair = Pair(CONFIGS[name])
    pair.store.faults = False
    line = AT_HOME.replace(">", f"{params}>")
    for number in range(1, 4):
        pair.feed(message(via=HOME, more=(line,), number=number, branch=f"z9hG4bK{number}"), BEHIND_NAT, 60.0)
        assert pair.briefs.count == number
    [binding] = pair.brief.location.lookup("sip:bob@biloxi.test", pair.now)
    assert binding.received is not None
    assert binding.received.address == BEHIND_NAT
    # RFC 3581: from another port of its NAT.
    pair.feed(message(via=HOME, more=(line,), number=9, branch="z9hG4bK9"), (BEHIND_NAT[0], 40001))
    assert pair.briefs.count == 4
    [binding] = pair.brief.location.lookup("sip:bob@biloxi.test", pair.now)
    assert binding.received is not None
    assert binding.received.port == 40001


@pytest.mark.parametrize("sent_by", ["2.16.1.2:5060", "2.16.1.2", "2.16.1.2:40000"])
@pytest.mark.parametrize("flag", ["", ";rport"])
@pytest.mark.parametrize(
    "contact", ["sip:bob@172.16.1.2:5060", "sip:172.16.1.2", "sip:2.16.1.2@10.0.0.7", "sip:2.16.1.2:5060"]
)
def test_a_source_that_is_the_end_of_the_contact(sent_by: str, flag: str, contact: str) -> None:
    """A phone behind a NAT at 2.16.1.2 names 172.16.1.2; no way may take that for its source."""
    pair = Pair(CONFIGS["plain"])
    via = f"SIP/2.0/UDP {sent_by};branch={{}}{flag}"
    for number, port in enumerate((5060, 40000), 1):
        data = message(via=via, more=(f"Contact: <{contact}>",), number=number, branch=f"z9hG4bK{number}")
        pair.feed(data, ("2.16.1.2", port))
        bound = pair.brief.location.lookup("sip:bob@biloxi.test", pair.now)
        shows = flag and port == 40000 and "40000" not in sent_by
        assert [one.received is not None for one in bound] == [bool(shows) or contact[4:] != "2.16.1.2:5060"]


@pytest.mark.parametrize("name", ["plain", "wall", "rport"])
@pytest.mark.parametrize("via", [VIAS[0], VIAS[1], VIAS[2], HOME, HOME.replace("10.0.0.7", "phone.test")])
@pytest.mark.parametrize(
    "uri",
    [
        *("sip:bob@10.0.0.7:5060", "sip:bob@10.0.0.7:5099", "sip:bob@192.0.2.7", "sip:bob@192.0.2.9:40000"),
        *("sip:bob@10.0.0.7:5060;transport=tcp", "sip:bob@phone.test", "sip:192.0.2.7@10.0.0.7:5060"),
        *("sip:reg-id@192.0.2.7:5060", "sip:bob@198.51.100.9:40000", "sip:bob@10.0.0.7:5060;ob"),
    ],
)
def test_where_a_nat_may_be_in_between(name: str, via: str, uri: str) -> None:
    """RFC 3581, 18.2.1: what a Via and a Contact say of their sender, from each place."""
    pair = Pair(CONFIGS[name])
    more = (f"Contact: <{uri}>",)
    for number, source in enumerate((PHONE, BEHIND_NAT, ("10.0.0.7", 5060), ("10.0.0.8", 40000)), 1):
        pair.feed(message(via=via, more=more, number=number, branch=f"z9hG4bK{number}"), source)
