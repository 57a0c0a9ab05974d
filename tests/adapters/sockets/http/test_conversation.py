"""One HTTP connection: requests whole, whatever the cut of the octets, or refused by name."""

from __future__ import annotations

import pytest

from sansip.limits import Limits
from sansip_sockets.http import Conversation, HttpFault, HttpRequest, HttpResponse

GET = b"GET /health HTTP/1.1\r\nHost: a.test\r\n\r\n"
POST = b"POST /rpc HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nbody"
CHUNKED = b"POST /rpc HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n"
LIMITS = Limits(http_head_size=1_000, http_body_size=100)


def asked(conversation: Conversation) -> HttpRequest:
    """Return the request, which is whole."""
    request = conversation.next_request()
    assert request is not None
    return request


@pytest.mark.parametrize("data", [GET, POST, CHUNKED + b"4\r\nbody\r\n0\r\n\r\n"])
def test_octet_by_octet(data: bytes) -> None:
    """A request is the same in one read and in many."""
    whole, slow = Conversation(), Conversation()
    whole.received(data)
    for index in range(len(data)):
        assert slow.next_request() is None
        slow.received(data[index : index + 1])
    assert asked(slow) == asked(whole)


def test_one_at_a_time() -> None:
    """A pipelined request waits until the request before it is answered (RFC 9112 9.3.2)."""
    conversation = Conversation()
    conversation.received(POST + GET)
    first = asked(conversation)
    assert (first.method, first.body) == ("POST", b"body")
    assert conversation.next_request() is None
    assert conversation.respond(HttpResponse(200, b"{}")).startswith(b"HTTP/1.1 200 OK\r\n")
    assert asked(conversation).method == "GET"


def test_a_head_has_no_body() -> None:
    """RFC 9110 9.3.2: the fields of the GET, and nothing behind them."""
    conversation = Conversation()
    conversation.received(GET.replace(b"GET", b"HEAD"))
    asked(conversation)
    answer = conversation.respond(HttpResponse(200, b"12345"))
    assert b"Content-Length: 5\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body(status: int) -> None:
    """RFC 9110 8.6, 15.4.5: no Content-Length, and nothing behind the fields."""
    conversation = Conversation()
    conversation.received(GET + GET)
    asked(conversation)
    answer = conversation.respond(HttpResponse(status, b"", headers=[("ETag", '"1"')]))
    assert b"content-length" not in answer.lower()
    assert answer.endswith(b"\r\n\r\n")
    assert asked(conversation).path == "/health"


def test_the_client_waits_for_a_100() -> None:
    """RFC 9110 10.1.1: told once to go on."""
    conversation = Conversation()
    conversation.received(POST.replace(b"\r\n\r\nbody", b"\r\nExpect: 100-continue\r\n\r\n"))
    assert conversation.next_request() is None
    assert conversation.expected() == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert conversation.expected() == b""
    conversation.received(b"body")
    assert asked(conversation).body == b"body"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        # RFC 9112 11.2: two lengths.
        (POST.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"), 400),
        (POST.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n"), 400),
        (POST.replace(b": 4", b": 101"), 413),
        (POST.replace(b": 4", b": -4"), 400),
        (CHUNKED + b"65\r\n" + b"x" * 101, 413),
        (CHUNKED + b"a\r\n0123456789\r\n" * 11, 413),
        # http_small_chunks: 400 KB of them took a second of the processor.
        (CHUNKED + b"1\r\nx\r\n" * 65, 400),
        (b"GET /" + b"a" * 1_000 + b" HTTP/1.1\r\nHost: a.test\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a.test\r\nX: " + b"a" * 2_000, 431),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"CONNECT b.test:443 HTTP/1.1\r\nHost: b.test\r\n\r\n", 501),
        (b"INVITE sip:bob@a.test SIP/2.0\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
    ],
)
def test_refused(data: bytes, status: int) -> None:
    """The answer says why, and the connection ends behind it; nothing else is ever raised."""
    conversation = Conversation(LIMITS)
    with pytest.raises(HttpFault) as caught:
        _read(conversation, data)
    assert caught.value.status == status
    answer = conversation.respond(caught.value.response())
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"connection: close\r\n" in answer.lower()


def _read(conversation: Conversation, data: bytes) -> None:
    conversation.received(data)
    conversation.next_request()


def test_a_field_that_counts_comes_once() -> None:
    """Two Host or Authorization fields mean two things to two readers."""
    request = HttpRequest("GET", "/", [("authorization", "a"), ("authorization", "b")])
    with pytest.raises(HttpFault, match="more than one authorization field"):
        request.header("authorization")
