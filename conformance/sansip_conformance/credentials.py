"""Answering challenges: ``credentials alice PASSWORD`` in a message to be sent (RFC 3261 22, RFC 7616).

Theory of operation: the last 401 or 407 that the endpoint received is answered, each of
its realms once, with the first challenge whose algorithm is known (RFC 8760 2.4). Words after the
password replace parameters, so that a trace can make each of them wrong. The digest is computed
here and not by ``sansip.auth``, because ``sansip.auth`` is under test.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from sansip.errors import RemoteProtocolError
from sansip.wire import Response
from sansip.wire.headers.auth import Challenge, parse_challenge
from sansip_conformance.story import Story, TraceFailedError
from sansip_conformance.trace import Line
from sansip_conformance.world import Party

__all__ = ["Wallet", "digest_response"]

_HASHES: dict[str, Callable[[bytes], str]] = {
    "md5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
    "sha-256": lambda data: hashlib.sha256(data).hexdigest(),
    "sha-512-256": lambda data: hashlib.new("sha512_256", data).hexdigest(),
}
# 401 asks for the one, 407 for the other (RFC 3261 22.2, 22.3).
_FIELDS = {401: ("www-authenticate", "Authorization"), 407: ("proxy-authenticate", "Proxy-Authorization")}
_PARAMETERS = (
    "username", "realm", "nonce", "uri", "algorithm", "cnonce", "opaque", "qop", "nc", "response",
)  # fmt: skip
_UNQUOTED = ("algorithm", "qop", "nc")


class Wallet:
    """The credentials of one story, with the count of each nonce (RFC 7616 3.4)."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._counts: dict[str, int] = {}

    def answer(self, line: Line, party: Party, method: str, uri: str, body: bytes) -> list[tuple[str, str]]:
        """Return the header fields that ``line`` asks for. Raises TraceFailedError, ValueError."""
        password, *words = self._story.names.expand(line.value).split()
        given: dict[str, str] = {}
        of: str | None = None
        while words:
            word = words.pop(0)
            name, equals, value = word.partition("=")
            if word == "of" and words:
                of = words.pop(0)
            elif equals and name in _PARAMETERS:
                given[name] = value
            else:
                raise TraceFailedError(
                    line.line,
                    f"`{word}` unknown; after `credentials USER PASSWORD`: of NAME, or one of "
                    f"{', '.join(_PARAMETERS)} with =",
                )
        response = self._challenged(party, of, line)
        # Users have different names in each live run.
        domain = self._story.trace.setup.domains[0]
        user = self._story.names.expand(f"{line.name}@{domain}").rpartition("@")[0]
        field, answer = _FIELDS[response.status]
        found: list[tuple[str, str]] = []
        realms: set[str] = set()
        for text in response.get_all(field):
            try:
                challenge = parse_challenge(text, field, "RFC 3261 22.1")
            except RemoteProtocolError as error:
                raise ValueError(f"the challenge is malformed: {error.reason}") from None
            realm = challenge.params.get("realm", "")
            algorithm = given.get("algorithm") or challenge.params.get("algorithm", "MD5")
            if realm in realms or algorithm.lower().removesuffix("-sess") not in _HASHES:
                continue
            realms.add(realm)
            values = self._values(challenge, user, given, uri)
            found.append((answer, self._digest(values, password, method, body)))
        if not found:
            raise ValueError("no challenge has an algorithm that the suite knows")
        return found

    def _challenged(self, party: Party, of: str | None, line: Line) -> Response:
        if of is not None:
            named: Any = self._story.get(of, line.line).message
            if getattr(named, "status", 0) in _FIELDS:
                return named  # type: ignore[no-any-return]  # Any by design
            raise ValueError(f"{of} is no 401 or 407")
        for one in reversed(party.inbox):
            # Also one of MSRP or HTTP, which has the same fields.
            message: Any = one.message
            if getattr(message, "status", 0) in _FIELDS:
                return message  # type: ignore[no-any-return]  # Any by design
        raise ValueError(f"{party.name} has received no 401 or 407 to answer; expect one first")

    def _values(self, challenge: Challenge, user: str, given: dict[str, str], uri: str) -> dict[str, str]:
        params = challenge.params
        values = {"username": user, "realm": params.get("realm", ""), "nonce": params.get("nonce", "")}
        values["uri"] = uri
        values["algorithm"] = params.get("algorithm", "MD5")
        if "opaque" in params:
            # RFC 7616 3.3: returned unchanged.
            values["opaque"] = params["opaque"]
        offered = [one.strip() for one in params.get("qop", "").split(",") if one.strip()]
        if offered:
            values["qop"] = "auth" if "auth" in offered else offered[0]
            values["cnonce"] = "0a4f113b"
        values.update(given)
        if values.get("qop") == "none":
            for name in ("qop", "cnonce"):
                values.pop(name, None)
        elif "qop" in values and "nc" not in values:
            count = self._counts[values["nonce"]] = self._counts.get(values["nonce"], 0) + 1
            values["nc"] = f"{count:08x}"
        return values

    def _digest(self, values: dict[str, str], password: str, method: str, body: bytes) -> str:
        if "response" not in values:
            values["response"] = digest_response(values, password, method, body)
        shown = []
        for name in _PARAMETERS:
            if name in values:
                value = values[name] if name in _UNQUOTED else f'"{values[name]}"'
                shown.append(f"{name}={value}")
        return "Digest " + ", ".join(shown)


def digest_response(values: dict[str, str], password: str, method: str, body: bytes = b"") -> str:
    """Return ``response`` for these parameters (RFC 7616 3.4.1)."""
    algorithm = values["algorithm"].lower()
    digest = _HASHES[algorithm.removesuffix("-sess")]

    def of(*parts: str) -> str:
        return digest(":".join(parts).encode())

    secret = of(values["username"], values["realm"], password)
    if algorithm.endswith("-sess"):
        secret = of(secret, values["nonce"], values.get("cnonce", ""))
    qop = values.get("qop")
    what = [method, values["uri"]]
    if qop == "auth-int":
        what.append(digest(body))
    if qop is None:
        return of(secret, values["nonce"], of(*what))
    return of(secret, values["nonce"], values["nc"], values.get("cnonce", ""), qop, of(*what))
