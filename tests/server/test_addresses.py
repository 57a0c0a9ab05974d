"""The addresses of this machine, as the system reports them."""

from __future__ import annotations

import ipaddress
import socket

import pytest

from sansip_server import addresses


@pytest.mark.parametrize("ipv6", [False, True])
def test_machine_addresses_can_be_bound(ipv6: bool) -> None:
    """Each is one to listen on, of the right family, and there only once."""
    found = addresses.machine_addresses(ipv6)
    assert len(found) == len(set(found))
    for address in found:
        assert ipaddress.ip_address(address).version == (6 if ipv6 else 4)
        with socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((address, 0))


def test_loopback_is_last() -> None:
    """Other machines may know the server by the first address."""
    assert addresses.machine_addresses(False)[-1] == "127.0.0.1"


def test_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without any route still has its loopback address."""
    monkeypatch.setattr(addresses, "primary_address", lambda ipv6: None)
    monkeypatch.setattr(addresses, "_interfaces_ipv4", list)
    assert addresses.machine_addresses(False) == ["127.0.0.1"]


def test_without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many containers have none; nothing about it is an error."""

    def refuse(*arguments: object) -> None:
        raise OSError("no IPv6 here")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(addresses, "_interfaces_ipv6", list)
    assert addresses.has_ipv6_loopback() is False
    assert addresses.primary_address(True) is None
    assert addresses.machine_addresses(True) == []
