"""Via: the way a response goes back (RFC 3261 20.42, 18.2).

Theory of operation: the ordinary Via (a name or an IPv4 address, a branch,
perhaps rport) is read by one pattern that proves it well-formed; every other
legal form, with white space and parameters anywhere, is read by a second
one. A Via never changes: ``replace`` makes a new one.
"""

from __future__ import annotations

import re
from typing import Final

from sansip.errors import RemoteProtocolError
from sansip.wire.abnf import HOST, LWS, PLAIN_HOST, PLAIN_PORT, PORT, TOKEN, compiled
from sansip.wire.faults import excerpt, malformed
from sansip.wire.host import host_text, ipv6_octets
from sansip.wire.params import Params, format_params, parse_params

__all__ = ["ORDINARY_VIA_LINE", "Via", "ordinary_via", "parse_via", "salvage_via"]

_SECTION: Final = "RFC 3261 20.42"
# A whole header line: transport, host, port, rport before the branch, branch.
# rport may stand on one side of the branch only, so no parameter comes twice.
ORDINARY_VIA_LINE: Final = compiled(
    rf"[^:]*+:{LWS}SIP/2\.0/([A-Z]++) ({PLAIN_HOST})(?::({PLAIN_PORT}))?+"
    rf"(;rport)?+;branch=({TOKEN})(?(4)|(;rport)?+){LWS}"
)
_GENERAL: Final = compiled(
    rf"{LWS}({TOKEN}){LWS}/{LWS}({TOKEN}){LWS}/{LWS}({TOKEN})[ \t]++"
    rf"({HOST})(?:{LWS}:{LWS}({PORT}))?+(?={LWS}(?:;|$))"
)
_TTL: Final = compiled("0*+(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[0-9]{0,2})(?<=[0-9])")
_RPORT: Final = compiled(PORT)
_HOST: Final = compiled(HOST)
_TOKEN: Final = compiled(TOKEN)


class Via:
    """One Via value, made by a parser or ``build``. Treat it and its dict as read-only.

    Attributes:
        sent_protocol: protocol and version, ``"SIP/2.0"``.
        transport: in upper case, as ``"UDP"``.
        host: of sent-by, in lower case, IPv6 without brackets.
        port: of sent-by, or None when absent (the default depends on the transport).
        branch: the branch parameter, or None (RFC 2543 peers).
        params: name in lower case → value as written, None for a flag.
        sent_by: ``host`` or ``host:port`` as written in a message, IPv6 in brackets.
    """

    __slots__ = ("branch", "host", "params", "port", "sent_by", "sent_protocol", "transport")

    transport: str
    host: str
    port: int | None
    branch: str | None
    params: Params
    sent_protocol: str
    sent_by: str

    @classmethod
    def build(
        cls,
        transport: str,
        host: str,
        port: int | None = None,
        params: Params | None = None,
        sent_protocol: str = "SIP/2.0",
    ) -> Via:
        """Return the Via of these parts, which are not checked."""
        via = cls()
        via.transport = transport.upper()
        via.host = host.lower()
        via.port = port
        via.sent_protocol = sent_protocol
        via.params = {} if params is None else params
        via.branch = via.params.get("branch")
        via.sent_by = host_text(via.host, port)
        return via

    @property
    def received(self) -> str | None:
        """The received parameter, an address without brackets (RFC 5118 4.5), or None."""
        return self.params.get("received")

    @property
    def protocol(self) -> str:
        """The protocol's name, ``"SIP"``."""
        return self.sent_protocol.partition("/")[0]

    @property
    def version(self) -> str:
        """The protocol's version, ``"2.0"``."""
        return self.sent_protocol.partition("/")[2]

    @property
    def rport(self) -> int | None:
        """The port that rport tells, or None; see ``wants_rport`` for the flag (RFC 3581)."""
        value = self.params.get("rport")
        return None if value is None else int(value)

    @property
    def wants_rport(self) -> bool:
        """Whether rport is present, with a value or without (RFC 3581 4)."""
        return "rport" in self.params

    @property
    def ttl(self) -> int | None:
        """The time-to-live of multicast (RFC 3261 18.1.1), or None."""
        value = self.params.get("ttl")
        return None if value is None else int(value)

    @property
    def maddr(self) -> str | None:
        """The maddr parameter without brackets, in lower case, or None."""
        value = self.params.get("maddr")
        return None if value is None else value.strip("[]").lower()

    def replace(self, *, host: str | None = None, port: int | None = -1, **params: str | None) -> Via:
        """Return a Via with sent-by changed, or parameters changed or added (``alias=None``).

        Raises LocalProtocolError when a parameter does not fit the grammar.
        """
        format_params(params)
        return Via.build(
            self.transport,
            self.host if host is None else host,
            self.port if port == -1 else port,
            {**self.params, **params},
            self.sent_protocol,
        )

    def noted(self, received: str, rport: str) -> Via:
        """Return this Via, whose flag rport has been filled, with the source of its request (RFC 3581 4)."""
        via = Via()
        via.sent_protocol = self.sent_protocol
        via.transport = self.transport
        via.host = self.host
        via.port = self.port
        via.branch = self.branch
        via.sent_by = self.sent_by
        params = via.params = self.params.copy()
        params["rport"] = rport
        params["received"] = received
        return via

    def __str__(self) -> str:
        params = [f";{name}" if value is None else f";{name}={value}" for name, value in self.params.items()]
        return f"{self.sent_protocol}/{self.transport} {self.sent_by}{''.join(params)}"

    def __repr__(self) -> str:
        return f"<Via {self}>"


def ordinary_via(match: re.Match[str]) -> Via:
    """Return the Via of a match of ``ORDINARY_VIA_LINE``."""
    transport, host, port, rport, branch, rport_after = match.groups()
    via = Via()
    via.transport = transport
    via.host = host = host.lower()
    if port is None:
        via.port = None
        via.sent_by = host
    else:
        via.port = number = int(port)
        via.sent_by = f"{host}:{number}"
    via.sent_protocol = "SIP/2.0"
    via.branch = branch
    if rport is not None:
        via.params = {"rport": None, "branch": branch}
    elif rport_after is not None:
        via.params = {"branch": branch, "rport": None}
    else:
        via.params = {"branch": branch}
    return via


def parse_via(text: str) -> Via:
    """Return the one Via in ``text`` (unfolded). Raises RemoteProtocolError when malformed."""
    match = _GENERAL.match(text)
    if match is None:
        raise malformed(
            "Via", f"expected SIP/2.0/transport host[:port], got {excerpt(text.strip())!r}", _SECTION
        )
    protocol, version, transport, host, port = match.groups()
    if host[0] == "[":
        host = host[1:-1]
        if ipv6_octets(host) is None:
            raise malformed("Via", f"[{excerpt(host)}] is not an IPv6 reference", "RFC 5954 4.1")
        host = host.replace(":::", "::")
    params = parse_params(text[match.end() :], "Via", _SECTION)
    _check(params)
    received = params.get("received")
    if received is not None:
        # RFC 5118 4.5: brackets are read, and never sent.
        params["received"] = received.strip("[]")
    return Via.build(
        transport, host, None if port is None else int(port), params, f"{protocol.upper()}/{version}"
    )


def _check(params: Params) -> None:
    """Raise RemoteProtocolError when a parameter that SIP defines has a value it cannot have."""
    for name, value in params.items():
        if name == "branch":
            # An empty branch has no transaction to name.
            fine = value is not None and _TOKEN.fullmatch(value) is not None
        elif name == "received":
            # RFC 5118 4.5: brackets do not belong here, and are tolerated.
            fine = value is not None and (
                _HOST.fullmatch(value) is not None or ipv6_octets(value.strip("[]")) is not None
            )
        elif name == "rport":
            fine = value is None or _RPORT.fullmatch(value) is not None
        elif name == "ttl":
            fine = value is not None and _TTL.fullmatch(value) is not None
        elif name == "maddr":
            fine = value is not None and (_HOST.fullmatch(value) is not None)
        else:
            continue
        if not fine:
            shown = name if value is None else f"{name}={excerpt(value)}"
            raise malformed("Via", f"malformed parameter {shown}", _SECTION)


def salvage_via(text: str) -> Via | None:
    """Return the readable part of a malformed Via, or None.

    Enough to send a 400 back by (RFC 3261 18.2.2): sent-by, and the parameters
    before the first defect.
    """
    match = _GENERAL.match(text)
    if match is None:
        return None
    params: Params = {}
    for part in text[match.end() :].split(";"):
        try:
            found = parse_params(f";{part}" if part.strip() else "", "Via", _SECTION)
            _check(found)
        except RemoteProtocolError:
            break
        for name, value in found.items():
            params.setdefault(name, value)
    protocol, version, transport, host, port = match.groups()
    if host[0] == "[" and ipv6_octets(host[1:-1]) is None:
        return None
    return Via.build(
        transport,
        host.strip("[]"),
        None if port is None else int(port),
        params,
        f"{protocol.upper()}/{version}",
    )
