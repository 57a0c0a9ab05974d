"""The commands of an operator, done by all workers and answered once.

Theory of operation: the parent has no calls and no figures of its own. It gives a command to the workers, and
makes one answer of theirs (``merging``). Three of them are the parent's: it ends all, has all reload, and its
followers get the events of all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from sansip.module import CommandError, Gathered, Module
from sansip.module.base import FIRST, marked
from sansip.module.commands import Command
from sansip.seat import owner
from sansip_server.followers import Followers
from sansip_server.management import Management, Part, Refused
from sansip_server.workers.merging import ALL, ONE, merged
from sansip_sockets.pending import Pending

if TYPE_CHECKING:
    from sansip_server.provision import Provision
    from sansip_server.workers.parent_stack import ParentStack
    from sansip_sockets import Hub

__all__ = ["AllWorkers", "WorkersFollowers"]


class Workers(Protocol):
    """What asks workers (``sansip_server.workers.questions``)."""

    @property
    def serving(self) -> list[int]: ...
    def ask_workers(self, line: bytes, one: bool, done: Callable[[dict[int, bytes]], None]) -> None: ...
    def stream(self, number: int, line: bytes, taken: Callable[[bytes, bool], None]) -> int: ...
    def more(self, number: int, question: int) -> None: ...
    def stop(self, number: int, question: int) -> None: ...


class AllWorkers(Management):
    """Answers for ``count`` workers.

    ``workers`` asks them; ``kinds`` are the modules that they have; ``reload(done)`` and
    ``end()`` are those of all.
    """

    def __init__(
        self,
        stack: ParentStack,
        hub: Hub,
        count: int,
        workers: Workers,
        kinds: Iterable[type[Module]],
        reload: Callable[[Callable[[list[str], list[str]], None]], None],
        end: Callable[[], None],
        provision: Provision | None = None,
        parts: dict[str, Callable[[], dict[str, Any]]] | None = None,
    ) -> None:
        # Its own commands, which would ask the stack, are only described by it.
        super().__init__(stack, hub, storage=None, reload=lambda done: None, end=end, parts=parts)  # type: ignore[arg-type]  # a stack without SIP
        self._count = count
        self._workers = workers
        self._reload_all = reload
        self._ends = end
        self._parent_stack = stack
        self._mine = provision
        # The commands of modules, and those that each worker does.
        self._of_modules: dict[str, Command] = {}
        self._everywhere: dict[str, Gathered] = {}
        # Those that the first worker alone has.
        self._of_first: set[str] = set()
        self.learn(kinds)

    def learn(self, kinds: Iterable[type[Module]]) -> None:
        """Know the commands of modules."""
        for kind in kinds:
            # Nothing is asked of it: only its methods are described.
            described = kind.__new__(kind)
            for name, method in marked(kind, "sansip_command"):
                command = Command.of(getattr(described, name))
                self._of_modules[command.name] = command
                if kind.over_workers == FIRST:
                    self._of_first.add(command.name)
                elif how := method.sansip_everywhere:
                    self._everywhere[command.name] = ALL if how is True else how

    def find(self, name: str) -> Command | None:
        """Return the command ``name``, of the server or of a module."""
        return self.commands.get(name) or self._of_modules.get(name)

    def do(self, name: Any, arguments: Any) -> Iterator[Part]:
        """Do a command at all workers. Raises ``Refused`` for what they cannot do."""
        if name == "drain":
            already = self._parent_stack.draining
            yield {"ok": True, "result": {"draining": True, "already": already}}
            if not already:
                self._ends()
            return
        if name == "reload":
            reloaded: Pending[tuple[list[str], list[str]]] = Pending()
            self._reload_all(lambda done, failed: reloaded.give((done, failed)))
            done, failed = yield from reloaded.result()
            yield {"ok": True, "result": {"reloaded": done, "failed": failed}}
            return
        try:
            line = json.dumps({"command": name, "arguments": arguments}).encode()
        except (TypeError, ValueError) as error:
            raise Refused(f"{name}: {error}") from None
        if name == "bindings":
            yield from self._bindings(arguments)
            return
        if name in self._of_first and 0 not in self._workers.serving:
            raise Refused(f"{name}: the worker that has it is being started again; try again in a moment")
        replies: Pending[dict[int, bytes]] = Pending()
        one = name in ONE or (name in self._of_modules and name not in self._everywhere)
        self._workers.ask_workers(line, one, replies.give)
        found = yield from replies.result()
        how = self._everywhere.get(str(name), ALL)
        limit = self._limit(str(name), arguments) if how.order else None
        for part in merged(str(name), found, self._count, how, limit):
            if not part.get("ok", True):
                raise Refused(str(part.get("error")))
            if name in ("health", "stats") and self._mine is not None:
                self._add(str(name), part["result"], self._mine)
            yield part

    def _limit(self, name: str, given: Any) -> int | None:
        """Return the argument ``limit`` of a module's command, None where it has none."""
        try:
            limit = self._of_modules[name].arguments(given).get("limit")
        except (CommandError, TypeError):
            # The workers refuse it as well.
            return None
        return None if limit is None else max(1, min(int(limit), 1_000))

    def _add(self, name: str, result: dict[str, Any], mine: Provision) -> None:
        """Add what the parent has for all workers: rows, and outer halves of modules."""
        if name == "stats":
            if figures := mine.figures():
                result["parts"] = result.get("parts", {}) | figures
            return
        for part, state in {**self._parts, **mine.health}.items():
            told = state()
            if part not in result["parts"] or not told["ok"]:
                # Workers tell of the location as well: they read it, and the parent writes it.
                result["parts"][part] = told
            if not told["ok"] and part not in result["failing"]:
                result["failing"].append(part)
                if result["status"] == "ok":
                    result["status"] = "degraded"

    def _bindings(self, arguments: Any) -> Iterator[Part]:
        """List the bindings of each worker, one worker after the other.

        All have all of them, and each lists those of the phones that it pings: it knows how they answer.
        """
        numbers = self._workers.serving
        if len(numbers) < self._count:
            raise Refused("bindings: a worker is being started again; try again in a moment")
        given = dict(arguments) if isinstance(arguments, dict) else {}
        after = given.get("after")
        if isinstance(after, str):
            # Those of the workers before it were listed already.
            numbers = [number for number in numbers if number >= owner(after, self._count)]
        count = 0
        for index, number in enumerate(numbers):
            if index:
                given.pop("after", None)
            line = json.dumps({"command": "bindings", "arguments": given}).encode()
            for part in self._streamed(number, line):
                if not isinstance(part, dict) or "item" in part:
                    yield part
                elif part.get("ok"):
                    count += part["result"]["bindings"]
                else:
                    raise Refused(str(part.get("error")))
        yield {"ok": True, "result": {"bindings": count}}

    def _streamed(self, number: int, line: bytes) -> Iterator[Part]:
        """Yield the parts of the reply of one worker, as the operator reads them."""
        arrived: list[Pending[tuple[bytes, bool]]] = [Pending()]
        question = self._workers.stream(number, line, lambda data, last: arrived[0].give((data, last)))
        rest, last = b"", False
        try:
            while not last:
                data, last = yield from arrived[0].result()
                *lines, rest = (rest + data).split(b"\n")
                yield from map(json.loads, lines)
                if not last:
                    arrived[0] = Pending()
                    self._workers.more(number, question)
        finally:
            self._workers.stop(number, question)


class WorkersFollowers(Followers):
    """The followers of events of all workers; ``watch`` is called when there is a first, or none any more."""

    def __init__(self, watch: Callable[[bool], None]) -> None:
        super().__init__(lambda event: None)
        self._watch = watch

    @property
    def follows(self) -> bool:
        """Whether anybody follows."""
        return bool(self._all)

    def add(self, ring: Callable[[], None], most: int) -> Any:
        follower = super().add(ring, most)
        if len(self._all) == 1:
            self._watch(True)
        return follower

    def remove(self, follower: Any) -> None:
        super().remove(follower)
        if not self._all:
            self._watch(False)

    def pass_on(self, event: dict[str, Any]) -> None:
        """Tell the followers an event of a worker."""
        for follower in self._all:
            follower.tell(event)
