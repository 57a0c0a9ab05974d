"""The ordinary REGISTER, which nearly every phone sends: from its lines to the update and the 200.

Theory of operation: one SIP contact in brackets with no parameter but ``expires``, for a user without
bindings, or with an older binding of the same text. For these the functions here make the new binding and the
header fields of the 200 with nothing in between. For all else it returns None, and ``Registrar.plan``
decides. ``Registrar.plan`` is the reference: a plan made here is the one that it would make
(``tests/routing/test_shortcut.py``).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Final

from sansip.location import Binding, LocationUpdate
from sansip.wire.abnf import compiled
from sansip.wire.headers.name_addr import ORDINARY_LINE
from sansip.wire.uri import plain_sip_uri

from .admission import host_fault
from .contact import contact_value, delta_seconds

if TYPE_CHECKING:
    from sansip.location import Source
    from sansip.wire import Request

    from .admission import LeadsBack
    from .registrar import Registrar

__all__ = ["grant", "ok_lines", "ordinary_contact", "plan_ordinary"]

# RFC 3261 10.3 step 7: requests of an hour or more are never too brief.
_HOUR: Final = 3_600
_contact_line: Final = ORDINARY_LINE.fullmatch
_only_expires: Final = compiled(";expires=([0-9]{1,9})").fullmatch


def ordinary_contact(
    registrar: Registrar, request: Request, received: Source | None, leads_back: LeadsBack, local: bool
) -> tuple[str, int] | None:
    """Return the URI to bind and the seconds granted; None where ``Registrar.plan`` has to decide.

    ``request`` has each of its fields once and neither Require, Path nor a sips Request-URI. ``local``: it
    came from this machine.
    """
    line = request.first_line("contact")
    match = None if line is None else _contact_line(line)
    if match is None:
        return None
    _, _, text, scheme, user, host, port, params, tag, rest = match.groups()
    if scheme != "sip" or tag is not None:
        return None
    own = None
    if rest:
        found = _only_expires(rest)
        if found is None:
            return None
        own = found[1]
    granted = grant(
        registrar,
        (text, user, host, port, params),
        _asked(request) if own is None else int(own),
        request.call_id,
        received,
        leads_back,
        local,
    )
    return (text, granted) if granted else None


def grant(
    registrar: Registrar,
    uri: tuple[str, str | None, str, str | None, str],
    requested: int | None,
    call_id: str,
    received: Source | None,
    leads_back: LeadsBack,
    local: bool,
) -> int:
    """Return for how many seconds a contact is bound; 0 where ``Registrar.plan`` has to decide.

    ``uri``: a plain sip URI, its user, host, port and parameters. ``requested``: seconds, of the contact
    itself, else of the field (RFC 3261 10.3 step 7); None where neither is there.
    """
    if requested is None:
        requested = registrar.default_expires
    if requested == 0 or (requested < registrar.min_expires and requested < _HOUR):
        return 0
    text, user, host, port, params = uri
    host = host.lower()
    transport = None
    if params:
        parsed = plain_sip_uri(text, "sip", user, host, port, params)
        if "maddr" in parsed.params:
            return 0
        transport = parsed.transport
    if host_fault(
        host,
        None if port is None else int(port),
        transport,
        local,
        # A phone that is reached at its source is not reached at its Contact.
        leads_back if received is None else None,
    ):
        return 0
    if len(text) + len(call_id) > registrar.limits.binding_size:
        return 0
    most = registrar.max_expires
    return min(most, requested)


def _asked(request: Request) -> int | None:
    """Return the seconds in Expires, None without it."""
    text = request.get("expires")
    return None if text is None else delta_seconds(text)


def ok_lines(
    registrar: Registrar,
    text: str,
    granted: int,
    received: Source | None,
    now: float,
    wall_offset: float | None,
) -> str:
    """Return the header lines of the 200 for the one binding, made at ``now``, of ``text``."""
    shown = ""
    if received is not None and registrar.config.show_received:
        shown = f';received="{received}"'
    return f"Contact: <{text}>;expires={granted}{shown}\r\n{_common(registrar, now, wall_offset)}"


def _common(registrar: Registrar, now: float, wall_offset: float | None) -> str:
    """Return the lines behind the Contacts."""
    # RFC 3261 10.3 step 8: a 200 should tell the time (20.17).
    if wall_offset is None or not registrar.config.date:
        return registrar.constant_lines
    return f"{registrar.constant_lines}Date: {registrar.date_at(int(now + wall_offset))}\r\n"


def plan_ordinary(
    registrar: Registrar,
    sent: tuple[str, int, str | None],
    asked: tuple[str, int],
    aor: str,
    current: Sequence[Binding],
    now: float,
    flow: Hashable,
    received: Source | None,
    wall_offset: float | None,
) -> tuple[LocationUpdate, str] | None:
    """Return the update and the lines of the 200, each with its CRLF; None: ``Registrar.plan`` decides.

    ``sent``: Call-ID, CSeq and User-Agent of the request. ``asked``: of ``ordinary_contact``.
    """
    text, granted = asked
    call_id, cseq, agent = sent
    registered_at = now
    others: Sequence[Binding] = ()
    if current:
        for one in current:
            if one.contact == text and one.reg_id is None:
                break
        else:
            # Another contact, which may be the same by RFC 3261 19.1.4.
            return None
        # 10.3 step 7: same Call-ID, so the CSeq has to be higher.
        if cseq <= one.cseq and call_id == one.call_id:
            return None
        registered_at = min(one.registered_at, now)
        aor = current[0].aor
        if len(current) > 1:
            if len(current) > registrar.most_contacts:
                return None
            others = [other for other in current if other is not one]
    binding = Binding(
        aor,
        text,
        now + granted,
        call_id,
        cseq,
        None,
        registered_at,
        now,
        (),
        None,
        None,
        "",
        flow,
        received,
        agent,
    )
    if not others:
        lines = ok_lines(registrar, text, granted, received, now, wall_offset)
        return LocationUpdate(aor, tuple(current), (binding,)), lines
    bindings = tuple(sorted((*others, binding), key=_rank))
    lines = ""
    for one in bindings:
        value = contact_value(one, now, show_received=registrar.config.show_received)
        if not value.isascii() or "\n" in value or "\r" in value:
            # From a store that others write to.
            return None
        lines += f"Contact: {value}\r\n"
    return LocationUpdate(aor, tuple(current), bindings), lines + _common(registrar, now, wall_offset)


def _rank(binding: Binding) -> tuple[int, float]:
    return binding.rank
