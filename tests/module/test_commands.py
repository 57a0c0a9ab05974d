"""Commands of modules: JSON in by the signature, JSON out, and errors that name the argument."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest

from sansip.module import Command, CommandError, Module, Use, command
from sansip.routing import ask
from tests.rig import Rig


@dataclass
class Place:
    name: str
    ports: tuple[int, ...]


class Places(Module):
    name = "places"

    @command("places.list")
    def list_places(self, group: int | None = None, order: Literal["up", "down"] = "up") -> list[Place]:
        """Return the places."""
        return [Place(f"{group} {order}", (1, 2))]

    @command("places.set")
    def set_place(
        self, name: str, weight: float, count: int = 1, on: bool = True, tags: list[str] | None = None
    ) -> Any:
        """Set one."""
        return {"name": name, "weight": weight, "count": count, "on": on, "tags": tags}

    @command("places.age", role="read")
    def age(self, since: float, now: float) -> float:
        """Return the seconds since then."""
        return now - since

    @command("places.ask", role="read")
    async def ask_place(self, name: str) -> str:
        """Ask the outside."""
        if name == "nowhere":
            raise CommandError("places.ask: there is no nowhere")
        return f"{name}: {await ask(name)}"


def do(rig: Rig, command: str, /, **given: Any) -> Any:
    results: list[Any] = []
    rig.take(rig.stack.command(command, given, rig.now, lambda result, now: results.append(result)))
    return results[0] if results else None


@pytest.fixture
def rig() -> Rig:
    return Rig(modules=[Use(Places)])


def test_the_signature_is_the_definition(rig: Rig) -> None:
    """Role, parameters and documentation are read from the method."""
    commands = rig.stack.modules.commands
    assert {name: one.role for name, one in commands.items()} == {
        "places.age": "read",
        "places.ask": "read",
        "places.list": "read",
        "places.set": "operate",
    }
    found: Command = commands["places.list"]
    assert found.doc == "Return the places."
    assert [(one.name, one.required, one.default) for one in found.parameters] == [
        ("group", False, None),
        ("order", False, "up"),
    ]


def test_the_time_is_no_argument(rig: Rig) -> None:
    """The core fills in ``now``: no caller can give another time."""
    assert do(rig, "places.age", since=60) == rig.now - 60
    assert "there is no argument now" in str(do(rig, "places.age", since=60, now=1))


def test_values_go_over_as_json(rig: Rig) -> None:
    """Dataclasses are objects, tuples lists; text from a command line becomes the number that is meant."""
    assert do(rig, "places.list", group=3, order="down") == [{"name": "3 down", "ports": [1, 2]}]
    assert do(rig, "places.list", group=None)[0]["name"] == "None up"
    given = {"name": "x", "weight": "0.5", "count": "7", "on": "false", "tags": ["a"]}
    assert do(rig, "places.set", **given) == {
        "name": "x",
        "weight": 0.5,
        "count": 7,
        "on": False,
        "tags": ["a"],
    }


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("places.drop", {}, "no command places.drop; there are places.age, places.ask"),
        ("places.set", {"name": "x"}, "weight is missing"),
        ("places.set", {"name": 3, "weight": 1}, "name is 3; expected text"),
        ("places.set", {"name": "x", "weight": "much"}, "weight is 'much'; expected a number"),
        ("places.set", {"name": "x", "weight": 1, "count": 1.5}, "count is 1.5; expected a whole number"),
        ("places.set", {"name": "x", "weight": 1, "count": True}, "count is True"),
        ("places.set", {"name": "x", "weight": 1, "tags": [1]}, "tags is 1; expected text"),
        ("places.list", {"order": "sideways"}, "order is 'sideways'; expected 'up' or 'down'"),
        ("places.list", {"grup": 1}, "no argument grup; it takes group, order"),
        ("places.ask", {"name": "nowhere"}, "there is no nowhere"),
    ],
)
def test_what_does_not_fit_is_named(rig: Rig, name: str, given: dict[str, Any], said: str) -> None:
    """The error tells the operator the argument, its value, and the expected type."""
    error = do(rig, name, **given)
    assert isinstance(error, CommandError)
    assert said in str(error)


def test_a_command_may_wait(rig: Rig) -> None:
    """It is stepped like a route, and answered when it ends."""
    results: list[Any] = []
    rig.take(
        rig.stack.command("places.ask", {"name": "x"}, rig.now, lambda result, now: results.append(result))
    )
    assert results == []
    rig.answer("here")
    assert results == ["x: here"]


def test_a_command_that_fails(rig: Rig) -> None:
    """Its exception is the result, and no other command's."""
    results: list[Any] = []
    rig.take(
        rig.stack.command("places.ask", {"name": "x"}, rig.now, lambda result, now: results.append(result))
    )
    rig.answer(OSError("gone"))
    assert str(results[0]) == "gone"


class Scales:
    @command("scales.set")
    def set(self, weight: float) -> None:
        """Set it."""


@pytest.mark.parametrize("value", [float("inf"), float("nan"), "inf", "nan", "1e999"])
def test_a_number_is_finite(value: Any) -> None:
    """A timer or a ratio that is not a number would never be right again (RFC 8259 6)."""
    with pytest.raises(CommandError, match="expected a number"):
        Command.of(Scales().set).arguments({"weight": value})


def test_a_wrong_value_is_shown_in_short() -> None:
    """A caller that sends a megabyte gets one line back."""
    with pytest.raises(CommandError) as caught:
        Command.of(Scales().set).arguments({"weight": "x" * 100_000})
    assert len(str(caught.value)) < 200


def test_the_columns_of_a_list(rig: Rig) -> None:
    """A list of nothing is shown as a table with headings, by the type that the method returns."""
    commands = rig.stack.modules.commands
    assert commands["places.list"].columns == ("name", "ports")
    assert commands["places.set"].columns == ()
    assert commands["places.age"].columns == ()
