"""Where rows end with the process, nobody would read those of subscriptions and publications."""

from __future__ import annotations

from sansip.module import Use
from sansip.modules.documents import Documents
from sansip.modules.events import Events, EventsSettings
from sansip.modules.presence import Presence, PresenceSettings
from sansip.modules.publications import Publications, PublicationsSettings
from sansip.wire import Response
from tests.modules.events.weather import Stored
from tests.modules.watching import Watcher
from tests.rig import ALICE, request


def played(keeps: bool) -> tuple[list[bytes], int]:
    """Return what leaves while one watches and one publishes, and how many questions the store gets."""
    rig = Stored(
        modules=[
            Use(Documents),
            Use(Events, EventsSettings(open=True)),
            Use(Presence, PresenceSettings(interval=0.0)),
            Use(Publications, PublicationsSettings(open=True)),
        ],
        wall_offset=1_000_000.0,
        keeps_rows=keeps,
    )
    rig.take(rig.stack.time_passed(rig.now))
    before = rig.questions
    watcher = Watcher(rig)
    sent: list[bytes] = []
    tag = ""

    def publish(cseq: int, basic: str, expires: int = 100) -> None:
        nonlocal tag
        headers = [("Event", "presence"), ("Expires", str(expires)), ("Content-Type", "application/pidf+xml")]
        headers += [("SIP-If-Match", tag)] if tag else []
        body = (
            f'<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:bob@biloxi.test"><tuple id="a">'
            f"<status><basic>{basic}</basic></status></tuple></presence>"
        ).encode()
        data = request(
            "PUBLISH",
            "sip:bob@biloxi.test",
            branch=f"z9hG4bKp{cseq}",
            call_id="p",
            cseq=cseq,
            headers=headers,
            body=body,
        )
        outs = rig.udp(data, ALICE)
        sent.extend(out.data for out in outs)
        watcher.take(outs)
        answers = [out.message for out in outs if isinstance(out.message, Response)]
        tag = answers[0].get("sip-etag") or ""

    assert watcher.subscribe() == 200
    for cseq, basic in enumerate(("open", "closed", "open"), 1):
        publish(cseq, basic)
        assert watcher.subscribe() == 200
        watcher.wait(10.0)
    # It ends by its time, another is taken away; the subscription ends.
    watcher.wait(200.0)
    tag = ""
    publish(4, "open")
    publish(5, "open", 0)
    assert watcher.subscribe(0) == 200
    watcher.wait(5_000.0)
    assert len(rig.stack.modules.get(Events)) == len(rig.stack.modules.get(Publications)) == 0
    return [*sent, *(one.to_bytes() for one in watcher.notifies)], rig.questions - before


def test_the_same_octets_and_no_question() -> None:
    """A refresh, a publication and their ends say the same; the store hears of none."""
    kept, asked = played(True)
    quick, none = played(False)
    assert quick == kept
    assert (asked > 10, none) == (True, 0)
    assert sum(b"NOTIFY " in one[:7] for one in quick) >= 10
