"""Work that fails is begun once more, until it succeeds or nobody wants it any more."""

from __future__ import annotations

from typing import Any

from sansip.events import ModuleFailed
from sansip.module import Again, Module, Use
from sansip.routing.awaitables import ask
from tests.rig import Rig


class Reader(Module):
    """Asks the outside for something at its start."""

    name = "reader"
    wanted = True

    def start(self, core: Any, now: float) -> None:
        self.log: list[Any] = []
        Again(
            core,
            self._read,
            3.0,
            wanted=lambda: self.wanted,
            done=lambda now: self.log.append(("done", now)),
            failed=lambda error, now: self.log.append((str(error), now)),
        ).begin(now)

    async def _read(self) -> None:
        await ask("rows")


def test_until_it_succeeds() -> None:
    """A store that cannot be read at the start comes back: it is asked again after the pause, not before."""
    rig = Rig(modules=[Use(Reader)])
    rig.wait(0.0)
    reader = rig.stack.modules.get(Reader)
    begun = rig.now
    rig.answer(OSError("gone"))
    assert reader.log == [("gone", begun)]
    assert [one.where for one in rig.events if isinstance(one, ModuleFailed)] == ["restore"]
    rig.wait(2.9)
    assert not rig.asks
    rig.wait(0.2)
    rig.answer(None)
    assert [word for word, _ in reader.log] == ["gone", "done"]
    rig.wait(10.0)
    assert not rig.asks


def test_until_nobody_wants_it() -> None:
    """What was taken away meanwhile is not read."""
    rig = Rig(modules=[Use(Reader)])
    rig.wait(0.0)
    rig.answer(OSError("gone"))
    rig.stack.modules.get(Reader).wanted = False
    rig.wait(10.0)
    assert not rig.asks
