"""``sansip ping URI``: is it up, what is it, and how fast does it answer?

Theory of operation: an OPTIONS request (RFC 3261 11) asks a server or a phone
for its capabilities; any final response, even a refusal, proves that it is there.
``pinger`` sends and measures; this file understands the target and prints.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from sansip_server.faults import OperatorError, os_reason

if TYPE_CHECKING:
    from sansip.transport.dns import Place
    from sansip.transport.next_hop import NextHop
    from sansip_server.pinger import Reply, Target
    from sansip_sockets.tls import TlsContexts

__all__ = ["find_targets", "ping"]

# Written out, because `--help` does not load the engine; a test compares it with the engine's table.
PINGED = ["udp", "tcp", "tls", "ws", "wss"]


@click.command()
@click.argument("uri")
@click.option(
    "-c", "--count", type=click.IntRange(0), default=1, show_default=True, help="Requests; 0 is endless."
)
@click.option(
    "-i",
    "--interval",
    type=click.FloatRange(0),
    default=1.0,
    show_default=True,
    help="Seconds between requests.",
)
@click.option(
    "-t",
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=5.0,
    show_default=True,
    help="Seconds to wait for each answer; RFC 3261 gives up after 32.",
)
@click.option(
    "-T",
    "--transport",
    type=click.Choice(PINGED),
    help="Default: what the URI says, else what DNS says (NAPTR, SRV), else udp.",
)
@click.option(
    "--ca", metavar="FILE", help="Authorities that the server's certificate is checked against (PEM)."
)
@click.option("--insecure", is_flag=True, help="Take any certificate.")
@click.option(
    "--certificate", metavar="FILE", help="Certificate to show to a server that asks for one (PEM)."
)
@click.option("--key", metavar="FILE", help="Its private key.  [default: in the same file]")
@click.option("--path", metavar="PATH", default="/", show_default=True, help="Path of a WebSocket.")
@click.option("--dns", metavar="ADDRESS", help="Name server to ask.  [default: those of the machine]")
@click.option("--from", "from_uri", metavar="URI", help="Who asks, in From.")
@click.option("-v", "--verbose", is_flag=True, help="Print every message sent and received.")
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON object per request, then one with the totals."
)
def ping(
    uri: str,
    count: int,
    interval: float,
    timeout: float,
    transport: str | None,
    ca: str | None,
    insecure: bool,
    certificate: str | None,
    key: str | None,
    path: str,
    dns: str | None,
    from_uri: str | None,
    verbose: bool,
    as_json: bool,
) -> None:
    """Send OPTIONS to URI and print the status and the round-trip time.

    URI is a SIP URI (sip:alice@192.0.2.1:5060;transport=tcp) or just a host with or
    without a port; IPv6 addresses stand in brackets. A name is looked up as RFC 3263
    says. Over UDP requests are resent by the timers of RFC 3261. Over TLS and WSS the
    server must prove to be the host of the URI (RFC 5922 7.3). Exit status 0 when there
    was a final response, 1 when there was none.
    """
    from sansip.errors import SipError
    from sansip.transport.transports import SECURE
    from sansip.wire import parse_uri
    from sansip_server.pinger import Pinger
    from sansip_server.versions import version_of

    targets = find_targets(uri, transport, dns)
    tls = None
    if any(target.transport in SECURE for target in targets):
        tls = _contexts(ca, insecure, certificate, key)
    if not path.startswith("/"):
        raise OperatorError(f"--path {path}: expected a path that begins with /, like /ws")
    if from_uri is not None:
        try:
            parse_uri(from_uri)
        except SipError as error:
            raise OperatorError(
                f"--from {from_uri!r} is no URI: {error}; expected one like sip:me@example.org"
            ) from None
    agent = f"sansip/{version_of('sansip') or '0'}"

    def begin(target: Target) -> Pinger:
        if not as_json:
            click.echo(f"OPTIONS {target.uri} to {target}")
        trace = _print_message if verbose else None
        return Pinger(target, from_uri=from_uri, user_agent=agent, tls=tls, path=path, trace=trace)

    pinger = begin(targets.pop(0))
    replies: list[Reply] = []
    try:
        while not count or len(replies) < count:
            if replies:
                time.sleep(interval)
            reply = pinger.ping(len(replies) + 1, timeout)
            _print_reply(reply, pinger.target, as_json)
            if reply.status is None and reply.reason != "timeout" and not replies and targets:
                # A name may have several addresses, and a server listen on one of them.
                pinger.close()
                pinger = begin(targets.pop(0))
                continue
            replies.append(reply)
    except KeyboardInterrupt:
        click.echo(err=True)
    finally:
        pinger.close()
    _print_totals(replies, as_json, many=count != 1)
    if not any(reply.status for reply in replies):
        raise SystemExit(1)


def _contexts(ca: str | None, insecure: bool, certificate: str | None, key: str | None) -> TlsContexts:
    from sansip_sockets.tls import TlsConfig, TlsContexts, TlsError

    config = TlsConfig(certificate=certificate, key=key, authorities=ca, verify_servers=not insecure)
    try:
        return TlsContexts(config)
    except TlsError as error:
        raise OperatorError(str(error)) from None


def find_targets(text: str, transport: str | None = None, dns: str | None = None) -> list[Target]:
    """Return the addresses of ``text`` (a SIP URI, or host with optional port); raise OperatorError.

    ``dns`` is the name server to ask instead of the machine's.
    """
    from sansip.errors import RemoteProtocolError, SipError
    from sansip.transport.next_hop import next_hop
    from sansip.wire import SipUri, parse_uri
    from sansip_server.pinger import Target

    bare = text.count(":") > 1 and not text.startswith("[") and "@" not in text and not text.startswith("sip")
    candidate = (
        text if text.lower().startswith(("sip:", "sips:")) else f"sip:[{text}]" if bare else f"sip:{text}"
    )
    try:
        uri = parse_uri(candidate)
    except SipError as error:
        raise OperatorError(
            f"{text!r} is no SIP URI: {error}; expected one like sip:192.0.2.1:5060"
        ) from None
    if not isinstance(uri, SipUri):
        raise OperatorError(f"{text!r} is no SIP URI; expected one like sip:192.0.2.1:5060")
    wanted = uri if transport is None else uri.replace(params={**uri.params, "transport": transport})
    try:
        hop = next_hop(wanted)
    except RemoteProtocolError as error:
        raise OperatorError(f"{text!r}: {error.reason}; use --transport udp, tcp, tls, ws or wss") from None
    if hop.transport not in PINGED:
        raise OperatorError(
            f"transport {hop.transport} cannot be pinged; use --transport udp, tcp, tls, ws or wss"
        )
    return [Target(candidate, how, (ip, port), hop.host) for how, ip, port in _places(hop, dns)]


def _places(hop: NextHop, dns: str | None) -> list[Place]:
    """Return where ``hop`` is: by RFC 3263, or by the machine's resolver if no name server answers."""
    import socket

    from sansip.transport.transports import DATAGRAMS
    from sansip_server.config.dns import DnsSettings, dns_config
    from sansip_server.lookup import locate

    try:
        config = dns_config(DnsSettings(servers=[] if dns is None else [dns]))
    except ValueError as error:
        raise OperatorError(f"--dns {dns}: {error}") from None
    assert config is not None
    try:
        return locate(hop, config)
    except LookupError as error:
        failure = str(error)
    if dns is None:
        kind = socket.SOCK_DGRAM if hop.transport in DATAGRAMS else socket.SOCK_STREAM
        try:
            found: list[Any] = socket.getaddrinfo(hop.host, hop.port, type=kind)
        except (OSError, UnicodeError) as error:
            failure = os_reason(error) if isinstance(error, OSError) else "not a host name"
        else:
            return [(hop.transport, address[0], hop.port) for _, _, _, _, address in found]
    raise OperatorError(f"cannot find {hop.host}: {failure}; check the name or use an address")


def _print_message(direction: str, data: bytes) -> None:
    arrow = "sent" if direction == ">" else "received"
    click.echo(f"--- {arrow} {len(data)} octets", err=True)
    for line in data.decode("utf-8", "replace").rstrip("\r\n").split("\n"):
        click.echo(_plain(line.rstrip("\r")), err=True)
    click.echo("---", err=True)


def _print_reply(reply: Reply, target: Target, as_json: bool) -> None:
    if as_json:
        import json

        entry = {
            "seq": reply.seq,
            "answered": reply.status is not None,
            "status": reply.status,
            "reason": reply.reason,
            "rtt_ms": None if reply.rtt_ms is None else round(reply.rtt_ms, 3),
            "server": reply.server,
            "transport": target.transport,
            "address": [*target.address[:2]],
            "retransmissions": max(reply.sent - 1, 0),
        }
        click.echo(json.dumps(entry))
        return
    again = f", sent {reply.sent} times" if reply.sent > 1 else ""
    if reply.status is None:
        click.secho(f"seq={reply.seq} no answer: {reply.reason}{again}", fg="red")
        return
    server = f" server={_plain(reply.server)}" if reply.server else ""
    color = "green" if reply.status < 300 else "yellow"
    status = click.style(f"{reply.status} {_plain(reply.reason)}", fg=color)
    click.echo(f"seq={reply.seq} {status} time={reply.rtt_ms:.3f} ms{again}{server}")


def _plain(text: str) -> str:
    """Return a peer's text without anything that could steer a terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _print_totals(replies: list[Reply], as_json: bool, many: bool) -> None:
    times = [reply.rtt_ms for reply in replies if reply.rtt_ms is not None]
    if as_json:
        import json

        rtt = (
            {
                "min": round(min(times), 3),
                "avg": round(sum(times) / len(times), 3),
                "max": round(max(times), 3),
            }
            if times
            else None
        )
        click.echo(
            json.dumps(
                {
                    "sent": len(replies),
                    "answered": len(times),
                    "lost": len(replies) - len(times),
                    "rtt_ms": rtt,
                }
            )
        )
    elif many:
        line = f"{len(replies)} sent, {len(times)} answered, {len(replies) - len(times)} lost"
        if times:
            line += f"; min/avg/max {min(times):.3f}/{sum(times) / len(times):.3f}/{max(times):.3f} ms"
        click.echo(line)
