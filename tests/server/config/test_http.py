"""Where HTTP listens: alone, or on the port of SIP over WebSocket."""

from __future__ import annotations

import pytest

from sansip_server.config.build import listener_configs
from sansip_server.config.http import is_loopback, parse_http_listen, sharing
from sansip_server.config.listen import parse_listen
from sansip_server.config.rules import cross_faults
from sansip_server.config.schema import Settings

ADDRESSES = [parse_listen("tcp+tls+ws+wss:127.0.0.1:5060"), parse_listen("ws:192.0.2.1:80")]


@pytest.mark.parametrize(
    ("text", "shared"),
    [
        ("http:127.0.0.1:5060", 0),
        ("http:localhost:5060", 0),
        ("https:127.0.0.1:5060", 0),
        ("http:192.0.2.1:80", 1),
        # There is no TLS on that port.
        ("https:192.0.2.1:80", None),
        ("http:127.0.0.1:5061", None),
        ("http:[::1]:5060", None),
    ],
)
def test_shared_ports(text: str, shared: int | None) -> None:
    """The same address and port, and the same kind of connection."""
    found = sharing(parse_http_listen(text), ADDRESSES)
    assert found == (None if shared is None else ADDRESSES[shared])


def test_listeners_know_it() -> None:
    """Only the transports that were named have HTTP beside them."""
    configs = listener_configs(
        ADDRESSES, ["https:127.0.0.1:5060", "http:192.0.2.1:80", "http:127.0.0.1:8080"]
    )
    assert [(one.transport, one.port) for one in configs if one.http] == [("wss", 5060), ("ws", 80)]


@pytest.mark.parametrize("text", ["http:a", "ftp:127.0.0.1:1", "http:127.0.0.1:70000", "http:127.0.0.1"])
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="expected an address"):
        parse_http_listen(text)


def test_loopback() -> None:
    assert [
        is_loopback(parse_http_listen(f"http:{host}:1")) for host in ("[::1]", "localhost", "10.0.0.1")
    ] == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("listen", "keys", "said"),
    [
        ("http:0.0.0.0:8080", None, "is reached by others; set http.keys"),
        ("http:0.0.0.0:8080", "keys.json", "anybody on the way reads the tokens; write https:0.0.0.0:8080"),
        ("https:127.0.0.1:8080", None, "needs tls.certificate"),
        # A load balancer on this machine brings others.
        ("http:127.0.0.1:5060", None, "is reached by others; set http.keys"),
        ("http:127.0.0.1:5060", "keys.json", ""),
        ("http:127.0.0.1:8080", None, ""),
    ],
)
def test_doors_that_stay_shut(listen: str, keys: str | None, said: str) -> None:
    """Nothing is served to others without a token, nor a token asked for where others read it.

    Once the merge of another change lost the line that asks; the live test alone noticed.
    """
    settings = Settings(listen=["ws:127.0.0.1:5060 proxy_protocol 127.0.0.1"])
    settings.http.listen, settings.http.keys = [listen], keys
    faults = [text for path, text in cross_faults(settings) if path.startswith("http")]
    assert [said in text for text in faults] == ([True] if said else [])
