"""The order of modules: what each requires first, then the name."""

from __future__ import annotations

import pytest

from sansip.module import FIRST, Module, ModuleFault
from sansip.module.order import ordered


class Alpha(Module):
    name = "alpha"


class Beta(Module):
    name = "beta"


class First(Module):
    name = "zeta"


class Second(Module):
    name = "gamma"
    requires = (First,)


def test_requires_orders_then_the_name() -> None:
    """The same modules act in the same order on every node."""
    assert ordered([Second, Beta, First, Alpha]) == [Alpha, Beta, First, Second]


def test_uses_orders_what_is_there() -> None:
    """A module that is used is started before, where it is configured, and is missed by nobody."""

    class Third(Module):
        name = "delta"
        uses = (First,)

    assert ordered([Third, First, Alpha]) == [Alpha, First, Third]
    assert ordered([Third, Alpha]) == [Alpha, Third]


def test_what_cannot_be_used_together() -> None:
    """A missing module, a circle, two of one name: said at the start, with what to change."""
    with pytest.raises(ModuleFault, match=r"gamma needs the module zeta; add \[zeta\]"):
        ordered([Second])

    class Again(Module):
        name = "alpha"

    with pytest.raises(ModuleFault, match="two modules are called alpha"):
        ordered([Alpha, Again])

    class Left(Module):
        name = "left"

    class Right(Module):
        name = "right"
        requires = (Left,)

    Left.requires = (Right,)
    with pytest.raises(ModuleFault, match="circle: left needs right needs left"):
        ordered([Left, Right])


def test_what_the_first_worker_alone_has_is_missed_by_no_other() -> None:
    """A module of each worker may need one of the first worker: the first one checks that it is there."""

    class Alone(Module):
        name = "alone"
        over_workers = FIRST

    class Each(Module):
        name = "each"
        over_workers = True
        requires = (First, Alone)

    assert ordered([Each, First], lacks_first=True) == [First, Each]
    with pytest.raises(ModuleFault, match="needs the module alone"):
        ordered([Each, First])
    with pytest.raises(ModuleFault, match="needs the module zeta"):
        ordered([Each], lacks_first=True)
