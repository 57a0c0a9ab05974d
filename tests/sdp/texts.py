"""Descriptions that the tests of ``sansip.sdp`` read: a classic phone's, a browser's, and odd ones."""

from __future__ import annotations

__all__ = ["BROWSER", "PHONE", "lines"]


def lines(*text: str) -> bytes:
    """Return a description of these lines."""
    return "".join(f"{line}\r\n" for line in text).encode("utf-8", "surrogateescape")


PHONE = lines(
    "v=0",
    "o=alice 2890844526 7 IN IP4 host.atlanta.example.com",
    "s= a call ",
    "c=IN IP4 192.0.2.1",
    "t=0 0",
    "x=an unknown line",
    "m=audio 49170 RTP/AVP 0 8 97 101",
    "b=AS:64",
    "a=rtpmap:0 PCMU/8000",
    "a=rtpmap:97 iLBC/8000",
    "a=fmtp:97 mode=30",
    "a=rtpmap:101 telephone-event/8000",
    "a=fmtp:101 0-16",
    "a=sendrecv",
    "m=video 51372 RTP/AVP 31 96 98",
    "c=IN IP4 192.0.2.7/127",
    "a=rtpmap:96 H264/90000",
    "a=fmtp:96 profile-level-id=42e01f;packetization-mode=1",
    "a=rtcp-fb:96 nack pli",
    "a=rtpmap:98 rtx/90000",
    "a=fmtp:98 apt=96",
    "a=sendonly",
)

BROWSER = lines(
    "v=0",
    "o=mozilla...THIS_IS_SDPARTA 4294967295 0 IN IP4 127.0.0.1",
    "s=-",
    "t=0 0",
    "a=group:BUNDLE 0 1",
    "a=fingerprint:SHA-256 19:E2:1C:3B:4B:9F:81:E6:B8:5C:F4:A5:A8:D8:73:04:BB:05:2F:70:9F:04:A9:0E",
    "a=ice-options:trickle renomination",
    "m=audio 54400 UDP/TLS/RTP/SAVPF 111 0 126",
    "c=IN IP4 203.0.113.141",
    "a=rtpmap:111 opus/48000/2",
    "a=fmtp:111 minptime=10;useinbandfec=1",
    "a=rtpmap:0 PCMU/8000",
    "a=rtpmap:126 telephone-event/8000",
    "a=candidate:1467250027 1 udp 2122260223 192.168.0.196 46243 typ host generation 0",
    "a=candidate:1853887674 1 udp 1518280447 47.61.61.61 36768 typ srflx raddr 192.168.0.196 rport 36768",
    "a=ice-ufrag:F7gI",
    "a=ice-pwd:x9cml/YzichV2+XlhiMu8g",
    "a=setup:actpass",
    "a=mid:0",
    "a=rtcp-mux",
    "m=application 0 UDP/DTLS/SCTP webrtc-datachannel",
    "c=IN IP6 ::1",
    "a=bundle-only",
    "a=mid:1",
)
