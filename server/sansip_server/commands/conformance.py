"""``sansip conformance``: list, run and replay the traces.

Theory of operation: traces are read and played by ``sansip_conformance``; here
are the options, the progress bar and the scoreboard.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sansip_server.faults import OperatorError

if TYPE_CHECKING:
    from rich.console import Console

    from sansip_conformance import Trace, Verdict
    from sansip_conformance.target import Target

__all__ = ["conformance"]


@click.group()
def conformance() -> None:
    """Replay the conformance suite, here or against any live server."""


def _load(wanted: tuple[str, ...]) -> list[Trace]:
    from sansip_conformance import TraceSyntaxError, load_suites, read_file, select

    files = [word for word in wanted if word.endswith(".trace") and Path(word).exists()]
    try:
        traces: list[Trace] = []
        for file in files:
            traces += read_file(file)
        rest = [word for word in wanted if word not in files]
        if rest or not files:
            traces += select(load_suites(), rest)
    except (TraceSyntaxError, ValueError) as error:
        raise OperatorError(str(error)) from None
    return traces


@conformance.command("list")
@click.argument("wanted", nargs=-1, metavar="[SUITE|TRACE|SECTION]...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_traces(wanted: tuple[str, ...], as_json: bool) -> None:
    """List the traces: id, sections, title."""
    traces = _load(wanted)
    if as_json:
        shown = [
            {
                "id": one.id,
                "title": one.title,
                "rfc": one.sections,
                "level": one.level,
                "duration": one.duration,
            }
            for one in traces
        ]
        click.echo(json.dumps(shown, indent=1))
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=True, header_style="bold")
    for heading in ("trace", "section", "title"):
        table.add_column(heading, overflow="fold")
    for one in traces:
        table.add_row(one.id, one.rfc[0] if one.rfc else "", one.title)
    console = _console()
    console.print(table)
    console.print(f"{len(traces)} traces in {len({one.suite for one in traces})} suites", style="dim")


@conformance.command("run")
@click.argument("wanted", nargs=-1, metavar="[SUITE|TRACE|SECTION]...")
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="TRANSPORT:HOST:PORT",
    help="Play against this server, like udp:127.0.0.1:5060; may be given once per transport.",
)
@click.option(
    "--domain",
    "domains",
    metavar="NAME",
    multiple=True,
    help="A domain that the target serves.  [default: biloxi.test and example.com]",
)
@click.option("--runtime", metavar="NAME", help="Start servers on this runtime and play over loopback.")
@click.option("--uvloop", is_flag=True, help="With --runtime asyncio: on uvloop.")
@click.option("--slow", is_flag=True, help="Live, play also what takes more than 3 s of real time.")
@click.option("--parallel", default=8, show_default=True, help="Live, how many traces at a time.")
@click.option("--seed", default=0, help="Seed of the virtual network.")
@click.option(
    "--beside",
    type=click.Path(exists=True, path_type=Path),
    metavar="FILE.json",
    help="Show the scoreboard of an earlier --json run beside this one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the scoreboard.")
def run(
    wanted: tuple[str, ...],
    targets: tuple[str, ...],
    domains: tuple[str, ...],
    runtime: str | None,
    uvloop: bool,
    slow: bool,
    parallel: int,
    seed: int,
    beside: Path | None,
    as_json: bool,
) -> None:
    """Run traces: all of them, or those of the suites, ids or sections named.

    Without --target and --runtime they are played on the core, on virtual time
    and without sockets.

    \b
    sansip conformance run rfc3261-16
    sansip conformance run "RFC 3261 17.2"
    sansip conformance run --target udp:127.0.0.1:5060 --domain example.com
    """
    from sansip_conformance import run_on_core
    from sansip_conformance.run import run_live
    from sansip_conformance.serving import Servers
    from sansip_conformance.target import parse_target

    if targets and runtime:
        raise OperatorError("--target and --runtime exclude each other: a target is running already")
    traces = _load(wanted)
    servers: Servers | None = None
    verdicts: Iterable[Verdict]
    try:
        if targets:
            target = parse_target(targets)
            target.slow = slow
            target.domains = domains or target.domains
            _check_reach(target, targets)
            verdicts = run_live(traces, target, slow=slow, parallel=parallel)
        elif runtime:
            servers = Servers(runtime, uvloop)
            verdicts = run_live(traces, servers, slow=slow, parallel=parallel)
        else:
            verdicts = run_on_core(traces, seed)
        done = _with_progress(verdicts, len(traces), as_json)
    except ValueError as error:
        raise OperatorError(str(error)) from None
    finally:
        if servers is not None:
            servers.close()
    _report(done, as_json, beside)
    raise SystemExit(1 if any(one.outcome == "fail" for one in done) else 0)


@conformance.command("replay")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--target", "targets", multiple=True, metavar="TRANSPORT:HOST:PORT", help="Play against this server."
)
@click.option("--domain", "domains", metavar="NAME", multiple=True, help="A domain that the target serves.")
@click.option("--ladder", is_flag=True, help="Draw what happened.")
@click.option(
    "--server", metavar="HOST:PORT", help="Which address of a capture is the server.  [default: the busiest]"
)
@click.option(
    "--route",
    type=click.Path(exists=True, path_type=Path),
    metavar="FILE.py",
    help="The routing script to replay with.",
)
@click.option(
    "--print",
    "show",
    is_flag=True,
    help="Print the trace that a capture or journal becomes, and do not replay it.",
)
def replay(
    file: Path,
    targets: tuple[str, ...],
    domains: tuple[str, ...],
    ladder: bool,
    server: str | None,
    route: Path | None,
    show: bool,
) -> None:
    """Replay one file: a trace, a journal, or a capture (pcap, pcapng)."""
    from sansip_conformance import play_on_core
    from sansip_conformance.capture import as_text, read_any
    from sansip_conformance.run import play_live
    from sansip_conformance.target import parse_target
    from sansip_server.commands.ladder import draw

    try:
        if show:
            text = as_text(file, server)
            click.echo(file.read_text("utf-8") if text is None else text, nl=False)
            return
        traces = read_any(file, server)
        target = parse_target(targets) if targets else None
        if target is not None:
            _check_reach(target, targets)
    except ValueError as error:
        raise OperatorError(str(error)) from None
    failed = False
    for trace in traces:
        if route is not None:
            trace.setup.route = route.read_text()
        if target is None:
            verdict = play_on_core(trace)
        else:
            target.slow = True
            target.domains = domains or target.domains
            verdict = play_live(trace, target, slow=True)
        if ladder:
            draw(trace)
        words = {"pass": "passes", "fail": "fails", "skip": "is skipped"}[verdict.outcome]
        click.echo(f"{trace.name} {words}" + (f": {verdict.reason}" if verdict.reason else ""))
        if verdict.outcome == "fail":
            failed = True
            cited = f" ({'; '.join(verdict.rfc)})" if verdict.rfc else ""
            click.echo(f"  {verdict.where}{cited}")
    raise SystemExit(1 if failed else 0)


def _console() -> Console:
    """Return where tables go: as wide as a terminal, and in a file or a pipe as wide as they are."""
    from rich.console import Console

    console = Console()
    # Programs read identifiers there, so the lines must not be folded.
    return console if console.is_terminal else Console(width=10_000, no_color=True, highlight=False)


def _check_reach(target: Target, given: tuple[str, ...]) -> None:
    from sansip_conformance.probe import reach

    why = reach(target, tuple(text.partition(":")[0] for text in given))
    if why is not None:
        raise OperatorError(why)


def _with_progress(verdicts: Iterable[Verdict], total: int, quiet: bool) -> list[Verdict]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    done: list[Verdict] = []
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(
        *columns, console=console, transient=True, disable=quiet or not console.is_terminal
    ) as progress:
        task = progress.add_task("conformance", total=total)
        failed = 0
        for verdict in verdicts:
            done.append(verdict)
            failed += verdict.outcome == "fail"
            progress.update(
                task, advance=1, description=f"conformance ({failed} failed)" if failed else "conformance"
            )
    return sorted(done, key=lambda one: one.trace.id)


def _report(done: list[Verdict], as_json: bool, beside: Path | None) -> None:
    from sansip_conformance import scoreboard

    if as_json:
        click.echo(json.dumps(scoreboard.as_json(done), indent=1))
        return
    from rich.table import Table

    console = _console()
    other: dict[str, Any] = json.loads(beside.read_text()) if beside is not None else {}
    table = Table(title="Conformance", title_justify="left", header_style="bold")
    table.add_column("section")
    for heading in ("pass", "fail", "skip"):
        table.add_column(heading, justify="right")
        if other:
            table.add_column(f"{heading} there", justify="right", style="dim")
    sections = scoreboard.by_section(done)
    names = sorted({*sections, *other.get("sections", {})}, key=scoreboard.section_key)
    for name in names:
        row = [name]
        for outcome in ("pass", "fail", "skip"):
            count = sections.get(name, {}).get(outcome, 0)
            colour = {"pass": "green", "fail": "red", "skip": "yellow"}[outcome]
            row.append(f"[{colour}]{count}[/]" if count else "")
            if other:
                row.append(str(other["sections"].get(name, {}).get(outcome, 0) or ""))
        table.add_row(*row)
    totals = {outcome: sum(one.outcome == outcome for one in done) for outcome in ("pass", "fail", "skip")}
    table.add_section()
    last = ["all"]
    for outcome in ("pass", "fail", "skip"):
        last.append(str(totals[outcome]))
        if other:
            last.append(str(other["totals"][outcome]))
    table.add_row(*last, style="bold")
    console.print(table)
    for one in done:
        if one.outcome == "fail":
            cited = "; ".join(one.rfc)
            head = f"[red]fail[/] {one.trace.id} [dim]({one.trace.level} {cited})[/]"
            console.print(head, highlight=False, soft_wrap=True)
            # The whole path: a terminal makes a link of FILE:LINE.
            console.print(f"     {one.reason}", markup=False, highlight=False, soft_wrap=True)
            console.print(f"     {one.where}", style="dim", markup=False, highlight=False, soft_wrap=True)
    reasons: dict[str, int] = {}
    for one in done:
        if one.outcome == "skip":
            reason = (
                "takes more than 3 s of real time; run it with --slow"
                if "real time" in one.reason
                else one.reason
            )
            reasons[reason] = reasons.get(reason, 0) + 1
    for reason, count in sorted(reasons.items(), key=lambda item: -item[1]):
        console.print(f"[yellow]skip[/] {count}: {reason}", highlight=False)
