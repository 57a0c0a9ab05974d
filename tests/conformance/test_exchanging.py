"""The player catches a relay or an XCAP server that does otherwise: each trace here is wrong on purpose."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sansip.msrp import Head
from sansip_conformance import play_on_core, read_text
from sansip_conformance.ladder import ladder_of
from sansip_conformance.target import Target, reason_to_skip

MSRP = (
    "domain biloxi.test\nmodule msrp host=relay.biloxi.test\nendpoint alice, bob msrps\n"
    "user alice a-secret\nuser bob b-secret\nregister alice\nregister bob\n"
)
HTTP = (
    "domain biloxi.test\nmodule documents\nmodule xcap\nendpoint bill http\ntext caps\n"
    "  /xcap-root/xcap-caps/global/index\n"
)
SEND = "alice > proxy SEND to bob\n\n  hello\nproxy > alice expect 200\nproxy > bob expect SEND"


def verdict(head: str, text: str):
    (trace,) = read_text(head + text, "x.trace")
    return play_on_core(trace)


def test_a_message_and_a_document() -> None:
    """What the server does passes."""
    right = f"{SEND} as s1\n  From-Path: <bob.path> <alice.path> <alice.uri>\n\n  hello\nbob > proxy 200\n"
    for head, text in (
        (MSRP, right),
        (HTTP, "bill > proxy GET <caps>\nproxy > bill expect 200\n  ETag: <e>\n"),
    ):
        found = verdict(head, text)
        assert found.outcome == "pass", found.reason


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (f"{SEND}\n  To-Path: <alice.uri>\n", 13, "expected <alice.uri>"),
        (f"{SEND}\n  -Byte-Range\n", 13, "expected none"),
        (f"{SEND}\n  Byte-Range !~ 1-5\n", 13, "expected !~ 1-5"),
        (f"{SEND}\n  Byte-Range ~ 1-6\n", 13, "expected ~ 1-6"),
        (f"{SEND}\n  count Byte-Range 2\n", 13, "expected as many as 2"),
        (f"{SEND}\n  like s1\n", 13, "not for MSRP"),
        (f"{SEND}\n\n  goodbye\n", 12, "the body is 'hello'"),
        (f"{SEND} continued\n", 12, "end-line has '$', expected '+'"),
        (f"{SEND} unfinished\n", 12, "unfinished"),
        (f"{SEND} with nothing\n", 12, "no `text nothing`"),
        (f"{SEND}\nproxy > bob expect REPORT\n", 13, "nothing came"),
        (f"{SEND}\n@29 proxy > alice expect REPORT\n", 13, "nothing came"),
        (f"{SEND}\nproxy > alice expect nothing until @31\n", 13, "got REPORT at 30.000 s"),
        (f"{SEND}\nproxy > alice expect close\n", 13, "expected close"),
        ("alice > proxy SEND to bob\n\n  hello\nproxy > alice expect 200\n", 11, "no step expects SEND"),
        ("alice > proxy SEND to bob\nproxy > alice expect 413\n", 9, "got 200"),
        ("alice > proxy SEND to bill\n", 8, "need URIs"),
        ("alice > proxy SEND\n", 8, "needs a path"),
        ("alice > proxy REPORT\n", 8, "expect one first"),
        ("bob > proxy 200\n", 8, "expect one first"),
        ("alice > proxy SEND to bob\n  like x\n", 9, "for expectations"),
    ],
)
def test_another_relay_fails(text: str, line: int, words: str) -> None:
    """In its line, with what came instead."""
    found = verdict(MSRP, text)
    assert (found.outcome, found.line) == ("fail", line), found.reason
    assert words in found.reason


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("bill > proxy GET <caps>\nproxy > bill expect 404\n", 8, "got 200"),
        ("bill > proxy GET <caps>\nproxy > bill expect 200\n  ETag: x\n", 9, "expected x"),
        ("bill > proxy GET <caps>\nproxy > bill expect 200 with caps\n", 8, "the body is"),
        ("bill > proxy GET <caps>\nproxy > bill expect 200\n\n  <*><auid>none</auid><*>\n", 8, "the body is"),
        (
            "bill > proxy GET <caps>\nproxy > bill expect 200\n\n  <*></xcap-caps><*></xcap-caps>\n",
            8,
            "the body",
        ),
        ("bill > proxy GET <caps>\n", 7, "no step expects 200"),
        ("bill > proxy GET <nowhere>\n", 7, "<nowhere> has no value"),
    ],
)
def test_another_xcap_server_fails(text: str, line: int, words: str) -> None:
    """Header fields, bodies with gaps, answers that nobody expects."""
    found = verdict(HTTP, text)
    assert (found.outcome, found.line) == ("fail", line), found.reason
    assert words in found.reason


def test_a_setup_that_fails() -> None:
    """`register` says why there is no URI, at its line."""
    assert "needs `user alice" in verdict(MSRP.replace("user alice a-secret\n", ""), SEND).reason
    denied = verdict(MSRP.replace("msrps", "msrp"), f"{SEND}\n")
    assert (denied.line, denied.outcome) == (6, "fail")
    assert "no URI of the relay: got 403" in denied.reason


def test_rules_of_every_response(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 4975 7.2: they hold in any trace, said or not: transaction, paths and flag."""
    text = "alice > proxy SEND <alice.path>\nproxy > alice expect 200\n"
    assert verdict(MSRP, text).outcome == "pass"
    for change, words in (
        (lambda head: replace(head, transaction="nosuch12"), "has not begun"),
        (lambda head: replace(head, to_path=head.from_path), "has To-Path"),
        (lambda head: replace(head, from_path=head.to_path), "has From-Path"),
    ):

        def answer(head: Head, *given: Any, plain: Any = Head.answer, change: Any = change) -> Head:
            answered = plain(head, *given)
            return change(answered) if head.method == "SEND" else answered

        with monkeypatch.context() as patched:
            patched.setattr(Head, "answer", answer)
            assert words in verdict(MSRP, text).reason


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run goes on without lxml: the traces that need it are skipped, and say so."""
    monkeypatch.setattr("sansip.modules.xcap.module.has_lxml", lambda: False)
    found = verdict(HTTP, "bill > proxy GET <caps>\nproxy > bill expect 200\n")
    assert found.outcome == "skip"
    assert "pip install 'sansip[presence]'" in found.reason


def test_ladders_and_live_servers() -> None:
    """A ladder shows the messages; a live server is not asked, and the reason is shown."""
    (trace,) = read_text(f"{MSRP}{SEND}\n", "x.trace")
    assert any("MSRP" in line for line in ladder_of(trace).text())
    target = Target({"udp": ("127.0.0.1", 0)}, own=True, slow=True)
    assert reason_to_skip(trace, target) == "endpoints that speak msrps are played on the core alone"
    (trace,) = read_text(f"{HTTP}bill > proxy GET <caps>\n", "x.trace")
    assert reason_to_skip(trace, target) == "endpoints that speak http are played on the core alone"
