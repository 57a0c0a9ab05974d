"""A reload of what the parent has for its workers: tables, and outer halves of modules.

Theory of operation: before the first worker reads the settings anew, the parent makes ready what they need:
tables of new modules are made, and outer halves by the new settings, in a thread. New kinds of questions are
answered from then on. If the first worker takes the settings, the parent's new halves replace the old ones;
if it refuses, they are closed again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from sansip_server.config.schema import Settings
from sansip_server.faults import OperatorError
from sansip_server.modules import look_again, strangers, uses
from sansip_server.preparation import Preparation
from sansip_server.provision import Prepared, Provision, needs
from sansip_server.trial import Trial
from sansip_server.trial_watch import TrialWatch

if TYPE_CHECKING:
    from sansip.module import Module
    from sansip_sockets import Hub

__all__ = ["Provisioning"]

Done = Callable[[list[str]], None]


class Provisioning:
    """Prepares for the settings that ``read_again`` returns.

    ``learn`` hears of all their modules, ``taken`` of these with their settings, once they are in force.
    """

    def __init__(
        self,
        settings: Settings,
        read_again: Callable[[], Settings],
        provision: Provision,
        hub: Hub,
        learn: Callable[[Sequence[type[Module]]], None],
        taken: Callable[[Mapping[type[Module], Any]], None] = lambda _: None,
    ) -> None:
        self._read_again = read_again
        self._provision = provision
        self._hub = hub
        self._learn = learn
        self._taken = taken
        self._file = settings.file
        self._has: dict[type[Module], Any] = {use.kind: use.settings for use in uses(settings.modules)}
        self._next = self._has
        self._prepared = Prepared({})

    def prepare(self, done: Done) -> None:
        """Make ready what the settings need as they are written now; ``done`` gets the faults."""
        look_again()
        unknown = [] if self._file is None else strangers(self._file)
        if not unknown:
            self._read(done, [])
            return
        # Reading the settings of these modules imports their packages.
        try:
            TrialWatch(self._hub, Trial(None, unknown), partial(self._read, done))
        except OSError as error:
            done([f"modules cannot be tried: {error}"])

    def _read(self, done: Done, faults: list[str]) -> None:
        if faults:
            done(faults)
            return
        try:
            settings = self._read_again()
            self._next = {use.kind: use.settings for use in uses(settings.modules)}
        except OperatorError as error:
            done(list(error.lines))
            return
        self._prepared = Prepared({})
        wanted = {
            kind: given
            for kind, given in self._next.items()
            if needs(kind) and (kind not in self._has or self._has[kind] != given)
        }
        if wanted:
            Preparation(self._provision, self._hub, wanted, partial(self._made, done))
        else:
            done([])

    def _made(self, done: Done, prepared: Prepared | OperatorError) -> None:
        if isinstance(prepared, OperatorError):
            done([f"{line}; all stays as it was" for line in prepared.lines])
            return
        self._prepared = prepared
        handlers = self._provision.handlers
        for held in prepared.parts.values():
            if held is not None:
                handlers = held.handlers | handlers
        # A new module asks as soon as it is started.
        self._hub.answering.answer_with(handlers)
        self._learn(list(self._next))
        done([])

    def take(self) -> None:
        """The first worker has taken the settings."""
        removed = [kind for kind in self._has if kind not in self._next]
        self._provision.take(self._prepared, removed, self._hub)
        self._has, self._prepared = self._next, Prepared({})
        self._learn(list(self._has))
        self._taken(self._has)

    def drop(self) -> None:
        """It refused them: all stays as it was."""
        self._prepared.drop()
        self._prepared = Prepared({})
