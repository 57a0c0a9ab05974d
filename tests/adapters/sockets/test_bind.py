"""Listening sockets: their options, and the errors when a port cannot be had."""

from __future__ import annotations

import errno
import socket

import pytest

from sansip_sockets import BindError, bind, bind_all, listener_text
from tests.adapters.fakes import Listen


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_port_zero_becomes_a_real_one(transport, host):
    """The stack writes the port into Via, so the config that comes back has it."""
    listener = bind(Listen(3, transport, host))
    with listener.sock:
        assert listener.port == listener.config.port == listener.sock.getsockname()[1] > 0
        assert (listener.id, listener.transport, listener.host) == (3, transport, host)
        assert str(listener) == listener_text(transport, host, listener.port)
        assert listener.sock.getblocking() is False


def test_text_has_brackets_for_ipv6():
    """IPv6 addresses have brackets as in a URI (RFC 3261 25.1), so the port can be told from the address."""
    assert listener_text("udp", "127.0.0.1", 5060) == "udp:127.0.0.1:5060"
    assert listener_text("tcp", "::1", 5060) == "tcp:[::1]:5060"


def test_the_ipv6_wildcard_leaves_ipv4_alone():
    """One port, one listener for each family."""
    with bind(Listen(0, "tcp", "::")).sock as six:
        assert six.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
        with bind(Listen(1, "tcp", "0.0.0.0", six.getsockname()[1])).sock as four:
            assert four.getsockname()[1] == six.getsockname()[1]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_port_in_use_names_the_fix(transport):
    """The commonest mistake of all: another server is running already."""
    with bind(Listen(0, transport, "127.0.0.1")).sock as first:
        port = first.getsockname()[1]
        with pytest.raises(BindError) as caught:
            bind(Listen(0, transport, "127.0.0.1", port))
        assert str(caught.value) == (
            f"cannot listen on {transport}:127.0.0.1:{port}: port {port} is in use by another program; "
            "stop that program or choose another port (0 takes a free one)"
        )


def test_an_address_of_another_machine_names_the_fix():
    """No machine has the documentation addresses of RFC 5737."""
    with pytest.raises(BindError) as caught:
        bind(Listen(0, "udp", "192.0.2.1", 5060))
    assert str(caught.value) == (
        "cannot listen on udp:192.0.2.1:5060: no interface of this machine has the address 192.0.2.1; "
        "use one of its own or 0.0.0.0 for all of them"
    )


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.EACCES, "choose a port above 1023"),
        (errno.EAFNOSUPPORT, "this machine has no IPv4; leave this listener out"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_other_errors(number, text, monkeypatch):
    """Those that this machine cannot be made to raise."""

    class Refusing(socket.socket):
        def bind(self, address):
            raise OSError(number, "")

    monkeypatch.setattr(socket, "socket", Refusing)
    with pytest.raises(BindError, match=text):
        bind(Listen(0, "tcp", "127.0.0.1", 80))


@pytest.mark.parametrize("host", ["no such host.invalid", "300.1.1.1", "x" * 300])
def test_what_is_no_address(host):
    """A slip of the pen in a config file, told in one line."""
    with pytest.raises(BindError, match="is not an address"):
        bind(Listen(0, "udp", host, 5060))


def test_all_or_none():
    """A server that cannot have all its listeners leaves none open."""
    with bind(Listen(0, "tcp", "127.0.0.1")).sock as taken:
        with bind(Listen(0, "tcp", "127.0.0.1")).sock as free:
            port = free.getsockname()[1]
        with pytest.raises(BindError):
            bind_all(
                [Listen(0, "tcp", "127.0.0.1", port), Listen(1, "tcp", "127.0.0.1", taken.getsockname()[1])]
            )
        # No pump accepts there, and no ResourceWarning says that one might.
        with socket.socket() as peer:
            assert peer.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED
