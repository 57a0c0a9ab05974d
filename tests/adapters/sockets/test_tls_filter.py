"""One connection of TLS: records that come together, in pieces, and with what is no message among them."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.adapters.sockets.test_tls import End, connect, contexts, incoming, outgoing, run, speak_12_at_most
from tests.certificates import Authority

pytestmark = pytest.mark.usefixtures("engine")

SIZES = (1, 5, 700, 16_384, 16_385, 40_000, 3)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> str:
    return str(authority.issue("server.pem", "example.org"))


@pytest.fixture(params=["1.2", "1.3"])
def ends(request: pytest.FixtureRequest, authority: Authority, certificate: str) -> tuple[End, End]:
    """The server's end and the client's, connected."""
    server, client = contexts(authority, certificate), contexts(authority)
    if request.param == "1.2":
        speak_12_at_most(client)
    return connect(server, client)


def sealed(end: End, *texts: bytes) -> list[bytes]:
    """Return the octets of each text as ``end`` sends it."""
    return [b"".join(end.tls.send(text, 0.0).down) for text in texts]


def test_records_that_come_together(ends: tuple[End, End]) -> None:
    """What several reads give is one text, longer than a record or not."""
    far, near = ends
    texts = [bytes([number]) * size for number, size in enumerate(SIZES)]
    output = near.tls.received(b"".join(sealed(far, *texts)), 0.0)
    assert list(output.up) == [b"".join(texts)]
    assert output.closing is None


def test_a_goodbye_behind_the_last_record(ends: tuple[End, End]) -> None:
    """RFC 8446 6.1: both come in one read; the text goes up and the connection ends."""
    far, near = ends
    data = b"".join(sealed(far, b"one", b"two")) + b"".join(far.tls.close("done", 0.0).down)
    output = near.tls.received(data, 0.0)
    assert list(output.up) == [b"onetwo"]
    assert output.closing == "closed by the peer"


@pytest.mark.parametrize("seed", range(4))
def test_any_cut(ends: tuple[End, End], seed: int) -> None:
    """Records cut anywhere, several in a read: nothing is lost, and what is whole goes up at once."""
    far, near = ends
    chance = Random(seed)
    data, whole = b"", b""
    places = [0]
    for size in SIZES:
        text = chance.randbytes(size)
        whole += text
        data += sealed(far, text)[0]
        places.append(len(data))
    came, at = b"", 0
    while at < len(data):
        step = chance.choice((1, 2, 21, 300, 4_096, 17_000))
        output = near.tls.received(data[at : at + step], 0.0)
        at = min(at + step, len(data))
        came += b"".join(output.up)
        assert output.closing is None
        # All of each record that has come whole.
        done = max(number for number, place in enumerate(places) if place <= at)
        assert len(came) >= sum(SIZES[:done])
    assert came == whole


def test_each_octet_of_a_record_alone(ends: tuple[End, End]) -> None:
    far, near = ends
    (data,) = sealed(far, b"text")
    ups = [list(near.tls.received(data[at : at + 1], 0.0).up) for at in range(len(data))]
    assert ups == [[]] * (len(data) - 1) + [[b"text"]]


def test_a_whole_record_is_read_without_an_exception(ends: tuple[End, End], engine: str) -> None:
    """A read that finds nothing makes an exception, for each message."""
    far, near = ends
    tls: Any = near.tls
    if not tls._counts:
        pytest.skip("pyOpenSSL does not tell how much waits")
    reads: list[int] = []

    class Raw:
        def __init__(self, raw: Any) -> None:
            self.pending, self.write = raw.pending, raw.write
            self._read = raw.read

        def read(self, size: int) -> bytes:
            reads.append(size)
            return self._read(size)

    tls._raw = Raw(tls._raw)
    run(near, far)
    reads.clear()
    assert list(near.tls.received(sealed(far, b"text")[0], 0.0).up) == [b"text"]
    assert len(reads) == 1
    assert list(near.tls.received(b"".join(sealed(far, b"one", b"two", b"three")), 0.0).up) == [
        b"onetwothree"
    ]
    assert len(reads) == 4


def test_what_waits_for_the_handshake_comes_first(authority: Authority, certificate: str) -> None:
    """Octets that the stack sends meanwhile, and those right behind the last ones of the handshake."""
    far = End(contexts(authority, certificate), incoming())
    near = End(contexts(authority), outgoing())
    near.take(near.tls.send(b"one", 0.0))
    near.take(near.tls.opened(0.0))
    far.take(far.tls.received(b"".join(near.down), 0.0))
    near.down = []
    near.take(near.tls.received(b"".join(far.down), 0.0))
    far.down = []
    near.take(near.tls.send(b"two", 0.0))
    far.take(far.tls.received(b"".join(near.down), 0.0))
    assert far.up == b"onetwo"


def test_a_peer_that_lost_its_standing_hears_so_once(authority: Authority, tmp_path: Path) -> None:
    """A reload trusts another authority: with the next octets, in either direction, this side ends it."""
    server = contexts(authority, str(authority.issue("server2.pem", "example.org")))
    client = contexts(authority)
    _, near = connect(server, client)
    assert near.tls.send(b"x", 0.0).closing is None
    other = Authority(tmp_path)
    client.reload(type(client.config)(None, authorities=str(other.authority)))
    assert near.info.identities == ()
    for output in (near.tls.send(b"x", 0.0), near.tls.received(b"x", 0.0)):
        assert output.closing == "the authority of its certificate is not trusted any more (tls.authorities)"
