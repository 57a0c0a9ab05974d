"""Text that should be challenges and credentials (RFC 3261 22, RFC 7616, RFC 8760)."""

from __future__ import annotations

from sansip.auth import AuthConfig, Authenticator, Verdict, designates
from sansip.bans import Bans
from sansip.entropy import Entropy
from sansip.errors import RemoteProtocolError
from sansip.wire import parse_message, parse_uri
from sansip.wire.headers.auth import parse_challenge, parse_credentials

__all__ = ["digest"]

KEY = b"fuzz".ljust(16, b".")
STORED = {"MD5": "0" * 32, "SHA-256": "0" * 64}


def _serves(host: str, port: int | None) -> bool:
    return host == "biloxi.test"


def digest(data: bytes) -> None:
    """No input without the password passes, and the only exception is RemoteProtocolError."""
    text = data.decode("utf-8", "surrogateescape")
    guard = Authenticator(AuthConfig(), [KEY], Entropy(KEY), Bans(10))
    nonce = guard.challenges("biloxi.test", "192.0.2.9", 1000.0, 1.0)[0].split('nonce="')[1].split('"')[0]
    for line in text.split("\n")[:8]:
        try:
            challenge = parse_challenge(line, "WWW-Authenticate", "RFC 3261 20.44")
            str(challenge)
        except RemoteProtocolError:
            pass
        # Half of the inputs should pass the check of the nonce.
        line = line.replace("NONCE", nonce)
        try:
            credentials = parse_credentials(line, "Authorization", "RFC 3261 20.7")
        except RemoteProtocolError:
            continue
        offer = guard.select([credentials], "biloxi.test", "192.0.2.9", 1000.0, 1.0, forgeable=True)
        if offer.verdict is Verdict.GENUINE:
            assert offer.credentials is credentials
            designates(credentials.uri or "", "REGISTER", parse_uri("sip:biloxi.test"), _serves)
            for body in (b"", data):
                verdict = guard.verify(offer, "REGISTER", body, STORED, "192.0.2.9", 1.0)
                assert verdict in (Verdict.DENIED, Verdict.BARRED)
    head = (
        b"REGISTER sip:biloxi.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\nAuthorization: "
    )
    try:
        message = parse_message(head + data + b"\r\n\r\n")
    except RemoteProtocolError:
        return
    try:
        message.get_all("Authorization")
        list(message.values("authorization"))
    except RemoteProtocolError:
        pass
