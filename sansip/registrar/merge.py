"""Steps 6 and 7 of RFC 3261 10.3: how a REGISTER changes the present bindings.

Theory of operation: this file changes no stored state. The functions get the present bindings and return the
new ones. If they raise an error, the bindings stay as they were. This is enough for atomicity.

Flows. A contact that names a flow (``outbound``) is bound under its instance and reg-id, and replaces the
binding that has both, whatever its URI (RFC 5626 6); two flows with one URI are two bindings. A contact that
names no flow does not replace those. But the removal of such a contact also removes the flows with its URI.

Instances. All bindings of one instance have one ``registered_at``: since when it
has been registered without a break, and without a new Call-ID for the same contact
or flow. That is from when its temporary GRUUs are valid (RFC 5627 5.1).

Two URIs are the same contact by RFC 3261 19.1.4, which is not transitive: a URI
without a parameter equals both of two that differ in it. A contact therefore
replaces every binding it equals, so that no two bindings of an
address-of-record are ever equal, whatever the order they came in.

Order of requests. A binding is touched only by a REGISTER with another Call-ID
or a higher CSeq; otherwise the whole request fails, and since the RFC names one
status for a request whose updates did not all succeed, with 500. (In a dialog
an old CSeq is a 500 too, RFC 3261 12.2.2.) An equal CSeq needs a second look. A
phone must raise its CSeq with each REGISTER (10.2), so one that asks, under the
CSeq of the binding, for exactly what the binding already is, is that REGISTER
over again: it lost its transaction on the way (another edge, a new connection,
a server started afresh). 10.2 itself sets a retransmission apart from a new
registration, and a retransmission is answered again, not refused (17.2.2). So
it gets its 200 and changes nothing, for as long as retransmissions may come; an
equal CSeq that asks for anything else fails.

Order within a request. The same contact twice in one REGISTER counts as the
last of the two: the values are processed "in turn", and the CSeq rule puts
requests in order, not the values of one request.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from sansip.errors import RemoteProtocolError
from sansip.location import Binding, Source
from sansip.wire import Uri, uri_equal, uri_key

from .contact import ContactChange
from .outbound import instance_key

__all__ = ["Origin", "check_removal_of_all", "merge"]


@dataclass(slots=True)
class Origin:
    """The common values of all bindings made by one REGISTER (see ``Binding``)."""

    aor: str
    call_id: str
    cseq: int
    now: float
    path: tuple[str, ...] = ()
    flow: Hashable = None
    received: Source | None = None
    user_agent: str | None = None


def check_removal_of_all(current: Sequence[Binding], call_id: str, cseq: int) -> None:
    """Raise RemoteProtocolError (500) when ``Contact: *`` came too late for one of ``current``.

    RFC 3261 10.3 step 6: a binding of the same Call-ID goes only if the CSeq is higher.
    """
    for binding in current:
        if binding.call_id == call_id and cseq <= binding.cseq:
            raise _out_of_order("10.3 step 6")


def merge(
    current: Sequence[Binding],
    changes: Sequence[tuple[ContactChange, int]],
    origin: Origin,
    repeat_time: float,
) -> list[Binding] | None:
    """Return the bindings as they shall be, in no particular order, or None for "as they are".

    ``changes`` pairs each Contact value with the interval granted to it; 0 removes.
    Raises RemoteProtocolError (500) when the request came out of order.
    """
    standing: Sequence[Binding] = current
    fresh: list[Binding] = []
    known: _Known = {}
    repeated = changed = False
    for change, granted in changes:
        again = False
        first = origin.now
        for binding in _same(change, standing, granted, known):
            # RFC 3261 10.3 step 7: same Call-ID, so the CSeq has to be higher.
            if origin.cseq <= binding.cseq and origin.call_id == binding.call_id:
                if not _repeats(binding, change, granted, origin, repeat_time):
                    raise _out_of_order("10.3 step 7")
                again = repeated = True
                continue
            standing = _without(standing, binding)
            changed = True
            if binding.registered_at < first:
                first = binding.registered_at
        for binding in _same(change, fresh, granted, known):
            fresh = _without(fresh, binding)
        if granted and not again:
            if change.instance is not None:
                first, standing = _since(change, current, standing, origin)
            fresh.append(_bind(change, granted, origin, first))
    if repeated:
        # A repetition that also does something new is no repetition.
        if changed or fresh:
            raise _out_of_order("10.3 step 7")
        return None
    if not changed and not fresh:
        return None
    return [*standing, *fresh]


def _bind(change: ContactChange, granted: int, origin: Origin, registered_at: float) -> Binding:
    return Binding(
        origin.aor,
        change.text,
        origin.now + granted,
        origin.call_id,
        origin.cseq,
        change.q,
        registered_at,
        origin.now,
        origin.path,
        change.instance,
        change.reg_id,
        change.params,
        origin.flow,
        origin.received,
        origin.user_agent,
    )


def _since(
    change: ContactChange, current: Sequence[Binding], standing: Sequence[Binding], origin: Origin
) -> tuple[float, Sequence[Binding]]:
    """Return since when the instance of ``change`` is registered, and ``standing`` with that in it."""
    key = instance_key(change.instance or "")
    siblings = [one for one in current if one.instance is not None and instance_key(one.instance) == key]
    if not siblings:
        return origin.now, standing
    # RFC 5627 5.1: of those of the same flow, where it is one, the one registered last.
    same = [one for one in siblings if change.reg_id is None or one.reg_id == change.reg_id]
    if not same or max(same, key=lambda one: one.refreshed_at).call_id == origin.call_id:
        return max(one.registered_at for one in siblings), standing
    # RFC 5627 5.1: a new Call-ID, so its earlier GRUUs are not valid any more.
    renewed = [replace(one, registered_at=origin.now) if one in siblings else one for one in standing]
    return origin.now, renewed


def _repeats(
    binding: Binding, change: ContactChange, granted: int, origin: Origin, repeat_time: float
) -> bool:
    """Whether ``change``, under the CSeq of ``binding``, asks for ``binding`` over again."""
    return (
        origin.cseq == binding.cseq
        and origin.now - binding.refreshed_at < repeat_time
        and round(binding.expires_at - binding.refreshed_at) == granted
        and binding.contact == change.text
        and binding.q == change.q
        and binding.instance == change.instance
        and binding.reg_id == change.reg_id
        and binding.params == change.params
        and binding.path == origin.path
    )


def _out_of_order(step: str) -> RemoteProtocolError:
    return RemoteProtocolError("Request Out Of Order", status=500, section=f"RFC 3261 {step}", field="CSeq")


# Contact text of a binding → its key and URI, None for one that cannot be parsed.
_Known: TypeAlias = dict[str, tuple[Hashable, Uri] | None]


def _same(
    change: ContactChange, bindings: Sequence[Binding], granted: int, known: _Known
) -> Sequence[Binding]:
    """Return those of ``bindings`` that ``change`` is about."""
    if not bindings:
        return ()
    if change.reg_id is None:
        if granted:
            return _equal_to(change, [one for one in bindings if one.reg_id is None], known)
        # One URI may stand with several flows, so one that is equal is not the only one.
        flows = [one for one in bindings if one.reg_id is not None and one.contact == change.text]
        return [*flows, *_equal_to(change, [one for one in bindings if one.reg_id is None], known)]
    # RFC 5626 6: the binding is between the address-of-record and these two.
    key = instance_key(change.instance or "")
    return [
        one
        for one in bindings
        if one.reg_id == change.reg_id and one.instance is not None and instance_key(one.instance) == key
    ]


def _equal_to(change: ContactChange, bindings: Sequence[Binding], known: _Known) -> Sequence[Binding]:
    """Return those of ``bindings`` that are for the contact of ``change`` (RFC 3261 19.1.4)."""
    text = change.text
    for binding in bindings:
        # No other one can be equal to it: it would be equal to this one too.
        if binding.contact == text:
            return (binding,)
    key = uri_key(change.uri)
    found = []
    for binding in bindings:
        # Parsed once for all changes; this makes 32 times 32 comparisons bearable.
        text = binding.contact
        if text not in known:
            try:
                uri = binding.uri
                known[text] = (uri_key(uri), uri)
            except RemoteProtocolError:
                # From a store that others write to: it is equal to nothing.
                known[text] = None
        parsed = known[text]
        if parsed is not None and parsed[0] == key and uri_equal(parsed[1], change.uri):
            found.append(binding)
    return found


def _without(bindings: Sequence[Binding], gone: Binding) -> list[Binding]:
    return [b for b in bindings if b is not gone]
