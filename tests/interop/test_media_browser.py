"""A browser and a classic phone hear each other: Chromium with JsSIP, Debian's rtpengine, and RTP counted.

Theory of operation: the profile `webrtc` alone is configured, so the relay is there because one side is a
browser. Chromium's fake microphone beeps; the page reads its own statistics (getStats) and posts how many
packets came; the phone counts its own; the wire tap shows that they passed the relay.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.interop.media_phone import MediaPhone
from tests.interop.rtpengine import Rtpengine, Wiretap
from tests.interop.siege import Siege
from tests.interop.test_browser import Page, chromium
from tests.interop.test_browser import script as script
from tests.interop.test_media import config, flows
from tests.interop.test_module_calls import ctl

DOMAIN = "media.test"

pytestmark = [pytest.mark.needs("rtpengine", "chromium", "npm"), pytest.mark.timeout(180)]


@pytest.mark.parametrize("caller", ["browser", "phone"])
def test_heard_on_both_sides(caller: str, script: bytes, tmp_path: Path) -> None:
    """ICE and DTLS-SRTP at the browser, plain RTP at the phone, in calls of both; then no call is left."""
    with ExitStack() as stack:
        relay = stack.enter_context(Rtpengine(tmp_path))
        siege = stack.enter_context(Siege(tmp_path, domain=DOMAIN, config=config([relay], '"webrtc"')))
        url = "ws://{}:{}/".format(*siege.address("ws"))
        desk = stack.enter_context(MediaPhone("desk", DOMAIN, siege.address("udp")))
        desk.register()
        page = stack.enter_context(Page(script))
        asked = {"library": "sound", "server": url, "aor": f"sip:web@{DOMAIN}"}
        stack.enter_context(chromium(page.url(**asked), tmp_path))
        page.expect("registered")
        tap = stack.enter_context(Wiretap())
        if caller == "browser":
            page.calls.put(desk.aor)
            invite = desk.expect("INVITE", 30)
            # Nothing of ICE and DTLS is left for a phone that knows neither.
            assert "RTP/AVP " in invite.body
            assert "a=candidate" not in invite.body
            assert "a=fingerprint" not in invite.body
            desk.listen_to(invite.body)
            desk.answer(invite, "180 Ringing")
            desk.answer(invite, "200 OK", desk.sdp())
            desk.expect("ACK", 30)
        else:
            desk.invite(f"sip:web@{DOMAIN}", desk.sdp())
            ok = desk.expect("180", 30)
            ok = desk.expect("200", 30)
            assert "RTP/AVP " in ok.body
            assert "a=fingerprint" not in ok.body
            desk.listen_to(ok.body)
            desk.established(ok)
        page.expect("confirmed")
        # The browser's own count of what came, out of the decrypted stream.
        assert int(page.expect("heard")) >= 50
        relayed = [ssrc for ssrc, count in desk.audio.heard.items() if count >= 25]
        assert len(relayed) == 1
        assert tap.ssrc(relayed[0], relay) >= 25
        assert relay.sessions == 1
        desk.within("BYE")
        desk.expect("200", 30)
        page.expect("ended")
        relay.wait_until_empty()


def test_a_browser_moves(script: bytes, tmp_path: Path) -> None:
    """``media.move``: by our re-INVITE the browser takes the other relay's certificate and candidates."""
    with ExitStack() as stack:
        relays = [stack.enter_context(Rtpengine(tmp_path)) for _ in range(2)]
        settings = config(relays, '"webrtc"', calls=True)
        siege = stack.enter_context(Siege(tmp_path, domain=DOMAIN, config=settings))
        url = "ws://{}:{}/".format(*siege.address("ws"))
        desk = stack.enter_context(MediaPhone("desk", DOMAIN, siege.address("udp")))
        desk.register()
        page = stack.enter_context(Page(script))
        asked = {"library": "sound", "server": url, "aor": f"sip:web@{DOMAIN}"}
        stack.enter_context(chromium(page.url(**asked), tmp_path))
        page.expect("registered")
        desk.invite(f"sip:web@{DOMAIN}", desk.sdp())
        desk.expect("180", 30)
        ok = desk.expect("200", 30)
        desk.listen_to(ok.body)
        desk.established(ok)
        page.expect("confirmed")
        assert int(page.expect("heard")) >= 50
        (row,) = ctl(tmp_path, "media.calls")
        old, new = sorted(relays, key=lambda one: one.uri != row["relay"])
        with ThreadPoolExecutor(1) as threads:
            moving = threads.submit(ctl, tmp_path, "media.move", f"id={row['id']}")
            invite = desk.expect("INVITE", 30)
            assert "a=fingerprint" not in invite.body
            desk.listen_to(invite.body)
            assert desk.audio.remote is not None
            assert new.has(desk.audio.remote[1])
            desk.answer(invite, "200 OK", desk.sdp())
            desk.expect("ACK", 30)
            assert moving.result(30)["relay"] == new.uri
        # Both get packets of the new relay, and it gets theirs.
        flows(new, 2)
        old.wait_until_empty()
        desk.within("BYE")
        desk.expect("200", 30)
        page.expect("ended")
        new.wait_until_empty()
