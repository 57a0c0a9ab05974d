"""Flow tokens: read back by who has the key, for the flow and the call they were made for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.transport import Flow, Listener, Listeners
from sansip.transport.flow_token import MARK, FlowTokens

UDP, TCP, UDP6 = 0, 1, 2
ONES = [
    Listener(UDP, "udp", "192.0.2.10", 5060),
    Listener(TCP, "tcp", "192.0.2.10", 5060),
    Listener(UDP6, "udp", "2001:db8::10", 5060),
]
KEY = b"a key of sixteen"


def tokens(key: bytes = KEY, node: str = "", life: int = 7, listeners: list[Listener] = ONES) -> FlowTokens:
    return FlowTokens(Listeners(listeners), key, node, life)


TOKENS = tokens()
PHONE = Flow("tcp", TCP, ("203.0.113.5", 40_000), 12)


@given(st.integers(1, 2**48 - 1), st.text(), st.booleans(), st.booleans())
def test_connections_are_read_back(conn: int, call_id: str, bound: bool, only: bool) -> None:
    """Any connection, any Call-ID, and both flags."""
    flow = Flow("tcp", TCP, ("203.0.113.5", 40_000), conn)
    read = TOKENS.read(TOKENS.make(flow, call_id if bound else None, only=only), call_id)
    assert read is not None
    assert read.flow is not None
    assert (read.flow.transport, read.flow.listener, read.flow.conn) == ("tcp", TCP, conn)
    assert (read.bound, read.only) == (bound, only)


@given(st.ip_addresses().map(str), st.integers(0, 65_535))
def test_datagrams_are_read_back(host: str, port: int) -> None:
    """The address is the whole flow (RFC 5626 5.2)."""
    flow = Flow("udp", UDP6 if ":" in host else UDP, (host, port))
    read = TOKENS.read(TOKENS.make(flow), "call")
    assert read is not None
    assert read.flow is not None
    assert (read.flow.listener, read.flow.address, read.flow.conn) == (flow.listener, (host, port), 0)


@pytest.mark.parametrize("zone", ["eth0", "2", "x" * 15])
def test_link_local_addresses_keep_their_zone(zone: str) -> None:
    """RFC 4007: without it they lead nowhere. No interface's name is longer than 15 octets."""
    token = TOKENS.make(Flow("udp", UDP6, (f"fe80::1%{zone}", 5060)))
    read = TOKENS.read(token, "call")
    assert read is not None
    assert read.flow is not None
    assert read.flow.address == (f"fe80::1%{zone}", 5060)
    assert TOKENS.make(Flow("udp", UDP6, (f"fe80::1%{zone}{'y' * 15}", 5060)))


def test_one_changed_character_is_a_forgery() -> None:
    """RFC 5626 5.2: a token cannot be modified, not even in the bits that base64 leaves unused."""
    token = TOKENS.make(PHONE)
    for index in range(len(MARK), len(token)):
        for other in "AB-":
            if other != token[index]:
                assert TOKENS.read(token[:index] + other + token[index + 1 :], "call") is None
        assert TOKENS.read(token[:index], "call") is None
        assert TOKENS.read(token[:index] + "." + token[index:], "call") is None


def test_bound_to_the_call() -> None:
    """What one call was told leads nowhere in another."""
    assert TOKENS.read(TOKENS.make(PHONE, "call"), "another call") is None
    assert TOKENS.read(TOKENS.make(PHONE), "another call") is not None


def test_another_key_reads_nothing() -> None:
    """Nor can who has no key learn what stands in it: equal flows alone give equal tokens."""
    assert tokens(b"another sixteen..").read(TOKENS.make(PHONE), "call") is None
    assert TOKENS.make(PHONE, "call") != TOKENS.make(PHONE, "other")
    assert TOKENS.make(PHONE) == TOKENS.make(PHONE)
    assert "203.0.113.5" not in TOKENS.make(PHONE)


def test_after_a_restart() -> None:
    """Datagrams know no restart, whatever number their listener has now; a connection is gone."""
    again = tokens(life=8, listeners=[replace(ONES[0], id=5), replace(ONES[1], id=4)])
    read = again.read(TOKENS.make(Flow("udp", UDP, ("203.0.113.5", 40_000))), "call")
    assert read is not None
    assert read.flow is not None
    assert (read.flow.listener, read.flow.address) == (5, ("203.0.113.5", 40_000))
    gone = again.read(TOKENS.make(PHONE), "call")
    assert gone is not None
    assert gone.flow is None


@pytest.mark.parametrize(
    "other", [tokens(node="b"), tokens(listeners=[replace(one, host="192.0.2.11") for one in ONES])]
)
def test_on_another_node(other: FlowTokens) -> None:
    """With the same key it is no forgery, and no flow of this node either: 430, and not somebody's phone."""
    read = other.read(TOKENS.make(PHONE), "call")
    assert read is not None
    assert read.flow is None


@pytest.mark.parametrize(
    "text", [None, "", "alice", "f-", "f-AAAA", "f-" + "z" * 70, "f-" + "é" * 32, "f-AAAAA"]
)
def test_users_are_no_tokens(text: str | None) -> None:
    """Whatever stands before the @ is looked at, and nothing else comes of it."""
    assert TOKENS.read(text, "call") is None


@given(st.text(max_size=60))
def test_any_text(text: str) -> None:
    """Nothing makes it raise."""
    assert TOKENS.read("f-" + text, "call") is None
