"""The content of a REFER: the URI to call, and the call to replace there (RFC 3515, 3891, 5589)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.wire import SipUri, parse_name_addr, unescape
from sansip.wire.headers.dialog_ids import parse_replaces

if TYPE_CHECKING:
    from sansip.dialog import Dialog
    from sansip.wire import Replaces, Request

__all__ = [
    "FRAGMENT",
    "attended",
    "refer_to",
    "replaces_fields",
    "status_of",
    "wants_no_subscription",
]

# RFC 3515 2.4.5: the body of a NOTIFY is the beginning of the answer that the referred request got.
FRAGMENT: Final = "message/sipfrag;version=2.0"
_STATUS_LINE: Final = re.compile(rb"SIP/2\.0 ([1-6][0-9][0-9])(?= |\r|\n|$)")
# RFC 3261 25.1: hvalue, with room to spare.
_RESERVED: Final = re.compile(rb"[^A-Za-z0-9\-_.!~*'()]")


def refer_to(request: Request) -> tuple[SipUri, Replaces | None]:
    """Return the URI to call and the Replaces in it. Raises RemoteProtocolError where there is no one
    such."""
    values = request.get_all("refer-to")
    if len(values) != 1:
        # RFC 3515 2.4.1: exactly one.
        raise RemoteProtocolError(
            "needs one Refer-To", status=400, section="RFC 3515 2.4.1", field="Refer-To"
        )
    uri = parse_name_addr(values[0], "Refer-To", "RFC 3515 2.1").uri
    if not isinstance(uri, SipUri):
        raise RemoteProtocolError("no SIP URI", status=416, section="RFC 3261 21.4.14", field="Refer-To")
    replaces = None
    for name, value in uri.headers or ():
        if name.lower() == "replaces":
            replaces = parse_replaces(unescape(value), "Replaces", "RFC 3891 6.1")
    # RFC 3261 19.1.5: other header fields, and a method, are not taken from strangers.
    params = {name: value for name, value in uri.params.items() if name != "method"}
    return uri.replace(params=params, headers=()), replaces


def replaces_fields(replaces: Replaces | None) -> list[tuple[str, str]]:
    """Return the header fields of an INVITE that is to replace a dialog (RFC 3891 4)."""
    if replaces is None:
        return []
    value = f"{replaces.call_id};to-tag={replaces.to_tag};from-tag={replaces.from_tag}"
    return [("Replaces", value), ("Require", "replaces")]


def attended(dialog: Dialog, uri: SipUri | None = None) -> str:
    """Return the Refer-To by which another party takes our place in ``dialog`` (RFC 5589 7.1).

    ``uri``: the URI at which its peer is called; by default the peer's Contact. Raises ``LocalProtocolError``
    if that is no SIP URI.
    """
    target = uri or dialog.remote_target
    if not isinstance(target, SipUri):
        raise LocalProtocolError(f"{target} is no SIP URI: name another to call the party by")
    # RFC 3891 3: as its peer sees it.
    ids = dialog.id
    value = f"{ids.call_id};to-tag={ids.remote_tag};from-tag={ids.local_tag}"
    raw = _RESERVED.sub(lambda match: b"%%%02X" % match[0][0], value.encode("utf-8", "surrogateescape"))
    return f"<{target.replace(headers=[('Replaces', raw.decode('ascii'))])}>"


def wants_no_subscription(refer: Request) -> bool:
    """Whether the sender of ``refer`` wants no NOTIFY (RFC 4488 4)."""
    return (refer.get("refer-sub") or "").partition(";")[0].strip().lower() == "false"


def status_of(notify: Request) -> int | None:
    """Return the status in the body of a NOTIFY (RFC 3515 2.4.5), None where there is none."""
    found = _STATUS_LINE.match(notify.body)
    return None if found is None else int(found[1])
