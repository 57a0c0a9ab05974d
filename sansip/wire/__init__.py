"""Octets to messages and back (RFC 3261 7, 19, 20, 25).

Everything another layer needs is exported here.
"""

from __future__ import annotations

from sansip.wire.abnf import is_token, quote, unquote
from sansip.wire.compose import response_to
from sansip.wire.date import format_date, parse_date
from sansip.wire.equality import aor_of, uri_equal, uri_key
from sansip.wire.headers.auth import Challenge, Credentials
from sansip.wire.headers.dialog_ids import Replaces, TargetDialog
from sansip.wire.headers.events import Event, SubscriptionState
from sansip.wire.headers.identity import Identity
from sansip.wire.headers.media import ContentType
from sansip.wire.headers.name_addr import NameAddr, parse_name_addr
from sansip.wire.headers.parametered import Parametered, UriInfo
from sansip.wire.headers.registry import STAR, Star
from sansip.wire.headers.session import RAck, Reason, RetryAfter, SessionExpires, Timestamp, Warn
from sansip.wire.headers.simple import CSeq
from sansip.wire.headers.via import Via, parse_via
from sansip.wire.host import host_key, host_text, is_address, parse_host, split_host_port
from sansip.wire.message import Message, Request, Response
from sansip.wire.multipart import Part, build_multipart, message_parts, parse_multipart
from sansip.wire.names import COMPACT, DISPLAY, display_name, header_key
from sansip.wire.params import Params, format_params, parse_params
from sansip.wire.reader import check_headers, head_end, parse_message, read_again
from sansip.wire.status import REASONS
from sansip.wire.tel import TelUri
from sansip.wire.uri import OtherUri, SipUri, Uri, escape_user, parse_uri, unescape
from sansip.wire.values import split_values, unfold

__all__ = [
    "COMPACT",
    "DISPLAY",
    "REASONS",
    "STAR",
    "CSeq",
    "Challenge",
    "ContentType",
    "Credentials",
    "Event",
    "Identity",
    "Message",
    "NameAddr",
    "OtherUri",
    "Parametered",
    "Params",
    "Part",
    "RAck",
    "Reason",
    "Replaces",
    "Request",
    "Response",
    "RetryAfter",
    "SessionExpires",
    "SipUri",
    "Star",
    "SubscriptionState",
    "TargetDialog",
    "TelUri",
    "Timestamp",
    "Uri",
    "UriInfo",
    "Via",
    "Warn",
    "aor_of",
    "build_multipart",
    "check_headers",
    "display_name",
    "escape_user",
    "format_date",
    "format_params",
    "head_end",
    "header_key",
    "host_key",
    "host_text",
    "is_address",
    "is_token",
    "message_parts",
    "parse_date",
    "parse_host",
    "parse_message",
    "parse_multipart",
    "parse_name_addr",
    "parse_params",
    "parse_uri",
    "parse_via",
    "quote",
    "read_again",
    "response_to",
    "split_host_port",
    "split_values",
    "unescape",
    "unfold",
    "unquote",
    "uri_equal",
    "uri_key",
]
