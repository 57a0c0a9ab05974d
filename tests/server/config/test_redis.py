"""The location's URL, its table, and records as octets."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.location import Binding, NodeFlow
from sansip.location.source import Source
from sansip.wire.host import plain_host
from sansip_server.cluster import SharedStorage
from sansip_server.config.load import load_text
from sansip_server.config.redis import RedisSettings, parse_redis
from sansip_server.faults import OperatorError
from sansip_server.stores.redis_client import RedisClient, connect, password_of
from sansip_server.stores.redis_codec import NewerRecord, decode, encode, lifetime


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://localhost", "redis://localhost:6379/0"),
        ("redis://sansip:secret@10.0.0.1:6380/2", "redis://10.0.0.1:6380/2"),
        ("rediss://[2001:db8::1]:6380", "rediss://[2001:db8::1]:6380/0"),
        (
            "redis+sentinel://h1,h2:26380,h3/mymaster/1",
            "redis+sentinel://h1:26379,h2:26380,h3:26379/mymaster/1",
        ),
        ("rediss+sentinel://:pw@h1/mymaster", "rediss+sentinel://h1:26379/mymaster/0"),
        ("redis+cluster://h1,h2:7001", "redis+cluster://h1:6379,h2:7001"),
    ],
)
def test_urls(text: str, shown: str) -> None:
    """All three kinds; the log never shows the password."""
    assert str(parse_redis(text)) == shown


def test_credentials_of_a_url() -> None:
    """A user and a password may hold any character, escaped."""
    place = parse_redis("redis://user%40x:p%2Fw%3A@host")
    assert (place.username, place.password) == ("user@x", "p/w:")


@pytest.mark.parametrize(
    "text",
    [
        "http://host",
        "redis+mirror://host",
        "redis://",
        "redis://host:port",
        "redis://host:0",
        "redis://host:70000",
        "redis://host/zero",
        "redis://host/0/1",
        "redis://one,two",
        "redis+sentinel://host",
        "redis+cluster://host/1",
        "redis://host/0?ssl=true",
    ],
)
def test_wrong_urls(text: str) -> None:
    """Each is refused with the expected form, and without the password."""
    with pytest.raises(ValueError, match="redis"):
        parse_redis(text)


def test_the_file(tmp_path: Path) -> None:
    """Files are relative to the configuration; several nodes need one key; a cluster cannot WAIT."""
    good = load_text(
        'location = "redis://h"\nsecret_file = "key"\n[redis]\npassword_file = "pw"\nauthorities = "ca.pem"',
        tmp_path,
    )
    assert good.settings is not None
    assert good.settings.redis.password_file == str(tmp_path / "pw")
    assert good.settings.redis.authorities == str(tmp_path / "ca.pem")
    assert [fault.path for fault in load_text('location = "redis://h"').faults] == ["secret_file"]
    wait = 'location = "redis+cluster://h"\nsecret_file = "key"\n[redis]\nwait_replicas = 1'
    assert [fault.path for fault in load_text(wait).faults] == ["redis.wait_replicas"]
    remove = 'location = "redis://h"\nsecret_file = "key"\n[keepalive]\nremove = true'
    assert [fault.path for fault in load_text(remove).faults] == ["keepalive.remove"]
    assert [fault.path for fault in load_text('location = "mysql://h"').faults] == ["location"]
    slow = 'location = "redis://h"\nsecret_file = "key"\n[redis]\nwait_time = 2.0'
    assert [fault.path for fault in load_text(slow).faults] == ["redis.wait_time"]
    node = '[node]\naddress = "10.0.0.1"'
    assert [fault.path for fault in load_text(node).faults] == ["node.address"]


def test_the_password_file(tmp_path: Path) -> None:
    """It wins over the URL; its last line end is none of it; a missing one is the operator's mistake."""
    place = parse_redis("redis://:other@h")
    file = tmp_path / "pw"
    file.write_text(" p w \n")
    assert password_of(place, RedisSettings()) == "other"
    assert password_of(place, RedisSettings(password_file=str(file))) == " p w "
    with pytest.raises(OperatorError, match="no such file"):
        password_of(place, RedisSettings(password_file=str(tmp_path / "none")))


@pytest.mark.parametrize("scheme", ["redis+sentinel", "rediss+sentinel"])
def test_tls_by_sentinels(scheme: str) -> None:
    """Both the sentinels and the master that they name are asked in TLS, or neither."""
    client = connect(parse_redis(f"{scheme}://h/mymaster/3"), RedisSettings(authorities="ca.pem"), "secret")
    pool = client.connection_pool
    classes = {
        pool.connection_class,
        *(one.connection_pool.connection_class for one in pool.sentinel_manager.sentinels),
    }
    assert all(("SSL" in one.__name__) == scheme.startswith("rediss") for one in classes)
    assert (pool.connection_kwargs["db"], pool.connection_kwargs["password"]) == (3, "secret")


def test_without_redis_py(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator is told what to install, before anything starts."""
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(OperatorError, match=r"pip install 'sansip\[redis\]'"):
        SharedStorage(parse_redis("redis+cluster://h"), RedisSettings())


class ReadOnlyError(Exception):
    """As redis-py names it."""


class FakeRedis:
    """A client of redis-py whose pipelines answer, or raise, as the test says."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.connection_pool = self
        self.disconnected = self.closed = 0

    def pipeline(self, transaction: bool) -> FakeRedis:
        return self

    def execute_command(self, *words: Any) -> None:
        pass

    def execute(self, raise_on_error: bool) -> list[Any]:
        if isinstance(self.answer, ConnectionError):
            raise self.answer
        return [self.answer]

    def disconnect(self) -> None:
        self.disconnected += 1

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize(
    ("url", "answer", "disconnected"),
    [
        ("redis+sentinel://h/m", ReadOnlyError("You can't write against a read only replica."), 1),
        ("redis+sentinel://h/m", RuntimeError("ERR script: -READONLY You can't write"), 1),
        ("redis+sentinel://h/m", RuntimeError("OOM"), 0),
        ("redis+sentinel://h/m", 1, 0),
        ("redis://h", ReadOnlyError("You can't write against a read only replica."), 0),
    ],
)
def test_a_master_that_is_none_any_more(url: str, answer: Any, disconnected: int) -> None:
    """Behind sentinels the next connection goes to the named master; the old one's answer is passed up."""
    client = RedisClient(parse_redis(url), RedisSettings(), None)
    fake = client._client = FakeRedis(answer)
    assert client.run([("GET", "x")]) == [answer]
    assert fake.disconnected == disconnected


@pytest.mark.parametrize(("url", "closed"), [("redis+cluster://h", 1), ("redis://h", 0)])
def test_a_cluster_is_looked_at_anew(url: str, closed: int) -> None:
    """When no node of a cluster answers for a slot, the next try asks the cluster for the slot's owner."""
    client = RedisClient(parse_redis(url), RedisSettings(), None)
    fake = client._client = FakeRedis(ConnectionError("refused"))
    with pytest.raises(ConnectionError):
        client.run([("GET", "x")])
    assert fake.closed == closed
    assert (client._client is None) == bool(closed)


# Any text that a message can hold: octets that are not UTF-8 are lone surrogates.
texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\udc80\udcff"), max_size=20)
numbers = st.none() | st.integers(0, 2**31)
flows = st.none() | st.builds(
    NodeFlow,
    texts,
    texts,
    st.sampled_from(["udp", "ws"]),
    st.integers(0, 9),
    st.integers(0, 2**40),
    texts,
    st.booleans(),
)
sources = st.builds(
    Source,
    st.sampled_from(("udp", "tcp", "tls", "ws", "wss")),
    # As the source of a packet is written: an IPv4 address in IPv6 clothes is the IPv4 address.
    st.ip_addresses().map(lambda address: plain_host(str(address))),
    st.integers(1, 65_535),
)
bindings = st.builds(
    Binding,
    st.just("sip:bob@biloxi.test"),
    texts,
    st.just(math.inf) | st.integers(0, 10**6).map(float),
    texts,
    st.integers(0, 2**31),
    st.none() | st.integers(0, 1000),
    st.integers(0, 10**6).map(float),
    st.integers(0, 10**6).map(float),
    st.lists(texts, max_size=3).map(tuple),
    st.none() | texts,
    numbers,
    texts,
    flows,
    st.none() | sources,
    st.none() | texts,
)


@given(st.lists(bindings, max_size=4))
def test_records_come_back(several: list[Binding]) -> None:
    """The record has the header values of phones as the phones wrote them."""
    data = encode("v" * 16, several, 1e9)
    record = decode("sip:bob@biloxi.test", data, 1e9)
    assert record.version == "v" * 16
    assert list(record.bindings) == several


@given(st.binary(max_size=60))
def test_what_is_no_record(data: bytes) -> None:
    """Anything may stand there: it has no bindings, and a version that can be compared."""
    try:
        record = decode("sip:bob@biloxi.test", data, 0.0)
    except NewerRecord:
        # JSON, but not as we write it.
        return
    assert record.bindings == ()
    assert len(record.version.encode("utf-8", "surrogateescape")) <= 16


@pytest.mark.parametrize("body", [b'{"format": 2}', b"[[1,2]]", b'[{"contact": "sip:b@h"}]', b"7", b"null"])
def test_a_record_of_a_later_program(body: bytes) -> None:
    """Issue 23: what a newer node wrote is no garbage, and must not be replaced by the next REGISTER."""
    with pytest.raises(NewerRecord, match="bob"):
        decode("sip:bob@biloxi.test", b"v" * 16 + body, 0.0)


def test_a_later_program_may_add_to_a_flow() -> None:
    """As to a binding."""
    flow = NodeFlow("a", "life", "ws", 2, 17, "f-token", False)
    one = Binding("sip:bob@biloxi.test", "sip:b@h", 5.0, "c", 1, flow=flow)
    data = encode("v" * 16, [one], 0.0).replace(b"false]]]", b'false,"new"]]]')
    assert decode("sip:bob@biloxi.test", data, 0.0).bindings == (one,)


def test_a_later_program_may_add_to_a_binding() -> None:
    """Nodes are upgraded one by one: unknown values are passed over."""
    one = Binding("sip:bob@biloxi.test", "sip:b@h", 5.0, "c", 1)
    data = encode("v" * 16, [one], 0.0).replace(b"]]", b',"new"]]')
    assert decode("sip:bob@biloxi.test", data, 0.0).bindings == (one,)


def test_lifetime() -> None:
    """A key lives as long as the last binding: never less, for ever where one does."""
    one = Binding("a", "c", 10.0001, "c", 1)
    assert lifetime([one], 0.0) == 10_001
    assert lifetime([one], 20.0) == -1
    assert lifetime([], 0.0) == -1
    assert lifetime([one, Binding("a", "d", math.inf, "c", 1)], 0.0) == 0
