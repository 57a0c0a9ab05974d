"""``sansip parse [FILE|-]``: shows the content of a message, and whether a server would take it.

Theory of operation: the input goes through the same parser (and with ``--stream`` the same
framing) as in the server, with its default limits. Standard output is always one JSON document; a
line on standard error repeats the reason of a refusal for people.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from sansip_server.faults import OperatorError, os_reason

if TYPE_CHECKING:
    from typing import BinaryIO

__all__ = ["parse"]

# Far more than any capture of signalling that one wants to read as JSON.
LARGEST_INPUT = 64 * 1024 * 1024


@click.command()
@click.argument("file", default="-", metavar="[FILE|-]")
@click.option(
    "--stream", is_flag=True, help="FILE holds what one side of a TCP connection sent: an array comes out."
)
@click.option("--lf", is_flag=True, help="FILE was edited as text: take LF line ends for CRLF.")
@click.option("--json", "as_json", is_flag=True, help="On one line, even on a terminal.")
def parse(file: str, stream: bool, lf: bool, as_json: bool) -> None:
    """Print a SIP message as JSON: start line, typed headers, body, verdict.

    The message is read from FILE or standard input, as it would come in a
    datagram. Exit status 0 when a server would take it, 1 when it is refused: then
    the JSON gives the reason, the section of the RFC and the status to answer.
    """
    data = _read(file)
    if not data:
        name = "standard input" if file == "-" else file
        raise OperatorError(f"{name} is empty; expected a SIP message")
    if lf:
        data = data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    results = _stream(data) if stream else [_datagram(data)]
    _print(results if stream else results[0], as_json)
    bad = [result for result in results if result["verdict"] in ("refused", "truncated")]
    for result in bad:
        click.echo(_explain(result), err=True)
    if bad and not lf and b"\n" in data and b"\r\n" not in data:
        click.echo("sansip parse: its lines end in LF where SIP has CRLF; --lf takes them for CRLF", err=True)
    if bad:
        raise SystemExit(1)


def _read(file: str) -> bytes:
    try:
        if file == "-":
            return _bounded(sys.stdin.buffer)
        with open(file, "rb") as opened:
            return _bounded(opened)
    except OSError as error:
        raise OperatorError(f"cannot read {file}: {os_reason(error)}") from None


def _bounded(source: BinaryIO) -> bytes:
    data = source.read(LARGEST_INPUT + 1)
    if len(data) > LARGEST_INPUT:
        raise OperatorError(
            f"the input is larger than {LARGEST_INPUT // 1_048_576} MiB; give one connection or message"
        )
    return data


def _datagram(data: bytes) -> dict[str, Any]:
    from sansip.errors import RemoteProtocolError
    from sansip.wire import parse_message
    from sansip_server.rendering import accepted, refused

    try:
        return accepted(parse_message(data), len(data))
    except RemoteProtocolError as error:
        return refused(error, len(data))


def _stream(data: bytes) -> list[dict[str, Any]]:
    """Return a verdict for each message, keepalive and leftover of a stream, with its offset."""
    from sansip.errors import RemoteProtocolError
    from sansip.transport import PING, StreamFramer
    from sansip.wire import parse_message
    from sansip_server.rendering import accepted, refused

    framer = StreamFramer()
    results: list[dict[str, Any]] = []
    at = 0
    for framed in framer.feed(data):
        if isinstance(framed, RemoteProtocolError):
            if not framer.failed:
                # The message is too large: the command reads on behind it.
                results.append({"offset": at, **refused(framed, 0)})
                continue
            # Framing is lost: where the next message begins cannot be known (RFC 3261 18.3).
            results.append({"offset": at, **refused(framed, len(data) - at), "unread": len(data) - at})
            return results
        at = data.index(framed, at)
        if framed == PING:
            results.append({"offset": at, "verdict": "keepalive", "size": len(framed)})
        else:
            try:
                verdict = accepted(parse_message(framed, datagram=False), len(framed))
            except RemoteProtocolError as error:
                verdict = refused(error, len(framed))
            results.append({"offset": at, **verdict})
        at += len(framed)
    if framer.tail.strip(b"\r\n"):
        size = len(framer.tail)
        reason = "the stream ends in the middle of a message"
        results.append({"offset": len(data) - size, "verdict": "truncated", "size": size, "reason": reason})
    return results


def _print(document: Any, as_json: bool) -> None:
    import json

    if as_json or not sys.stdout.isatty():
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    from rich.console import Console

    Console(soft_wrap=True).print_json(json.dumps(document), indent=2)


def _explain(result: dict[str, Any]) -> str:
    where = f" at octet {result['offset']}" if "offset" in result else ""
    if result["verdict"] == "truncated":
        return f"sansip parse: truncated{where}: {result['reason']} ({result['size']} octets of it are here)"
    answer = result["answer"]
    then = f"a server answers {answer['status']} {answer['reason']}" if answer else "it gets no answer"
    section = f" ({result['section']})" if result["section"] else ""
    reason = "".join(char if char.isprintable() else "?" for char in result["reason"])
    return f"sansip parse: refused{where}: {reason}{section}; {then}"
