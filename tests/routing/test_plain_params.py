"""Which parameter of a URI leaves the quick ways as they are: RFC 3261 19.1.1."""

from __future__ import annotations

import pytest

from sansip.routing.plain_params import asks_alike, leads_alike, names_transport
from sansip.transport.next_hop import next_hop
from sansip.wire import SipUri
from sansip.wire.uri import parse_uri


@pytest.mark.parametrize(
    ("params", "alike"),
    [
        (";transport=udp", True),
        (";transport=UDP", True),
        (";Transport=Udp", True),
        (";line=4f2a", True),
        (";rinstance=1", True),
        (";object", True),
        (";method", False),
        (";transport=tcp", False),
        (";transport", False),
        (";TRANSPORT=tls", False),
        (";maddr=192.0.2.9", False),
        (";MADDR=192.0.2.9", False),
        (";ttl=1", False),
        (";method=BYE", False),
        (";user=phone", False),
        (";lr", False),
        (";lr=on", False),
        (";ob", False),
        (";OB", False),
        (";gr", False),
        (";gr=urn:x", False),
    ],
)
def test_it_leads_to_the_same_place(params: str, alike: bool) -> None:
    """A phone's own parameter must not cost it the quick way, and one that decides must not be overlooked."""
    assert leads_alike(params) is alike
    if alike:
        uri = parse_uri(f"sip:bob@192.0.2.2:5070{params}")
        assert isinstance(uri, SipUri)
        hop = next_hop(uri)
        assert (hop.transport, hop.host, hop.port) == ("udp", "192.0.2.2", 5070)


@pytest.mark.parametrize(
    ("params", "alike"),
    [
        (";transport=udp", True),
        (";transport=TCP", True),
        (";user=phone", True),
        (";transport=carrier-pigeon", False),
        (";user=dialstring", False),
        (";gr", False),
        (";gr=x", False),
        (";maddr=192.0.2.9", False),
        (";lr", False),
        (";line=1", False),
    ],
)
def test_it_asks_for_the_same_user(params: str, alike: bool) -> None:
    """RFC 3261 10.3 step 5: parameters go before a user is looked up; RFC 5627: but for ``gr``."""
    assert asks_alike(params) is alike


@pytest.mark.parametrize(
    ("params", "names"),
    [
        (";transport=tcp", True),
        (";transport=TCP", True),
        (";Transport=tls", True),
        (";transport=udp", True),
        (";transport=x", False),
        (";transport", False),
        (";tran\u017fport=tcp", False),
        (";lr", False),
        ("", False),
    ],
)
def test_a_parameter_that_names_the_transport(params: str, names: bool) -> None:
    """RFC 3261 19.1.1: SIPp writes TCP in its Contact; what is no such parameter is for the long way."""
    assert names_transport(params) is names
