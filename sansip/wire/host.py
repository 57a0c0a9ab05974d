"""Host names and addresses as SIP writes them.

Theory of operation: a host is kept without brackets and in lower case. An
IPv6 address is recognised by its colons, so no second field says which kind a
host is. The octets of an address decide whether two spellings are the same
host (RFC 5954 4.2), never the text.
"""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Final

from sansip.wire.abnf import HOSTNAME, IPV4, compiled

__all__ = [
    "host_key",
    "host_text",
    "ipv4_octets",
    "ipv6_octets",
    "is_address",
    "parse_host",
    "plain_host",
    "same_host",
    "split_host_port",
]

_IPV4: Final = compiled(IPV4)
_HOSTNAME: Final = compiled(HOSTNAME)
_HEX_GROUPS: Final = compiled(r"[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4})*+")
_PORT: Final = compiled(r"[0-9]++")
_MAPPED: Final = bytes(10) + b"\xff\xff"


def ipv4_octets(text: str) -> bytes | None:
    """Return the four octets of dotted ``text``, or None."""
    if _IPV4.fullmatch(text) is None:
        return None
    return bytes(map(int, text.split(".")))


def _groups(text: str) -> bytes | None:
    """Return the octets of colon-separated groups, the last of which may be IPv4."""
    if not text:
        return b""
    tail = b""
    if "." in text:
        head, _, last = text.rpartition(":")
        octets = ipv4_octets(last)
        if octets is None:
            return None
        if not head:
            return octets
        text, tail = head, octets
    if _HEX_GROUPS.fullmatch(text) is None:
        return None
    return b"".join([int(group, 16).to_bytes(2, "big") for group in text.split(":")]) + tail


def ipv6_octets(text: str) -> bytes | None:
    """Return the sixteen octets of an IPv6 address (no brackets), or None.

    RFC 5954 4.1, and one mistake beside it that RFC 5118 4.10 wants tolerated:
    the third colon of ``2001:db8:::192.0.2.1``, a gift of RFC 2373's grammar.
    """
    if len(text) > 45:
        return None
    if ":::" in text:
        head, _, last = text.partition(":::")
        if ":" in last or "." not in last:
            return None
        text = f"{head}::{last}"
    head, gap, rest = text.partition("::")
    first = _groups(head)
    if first is None:
        return None
    if not gap:
        return first if len(first) == 16 else None
    if "." in head:
        return None
    last_part = _groups(rest)
    # "::" stands for one group or more (RFC 3986 3.2.2).
    if last_part is None or len(first) + len(last_part) > 14:
        return None
    return first + bytes(16 - len(first) - len(last_part)) + last_part


def parse_host(text: str) -> str | None:
    """Return the host in ``text`` (an IPv6 reference in brackets) in lower case, or None.

    The brackets go, and so does the third colon of RFC 5118 4.10.
    """
    if text[:1] == "[":
        if text[-1:] != "]" or ipv6_octets(text[1:-1]) is None:
            return None
        return text[1:-1].lower().replace(":::", "::")
    if _HOSTNAME.fullmatch(text) is None and _IPV4.fullmatch(text) is None:
        return None
    return text.lower()


def split_host_port(text: str) -> tuple[str, int | None] | None:
    """Return (host, port or None) of ``host[:port]``, or None when malformed."""
    end = text.find("]") + 1
    colon = text.find(":", end)
    if colon < 0:
        host = parse_host(text)
        return None if host is None else (host, None)
    host = parse_host(text[:colon])
    port = text[colon + 1 :]
    if host is None or len(port) > 10 or _PORT.fullmatch(port) is None or int(port) > 65535:
        return None
    return host, int(port)


def host_text(host: str, port: int | None = None) -> str:
    """Return ``host[:port]`` as a message writes it: IPv6 in brackets."""
    if ":" in host:
        host = f"[{host}]"
    return host if port is None else f"{host}:{port}"


def is_address(host: str) -> bool:
    """Return whether ``host`` (no brackets) is an IP address and not a name."""
    return (":" in host and ipv6_octets(host) is not None) or ipv4_octets(host) is not None


def plain_host(host: str) -> str:
    """Return ``host`` (lower case, no brackets) in the one spelling that is compared as text.

    A name may end in the dot of the root (RFC 1034 3.1). An IPv6 address is written as
    RFC 5952 4 does and as the source of a packet is, an IPv4 address in IPv6 clothes as
    the IPv4 address that it is (RFC 4291 2.5.5.2).
    """
    if ":" in host:
        octets = ipv6_octets(host)
        if octets is None:
            return host
        if octets[:12] == _MAPPED:
            return ".".join(map(str, octets[12:]))
        return str(IPv6Address(octets))
    return host[:-1] if host[-1:] == "." else host


def host_key(host: str) -> str | bytes:
    """Return a key that is equal for equal hosts (no brackets): octets, or the name in lower case.

    RFC 5954 4.2: the spelling of an address does not matter. RFC 5118 4.9: one in IPv6
    clothes is the IPv4 address.
    """
    if ":" in host:
        octets = ipv6_octets(host)
        if octets is None:
            return host.lower()
        return octets if octets[:12] != _MAPPED else ".".join(map(str, octets[12:]))
    return host.lower()


def same_host(one: str, other: str) -> bool:
    """Return whether two hosts (no brackets) are the same, however they are spelled (RFC 5118 4.8)."""
    return one == other or host_key(one) == host_key(other)
