"""Events of the core become log records that an operator can act on."""

from __future__ import annotations

import logging

import pytest

from sansip.events import (
    AuthenticationFailed,
    BindingsChanged,
    ConnectionRefused,
    CredentialsRefused,
    KeepaliveAnswered,
    KeepaliveUnanswered,
    LimitReached,
    MessageRefused,
    NonceRefused,
    RegistrationRefused,
    RouteFailed,
    SourceBarred,
    UpstreamChanged,
)
from sansip_server.eventlog import EventLog
from sansip_server.moments import moment
from tests.garbage import left_by


@pytest.mark.parametrize(
    ("event", "level", "text"),
    [
        (BindingsChanged("sip:a@b", 1, "registered"), logging.INFO, "sip:a@b registered: 1 binding"),
        (BindingsChanged("sip:a@b", 0, "expired"), logging.INFO, "sip:a@b expired: 0 bindings"),
        (
            MessageRefused("udp:192.0.2.1:5060", 400, "CSeq: bad", "RFC 3261 20.16"),
            logging.INFO,
            "refused a message from udp:192.0.2.1:5060, answered 400: CSeq: bad (RFC 3261 20.16)",
        ),
        (
            MessageRefused("udp:192.0.2.1:5060", 0, "no SIP", "RFC 3261 7.1"),
            logging.INFO,
            "refused a message from udp:192.0.2.1:5060, not answered: no SIP (RFC 3261 7.1)",
        ),
        (
            RegistrationRefused("sip:a@b", "192.0.2.1", "Too Many Contacts", "registrar.max_contacts"),
            logging.INFO,
            "refused to register sip:a@b from 192.0.2.1: Too Many Contacts (registrar.max_contacts)",
        ),
        (
            LimitReached("source_rate", "192.0.2.1"),
            logging.WARNING,
            "limits.source_rate reached by 192.0.2.1",
        ),
        (
            ConnectionRefused("192.0.2.1", "full"),
            logging.WARNING,
            "refused a connection from 192.0.2.1: full",
        ),
        (
            UpstreamChanged("sip:trunk@carrier.test", True, "for 600 s"),
            logging.INFO,
            "registered as sip:trunk@carrier.test for 600 s",
        ),
        (
            UpstreamChanged("sip:trunk@carrier.test", False, "timeout"),
            logging.WARNING,
            "not registered as sip:trunk@carrier.test: timeout",
        ),
        (
            AuthenticationFailed("192.0.2.1", "al\x07ice", "biloxi.test", "wrong password"),
            logging.INFO,
            r"refused 'al\x07ice' in realm 'biloxi.test' from 192.0.2.1: wrong password",
        ),
        (
            AuthenticationFailed("192.0.2.1", "alice", "b", "no such user", 1.7e9),
            logging.INFO,
            f"refused 'alice' in realm 'b' from 192.0.2.1: no such user; barred until {moment(1.7e9)}",
        ),
        (
            SourceBarred("192.0.2.1", "ali\x07ce", 1.7e9, "wrong passwords for this user"),
            logging.INFO,
            rf"192.0.2.1 is barred for 'ali\x07ce' until {moment(1.7e9)}: wrong passwords for this user",
        ),
        (
            SourceBarred("192.0.2.1", "", 1.7e9, "wrong passwords for several users"),
            logging.INFO,
            f"192.0.2.1 is barred for everybody until {moment(1.7e9)}: wrong passwords for several users",
        ),
        (
            NonceRefused("192.0.2.1", "alice", "b", "the nonce was given to another address"),
            logging.INFO,
            "challenged 'alice' in realm 'b' from 192.0.2.1 anew: the nonce was given to another address",
        ),
        (
            NonceRefused("192.0.2.1", "alice", "biloxi.test", "the nonce is too old", True),
            logging.DEBUG,
            "challenged 'alice' in realm 'biloxi.test' from 192.0.2.1 anew: the nonce is too old",
        ),
        (
            CredentialsRefused("192.0.2.2", "carrier.test", "wrong password"),
            logging.WARNING,
            "192.0.2.2 does not take our credentials in realm 'carrier.test': wrong password",
        ),
        (
            KeepaliveAnswered("sip:a@b", "sip:a@10.0.0.9", 0.0404, 0),
            logging.INFO,
            "sip:a@b at sip:a@10.0.0.9 answers keepalives, in 40.4 ms",
        ),
        (
            KeepaliveAnswered("sip:a@b", "sip:a@10.0.0.9", 0.0404, 5),
            logging.INFO,
            "sip:a@b at sip:a@10.0.0.9 answers again after 5 keepalives",
        ),
        (
            KeepaliveUnanswered("sip:a@b", "sip:a@10.0.0.9", 3, False),
            logging.INFO,
            "sip:a@b at sip:a@10.0.0.9 left 3 keepalives unanswered: left registered (keepalive.remove)",
        ),
        (
            KeepaliveUnanswered("sip:a@b", "sip:a@10.0.0.9", 3, True),
            logging.INFO,
            "sip:a@b at sip:a@10.0.0.9 left 3 keepalives unanswered: unregistered",
        ),
        ("something new", logging.INFO, "something new"),
    ],
)
def test_words_and_level(event: object, level: int, text: str, caplog: pytest.LogCaptureFixture) -> None:
    """A message that a stranger can cause at will is no warning. A limit is one: an operator may raise it."""
    with caplog.at_level(logging.DEBUG):
        EventLog()(event)
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (level, text)


def test_old_nonces_are_no_news(caplog: pytest.LogCaptureFixture) -> None:
    """Hundreds of phones refresh with one each second: at level info there is not even their number."""
    now = [1.0]
    log = EventLog(per_second=2, clock=lambda: now[0])
    with caplog.at_level(logging.INFO):
        for _ in range(9):
            log(NonceRefused("192.0.2.1", "alice", "biloxi.test", "the nonce is too old", True))
        now[0] = 2.0
        log(NonceRefused("192.0.2.1", "alice", "biloxi.test", "the nonce is too old", True))
    assert caplog.records == []


def test_a_failed_route_has_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """The script's author needs the line, not only the name of the error."""
    try:
        raise KeyError("x")
    except KeyError as error:
        EventLog()(RouteFailed("INVITE", "sip:a@b", error))
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert "test_eventlog.py" in (caplog.text)


def test_a_failed_route_is_let_go() -> None:
    """Once it is written, or only counted, nothing is left of the failure, whose frames hold the request."""

    def play() -> None:
        log = EventLog(per_second=1)
        for _ in range(2):
            event = RouteFailed("INVITE", "sip:a@b", KeyError("x"))
            try:
                raise event.error
            except KeyError:
                log(event)

    assert left_by(play) == {}


def test_a_flood_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """A thousand events a second must not become a thousand lines; other kinds are written meanwhile."""
    now = 0.0
    log = EventLog(per_second=3, clock=lambda: now)
    refused = MessageRefused("udp:192.0.2.1:5060", 0, "no SIP", "RFC 3261 7.1")
    with caplog.at_level(logging.DEBUG):
        for _ in range(1000):
            log(refused)
        log(LimitReached("source_rate", "192.0.2.1"))
        now = 1.0
        log(refused)
    texts = [record.getMessage() for record in caplog.records]
    assert [text.split(" from")[0] for text in texts] == [
        *["refused a message"] * 3,
        "limits.source_rate reached by 192.0.2.1",
        "997 more refused messages not written",
        "refused a message",
    ]
