"""Packed records, from any writer: the values that come out equal those that went in."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.location import Binding, Source
from sansip.location.packed import pack, unpack
from sansip.transport.transports import TRANSPORTS

AOR = "sip:bob@biloxi.test"
PLAIN = Binding(AOR, "sip:bob@192.0.2.4", 3600.0, "call-1", 7)
# Another value than PLAIN's for each field but the key.
OTHERS: dict[str, list[Any]] = {
    "contact": ["", "sip:x@y", "sip:\udcff@y", "a\nb", "a\0b", "\ud800", "☎" * 100],
    "expires_at": [math.inf, 0.0, 1e18, 3600.0000001],
    "call_id": ["", "\n", "x" * 70_000],
    "cseq": [0, 2**31 - 1, 2**32 - 1, 2**32, 2**70, -1],
    "q": [0, 1000, 350, -1, 70_000],
    "registered_at": [-5.0, 1.5],
    "refreshed_at": [2.5],
    "path": [("<sip:a;lr>",), ("<sip:a;lr>", "<sip:b;lr>"), ("",), ("\n",)],
    "instance": ["", "urn:uuid:1", "\n"],
    "reg_id": [0, 1, 2**31 - 1, 9_999_999_999, -1],
    "params": [";a=b", "\n"],
    "flow": [0, 1, 32_767, 32_768, -1, "flow", ("tcp", 7), ("tcp", ("nested", 1))],
    "received": [
        Source("udp", "203.0.113.9", 1024),
        Source("sctp", "fe80::1%eth0", 65_535),
        Source("wss", "\n", 1),
        Source("ufo", "192.0.2.1", 1),
        Source("udp", "192.0.2.1", 70_000),
    ],
    "user_agent": ["", "Phone \udcff", "\n"],
}


def test_each_field_of_a_binding_is_tried_here() -> None:
    """A field that is added to Binding and not to the layout would be lost without a word."""
    assert OTHERS.keys() == {field.name for field in fields(Binding)} - {"aor"}


@pytest.mark.parametrize("name", OTHERS)
def test_each_value_comes_back(name: str) -> None:
    """Alone, and between two others of the same record."""
    for value in OTHERS[name]:
        changed = replace(PLAIN, **{name: value})
        assert unpack(AOR, pack((changed,))) == (changed,)
        three = (replace(PLAIN, flow=("tls", 1)), changed, replace(PLAIN, flow=("tls", 2), path=("<sip:c>",)))
        assert unpack(AOR, pack(three)) == three


def test_phones_are_packed() -> None:
    """The values that phones send are kept as octets, not as objects; a connection stands beside them."""
    assert isinstance(pack((PLAIN, replace(PLAIN, flow=3))), bytes)
    packed = pack((replace(PLAIN, flow=("tcp", 1)), PLAIN, replace(PLAIN, flow=("tcp", 2))))
    assert isinstance(packed[0], bytes)
    assert packed[1:] == (("tcp", 1), ("tcp", 2))


def test_listeners_stay_numbers() -> None:
    """The flow of a datagram is compared with a listener's number, and looked up by it."""
    (binding,) = unpack(AOR, pack((replace(PLAIN, flow=5),)))
    assert type(binding.flow) is int


text = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)
bindings = st.builds(
    Binding,
    st.just(AOR),
    text,
    st.floats(allow_nan=False),
    text,
    st.integers(-(2**40), 2**40),
    st.none() | st.integers(-(2**20), 2**20),
    st.floats(allow_nan=False),
    st.floats(allow_nan=False),
    st.lists(text, max_size=3).map(tuple),
    st.none() | text,
    st.none() | st.integers(-(2**40), 2**40),
    text,
    st.none() | st.integers(-(2**20), 2**20) | st.tuples(st.text(), st.integers()),
    st.none() | st.builds(Source, st.sampled_from([*TRANSPORTS, "ufo"]), text, st.integers(-(2**20), 2**20)),
    st.none() | text,
)


@given(st.lists(bindings, min_size=1, max_size=4).map(tuple))
def test_any_record_comes_back(record: tuple[Binding, ...]) -> None:
    """Records with any values come back unchanged."""
    assert unpack(AOR, pack(record)) == record
