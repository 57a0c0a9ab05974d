"""The command ``sansip``: its subcommands and how mistakes are shown.

Theory of operation: one click group. Each subcommand is a file in ``commands`` that imports heavy
packages only when it runs. click would print a usage block for a wrong option; operators (and the
programs that start us) want one line that names the fix, so ``Program.main`` prints that instead.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from sansip_server.commands.bans import bans
from sansip_server.commands.calls import calls, hangup
from sansip_server.commands.check import check
from sansip_server.commands.conformance import conformance
from sansip_server.commands.ctl import ctl
from sansip_server.commands.ha1 import ha1
from sansip_server.commands.import_ import import_
from sansip_server.commands.ladder import ladder
from sansip_server.commands.modules import modules
from sansip_server.commands.parse import parse
from sansip_server.commands.ping import ping
from sansip_server.commands.replay import replay
from sansip_server.commands.serve import serve
from sansip_server.commands.store import store
from sansip_server.commands.token import token
from sansip_server.commands.user import user
from sansip_server.commands.version import version
from sansip_server.faults import EXIT_FAULT, OperatorError
from sansip_server.versions import version_of

__all__ = ["main", "sansip"]


class Program(click.Group):
    """A group whose errors are single lines on standard error."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line and exit: 0 fine, 1 a negative answer, 2 a mistake to mend."""
        try:
            result = super().main(
                args,
                prog_name,
                complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **extra,
            )
        except OperatorError as error:
            for line in error.lines:
                click.echo(f"sansip: {line}", err=True)
            sys.exit(error.exit_code)
        except click.UsageError as error:
            click.echo(help_of(error) or usage_line(error), err=True)
            sys.exit(EXIT_FAULT)
        except click.Abort:
            sys.exit(130)
        except BrokenPipeError:
            # The reader of our output (a pager, `head`) has seen enough.
            sys.stderr.close()
            sys.exit(1)
        sys.exit(result if isinstance(result, int) else 0)


def help_of(error: click.UsageError) -> str | None:
    """Return the help that lists the commands, if the command line ends where one has to follow."""
    # The class is new in click 8.2; older versions print the help themselves.
    kind = getattr(click.exceptions, "NoArgsIsHelpError", ())
    return error.ctx.get_help() if isinstance(error, kind) and error.ctx is not None else None


def usage_line(error: click.UsageError) -> str:
    """Return one line that says what is wrong with the command line and where to read on."""
    command = error.ctx.command_path if error.ctx else "sansip"
    message = " ".join(error.format_message().split())
    if not message.endswith((".", "?", ")")):
        message += "."
    return f"{command}: {message} See '{command} --help'."


def _tell_version(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"sansip {version_of('sansip') or 'not installed'}")
        context.exit()


@click.group(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_tell_version,
    help="Print the version, as `sansip version` does with more.",
)
def sansip() -> None:
    """SIP server, registrar and proxy on a sans-I/O core.

    \b
    sansip serve                        run a server for this machine on port 5060
    sansip ping sip:127.0.0.1           is it up, and how fast does it answer?
    """


for command in (
    serve,
    ctl,
    store,
    import_,
    check,
    modules,
    parse,
    ping,
    replay,
    conformance,
    ladder,
    token,
    user,
    ha1,
    version,
):
    sansip.add_command(command)

for command in (bans, calls, hangup):
    ctl.add_command(command)

main = sansip
