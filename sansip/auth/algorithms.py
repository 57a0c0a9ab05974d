"""The digest computations of RFC 7616, with the algorithms that RFC 8760 admits to SIP.

Theory of operation: an algorithm is a hash, with or without ``-sess``. A server stores HA1 in place of a
password, one per hash and realm; everything else is computed per request from it. All text is hashed as
UTF-8.
"""

from __future__ import annotations

import hashlib
from typing import Final

__all__ = ["HASHES", "compute_response", "ha1", "hash_name", "session_key", "username_hash"]

# RFC 8760 2.1: token in messages -> name in hashlib, strongest first.
HASHES: Final = {"SHA-512-256": "sha512_256", "SHA-256": "sha256", "MD5": "md5"}


def hash_name(algorithm: str | None) -> str | None:
    """Return the hash of ``algorithm`` (a key of ``HASHES``), or None if it is not known.

    No case matters, ``-sess`` is taken off, and None means MD5 (RFC 7616 3.3).
    """
    if algorithm is None:
        return "MD5"
    name = algorithm.upper().removesuffix("-SESS")
    return name if name in HASHES else None


def _digest(name: str, data: bytes) -> str:
    # MD5 is here for phones that know nothing else, not for its security.
    if name == "MD5":
        # Half a microsecond, where ``new`` takes two: there are three for each request.
        return hashlib.md5(data, usedforsecurity=False).hexdigest()
    return hashlib.new(HASHES[name], data, usedforsecurity=False).hexdigest()


def _text(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")


def ha1(username: str, realm: str, password: str, algorithm: str = "MD5") -> str:
    """Return H(username:realm:password), RFC 7616 3.4.2, in hexadecimal.

    Raises ``ValueError`` for an unknown ``algorithm``.
    """
    name = hash_name(algorithm)
    if name is None:
        raise ValueError(f"unknown digest algorithm {algorithm!r}; known are {', '.join(HASHES)}")
    return _digest(name, _text(f"{username}:{realm}:{password}"))


def session_key(base: str, nonce: str, cnonce: str, algorithm: str) -> str:
    """Return HA1 of a ``-sess`` algorithm from the stored one (RFC 7616 3.4.2)."""
    name = hash_name(algorithm)
    assert name is not None
    return _digest(name, _text(f"{base}:{nonce}:{cnonce}"))


def username_hash(username: str, realm: str, algorithm: str | None) -> str:
    """Return H(username:realm), sent in place of the name with ``userhash=true`` (RFC 7616 3.4.4).

    Raises ``ValueError`` for an unknown ``algorithm``.
    """
    name = hash_name(algorithm)
    if name is None:
        raise ValueError(f"unknown digest algorithm {algorithm!r}; known are {', '.join(HASHES)}")
    return _digest(name, _text(f"{username}:{realm}"))


def compute_response(
    key: str,
    method: str,
    uri: str,
    nonce: str,
    *,
    algorithm: str | None = None,
    qop: str | None = None,
    nc: str = "",
    cnonce: str = "",
    body: bytes = b"",
) -> str:
    """Return the value of ``response`` for stored HA1 ``key`` (RFC 7616 3.4.1).

    ``qop`` is None (RFC 2069 clients), ``"auth"`` or ``"auth-int"``, which covers
    ``body`` as well. Raises ``ValueError`` for an unknown ``algorithm``.
    """
    name = hash_name(algorithm)
    if name is None:
        raise ValueError(f"unknown digest algorithm {algorithm!r}; known are {', '.join(HASHES)}")
    if algorithm is not None and algorithm.upper().endswith("-SESS"):
        key = session_key(key, nonce, cnonce, algorithm)
    # RFC 7616 3.4.3
    what = f"{method}:{uri}:{_digest(name, body)}" if qop == "auth-int" else f"{method}:{uri}"
    ha2 = _digest(name, _text(what))
    if qop is None:
        # RFC 7616 3.4.1 (and RFC 2617 3.2.2.1): clients of RFC 2069.
        return _digest(name, _text(f"{key}:{nonce}:{ha2}"))
    return _digest(name, _text(f"{key}:{nonce}:{nc}:{cnonce}:{qop}:{ha2}"))
