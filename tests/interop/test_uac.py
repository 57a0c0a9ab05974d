"""Our user agent calls SIPp: each thing that a called phone may do, and what a caller must do about it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import sansip_asyncio
from sansip import ListenerConfig, Stack, StackConfig
from sansip.auth import Account
from sansip.dialog import SessionTimerSettings
from sansip.ua import CallRefused, Handler, UserAgentConfig
from tests.interop.sipp_play import SDP, Play
from tests.ua.phones import ANSWER, OFFER
from tools.peers import Sipp, free_port

LOCAL = "127.0.0.1"

pytestmark = pytest.mark.needs("sipp")

Work = Callable[[Any, str], Awaitable[None]]


def play(
    directory: Path, scenario: Play, work: Work, *, transport: str = "udp", ua: Any = None, **config: Any
) -> None:
    """Have SIPp play ``scenario`` while ``work(server, uri)`` calls it."""
    port = free_port()
    kind = {"udp": "u1", "tcp": "t1"}[transport]
    path = scenario.save(directory / "callee.xml")

    async def main() -> None:
        def build(found: Any) -> Stack:
            return Stack(StackConfig(found, ["biloxi.test"], ua=ua or UserAgentConfig(), **config), bytes(32))

        async with sansip_asyncio.serve(build, [ListenerConfig(0, transport, LOCAL, 0)]) as server:
            ours = server.listeners[0].address[1]
            with Sipp(path, (LOCAL, ours), directory, local=(LOCAL, port), transport=kind) as sipp:
                await asyncio.to_thread(sipp.wait_until_bound)
                suffix = "" if transport == "udp" else ";transport=tcp"
                await asyncio.wait_for(work(server, f"sip:sipp@{LOCAL}:{port}{suffix}"), 20)
                # The last message of SIPp is answered before we go.
                await asyncio.to_thread(sipp.succeed, 15)

    asyncio.run(main())


async def hang_up(server: Any, call: Any) -> None:
    await server.act("bye", call.number)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_call(transport: str, tmp_path: Path) -> None:
    """RFC 3665 3.1: INVITE, 180, 200, ACK, BYE."""

    async def work(server: Any, uri: str) -> None:
        call = await server.act("invite", uri=uri, sdp=OFFER)
        assert b"m=audio 40000 RTP/AVP 0" in call.remote_sdp
        await hang_up(server, call)

    scenario = Play().recv("INVITE").answer("180 Ringing").answer("200 OK", body=SDP).recv("ACK")
    play(tmp_path, scenario.recv("BYE").ok(), work, transport=transport)


def test_the_callee_hangs_up(tmp_path: Path) -> None:
    """RFC 3261 15.1.2: its BYE is answered, and the program hears of it."""

    async def work(server: Any, uri: str) -> None:
        call = await server.act("invite", uri=uri, sdp=OFFER)
        assert await server.act("over", call.number) == "BYE"

    scenario = Play().recv("INVITE").answer("200 OK", body=SDP).recv("ACK").pause(100)
    play(tmp_path, scenario.request("BYE").recv(200), work)


def test_reliable_ringing(tmp_path: Path) -> None:
    """RFC 3262: a PRACK for each reliable 1xx, in order; RFC 3311: an UPDATE of either side in between."""

    async def work(server: Any, uri: str) -> None:
        call = await server.act("invite", uri=uri, sdp=OFFER)
        assert (await server.act("update", call.number)).status == 200
        await hang_up(server, call)

    scenario = (
        Play()
        .recv("INVITE", check=("Supported", "100rel"))
        .answer("183 Session Progress", "Require: 100rel", "RSeq: 7", "Allow: UPDATE", body=SDP)
        .recv("PRACK", check=("RAck", "7 1 INVITE"))
        .ok()
        .request("UPDATE", body=SDP)
        .recv(200)
        .answer("180 Ringing", "Require: 100rel", "RSeq: 8")
        .recv("PRACK", check=("RAck", "8 1 INVITE"))
        .ok()
        .answer("200 OK", "Allow: INVITE, ACK, BYE, UPDATE")
        .recv("ACK")
        .recv("UPDATE")
        .ok(body=SDP)
        .recv("BYE")
        .ok()
    )
    play(tmp_path, scenario, work)


def test_a_longer_session(tmp_path: Path) -> None:
    """RFC 4028 7.3: 422, and once more with its Min-SE."""

    async def work(server: Any, uri: str) -> None:
        call = await server.act("invite", uri=uri, sdp=OFFER)
        await hang_up(server, call)

    scenario = (
        Play()
        .recv("INVITE", check=("Session-Expires", "1800"))
        .answer("422 Session Interval Too Small", "Min-SE: 4000", contact="")
        .recv("ACK")
        .recv("INVITE", check=("Session-Expires", "4000"))
        .answer("200 OK", "Session-Expires: 4000;refresher=uac", "Require: timer", body=SDP)
        .recv("ACK")
        .recv("BYE")
        .ok()
    )
    play(tmp_path, scenario, work)


OURS = "Session-Expires: 4;refresher=uac"


def quick() -> UserAgentConfig:
    """Sessions of four seconds: less than RFC 4028 4 allows, for the test's sake."""
    session = SessionTimerSettings()
    session.interval = session.min_se = 4
    return UserAgentConfig(session=session)


def test_we_refresh(tmp_path: Path) -> None:
    """RFC 4028 7.2, 7.4: half-way, by UPDATE where the phone has it; then by the interval of that answer."""

    async def work(server: Any, uri: str) -> None:
        call = await server.act("invite", uri=uri, sdp=OFFER)
        assert await server.act("over", call.number) == "BYE"

    scenario = (
        Play()
        .recv("INVITE")
        .answer("200 OK", OURS, "Require: timer", "Allow: UPDATE, BYE", body=SDP)
        .recv("ACK")
        .recv("UPDATE", check=("Session-Expires", "4;refresher=uac"))
        .ok("200 OK", OURS, "Require: timer")
        .recv("UPDATE")
        .ok("200 OK", OURS, "Require: timer")
        .request("BYE")
        .recv(200)
    )
    play(tmp_path, scenario, work, ua=quick())


def test_we_refresh_by_re_invite(tmp_path: Path) -> None:
    """RFC 4028 7.4: a phone without UPDATE gets a re-INVITE, with the description that holds."""

    async def work(server: Any, uri: str) -> None:
        call = await server.act("invite", uri=uri, sdp=OFFER)
        assert await server.act("over", call.number) == "BYE"

    scenario = (
        Play()
        .recv("INVITE")
        .answer("200 OK", OURS, "Require: timer", "Allow: INVITE, BYE", body=SDP)
        .recv("ACK")
        .recv("INVITE", check=("Session-Expires", "4;refresher=uac"))
        .again("200 OK", OURS, "Require: timer", body=SDP)
        .recv("ACK")
        .request("BYE", tag="")
        .recv(200)
    )
    play(tmp_path, scenario, work, ua=quick())


def test_the_callee_refreshes_and_stops(tmp_path: Path) -> None:
    """RFC 4028 9, 10: its UPDATE is a refresh; when no other comes, we hang up before the session expires."""

    async def work(server: Any, uri: str) -> None:
        call = await server.act("invite", uri=uri, sdp=OFFER)
        assert await server.act("over", call.number) == "expired"

    scenario = (
        Play()
        .recv("INVITE")
        .answer("200 OK", "Session-Expires: 4;refresher=uas", "Require: timer", body=SDP)
        .recv("ACK")
        .pause(1500)
        .request("UPDATE", "Session-Expires: 4;refresher=uac", "Supported: timer")
        .recv(200, check=("Session-Expires", "4;refresher=uac"))
        .recv("BYE")
        .ok()
    )
    play(tmp_path, scenario, work, ua=quick())


CHALLENGE = 'Digest realm="sipp",algorithm=MD5,opaque="o"'


@pytest.mark.parametrize(("status", "name"), [("401", "WWW-Authenticate"), ("407", "Proxy-Authenticate")])
@pytest.mark.parametrize("qop", ["auth", "auth-int"])
def test_challenged(status: str, name: str, qop: str, tmp_path: Path) -> None:
    """RFC 3261 22.1 to 22.3, RFC 7616: challenged, then stale, then answered; the ACK has the credentials."""

    async def work(server: Any, uri: str) -> None:
        call = await server.act("invite", uri=uri, sdp=OFFER)
        await hang_up(server, call)

    answers = "Authorization" if status == "401" else "Proxy-Authorization"
    scenario = (
        Play()
        .recv("INVITE", check=("CSeq", "1 INVITE"))
        .answer(f"{status} No", f'{name}: {CHALLENGE},nonce="one",qop="{qop}"', contact="")
        .recv("ACK")
        .recv("INVITE", check=(answers, f'nonce="one".*qop={qop},|qop={qop},.*nonce="one"'))
        .answer(f"{status} No", f'{name}: {CHALLENGE},nonce="two",stale=true,qop="{qop}"', contact="")
        .recv("ACK")
        .recv("INVITE", check=(answers, 'nonce="two"'))
        .answer("200 OK", body=SDP)
        .recv("ACK", check=(answers, 'nonce="two"'))
        .recv("BYE")
        .ok()
    )
    account = Account((LOCAL,), "sipp", "alice", "wonderland")
    play(tmp_path, scenario, work, accounts=[account])


def test_a_wrong_password(tmp_path: Path) -> None:
    """RFC 3261 22.2: the same challenge again means that the answer was wrong, and ends it."""

    async def work(server: Any, uri: str) -> None:
        with pytest.raises(CallRefused) as refused:
            await server.act("invite", uri=uri, sdp=OFFER)
        # The challenge is not the caller's business: it cannot answer it either.
        assert "Credentials" in refused.value.response.reason

    field = f'WWW-Authenticate: {CHALLENGE},nonce="one",qop="auth"'
    scenario = Play()
    for _ in range(2):
        scenario.recv("INVITE").answer("401 No", field, contact="").recv("ACK")
    play(tmp_path, scenario, work, accounts=[Account((LOCAL,), "sipp", "alice", "wrong")])


def test_two_phones_answer(tmp_path: Path) -> None:
    """RFC 3261 13.2.2.4: the second 2xx of a fork is acknowledged and hung up, the first is the call."""

    async def work(server: Any, uri: str) -> None:
        call = await server.act("invite", uri=uri, sdp=OFFER)
        assert call.dialog.id.remote_tag == "one"
        await asyncio.sleep(0.5)
        await hang_up(server, call)

    scenario = (
        Play()
        .recv("INVITE")
        .answer("180 Ringing", tag="one")
        .answer("180 Ringing", tag="two")
        .answer("200 OK", body=SDP, tag="one")
        .recv("ACK", check=("To", "tag=one"))
        .answer("200 OK", body=SDP, tag="two")
        .recv("ACK", check=("To", "tag=two"))
        .recv("BYE", check=("To", "tag=two"))
        .ok()
        .recv("BYE", check=("To", "tag=one"))
        .ok()
    )
    play(tmp_path, scenario, work)


def test_redirected(tmp_path: Path) -> None:
    """RFC 3261 8.1.3.4: the Contact of the 302 is called, in the same call."""

    async def work(server: Any, uri: str) -> None:
        call = await server.act("invite", uri=uri, sdp=OFFER, redirects=1)
        await hang_up(server, call)

    scenario = (
        Play()
        .recv("INVITE")
        .answer("302 Moved", contact="Contact: <sip:moved@[local_ip]:[local_port]>")
        .recv("ACK")
        .recv("INVITE", check=("CSeq", "2 INVITE"))
        .answer("200 OK", body=SDP)
        .recv("ACK")
        .recv("BYE")
        .ok()
    )
    play(tmp_path, scenario, work)


def test_early_media(tmp_path: Path) -> None:
    """RFC 3261 13.2.1: an answer in a 183 without 100rel is a preview; the 2xx repeats it."""
    heard: list[bytes] = []

    async def work(server: Any, uri: str) -> None:
        def progress(call: Any, response: Any, now: float) -> None:
            heard.append(response.body)

        call = await server.act("invite", uri=uri, sdp=OFFER, on_progress=progress)
        await hang_up(server, call)

    scenario = Play().recv("INVITE").answer("183 Session Progress", body=SDP).pause(100)
    scenario.answer("200 OK", body=SDP).recv("ACK").recv("BYE").ok()
    play(tmp_path, scenario, work)
    assert [b"m=audio 40000" in body for body in heard] == [True]


def test_glare(tmp_path: Path) -> None:
    """RFC 3261 14.1, 14.2: two re-INVITEs cross: both get 491, and ours comes again after 2.1 s or more."""

    async def work(server: Any, uri: str) -> None:
        call = await server.act("invite", uri=uri, sdp=OFFER)
        assert (await server.act("hold", call.number)).status == 200
        await hang_up(server, call)

    scenario = (
        Play()
        .recv("INVITE")
        .answer("200 OK", body=SDP)
        .recv("ACK")
        .recv("INVITE")
        .request("INVITE", body=SDP, tag="")
        .recv(491)
        .ack()
        .again("491 Request Pending")
        .recv("ACK")
        .pause(1800)
        .recv("INVITE")
        .again("200 OK", body=SDP)
        .recv("ACK")
        .recv("BYE")
        .ok()
    )
    play(tmp_path, scenario, work)


def test_the_callee_makes_the_offer(tmp_path: Path) -> None:
    """RFC 3261 13.2.1: without an offer of ours the 200 has one, and our ACK answers it."""

    class Answering(Handler):
        def answered_with_offer(self, call: Any, response: Any, now: float) -> None:
            call.acknowledge(ANSWER, now=now)

    async def work(server: Any, uri: str) -> None:
        call = await server.act("invite", uri=uri, handler=Answering())
        await hang_up(server, call)

    scenario = Play().recv("INVITE").answer("200 OK", body=SDP)
    play(tmp_path, scenario.recv("ACK", check=("Content-Type", "sdp")).recv("BYE").ok(), work)


def test_given_up(tmp_path: Path) -> None:
    """RFC 3261 9.1: no answer comes in time: CANCEL, and the 487 is acknowledged."""

    async def work(server: Any, uri: str) -> None:
        with pytest.raises(CallRefused):
            await server.act("invite", uri=uri, sdp=OFFER, within=1.0)

    scenario = Play().recv("INVITE").answer("180 Ringing").recv("CANCEL").ok()
    play(tmp_path, scenario.answer("487 Request Terminated", contact="").recv("ACK"), work)


def test_transfer(tmp_path: Path) -> None:
    """RFC 3515 2.4: REFER, 202, and what the NOTIFYs tell."""

    async def work(server: Any, uri: str) -> None:
        call = await server.act("invite", uri=uri, sdp=OFFER)
        assert await server.act("transfer", call.number, to="sip:carol@biloxi.test") == 200
        await hang_up(server, call)

    def notify(scenario: Play, state: str, line: str) -> None:
        fields = ["Event: refer", f"Subscription-State: {state}", "Content-Type: message/sipfrag;version=2.0"]
        scenario.notify(fields, line).recv(200)

    scenario = Play().recv("INVITE").answer("200 OK", body=SDP).recv("ACK")
    scenario.recv("REFER", check=("Refer-To", "<sip:carol@biloxi.test>")).ok("202 Accepted")
    notify(scenario, "active;expires=60", "SIP/2.0 100 Trying")
    notify(scenario, "terminated;reason=noresource", "SIP/2.0 200 OK")
    play(tmp_path, scenario.recv("BYE").ok(), work)
