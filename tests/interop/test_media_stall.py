"""The only rtpengine stands still for a second under load, as on a busy machine: who pays for it."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.interop.media_phone import MediaPhone
from tests.interop.rtpengine import Rtpengine
from tests.interop.siege import LOCAL, Siege
from tests.interop.test_media import DOMAIN, config
from tests.interop.test_module_calls import ctl
from tests.interop.test_sipp import OWN
from tools.peers import Sipp, free_port

pytestmark = [pytest.mark.needs("rtpengine", "sipp"), pytest.mark.timeout(120)]


@pytest.mark.parametrize("seconds", [0.7, 1.2])
def test_stopped_under_load(seconds: float, tmp_path: Path) -> None:
    """50 media calls/s, and SIGSTOP: a call fails if it waited for its deadline, or began in what is left.

    Before, all calls of two seconds failed: those that waited when the first one gave up, and those that
    began until the relay's rest was over.
    """
    with ExitStack() as stack:
        relay = stack.enter_context(Rtpengine(tmp_path))
        siege = stack.enter_context(Siege(tmp_path, domain=DOMAIN, config=config([relay])))
        place = siege.address("udp")
        uas = free_port()
        with MediaPhone("farm", DOMAIN, place) as desk:
            desk.contact = f"<sip:farm@{LOCAL}:{uas}>"
            desk.register()
        callee = stack.enter_context(
            Sipp(
                OWN / "s03_call_uas.xml", place, tmp_path, local=(LOCAL, uas), calls=10**6, domain=DOMAIN,
            )
        )  # fmt: skip
        callee.wait_until_bound()
        with siege.watched() as watch:
            caller = stack.enter_context(
                Sipp(
                    OWN / "s03_call_uac.xml", place, tmp_path, local=(LOCAL, free_port()), calls=250,
                    service="farm", domain=DOMAIN, options=["-r", "50"],
                )
            )  # fmt: skip
            time.sleep(1.5)
            relay.process.send_signal(signal.SIGSTOP)
            time.sleep(seconds)
            relay.process.send_signal(signal.SIGCONT)
            assert caller.wait(60) in (0, 1)
        refused = siege.log.count("no media relay for the call")
        over = max(0.0, seconds - 1.0)
        # With room for a machine that does other work.
        assert refused <= 2 * (over + 0.15) * 50
        assert watch.lost == 0
        assert ctl(tmp_path, "media.list")[0]["state"] == "up"
