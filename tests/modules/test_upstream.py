"""Registrations of ours at other servers (RFC 3261 10.2, RFC 5626 4.5)."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.auth import Account
from sansip.events import CredentialsRefused, UpstreamChanged
from sansip.module import Use
from sansip.modules.upstream import UpstreamConfig, UpstreamRegistration, Upstreams
from sansip.wire.headers.auth import parse_credentials
from tests.rig import BOB, CAROL, HOST, Out, Rig, only, reply, what

ACCOUNT = Account(("192.0.2.2",), "carrier.test", "trunk", "secret")
CHALLENGE = ("WWW-Authenticate", 'Digest realm="carrier.test", nonce="n", qop="auth"')


def registering(**options: Any) -> UpstreamRegistration:
    options.setdefault("aor", "sip:trunk@192.0.2.2")
    options.setdefault("account", ACCOUNT)
    return UpstreamRegistration(**options)


def begin(*registrations: UpstreamRegistration, **options: Any) -> tuple[Rig, list[Out]]:
    """A stack with a registration to make, and its first messages."""
    rig = Rig(modules=[Use(Upstreams, UpstreamConfig(list(registrations)))], **options)
    return rig, rig.wait(0.0)


def contact(out: Out, expires: int) -> list[tuple[str, str]]:
    return [("Contact", f"{out.message.get('contact')};expires={expires}")]


def test_the_life_of_a_registration() -> None:
    """Challenged, accepted, refreshed with the same Call-ID and at once with credentials, taken back."""
    rig, outs = begin(registering(user="alice"))
    first = only(outs, "REGISTER")
    assert first.to == BOB
    assert first.message.uri_text == "sip:192.0.2.2"
    assert first.message.get("contact") == f"<sip:alice@{HOST}:5060>"
    assert (first.message.get("expires"), first.message.get("cseq")) == ("3600", "1 REGISTER")
    again = only(rig.udp(reply(first, 401, headers=[CHALLENGE]), BOB), "REGISTER")
    assert again.message.get("cseq") == "2 REGISTER"
    assert again.message.call_id == first.message.call_id
    assert parse_credentials(again.message.get("authorization") or "", "", "").username == "trunk"
    rig.udp(reply(again, 200, headers=contact(again, 600)), BOB)
    assert rig.events == [UpstreamChanged("sip:trunk@192.0.2.2", True, "for 600 s")]
    assert rig.stack.modules.get(Upstreams).states() == {"sip:trunk@192.0.2.2": True}
    assert rig.wait(555) == []
    refresh = only(rig.wait(5.1), "REGISTER")
    assert refresh.message.get("cseq") == "3 REGISTER"
    assert parse_credentials(refresh.message.get("authorization") or "", "", "").params["nc"] == "00000002"
    rig.udp(reply(refresh, 200, headers=contact(refresh, 600)), BOB)
    last = only(rig.take(rig.stack.drain(rig.now)), "REGISTER")
    assert (last.message.get("expires"), last.message.get("contact")) == ("0", f"<sip:alice@{HOST}:5060>")
    # Challenged once more, the answer is the last that is heard of it.
    last = only(rig.udp(reply(last, 401, headers=[CHALLENGE]), BOB), "REGISTER")
    assert last.message.get("expires") == "0"
    rig.udp(reply(last, 200), BOB)
    assert rig.wait(10_000) == []
    assert rig.stack.idle
    assert len(rig.events) == 1


def test_expires_of_others_is_not_ours() -> None:
    """10.2.4: the Contact that is ours decides, and Expires where it says nothing."""
    for headers, said in (
        ([("Contact", "<sip:x@192.0.2.9>;expires=60"), ("Expires", "1200")], "for 1200 s"),
        ([("Contact", "<<")], "for 3600 s"),
        ([("Expires", "1")], "for 10 s"),
        ([], "for 3600 s"),
    ):
        rig, outs = begin(registering())
        rig.udp(reply(only(outs, "REGISTER"), 200, headers=headers), BOB)
        assert rig.events[0].reason == said


def test_too_brief() -> None:
    """10.2.8: the answer to 423 has the wanted interval, once."""
    rig, outs = begin(registering(expires=60))
    again = only(
        rig.udp(reply(only(outs, "REGISTER"), 423, headers=[("Min-Expires", "900")]), BOB), "REGISTER"
    )
    assert again.message.get("expires") == "900"
    assert what(rig.udp(reply(again, 423, headers=[("Min-Expires", "9000")]), BOB)) == []
    assert rig.events[-1].reason == "423 Because"


@pytest.mark.parametrize("least", ["", "x", "60", "99999999999", "700000"])
def test_nonsense_of_min_expires(least: str) -> None:
    rig, outs = begin(registering(expires=60))
    assert what(rig.udp(reply(only(outs, "REGISTER"), 423, headers=[("Min-Expires", least)]), BOB)) == []


def test_pauses_that_double() -> None:
    """RFC 5626 4.5: half a minute at first, half an hour at the most; told once, and when it is over."""
    rig, outs = begin(registering())
    pauses = []
    for _ in range(10):
        rig.udp(reply(only(outs, "REGISTER"), 500), BOB)
        failed = rig.now
        while not outs or outs[-1].what != "REGISTER" or outs[-1].time <= failed:
            deadline = rig.stack.next_deadline()
            assert deadline is not None
            outs = rig.wait(max(0.0, deadline - rig.now))
        pauses.append(rig.now - failed)
    assert 15 <= pauses[0] <= 30
    assert 30 <= pauses[1] <= 60
    assert all(900 <= pause <= 1800 for pause in pauses[7:])
    assert rig.events == [UpstreamChanged("sip:trunk@192.0.2.2", False, "500 Because")]
    rig.udp(reply(outs[-1], 200), BOB)
    assert rig.events[-1] == UpstreamChanged("sip:trunk@192.0.2.2", True, "for 3600 s")


def test_a_server_that_says_when() -> None:
    """20.33: Retry-After is kept to, within reason."""
    rig, outs = begin(registering())
    rig.udp(reply(only(outs, "REGISTER"), 503, headers=[("Retry-After", "300 (maintenance)")]), BOB)
    assert rig.wait(299) == []
    assert what(rig.wait(1.1)) == ["REGISTER"]


def test_silence() -> None:
    """Timer F, then a pause."""
    rig, _ = begin(registering())
    rig.wait(33)
    assert rig.events == [UpstreamChanged("sip:trunk@192.0.2.2", False, "timeout")]


def test_a_wrong_password() -> None:
    """Given up after one answer; the next attempt, much later, tries again."""
    rig, outs = begin(registering())
    again = only(rig.udp(reply(only(outs, "REGISTER"), 401, headers=[CHALLENGE]), BOB), "REGISTER")
    assert what(rig.udp(reply(again, 401, headers=[CHALLENGE]), BOB)) == []
    assert [type(event) for event in rig.events] == [CredentialsRefused, UpstreamChanged]
    assert rig.wait(14) == []
    assert "REGISTER" in what(rig.wait(17))


def test_the_next_server_of_a_name() -> None:
    """RFC 3263 4.3: 503 and no answer lead on; none left is a failure."""
    account = Account(("sip.carrier.test",), "carrier.test", "trunk", "secret")
    rig, _ = begin(registering(aor="sip:trunk@sip.carrier.test", account=account))
    first = only(rig.answer([("udp", "192.0.2.2", 5060), ("udp", "192.0.2.3", 5060)]), "REGISTER")
    second = only(rig.udp(reply(first, 503), BOB), "REGISTER")
    assert second.to == CAROL
    rig.udp(reply(second, 503), CAROL)
    assert rig.events == [UpstreamChanged("sip:trunk@sip.carrier.test", False, "503 Because")]


@pytest.mark.parametrize("found", [[], OSError("no such name"), [("tls", "192.0.2.2", 5061)]])
def test_a_name_that_leads_nowhere(found: Any) -> None:
    rig, _ = begin(registering(aor="sip:trunk@sip.carrier.test"))
    assert rig.answer(found) == []
    assert rig.wait(0.0) == []
    assert rig.events[0].reason == "no way to sip.carrier.test:5060"


def test_the_reason_is_what_broke() -> None:
    """An operator reads in the log why we are not registered."""
    rig, outs = begin(registering())
    rig.failed(only(outs, "REGISTER"), "connection refused")
    assert rig.events[0].reason == "connection refused"


def test_a_silent_server_of_a_name() -> None:
    """RFC 3263 4.3, ``proxy.failover_time``: the next one after three seconds, and not after Timer F."""
    account = Account(("sip.carrier.test",), "carrier.test", "trunk", "secret")
    rig, _ = begin(registering(aor="sip:trunk@sip.carrier.test", account=account))
    rig.answer([("udp", "192.0.2.2", 5060), ("udp", "192.0.2.3", 5060)])
    outs = rig.wait(3.1)
    assert outs[-1].to == CAROL
    rig.udp(reply(outs[-1], 200), CAROL)
    assert rig.events == [UpstreamChanged("sip:trunk@sip.carrier.test", True, "for 3600 s")]


def test_a_transport_and_a_registrar() -> None:
    """The registrar's URI decides where and how; the Contact says how to come back."""
    rig, outs = begin(registering(aor="sip:trunk@carrier.test", registrar="sip:192.0.2.2;transport=tcp"))
    connect = only(outs, "Connect")
    (out,) = [one for one in rig.opened(connect) if one.what == "REGISTER"]
    assert out.message.uri_text == "sip:192.0.2.2;transport=tcp"
    assert out.message.get("to") == "<sip:trunk@carrier.test>"
    assert out.message.get("contact") == f"<sip:trunk@{HOST}:5060;transport=tcp>"


def test_another_list() -> None:
    """A reload: unchanged accounts are left alone, removed ones unregister, new ones register."""
    stays = registering()
    goes = registering(aor="sip:other@192.0.2.2")
    rig, outs = begin(stays, goes)
    for out in outs:
        rig.udp(reply(out, 200), BOB)
    new = registering(aor="sip:new@192.0.2.2")
    rig.stack.modules.configure({Upstreams: UpstreamConfig([registering(), new])}, rig.now)
    outs = [one for one in rig.wait(0.0) if one.what == "REGISTER"]
    assert sorted((one.message.get("to"), one.message.get("expires")) for one in outs) == [
        ("<sip:new@192.0.2.2>", "3600"),
        ("<sip:other@192.0.2.2>", "0"),
    ]


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"aor": "trunk"}, "no SIP URI"),
        ({"aor": "tel:+1555"}, "no SIP URI"),
        ({"aor": "sip:192.0.2.2"}, "names no user"),
        ({"registrar": "nowhere"}, "no SIP URI"),
    ],
)
def test_what_cannot_be_registered(options: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        registering(**options)
