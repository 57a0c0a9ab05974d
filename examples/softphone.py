"""A softphone on the command line: registers, calls, is called, holds, transfers, hangs up. It has no media.

    python examples/softphone.py sip:alice@example.org --server 192.0.2.1 --password secret

Then type a line for each command: ``call sip:bob@example.org``, ``cancel 1``, ``answer 1``, ``reject 1``,
``hold 2``, ``resume 2``, ``transfer 2 sip:carol@example.org`` (blind), ``transfer 2 3`` (the party of call 2
talks to that of call 3), ``bye 2``, ``quit``. Calls have numbers. The phone prints a line for each
event: ``registered``, ``ringing 1 from URI``, ``calling 2 URI``, ``talking 1``, ``ended 1 BYE``.

The phone is a sansip stack of its own: the stack below ``server.act`` does everything that SIP asks of a
phone. This file does the rest: it turns words into verbs, and events into lines.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import sansip_asyncio
from sansip import ListenerConfig, Stack, StackConfig
from sansip.auth import Account
from sansip.errors import LocalProtocolError
from sansip.events import CallOffered, CallPlaced, CallProgressed, CallTransferred, UpstreamChanged
from sansip.module import Use
from sansip.modules.upstream import UpstreamConfig, UpstreamRegistration, Upstreams
from sansip.routing import IncomingRequest, TrustedPeer
from sansip.ua import RequestRefused, UserAgentConfig
from sansip.wire import SipUri, parse_uri

# Port 9 discards (RFC 863): give the address of your media here.
SDP = (
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"m=audio 9 RTP/AVP 0\r\na=sendrecv\r\n"
)


def route(request: IncomingRequest) -> None:
    """Leave calls to the program (``CallOffered``); answer OPTIONS, and refuse everything else."""
    if request.method == "INVITE":
        incoming = request.incoming()
        if incoming is not None:
            incoming.ring()
            incoming.hand_out()
    elif request.method == "OPTIONS":
        request.reply(200)
    else:
        request.reply(405, headers=[("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS")])


class Phone:
    """One phone. ``say`` gets a line for each event."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._server: sansip_asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def attach(self, server: sansip_asyncio.Server) -> None:
        """Act by ``server`` from now on."""
        self._server = server

    # --- what happens

    def notify(self, event: Any) -> None:
        """Take an event of the stack."""
        if isinstance(event, UpstreamChanged):
            self._say("registered" if event.registered else f"not registered: {event.reason}")
        elif isinstance(event, CallOffered):
            self._say(f"ringing {event.number} from {event.caller}")
            if event.replaces:
                # RFC 3891 3: the user is talking already; the other side has changed.
                self.begin(self.answer(str(event.number)))
        elif isinstance(event, CallPlaced):
            self._say(f"calling {event.number} {event.callee}")
        elif isinstance(event, CallProgressed):
            self._say(f"progress {event.number} {event.status}")
        elif isinstance(event, CallTransferred):
            self._say(f"transferred {event.number} to {event.target}")
            self.begin(self._talk(event.new))

    async def _talk(self, number: int) -> None:
        """Report the beginning of a call, and its end."""
        self._say(f"talking {number}")
        reason = await self._act("over", number)
        self._say(f"ended {number} {reason}")

    # --- what the user wants

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Do ``work`` beside everything else; if it fails, report why."""

        async def guarded() -> None:
            try:
                await work
            except (RequestRefused, LocalProtocolError) as error:
                self._say(f"failed: {error}")

        task = asyncio.create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def command(self, line: str) -> None:
        """Do the command in ``line``."""
        word, *given = line.split()
        verbs: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
            "call": self.call,
            "cancel": self.cancel,
            "answer": self.answer,
            "reject": self.reject,
            "hold": self.hold,
            "resume": self.resume,
            "transfer": self.transfer,
            "bye": self.bye,
        }
        try:
            work = verbs[word](*given)
        except (KeyError, TypeError):
            self._say(f"expected one of {', '.join(verbs)} or quit, with a URI or the number of a call")
        else:
            self.begin(work)

    async def call(self, uri: str) -> None:
        """Call ``uri``."""
        call = await self._act("invite", uri=uri, sdp=SDP)
        self.begin(self._talk(call.number))

    async def cancel(self, number: str) -> None:
        """Give up a call that is not answered yet."""
        await self._act("cancel", int(number))

    async def answer(self, number: str) -> None:
        """Take a call that rings."""
        call = await self._act("accept", int(number), sdp=SDP)
        self.begin(self._talk(call.number))

    async def reject(self, number: str) -> None:
        """Be busy."""
        await self._act("reject", int(number))

    async def hold(self, number: str) -> None:
        """Put the other side on hold."""
        await self._act("hold", int(number))
        self._say(f"holding {number}")

    async def resume(self, number: str) -> None:
        """Talk again."""
        await self._act("resume", int(number))
        self._say(f"resumed {number}")

    async def transfer(self, number: str, to: str) -> None:
        """Transfer the party of call ``number`` to ``to``, or to the party of another call of ours."""
        wish: dict[str, Any] = {"replaces": int(to)} if to.isdigit() else {"to": to}
        status = await self._act("transfer", int(number), **wish)
        self._say(f"transfer {number} {status}")
        if status < 300:
            # RFC 5589 6.1: the two talk, and this phone leaves.
            await self._act("bye", int(number))

    async def bye(self, number: str) -> None:
        """Hang up."""
        await self._act("bye", int(number))

    async def _act(self, verb: str, number: int = 0, **given: Any) -> Any:
        assert self._server is not None
        return await self._server.act(verb, number, **given)


def stack_of(options: argparse.Namespace, listeners: list[ListenerConfig]) -> Stack:
    """Return the stack of a phone; its sockets are known now."""
    aor = parse_uri(options.aor)
    if not isinstance(aor, SipUri) or not aor.user:
        raise SystemExit(f"{options.aor} is no address like sip:alice@example.org")
    proxy = f"sip:{options.server}:{options.port};transport={options.transport}"
    account = Account((options.server,), options.realm or aor.host, aor.user, options.password)
    registration = UpstreamRegistration(options.aor, account, proxy, aor.user)
    config = StackConfig(
        listeners,
        route=route,
        accounts=[account],
        # Our server authenticates callers; other peers do not call this phone directly.
        trusted=[TrustedPeer(options.server)],
        modules=[Use(Upstreams, UpstreamConfig([registration]))],
        ua=UserAgentConfig(identity=options.aor, user=aor.user, outbound=proxy, transfers=options.transfers),
    )
    return Stack(config, os.urandom(32))


async def main(arguments: Sequence[str] | None = None) -> None:
    """Run the phone until ``quit``, or the end of the input."""
    parser = argparse.ArgumentParser(description="A softphone without media.")
    parser.add_argument("aor", help="who we are, sip:alice@example.org")
    parser.add_argument("--server", required=True, help="IP address of our registrar and proxy")
    parser.add_argument("--port", type=int, default=5060)
    parser.add_argument("--transport", choices=("udp", "tcp"), default="udp")
    parser.add_argument("--password", default="unused")
    parser.add_argument("--realm", help="by default the domain")
    parser.add_argument("--bind", default="127.0.0.1", help="our own IP address")
    parser.add_argument(
        "--transfers", choices=("accept", "refuse"), default="refuse", help="what a REFER gets"
    )
    options = parser.parse_args(arguments)

    phone = Phone(lambda line: print(line, flush=True))
    listeners = [ListenerConfig(number, one, options.bind, 0) for number, one in enumerate(("udp", "tcp"))]
    async with sansip_asyncio.serve(
        lambda bound: stack_of(options, bound), listeners, notify=phone.notify
    ) as server:
        phone.attach(server)
        while line := await asyncio.to_thread(sys.stdin.readline):
            if line.strip() == "quit":
                break
            if line.strip():
                phone.command(line)
        # Removes the registration, and lets running calls and transactions end.
        await server.drain(5.0)


if __name__ == "__main__":
    asyncio.run(main())
