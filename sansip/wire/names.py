"""Header field names: usual spellings, compact forms, canonical keys.

Theory of operation: a header field is known inside by its key, the full name
in lower case. One dict maps every usual spelling straight to the key, so that
the common case of reading a header line costs one lookup; any other spelling
is checked to be a token and lowered.
"""

from __future__ import annotations

from typing import Final

from sansip.errors import LocalProtocolError
from sansip.wire.abnf import TOKEN_RE

__all__ = ["COMPACT", "DISPLAY", "SPELLINGS", "display_name", "header_key"]


def _words(text: str) -> list[str]:
    return text.split()


_NAMES: Final = _words("""
Accept Accept-Contact Accept-Encoding Accept-Language Accept-Resource-Priority Alert-Info Allow
Allow-Events Answer-Mode Authentication-Info Authorization Call-ID Call-Info Cellular-Network-Info
Contact Content-Disposition Content-Encoding Content-ID Content-Language Content-Length Content-Type
CSeq Date DC-Info Diversion Error-Info Event Expires Feature-Caps Flow-Timer From Geolocation
Geolocation-Error Geolocation-Routing Hide History-Info Identity Identity-Info Info-Package In-Reply-To
Join Max-Breadth Max-Forwards MIME-Version Min-Expires Min-SE Organization P-Access-Network-Info
P-Answer-State P-Asserted-Identity P-Asserted-Service P-Associated-URI P-Called-Party-ID P-Charge-Info
P-Charging-Function-Addresses P-Charging-Vector P-DCS-Billing-Info P-DCS-LAES P-DCS-OSPS P-DCS-Redirect
P-DCS-Trace-Party-ID P-Early-Media P-Media-Authorization P-Preferred-Identity P-Preferred-Service
P-Private-Network-Indication P-Profile-Key P-Refused-URI-List P-Served-User P-User-Database
P-Visited-Network-ID Path Permission-Missing Policy-Contact Policy-ID Priority Priv-Answer-Mode Privacy
Proxy-Authenticate Proxy-Authentication-Info Proxy-Authorization Proxy-Require RAck Reason Reason-Phrase
Record-Route Recv-Info Refer-Events-At Refer-Sub Refer-To Referred-By Reject-Contact Relayed-Charge
Remote-Party-ID Replaces Reply-To Request-Disposition Require Resource-Priority Response-Key
Restoration-Info Retry-After Route RSeq Security-Client Security-Server Security-Verify Server
Service-Interact-Info Service-Route Session-Expires Session-ID SIP-ETag SIP-If-Match Subject
Subscription-State Supported Suppress-If-Match Target-Dialog Timestamp To Trigger-Consent Unsupported
User-Agent User-to-User Via Warning WWW-Authenticate
""")

# RFC 3261 7.3.3 and the IANA registry of header fields.
COMPACT: Final[dict[str, str]] = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "n": "identity-info",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}

# key → the spelling of the document that defines the field.
DISPLAY: Final[dict[str, str]] = {name.lower(): name for name in _NAMES}

# Every spelling that is worth a direct lookup → key.
SPELLINGS: Final[dict[str, str]] = {}
for _name in _NAMES:
    for _spelling in (_name, _name.lower(), _name.upper(), _name.title()):
        SPELLINGS[_spelling] = _name.lower()
for _short, _key in COMPACT.items():
    SPELLINGS[_short] = SPELLINGS[_short.upper()] = _key


def header_key(name: str) -> str:
    """Return the key of header field ``name`` (any case, compact forms expanded).

    Raises LocalProtocolError when ``name`` is no token, so that a name cannot
    smuggle a colon or a line end into a message.
    """
    key = SPELLINGS.get(name)
    if key is None:
        if TOKEN_RE.fullmatch(name) is None:
            raise LocalProtocolError(f"{name!r} is not a header field name (a token, RFC 3261 25.1)")
        key = name.lower()
        key = SPELLINGS.get(key, key)
    return key


def display_name(name: str) -> str:
    """Return the usual spelling of ``name``, or ``name`` itself when it is unknown."""
    return DISPLAY.get(header_key(name), name)
