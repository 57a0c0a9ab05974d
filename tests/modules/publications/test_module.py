"""Publications against RFC 3903 6, step by step, on a virtual clock."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.auth import AuthConfig
from sansip.module import Module, Use
from sansip.modules.events import Events, EventsSettings
from sansip.modules.publications import Publications, PublicationsSettings, Publishing
from sansip.modules.publications.renewing import Renewing
from sansip.modules.publications.shelf import Shelf
from sansip.rows import MemoryRows
from sansip.testing import check_module
from sansip.wire import Response
from tests.modules.events.weather import Stored
from tests.rig import ALICE, Rig, request, what

BOB = "sip:bob@biloxi.test"


class Weather(Publishing):
    event = "weather"
    types = ("text/weather",)

    def __init__(self) -> None:
        self.told: list[str] = []

    def check(self, resource: str, type: str, body: bytes) -> Any:
        if body == b"bad":
            raise ValueError("no weather")
        return body.decode()

    def published(self, resource: str, now: float) -> None:
        self.told.append(resource)


class Reports(Module):
    name = "reports"
    requires = (Publications,)

    def start(self, core: Any, now: float) -> None:
        self.weather = Weather()
        core.module(Publications).add(self.weather, now)


def bench(rows: MemoryRows | None = None, now: float = 100.0, **settings: Any) -> Stored:
    settings.setdefault("open", True)
    rig = Stored(
        rows,
        modules=[
            Use(Events, EventsSettings(open=True)),
            Use(Publications, PublicationsSettings(**settings)),
            Use(Reports),
        ],
        now=now,
        wall_offset=1_000_000.0,
        secret=b"the same secret for every life",
    )
    rig.take(rig.stack.time_passed(rig.now))
    return rig


def state(rig: Rig) -> list[str]:
    """The documents published for Bob, the newest first."""
    return [one.document for one in rig.stack.modules.get(Publications).of("weather", BOB)]


def told(rig: Rig) -> list[str]:
    return rig.stack.modules.get(Reports).weather.told


_numbers = iter(range(1, 1_000_000))


def message(
    body: bytes = b"",
    etag: str | None = None,
    expires: int | None = 600,
    *,
    headers: Any = (),
    uri: str = BOB,
    type: str = "text/weather",
    event: str | None = "weather",
) -> bytes:
    fields = list(headers)
    if event is not None:
        fields.append(("Event", event))
    if etag is not None:
        fields.append(("SIP-If-Match", etag))
    if expires is not None:
        fields.append(("Expires", str(expires)))
    if body:
        fields.append(("Content-Type", type))
    number = next(_numbers)
    return request(
        "PUBLISH",
        uri,
        branch=f"z9hG4bKp{number}",
        call_id=f"p{number}",
        sender=f"<{BOB}>",
        to=f"<{uri}>",
        headers=fields,
        body=body,
    )


def publish(rig: Rig, *given: Any, **options: Any) -> Response:
    """Send a PUBLISH; return the answer."""
    (out,) = [one for one in rig.udp(message(*given, **options)) if isinstance(one.message, Response)]
    return out.message


def test_a_store_that_is_down_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was acknowledged is there as soon as the rows can be read."""
    rig = bench()
    publish(rig, b"sun")
    monkeypatch.setattr(MemoryRows, "answer", lambda self, question: OSError("down"))
    rig = bench(rig.rows, now=150.0)
    monkeypatch.undo()
    rig.wait(10)
    assert state(rig) == ["sun"]


def test_contract() -> None:
    """The contract of every module."""
    check_module(Publications, others=[Use(Events)])


def test_publish_refresh_modify_remove() -> None:
    """RFC 3903 6: each 200 has a new entity-tag and the time; watchers hear of new state alone."""
    rig = bench()
    first = publish(rig, b"sun")
    assert (first.status, first.expires) == (200, 600)
    assert state(rig) == ["sun"]
    tag = first.get("sip-etag")
    second = publish(rig, b"", tag, 900)
    # Step 6: a new one for each.
    assert second.status == 200
    assert second.get("sip-etag") not in (None, tag)
    assert told(rig) == [BOB], "a refresh is no new state"
    third = publish(rig, b"rain", second.get("sip-etag"))
    assert state(rig) == ["rain"]
    last = publish(rig, b"", third.get("sip-etag"), 0)
    assert (last.status, last.expires, state(rig)) == (200, 0, [])
    assert told(rig) == [BOB] * 3
    assert rig.rows.count(Publications.tables[0]) == 0


def test_several_devices() -> None:
    """Each initial PUBLISH is a publication of its own; the newest comes first, whatever is refreshed."""
    rig = bench()
    first = publish(rig, b"sun")
    rig.now += 1
    publish(rig, b"rain")
    publish(rig, b"", first.get("sip-etag"))
    assert state(rig) == ["rain", "sun"]


@pytest.mark.parametrize(
    ("options", "status", "field"),
    [
        ({"event": None}, 489, ("allow-events", "weather")),
        ({"event": "nothing"}, 489, ("allow-events", "weather")),
        ({"etag": "unknown"}, 412, None),
        ({"etag": "one, two"}, 400, None),
        ({"etag": ""}, 400, None),
        ({"expires": 10}, 423, ("min-expires", "60")),
        ({"body": b""}, 400, None),
        ({"body": b"bad"}, 400, None),
        ({"type": "image/png"}, 415, ("accept", "text/weather")),
        ({"headers": [("Content-Encoding", "gzip")]}, 415, ("accept-encoding", "identity")),
        ({"headers": [("Require", "magic")]}, 420, ("unsupported", "magic")),
        ({"body": b"x" * 16_385}, 413, None),
    ],
)
def test_refused(options: Any, status: int, field: Any) -> None:
    """RFC 3903 6 steps 2 to 5: the status of each fault; nothing is kept, nobody is told."""
    rig = bench()
    answer = publish(rig, options.pop("body", b"sun"), **options)
    assert answer.status == status
    if field is not None:
        assert answer.get(field[0]) == field[1]
    assert (state(rig), told(rig)) == ([], [])


def test_two_lines_of_if_match() -> None:
    """Step 3: two tags are invalid, on two lines as well."""
    rig = bench()
    tag = publish(rig, b"sun").get("sip-etag")
    assert publish(rig, b"rain", tag, headers=[("SIP-If-Match", "other")]).status == 400
    assert state(rig) == ["sun"]


def test_an_old_tag() -> None:
    """Step 3: a tag that was replaced is a 412, and so is one of another user."""
    rig = bench()
    tag = publish(rig, b"sun").get("sip-etag")
    publish(rig, b"rain", tag)
    assert publish(rig, b"snow", tag).status == 412
    assert publish(rig, b"snow", tag, uri="sip:carol@biloxi.test").status == 412
    assert state(rig) == ["rain"]


def test_the_longest() -> None:
    """Step 4: the server may choose less; without Expires it is the default."""
    rig = bench()
    assert publish(rig, b"sun", expires=10**9).expires == 7200
    assert publish(rig, b"sun", expires=None).expires == 3600


def test_nothing_for_no_time() -> None:
    """Step 5: with Expires 0 nothing is stored."""
    rig = bench()
    answer = publish(rig, b"sun", expires=0)
    assert (answer.status, answer.expires, state(rig)) == (200, 0, [])
    assert answer.has("sip-etag")


def test_it_expires() -> None:
    """RFC 3903 4.4: unless it is refreshed it ends, and watchers are told."""
    rig = bench()
    publish(rig, b"sun", expires=60)
    rig.wait(59)
    assert state(rig) == ["sun"]
    rig.wait(1)
    assert (state(rig), told(rig)) == ([], [BOB, BOB])
    assert rig.rows.count(Publications.tables[0]) == 0


def test_exactly_one_wins() -> None:
    """RFC 3903 6: of eight requests at once with one tag, one is processed and the others get 412."""
    rig = bench()
    tag = publish(rig, b"sun").get("sip-etag")
    rig.holds = True
    datagrams = [message(b"rain", tag) for _ in range(8)]
    answers = [out.what for data in datagrams for out in rig.udp(data)]
    answers += what(rig.release())
    assert sorted(answers) == ["200"] + ["412"] * 7
    assert state(rig) == ["rain"]


def test_nothing_is_acknowledged_that_is_not_stored() -> None:
    """Step 5: if the store fails the publication must not succeed, and the old one stays."""
    rig = bench()
    tag = publish(rig, b"sun").get("sip-etag")
    rig.broken = True
    assert publish(rig, b"rain", tag).status == 503
    assert publish(rig, b"rain").status == 503
    rig.broken = False
    assert state(rig) == ["sun"]
    assert publish(rig, b"rain", tag).status == 200


def test_a_restart() -> None:
    """An acknowledged publication is there in the next process, with its tag and its end."""
    rig = bench()
    tag = publish(rig, b"sun", expires=600).get("sip-etag")
    publish(rig, b"fog", expires=60)
    rig = bench(rig.rows, now=200.0)
    assert state(rig) == ["sun"]
    assert rig.rows.count(Publications.tables[0]) == 1
    assert publish(rig, b"rain", tag).status == 200
    assert state(rig) == ["rain"]
    rig.wait(601)
    assert state(rig) == []


@pytest.mark.parametrize(("limit", "status"), [("most", 503), ("most_of_user", 403)])
def test_limits(limit: str, status: int) -> None:
    """One publication too many is refused; the others can be refreshed."""
    rig = bench(**{limit: 2})
    answers = [publish(rig, b"sun") for _ in range(3)]
    assert [one.status for one in answers] == [200, 200, status]
    assert publish(rig, b"", answers[0].get("sip-etag")).status == 200


def test_strangers() -> None:
    """RFC 3903 14.1: a sender that proves nothing publishes nothing; users of ours are asked by a 401."""
    rig = bench(open=False)
    assert publish(rig, b"sun").status == 403
    modules = [Use(Events), Use(Publications), Use(Reports)]
    rig = Stored(modules=modules, auth=AuthConfig(), users=lambda lookup: None)
    rig.take(rig.stack.time_passed(rig.now))
    assert publish(rig, b"sun").status == 401


def test_other_domains_go_on() -> None:
    """RFC 3903 6 step 1: a PUBLISH for another domain is the route's business."""
    rig = bench()
    data = message(b"sun", uri="sip:bob@elsewhere.test")
    assert what(rig.udp(data, ALICE)) == ["403"], "the default route relays for nobody"


def test_the_operator_sees() -> None:
    """`publications.list` shows the publications."""
    rig = bench()
    publish(rig, b"sun")
    results: list[Any] = []
    rig.take(
        rig.stack.command(
            "publications.list", {"resource": BOB}, rig.now, lambda result, now: results.append(result)
        )
    )
    ((row,),) = results
    assert (row["body"], row["expires"]) == ("sun", 600)


@pytest.mark.parametrize("more", [[], [("Subject", "the long way")]])
def test_a_refresh_whose_row_is_written_as_it_ends(more: Any) -> None:
    """RFC 3903 4.4: watchers were told of the end while the store was slow; they are told that it goes on."""
    rig = bench()
    tag = publish(rig, b"sun", expires=60).get("sip-etag")
    rig.wait(59)
    rig.holds = True
    rig.udp(message(b"", tag, headers=more))
    rig.wait(2)
    assert (state(rig), told(rig)) == ([], [BOB, BOB])
    assert "200" in what(rig.release())
    assert (state(rig), told(rig)) == (["sun"], [BOB, BOB, BOB])


def test_a_kind_that_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in a module ends no server, also where its request was read in brief."""
    rig = bench()
    answer = publish(rig, b"sun")

    def raises(*given: Any) -> None:
        raise RuntimeError("a mistake")

    with monkeypatch.context() as patch:
        patch.setattr(Weather, "published", raises)
        answer = publish(rig, b"rain", answer.get("sip-etag"))
        assert (answer.status, state(rig)) == (200, ["rain"])
    with monkeypatch.context() as patch:
        patch.setattr(Shelf, "replace", raises)
        assert publish(rig, b"snow", answer.get("sip-etag")).status == 500
    with monkeypatch.context() as patch:
        patch.setattr(Renewing, "_renew", raises)
        assert publish(rig, b"snow", answer.get("sip-etag")).status == 500
    assert publish(rig, b"fog").status == 200
