"""rtpengine's ng protocol: ``cookie dictionary``, in bencode (kamailio.md 10.3).

Theory of operation: this file turns an offer, an answer or a deletion into a dictionary, and judges what came
back. A reply must be of the kind that the command wants: a description has as many media, of the same kinds,
as the one that was sent; anything else counts as the relay's failure, and the call goes to the next one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sansip.modules.media import bencode
from sansip.modules.media.asking import RelayFailed
from sansip.modules.media.octets import made as made_in
from sansip.modules.media.octets import same_media, spliced

if TYPE_CHECKING:
    from sansip.modules.media.asking import Asked
    from sansip.modules.media.names import Names, Options

__all__ = ["Ng", "composed", "cookie_of", "deletion", "described", "form_of", "made_of"]

# Characters of a relay's words that are shown.
_SHOWN: Final = 80
_PING: Final = bencode.write({"command": "ping"})
# Between the values of a deletion: of the call, and of its offerer.
_DELETION: Final = (b"d7:call-id", b"7:command6:delete8:from-tag")
_DELETION_OF_CALL: Final = (*_DELETION, b"e")


def cookie_of(data: bytes) -> bytes:
    """Return the cookie of a command or its answer: retransmissions have the same."""
    return data.partition(b" ")[0]


class Ng:
    """Commands of the ng protocol."""

    __slots__ = ()

    async def ping(self, relay: Asked, now: float) -> float:
        """Return when it answered. Raises ``RelayFailed``."""
        data, now = await relay.ask(_PING, True)
        try:
            reply = bencode.read(data, len(cookie_of(data)) + 1)
        except (ValueError, RecursionError):
            reply = None
        if not isinstance(reply, dict) or reply.get("result") != b"pong":
            raise relay.broke("it answers a ping with something else", now)
        return now

    async def offer(
        self, relay: Asked, names: Names, sdp: bytes, options: Options, now: float
    ) -> tuple[bytes, float]:
        """Return the description that goes on, and when. Raises ``RelayFailed``."""
        data, now = await relay.ask(described("offer", names, sdp, options))
        return made_of(relay, "offer", sdp, data, now), now

    async def answer(
        self, relay: Asked, names: Names, sdp: bytes, options: Options, now: float
    ) -> tuple[bytes, float]:
        """The same for an answer."""
        data, now = await relay.ask(described("answer", names, sdp, options))
        return made_of(relay, "answer", sdp, data, now), now

    def is_answer(self, data: bytes) -> bool:
        """Whether ``data``, which has a cookie of ours, is what a relay says that lives."""
        return b" d" in data[:40] and b"6:result" in data

    def deletion(self, names: Names) -> bytes:
        """Return the command to forget the branch, or the call where ``label`` is empty."""
        return deletion(names.call, names.label, names.offerer, names.answerer)

    async def command(self, relay: Asked, asked: dict[str, Any], now: float) -> tuple[dict[str, Any], float]:
        """Return the reply and when it came. Raises ``RelayFailed`` where there is none, or an error."""
        data, now = await relay.ask(bencode.write(asked))
        return _read(relay, asked["command"], data, now), now


def deletion(call: str, label: str, offerer: str, answerer: str) -> bytes:
    """Return the command to forget a branch, or the call where ``label`` is empty."""
    made: bytes
    if answerer and label:
        made = spliced((*_DELETION, b"6:to-tag", b"10:via-branch", b"e"), call, offerer, answerer, label)
    elif answerer:
        made = spliced((*_DELETION, b"6:to-tag", b"e"), call, offerer, answerer)
    elif label:
        made = spliced((*_DELETION, b"10:via-branch", b"e"), call, offerer, label)
    else:
        made = spliced(_DELETION_OF_CALL, call, offerer)
    return made


def described(command: str, names: Names, sdp: bytes, options: Options) -> bytes:
    """Return an offer or an answer of ``sdp``."""
    return composed(command, names.call, names.label, names.offerer, names.answerer, sdp, options)


def composed(
    command: str, call: str, label: str, offerer: str, answerer: str, sdp: bytes, options: Options
) -> bytes:
    """Return ``described`` of these names: all but them and ``sdp`` is written once for ``options``."""
    form = form_of(command, options, bool(answerer), bool(label))
    made: bytes
    if answerer and label:
        made = spliced(form, call, offerer, sdp, answerer, label)
    elif answerer or label:
        made = spliced(form, call, offerer, sdp, answerer or label)
    else:
        made = spliced(form, call, offerer, sdp)
    return made


def form_of(command: str, options: Options, answered: bool, labelled: bool) -> tuple[bytes, ...]:
    """Return what stands between the values of such a command: call, offerer, description, answerer, label.

    Those of the last two that it has.
    """
    kind = (command, answered, labelled)
    form = options.forms.get(kind)
    if form is None:
        form = options.forms[kind] = _form(command, answered, labelled, options)
    return form


def _form(command: str, answered: bool, labelled: bool, options: Options) -> tuple[bytes, ...]:
    """Return ``form_of`` a command for the first time."""
    asked: dict[str, Any] = {
        "command": command,
        "replace": ["origin", "session-connection"],
        # Without it a relay that is full says "error", as for any fault.
        "supports": ["load limit"],
        **options.keys,
    }
    if options.flags:
        asked["flags"] = list(options.flags)
    if options.family:
        asked["address-family"] = options.family
    own = {"call-id": True, "from-tag": True, "sdp": True, "to-tag": answered, "via-branch": labelled}
    parts: list[bytes] = []
    part = b"d"
    for name in sorted(asked.keys() | {one for one, used in own.items() if used}):
        part += bencode.write(name)
        if own.get(name):
            parts.append(part)
            part = b""
        else:
            part += bencode.write(asked[name])
    return (*parts, part + b"e")


def made_of(relay: Asked, command: str, sdp: bytes, data: bytes, now: float) -> bytes:
    """Return the description in the reply ``data`` to a command with ``sdp``. Raises ``RelayFailed``."""
    # RFC 8866 5.1, 5.14: it has the media that were sent, the kinds of the m= lines in order: no answer to
    # another call does. Nothing else of it is read here.
    made: bytes | None = made_in(data, sdp)
    if made is None:
        found = _read(relay, command, data, now).get("sdp")
        if not isinstance(found, bytes) or not found.startswith(b"v=0") or not same_media(sdp, found):
            raise relay.odd(f"its answer to an {command} has no description that fits", now)
        made = found
    if relay.doubted:
        relay.worked()
    return made


def _read(relay: Asked, command: str, data: bytes, now: float) -> dict[str, Any]:
    """Return a reply that says "ok". Raises ``RelayFailed`` for any other."""
    try:
        reply = bencode.read(data, len(cookie_of(data)) + 1)
    except (ValueError, RecursionError) as error:
        raise relay.odd(f"its answer is no bencode: {error}", now) from None
    if not isinstance(reply, dict):
        raise relay.odd("its answer is no dictionary", now)
    result = reply.get("result")
    if result in (b"ok", b"pong"):
        return reply
    if result == b"load limit":
        # It lives, and has no room: the next one is asked, and this one after a while.
        raise relay.is_full(now)
    if result == b"error":
        why = _words(reply.get("error-reason"))
        raise RelayFailed(f"{relay.uri} refused {command}: {why}", now)
    raise relay.odd(f"its answer has no result, but {_words(result)!r}", now)


def _words(value: Any) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return "".join(c if c.isprintable() else "?" for c in text[:_SHOWN])
