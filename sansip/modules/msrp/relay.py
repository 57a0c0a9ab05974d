"""The rules of a relay (RFC 4976 6): which requests pass, which way, and who hears when one does not.

Theory of operation: a request passes where its first URI is one that the relay has handed out, and where it
comes from the client that got the URI, or goes to that client. So a stranger reaches nobody but who gave out
a URI, and nobody is reached by a stranger's path. Each hop moves the first URI of To-Path to From-Path. A
path may lead through the relay twice, where both ends use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sansip.modules.msrp.chunk import Chunk, Sent
from sansip.msrp import ABORTED, COMPLETE, ByteRange, Head, MsrpError, MsrpUri
from sansip.msrp.head import PHRASES

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.modules.msrp.parts import Hop
    from sansip.modules.msrp.sessions import Sessions
    from sansip.modules.msrp.settings import MsrpSettings

__all__ = ["Refused", "Rules"]

# URIs in the paths of a request. RFC 4975 sets no bound; more are a way to make relays send each other large
# heads.
PATH: Final = 16
Path = tuple[MsrpUri, ...]


class Refused(Exception):
    """A request that does not pass. ``status``; 0 where its connection has to be closed (RFC 4976 6.2)."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Rules:
    """What the relay does with the messages of its connections."""

    core: Core
    settings: MsrpSettings
    sessions: Sessions

    def token(self) -> str:
        """Return a transaction identifier of 64 random bits (RFC 4975 7.1)."""
        return self.core.entropy.token()

    # --- what the module adds

    def is_own(self, uri: MsrpUri) -> bool:
        """Whether ``uri``, with which a message came here, names this relay; a balancer may have its port."""
        raise NotImplementedError

    def is_here(self, uri: MsrpUri) -> bool:
        """Whether ``uri``, which a path leads on to, is one of this relay."""
        raise NotImplementedError

    def outward(self, uri: MsrpUri, user: str, now: float) -> Hop:
        """Return a connection to the next hop ``uri`` for ``user``. Raises ``Refused`` where none can be."""
        raise NotImplementedError

    def authenticate(self, side: Hop, head: Head, now: float) -> None:
        """An AUTH for this relay came."""
        raise NotImplementedError

    def others(self) -> list[Hop]:
        """Return the connections to relays that have proved who they are."""
        raise NotImplementedError

    def refused(self, side: Hop, reason: str) -> None:
        """Something of ``side`` did not pass."""
        raise NotImplementedError

    # --- which way

    def _way(self, side: Hop, head: Head, now: float) -> tuple[Hop | None, Path, Path]:
        """Return where ``head`` goes, None for the relay itself, and its paths there. Raises ``Refused``."""
        self._check_own(head)
        self._check_length(head)
        to, back = head.to_path, head.from_path
        previous: Hop | None = side
        while True:
            session = self.sessions.find(to[0].session_id)
            if session is None:
                raise Refused(481, "a URI that is not, or no more, handed out")
            if not session.is_of(previous):
                # RFC 4976 6.4: else it has to go to the client that got the URI, over its connection.
                if len(to) < 2:
                    raise Refused(481, "the path ends at this relay")
                if not session.leads_to(to[1]):
                    raise Refused(481, f"the path leads on to {to[1].text[:80]!r}, which did not get its URI")
                return session.side, to[1:], (to[0], *back)
            if len(to) == 1:
                return None, to, back
            to, back = to[1:], (to[0], *back)
            if not self.is_here(to[0]):
                return self.outward(to[0], session.user, now), to, back
            # Both ends use this relay: now it comes from the relay, and may only go inward.
            previous = None

    def _check_own(self, head: Head) -> None:
        if not self.is_own(head.to_path[0]):
            # RFC 4976 6.2: the connection is dropped.
            raise Refused(0, f"the path begins with {head.to_path[0].text[:80]!r}, which is not this relay")

    def _check_length(self, head: Head) -> None:
        count = len(head.to_path) + len(head.from_path)
        if count > PATH:
            raise Refused(400, f"{count} URIs in the paths")

    # --- SEND

    def begin(self, side: Hop, head: Head, now: float) -> Chunk | None:
        """A SEND begins; return what carries it on, or None where the rest of it is thrown away."""
        try:
            self._check_own(head)
            if not head.message_id:
                raise Refused(400, "a SEND without Message-ID")
            try:
                place = head.byte_range
            except MsrpError as error:
                raise Refused(400, error.reason) from None
            if place.total is not None and place.total > self.settings.message_size:
                raise Refused(413, f"a message of {place.total} octets (msrp.message_size)")
            target, to, back = self._way(side, head, now)
            if target is None:
                if head.has_body:
                    raise Refused(403, "a message for the relay itself")
                # RFC 4975 7.1: a SEND without a body says that the sender is there.
                self._answer(side, head, 200, now)
                return None
        except Refused as refusal:
            self._refuse(side, head, refusal, now)
            return None
        forwarded = Head("", "SEND", 0, "", to, back, head.fields, head.has_body)
        return Chunk(side, head, forwarded, place.start, place.total, target)

    def more(self, chunk: Chunk, data: bytes, now: float) -> Chunk | None:
        """Octets of a SEND came; return None where the rest is thrown away."""
        if chunk.failed:
            return None
        chunk.held += data
        last = chunk.position + len(chunk.held) - 1
        if last > (self.settings.message_size if chunk.total is None else chunk.total):
            chunk.failed = True
            chunk.target.out.abort(chunk, ABORTED, now)
            said = "more octets than the message has" if chunk.total is not None else "msrp.message_size"
            refusal = Refused(413 if chunk.total is None else 400, said)
            self._refuse(chunk.source, chunk.asked, refusal, now)
            return None
        return chunk

    def finish(self, chunk: Chunk, flag: str, now: float) -> None:
        """The end-line of a SEND came."""
        source, asked = chunk.source, chunk.asked
        if chunk.failed:
            return
        # RFC 4976 6.4.1: at once, and not what the next hop will say.
        self._answer(source, asked, 200, now)
        chunk.end = flag
        if flag == COMPLETE and chunk.total is None and asked.has_body:
            # RFC 4975 7.3.1: now the total is known.
            chunk.total = chunk.position + len(chunk.held) - 1
        self.carry(chunk, now)

    def carry(self, chunk: Chunk, now: float) -> None:
        """Pass on what has come of ``chunk``."""
        if chunk.target.ended:
            self._undelivered(chunk, now)
        else:
            chunk.target.out.pass_on(chunk, now)

    # --- other requests

    def request(self, side: Hop, head: Head, body: bytes | None, now: float) -> None:
        """A whole request came that is no SEND."""
        try:
            if head.method == "AUTH" and len(head.to_path) == 1 and self.is_own(head.to_path[0]):
                self._check_length(head)
                self.authenticate(side, head, now)
                return
            target, to, back = self._way(side, head, now)
        except Refused as refusal:
            self._refuse(side, head, refusal, now)
            return
        if target is None:
            if head.method != "REPORT":
                self._answer(side, head, 501, now)
            return
        forwarded = Head(self.token(), head.method, 0, "", to, back, head.fields, head.has_body)
        sent = None
        if head.method != "REPORT":
            # RFC 4975 7.1.2: REPORT has no response; AUTH and extensions do.
            sent = Sent(now + self.settings.response_time, back=side, request=head)
        side.proved = True
        target.out.request(forwarded, body, sent, now)

    # --- responses

    def response(self, side: Hop, head: Head, now: float) -> None:
        """A response came (RFC 4976 6.4.3)."""
        sent = side.out.answered(head.transaction, head.status)
        if sent is None or len(head.to_path) + len(head.from_path) > PATH or not self.is_own(head.to_path[0]):
            return
        side.proved = True
        if sent.chunk is not None:
            if head.status != 200:
                self._report(sent, head.status, head.comment, now)
            return
        back, request = sent.back, sent.request
        if back is None or request is None or back.ended or len(head.to_path) < 2:
            return
        to, path = head.to_path[1:], (head.to_path[0], *head.from_path)
        while len(to) > 1 and self.is_here(to[0]):
            # Both ends use this relay: as in ``_way``, it moves each of its URIs (RFC 4976 6.4.3).
            to, path = to[1:], (to[0], *path)
        answer = Head(request.transaction, "", head.status, head.comment, to, path, head.fields)
        back.out.frame(answer.whole(), now)
        if request.method == "AUTH" and head.status == 401 and request.get("authorization"):
            stale = "stale=true" in head.get("www-authenticate").lower().replace('"', "")
            self.auth_failed(back, stale, now)

    def auth_failed(self, side: Hop, stale: bool, now: float) -> None:
        """Count an AUTH that failed; RFC 4976 6.3: after several of them the connection ends."""
        if stale:
            return
        side.failures += 1
        if side.failures >= self.settings.failures:
            reason = f"{side.failures} AUTH requests failed (msrp.failures)"
            self.refused(side, reason)
            side.close(reason, now)

    def timed_out(self, sent: Sent, now: float) -> None:
        """The next hop did not answer in time."""
        # RFC 4976 6.4.1: only where every chunk is answered.
        if sent.chunk is not None and sent.chunk.asked.failure_report == "yes":
            self._report(sent, 408, "", now)

    # --- telling the sender

    def _answer(
        self, side: Hop, head: Head, status: int, now: float, fields: list[tuple[str, str]] | None = None
    ) -> None:
        """Answer a request as its Failure-Report wants it (RFC 4975 7.1.4, 7.2)."""
        wanted = head.failure_report if head.method == "SEND" else "yes"
        if status == 200:
            side.proved = True
        if side.ended or wanted == "no" or (wanted == "partial" and status == 200):
            return
        side.out.frame(head.answer(status, fields).whole(), now)

    def _refuse(self, side: Hop, head: Head, refusal: Refused, now: float) -> None:
        self.refused(side, refusal.reason)
        if not refusal.status:
            side.close(refusal.reason, now)
        elif head.method != "REPORT":
            self._answer(side, head, refusal.status, now)

    def _report(self, sent: Sent, status: int, comment: str, now: float) -> None:
        """Tell the sender of a SEND that some of it was not delivered (RFC 4976 6.4.1, 6.4.3)."""
        chunk = sent.chunk
        assert chunk is not None
        asked, source = chunk.asked, chunk.source
        if source.ended or asked.failure_report == "no":
            return
        if status in (413, 481):
            # RFC 4975 10.5: no further octet of this message.
            chunk.failed = True
            chunk.target.out.abort(chunk, ABORTED, now)
        fields = [
            ("Message-ID", asked.message_id),
            ("Byte-Range", str(ByteRange(sent.start, max(sent.end, sent.start - 1), chunk.total))),
            ("Status", f"000 {status:03d} {comment or PHRASES.get(status, '')}".rstrip()),
        ]
        report = Head(self.token(), "REPORT", 0, "", asked.from_path, asked.to_path[:1], fields)
        source.out.frame(report.whole(), now)

    def left(self, side: Hop, now: float) -> None:
        """A connection is gone: its URIs, what was on its way to it, and what it was sending."""
        side.ended = True
        self.sessions.leave(side, self.others())
        if side.chunk is not None:
            side.chunk.failed = True
            side.chunk.target.out.abort(side.chunk, ABORTED, now)
        sents, chunks = side.out.close()
        for sent in sents:
            self.timed_out(sent, now)
        for chunk in chunks:
            self._undelivered(chunk, now)

    def _undelivered(self, chunk: Chunk, now: float) -> None:
        """What ``chunk`` holds cannot be passed on."""
        chunk.failed = True
        end = chunk.position + len(chunk.held) - 1
        chunk.held.clear()
        chunk.source.read(True)
        self._report(Sent(now, chunk, chunk.position, end), 481, "", now)
