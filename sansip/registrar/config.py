"""The operator's settings for registrations, with the RFC's bounds on them.

Theory of operation: RFC 3261 10.3 leaves the expiry interval, the number of
contacts and the treatment of Path (RFC 3327 5.3) to local policy. Each choice
is a field here; a combination that could not work is refused when it is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = [
    "MALFORMED_EXPIRES",
    "MAX_EXPIRES",
    "USER_AGENT_SIZE",
    "LostFlow",
    "OnFull",
    "PathFrom",
    "PathMode",
    "RegistrarConfig",
]

# RFC 3261 10.2: larger values may be treated as this one (136 years) …
MAX_EXPIRES = 4_294_967_295
# … and malformed ones should be treated as this one.
MALFORMED_EXPIRES = 3_600

# Kept with a binding for operators who look at it; a longer text has no use.
USER_AGENT_SIZE = 128

PathMode: TypeAlias = Literal["strict", "lenient", "ignore"]
PathFrom: TypeAlias = Literal["trusted", "all"]
LostFlow: TypeAlias = Literal["unreachable", "remove", "keep"]
OnFull: TypeAlias = Literal["refuse", "replace-oldest"]


@dataclass(slots=True, frozen=True)
class RegistrarConfig:
    """Policy of a registrar. Times are whole seconds.

    Attributes:
        default_expires: interval of a contact that asks for none.
        min_expires: shorter requests get 423 (RFC 3261 10.3 step 7); 0 turns it off.
            Requests of an hour or more are never refused, whatever stands here. sipsak and
            many test phones ask for 15 to 30 s, and give up at a 423.
        max_expires: longer requests are shortened to this.
        raise_brief: grant ``min_expires`` to those who ask for less instead of
            refusing them. RFC 3261 lets a registrar only shorten an interval;
            this is for phones that give up at a 423.
        max_contacts: contacts of one address-of-record: each is one more copy of every
            call. Never more than ``limits.bindings_per_aor``, which is the bound where
            this is None. Those of connections that are gone do not count. → 503, or ``on_full``
        on_full: what the registrar does with one contact too many. ``"refuse"`` refuses it.
            ``"replace-oldest"`` puts it in the place of the contact that was refreshed longest ago: for
            phones that come back under another Contact each time.
        retry_after: value of Retry-After in such a 503, or None to leave it out.
            A client then keeps away from this server altogether (RFC 3261
            21.5.4), so it is left out unless asked for.
        repeat_time: how long a REGISTER that repeats the CSeq of one already
            done, and asks for the same, is answered 200 without any change; 0
            refuses it at once (RFC 3261 10.3 step 7, see ``registrar.py``).
        path: ``"strict"`` refuses a Path (420) unless the phone supports it, as
            RFC 3327 5.3 recommends; ``"lenient"`` uses it all the same, but
            returns it only to a phone that supports it; ``"ignore"`` knows no
            Path and refuses ``Require: path``.
        path_from: ``"trusted"`` believes the Path of edge proxies in ``[[trusted]]`` and on this machine, and
            refuses that of others (403): the writer of a Path gets every call to that phone, and can send
            calls to third parties. ``"all"`` believes every sender that may register.
        outbound: bind by instance and reg-id where the phone asks for it, so that it
            can have several flows and a new one replaces the old (RFC 5626).
        flow_timer: seconds within which a phone with such a flow shall send its
            keepalives (Flow-Timer). A connection that is silent for a quarter longer is
            closed then. 0 leaves the choice to the phone.
        gruu: give each phone that asks for it URIs which lead to it alone, one
            public and a new temporary one each time (RFC 5627).
        lost_flow: what the registrar does with a binding whose connection is lost. ``"unreachable"`` removes
            it if no other way leads to the phone (its flows by ``outbound``, WebSocket); ``"remove"`` removes
            all, ``"keep"`` none before they expire.
        service_route: values of the Service-Route field in a 200 (RFC 3608).
        show_received: return ``;received="…"`` with each contact registered from
            behind a NAT, for phones and tools that look at it.
        date: add Date to a 200 when the caller knows the time.
    """

    default_expires: int = 3_600
    min_expires: int = 10
    max_expires: int = 86_400
    raise_brief: bool = False
    max_contacts: int | None = 10
    on_full: OnFull = "refuse"
    retry_after: int | None = None
    repeat_time: float = 32.0
    path: PathMode = "strict"
    path_from: PathFrom = "trusted"
    outbound: bool = True
    flow_timer: int = 0
    gruu: bool = True
    lost_flow: LostFlow = "unreachable"
    service_route: tuple[str, ...] = ()
    show_received: bool = False
    date: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.min_expires <= self.default_expires <= self.max_expires <= MAX_EXPIRES:
            raise ValueError(
                "expected 0 <= min_expires <= default_expires <= max_expires <= 2**32-1, got "
                f"{self.min_expires}, {self.default_expires}, {self.max_expires}"
            )
        if self.default_expires == 0:
            raise ValueError("default_expires must be at least 1: zero would remove what is registered")
        if self.max_contacts is not None and self.max_contacts < 1:
            raise ValueError(f"max_contacts must be at least 1, got {self.max_contacts}")
        if self.retry_after is not None and self.retry_after < 1:
            raise ValueError(f"retry_after must be at least 1, got {self.retry_after}")
        if self.repeat_time < 0:
            raise ValueError(f"repeat_time must not be negative, got {self.repeat_time}")
        if self.flow_timer < 0:
            raise ValueError(f"flow_timer must not be negative, got {self.flow_timer}")
        if self.lost_flow not in ("unreachable", "remove", "keep"):
            raise ValueError(f"lost_flow must be 'unreachable', 'remove' or 'keep', got {self.lost_flow!r}")
        if self.on_full not in ("refuse", "replace-oldest"):
            raise ValueError(f"on_full must be 'refuse' or 'replace-oldest', got {self.on_full!r}")
        if self.path_from not in ("trusted", "all"):
            raise ValueError(f"path_from must be 'trusted' or 'all', got {self.path_from!r}")
        if self.path not in ("strict", "lenient", "ignore"):
            raise ValueError(f"path must be 'strict', 'lenient' or 'ignore', got {self.path!r}")
