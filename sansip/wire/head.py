"""Messages in the ordinary form, read by the C scanner where it is there: a quick way beside the reader.

Theory of operation: ``_head.c`` proves in one pass that a message is in the ordinary form, which nearly every
phone and proxy writes. It returns the positions of the fields that are read in every message; then it cuts
the head into its lines. The reader takes the messages that the scanner does not accept, and those near a
limit. The reader is the reference: the scanner accepts a message only if the reader does, with the same
result. Without the module (no compiler at the installation, or SANSIP_PURE=1 then) the reader reads
everything.
"""

from __future__ import annotations

from typing import Any, Final

from sansip.limits import Limits
from sansip.wire.headers.simple import CSeq
from sansip.wire.message import Request, Response
from sansip.wire.names import SPELLINGS
from sansip.wire.uri import plain_sip_uri

__all__ = ["HAS_SCANNER", "read_ordinary"]


def _scanner() -> Any:
    """Return the C module, or None."""
    try:
        from sansip.wire import _head
    except ImportError:
        return None
    return _head


_MODULE: Final[Any] = _scanner()
HAS_SCANNER: Final[bool] = _MODULE is not None
_scan: Final[Any] = getattr(_MODULE, "scan", None)
_split: Final[Any] = getattr(_MODULE, "split", None)
_new_tuple: Final = tuple.__new__


def read_ordinary(data: bytes, limits: Limits, datagram: bool) -> Request | Response | None:
    """Return the message in ``data`` if it is in the ordinary form and far from every limit; else None.

    Only where ``HAS_SCANNER``. It is the message that ``read_message``, of the same arguments, returns.
    """
    index = _scan(data)
    if index is None:
        return None
    # Commas anywhere count as if they made values of each list that is counted (RFC 3261 16.3 step 1).
    most = index.fields + index.commas
    if (
        index.end > limits.head_size
        or len(data) > limits.message_size
        or index.longest > limits.header_size
        or index.uri_end - index.uri > limits.uri_size
        or most > limits.header_count
        or most > limits.via_count
        or most > limits.route_count
        or most > limits.contact_count
        or (index.end > limits.header_parts and data.count(b";", 0, index.end) + most > limits.header_parts)
    ):
        return None
    body = index.body
    if not (datagram or index.length_line or body == len(data)):
        # RFC 3261 18.3: a stream needs Content-Length.
        return None
    keys, lines, first = _split(data, index, SPELLINGS)
    status = index.status
    message: Request | Response
    if status:
        message = response = Response()
        response.status = status
        response.reason = data[12 : index.lines - 2].decode("utf-8", "surrogateescape")
    else:
        message = request = Request()
        request.method = data[: index.method_end].decode("ascii")
        begin = index.uri
        target = request.uri_text = data[begin : index.uri_end].decode("ascii")
        user = index.user
        host_end = index.host_end - begin
        port = index.port
        params = target.find(";", host_end)
        request._uri = plain_sip_uri(
            target,
            "sip",
            target[user - begin : index.user_end - begin] if user else None,
            target[index.host - begin : host_end],
            None if port < 0 else str(port),
            "" if params < 0 else target[params:],
        )
    message.version = "SIP/2.0"
    message.keys = keys
    message.lines = lines
    message._first = first
    message.body = data[body:]
    message._typed = {}
    message._via = message._from = message._to = None
    message._call_id = data[index.call_id : index.call_id_end].decode("ascii")
    method = data[index.cseq_method : index.cseq_method_end].decode("ascii")
    message._cseq = _new_tuple(CSeq, (index.cseq, method))
    return message
