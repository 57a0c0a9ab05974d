"""Messages: header fields as they came, typed values at the first access.

Theory of operation: reading a message parses no header field. The first access parses a typed value and keeps
it until an edit of that field drops it, so an edit is visible to the next reader. The five fields that are
read of every message have a slot each, the others share a dict. Text is UTF-8 with surrogateescape, which
carries any octets through. Typed values never change, so the copies of a message share them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.wire.abnf import is_token
from sansip.wire.fields import HeaderFields, encode, header_line
from sansip.wire.headers.media import ContentType
from sansip.wire.headers.name_addr import ORDINARY_LINE, NameAddr, ordinary_name_addr, parse_name_addr
from sansip.wire.headers.registry import PARSERS, Star
from sansip.wire.headers.simple import HOPS, CSeq, parse_call_id, parse_cseq
from sansip.wire.headers.via import ORDINARY_VIA_LINE, Via, ordinary_via, parse_via, salvage_via
from sansip.wire.names import SPELLINGS, header_key
from sansip.wire.status import REASONS
from sansip.wire.uri import Uri, parse_uri
from sansip.wire.values import line_value, split_values

__all__ = ["Message", "Request", "Response", "header_line"]


class Message(HeaderFields):
    """The common part of requests and responses. Use the editing methods; the lists are for reading.

    Attributes:
        body: the octets of the body; ``set_body`` keeps Content-Length right.
        version: as received, ``"SIP/2.0"``.
    """

    __slots__ = ("body", "version")

    body: bytes
    version: str

    def _begin(self, keys: list[str], lines: list[str], body: bytes) -> None:
        self._take_lines(keys, lines)
        self._start(body)

    def _start(self, body: bytes) -> None:
        self.body = body
        self.version = "SIP/2.0"
        self._via = self._from = self._to = self._call_id = self._cseq = None
        self._typed = {}

    @property
    def start_line(self) -> str:
        """The start line, without CRLF."""
        raise NotImplementedError

    # --- typed values

    @property
    def via(self) -> Via:
        """The top Via."""
        via = self._via
        if via is None:
            line = self._first.get("via")
            if line is None:
                raise self._missing("Via", "RFC 3261 20.42")
            match = ORDINARY_VIA_LINE.fullmatch(line)
            via = ordinary_via(match) if match is not None else parse_via(split_values(line_value(line))[0])
            self._via = via
        return via

    @property
    def vias(self) -> list[Via]:
        """All Via values, top first."""
        vias: list[Via] | None = self._typed.get("via")
        if vias is None:
            vias = []
            for key, line in zip(self.keys, self.lines, strict=True):
                if key == "via":
                    match = ORDINARY_VIA_LINE.fullmatch(line)
                    if match is not None:
                        vias.append(ordinary_via(match))
                    else:
                        vias += [parse_via(value) for value in split_values(line_value(line))]
            self._typed["via"] = vias
        return vias

    @property
    def reply_via(self) -> Via | None:
        """The top Via, or the readable part of a malformed one: enough to send a refusal by."""
        try:
            return self.via
        except RemoteProtocolError:
            values = self.values("via")
            return salvage_via(values[0]) if values else None

    @property
    def from_(self) -> NameAddr:
        """The From header field."""
        address = self._from
        if address is None:
            address = self._from = self._address("from", "From", "RFC 3261 20.20")
        return address

    @property
    def to(self) -> NameAddr:
        """The To header field."""
        address = self._to
        if address is None:
            address = self._to = self._address("to", "To", "RFC 3261 20.39")
        return address

    def _address(self, key: str, name: str, section: str) -> NameAddr:
        line = self._first.get(key)
        if line is None:
            raise self._missing(name, section)
        match = ORDINARY_LINE.fullmatch(line)
        if match is not None:
            return ordinary_name_addr(match, name, section)
        return parse_name_addr(line_value(line), name, section)

    @property
    def from_tag(self) -> str | None:
        """The tag of From, or None."""
        address = self._from
        return address.tag if address is not None else self.from_.tag

    @property
    def to_tag(self) -> str | None:
        """The tag of To, or None."""
        address = self._to
        return address.tag if address is not None else self.to.tag

    @property
    def call_id(self) -> str:
        """The Call-ID."""
        value = self._call_id
        if value is None:
            line = self._first.get("call-id")
            if line is None:
                raise self._missing("Call-ID", "RFC 3261 20.8")
            value = self._call_id = parse_call_id(line_value(line))
        return value

    @property
    def cseq(self) -> CSeq:
        """The CSeq as (number, method)."""
        value = self._cseq
        if value is None:
            line = self._first.get("cseq")
            if line is None:
                raise self._missing("CSeq", "RFC 3261 20.16")
            value = self._cseq = parse_cseq(line_value(line))
        return value

    def identity(self) -> tuple[str, str | None, str | None, CSeq]:
        """Return Call-ID, From tag, To tag and CSeq: by these a request is known (RFC 3261 8.2.2.2, 12.2)."""
        from_, to, cseq = self._from or self.from_, self._to or self.to, self._cseq or self.cseq
        return self._call_id or self.call_id, from_.tag, to.tag, cseq

    @property
    def contacts(self) -> list[NameAddr] | Star:
        """All Contact values, or ``STAR`` for ``*``; empty when there is none."""
        typed = self._typed
        if "contact" in typed:
            contacts: list[NameAddr] | Star = typed["contact"]
            return contacts
        line = self._first.get("contact")
        if line is None:
            return []
        # One Contact in the ordinary form is by far the usual case.
        match = ORDINARY_LINE.fullmatch(line)
        if match is not None and (len(self._first) == len(self.keys) or self.keys.count("contact") == 1):
            contacts = [ordinary_name_addr(match, "Contact", "RFC 3261 20.10")]
        else:
            contacts = self.typed("contact")
        typed["contact"] = contacts
        return contacts

    @property
    def routes(self) -> list[NameAddr]:
        """All Route values, the next hop first."""
        return self.typed("route") or []

    @property
    def record_routes(self) -> list[NameAddr]:
        """All Record-Route values, in order."""
        return self.typed("record-route") or []

    @property
    def paths(self) -> list[NameAddr]:
        """All Path values (RFC 3327), in order."""
        return self.typed("path") or []

    @property
    def max_forwards(self) -> int | None:
        """Max-Forwards, or None when absent."""
        line = self._first.get("max-forwards")
        if line is None:
            return None
        value: int | None = HOPS.get(line)
        return self.typed("max-forwards") if value is None else value

    @property
    def expires(self) -> int | None:
        """The Expires header field in seconds, None when absent.

        RFC 3261 20.19: a malformed value counts as 3600.
        """
        try:
            value: int | None = self.typed("expires")
        except RemoteProtocolError:
            return 3600
        return value

    @property
    def content_length(self) -> int | None:
        """Content-Length as the header field says it, or None when absent."""
        value: int | None = self.typed("content-length")
        return value

    @property
    def content_type(self) -> ContentType | None:
        """The Content-Type, or None."""
        value: ContentType | None = self.typed("content-type")
        return value

    @property
    def require(self) -> list[str]:
        """Option tags of Require, as written."""
        return self.typed("require") or []

    @property
    def proxy_require(self) -> list[str]:
        """Option tags of Proxy-Require, as written."""
        return self.typed("proxy-require") or []

    @property
    def supported(self) -> list[str]:
        """Option tags of Supported, as written."""
        return self.typed("supported") or []

    def typed(self, name: str) -> Any:
        """Return the typed value of header ``name``, None when absent.

        A field that is a list gives a list over all its lines; one that sansip has
        no type for gives its raw values as a list of str. Raises
        RemoteProtocolError when malformed.
        """
        key = SPELLINGS.get(name) or header_key(name)
        value = self._typed.get(key)
        if value is None and key in self._first:
            if key == "via":
                return self.vias
            parser = PARSERS.get(key)
            value = self.get_all(key) if parser is None else parser(self.get_all(key))
            self._typed[key] = value
        return value

    def _missing(self, name: str, section: str) -> RemoteProtocolError:
        return RemoteProtocolError(
            f"{name} is missing", status=400, section=section, field=name, message=self
        )

    def set_body(self, data: bytes, content_type: str | None = None) -> None:
        """Replace the body, set Content-Length and, unless None, Content-Type (``""`` removes it)."""
        self.body = data
        if content_type:
            self.set("Content-Type", content_type)
        elif content_type is not None:
            self.remove("Content-Type")
        self.set("Content-Length", len(data))

    def rest(self) -> None:
        """Drop all typed values, for a message that is kept long; the next access parses the value again."""
        self._typed = {}
        self._via = self._from = self._to = self._call_id = self._cseq = None

    # --- whole messages

    def _copy_to(self, other: Message) -> None:
        other.keys = self.keys.copy()
        other.lines = self.lines.copy()
        other.body = self.body
        other.version = self.version
        other._first = self._first.copy()
        other._via = self._via
        other._from = self._from
        other._to = self._to
        other._call_id = self._call_id
        other._cseq = self._cseq
        other._typed = self._typed.copy()

    def copy(self) -> Self:
        """Return an independent copy; it costs four small C copies."""
        raise NotImplementedError

    def to_bytes(self) -> bytes:
        """Return the message as it goes on the wire."""
        return encode("\r\n".join([self.start_line, *self.lines, "\r\n"])) + self.body

    def __str__(self) -> str:
        """The message as text, for logs: octets that are not UTF-8 are replaced."""
        return self.to_bytes().decode("utf-8", "replace")


class Request(Message):
    """A request.

    Attributes:
        method: as written (methods are case-sensitive, RFC 3261 7.1).
        uri_text: the Request-URI as written; ``set_uri`` changes it.
    """

    __slots__ = ("_uri", "method", "uri_text")

    method: str
    uri_text: str
    _uri: Uri | None

    @classmethod
    def build(
        cls, method: str, uri: Uri | str, headers: Iterable[tuple[str, object]], body: bytes = b""
    ) -> Request:
        """Return a new request; Content-Length is added when ``headers`` has none.

        Raises LocalProtocolError for a method, URI, name or value that cannot be written.
        """
        request = cls()
        if not is_token(method):
            raise LocalProtocolError(f"{method!r} is not a method (a token, RFC 3261 25.1)")
        request.method = method
        request.set_uri(uri)
        request._take_headers(headers, len(body))
        request._start(body)
        return request

    @property
    def uri(self) -> Uri:
        """The Request-URI. Raises RemoteProtocolError when malformed."""
        uri = self._uri
        if uri is None:
            uri = self._uri = parse_uri(self.uri_text)
        return uri

    def set_uri(self, uri: Uri | str) -> None:
        """Change the Request-URI. Raises LocalProtocolError when ``uri`` is malformed."""
        if isinstance(uri, str):
            try:
                uri = parse_uri(uri)
            except RemoteProtocolError as error:
                raise LocalProtocolError(error.reason) from None
        self._uri = uri
        self.uri_text = str(uri)

    @property
    def start_line(self) -> str:
        """The Request-Line, without CRLF."""
        return f"{self.method} {self.uri_text} {self.version}"

    def copy(self) -> Request:
        """Return an independent copy."""
        other = Request()
        self._copy_to(other)
        other.method = self.method
        other.uri_text = self.uri_text
        other._uri = self._uri
        return other

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.uri_text}>"


class Response(Message):
    """A response.

    Attributes:
        status: 100 to 699.
        reason: the Reason-Phrase as written, possibly empty.
    """

    __slots__ = ("reason", "status")

    status: int
    reason: str

    @classmethod
    def build(
        cls, status: int, reason: str | None, headers: Iterable[tuple[str, object]], body: bytes = b""
    ) -> Response:
        """Return a new response; ``reason`` None gives the usual phrase of ``status``."""
        response = cls()
        response.set_status(status, reason)
        response._take_headers(headers, len(body))
        response._start(body)
        return response

    def set_status(self, status: int, reason: str | None = None) -> None:
        """Change status and phrase; ``reason`` None gives the usual phrase."""
        if not 100 <= status <= 699:
            raise LocalProtocolError(f"{status} is not a status code, 100 to 699 (RFC 3261 21)")
        if reason is None:
            reason = REASONS.get(status) or REASONS[status // 100 * 100]
        elif "\r" in reason or "\n" in reason:
            raise LocalProtocolError("a reason phrase holds no line end")
        self.status = status
        self.reason = reason

    @property
    def start_line(self) -> str:
        """The Status-Line, without CRLF."""
        return f"{self.version} {self.status} {self.reason}"

    def copy(self) -> Response:
        """Return an independent copy."""
        other = Response()
        self._copy_to(other)
        other.status = self.status
        other.reason = self.reason
        return other

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.reason}>"
