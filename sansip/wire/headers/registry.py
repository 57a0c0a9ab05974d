"""Which parser reads which header field.

Theory of operation: one line per field, with the section that defines it. A
field that is not here is known to SIP by its name only: ``Message.typed`` gives
its raw values.
"""

from __future__ import annotations

from typing import Final

from sansip.wire.date import parse_date
from sansip.wire.headers.auth import parse_auth_info, parse_challenge, parse_credentials
from sansip.wire.headers.dialog_ids import parse_replaces, parse_target_dialog
from sansip.wire.headers.events import parse_event, parse_subscription_state
from sansip.wire.headers.fields import PARSERS, is_list, many, one, per_line
from sansip.wire.headers.identity import parse_identity
from sansip.wire.headers.media import parse_content_type, parse_language_range, parse_media_range
from sansip.wire.headers.name_addr import NameAddr, parse_name_addr
from sansip.wire.headers.parametered import (
    parse_flags,
    parse_param_list,
    parse_parametered,
    parse_quoted_or_token,
    parse_uri_info,
)
from sansip.wire.headers.session import (
    parse_rack,
    parse_reason,
    parse_retry_after,
    parse_rseq,
    parse_session_expires,
    parse_timestamp,
    parse_warning,
)
from sansip.wire.headers.simple import (
    parse_call_id,
    parse_content_length,
    parse_cseq,
    parse_delta_seconds,
    parse_max_forwards,
    parse_number,
)
from sansip.wire.headers.tokens import (
    parse_language,
    parse_mime_version,
    parse_privacy,
    parse_resource_priority,
    parse_text,
    parse_token,
)
from sansip.wire.values import split_values

__all__ = ["PARSERS", "STAR", "Star", "is_list"]


class Star:
    """The Contact value ``*`` (RFC 3261 10.2.2)."""

    __slots__ = ()

    def __str__(self) -> str:
        return "*"

    def __repr__(self) -> str:
        return "STAR"


STAR: Final = Star()


def _parse_contacts(lines: list[str]) -> list[NameAddr] | Star:
    if len(lines) == 1 and lines[0] == "*":
        return STAR
    values = [value for line in lines for value in split_values(line)]
    return [parse_name_addr(value, "Contact", "RFC 3261 20.10") for value in values]


def _parse_name_addr(text: str, name: str, section: str) -> NameAddr:
    return parse_name_addr(text, name, section, brackets=True)


def _parse_count(text: str, name: str, section: str) -> int:
    return parse_number(text, name, section, 0xFFFFFFFF)


PARSERS["contact"] = _parse_contacts

# --- RFC 3261 section 20, in its order
many("accept", parse_media_range, "RFC 3261 20.1", empty=True)
many("accept-encoding", parse_parametered, "RFC 3261 20.2", empty=True)
many("accept-language", parse_language_range, "RFC 3261 20.3", empty=True)
many("alert-info", parse_uri_info, "RFC 3261 20.4")
many("allow", parse_token, "RFC 3261 20.5", empty=True)
one("authentication-info", parse_auth_info, "RFC 3261 20.6")
per_line("authorization", parse_credentials, "RFC 3261 20.7")
one("call-id", parse_call_id, "RFC 3261 20.8")
many("call-info", parse_uri_info, "RFC 3261 20.9")
one("content-disposition", parse_parametered, "RFC 3261 20.11")
many("content-encoding", parse_token, "RFC 3261 20.12")
many("content-language", parse_language, "RFC 3261 20.13")
one("content-length", parse_content_length, "RFC 3261 20.14")
one("content-type", parse_content_type, "RFC 3261 20.15")
one("cseq", parse_cseq, "RFC 3261 20.16")
one("date", parse_date, "RFC 3261 20.17")
many("error-info", parse_uri_info, "RFC 3261 20.18")
one("expires", parse_delta_seconds, "RFC 3261 20.19")
one("from", parse_name_addr, "RFC 3261 20.20")
many("in-reply-to", parse_call_id, "RFC 3261 20.21")
one("max-forwards", parse_max_forwards, "RFC 3261 20.22")
one("min-expires", parse_delta_seconds, "RFC 3261 20.23")
one("mime-version", parse_mime_version, "RFC 3261 20.24")
one("organization", parse_text, "RFC 3261 20.25")
one("priority", parse_token, "RFC 3261 20.26")
per_line("proxy-authenticate", parse_challenge, "RFC 3261 20.27")
per_line("proxy-authorization", parse_credentials, "RFC 3261 20.28")
many("proxy-require", parse_token, "RFC 3261 20.29")
many("record-route", _parse_name_addr, "RFC 3261 20.30")
one("reply-to", parse_name_addr, "RFC 3261 20.31")
many("require", parse_token, "RFC 3261 20.32")
one("retry-after", parse_retry_after, "RFC 3261 20.33")
many("route", _parse_name_addr, "RFC 3261 20.34")
one("server", parse_text, "RFC 3261 20.35")
one("subject", parse_text, "RFC 3261 20.36")
many("supported", parse_token, "RFC 3261 20.37", empty=True)
one("timestamp", parse_timestamp, "RFC 3261 20.38")
one("to", parse_name_addr, "RFC 3261 20.39")
many("unsupported", parse_token, "RFC 3261 20.40", empty=True)
one("user-agent", parse_text, "RFC 3261 20.41")
many("warning", parse_warning, "RFC 3261 20.43")
per_line("www-authenticate", parse_challenge, "RFC 3261 20.44")

# --- extensions, by document
one("rseq", parse_rseq, "RFC 3262 7.1")
one("rack", parse_rack, "RFC 3262 7.2")
one("privacy", parse_privacy, "RFC 3323 4.2")
many("p-asserted-identity", parse_name_addr, "RFC 3325 9.1")
many("p-preferred-identity", parse_name_addr, "RFC 3325 9.2")
many("reason", parse_reason, "RFC 3326 2")
many("path", _parse_name_addr, "RFC 3327 4")
many("security-client", parse_parametered, "RFC 3329 2.2")
many("security-server", parse_parametered, "RFC 3329 2.2")
many("security-verify", parse_parametered, "RFC 3329 2.2")
one("refer-to", parse_name_addr, "RFC 3515 2.1")
many("service-route", _parse_name_addr, "RFC 3608 5")
many("accept-contact", parse_flags, "RFC 3841 9.2")
many("reject-contact", parse_flags, "RFC 3841 9.2")
many("request-disposition", parse_token, "RFC 3841 9.1")
one("replaces", parse_replaces, "RFC 3891 6.1")
one("referred-by", parse_name_addr, "RFC 3892 2.1")
one("sip-etag", parse_token, "RFC 3903 11.3.1")
one("sip-if-match", parse_token, "RFC 3903 11.3.2")
one("join", parse_replaces, "RFC 3911 7.1")
one("session-expires", parse_session_expires, "RFC 4028 4")
one("min-se", parse_session_expires, "RFC 4028 5")
many("resource-priority", parse_resource_priority, "RFC 4412 3.1")
many("accept-resource-priority", parse_resource_priority, "RFC 4412 3.2", empty=True)
one("p-user-database", parse_uri_info, "RFC 4457 4")
one("refer-sub", parse_parametered, "RFC 4488 4")
one("target-dialog", parse_target_dialog, "RFC 4538 7")
one("p-profile-key", _parse_name_addr, "RFC 5002 5.1")
many("p-early-media", parse_token, "RFC 5009 8", empty=True)
one("permission-missing", parse_name_addr, "RFC 5360 5.9.3")
one("answer-mode", parse_parametered, "RFC 5373 3")
one("priv-answer-mode", parse_parametered, "RFC 5373 3")
one("max-breadth", _parse_count, "RFC 5393 5.3.3")
one("p-served-user", _parse_name_addr, "RFC 5502 5")
one("flow-timer", parse_delta_seconds, "RFC 5626 10")
many("diversion", _parse_name_addr, "RFC 5806 4")
one("suppress-if-match", parse_token, "RFC 5839 6")
many("p-asserted-service", parse_text, "RFC 6050 4.1")
many("p-preferred-service", parse_text, "RFC 6050 4.2")
one("info-package", parse_parametered, "RFC 6086 7")
many("recv-info", parse_parametered, "RFC 6086 7", empty=True)
many("geolocation", parse_uri_info, "RFC 6442 4.1")
one("geolocation-routing", parse_parametered, "RFC 6442 4.2")
one("geolocation-error", parse_parametered, "RFC 6442 4.3")
one("event", parse_event, "RFC 6665 8.2.1")
many("allow-events", parse_token, "RFC 6665 8.2.2", empty=True)
one("subscription-state", parse_subscription_state, "RFC 6665 8.2.3")
many("feature-caps", parse_flags, "RFC 6809 6.3.1")
many("history-info", _parse_name_addr, "RFC 7044 5.1")
many("p-associated-uri", _parse_name_addr, "RFC 7315 5.1", empty=True)
one("p-called-party-id", _parse_name_addr, "RFC 7315 5.2")
many("p-visited-network-id", parse_quoted_or_token, "RFC 7315 5.3")
many("p-access-network-info", parse_parametered, "RFC 7315 5.4")
many("p-charging-function-addresses", parse_param_list, "RFC 7315 5.5")
one("p-charging-vector", parse_param_list, "RFC 7315 5.6")
many("user-to-user", parse_quoted_or_token, "RFC 7433 4.1")
one("refer-events-at", parse_uri_info, "RFC 7614 4.2")
one("proxy-authentication-info", parse_auth_info, "RFC 7616 3.9")
one("session-id", parse_parametered, "RFC 7989 5")
per_line("identity", parse_identity, "RFC 8224 4")
one("remote-party-id", parse_name_addr, "draft-ietf-sip-privacy-04 6.3")
