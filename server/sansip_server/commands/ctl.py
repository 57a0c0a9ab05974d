"""``sansip ctl``: ask a running server, or tell it something.

Theory of operation: one command (``asking`` carries it), and the reply as a table for
people or as JSON for programs (``management`` says which commands there are). The
exit status of ``health`` is for scripts and supervisors: 0 well, 1 not quite, 2 no
server there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from sansip_server.commands.asking import Server, read_token
from sansip_server.faults import OperatorError
from sansip_server.moments import moment

__all__ = ["AS_JSON", "ask", "ctl", "plain", "table"]

# Rows whose widths are made equal before they are shown.
_PAGE = 200

AS_JSON = click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")


class _Ctl(click.Group):
    """The commands here, and those of modules, which have a dot in their names."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, cmd_name) or (_of_module(cmd_name) if "." in cmd_name else None)


@click.group(cls=_Ctl)
@click.option(
    "--control",
    metavar="PATH",
    help="The control socket of the server.  [default: as --config says, else the one that answers]",
)
@click.option("--config", metavar="FILE", help="The configuration of the server.")
@click.option("--url", metavar="URL", help="Its HTTP listener instead, like https://sip.example.org:8443.")
@click.option("--token-file", metavar="FILE", help="The token for --url.  [default: $SANSIP_TOKEN]")
@click.pass_context
def ctl(
    context: click.Context, control: str | None, config: str | None, url: str | None, token_file: str | None
) -> None:
    """Ask and direct a running server.

    Modules bring commands of their own: `sansip ctl commands` lists them, and
    `sansip ctl MODULE.VERB KEY=VALUE …` gives one.
    """
    if url is not None and (control is not None or config is not None):
        raise OperatorError("--url asks over HTTP; leave --control and --config out")
    if control is None and config is not None:
        control = _configured(config)
    context.obj = Server(control, url, None if url is None else read_token(token_file))


def _configured(config: str) -> str | None:
    from sansip_server.config.load import load_file
    from sansip_server.control import control_path

    loaded = load_file(Path(config))
    if loaded.settings is None:
        raise OperatorError(*(fault.text(config) for fault in loaded.faults))
    if loaded.settings.control == "":
        raise OperatorError(f'{config}: the server has no control socket; set control = "PATH"')
    return control_path(loaded.settings.control, loaded.settings.store)


def ask(server: Server, **question: Any) -> Iterator[dict[str, Any]]:
    """Yield the items of the reply, and last the result; raise OperatorError for what fails."""
    return server.ask(**question)


def only(server: Server, **question: Any) -> dict[str, Any]:
    """Return the result of a command that has no items."""
    return list(ask(server, **question))[-1]


@ctl.command()
@AS_JSON
@click.pass_obj
def health(server: Server, as_json: bool) -> None:
    """Is the server well?

    Exit status: 0 all is well, 1 it drains or a part of it fails (a store: registrations
    get 503), 2 no server answers.
    """
    result = only(server, command="health")
    if as_json:
        click.echo(json.dumps(result))
    else:
        click.echo(f"{result['status']}, up {_span(result['uptime'])}")
        for name, part in result["parts"].items():
            since = "" if part.get("failing_since") is None else f" since {moment(part['failing_since'])}"
            state = "works" if part["ok"] else f"fails{since}: {part.get('error')}"
            nodes = f", nodes {', '.join(part['nodes'])}" if part.get("nodes") else ""
            click.echo(f"{name} {part.get('name', '')}: {state}{nodes}")
            for warning in part.get("warnings", ()):
                click.echo(f"  warning: {warning}")
    raise SystemExit(0 if result["status"] == "ok" else 1)


def _of_module(name: str) -> click.Command:
    """Return the command that makes a module of the server do ``name``."""

    # `--at 12:00` is another way to write `at=12:00`, and a bare word is the command's first key.
    loose = {"ignore_unknown_options": True}

    @click.command(name, short_help="A command of a module.", context_settings=loose)
    @click.argument("arguments", nargs=-1, metavar="[VALUE]... [KEY=VALUE | --KEY VALUE]...")
    @AS_JSON
    @click.pass_obj
    def given(server: Server, arguments: tuple[str, ...], as_json: bool) -> None:
        items: list[Any] = list(ask(server, command=name, arguments=_keys(server, name, arguments)))
        result = items.pop()
        if as_json:
            click.echo(json.dumps(items if isinstance(result, dict) and "items" in result else result))
        elif items and all(isinstance(one, dict) for one in items):
            names = list(items[0])
            rows = [tuple(plain(str(one.get(key, ""))) for key in names) for one in items]
            table([tuple(key.upper() for key in names), *rows])
        elif not items and isinstance(result, dict) and "items" in result:
            # A list of nothing: its headings alone, where they are known.
            table([tuple(name.upper() for name in result.get("columns", ()))])
        else:
            for one in items or [result]:
                click.echo(plain(one if isinstance(one, str) else json.dumps(one)))

    return given


def _keys(server: Server, name: str, words: tuple[str, ...]) -> dict[str, str]:
    """Return the keys and values that ``words`` give; bare words are for the keys in their order."""
    given: dict[str, str] = {}
    bare: list[str] = []
    rest = iter(words)
    for word in rest:
        if word.startswith("--"):
            key, equals, value = word[2:].partition("=")
            given[key.replace("-", "_")] = value if equals else next(rest, "")
        elif "=" in word:
            key, _, given[key] = word.partition("=")
        else:
            bare.append(word)
    if bare:
        *known, _ = ask(server, command="commands")
        keys = [key["name"] for one in known if one["command"] == name for key in one["parameters"]]
        free = [key for key in keys if key not in given]
        if len(bare) > len(free):
            raise OperatorError(
                f"{name}: {bare[len(free)]}: expected KEY=VALUE; `sansip ctl commands` shows the keys"
            )
        given |= zip(free, bare, strict=False)
    return given


@ctl.command()
@AS_JSON
@click.pass_obj
def commands(server: Server, as_json: bool) -> None:
    """Which commands do the modules of the server have?"""
    *items, _ = ask(server, command="commands")
    if as_json:
        click.echo(json.dumps(items))
        return
    for one in items:
        keys = " ".join(
            f"{key['name']}=…" if key["required"] else f"[{key['name']}=…]" for key in one["parameters"]
        )
        click.echo(f"{one['command']} {keys}".rstrip())
        click.echo(f"    {one['doc'].partition(chr(10))[0]} ({one['role']})")


@ctl.command()
@AS_JSON
@click.pass_obj
def stats(server: Server, as_json: bool) -> None:
    """How much of everything there is at this moment."""
    result = only(server, command="stats")
    if as_json:
        click.echo(json.dumps(result))
        return
    rows = []
    for name, value in result.items():
        if isinstance(value, dict):
            rows += [(f"{name}.{inner}", _figure(inner, number)) for inner, number in value.items()]
        else:
            rows.append((name, _figure(name, value)))
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        click.echo(f"{name:<{width}}  {text}")


@ctl.command()
@click.argument("aor", required=False)
@AS_JSON
@click.pass_obj
def bindings(server: Server, aor: str | None, as_json: bool) -> None:
    """Who is registered: all, or one AOR (alice@example.org).

    With --json one object per line. Exit status 1 when AOR has no binding.
    """
    question = {"command": "bindings"} if aor is None else {"command": "bindings", "aor": aor}
    rows: list[tuple[str, ...]] = []
    if not as_json:
        rows.append(("AOR", "CONTACT", "Q", "EXPIRES IN", "RECEIVED", "KEEPALIVES", "USER AGENT"))
    count = 0
    for part in ask(server, **question):
        if "contact" not in part:
            count = part["bindings"]
        elif as_json:
            click.echo(json.dumps(part))
        else:
            rows.append(_row(part))
            if len(rows) == _PAGE:
                table(rows)
                rows = []
    table(rows)
    raise SystemExit(1 if aor is not None and not count else 0)


@ctl.command()
@click.argument("aor")
@AS_JSON
@click.pass_obj
def remove(server: Server, aor: str, as_json: bool) -> None:
    """Remove the registrations of AOR, from the store too.

    The phone may register again. Exit status 1 when there was none.
    """
    result = only(server, command="remove", aor=aor)
    click.echo(json.dumps(result) if as_json else f"removed {result['removed']} of {result['aor']}")
    raise SystemExit(0 if result["removed"] else 1)


@ctl.command()
@AS_JSON
@click.pass_obj
def drain(server: Server, as_json: bool) -> None:
    """Refuse new calls, let running transactions finish, and end, as SIGTERM does."""
    result = only(server, command="drain")
    already = "was draining already" if result["already"] else "drains, and ends when nothing runs"
    click.echo(json.dumps(result) if as_json else already)


@ctl.command(name="reload")
@AS_JSON
@click.pass_obj
def reload_(server: Server, as_json: bool) -> None:
    """Read the configuration, the route, certificates and users again, as SIGHUP does.

    Where something is wrong, or needs a restart, all stays as it was, each fault is named, and the exit
    status is 1.
    """
    result = only(server, command="reload")
    if as_json:
        click.echo(json.dumps(result))
    else:
        if result["reloaded"]:
            click.echo(f"read again: {', '.join(result['reloaded'])}")
        for line in result["failed"]:
            click.echo(f"failed: {line}")
    raise SystemExit(1 if result["failed"] else 0)


def _row(part: dict[str, Any]) -> tuple[str, ...]:
    left = part["expires_in"]
    return (
        plain(part["aor"]),
        plain(part["contact"]),
        "" if part["q"] is None else f"{part['q']:g}",
        "never" if left is None else _span(left),
        plain(part["received"] or ""),
        _health(part["rtt"], part["unanswered"]),
        plain(part["user_agent"] or ""),
    )


def _health(rtt: float | None, unanswered: int) -> str:
    """Return how a phone answers its keepalives: the last round trip, or how many it left unanswered."""
    if unanswered:
        return f"{unanswered} unanswered"
    return "" if rtt is None else f"{1000 * rtt:.1f} ms"


def table(rows: list[tuple[str, ...]]) -> None:
    """Print ``rows``, the columns as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def plain(text: str) -> str:
    """Return a peer's text for a terminal, without unprintable characters."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _figure(name: str, value: Any) -> str:
    if name == "uptime":
        return _span(value)
    if name == "memory":
        return "unknown" if value is None else f"{value / 2**20:,.1f} MiB"
    return f"{value:,}" if isinstance(value, int) and name != "pid" else str(value)


def _span(seconds: float) -> str:
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days} d {hour} h"
    return f"{hour} h {minute:02} min" if hour else f"{minute} min {second:02} s" if minute else f"{second} s"
