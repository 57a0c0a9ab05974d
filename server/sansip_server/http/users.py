"""Users of SIP who ask over HTTP: by the password or token of their phones (access "user" of a mount).

Theory of operation: the realm is that of the domain in the request, as in SIP; the keys of the user come from
the same store, in a thread. If the store fails the client gets a 503, and its password does not count as
wrong.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any

from sansip.actions import Ask
from sansip.auth import AuthConfig, Lookup
from sansip.wire.abnf import quote
from sansip_server.http.digest import Digest
from sansip_sockets.http import HttpFault, HttpRequest
from sansip_sockets.http.server import is_this_machine
from sansip_sockets.pending import Pending

if TYPE_CHECKING:
    from sansip_server.bearer import Bearer
    from sansip_sockets import Hub

__all__ = ["Users"]


class Users:
    """``lookup`` is the handler of ``Lookup``; ``domains`` are ours, the first by default."""

    def __init__(
        self,
        hub: Hub,
        config: AuthConfig,
        lookup: Callable[..., Any],
        domains: Callable[[], list[str]],
        realm_of: Callable[[str], str],
        bearer: Bearer | None = None,
    ) -> None:
        self._bearer = bearer
        self._digest = Digest(config)
        self._worker = hub.answering.worker(lookup, self._answered)
        self._domains = domains
        self._realm_of = realm_of
        self._numbers = itertools.count(1)
        self._asked: dict[int, Pending[Any]] = {}

    def prove(self, request: HttpRequest) -> Generator[Pending[Any], None, str]:
        """Return the sender of ``request``, ``sip:alice@example.com``. Raises ``HttpFault``."""
        domain = self._domain(request)
        realm = self._realm_of(domain)
        given = request.header("authorization")
        if given is not None and given[:7].lower() == "bearer " and self._bearer is not None:
            if not request.secure and not is_this_machine(request.remote):
                # RFC 6750 5.3: a token that others read on the way is theirs as well.
                challenge = f"Bearer realm={quote(realm)}"
                raise HttpFault(401, "a token needs https", ("WWW-Authenticate", challenge))
            return self._by_token(given[7:].strip(), realm, self._bearer)
        if given is None:
            raise HttpFault(401, "the password is needed", *self._digest.challenges(realm, request.remote))
        offer = self._digest.offered(request, realm)
        assert offer.credentials is not None
        name = offer.credentials.username or ""
        stored = yield from self._look(Lookup(name, realm))
        self._digest.prove(request, realm, offer, stored)
        user, _, host = name.partition("@")
        if host and host.lower() != domain:
            raise HttpFault(403, f"the user is none of {domain}")
        return f"sip:{user}@{domain}"

    def _by_token(self, token: str, realm: str, bearer: Bearer) -> str:
        said = bearer.user(token)
        if "user" not in said:
            # RFC 6750 3.1 has another name for a wrong scope than RFC 8898 4.
            error = {"invalid_scope": "insufficient_scope"}.get(said["error"], said["error"])
            challenge = f'Bearer realm={quote(realm)}, error="{error}"'
            raise HttpFault(401, said["reason"], ("WWW-Authenticate", challenge))
        user, _, host = said["user"].rpartition("@")
        if host not in self._domains():
            raise HttpFault(403, f"the user is of {host}, which is no domain here")
        return f"sip:{user}@{host}"

    def _domain(self, request: HttpRequest) -> str:
        host = (request.header("host") or "").partition(":")[0].lower()
        domains = self._domains()
        return host if host in domains else domains[0]

    def _look(self, lookup: Lookup) -> Generator[Pending[Any], None, Mapping[str, str] | None]:
        number = next(self._numbers)
        pending: Pending[Any] = Pending()
        self._asked[number] = pending
        try:
            self._worker.ask(Ask(number, lookup))
            found = yield from pending.result()
        finally:
            self._asked.pop(number, None)
        if isinstance(found, Exception):
            # Without the store no password can be judged.
            raise HttpFault(503, "the store of users does not answer", ("Retry-After", "20"))
        known: Mapping[str, str] | None = found
        return known

    def _answered(self, number: int, result: Any) -> None:
        pending = self._asked.get(number)
        if pending is not None:
            pending.give(result)
