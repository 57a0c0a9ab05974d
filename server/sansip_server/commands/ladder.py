"""``sansip ladder``: the messages between the parties, from a trace, a journal or a capture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sansip_server.faults import OperatorError

if TYPE_CHECKING:
    from sansip_conformance import Trace
    from sansip_conformance.ladder import Ladder

__all__ = ["draw", "ladder"]

STYLES = {
    "request": "bold blue", "provisional": "yellow", "success": "green", "failure": "red", "note": "dim",
    "head": "bold", "rail": "dim",
}  # fmt: skip


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--trace", "name", metavar="NAME", help="Only this trace of the file, or the call of this Call-ID."
)
@click.option("--svg", is_flag=True, help="Print an SVG document.")
@click.option("--mermaid", is_flag=True, help="Print a Mermaid sequence diagram.")
def ladder(file: Path, name: str | None, svg: bool, mermaid: bool) -> None:
    """Draw FILE (a trace, a journal, a pcap or pcapng) as a ladder diagram.

    A journal becomes one diagram for each Call-ID.
    """
    from sansip_conformance.capture import ladders_of

    if svg and mermaid:
        raise OperatorError("--svg and --mermaid exclude each other")
    try:
        drawn = ladders_of(file, name)
    except ValueError as error:
        raise OperatorError(str(error)) from None
    if svg and len(drawn) > 1:
        raise OperatorError(f"{file} holds {len(drawn)} diagrams; choose one with --trace NAME")
    for one in drawn:
        if svg:
            click.echo(one.svg(), nl=False)
        elif mermaid:
            click.echo(one.mermaid(), nl=False)
        else:
            _print(one)


def draw(trace: Trace) -> None:
    """Play ``trace`` on the core and draw what happened."""
    from sansip_conformance.ladder import ladder_of

    _print(ladder_of(trace))


def _print(one: Ladder) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console()
    console.print(Text(one.title, style="bold"))
    for line, kind in one.styled(console.width if console.is_terminal else 80):
        console.print(Text(line, style=STYLES[kind] if console.is_terminal else ""), no_wrap=True, crop=False)
