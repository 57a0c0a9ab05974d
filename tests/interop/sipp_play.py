"""Scenarios of SIPp as a called phone, written as steps in Python and given to SIPp as XML.

Theory of operation: SIPp knows the message that came last. What answers an INVITE later needs its fields, so
``recv("INVITE")`` keeps them in variables. ``Play`` writes one element for each step; SIPp judges what
comes, and its exit status says whether all of it came.
"""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

__all__ = ["SDP", "Play"]

SDP = (
    "v=0\r\no=sipp 1 1 IN IP4 [local_ip]\r\ns=-\r\nc=IN IP4 [local_ip]\r\nt=0 0\r\n"
    "m=audio 40000 RTP/AVP 0\r\na=sendrecv\r\n"
)
_KEPT = ("via", "from", "to", "cseq")
_VIA = "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]"
_CONTACT = "Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>"


class Play:
    """A scenario of one call in which SIPp is called."""

    def __init__(self) -> None:
        self._steps: list[str] = []
        self._variables: set[str] = set()
        self._ours = 0

    def recv(self, what: str | int, *, optional: bool = False, check: tuple[str, str] | None = None) -> Play:
        """Wait for a request or a status. ``check``: a header field, and what must be found in it."""
        kind = "response" if isinstance(what, int) else "request"
        actions = []
        if what == "INVITE":
            actions += [self._ereg(".*", f"{name.capitalize()}:", name) for name in _KEPT]
            actions.append(self._ereg("sip:[^>]*", "Contact:", "target"))
        if check is not None:
            actions.append(self._ereg(check[1], f"{check[0]}:", "checked"))
        inner = f"<action>{''.join(actions)}</action>" if actions else ""
        more = ' optional="true"' if optional else ""
        self._steps.append(f'<recv {kind}="{what}" crlf="true" timeout="8000"{more}>{inner}</recv>')
        return self

    def _ereg(self, pattern: str, field: str, name: str) -> str:
        self._variables.add(name)
        pattern = escape(pattern, {'"': "&quot;"})
        field = "CSeq:" if field == "Cseq:" else field
        return (
            f'<ereg regexp="{pattern}" search_in="hdr" header="{field}" check_it="true" assign_to="{name}"/>'
        )

    def _send(self, lines: list[str], body: str, *, retrans: bool) -> Play:
        if body:
            lines.append("Content-Type: application/sdp")
        lines.append("Content-Length: [len]")
        text = "\n".join([*lines, "", *body.split("\r\n")])
        more = ' retrans="500"' if retrans else ""
        self._steps.append(f"<send{more}><![CDATA[\n{text}\n]]></send>")
        return self

    def answer(
        self, status: str, *fields: str, body: str = "", tag: str = "1", contact: str = _CONTACT
    ) -> Play:
        """Answer the last INVITE; ``tag`` is our tag, for each phone of a fork another."""
        lines = [f"SIP/2.0 {status}", "Via:[$via]", "From:[$from]"]
        lines += [f"To:[$to];tag={tag}", "Call-ID: [call_id]", "CSeq:[$cseq]", contact, *fields]
        return self._send([line for line in lines if line], body, retrans=False)

    def again(self, status: str, *fields: str, body: str = "") -> Play:
        """Answer the last INVITE, which was within the dialog."""
        lines = [f"SIP/2.0 {status}", "Via:[$via]", "From:[$from]", "To:[$to]"]
        return self._send(
            [*lines, "Call-ID: [call_id]", "CSeq:[$cseq]", _CONTACT, *fields], body, retrans=False
        )

    def ok(self, status: str = "200 OK", *fields: str, body: str = "") -> Play:
        """Answer the message that came last."""
        lines = [f"SIP/2.0 {status}", "[last_Via:]", "[last_From:]", "[last_To:]", "[last_Call-ID:]"]
        return self._send([*lines, "[last_CSeq:]", _CONTACT, *fields], body, retrans=False)

    def request(self, method: str, *fields: str, body: str = "", tag: str = ";tag=1") -> Play:
        """Send a request within the dialog."""
        self._ours += 1
        lines = [
            f"{method} [$target] SIP/2.0",
            "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
        ]
        lines += [f"From:[$to]{tag}", "To:[$from]", "Call-ID: [call_id]", f"CSeq: {self._ours} {method}"]
        return self._send([*lines, "Max-Forwards: 70", _CONTACT, *fields], body, retrans=True)

    def notify(self, fields: list[str], line: str) -> Play:
        """Send a NOTIFY with a status line in it (RFC 3515 2.4.5)."""
        self._ours += 1
        lines = [
            "NOTIFY [$target] SIP/2.0",
            "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
        ]
        lines += ["From:[$to];tag=1", "To:[$from]", "Call-ID: [call_id]", f"CSeq: {self._ours} NOTIFY"]
        lines += ["Max-Forwards: 70", _CONTACT, *fields, "Content-Length: [len]", "", line, ""]
        text = "\n".join(lines)
        self._steps.append(f'<send retrans="500"><![CDATA[\n{text}\n]]></send>')
        return self

    def ack(self) -> Play:
        """Acknowledge the answer to our INVITE."""
        lines = ["ACK [$target] SIP/2.0", _VIA]
        lines += ["[last_From:]", "[last_To:]", "Call-ID: [call_id]", f"CSeq: {self._ours} ACK"]
        return self._send([*lines, "Max-Forwards: 70"], "", retrans=False)

    def pause(self, milliseconds: int) -> Play:
        """Do nothing."""
        self._steps.append(f'<pause milliseconds="{milliseconds}"/>')
        return self

    def save(self, path: Path) -> Path:
        """Write the scenario to ``path``."""
        names = ",".join(sorted(self._variables))
        steps = "\n".join(self._steps)
        reference = f'<Reference variables="{names}"/>' if names else ""
        path.write_text(
            f'<?xml version="1.0" encoding="ISO-8859-1" ?>\n<scenario name="callee">\n{steps}\n{reference}\n'
            "</scenario>\n"
        )
        return path
