"""NOTIFYs as octets are the NOTIFYs that would leave in the usual way, line by line."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.module import Use
from sansip.modules.events import Events, EventsSettings, notifying, telling, writing
from sansip.routing.trust import TrustedPeer
from tests.modules.events.weather import Reports, Stored, change
from tests.modules.watching import Watcher

ROUTES = [("Record-Route", "<sip:192.0.2.1:5060;lr>"), ("Record-Route", "<sip:192.0.2.9;lr>")]


def rig() -> Stored:
    return Stored(
        modules=[Use(Events, EventsSettings(open=True)), Use(Reports)], trusted=[TrustedPeer("192.0.2.0/24")]
    )


def told(headers: list[tuple[str, str]], contact: str, contacts: tuple[str, ...]) -> list[bytes]:
    """Play a subscription with a refresh by each of ``contacts``; return its NOTIFYs."""
    watcher = Watcher(rig(), event="weather", headers=headers, contact=contact)
    assert watcher.subscribe() == 200
    for one in contacts:
        watcher.contact = one
        assert watcher.subscribe() == 200
    watcher.wait(1.0)
    for word in ("rain", "J\u00fcrgen"):
        watcher.wait(6.0)
        change(watcher.rig, word, watcher)
    assert watcher.subscribe(0) == 200
    return [notify.to_bytes() for notify in watcher.notifies]


@pytest.mark.parametrize(
    ("headers", "contact", "contacts"),
    [
        ([], "", ()),
        ([], "", ("<sip:alice@192.0.2.1:5060>", "<sip:alice@192.0.2.1:5070>;expires=60")),
        (ROUTES, "", ()),
        ([("Event", "weather;id=a")], "<sip:alice@192.0.2.1:5060;ob;x=%20y>", ()),
        ([], '"J\u00fcrgen" <sip:alice@192.0.2.1:5060;method=INVITE?Subject=x>', ()),
        ([], "<sip:alice@192.0.2.1:5060;transport=udp>", ()),
    ],
)
def test_the_same_octets(
    headers: list[tuple[str, str]], contact: str, contacts: tuple[str, ...], monkeypatch: Any
) -> None:
    """The quick way is another way to write, and says nothing else."""
    tell, took = telling.Telling.tell, []

    def seen(*given: Any) -> bool:
        took.append(tell(*given))
        return took[-1]

    monkeypatch.setattr(telling.Telling, "tell", seen)
    quick = told(headers, contact, contacts)
    # Parameters of Event may be rates.
    assert took.count(True) == (0 if headers and headers[0][0] == "Event" else 2)
    assert len(quick) == 4 + len(contacts)
    monkeypatch.setattr(telling.Telling, "tell", lambda *given: False)
    assert told(headers, contact, contacts) == quick
    monkeypatch.setattr(notifying, "send_octets", lambda *given: False)
    assert told(headers, contact, contacts) == quick


def test_what_is_not_written(monkeypatch: Any) -> None:
    """A watcher on a connection, or behind a name or a strict router, gets its NOTIFYs in the usual way."""
    sent = []
    send = writing.send_octets

    def seen(*given: Any) -> bool:
        sent.append(send(*given))
        return sent[-1]

    monkeypatch.setattr(notifying, "send_octets", seen)
    for contact, headers in (
        ("<sip:alice@phone.test>", []),
        ("<sip:alice@192.0.2.1;transport=tcp>", []),
        ("<sip:alice@192.0.2.1>", [("Record-Route", "<sip:192.0.2.1>")]),
    ):
        Watcher(rig(), event="weather", contact=contact, headers=headers).subscribe()
    assert sent == [False, False, False]
    Watcher(rig(), event="weather").subscribe()
    assert sent[3:] == [True]
