"""``sansip check FILE``: judge a configuration file, and start nothing.

Theory of operation: all faults at once, each with its line; the routing script
that the file names is loaded too, since a server that starts at night should
not be the first to find its syntax error.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sansip_server.faults import EXIT_FAULT, OperatorError

if TYPE_CHECKING:
    from sansip_server.config.load import ConfigFault
    from sansip_server.config.schema import Settings

__all__ = ["check"]


def _print_keys(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    """Print the reference of the configuration and end the program."""
    if not wanted or context.resilient_parsing:
        return
    from sansip_server.config.reference import configuration_page

    page = configuration_page()
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.markdown import Markdown

        Console().print(Markdown(page))
    else:
        click.echo(page, nl=False)
    context.exit()


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--keys",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_keys,
    help="Print every key with its default and meaning, and exit.",
)
@click.option("--json", "as_json", is_flag=True, help="The verdict as one JSON object.")
def check(file: Path, as_json: bool) -> None:
    """Validate the TOML configuration FILE.

    Every faulty key is named with its line and what was expected. Exit status
    0 when the file is good, 2 when it is not. What clients will not like about a
    certificate is said, too, and makes no fault.
    """
    import json

    from sansip.module.binding import lacks, wanted
    from sansip_server.config.lines import KeyLines
    from sansip_server.config.load import ConfigFault, load_file
    from sansip_server.modules import uses
    from sansip_server.routes import load_route
    from sansip_server.trial import try_route

    loaded = load_file(file)
    faults = loaded.faults
    # First in a process of its own: a script may do anything when it is imported.
    tried = [] if loaded.route is None else try_route(loaded.route)
    faults += [ConfigFault("route", line) for line in tried]
    if loaded.route is not None and not tried:
        try:
            route = load_route(loaded.route)
            there = {} if loaded.settings is None else loaded.settings.modules
            kinds = {use.kind for use in uses(there)}
            lacking = [kind for kind in wanted(route).values() if kind not in kinds]
            faults += [ConfigFault("route", lacks(route, kind)) for kind in lacking]
        except OperatorError as error:
            faults += [ConfigFault("route", line) for line in error.lines]
    if loaded.settings is not None:
        late = _late_faults(loaded.settings)
        lines = KeyLines(file.read_text("utf-8", "replace"))
        for fault in late:
            fault.line = lines.find(fault.path)
        faults += late
    doubts = [] if loaded.settings is None else _doubts(loaded.settings)
    if loaded.settings is not None and not faults:
        doubts += _module_doubts(loaded.settings)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "file": str(file),
                    "ok": not faults,
                    "doubts": doubts,
                    "faults": [
                        {
                            "path": fault.path,
                            "line": fault.line,
                            "problem": fault.problem,
                            "suggestion": fault.suggestion,
                        }
                        for fault in faults
                    ],
                }
            )
        )
    elif faults:
        for fault in faults:
            click.echo(fault.text(str(file)), err=True)
        count = len(faults)
        click.echo(
            f"{file}: {count} fault{'s' if count > 1 else ''}; `sansip check --keys` tells every key",
            err=True,
        )
    elif loaded.settings is not None:
        for doubt in doubts:
            click.echo(f"{file}: {doubt}", err=True)
        click.echo(f"{file}: good; listens on {', '.join(loaded.settings.listen)}")
    if faults:
        raise SystemExit(EXIT_FAULT)


def _late_faults(settings: Settings) -> list[ConfigFault]:
    """Return the faults that a start or a reload would find, except those of sockets and databases."""
    from sansip_server.access import Access
    from sansip_server.config import build
    from sansip_server.config.dns import dns_config
    from sansip_server.config.load import ConfigFault
    from sansip_server.config.node import node_config
    from sansip_server.config.ua import ua_config

    faults = []
    for path, judge in (
        ("auth", lambda: build.settle(settings)),
        (
            "node",
            lambda: node_config(settings, build.listener_configs(build.listen_addresses(settings))),
        ),
        ("", lambda: Access(settings)),
        ("dns", lambda: dns_config(settings.dns)),
        ("ua", lambda: ua_config(settings.ua)),
    ):
        try:
            judge()
        except OperatorError as error:
            faults += [ConfigFault(path, line) for line in error.lines]
        except ValueError as error:
            faults.append(ConfigFault(path, str(error)))
    return faults + _lacking(settings) + _worker_faults(settings) + _module_faults(settings)


def _lacking(settings: Settings) -> list[ConfigFault]:
    """Return the libraries and the file of keys that a start would not find."""
    from importlib.util import find_spec

    from sansip_server.config.load import ConfigFault
    from sansip_server.targets import is_url

    mysql = (settings.store or "").startswith(("mysql", "mariadb"))
    wanted: dict[str, tuple[str | None, tuple[str, ...], str]] = {
        "location": (settings.location, ("redis",), "redis"),
        "rows": (settings.rows, ("redis",), "redis"),
        "http.keys": (settings.http.keys, ("jwt",), "http"),
        "bearer.keys": (settings.bearer.keys, ("jwt",), "http"),
    }
    if settings.store is not None and is_url(settings.store):
        libraries = ("sqlalchemy", "pymysql" if mysql else "psycopg")
        wanted["store"] = (settings.store, libraries, "mysql" if mysql else "postgresql")
    faults = [
        ConfigFault(path, f"{library} is not installed; pip install 'sansip[{extra}]'")
        for path, (value, libraries, extra) in wanted.items()
        for library in libraries
        if value is not None and find_spec(library) is None
    ]
    for path in ("http.keys", "bearer.keys"):
        file = wanted[path][0]
        if file is not None and not Path(file).is_file():
            problem = f"there is no file {file}; `sansip token NAME --keys {file}` makes one"
            faults.append(ConfigFault(path, problem))
    return faults


def _worker_faults(settings: Settings) -> list[ConfigFault]:
    """Return what several workers cannot serve."""
    from sansip_server.config import build
    from sansip_server.config.load import ConfigFault
    from sansip_server.config.workers import workers_of
    from sansip_server.workers.refusals import refusals

    if workers_of(settings) == 1:
        return []
    try:
        lines = refusals(settings, build.listen_addresses(settings), None)
        return [ConfigFault("workers", line.removeprefix("workers: ")) for line in lines]
    except OperatorError:
        # It is reported already.
        return []


def _module_faults(settings: Settings) -> list[ConfigFault]:
    """Return what the modules say of their settings and of each other, in a stack that nobody serves."""
    from sansip.config import ListenerConfig, StackConfig
    from sansip.module import ModuleFault
    from sansip.stack import Stack
    from sansip.transport.transports import DEFAULT_PORTS, UDP
    from sansip_server.config.load import ConfigFault
    from sansip_server.modules import uses
    from sansip_server.parts import part_faults

    if not settings.modules:
        return []
    listeners = [ListenerConfig(0, UDP, "127.0.0.1", DEFAULT_PORTS[UDP])]
    domains = list(settings.domains) or ["localhost"]
    try:
        Stack(StackConfig(listeners, domains, modules=uses(settings.modules)), bytes(32))
    except ModuleFault as error:
        # The module that speaks stands first; a text may name others, or an extra of pip of the same name.
        text = str(error)
        named = sorted((name for name in settings.modules if name in text), key=text.index)
        path = named[0] if named else ""
        return [ConfigFault(path, str(error).removeprefix(f"{path}: "))]
    except Exception as error:
        # A module's own mistake: it would end a start as well.
        return [ConfigFault("", f"a module cannot be made: {type(error).__name__}: {error}")]
    return [ConfigFault(name, fault) for name, fault in part_faults(settings.modules)]


def _module_doubts(settings: Settings) -> list[str]:
    """Return what the modules have to say of their settings, which have no faults."""
    from sansip_server.modules import uses

    found: list[str] = []
    for use in uses(settings.modules):
        made = use.kind(use.kind.Settings() if use.settings is None else use.settings)
        found += made.doubts()
    return found


def _doubts(settings: Settings) -> list[str]:
    from sansip.module.base import marked
    from sansip.transport.transports import UDP
    from sansip_server.config.listen import check_domain, parse_listen
    from sansip_server.doubts import certificate_doubts
    from sansip_server.modules import uses
    from sansip_sockets.tls import TlsContexts

    doubts = certificate_doubts(TlsContexts(settings.tls), map(check_domain, settings.domains))
    if not settings.http.listen:
        kinds = [use.kind for use in uses(settings.modules)]
        doubts += [
            f"the module {kind.name} answers {method.sansip_mount[0]}, and nothing listens; set http.listen"
            for kind in kinds
            for _, method in marked(kind, "sansip_mount")
        ]
    heard = [one for one in map(parse_listen, settings.listen) if not one.loopback]
    if settings.auth != "digest" and any(UDP in one.transports for one in heard):
        # Only over UDP an address is forged.
        kinds = [use.kind for use in uses(settings.modules)]
        doubts += [f"{kind.name}: {kind.without_passwords}" for kind in kinds if kind.without_passwords]
    return doubts
