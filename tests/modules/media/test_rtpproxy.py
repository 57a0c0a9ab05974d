"""rtpproxy: a line for each medium, and nothing in a peer's words adds one."""

from __future__ import annotations

import pytest

from sansip.events import ModuleFailed
from sansip.modules.media import CallUnrelayed
from tests.modules.media.rig import FIRST, SDP, TYPE, MediaRig, answer_sdp
from tests.relays import Proxy
from tests.rig import BOB, only, reply, what


def test_rtpproxy() -> None:
    """Each medium has its line and its port; the branch is part of the call's name (kamailio.md 10.4)."""
    proxy = Proxy()
    rig = MediaRig({FIRST: proxy})
    body = SDP + b"a=rtcp:4001\r\nm=video 4002 RTP/AVP 31\r\nm=image 0 udptl t38\r\n"
    invite = only(rig.invite(body=body), "INVITE")
    made = invite.message.body
    assert b"m=audio 35000 " in made
    assert b"m=video 35002 " in made
    assert b"m=image 0 " in made
    assert b"a=rtcp:35001" in made
    assert made.count(b"c=IN IP4 203.0.113.6") == 2
    (call,) = proxy.calls
    assert proxy.commands[0] == f"Uc0,8 {call} 192.0.2.1 4000 t0;1"
    assert proxy.commands[1] == f"Uc31 {call} 192.0.2.1 4002 t0;2"
    ok = only(rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp()), BOB), "200")
    assert proxy.commands[2] == f"Lc0,8 {call} 192.0.2.2 5000 t0;1 bob;1"
    assert b"203.0.113.6" in ok.message.body
    rig.within("ACK")
    again = only(rig.within("INVITE", body=SDP, cseq=2), "INVITE")
    assert proxy.commands[3] == f"Uc0,8 {call} 192.0.2.1 4000 t0;1 bob;1"
    rig.udp(reply(again, 200, headers=TYPE, body=answer_sdp()), BOB)
    rig.within("ACK", cseq=2)
    rig.udp(reply(only(rig.within("BYE", cseq=3), "BYE"), 200), BOB)
    assert proxy.commands[-1].startswith(f"D {call} ")
    assert proxy.calls == set()


def test_the_fake_keeps_to_the_protocol() -> None:
    """kamailio.md 10.4, word by word: Debian 12 has no rtpproxy, so the fake is all that speaks it."""
    proxy = Proxy("203.0.113.5")
    told = [
        ("Uc0,8,101 call-id 10.0.0.1 20000 fromtag;1", "35000 203.0.113.5"),
        ("L call-id 10.0.0.2 20002 fromtag;1 totag;1", "35002 203.0.113.5"),
        ("V", "20040107"),
        ("VF 20071218", "1"),
        ("VF 20990101", "0"),
        ("D call-id fromtag totag", "0"),
        # A session that it does not have, an address that is none of the command's family, and other faults.
        ("L call-id 10.0.0.2 20002 fromtag;1 totag;1", "E8"),
        ("U call-id ::1 20000 fromtag;1", "E1"),
        ("U6 call-id ::1 20000 fromtag;1", "35004 203.0.113.5"),
        ("U call-id 10.0.0.1 0 fromtag;1", "E1"),
        ("L call-id 10.0.0.2 20002 fromtag;1", "E1"),
        ("U call-id 10.0.0.1 20000 fromtag", "E1"),
        ("D call-id", "E1"),
        ("X call-id", "E1"),
    ]
    for number, (line, reply_) in enumerate(told):
        assert proxy.answer(f"{number} {line}".encode()) == [f"{number} {reply_}".encode()], line


def test_an_old_rtpproxy() -> None:
    """One that does not know payload types gets none (``VF 20081102``)."""
    proxy = Proxy()
    proxy.latest = "20071218"
    rig = MediaRig({FIRST: proxy})
    only(rig.invite(), "INVITE")
    (call,) = proxy.calls
    assert proxy.commands == [f"U {call} 192.0.2.1 4000 t0;1"]


@pytest.mark.parametrize("mood", ["nonsense", "error", "gone", "garbage"])
def test_a_bad_rtpproxy(mood: str) -> None:
    """It costs the call its time-out at the most, and the call is refused."""
    proxy = Proxy()
    proxy.mood = mood
    rig = MediaRig({FIRST: proxy})
    rig.invite()
    rig.wait(1.1)
    assert "503" in what(rig.log)


@pytest.mark.parametrize("line", [b"m=video 99999 RTP/AVP 31\r\n", b"m=x\r\n", b"m=a 1 b c\r\nc=IN x\r\n"])
def test_a_medium_that_rtpproxy_cannot_have(line: bytes) -> None:
    """A malformed medium behind a good one: the call gets no relay, and no relay or module a bad name."""
    proxy = Proxy()
    rig = MediaRig({FIRST: proxy})
    rig.invite(body=SDP + line)
    assert "503" in what(rig.log)
    assert not [line for line in proxy.commands if line[0] in "UL"]
    assert not [event for event in rig.events if isinstance(event, ModuleFailed)]
    assert rig.command("media.list")[0]["state"] == "up"
    rig = MediaRig({FIRST: Proxy()})
    invite = only(rig.invite(), "INVITE")
    rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp() + line), BOB)
    assert not [event for event in rig.events if isinstance(event, ModuleFailed)]
    assert "hung up" in str([event for event in rig.events if isinstance(event, CallUnrelayed)])


def test_tags_cannot_add_words() -> None:
    """A tag from a stranger with a semicolon or a blank stays one word of rtpproxy's line."""
    proxy = Proxy()
    rig = MediaRig({FIRST: proxy})
    rig.invite(from_tag="a%3b1", call_id='c"1<x>')
    assert len(proxy.commands[0].split(" ")) == 5
    assert proxy.commands[0].count(";") == 1
