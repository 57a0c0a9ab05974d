"""Media through Debian's rtpengine: packets counted where they arrive, on both sides.

Theory of operation: the installed server with ``[media]``, the real relay in user space, and phones that send
RTP: baresip, SIPp's pcap play, and a phone of ours where a test must hold, fork or transfer to the packet. A
wire tap counts on the loopback interface, so a packet counts that a program could have heard.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.interop.baresip import Baresip
from tests.interop.media_phone import MediaPhone, Medium
from tests.interop.rtpengine import Rtpengine, Wiretap, rtp
from tests.interop.siege import LOCAL, WORST, Siege
from tests.interop.test_module_calls import ctl
from tests.interop.test_sipp import OWN
from tools.peers import Sipp, free_port

HERE = Path(__file__).parent
DOMAIN = "media.test"

pytestmark = [pytest.mark.needs("rtpengine"), pytest.mark.timeout(120)]


def config(
    relays: Sequence[Rtpengine], profiles: str = '"always"', more: str = "", *, calls: bool = False
) -> str:
    """A configuration with these relays; with the module ``calls`` as well."""
    tables = "".join(f'[[media.relays]]\nuri = "{one.uri}"\n' for one in relays)
    records = "[calls]\n" if calls else ""
    return f'control = "ctl.sock"\n{records}[media]\nprofiles = [{profiles}]\n{more}{tables}'


def talk(caller: MediaPhone, callee: MediaPhone) -> None:
    """Have ``caller`` call ``callee``, who answers; both send media."""
    caller.invite(callee.aor, caller.sdp())
    invite = callee.expect("INVITE")
    callee.listen_to(invite.body)
    callee.answer(invite, "200 OK", callee.sdp())
    ok = caller.expect("200")
    caller.listen_to(ok.body)
    caller.established(ok)
    callee.expect("ACK")


def hear_each_other(one: MediaPhone, other: MediaPhone, count: int = 25) -> None:
    """Both hear so many more packets of each other."""
    for phone, peer in ((one, other), (other, one)):
        phone.audio.wait(phone.audio.heard[peer.audio.ssrc] + count, peer.audio.ssrc)


def hear_somebody(*phones: MediaPhone, count: int = 25) -> None:
    """All hear so many more packets, of any stream."""
    before = [phone.audio.heard.total() for phone in phones]
    deadline = time.monotonic() + 8
    for phone, had in zip(phones, before, strict=True):
        while phone.audio.heard.total() < had + count:
            assert time.monotonic() < deadline, phone.audio.heard
            time.sleep(0.02)


@pytest.mark.parametrize("websocket", [False, True], ids=["udp", "websocket"])
def test_both_ways(websocket: bool, tmp_path: Path) -> None:
    """A call, hold, resume and the end: each side hears the other over the relay alone."""
    with ExitStack() as stack:
        relay = stack.enter_context(Rtpengine(tmp_path, websocket=websocket))
        siege = stack.enter_context(Siege(tmp_path, domain=DOMAIN, config=config([relay])))
        alice, bob = (
            stack.enter_context(MediaPhone(name, DOMAIN, siege.address("udp"))) for name in ("alice", "bob")
        )
        for phone in (alice, bob):
            phone.register()
        talk(alice, bob)
        for phone in (alice, bob):
            assert phone.audio.remote is not None
            assert relay.has(phone.audio.remote[1])
        hear_each_other(alice, bob)
        assert relay.sessions == 1
        # Its HTTP listener tells what it is.
        version = ctl(tmp_path, "media.list")[0]["version"]
        assert bool(version) == websocket
        # Hold: Bob still hears, and Alice does not (RFC 3264 8.4).
        alice.within("INVITE", alice.sdp("sendonly"))
        held = bob.expect("INVITE")
        assert "a=sendonly" in held.body
        bob.answer(held, "200 OK", bob.sdp("recvonly"))
        ok = alice.expect("200")
        alice.listen_to(ok.body)
        alice.established(ok)
        bob.expect("ACK")
        # RFC 3264 6.1: what is recvonly sends nothing.
        bob.audio.remote = None
        time.sleep(0.2)
        before = alice.audio.heard[bob.audio.ssrc]
        bob.audio.wait(bob.audio.heard[alice.audio.ssrc] + 25, alice.audio.ssrc)
        assert alice.audio.heard[bob.audio.ssrc] == before
        # And on, asked for by the other side.
        alice.within("INVITE", alice.sdp())
        resumed = bob.expect("INVITE")
        bob.listen_to(resumed.body)
        bob.answer(resumed, "200 OK", bob.sdp())
        ok = alice.expect("200")
        alice.listen_to(ok.body)
        alice.established(ok)
        bob.expect("ACK")
        hear_each_other(alice, bob)
        assert (
            ctl(tmp_path, "media.query", f"id={ctl(tmp_path, 'media.calls')[0]['id']}")["totals"]["RTP"][
                "packets"
            ]
            > 100
        )
        alice.within("BYE")
        bob.answer(bob.expect("BYE"), "200 OK")
        alice.expect("200")
        relay.wait_until_empty()


@pytest.mark.parametrize(("first", "second"), [("127.0.0.1", "::1"), ("::1", "127.0.0.1"), ("::1", "::1")])
def test_families(first: str, second: str, tmp_path: Path) -> None:
    """`ipv4-ipv6`: each side gets an address of its own family; where both have one, no relay."""
    with ExitStack() as stack:
        relay = stack.enter_context(Rtpengine(tmp_path, addresses=(LOCAL, "::1")))
        port = free_port()
        listen = f'listen = ["udp:{LOCAL}:{port}", "udp:[::1]:{port}"]\n'
        siege = stack.enter_context(
            Siege(tmp_path, domain=DOMAIN, config=listen + config([relay], '"ipv4-ipv6"'), transports=())
        )
        del siege
        alice = stack.enter_context(MediaPhone("alice", DOMAIN, (first, port), host=first))
        bob = stack.enter_context(MediaPhone("bob", DOMAIN, (second, port), host=second))
        for phone in (alice, bob):
            phone.register()
        talk(alice, bob)
        hear_each_other(alice, bob)
        assert relay.sessions == (first != second)


def test_a_fork(tmp_path: Path) -> None:
    """Two phones ring with ports of their own; the winner talks, and the loser's ports are gone."""
    with ExitStack() as stack:
        relay = stack.enter_context(Rtpengine(tmp_path))
        siege = stack.enter_context(Siege(tmp_path, domain=DOMAIN, config=config([relay])))
        place = siege.address("udp")
        alice = stack.enter_context(MediaPhone("alice", DOMAIN, place))
        both = [stack.enter_context(MediaPhone("bob", DOMAIN, place)) for _ in range(2)]
        for phone in (alice, *both):
            phone.register()
        alice.invite(both[0].aor, alice.sdp())
        invites = [phone.expect("INVITE") for phone in both]
        for phone, invite in zip(both, invites, strict=True):
            phone.listen_to(invite.body)
            phone.answer(invite, "180 Ringing")
        for _ in both:
            alice.expect("180")
        assert both[0].audio.remote != both[1].audio.remote
        winner, loser = both
        used = relay.ask(command="statistics")["statistics"]["interfaces"][0]["ports"]["used"]
        winner.answer(invites[0], "200 OK", winner.sdp())
        ok = alice.expect("200")
        alice.listen_to(ok.body)
        alice.established(ok)
        winner.expect("ACK")
        cancel = loser.expect("CANCEL")
        loser.answer(cancel, "200 OK")
        loser.answer(invites[1], "487 Request Terminated")
        hear_each_other(alice, winner)
        deadline = time.monotonic() + 5
        while (
            left := relay.ask(command="statistics")["statistics"]["interfaces"][0]["ports"]["used"]
        ) >= used:
            assert time.monotonic() < deadline, (left, used)
            time.sleep(0.05)
        assert relay.sessions == 1


@pytest.mark.parametrize("strict", [True, False])
def test_a_third_host_is_not_heard(strict: bool, tmp_path: Path) -> None:
    """RTP inject and bleed: another address sends to both ports of the relay; with the default none passes.

    This rtpengine is told to learn from the first packet alone by its own option; newer ones hear it from us.
    """
    with ExitStack() as stack:
        relay = stack.enter_context(Rtpengine(tmp_path, options=["--endpoint-learning=immediate"]))
        more = "" if strict else "strict_source = false\n"
        siege = stack.enter_context(Siege(tmp_path, domain=DOMAIN, config=config([relay], more=more)))
        alice, bob = (
            stack.enter_context(MediaPhone(name, DOMAIN, siege.address("udp"))) for name in ("alice", "bob")
        )
        for phone in (alice, bob):
            phone.register()
        talk(alice, bob)
        hear_each_other(alice, bob, 10)
        tap = stack.enter_context(Wiretap())
        eve = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        eve.bind(("127.0.0.9", 0))
        places = [phone.audio.remote for phone in (alice, bob)]
        heard = eve.getsockname()[1]
        for number in range(150):
            for place in places:
                assert place is not None
                eve.sendto(rtp(number, 0xE7E), place)
            time.sleep(0.01)
        hear_each_other(alice, bob)
        assert (tap.ssrc(0xE7E, relay) == 0) is strict
        assert (alice.audio.heard[0xE7E] == bob.audio.heard[0xE7E] == 0) is strict
        # RTP bleed: nothing of the call goes to her either.
        assert tap.to(heard) == 0


@pytest.mark.needs("sipp")
def test_sipp_plays(tmp_path: Path) -> None:
    """SIPp plays a capture, and its other end echoes: the packets come through the relay, both ways."""
    with ExitStack() as stack:
        relay = stack.enter_context(Rtpengine(tmp_path))
        siege = stack.enter_context(Siege(tmp_path, domain=DOMAIN, config=config([relay])))
        place = siege.address("udp")
        ports = {"caller": 19_700, "callee": 19_800}
        uas = free_port()
        with MediaPhone("echo", DOMAIN, place) as desk:
            desk.contact = f"<sip:echo@{LOCAL}:{uas}>"
            desk.register()
        tap = stack.enter_context(Wiretap())
        callee = stack.enter_context(
            Sipp(
                HERE / "scenarios" / "media_uas.xml", place, tmp_path, local=(LOCAL, uas), domain=DOMAIN,
                options=["-rtp_echo", "-mp", str(ports["callee"])],
            )
        )  # fmt: skip
        callee.wait_until_bound()
        caller = stack.enter_context(
            Sipp(
                HERE / "scenarios" / "media_uac.xml", place, tmp_path, local=(LOCAL, free_port()),
                service="echo", domain=DOMAIN, options=["-mp", str(ports["caller"])],
            )
        )  # fmt: skip
        caller.succeed(60)
        callee.succeed(10)
        time.sleep(0.3)
        out, into = tap.between(relay)
        assert into[ports["caller"]] > 200
        assert out[ports["callee"]] >= into[ports["caller"]] * 0.9
        assert out[ports["caller"]] >= out[ports["callee"]] * 0.9
        relay.wait_until_empty()


@pytest.mark.needs("baresip")
def test_baresip(tmp_path: Path) -> None:
    """Two baresips talk, one holds and resumes, and then transfers the other to a third: it is heard."""
    with ExitStack() as stack:
        relay = stack.enter_context(Rtpengine(tmp_path))
        siege = stack.enter_context(Siege(tmp_path, domain=DOMAIN, config=config([relay])))
        place = siege.address("udp")
        alice, bob, carol = (
            stack.enter_context(Baresip(tmp_path / name, name, DOMAIN, place, "udp"))
            for name in ("alice", "bob", "carol")
        )
        for phone in (alice, bob, carol):
            phone.wait_until_registered()
        alice.call(bob)
        flows(relay, 2)
        bob.command("hold")
        time.sleep(0.5)
        bob.command("resume")
        flows(relay, 2)
        bob.command("transfer", carol.aor)
        carol.wait_for("CALL_INCOMING")
        carol.command("accept")
        carol.wait_for("CALL_ESTABLISHED")
        flows(relay, 2)
        alice.command("hangup")
        carol.wait_for("CALL_CLOSED")
        relay.wait_until_empty()


def flows(relay: Rtpengine, sides: int, packets: int = 25) -> None:
    """Wait until so many ports get packets of the relay, and it gets theirs."""
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        with Wiretap() as tap:
            time.sleep(1.0)
        out, into = tap.between(relay)
        if (
            sum(count >= packets for count in out.values()) >= sides
            and sum(c >= packets for c in into.values()) >= sides
        ):
            return
    raise AssertionError(f"out {dict(out)}, in {dict(into)}")


@pytest.mark.needs("sipp")
def test_killed_under_load(tmp_path: Path) -> None:
    """50 media calls/s over two relays, one is killed: each call goes on, and nobody else waits.

    The callers of those describe themselves by IPv6, so their calls need a relay. The calls of two phones
    beside them need none, and are not late while the relay dies.
    """
    with ExitStack() as stack:
        relays = [stack.enter_context(Rtpengine(tmp_path, addresses=(LOCAL, "::1"))) for _ in range(2)]
        settings = config(relays, '"ipv4-ipv6"')
        siege = stack.enter_context(Siege(tmp_path, domain=DOMAIN, config=settings))
        place = siege.address("udp")
        uas = free_port()
        with MediaPhone("farm", DOMAIN, place) as desk:
            desk.contact = f"<sip:farm@{LOCAL}:{uas}>"
            desk.register()
        alice, bob = (stack.enter_context(MediaPhone(name, DOMAIN, place)) for name in ("alice", "bob"))
        for phone in (alice, bob):
            phone.register()
        callee = stack.enter_context(
            Sipp(
                OWN / "s03_call_uas.xml", place, tmp_path, local=(LOCAL, uas), calls=400,
                domain=DOMAIN,
            )
        )  # fmt: skip
        callee.wait_until_bound()
        six = tmp_path / "uac.xml"
        six.write_text((OWN / "s03_call_uac.xml").read_text().replace("IN IP4 [local_ip]", "IN IP6 ::1"))
        with siege.watched() as watch:
            caller = stack.enter_context(
                Sipp(
                    six, place, tmp_path, local=(LOCAL, free_port()), calls=400,
                    service="farm", domain=DOMAIN, options=["-r", "50"],
                )
            )  # fmt: skip
            time.sleep(3)
            relays[0].process.kill()
            # Until well after the deadline of the commands that waited when it died.
            took = plain_calls(alice, bob, 2.5)
            caller.succeed(60)
        callee.succeed(10)
        rows = {row["uri"]: row for row in ctl(tmp_path, "media.list")}
        assert [rows[one.uri]["state"] for one in relays] == ["down", "up"]
        # The pings are ten at the most.
        assert all(rows[one.uri]["commands"] > 20 for one in relays), rows
        assert watch.lost == 0
        assert f"media relay {relays[0].uri} is down" in siege.log
        # A call that waits for a relay waits for 1 s (``media.deadline``) here.
        late = sorted(took)[round(0.99 * (len(took) - 1))]
        sys.stdout.write(f"{len(took)} plain calls, p99 of the 200: {late * 1000:.0f} ms\n")
        assert late < WORST


def plain_calls(alice: MediaPhone, bob: MediaPhone, seconds: float) -> list[float]:
    """Have ``alice`` call ``bob`` again and again, without a relay; return how long each 200 took."""
    took = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        begun = time.monotonic()
        alice.invite(bob.aor, alice.sdp())
        invite = bob.expect("INVITE")
        assert f"m=audio {alice.audio.port} " in invite.body
        bob.answer(invite, "200 OK", bob.sdp())
        ok = alice.expect("200")
        took.append(time.monotonic() - begun)
        alice.established(ok)
        bob.expect("ACK")
        alice.within("BYE")
        bob.answer(bob.expect("BYE"), "200 OK")
        alice.expect("200")
    return took


def test_recorded_and_digits(tmp_path: Path) -> None:
    """An operator has a call recorded, digits played into it, and digits of the phones blocked."""
    route = tmp_path / "route.py"
    route.write_text(
        "from sansip.modules.media import Media\n"
        "from sansip.routing import IncomingRequest\n"
        "from sansip.routing.default import route as default_route\n\n\n"
        "async def route(request: IncomingRequest, media: Media) -> None:\n"
        "    if request.method == 'INVITE' and not request.in_dialog:\n"
        "        media.relay(request, flags=['inject-DTMF'])\n"
        "    await default_route(request)\n"
    )
    with ExitStack() as stack:
        relay = stack.enter_context(Rtpengine(tmp_path))
        siege = stack.enter_context(
            Siege(tmp_path, domain=DOMAIN, config=config([relay], ""), options=["--route", str(route)])
        )
        alice, bob = (
            stack.enter_context(MediaPhone(name, DOMAIN, siege.address("udp"))) for name in ("alice", "bob")
        )
        for phone in (alice, bob):
            phone.register()
        talk(alice, bob)
        # With digits to be played the relay makes streams of its own.
        hear_somebody(alice, bob)
        (row,) = ctl(tmp_path, "media.calls")
        assert ctl(tmp_path, "media.record", f"id={row['id']}")["recording"] is True
        hear_somebody(alice, bob, count=50)
        ctl(tmp_path, "media.dtmf", f"id={row['id']}", "digit=5")
        ctl(tmp_path, "media.block_dtmf", f"id={row['id']}")
        ctl(tmp_path, "media.record", f"id={row['id']}", "on=false")
        alice.within("BYE")
        bob.answer(bob.expect("BYE"), "200 OK")
        alice.expect("200")
        relay.wait_until_empty()
        (capture,) = (tmp_path / "pcaps").glob("*.pcap")
        # At the least 20 packets of 172 octets of each side.
        assert capture.stat().st_size > 2 * 20 * 172


def test_video(tmp_path: Path) -> None:
    """H.264 passes beside the sound, both ways, with its parameters and feedback lines as they were."""
    with ExitStack() as stack:
        relay = stack.enter_context(Rtpengine(tmp_path))
        siege = stack.enter_context(Siege(tmp_path, domain=DOMAIN, config=config([relay])))
        place = siege.address("udp")
        alice, bob = (
            stack.enter_context(MediaPhone(name, DOMAIN, place, video=True)) for name in ("alice", "bob")
        )
        for phone in (alice, bob):
            phone.register()
        alice.invite(bob.aor, alice.sdp())
        invite = bob.expect("INVITE")
        for line in (
            "a=rtpmap:96 H264/90000",
            "a=fmtp:96 profile-level-id=42e01f;packetization-mode=1",
            "a=rtcp-fb:96 nack pli",
        ):
            assert line in invite.body
        bob.listen_to(invite.body)
        bob.answer(invite, "200 OK", bob.sdp())
        ok = alice.expect("200")
        alice.listen_to(ok.body)
        alice.established(ok)
        bob.expect("ACK")
        hear_each_other(alice, bob)
        pairs: list[tuple[Medium | None, Medium | None]] = [
            (alice.video, bob.video),
            (bob.video, alice.video),
        ]
        for one, other in pairs:
            assert one is not None
            assert other is not None
            assert one.remote is not None
            assert relay.has(one.remote[1])
            one.wait(25, other.ssrc)
