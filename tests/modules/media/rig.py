"""A stack with the module ``media``, and relays that answer at once, on a virtual clock."""

from __future__ import annotations

from typing import Any, ClassVar

from sansip.actions import SendDatagram
from sansip.module import Use
from sansip.modules.calls import Calls, CallsSettings
from sansip.modules.media import Media, MediaSettings, RelaySettings
from tests.relays import Engine, Proxy
from tests.rig import ALICE, BOB, Out, Rig, only, reply, request

__all__ = ["FIRST", "SDP", "SECOND", "TYPE", "MediaRig", "answer_sdp", "settings", "two"]

FIRST, SECOND = ("198.51.100.1", 2223), ("198.51.100.2", 2223)
SDP = (
    b"v=0\r\no=alice 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 0 8\r\na=x:1\r\n"
)
TYPE = [("Content-Type", "application/sdp")]


def answer_sdp(port: int = 5000) -> bytes:
    """What a callee answers."""
    return SDP.replace(b"192.0.2.1", b"192.0.2.2").replace(b"audio 4000", b"audio %d" % port)


def settings(*relays: Any, **options: Any) -> MediaSettings:
    """Settings with these relays, each call gets one."""
    found = [RelaySettings(f"{'rtpproxy' if kind is Proxy else 'ng'}:{at[0]}:{at[1]}") for at, kind in relays]
    return MediaSettings(found, **{"profiles": ["always"], "probe_interval": 0.0, **options})


class MediaRig(Rig):
    """``relays``: where each of the fake relays is; ``calls``: with the module of that name."""

    # Unless ``calls`` says so.
    with_calls: ClassVar[bool] = True

    def __init__(
        self,
        relays: dict[Any, Any] | None = None,
        route: Any = None,
        calls: bool | None = None,
        **options: Any,
    ) -> None:
        self.relays: dict[Any, Any] = {FIRST: Engine()} if relays is None else relays
        self.octets: list[tuple[float, Any, bytes]] = []
        made = settings(*((at, type(one)) for at, one in self.relays.items()), **options.pop("media", {}))
        uses = [
            Use(Media, made),
            *([Use(Calls, CallsSettings())] if (self.with_calls if calls is None else calls) else []),
        ]
        super().__init__(route, modules=uses, **options)
        self.wait(0.001)
        self.register("sip:bob@192.0.2.2")
        self.log.clear()

    @property
    def media(self) -> Media:
        return self.stack.modules.get(Media)

    @property
    def engine(self) -> Engine:
        found = self.relays[FIRST]
        assert isinstance(found, Engine)
        return found

    def take(self, actions: list[Any]) -> list[Out]:
        outs: list[Out] = []
        for action in actions:
            if isinstance(action, SendDatagram) and action.listener < 0:
                outs += self._to_relay(action)
            else:
                outs += super().take([action])
        return outs

    def _to_relay(self, action: SendDatagram) -> list[Out]:
        self.octets.append((self.now, action.address, action.data))
        try:
            answers = self.relays[action.address].answer(action.data)
        except OSError as error:
            return self.take(self.stack.send_failed(action.owner, str(error), self.now))
        outs: list[Out] = []
        for data in answers:
            outs += self.take(self.stack.datagram_received(action.listener, data, action.address, self.now))
        return outs

    def command(self, name: str, **given: Any) -> Any:
        results: list[Any] = []
        self.take(self.stack.command(name, given, self.now, lambda result, now: results.append(result)))
        return results[0]

    # --- a call

    def invite(self, number: int = 0, body: bytes = SDP, **options: Any) -> list[Out]:
        names = {"branch": f"z9hG4bKc{number}", "from_tag": f"t{number}", "call_id": f"call{number}"}
        headers = [("Contact", "<sip:alice@192.0.2.1>"), *(TYPE if body else []), *options.pop("headers", [])]
        return self.udp(request(headers=headers, body=body, **{**names, **options}))

    def answered(self, number: int = 0, body: bytes = SDP, port: int = 5000) -> tuple[Out, Out]:
        """Have a call be answered and acknowledged; return what both sides got."""
        invite = only(self.invite(number, body), "INVITE")
        ok = only(self.udp(reply(invite, 200, headers=TYPE, body=answer_sdp(port)), BOB), "200")
        self.within("ACK", number)
        return invite, ok

    def within(
        self, method: str, number: int = 0, *, body: bytes = b"", cseq: int = 1, **options: Any
    ) -> list[Out]:
        """A request of the caller within its dialog."""
        headers = [("Route", self.route()), ("Contact", "<sip:alice@192.0.2.1>"), *(TYPE if body else [])]
        headers += options.pop("headers", [])
        names = {
            "branch": f"z9hG4bK{method}{number}{cseq}",
            "from_tag": f"t{number}",
            "call_id": f"call{number}",
            "to_tag": "bob",
        }
        data = request(
            method,
            options.pop("uri", "sip:bob@192.0.2.2"),
            cseq=cseq,
            headers=headers,
            body=body,
            **{**names, **options},
        )
        return self.udp(data, ALICE)


def two(first: str = "good", second: str = "good", **options: Any) -> MediaRig:
    """Two relays in these moods."""
    rig = MediaRig({FIRST: Engine("203.0.113.5"), SECOND: Engine("203.0.113.6")}, **options)
    for at, mood in ((FIRST, first), (SECOND, second)):
        rig.relays[at].mood = mood
    return rig
