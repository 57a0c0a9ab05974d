"""Answer calls to the user "echo" here, with a description that receives nothing, and hang up after a while.

The shortest route that is a user agent server: the 200 is repeated until its ACK, and the call ends with the
BYE of one side or the other.

    sansip serve --route examples/routes/answering.py
"""

from __future__ import annotations

from sansip.routing import IncomingRequest, sleep
from sansip.routing.default import route as default_route

SECONDS = 30
# Port 9 discards (RFC 863): this server has no media of its own.
SDP = (
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"m=audio 9 RTP/AVP 0\r\na=inactive\r\n"
)


async def route(request: IncomingRequest) -> None:
    """Take INVITEs for "echo"; everything else goes the default way."""
    if request.method != "INVITE" or request.in_dialog or request.user != "echo":
        await default_route(request)
        return
    incoming = request.incoming()
    if incoming is not None:
        incoming.ring()
        call = await incoming.accept(SDP)
        await sleep(SECONDS)
        await call.bye()
