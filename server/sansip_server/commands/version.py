"""``sansip version``: which sansip, which Python, which runtimes and accelerators."""

from __future__ import annotations

import click

from sansip_server.versions import version_of

__all__ = ["version"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def version(as_json: bool) -> None:
    """Print the versions of sansip, Python and what it runs on."""
    import json
    import platform

    from sansip.wire.head import HAS_SCANNER
    from sansip_server.runtimes import installed_runtimes

    runtimes = installed_runtimes()
    facts = {
        "sansip": version_of("sansip") or "not installed",
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "runtimes": runtimes,
        "uvloop": version_of("uvloop"),
        "scanner": "C" if HAS_SCANNER else "Python",
    }
    if as_json:
        click.echo(json.dumps(facts))
        return
    click.echo(f"sansip {facts['sansip']}")
    click.echo(f"{facts['implementation']} {facts['python']} on {facts['platform']}")
    uvloop = f", uvloop {facts['uvloop']}" if facts["uvloop"] else ""
    click.echo(f"runtimes: {', '.join(runtimes)}{uvloop}")
    click.echo(f"messages are read in {facts['scanner']}")
