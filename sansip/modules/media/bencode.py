"""Bencode, the notation of rtpengine's ng protocol: integers, octets, lists and dictionaries.

Theory of operation: a reader and a writer of our own, because a relay may be anybody who answers at its
address: every value is bounded by the datagram, lists nest ``DEPTH`` deep, no octet may follow the value, and
each fault is a ``ValueError``.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

__all__ = ["DEPTH", "Value", "read", "write"]

Value: TypeAlias = "int | bytes | str | list[Any] | dict[str, Any]"
# The statistics of a call nest seven deep.
DEPTH: Final = 16
# Digits of a number: 64 bits.
_DIGITS: Final = 20


def write(value: Value) -> bytes:
    """Return the octets of ``value``; keys in the order of their octets, text as UTF-8."""
    parts: list[bytes] = []
    _write(value, parts)
    return b"".join(parts)


def _write(value: Value, parts: list[bytes]) -> None:
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    if isinstance(value, bytes):
        parts.append(b"%d:%b" % (len(value), value))
    elif isinstance(value, dict):
        parts.append(b"d")
        for name in sorted(value):
            key, one = name.encode("utf-8", "surrogateescape"), value[name]
            if isinstance(one, str):
                # Nearly all values are text: without a call for each.
                one = one.encode("utf-8", "surrogateescape")
            if isinstance(one, bytes):
                parts.append(b"%d:%b%d:%b" % (len(key), key, len(one), one))
            else:
                parts.append(b"%d:%b" % (len(key), key))
                _write(one, parts)
        parts.append(b"e")
    elif isinstance(value, int):
        parts.append(b"i%de" % value)
    else:
        parts.append(b"l")
        for one in value:
            _write(one, parts)
        parts.append(b"e")


def read(data: bytes, at: int = 0) -> Any:
    """Return the one value in ``data`` from ``at`` on: int, bytes, list, or dict with text for keys.

    Raises ``ValueError`` for anything else, and for octets behind it.
    """
    value, end = _read(data, at, 0)
    if end != len(data):
        raise ValueError(f"{len(data) - end} octets behind the value")
    return value


def _read(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    kind = data[at : at + 1]
    if kind.isdigit():
        return _octets(data, at)
    if kind == b"i":
        end = data.find(b"e", at + 1, at + 3 + _DIGITS)
        text = data[at + 1 : end] if end > 0 else b""
        if not text.removeprefix(b"-").isdigit():
            raise ValueError(f"no integer at {at}")
        return int(text), end + 1
    if depth >= DEPTH:
        raise ValueError(f"nested more than {DEPTH} deep")
    if kind == b"l":
        return _list(data, at + 1, depth + 1)
    if kind == b"d":
        return _dictionary(data, at + 1, depth + 1)
    raise ValueError(f"no value at {at}")


def _octets(data: bytes, at: int) -> tuple[bytes, int]:
    colon = data.find(b":", at, at + _DIGITS)
    text = data[at:colon] if colon > 0 else b""
    if not text.isdigit():
        raise ValueError(f"no length at {at}")
    end = colon + 1 + int(text)
    if end > len(data):
        raise ValueError(f"a string of {int(text)} octets at {at} does not end")
    return data[colon + 1 : end], end


def _list(data: bytes, at: int, depth: int) -> tuple[list[Any], int]:
    found = []
    while data[at : at + 1] != b"e":
        value, at = _read(data, at, depth)
        found.append(value)
    return found, at + 1


def _dictionary(data: bytes, at: int, depth: int) -> tuple[dict[str, Any], int]:
    found: dict[str, Any] = {}
    while data[at : at + 1] != b"e":
        if not data[at : at + 1].isdigit():
            raise ValueError(f"no key at {at}")
        key, at = _octets(data, at)
        found[key.decode("utf-8", "surrogateescape")], at = _read(data, at, depth)
    return found, at + 1
