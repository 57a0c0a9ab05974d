"""Contact values of a REGISTER, read and written (RFC 3261 20.10, 10.3 step 7 and 8).

Theory of operation: a value comes apart into the URI, which is the binding; ``expires`` and ``q``, which the
registrar acts on; the instance and reg-id, which name a device and its flow (RFC 5626 4.1, 4.2); and every
other parameter, which the registrar ignores and sends back as it came. A 200 puts them together again, the
URI always in ``<>``, so that its parameters and headers can never be taken for those of the field (RFC 4475
3.3.12 to 3.3.14).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from sansip.errors import RemoteProtocolError
from sansip.location import Binding
from sansip.wire import NameAddr, Request, Uri

from .config import MALFORMED_EXPIRES, MAX_EXPIRES, USER_AGENT_SIZE

__all__ = ["ContactChange", "agent_of", "contact_value", "delta_seconds", "kept_agent", "read_contact"]

# RFC 3261 25.1: qvalue = "0" [ "." 0*3DIGIT ] / "1" [ "." 0*3("0") ]
_QVALUE = re.compile(r"0(?:\.([0-9]{0,3}))?|1(?:\.0{0,3})?")
# RFC 5626 4.1: the URN stands in angle brackets, in quotes.
_INSTANCE = re.compile(r'"<([^<>"\\]+)>"')
# RFC 5626 4.2: 1 to 2**31-1.
_REG_ID = re.compile(r"0*([1-9][0-9]{0,9})")
# RFC 5627 5.1: a UA cannot suggest its own GRUU; such a parameter is ignored.
_NOT_KEPT = frozenset(("q", "expires", "pub-gruu", "temp-gruu"))


@dataclass(slots=True)
class ContactChange:
    """One Contact value of a REGISTER: bind ``uri`` for ``requested`` seconds; 0 removes it."""

    uri: Uri
    text: str
    requested: int
    q: int | None = None
    instance: str | None = None
    reg_id: int | None = None
    params: str = ""


def delta_seconds(text: str | None) -> int:
    """Return the seconds that an expiry value asks for, 0 to 2**32-1."""
    # RFC 3261 10.2: malformed counts as 3600, more than 2**32-1 as 2**32-1.
    if text is None or not (text.isascii() and text.isdigit()):
        return MALFORMED_EXPIRES
    # The length first: a peer's thousands of digits are not worth converting.
    digits = text.lstrip("0")
    return min(int(digits or "0"), MAX_EXPIRES) if len(digits) <= 10 else MAX_EXPIRES


def read_contact(value: NameAddr, default: int) -> ContactChange:
    """Take a Contact value apart; ``default`` seconds apply when it has no expires.

    Raises RemoteProtocolError (400) when q is malformed.
    """
    uri = value.uri
    text = str(uri)
    params = value.params
    if not params:
        return ContactChange(uri, text, default)
    change = ContactChange(uri, text, delta_seconds(params["expires"]) if "expires" in params else default)
    if "q" in params:
        change.q = _thousandths(params["q"])
    kept = ""
    for name, raw in params.items():
        if name in _NOT_KEPT:
            continue
        if name == "+sip.instance" and raw is not None and (found := _INSTANCE.fullmatch(raw)):
            change.instance = found[1]
        elif name == "reg-id" and raw is not None and (found := _REG_ID.fullmatch(raw)):
            change.reg_id = int(found[1])
        else:
            kept += f";{name}" if raw is None else f";{name}={raw}"
    change.params = kept
    return change


def contact_value(
    binding: Binding, now: float, *, show_received: bool = False, gruus: Sequence[tuple[str, str]] = ()
) -> str:
    """Return the Contact value that reports ``binding`` in a 200 at ``now``.

    ``gruus``: (name of the parameter, URI) of each GRUU to tell.
    """
    # RFC 3261 10.3 step 8: each value has an expires. Rounded down, so that a
    # phone refreshes in time, but never to the 0 that would mean "removed"; the
    # thousandth makes up for what now + interval - now loses as a float.
    left = int(min(max(binding.expires_at - now + 0.001, 1), MAX_EXPIRES))
    text = f"<{binding.contact}>;expires={left}"
    q = binding.q
    if q is not None:
        text += f";q={q // 1000}.{q % 1000:03}".rstrip("0").rstrip(".") if q else ";q=0"
    # RFC 5626 6, RFC 5627 5.2: the device's name and its flow are returned.
    if binding.instance is not None:
        text += f';+sip.instance="<{binding.instance}>"'
    if binding.reg_id is not None:
        text += f";reg-id={binding.reg_id}"
    for name, uri in gruus:
        text += f';{name}="{uri}"'
    if show_received and binding.received is not None and ";received=" not in binding.params:
        text += f';received="{binding.received}"'
    return text + binding.params


def agent_of(request: Request) -> str | None:
    """Return the text of User-Agent that is kept with a binding."""
    return kept_agent(request.get("user-agent"))


def kept_agent(agent: str | None) -> str | None:
    """Return as much of ``agent``, a value of User-Agent, as is kept."""
    # A few models make up all the phones there are.
    return None if agent is None else sys.intern(agent[:USER_AGENT_SIZE])


def _thousandths(raw: str | None) -> int:
    """Return a qvalue as 0 to 1000."""
    found = None if raw is None else _QVALUE.fullmatch(raw)
    if found is None:
        raise RemoteProtocolError(
            "Contact: q is not 0 to 1 with three decimals at most", section="RFC 3261 25.1", field="Contact"
        )
    if found[0][0] == "1":
        return 1000
    return int((found[1] or "").ljust(3, "0"))
