"""ICE, DTLS and SDES attributes are read, and removed whole (RFC 8839, RFC 8122, RFC 4568)."""

from __future__ import annotations

import pytest

from sansip.errors import RemoteProtocolError
from sansip.sdp import parse
from sansip.sdp.security import DTLS, ICE
from tests.sdp.texts import BROWSER, PHONE, lines


def test_ice() -> None:
    """Credentials, candidates and options, those of the session too (RFC 8839 5.4)."""
    audio, data = parse(BROWSER).media
    ice = audio.ice
    assert ice is not None
    assert (ice.ufrag, ice.pwd) == ("F7gI", "x9cml/YzichV2+XlhiMu8g")
    assert ice.options == ("trickle", "renomination")
    first, second = ice.parsed()
    assert (first.address, first.port, first.type, first.priority) == (
        "192.168.0.196",
        46243,
        "host",
        2122260223,
    )
    assert second.extensions == "raddr 192.168.0.196 rport 36768"
    assert str(second) == ice.candidates[1]
    assert data.ice is None


@pytest.mark.parametrize(
    "candidate",
    [
        "",
        "1 1 udp 1 a 1 host",
        "1 1 udp x a 1 typ host",
        "1 1 udp 1 a 70000 typ host",
        "1 0 udp 1 a 1 typ host",
        "1 1 udp 99999999999 a 1 typ host",
    ],
)
def test_malformed_candidate(candidate: str) -> None:
    """RFC 8839 5.1; the rest of ICE can be read all the same."""
    text = lines("v=0", "m=audio 1 RTP/AVP 0", "a=ice-ufrag:a", "a=ice-pwd:b", f"a=candidate:{candidate}")
    ice = parse(text).media[0].ice
    assert ice is not None
    with pytest.raises(RemoteProtocolError, match="candidate"):
        ice.parsed()


def test_dtls() -> None:
    """RFC 8122 5: the hash's name has no case, and the session's fingerprint is for all media."""
    audio, _ = parse(BROWSER).media
    assert audio.dtls is not None
    assert audio.dtls.fingerprints[0][0] == "sha-256"
    assert audio.dtls.setup == "actpass"
    assert audio.is_secure
    assert parse(PHONE).media[0].dtls is None
    with pytest.raises(RemoteProtocolError, match="fingerprint"):
        _ = parse(lines("v=0", "m=audio 1 RTP/AVP 0", "a=fingerprint:sha-256")).media[0].dtls


def test_remove() -> None:
    """All of it goes, and nothing else."""
    description = parse(BROWSER)
    description.remove_ice()
    description.remove_dtls()
    names = tuple(f"a={name}".encode() for name in (*ICE, *DTLS))
    kept = [line for line in BROWSER.splitlines(keepends=True) if not line.startswith(names)]
    assert description.to_bytes() == b"".join(kept)


def test_crypto() -> None:
    """RFC 4568 4."""
    text = lines(
        "v=0", "m=audio 1 RTP/SAVP 0", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:abc|2^20 UNENCRYPTED_SRTCP"
    )
    (crypto,) = parse(text).media[0].crypto
    assert (crypto.tag, crypto.suite, crypto.keys) == ("1", "AES_CM_128_HMAC_SHA1_80", "inline:abc|2^20")
    assert crypto.parameters == ("UNENCRYPTED_SRTCP",)
    with pytest.raises(RemoteProtocolError, match="crypto"):
        _ = parse(lines("v=0", "m=audio 1 RTP/SAVP 0", "a=crypto:1")).media[0].crypto
