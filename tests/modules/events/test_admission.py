"""Who may subscribe: strangers, forged Contacts, passwords."""

from __future__ import annotations

from sansip.auth import AuthConfig
from sansip.module import Use
from sansip.modules.events import (
    Events,
)
from tests.modules.events.weather import Reports, Stored, bench, watcher
from tests.rig import only


def test_strangers() -> None:
    """A sender that has proved nothing gets 403, no NOTIFY, and is not remembered."""
    rig = bench(open=False)
    one = watcher(rig)
    assert one.subscribe(600) == 403
    assert one.notifies == []
    rig.run_out()
    assert rig.empty


def test_a_forged_contact() -> None:
    """A stranger's NOTIFYs go where its SUBSCRIBE came from, whatever its Contact and Record-Route say."""
    rig = bench()
    one = watcher(
        rig, contact="<sip:victim@198.51.100.7>", headers=[("Record-Route", "<sip:198.51.100.8;lr>")]
    )
    one.subscribe(600)
    notify = only(rig.log, "NOTIFY")
    assert notify.to == one.source


def test_passwords() -> None:
    """RFC 6665 4.2.1.3: a user of ours is asked by a 401, never a 407."""
    rig = Stored(modules=[Use(Events), Use(Reports)], auth=AuthConfig(), users=lambda lookup: None)
    rig.take(rig.stack.time_passed(rig.now))
    one = watcher(rig)
    assert one.subscribe(600) == 401
    assert one.response is not None
    assert one.response.has("www-authenticate")
