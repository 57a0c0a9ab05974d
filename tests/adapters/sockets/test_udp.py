"""The datagrams of a socket, by Python's methods and by the class in C: both do the same."""

from __future__ import annotations

import errno
import gc
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest

from sansip_sockets.udp import Datagrams, PlainDatagrams, datagrams_of

Kind = Callable[[socket.socket], Datagrams]


@pytest.fixture(scope="session")
def in_c(tmp_path_factory: pytest.TempPathFactory) -> Kind:
    """The class in C: the installed one, or made here, with every warning an error."""
    found: Any
    try:
        from sansip_sockets import _udp as found
    except ImportError:
        from hatch_build import compile_datagrams

        root = Path(__file__).parents[3]
        strict = ("-Wall", "-Wextra", "-Werror", "-Wno-missing-field-initializers", "-Wno-cast-function-type")
        path = compile_datagrams(root, tmp_path_factory.mktemp("udp"), *strict)
        loader = ExtensionFileLoader("sansip_sockets._udp", str(path))
        spec = spec_from_loader("sansip_sockets._udp", loader)
        assert spec is not None
        found = module_from_spec(spec)
        loader.exec_module(found)
    return found.Datagrams


@pytest.fixture(params=["python", "c"])
def kind(request: pytest.FixtureRequest) -> Kind:
    return PlainDatagrams if request.param == "python" else request.getfixturevalue("in_c")


def bound(host: str = "127.0.0.1", family: int = socket.AF_INET) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    sock.settimeout(5)
    return sock


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with bound() as made:
        made.setblocking(False)
        yield made


@pytest.fixture
def peer() -> Iterator[socket.socket]:
    with bound() as made:
        yield made


def test_reads_what_waits(kind: Kind, sock: socket.socket, peer: socket.socket) -> None:
    """At most as many as asked for; 0 says that there may be more, EAGAIN that there are none."""
    datagrams = kind(sock)
    for data in (b"one", b"", b"\0" * 60_000):
        peer.sendto(data, sock.getsockname())
    batch: list[tuple[bytes, Any]] = []
    assert datagrams.receive(batch, 2) == 0
    assert batch == [(b"one", peer.getsockname()), (b"", peer.getsockname())]
    assert datagrams.receive(batch, 32) == errno.EAGAIN
    assert batch[2:] == [(b"\0" * 60_000, peer.getsockname())]
    assert datagrams.receive(batch, 32) == errno.EAGAIN
    assert datagrams.receive(batch, 0) == 0
    assert len(batch) == 3


def test_a_socket_that_was_shut_down(kind: Kind, sock: socket.socket, peer: socket.socket) -> None:
    """``recvfrom`` gives no octets and no address there: the sender before did not send them."""
    datagrams = kind(sock)
    batch: list[tuple[bytes, Any]] = []
    sock.settimeout(5)
    peer.sendto(b"last", sock.getsockname())
    assert datagrams.wait(batch) == 0
    sock.setblocking(True)
    # As ``waits.wake`` does: the system refuses, having woken the reader.
    with pytest.raises(OSError, match="not connected"):
        sock.shutdown(socket.SHUT_RDWR)
    assert datagrams.wait(batch) == errno.ESHUTDOWN
    assert batch == [(b"last", peer.getsockname())]


def test_each_source_has_its_address(kind: Kind, sock: socket.socket) -> None:
    """Addresses are kept by the class in C; those of many sources that take turns stay apart."""
    datagrams = kind(sock)
    peers = [bound() for _ in range(200)]
    try:
        for _ in range(3):
            batch: list[tuple[bytes, Any]] = []
            for number, one in enumerate(peers):
                one.sendto(b"%d" % number, sock.getsockname())
            while datagrams.receive(batch, 32) == 0:
                pass
            assert {int(data): address for data, address in batch} == {
                number: one.getsockname() for number, one in enumerate(peers)
            }
    finally:
        for one in peers:
            one.close()


def test_ipv6(kind: Kind) -> None:
    """An address of IPv6 has its flow and zone, in and out, as Python's sockets write it."""
    try:
        sock = bound("::1", socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    with sock, bound("::1", socket.AF_INET6) as peer:
        sock.setblocking(False)
        datagrams = kind(sock)
        peer.sendto(b"x", sock.getsockname())
        batch: list[tuple[bytes, Any]] = []
        assert datagrams.receive(batch, 1) == 0
        assert batch == [(b"x", peer.getsockname())]
        assert datagrams.sendto(b"back", batch[0][1]) == 4
        assert peer.recvfrom(9) == (b"back", sock.getsockname())
        assert datagrams.sendto(b"short", peer.getsockname()[:2]) == 5
        assert peer.recv(9) == b"short"


def test_waits_for_one(kind: Kind, sock: socket.socket, peer: socket.socket) -> None:
    """A blocking socket waits for as long as its time-out says."""
    datagrams = kind(sock)
    sock.setblocking(True)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 1_000))
    batch: list[tuple[bytes, Any]] = []
    assert datagrams.wait(batch) == errno.EAGAIN
    assert batch == []
    peer.sendto(b"one", sock.getsockname())
    peer.sendto(b"two", sock.getsockname())
    assert datagrams.wait(batch) == 0
    assert batch == [(b"one", peer.getsockname())]
    # Reading all that waits never waits.
    assert datagrams.receive(batch, 9) == errno.EAGAIN
    assert len(batch) == 2


def test_signals_are_handled_while_it_waits(kind: Kind, sock: socket.socket, peer: socket.socket) -> None:
    """PEP 475: the handler runs, and the wait goes on; what the handler raises ends it."""
    datagrams = kind(sock)
    sock.setblocking(True)
    seen: list[int] = []

    def handle(number: int, _frame: object) -> None:
        seen.append(number)
        if len(seen) == 2:
            raise KeyboardInterrupt
        peer.sendto(b"from the handler", sock.getsockname())

    before = signal.signal(signal.SIGUSR1, handle)
    main = threading.main_thread().ident
    assert main is not None
    try:
        for _ in range(2):
            timer = threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGUSR1))
            timer.start()
            batch: list[tuple[bytes, Any]] = []
            if seen:
                with pytest.raises(KeyboardInterrupt):
                    datagrams.wait(batch)
            else:
                assert datagrams.wait(batch) == 0
                assert batch == [(b"from the handler", peer.getsockname())]
            timer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_other_threads_run_while_it_waits(kind: Kind, sock: socket.socket, peer: socket.socket) -> None:
    """Two servers of one process wait at the same time, and neither gets the other's octets."""
    with bound() as other:
        sock.setblocking(True)
        other.setblocking(True)
        results: list[Any] = [None, None]

        def wait(place: int, datagrams: Datagrams) -> None:
            batch: list[tuple[bytes, Any]] = []
            datagrams.wait(batch)
            results[place] = batch[0][0]

        threads = [
            threading.Thread(target=wait, args=(place, kind(one))) for place, one in enumerate((sock, other))
        ]
        for thread in threads:
            thread.start()
        peer.sendto(b"b" * 2_000, other.getsockname())
        threads[1].join(5)
        peer.sendto(b"a" * 1_000, sock.getsockname())
        threads[0].join(5)
        assert results == [b"a" * 1_000, b"b" * 2_000]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "localhost", "127.000.0.1", "0x7f.0.0.1"])
def test_every_spelling_goes_where_python_sends_it(kind: Kind, peer: socket.socket, host: str) -> None:
    """What is no plain IPv4 address is left to Python."""
    with bound() as sock:
        try:
            expected = sock.sendto(b"first", (host, peer.getsockname()[1]))
        except OSError as error:
            with pytest.raises(type(error)):
                kind(sock).sendto(b"first", (host, peer.getsockname()[1]))
            return
        assert kind(sock).sendto(b"again", (host, peer.getsockname()[1])) == expected
        assert [peer.recvfrom(9) for _ in range(2)] == [
            (b"first", sock.getsockname()),
            (b"again", sock.getsockname()),
        ]


@pytest.mark.parametrize(
    "address",
    [
        ("127.0.0.1", 65_536),
        ("127.0.0.1", -1),
        ("127.0.0.1", "5060"),
        ("127.0.0.256", 9),
        ("127.0.0", 9, 1, 2),
        (b"127.0.0.1",),
        "127.0.0.1",
    ],
)
def test_wrong_addresses_raise_what_python_raises(kind: Kind, sock: socket.socket, address: Any) -> None:
    """The hub tells a bug above it from an error of the network by the exception."""
    with pytest.raises((OSError, TypeError, OverflowError)) as expected:
        sock.sendto(b"x", address)
    with pytest.raises(type(expected.value)):
        kind(sock).sendto(b"x", address)


def test_errors_of_the_network(kind: Kind, sock: socket.socket) -> None:
    """A datagram that is too long, and a broadcast that the socket may not send."""
    with pytest.raises(OSError) as caught:
        kind(sock).sendto(b"x" * 65_530, ("127.0.0.1", 9))
    assert caught.value.errno == errno.EMSGSIZE
    with pytest.raises(PermissionError):
        kind(sock).sendto(b"x", ("255.255.255.255", 9))


def test_a_closed_socket(kind: Kind) -> None:
    """Its number belongs to somebody else by now: nothing is read or written there."""
    sock = bound()
    datagrams = kind(sock)
    number = sock.fileno()
    sock.close()
    with bound() as heir, bound() as peer:
        assert heir.fileno() == number
        heir.setblocking(False)
        peer.sendto(b"x", heir.getsockname())
        assert datagrams.receive([], 1) == errno.EBADF
        assert datagrams.wait([]) == errno.EBADF
        with pytest.raises(OSError) as caught:
            datagrams.sendto(b"x", peer.getsockname())
        assert caught.value.errno == errno.EBADF
        assert heir.recv(9) == b"x"


def test_octets_that_are_no_bytes(kind: Kind, sock: socket.socket, peer: socket.socket) -> None:
    assert kind(sock).sendto(bytearray(b"ab"), peer.getsockname()) == 2
    assert peer.recv(9) == b"ab"
    with pytest.raises(TypeError):
        kind(sock).sendto("ab", peer.getsockname())


def test_nothing_is_kept(in_c: Any, sock: socket.socket, peer: socket.socket) -> None:
    """A datagram and its socket are let go; of an address there is one object."""
    datagrams = in_c(sock)
    assert gc.is_tracked(datagrams)
    addresses = []
    for _ in range(2):
        peer.sendto(b"octets", sock.getsockname())
        batch: list[tuple[bytes, Any]] = []
        datagrams.receive(batch, 1)
        addresses.append(batch[0][1])
        # The list, the pair, and the call.
        assert sys.getrefcount(batch[0][0]) <= 3
    assert addresses[0] is addresses[1]
    for wrong in ((), ([], 1, 2), ((), 1), ([], "1")):
        with pytest.raises(TypeError):
            datagrams.receive(*wrong)
    with pytest.raises(TypeError):
        datagrams.wait(())
    for given in ((), (1, 2)):
        with pytest.raises(TypeError):
            in_c(*given)
    with pytest.raises(AttributeError):
        in_c(object())


def test_a_socket_of_another_class_keeps_its_methods(sock: socket.socket) -> None:
    """Runtimes and tests that derive from a socket mean their own methods."""

    class Other(socket.socket):
        pass

    with Other() as other:
        assert type(datagrams_of(other)) is PlainDatagrams
