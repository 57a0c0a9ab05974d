"""The table [node]: this server's name and address among the others."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from sansip import ListenerConfig
from sansip_server.config.node import check_node_address, node_config, node_name
from sansip_server.config.schema import Settings
from sansip_server.faults import OperatorError
from sansip_server.serving import run_server

WS = ListenerConfig(0, "ws", "10.0.0.1", 80)
UDP = ListenerConfig(1, "udp", "10.0.0.1", 5060)
TCP = ListenerConfig(2, "tcp", "2001:db8::1", 5070)
WILD = ListenerConfig(3, "udp", "0.0.0.0", 5060)
HIDDEN = ListenerConfig(4, "udp", "0.0.0.0", 5060, "203.0.113.5", 5080)


def shared(**values: object) -> Settings:
    settings = Settings(location="redis://h", secret_file="key")
    for name, value in values.items():
        setattr(settings.node, name, value)
    return settings


def test_alone() -> None:
    """Without a location there is no node, and flow tokens have no name in them."""
    assert node_config(Settings(), [UDP]) is None
    assert node_name(Settings()) == ""


def test_the_name() -> None:
    """The given name, else the host's."""
    assert node_name(shared(name="n1")) == "n1"
    assert node_name(shared()) == platform.node()


@pytest.mark.parametrize(
    ("listeners", "address"),
    [
        ([WS, UDP, TCP], "10.0.0.1:5060"),
        ([TCP, UDP], "[2001:db8::1]:5070;transport=tcp"),
        ([WILD, HIDDEN], "203.0.113.5:5080"),
    ],
)
def test_the_address_is_the_first_that_serves(listeners: list[ListenerConfig], address: str) -> None:
    """UDP or TCP, as peers see it: a browser's listener and a wildcard are none for other nodes."""
    config = node_config(shared(linger=5.0), listeners)
    assert config is not None
    assert (config.address, config.linger) == (address, 5.0)


def test_no_address_that_serves() -> None:
    """The operator is told which key is missing."""
    with pytest.raises(OperatorError, match=r"node\.address"):
        node_config(shared(), [WS, WILD])


@pytest.mark.parametrize(
    "address", ["10.0.0.1:5060", "10.0.0.1:5060;transport=udp", "203.0.113.5:5080", "0.0.0.0:5060"]
)
def test_an_address_that_is_ours(address: str) -> None:
    """A bound or an advertised address; any other would send requests in circles."""
    if address.startswith("0."):
        with pytest.raises(OperatorError, match=r"none of listen.*10\.0\.0\.1:5060"):
            node_config(shared(address=address), [UDP, HIDDEN])
    else:
        given = node_config(shared(address=address), [UDP, HIDDEN])
        assert given is not None
        assert given.address == address.removesuffix(";transport=udp")


@pytest.mark.parametrize("address", ["10.0.0.1:5061", "10.0.0.1:5060;transport=tcp", "10.0.0.9:5060"])
def test_an_address_that_is_not_ours(address: str) -> None:
    """Port, transport and host all have to be a listener's."""
    with pytest.raises(OperatorError, match="none of listen"):
        node_config(shared(address=address), [UDP, TCP])


@pytest.mark.parametrize("text", ["10.0.0.1", "n1:sip", ":5060", "10.0.0.1:5060;transport=ws", "sip:"])
def test_wrong_addresses(text: str) -> None:
    """An address that could not stand in a Route is refused, with an example."""
    with pytest.raises(ValueError, match=r"10\.0\.0\.1:5060"):
        check_node_address(text)


def test_no_journal_of_a_shared_location(tmp_path: Path) -> None:
    """A journal lacks the changes of other nodes, so a replay would show another history."""
    settings = shared()
    settings.secret_file = str(tmp_path / "key")
    with pytest.raises(OperatorError, match="journal"):
        run_server(settings, journal=tmp_path / "journal")
