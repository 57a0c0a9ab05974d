"""``sansip check FILE``: judge a configuration file, and start nothing.

Theory of operation: all faults at once, each with its line; the routing script
that the file names is loaded too, since a server that starts at night should
not be the first to find its syntax error.
"""

from __future__ import annotations

from pathlib import Path

import click

from sansip_server.faults import EXIT_FAULT, OperatorError

__all__ = ["check"]


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="The verdict as one JSON object.")
def check(file: Path, as_json: bool) -> None:
    """Validate the TOML configuration FILE.

    Every faulty key is named with its line and what was expected. Exit status
    0 when the file is good, 2 when it is not.
    """
    import json

    from sansip_server.config.load import ConfigFault, load_file
    from sansip_server.routes import load_route

    loaded = load_file(file)
    faults = loaded.faults
    if loaded.route is not None:
        try:
            load_route(loaded.route)
        except OperatorError as error:
            faults += [ConfigFault("route", line) for line in error.lines]
    if as_json:
        click.echo(
            json.dumps(
                {
                    "file": str(file),
                    "ok": not faults,
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
            f"{file}: {count} fault{'s' if count > 1 else ''}; every key: docs/configuration.md", err=True
        )
    elif loaded.settings is not None:
        click.echo(f"{file}: good; listens on {', '.join(loaded.settings.listen)}")
    if faults:
        raise SystemExit(EXIT_FAULT)
