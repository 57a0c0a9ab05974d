"""A package of one word, its module, and a server with both, for the tests of the engine."""

from __future__ import annotations

from typing import Any

from sansip.actions import Ask
from sansip.module import Module, Use
from sansip.modules.events import (
    Content,
    Events,
    EventsSettings,
    Package,
    Subscription,
    Verdict,
    WatcherChanged,
)
from sansip.rows import MemoryRows, Read, Scan, Write
from tests.modules.watching import Watcher
from tests.rig import Out, Rig

RESOURCE = "sip:bob@biloxi.test"


class Weather(Package):
    """One word for each resource."""

    event = "weather"
    types = ("text/weather", "text/plain")
    filters = ("text/wanted",)
    interval, burst = 5.0, 1

    def __init__(self) -> None:
        self.words: dict[str, str] = {}
        self.verdicts: dict[str, Verdict] = {}

    def serves(self, resource: str) -> bool:
        return resource != "sip:nobody@biloxi.test"

    def judge(self, subscription: Subscription, now: float) -> Verdict:
        return self.verdicts.get(subscription.watcher, Verdict.ALLOW)

    def check_filter(self, type: str, body: bytes) -> Any:
        if body == b"bad":
            raise ValueError("bad")
        return body

    def content(self, subscription: Subscription, now: float) -> Content:
        word = self.words.get(subscription.resource, "sun")
        return Content(subscription.accept[0], f"{subscription.next_version()} {word}".encode())


class Steps(Weather):
    """A package in which each transition counts."""

    event = "steps"
    each = True
    interval = 0.0

    def content(self, subscription: Subscription, now: float) -> Content:
        if subscription.full:
            return Content("text/weather", b"all")
        return Content(
            "text/weather", ",".join(f"{key}={value}" for key, value in subscription.take_changes()).encode()
        )


class Reports(Module):
    """The module of both packages."""

    name = "reports"
    requires = (Events,)
    events = (WatcherChanged,)

    def start(self, core: Any, now: float) -> None:
        self.heard: list[str] = []
        self.weather, self.steps = Weather(), Steps()
        engine = core.module(Events)
        engine.add(self.weather, now)
        engine.add(self.steps, now)

    def event_received(self, event: Any, now: float) -> None:
        self.heard.append(event.event)


class Stored(Rig):
    """A rig whose rows are in memory, and survive it."""

    def __init__(self, rows: MemoryRows | None = None, **options: Any) -> None:
        self.rows = MemoryRows() if rows is None else rows
        self.broken = False
        self.questions = 0
        # While True, questions to the store wait (``release``).
        self.holds = False
        self.held: list[Ask] = []
        super().__init__(**options)

    def take(self, actions: list[Any]) -> list[Out]:
        outs: list[Out] = []
        for action in actions:
            if isinstance(action, Ask) and isinstance(action.question, Read | Scan | Write):
                self.questions += 1
                if self.holds:
                    self.held.append(action)
                    continue
                answer = OSError("broken") if self.broken else self.rows.answer(action.question)
                outs += self.take(self.stack.answer(action.id, answer, self.now))
            else:
                outs += super().take([action])
        return outs

    def release(self) -> list[Out]:
        """Answer the questions that wait."""
        self.holds, held = False, self.held
        self.held = []
        return self.take(held)


def bench(rows: MemoryRows | None = None, now: float = 100.0, **settings: Any) -> Stored:
    settings.setdefault("open", True)
    rig = Stored(
        rows,
        modules=[Use(Events, EventsSettings(**settings)), Use(Reports)],
        now=now,
        wall_offset=1_000_000.0,
        secret=b"the same secret for every life",
    )
    rig.take(rig.stack.time_passed(rig.now))
    return rig


def weather(rig: Rig) -> Weather:
    return rig.stack.modules.get(Reports).weather


def engine(rig: Rig) -> Events:
    return rig.stack.modules.get(Events)


def change(rig: Rig, word: str, *watchers: Watcher) -> None:
    weather(rig).words[RESOURCE] = word
    engine(rig).changed("weather", RESOURCE, rig.now)
    outs = rig.take(rig.stack.time_passed(rig.now))
    for one in watchers:
        one.take(outs)


def watcher(rig: Rig, **options: Any) -> Watcher:
    return Watcher(rig, RESOURCE, options.pop("event", "weather"), **options)


def body(message: Any) -> str:
    return message.body.decode()
