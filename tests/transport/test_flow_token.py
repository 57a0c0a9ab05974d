"""Flow tokens: only the holder of the key reads them, for the flow and the call that they were made for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.transport import Flow, Listener, Listeners, flow_token
from sansip.transport.flow_token import KEY_SIZE, MARK, FlowToken, FlowTokens
from sansip.wire import Request, parse_message, parse_uri
from tests import rig

UDP, TCP, UDP6 = 0, 1, 2
ONES = [
    Listener(UDP, "udp", "192.0.2.10", 5060),
    Listener(TCP, "tcp", "192.0.2.10", 5060),
    Listener(UDP6, "udp", "2001:db8::10", 5060),
]
KEY = b"a key of sixteen"


def tokens(key: bytes = KEY, node: str = "", life: int = 7, listeners: list[Listener] = ONES) -> FlowTokens:
    return FlowTokens(Listeners(listeners), key, node, life, "biloxi.test")


TOKENS = tokens()
# It writes none.
READER = tokens()
PHONE = Flow("tcp", TCP, ("203.0.113.5", 40_000), 12)
UNTIL = 1_800_000_000.0


def asking(call_id: str = "call", from_tag: str | None = "alice", to_tag: str | None = "bob") -> Request:
    """A request within the dialog that alice began."""
    message = parse_message(rig.request("INFO", call_id=call_id, from_tag=from_tag, to_tag=to_tag))
    assert isinstance(message, Request)
    return message


def read(text: str | None, reader: FlowTokens = TOKENS, **dialog: Any) -> FlowToken | None:
    found = reader.read(text, asking(**dialog))
    if reader is TOKENS:
        # It remembers what it wrote; one that has to open the seal says the same.
        assert repr(READER.read(text, asking(**dialog))) == repr(found)
    return found


names = st.one_of(
    st.none(),
    st.tuples(
        st.sampled_from(
            ["sip:bob@biloxi.test", "sip:bob@chicago.test", "sip:a%40b@biloxi.test", "sip:é@biloxi.test"]
        ),
        st.binary(min_size=KEY_SIZE, max_size=KEY_SIZE),
    ),
)


@given(st.integers(1, 2**48 - 1), st.booleans(), st.booleans(), names, st.sampled_from([b"", b"place!"]))
def test_connections_are_read_back(conn: int, bound: bool, only: bool, named: Any, place: bytes) -> None:
    """Any connection, any binding, and all flags."""
    flow = Flow("tcp", TCP, ("203.0.113.5", 40_000), conn)
    if bound:
        token = TOKENS.for_dialog(flow, "call", "alice", only=only, named=named, place=place)
    else:
        token = TOKENS.for_path(flow, UNTIL, only=only, named=named, place=place)
    found = read(token)
    assert found is not None
    assert found.flow is not None
    assert (found.flow.transport, found.flow.listener, found.flow.conn) == ("tcp", TCP, conn)
    assert (found.bound, found.only, found.named) == (bound, only, named)
    assert found.place == (b"" if only else place)
    assert found.expires == (0 if bound else UNTIL + 1)


@given(st.ip_addresses().map(str), st.integers(0, 65_535), names)
def test_datagrams_are_read_back(host: str, port: int, named: Any) -> None:
    """The address is the whole flow (RFC 5626 5.2)."""
    flow = Flow("udp", UDP6 if ":" in host else UDP, (host, port))
    found = read(TOKENS.for_path(flow, UNTIL, named=named))
    assert found is not None
    assert found.flow is not None
    assert (found.flow.listener, found.flow.address, found.flow.conn) == (flow.listener, (host, port), 0)
    assert found.named == named


@pytest.mark.parametrize("zone", ["eth0", "2", "x" * 15])
def test_link_local_addresses_keep_their_zone(zone: str) -> None:
    """RFC 4007: without it they lead nowhere. No interface's name is longer than 15 octets."""
    token = TOKENS.for_path(Flow("udp", UDP6, (f"fe80::1%{zone}", 5060)), UNTIL)
    found = read(token)
    assert found is not None
    assert found.flow is not None
    assert found.flow.address == (f"fe80::1%{zone}", 5060)
    assert TOKENS.for_path(Flow("udp", UDP6, (f"fe80::1%{zone}{'y' * 15}", 5060)), UNTIL)


def test_one_changed_character_is_a_forgery() -> None:
    """RFC 5626 5.2: a token cannot be modified, not even in the bits that base64 leaves unused."""
    token = TOKENS.for_dialog(PHONE, "call", "alice", named=("sip:bob@biloxi.test", bytes(KEY_SIZE)))
    assert read(token) is not None
    for index in range(len(MARK), len(token)):
        for other in "AB-":
            if other != token[index]:
                assert read(token[:index] + other + token[index + 1 :]) is None
        assert read(token[:index]) is None
        assert read(token[:index] + "." + token[index:]) is None


def test_bound_to_the_dialog() -> None:
    """The token of one call leads nowhere in another, nor for a peer that only knows the Call-ID."""
    token = TOKENS.for_dialog(PHONE, "call", "alice")
    # RFC 3261 12.2.1.1: the callee's requests have the caller's tag in To.
    for tags in (("alice", "bob"), ("bob", "alice")):
        assert read(token, from_tag=tags[0], to_tag=tags[1]) is not None
    assert read(token, call_id="another") is None
    assert read(token, from_tag="mallory", to_tag="bob") is None
    assert read(token, from_tag="mallory", to_tag=None) is None
    assert read(TOKENS.for_path(PHONE, UNTIL), call_id="another", from_tag="mallory") is not None
    # RFC 2543 knew callers without a tag.
    assert read(TOKENS.for_dialog(PHONE, "call", None), from_tag=None) is not None


def test_what_is_remembered_is_for_its_dialog_and_bounded() -> None:
    """Many calls, or an endless Call-ID, cost no more memory, and their tokens are read as well."""
    ours = tokens()
    texts = [ours.for_dialog(PHONE, f"call{number}", "alice") for number in range(flow_token._KEPT + 9)]
    assert len(ours._written) == 9
    for number in (0, flow_token._KEPT + 8):
        assert read(texts[number], ours, call_id=f"call{number}") is not None
        assert read(texts[number], ours, call_id=f"call{number}", from_tag="bob", to_tag="alice") is not None
        assert read(texts[number], ours, call_id="call") is None
        assert read(texts[number], ours, call_id=f"call{number}", from_tag="bob", to_tag="bob") is None
        assert read(texts[number], ours, call_id=f"call{number}", from_tag=None, to_tag=None) is None
    none = ours.for_dialog(PHONE, "call", None)
    assert read(none, ours, from_tag=None) is not None
    assert read(none, ours, from_tag="", to_tag=None) is not None
    assert read(none, ours, to_tag=None) is None
    endless = ours.for_dialog(PHONE, "c" * 201, "alice")
    assert endless not in ours._written
    assert read(endless, ours, call_id="c" * 201) is not None
    for number in range(flow_token._KEPT + 9):
        ours.place(parse_uri(f"sip:h{number}.test"))
    assert len(ours._places) == 9


def test_another_key_reads_nothing() -> None:
    """Without the key no peer can learn the content: equal flows alone give equal tokens."""
    assert read(TOKENS.for_path(PHONE, UNTIL), tokens(b"another sixteen..")) is None
    assert TOKENS.for_dialog(PHONE, "call", "a") != TOKENS.for_dialog(PHONE, "other", "a")
    assert TOKENS.for_path(PHONE, UNTIL) == TOKENS.for_path(PHONE, UNTIL)
    named = TOKENS.for_path(PHONE, UNTIL, named=("sip:bob@biloxi.test", bytes(KEY_SIZE)))
    assert "203.0.113.5" not in named
    assert "bob" not in named


def test_after_a_restart() -> None:
    """Datagrams know no restart, whatever number their listener has now; a connection is gone, and
    the binding that it had is known still."""
    again = tokens(life=8, listeners=[replace(ONES[0], id=5), replace(ONES[1], id=4)])
    found = read(TOKENS.for_path(Flow("udp", UDP, ("203.0.113.5", 40_000)), UNTIL), again)
    assert found is not None
    assert found.flow is not None
    assert (found.flow.listener, found.flow.address) == (5, ("203.0.113.5", 40_000))
    named = ("sip:bob@biloxi.test", bytes(range(KEY_SIZE)))
    gone = read(TOKENS.for_dialog(PHONE, "call", "alice", named=named), again)
    assert gone is not None
    assert (gone.flow, gone.named) == (None, named)


@pytest.mark.parametrize(
    "other", [tokens(node="b"), tokens(listeners=[replace(one, host="192.0.2.11") for one in ONES])]
)
def test_on_another_node(other: FlowTokens) -> None:
    """With the same key it is no forgery, and no flow of this node either: 430, and no other phone."""
    found = read(TOKENS.for_path(PHONE, UNTIL), other)
    assert found is not None
    assert found.flow is None


def test_a_name_that_is_too_long() -> None:
    """A token stays short enough for a datagram: a phone with such an address is not followed."""
    for length, kept in ((128, True), (129, False)):
        named = (f"sip:{'b' * length}@biloxi.test", bytes(KEY_SIZE))
        found = read(TOKENS.for_dialog(PHONE, "call", "alice", named=named))
        assert found is not None
        assert found.named == (named if kept else None)


def test_places_are_next_hops() -> None:
    """Host, port and transport decide where a request goes, and the user part does not."""
    places = [
        TOKENS.place(parse_uri(f"sip:{uri}")) for uri in ("a@h.test", "b@h.test;transport=udp", "h.test:5060")
    ]
    assert len({*places}) == 1
    others = [
        TOKENS.place(parse_uri(f"sip:{uri}")) for uri in ("a@i.test", "h.test:5061", "h.test;transport=tcp")
    ]
    assert len({*places, *others, TOKENS.place(parse_uri("sips:h.test"))}) == 5
    assert TOKENS.place(parse_uri("tel:+1")) == TOKENS.place(None) == b""


def test_tokens_are_short() -> None:
    """Two of them, and an INVITE must fit into a datagram (RFC 3261 18.1.1)."""
    named = ("sip:bob@biloxi.test", bytes(KEY_SIZE))
    assert len(TOKENS.for_dialog(PHONE, "call", "alice", named=named)) <= 60


@pytest.mark.parametrize(
    "text",
    [None, "", "alice", "f-", "f-AAAA", "f-" + "z" * 70, "f-" + "é" * 32, "f-AAAAA", "f-" + "A" * 4000],
)
def test_users_are_no_tokens(text: str | None) -> None:
    """Any text before the @ is looked at, and nothing else comes of it."""
    assert read(text) is None


@given(st.text(max_size=60))
def test_any_text(text: str) -> None:
    """Nothing makes it raise."""
    assert read("f-" + text) is None
