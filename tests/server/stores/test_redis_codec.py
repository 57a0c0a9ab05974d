"""Records of the shared location as octets: the quick way for ordinary ones writes what the other does."""

from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from sansip.location import Binding, NodeFlow, Source
from sansip_server.stores.redis_codec import _plain_row, _row, decode, encode

texts = st.text(st.characters(exclude_categories=()), max_size=12)
times = st.floats(0, 1e9)
flows = st.builds(
    NodeFlow,
    texts,
    texts,
    st.sampled_from(["udp", "tcp"]),
    st.integers(0, 9),
    st.just(0),
    texts,
    st.booleans(),
)
bindings = st.builds(
    Binding,
    st.just("sip:bob@biloxi.test"),
    texts,
    st.one_of(times, st.just(math.inf)),
    texts,
    st.integers(0, 2**31),
    st.one_of(st.none(), st.integers(0, 1000)),
    times,
    times,
    st.one_of(st.just(()), st.just(("<sip:edge.test;lr>",))),
    st.one_of(st.none(), texts),
    st.one_of(st.none(), st.integers(1, 9)),
    st.one_of(st.just(""), texts),
    st.one_of(st.none(), flows),
    st.one_of(st.none(), st.just(Source("udp", "192.0.2.7", 5060))),
    st.one_of(st.none(), texts),
)
ordinary = st.builds(
    lambda contact, expires, call_id, cseq, registered, refreshed, flow, agent: Binding(
        *("sip:bob@biloxi.test", contact, expires, call_id, cseq, None, registered, refreshed),
        flow=flow,
        user_agent=agent,
    ),
    *(texts, times, texts, st.integers(0, 2**31), times, times, flows, st.one_of(st.none(), texts)),
)


@given(ordinary, st.floats(-1e9, 1e9))
def test_an_ordinary_binding(binding: Binding, offset: float) -> None:
    """Whatever a phone sent, octets that are not UTF-8 included: the row is the JSON of the other way."""
    row = _plain_row(binding, offset)
    assert row == json.dumps(_row(binding, offset), separators=(",", ":"))


@given(st.lists(bindings, max_size=3), st.lists(ordinary, max_size=2))
def test_what_is_written_is_read(some: list[Binding], others: list[Binding]) -> None:
    """Every field comes back; a record of any bindings is ASCII, which Redis and people can read."""
    record = [*some, *others]
    data = encode("v" * 16, record, 0.0)
    assert data.isascii()
    found = decode("sip:bob@biloxi.test", data, 0.0)
    assert found.version == "v" * 16
    for read, written in zip(found.bindings, record, strict=True):
        assert (read.contact, read.call_id, read.user_agent) == (
            *(written.contact, written.call_id, written.user_agent),
        )
        assert (read.flow, read.received, read.path) == (written.flow, written.received, written.path)
