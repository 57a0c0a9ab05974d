"""Fields that name a dialog: Replaces, Join, Target-Dialog (RFC 3891, 3911, 4538)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from sansip.wire.abnf import TOKEN_RE, WORD, compiled
from sansip.wire.faults import malformed
from sansip.wire.headers.parametered import split_parameters
from sansip.wire.params import Params

__all__ = ["Replaces", "TargetDialog", "parse_replaces", "parse_target_dialog"]

# A Call-ID's word may hold no semicolon, so the parameters begin at the first one.
_CALL_ID: Final = compiled(rf"{WORD}(?:@{WORD})?+")


@dataclass(slots=True)
class Replaces:
    """Replaces or Join: the dialog as the receiver sees it.

    Attributes:
        call_id, to_tag, from_tag: the dialog; to_tag is the receiver's own.
        early_only: whether only an early dialog may be replaced (RFC 3891 6.1).
        params: all parameters, the tags among them.
    """

    call_id: str
    to_tag: str
    from_tag: str
    early_only: bool = False
    params: Params = field(default_factory=dict)


@dataclass(slots=True)
class TargetDialog:
    """Target-Dialog: the dialog as its sender sees it (RFC 4538 7)."""

    call_id: str
    local_tag: str | None
    remote_tag: str | None
    params: Params = field(default_factory=dict)


def _tag(params: Params, key: str, name: str, section: str) -> str:
    value = params.get(key)
    if value is None or TOKEN_RE.fullmatch(value) is None:
        raise malformed(name, f"needs one {key} with a value", section)
    return value


def parse_replaces(text: str, name: str, section: str) -> Replaces:
    """Return Replaces or Join. RFC 3891 6.1, RFC 3911 7.1: exactly one to-tag and one from-tag."""
    call_id, params = split_parameters(text, _CALL_ID, "a Call-ID", name, section)
    to_tag = _tag(params, "to-tag", name, section)
    from_tag = _tag(params, "from-tag", name, section)
    return Replaces(call_id, to_tag, from_tag, "early-only" in params, params)


def parse_target_dialog(text: str, name: str, section: str) -> TargetDialog:
    """Return Target-Dialog."""
    call_id, params = split_parameters(text, _CALL_ID, "a Call-ID", name, section)
    return TargetDialog(call_id, params.get("local-tag"), params.get("remote-tag"), params)
