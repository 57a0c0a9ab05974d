# ruff: noqa: E501, W291 (header lines are as long as they are, and may end in a space)
"""Messages in the ordinary form, each with something of its own, for the tests of the scanner of heads."""

from __future__ import annotations

__all__ = ["MESSAGES"]


def _message(text: str) -> bytes:
    return text.lstrip("\n").replace("\n", "\r\n").encode()


MESSAGES = [
    _message(one)
    for one in (
        """
INVITE sip:bob@biloxi.example.com:5080;transport=udp SIP/2.0
Via: SIP/2.0/UDP pc33.atlanta.com:5066;rport;branch=z9hG4bK776asdhds
Via: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK1
Max-Forwards: 70
To: Bob <sip:bob@biloxi.com>
From: "Alice, the \u00e9lder" <sip:alice@atlanta.com>;tag=1928301774
Call-ID: a84b4c76e66710@pc33.atlanta.com
CSeq: 314159 INVITE
Contact: <sip:alice@pc33.atlanta.com>
Route: <sip:p1.example.com;lr>,<sip:p2.example.com;lr>
Content-Type: text/plain
Content-Length: 5

hello""",
        """
SIP/2.0 200 OK
Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK77.abc;received=192.0.2.4;rport=5060, SIP/2.0/UDP 10.0.0.1:5070;branch=z9hG4bK-x;rport
Record-Route: <sip:127.0.0.1;lr;d=1>
From: <sip:a@192.0.2.9:5060>;tag=1
To: sip <sip:b@example.com>;tag=Y.z~1
Call-ID: 1-2@127.0.0.1
CSeq: 1 INVITE
Contact: <sip:b@127.0.0.1:6000>
Content-Length:   0

""",
        """
REGISTER sip:example.com SIP/2.0
v: SIP/2.0/TLS 10.1.2.3;branch=z9hG4bK1;rport
f: <sip:x@example.com>;tag=a
t: <sip:x@example.com>
i: word(1)<2>:"3"@[::1]
CSEQ: 000000007   REGISTER
max-forwards:\t7
m: <sip:x@10.1.2.3:5061;transport=tls>;expires=60
m: *
Expires: 3600
Require: path
Proxy-Require: foo
Max-Breadth: 60
X-Unknown: a,b,,c
l: 0

""",
        """
OPTIONS sip:a-b.c_d SIP/2.0
Via: SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bK56sdasks;received=1.2.3.4
From: ""<sip:user;par=u&a=1@host.x>;tag=t
To: <sip:255.0.10.1:00>
Call-ID: x
CSeq: 0 OPTIONS

""",
        """
SIP/2.0 100 
Via: SIP/2.0/UDP h;branch=1
From: a b\t c <sip:h;x>
To: "q" \t<sip:h>
Call-ID: %
CSeq: 999999999 a!b
""".replace("From: a b", "Subject: caf\u00e9\nFrom: a b")
        + "\n",
    )
]
