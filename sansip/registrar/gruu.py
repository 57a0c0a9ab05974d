"""GRUUs: URIs that lead to one device of a user (RFC 5627 5.4).

Theory of operation: no node stores a GRUU. A public GRUU is the address-of-record with the instance in its
``gr``. A temporary one holds, sealed, the user, a handle of the instance, and when it was issued; its length
tells the user's only in steps of 24. So it does not show the user, two of them have nothing in common, and
any node with the key can read any of them, after a restart, too.

The bindings decide whether one is still valid. They hold the time since when the instance has been registered
without a break and without a new Call-ID (``Binding.registered_at``, see ``merge``). A GRUU that was issued
before that time is not valid any more, which is all that RFC 5627 5.1 and 5.3 ask.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sansip.seal import Sealer
from sansip.wire import SipUri
from sansip.wire.uri import unescape

from .outbound import instance_key

if TYPE_CHECKING:
    from sansip.entropy import Entropy
    from sansip.location import Binding

__all__ = ["Gruu", "Gruus", "Told"]

_MARK = "tgruu."
_DISTINCT, _ISSUED, _HANDLE, _SIZE = 6, 6, 8, 2
_HEAD = _DISTINCT + _ISSUED + _HANDLE + _SIZE
# User names are padded to a multiple of this, less what is before them.
_STEP = 24
_LONGEST_USER = 512
# Milliseconds: a time that went through a store, or another node, is that of another clock.
_SLACK = 100
# RFC 3261 25.1: characters that a parameter's value may hold unescaped.
_ESCAPED = re.compile(r"[^A-Za-z0-9\-_.!~*'()\[\]/:&+$]")


@dataclass(slots=True)
class Gruu:
    """The meaning of a GRUU of ours.

    Attributes:
        user: user part of the address-of-record, or None; its host is the URI's.
        instance: the instance (``instance_key``), None where it is temporary.
        handle: of a temporary one, the handle of the instance.
        issued: of a temporary one, when, in Unix milliseconds.
    """

    user: str | None
    instance: str | None
    handle: bytes = b""
    issued: int = 0


class Gruus:
    """Makes and reads the GRUUs of all who share ``key``; ``entropy`` makes each temporary one new."""

    __slots__ = ("_entropy", "_offset", "_sealer")

    def __init__(self, key: bytes, entropy: Entropy) -> None:
        self._sealer = Sealer(key, b"sansip-gruu")
        self._entropy = entropy
        self._offset: float | None = None

    def date_from(self, offset: float) -> None:
        """Date GRUUs by ``offset`` (Unix time minus the clock): as those of a former life were."""
        self._offset = offset

    def public(self, aor: str, instance: str) -> str:
        """Return the public GRUU of ``instance`` at the canonical ``aor`` (RFC 5627 5.1)."""
        return f"{aor};gr={_ESCAPED.sub(_escape, instance_key(instance))}"

    def temporary(self, aor: str, instance: str, now: float, offset: float | None) -> str | None:
        """Return a new temporary GRUU (RFC 5627 5.1), or None for a user name out of all bounds.

        ``offset`` is Unix time minus the clock of ``now``, None where that is not known.
        """
        user, at, host = aor.removeprefix("sip:").rpartition("@")
        name = user.encode("utf-8", "surrogateescape")
        if len(name) > _LONGEST_USER or not at:
            return None
        text = (
            bytes.fromhex(self._entropy.token())[:_DISTINCT]
            + _milliseconds(now + self._fixed(offset)).to_bytes(_ISSUED, "big")
            + self._handle(aor, instance_key(instance))
            + len(name).to_bytes(_SIZE, "big")
            + name
        )
        text += bytes(-(len(text) - _HEAD) % _STEP)
        return f"sip:{_MARK}{self._sealer.seal(text)}@{host};gr"

    def read(self, uri: SipUri) -> Gruu | None:
        """Return the meaning of ``uri``, which has a ``gr`` parameter; None if it is none of ours."""
        value = uri.params["gr"]
        user = uri.user
        if value:
            return Gruu(user, instance_key(unescape(value)))
        if user is None or not user.startswith(_MARK):
            return None
        read = self._sealer.read(user[len(_MARK) :])
        if read is None or not self._sealer.proves(*read):
            return None
        text = read[1]
        issued = int.from_bytes(text[_DISTINCT : _DISTINCT + _ISSUED], "big")
        handle = text[_DISTINCT + _ISSUED : _HEAD - _SIZE]
        size = int.from_bytes(text[_HEAD - _SIZE : _HEAD], "big")
        name = text[_HEAD : _HEAD + size].decode("utf-8", "surrogateescape")
        return Gruu(name, None, handle, issued)

    def bindings(self, gruu: Gruu, aor: str, bound: Sequence[Binding], offset: float | None) -> list[Binding]:
        """Return those of ``bound``, the bindings of ``aor``, that ``gruu`` leads to; ``offset`` as above."""
        with_instance = [one for one in bound if one.instance is not None]
        if gruu.instance is not None:
            return [one for one in with_instance if instance_key(one.instance or "") == gruu.instance]
        found = [
            one for one in with_instance if self._handle(aor, instance_key(one.instance or "")) == gruu.handle
        ]
        # RFC 5627 5.1, 5.3: issued before the last break or change of Call-ID.
        fixed = self._fixed(offset)
        since = max((_milliseconds(one.registered_at + fixed) for one in found), default=0)
        return found if gruu.issued + _SLACK >= since else []

    def _fixed(self, offset: float | None) -> float:
        # The first known offset: if the clock is set while we run, earlier GRUUs and earlier registrations
        # must move together.
        if self._offset is None:
            self._offset = offset
        return self._offset or 0.0

    def _handle(self, aor: str, instance: str) -> bytes:
        return self._sealer.mac(f"{aor} {instance}".encode("utf-8", "surrogateescape"))


class Told:
    """The GRUUs to tell in one answer: the same for all bindings of an instance (RFC 5627 5.2)."""

    def __init__(self, gruus: Gruus, aor: str, now: float, offset: float | None) -> None:
        self._gruus = gruus
        self._aor = aor
        self._now = now
        self._offset = offset
        self._made: dict[str, list[tuple[str, str]]] = {}

    def of(self, instance: str | None) -> list[tuple[str, str]]:
        """Return (name of the parameter, URI) for each GRUU of ``instance``."""
        if instance is None:
            return []
        key = instance_key(instance)
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = [("pub-gruu", self._gruus.public(self._aor, instance))]
            temporary = self._gruus.temporary(self._aor, instance, self._now, self._offset)
            if temporary is not None:
                made.append(("temp-gruu", temporary))
        return made


def _milliseconds(unix: float) -> int:
    # Rounded: a clock whose zero moved at a restart gives the same.
    return max(0, round(unix * 1000)) % (1 << 8 * _ISSUED)


def _escape(match: re.Match[str]) -> str:
    return "".join(f"%{octet:02X}" for octet in match[0].encode("utf-8", "surrogateescape"))
