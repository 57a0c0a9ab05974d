"""``sansip modules``: the installed modules, their functions, and the order in which they act."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sansip.module import Module

__all__ = ["modules"]


@click.command()
@click.argument("name", required=False)
@click.option("--order", is_flag=True, help="Who acts at each hook and stage, in order.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Only the modules that this configuration uses.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def modules(name: str | None, order: bool, config: Path | None, as_json: bool) -> None:
    """List the modules that are installed, or show all of the module NAME."""
    import json

    from sansip_server.faults import OperatorError, suggestion
    from sansip_server.modules import load, loaded, names

    if name is not None:
        if name not in names():
            meant = suggestion(name, names())
            hint = f"; did you mean {meant}?" if meant else f"; there are {', '.join(names())}"
            raise OperatorError(f"no module {name} is installed{hint}")
        kinds = [load(name)]
    elif config is not None:
        kinds = _configured(config)
    else:
        kinds = loaded()
    facts = _acting(kinds) if order else [_facts(kind) for kind in kinds]
    if as_json:
        click.echo(json.dumps({"order" if order else "modules": facts}))
    elif order:
        for where, who in _acting(kinds).items():
            click.echo(f"{where:<20} {', '.join(who)}")
    elif name is not None:
        _show(kinds[0])
    else:
        _list(kinds)


def _configured(config: Path) -> list[type[Module]]:
    from sansip.module.order import ordered
    from sansip_server.config.load import load_file
    from sansip_server.faults import OperatorError
    from sansip_server.modules import uses

    loaded = load_file(config)
    if loaded.settings is None:
        raise OperatorError(*(fault.text(str(config)) for fault in loaded.faults))
    return ordered(use.kind for use in uses(loaded.settings.modules))


def _facts(kind: type[Module]) -> dict[str, Any]:
    from sansip.module import keys_of
    from sansip.module.base import marked
    from sansip.module.commands import plain_result

    return {
        "name": kind.name,
        "summary": _first_line(kind),
        "class": f"{kind.__module__}:{kind.__qualname__}",
        "by_default": kind.by_default,
        "requires": [one.name for one in kind.requires],
        "settings": [
            {"key": key.name, "default": plain_result(key.default), "doc": key.doc}
            for key in keys_of(kind.Settings)
        ],
        "tables": [{"name": table.name, "version": table.version} for table in kind.tables],
        "functions": [name for name, _ in marked(kind, "sansip_function")],
        "commands": [method.sansip_command[0] for _, method in marked(kind, "sansip_command")],
        "mounts": [method.sansip_mount[0] for _, method in marked(kind, "sansip_mount")],
        "steps": [f"{method.sansip_step}: {name}" for name, method in marked(kind, "sansip_step")],
    }


def _acting(kinds: list[type[Module]]) -> dict[str, list[str]]:
    """Return the modules that act at each hook and stage, in their order."""
    from sansip.module.base import HOOKS, STAGES, Module, marked, rank_of
    from sansip.module.order import BACKWARD, ordered

    given = ordered(kinds)
    found: dict[str, list[str]] = {}
    for hook in HOOKS:
        who = [kind.name for kind in given if getattr(kind, hook) is not getattr(Module, hook)]
        if who:
            found[hook] = who[::-1] if hook in BACKWARD else who
    for stage in STAGES:
        steps = [(kind, method) for kind in given for _, method in marked(kind, "sansip_step")]
        there = [one for one in steps if one[1].sansip_step == stage]
        who = [kind.name for kind, _ in sorted(there, key=lambda one: rank_of(one[1]))]
        if who:
            found[f"stage {stage}"] = who
    return found


def _first_line(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def _list(kinds: list[type[Module]]) -> None:
    width = max((len(kind.name) for kind in kinds), default=0)
    for kind in kinds:
        click.echo(f"{kind.name:<{width}}  {_first_line(kind)}")
    click.echo("\n`sansip modules NAME` shows settings, functions and commands; a table [NAME] in the")
    click.echo("configuration switches one on. Write your own: docs/modules.md")


def _show(kind: type[Module]) -> None:
    from sansip.module import keys_of
    from sansip.module.base import marked
    from sansip_server.config.load import expected
    from sansip_server.config.reference import documentation

    click.echo(f"{kind.name}: {inspect.getdoc(kind) or ''}\n")
    docs = documentation(kind.Settings)
    keys = keys_of(kind.Settings)
    if keys:
        click.echo(f"[{kind.name}]")
    for key in keys:
        click.echo(f"{key.name} = {key.default!r}   # {expected(key.type)}")
        text = key.doc or docs.get(key.name, "")
        if text:
            click.echo(f"    {text}")
    for title, mark in (("functions for routes", "sansip_function"), ("steps", "sansip_step")):
        methods = marked(kind, mark)
        if methods:
            click.echo(f"\n{title}:")
        for name, method in methods:
            click.echo(f"    {name}{inspect.signature(method)}   {_first_line(method)}")
    commands = marked(kind, "sansip_command")
    if commands:
        click.echo("\ncommands:")
    for _, method in commands:
        command, role = method.sansip_command
        click.echo(f"    {command} ({role})   {_first_line(method)}")
    mounts = marked(kind, "sansip_mount")
    if mounts:
        click.echo("\npaths of HTTP:")
    for _, method in mounts:
        path, access, _ = method.sansip_mount
        click.echo(f"    {path} ({access})   {_first_line(method)}")
