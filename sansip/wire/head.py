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

__all__ = [
    "CUT_BRANCH",
    "CUT_CALL_ID",
    "CUT_CSEQ",
    "CUT_FROM",
    "CUT_FROM_HOST",
    "CUT_METHOD",
    "CUT_TAG",
    "CUT_TO",
    "CUT_TOP",
    "HAS_SCANNER",
    "cut_answered",
    "cut_opened",
    "cut_passed",
    "cut_repeats",
    "cut_returned",
    "cut_text",
    "framed_in_c",
    "noted_in_c",
    "read_echo_parts",
    "read_ending_parts",
    "read_opening_parts",
    "read_ordinary",
    "read_parts",
    "read_passing_parts",
    "read_usage_parts",
    "spliced_octets",
    "text_hash_in_c",
    "timed_in_c",
]


def _scanner() -> Any:
    """Return the C module, or None."""
    try:
        from sansip.wire import _head
    except ImportError:
        return None
    return _head


_MODULE: Final[Any] = _scanner()
HAS_SCANNER: Final[bool] = _MODULE is not None
_read: Final[Any] = getattr(_MODULE, "read", None)
read_parts: Final[Any] = getattr(_MODULE, "brief", None)
# Each with a ``Cut``: the octets, and where in them stands what is seldom asked for, or changes.
read_echo_parts: Final[Any] = getattr(_MODULE, "echo_cut", None)
read_passing_parts: Final[Any] = getattr(_MODULE, "passing_cut", None)
read_opening_parts: Final[Any] = getattr(_MODULE, "opening_cut", None)
cut_text: Final[Any] = getattr(_MODULE, "cut_text", None)
cut_repeats: Final[Any] = getattr(_MODULE, "cut_repeats", None)
cut_returned: Final[Any] = getattr(_MODULE, "cut_returned", None)
cut_answered: Final[Any] = getattr(_MODULE, "cut_answered", None)
cut_passed: Final[Any] = getattr(_MODULE, "cut_passed", None)
cut_opened: Final[Any] = getattr(_MODULE, "cut_opened", None)
# What ``cut_text`` takes: lines, the branch, the method of CSeq, the tag of To, the host of From, our Via.
CUT_FROM: Final = 0
CUT_TO: Final = 1
CUT_CALL_ID: Final = 2
CUT_CSEQ: Final = 3
CUT_BRANCH: Final = 4
CUT_METHOD: Final = 5
CUT_TAG: Final = 6
CUT_FROM_HOST: Final = 7
CUT_TOP: Final = 8
read_ending_parts: Final[Any] = getattr(_MODULE, "ending", None)
read_usage_parts: Final[Any] = getattr(_MODULE, "usage", None)
spliced_octets: Final[Any] = getattr(_MODULE, "spliced", None)
noted_in_c: Final[Any] = getattr(_MODULE, "noted", None)
text_hash_in_c: Final[Any] = getattr(_MODULE, "text_hash", None)
framed_in_c: Final[Any] = getattr(_MODULE, "framed", None)
timed_in_c: Final[Any] = getattr(_MODULE, "timed", None)
_new_tuple: Final = tuple.__new__


def read_ordinary(data: bytes, limits: Limits, datagram: bool) -> Request | Response | None:
    """Return the message in ``data`` if it is in the ordinary form and far from every limit; else None.

    Only where ``HAS_SCANNER``. It is the message that ``read_message``, of the same arguments, returns.
    """
    parts = _read(data, SPELLINGS)
    if parts is None:
        return None
    (
        keys, lines, first, status, text, target, user, host, port, params, uri_size,
        call_id, cseq, method, body, most, end, longest, has_length,
    ) = parts  # fmt: skip
    # Commas anywhere count as if they made values of each list that is counted (RFC 3261 16.3 step 1).
    if (
        end > limits.head_size
        or len(data) > limits.message_size
        or longest > limits.header_size
        or (uri_size is not None and uri_size > limits.uri_size)
        or most > limits.header_count
        or most > limits.via_count
        or most > limits.route_count
        or most > limits.contact_count
        or (end > limits.header_parts and data.count(b";", 0, end) + most > limits.header_parts)
    ):
        return None
    if body and not (datagram or has_length):
        # RFC 3261 18.3: a stream needs Content-Length.
        return None
    message: Request | Response
    if status:
        message = response = Response()
        response.status = status
        response.reason = text
    else:
        message = request = Request()
        request.method = text
        request.uri_text = target
        request._uri = plain_sip_uri(target, "sip", user, host, port, params)
    message.version = "SIP/2.0"
    message.keys = keys
    message.lines = lines
    message._first = first
    message.body = body
    message._typed = {}
    message._via = message._from = message._to = None
    message._call_id = call_id
    message._cseq = _new_tuple(CSeq, (cseq, method))
    return message
