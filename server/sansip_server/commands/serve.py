"""``sansip serve``: the options of the server and how they join the configuration.

Theory of operation: options win over the file, the file over the defaults, and
all are held to the same rules. Then ``serving.run_server`` runs the server.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sansip_server.faults import OperatorError

if TYPE_CHECKING:
    from sansip_server.config.schema import Settings
    from sansip_server.workers.worker import Worker

__all__ = ["serve"]

LEVELS = ["debug", "info", "warning", "error"]


@click.command()
@click.option(
    "--config", type=click.Path(path_type=Path), metavar="FILE", help="TOML file; see `sansip check`."
)
@click.option(
    "--listen",
    multiple=True,
    metavar="TRANSPORT:ADDRESS:PORT",
    help="Listen here, like udp:127.0.0.1:5060 or tcp:[::1]:5060; may be repeated.",
)
@click.option(
    "--domain", multiple=True, metavar="NAME", help="Serve the users of this domain; may be repeated."
)
@click.option(
    "--auth",
    type=click.Choice(["none", "digest"]),
    help="none: everybody who reaches the server may register; digest: the users of --store.",
)
@click.option(
    "--store",
    metavar="FILE",
    help="Keep users and registrations in FILE, or a database (URL).  [default: in memory]",
)
@click.option(
    "--control", metavar="PATH", help="Socket for `sansip ctl`.  [default: beside --store, else in /run]"
)
@click.option("--certificate", metavar="FILE", help="Certificate for tls and wss (PEM): tls.certificate.")
@click.option("--key", metavar="FILE", help="Its private key.  [default: in the same file]")
@click.option("--route", metavar="FILE.py", help="Routing script.  [default: sansip.routing.default]")
@click.option(
    "--runtime", metavar="NAME", help="Runtime adapter.  [default: blocking for UDP alone, else asyncio]"
)
@click.option("--workers", metavar="N", help="Processes that serve together, or auto.  [default: 1]")
@click.option("--uvloop/--no-uvloop", default=None, help="Run asyncio on uvloop.  [default: no]")
@click.option("--log-level", type=click.Choice(LEVELS), help="[default: info]")
@click.option("--log-format", type=click.Choice(["text", "json"]), help="[default: text]")
@click.option(
    "--journal",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Record every input and action in FILE, for `sansip replay`.",
)
def serve(
    config: Path | None,
    listen: tuple[str, ...],
    domain: tuple[str, ...],
    certificate: str | None,
    key: str | None,
    log_level: str | None,
    log_format: str | None,
    journal: Path | None,
    **values: Any,
) -> None:
    """Run the server until SIGTERM.

    Without options it listens on UDP and TCP on 127.0.0.1:5060 and [::1]:5060 and
    registers anybody, since only this machine can reach it. Options win over the
    configuration file.
    """
    from sansip_server.config.workers import workers_of
    from sansip_server.serving import run_server

    workers = values.pop("workers")
    if workers is not None:
        values["workers"] = int(workers) if workers.isdecimal() else workers
    values |= {"listen": list(listen), "domains": list(domain)}

    def read() -> Settings:
        settings = _settings(config)
        for name, value in values.items():
            if value not in (None, []):
                setattr(settings, name, value)
        if certificate is not None or key is not None:
            settings.tls.certificate = certificate or settings.tls.certificate
            settings.tls.key = key
        settings.log.level = log_level or settings.log.level  # type: ignore[assignment]  # checked by click
        settings.log.format = log_format or settings.log.format  # type: ignore[assignment]  # checked by click
        _judge(settings)
        return settings

    settings = read()
    lacks = config is None and not listen
    if workers_of(settings) == 1:
        raise SystemExit(run_server(settings, journal=journal, may_lack_ipv6=lacks, read_again=read))
    from sansip_server.workers.running import run_workers

    def work(first: Settings, reloaded: bool, worker: Worker) -> int:
        now = read() if reloaded else first
        return run_server(now, may_lack_ipv6=lacks, read_again=read, worker=worker)

    raise SystemExit(run_workers(settings, work, journal=journal, may_lack_ipv6=lacks, read_again=read))


def _settings(config: Path | None) -> Settings:
    """Return the settings of the file, or the defaults; raise OperatorError naming every fault."""
    from sansip_server.config.load import load_file
    from sansip_server.config.schema import Settings

    if config is None:
        return Settings()
    loaded = load_file(config)
    if loaded.settings is None:
        raise OperatorError(*(fault.text(str(config)) for fault in loaded.faults))
    return loaded.settings


def _judge(settings: Settings) -> None:
    """Hold what came from options to the rules of the file."""
    from sansip_server.config.rules import check_value, cross_faults

    lines = []
    for option, key, values in (
        ("--listen", "listen[]", settings.listen),
        ("--domain", "domains[]", settings.domains),
        ("--runtime", "runtime", [settings.runtime]),
    ):
        for value in values:
            try:
                check_value(key, value)
            except ValueError as error:
                lines.append(f"{option} {value}: {error}")
    if not lines:
        lines = [f"{path}: {problem}" for path, problem in cross_faults(settings)]
    if lines:
        raise OperatorError(*lines)
