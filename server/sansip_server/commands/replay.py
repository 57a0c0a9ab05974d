"""``sansip replay FILE``: play a journal again, and see whether everything happens as it did.

Theory of operation: the stack is built as it was, gets the recorded inputs at the
recorded times (which pass at once), and its actions are compared. A difference
means that the code, or the routing script, now decides differently.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sansip_server.faults import OperatorError, os_reason

if TYPE_CHECKING:
    from sansip.journal import Replayed

__all__ = ["replay"]


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--route",
    "routes",
    metavar="FILE.py",
    multiple=True,
    help="A routing script that the server ran with; each version, where it was reloaded.",
)
@click.option("--json", "as_json", is_flag=True, help="The verdict as one JSON object.")
def replay(file: Path, routes: tuple[str, ...], as_json: bool) -> None:
    """Play the journal FILE (see `sansip serve --journal`) again on this version.

    Exit status 0 when the stack does what it did, 1 when it does not: the first
    difference is shown.
    """
    import json

    from sansip.journal import JournalError
    from sansip_server.journal import Scripts
    from sansip_server.journal import replay as play

    try:
        decide = Scripts(routes)
    except OSError as error:
        raise OperatorError(f"cannot read {error.filename}: {os_reason(error)}") from None
    inputs = 0
    actions = 0
    differing: list[Replayed] = []
    try:
        with file.open(encoding="utf-8") as lines:
            for step in play(lines, decide):
                inputs += 1
                actions += len(step.again) if isinstance(step.again, list) else 0
                if not step.same:
                    differing.append(step)
                    # Later differences follow from this one.
                    break
    except OSError as error:
        raise OperatorError(f"cannot read {file}: {os_reason(error)}") from None
    except (JournalError, UnicodeDecodeError) as error:
        raise OperatorError(f"{file}: {error}") from None
    first = differing[0] if differing else None
    if as_json:
        shown = None if first is None else _difference(first)
        click.echo(json.dumps({"file": str(file), "inputs": inputs, "actions": actions, "difference": shown}))
    elif first is None:
        click.echo(f"{file}: {inputs} inputs, {actions} actions, all as recorded")
    else:
        difference = _difference(first)
        click.echo(f"{file}:{first.line}: {first.name} at {first.at:.6f} differs")
        click.echo("recorded:")
        click.echo(json.dumps(difference["recorded"], indent=2))
        click.echo("now:")
        click.echo(json.dumps(difference["now"], indent=2))
    if differing:
        raise SystemExit(1)


def _difference(step: Replayed) -> dict[str, Any]:
    return {
        "line": step.line,
        "input": step.name,
        "at": step.at,
        "recorded": step.recorded,
        "now": step.again,
    }
