"""Digest authentication as a client: challenges of other servers answered (RFC 3261 22, RFC 7616).

Theory of operation: ``ClientAuth`` holds the accounts and, for each server and realm, the nonce that it gave
last, so that the next request carries credentials at once (RFC 7616 3.6) and is not challenged at all.
``Answers`` is one request on its way to one server: ``apply`` writes what is known into a copy about to be
sent, ``take`` learns from a 401 or 407 and says whether to send again, ``succeeded`` learns from the final
answer. Each realm is answered once, and once more if it calls the nonce stale: so no server can keep us busy.
``sansip.limits`` bounds the number and the size of the challenges that are looked at.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sansip.auth.account import Account
from sansip.auth.algorithms import compute_response, username_hash
from sansip.errors import RemoteProtocolError
from sansip.events import CredentialsRefused
from sansip.wire.abnf import quote
from sansip.wire.headers.auth import Challenge, parse_auth_info, parse_challenge, parse_credentials

if TYPE_CHECKING:
    from sansip.entropy import Entropy
    from sansip.limits import Limits
    from sansip.wire import Request, Response

__all__ = ["Answers", "ClientAuth"]

# A server that counts with eight hexadecimal digits (RFC 7616 3.4) gets no more.
_LAST_COUNT = 0xFFFF_FFFF
# Characters of a realm in the log.
_SHOWN = 80
# RFC 3261 22.2, 22.3: (field of the challenge, field of the answer, field of Authentication-Info).
_FIELDS = (
    ("www-authenticate", "Authorization", "authentication-info"),
    ("proxy-authenticate", "Proxy-Authorization", "proxy-authentication-info"),
)


@dataclass(slots=True)
class _Session:
    """The challenge of one server in one realm: a nonce, and how often it was used."""

    account: Account
    field: str
    nonce: str
    opaque: str | None
    algorithm: str | None
    qop: str | None
    hides_user: bool
    count: int = 0
    # From the last answer, for the check of ``rspauth``.
    uri: str = ""
    cnonce: str = ""


class ClientAuth:
    """All accounts of a stack. ``limits.client_nonces`` servers' nonces, and addresses, are remembered."""

    __slots__ = ("_addresses", "_entropy", "_notify", "_sessions", "accounts", "limits")

    def __init__(
        self,
        accounts: Sequence[Account],
        entropy: Entropy,
        limits: Limits,
        notify: Callable[[object], None],
    ) -> None:
        self.accounts = list(accounts)
        self.limits = limits
        self._entropy = entropy
        self._notify = notify
        # (host, field, realm, user) -> session
        self._sessions: dict[tuple[str, str, str, str], _Session] = {}
        # Address of a server that accepted an account -> the host it is known by:
        # within a dialog its Record-Route often names that alone.
        self._addresses: dict[str, str] = {}

    def answers(self, host: str, accounts: Sequence[Account] | None = None) -> Answers | None:
        """Return who answers for requests to ``host``, None where no account is for it.

        ``accounts`` are looked at before those of the configuration.
        """
        known = self._addresses.get(host, host)
        fitting = [
            one for one in (*(accounts or ()), *self.accounts) if one.serves(host) or one.serves(known)
        ]
        return Answers(self, known, fitting) if fitting else None

    def replace(self, accounts: Sequence[Account]) -> None:
        """Have these accounts and no others; forget the challenges of servers to the old ones."""
        self.accounts = list(accounts)
        self._sessions.clear()

    def find(self, host: str, field: str, account: Account) -> _Session | None:
        return self._sessions.get((host, field, account.realm, account.username))

    def keep(self, host: str, session: _Session) -> None:
        account = session.account
        key = (host, session.field, account.realm, account.username)
        self._sessions.pop(key, None)
        if len(self._sessions) >= self.limits.client_nonces:
            del self._sessions[next(iter(self._sessions))]
        self._sessions[key] = session

    def forget(self, host: str, session: _Session) -> None:
        account = session.account
        self._sessions.pop((host, session.field, account.realm, account.username), None)

    def learn(self, address: str, host: str) -> None:
        """``host``, found at ``address``, accepted credentials."""
        if address == host or address in self._addresses:
            return
        if len(self._addresses) >= self.limits.client_nonces:
            del self._addresses[next(iter(self._addresses))]
        self._addresses[address] = host

    def refused(self, host: str, realm: str, reason: str) -> None:
        # The other server wrote the realm.
        self._notify(CredentialsRefused(host, realm[:_SHOWN], reason))

    def token(self) -> str:
        return self._entropy.token()


class Answers:
    """One request to one server, and the challenges that it meets."""

    __slots__ = ("_accounts", "_client", "_host", "_made", "_tries")

    def __init__(self, client: ClientAuth, host: str, accounts: Sequence[Account]) -> None:
        self._client = client
        self._host = host
        self._accounts = accounts
        # (field, realm) -> challenges answered for this request.
        self._tries: dict[tuple[str, str], int] = {}
        # The credentials in the request as sent last.
        self._made: list[_Session] = []

    def apply(self, request: Request) -> None:
        """Write credentials for all that is known of the server into ``request``, about to be sent."""
        self._made = []
        for _, field, _ in _FIELDS:
            for account in self._accounts:
                session = self._client.find(self._host, field, account)
                if session is not None and session.count < _LAST_COUNT:
                    _remove(request, field, account.realm)
                    request.append(field, self._credentials(session, request))
                    self._made.append(session)

    def _credentials(self, session: _Session, request: Request) -> str:
        account = session.account
        session.count += 1
        session.cnonce = self._client.token()
        session.uri = request.uri_text
        count = f"{session.count:08x}"
        response = compute_response(
            account.key(session.algorithm) or "",
            request.method,
            session.uri,
            session.nonce,
            algorithm=session.algorithm,
            qop=session.qop,
            nc=count,
            cnonce=session.cnonce,
            body=request.body,
        )
        user = account.username
        if session.hides_user:
            # RFC 7616 3.4.4
            user = username_hash(user, account.realm, session.algorithm)
        parts = [f"username={quote(user)}", f"realm={quote(account.realm)}", f"nonce={quote(session.nonce)}"]
        parts += [f"uri={quote(session.uri)}", f'response="{response}"']
        if session.algorithm is not None:
            # RFC 7616 3.4: as in the challenge, and a token, without quotes.
            parts.append(f"algorithm={session.algorithm}")
        if session.qop is not None:
            # RFC 8760 2.6 item 8
            parts += [f'cnonce="{session.cnonce}"', f"qop={session.qop}", f"nc={count}"]
        if session.opaque is not None:
            parts.append(f"opaque={quote(session.opaque)}")
        if session.hides_user:
            parts.append("userhash=true")
        return "Digest " + ", ".join(parts)

    def take(self, response: Response) -> bool:
        """Learn from a 401 or 407; return whether the request should be sent again.

        Otherwise the challenges of realms that we have accounts for are removed from ``response``: only we
        could answer them.
        """
        fresh = refused = False
        for asked, field, _ in _FIELDS:
            seen: set[str] = set()
            for challenge in self._challenges(response, asked):
                realm = challenge.realm or ""
                account = next((one for one in self._accounts if one.realm == realm), None)
                if account is None or realm in seen:
                    continue
                session = _session(account, field, challenge)
                if session is None:
                    # RFC 8760 2.4: the topmost that we can answer.
                    continue
                seen.add(realm)
                tries = self._tries.get((field, realm), 0)
                if tries == 0 or (tries == 1 and challenge.stale):
                    self._tries[field, realm] = tries + 1
                    self._client.keep(self._host, session)
                    fresh = True
                else:
                    refused = True
                    self._client.forget(self._host, session)
                    self._client.refused(self._host, realm, "the user name or password is wrong")
        if fresh and not refused:
            return True
        self.strip(response)
        return False

    def strip(self, response: Response) -> None:
        """Remove the challenges that were meant for us, and those that were not looked at."""
        realms = {account.realm for account in self._accounts}
        told = bool(self._tries)
        for asked, _, _ in _FIELDS:
            texts = response.get_all(asked)
            response.remove(asked)
            for text in texts[: self._client.limits.challenges]:
                realm = _realm_of(text, asked)
                if realm in realms:
                    continue
                response.append(asked, text)
                if not told:
                    told = True
                    known = ", ".join(sorted(realms))
                    self._client.refused(self._host, realm or "", f"the account is for realm {known}")

    def _challenges(self, response: Response, field: str) -> list[Challenge]:
        limits = self._client.limits
        found = []
        for text in response.get_all(field)[: limits.challenges]:
            if len(text) > limits.challenge_size:
                continue
            try:
                challenge = parse_challenge(text, field, "RFC 3261 20.44")
            except RemoteProtocolError:
                continue
            # RFC 8760 2.6: never Basic.
            if challenge.is_digest:
                found.append(challenge)
        return found

    def succeeded(self, response: Response, address: str) -> None:
        """Learn from a final response that is no challenge: the server at ``address`` believed us."""
        if not self._made:
            return
        self._client.learn(address, self._host)
        for _, field, proof in _FIELDS:
            text = response.get(proof)
            if text is None or len(text) > self._client.limits.challenge_size:
                continue
            try:
                info = parse_auth_info(text, proof, "RFC 7616 3.5")
            except RemoteProtocolError:
                continue
            for session in self._made:
                if session.field == field and _is_genuine(session, info, response.body):
                    following = info.get("nextnonce")
                    if following:
                        # RFC 7616 3.5: counted anew with each nonce.
                        session.nonce, session.count = following, 0


def _realm_of(text: str, field: str) -> str | None:
    try:
        return parse_challenge(text, field, "RFC 3261 20.44").realm
    except RemoteProtocolError:
        return None


def _session(account: Account, field: str, challenge: Challenge) -> _Session | None:
    """Return the needs of a challenge, None where we cannot answer it."""
    if not challenge.nonce or account.key(challenge.algorithm) is None:
        return None
    qop = None
    if "qop" in challenge.params:
        # RFC 7616 3.3: unknown ones are ignored. A body may be changed on its
        # way (SDP by a media relay), so its protection only where nothing else is offered.
        offered = challenge.qop
        qop = "auth" if "auth" in offered else "auth-int" if "auth-int" in offered else None
        if qop is None:
            return None
    elif (challenge.algorithm or "").endswith("-sess"):
        # RFC 7616 3.4.2 needs a cnonce, which goes with qop.
        return None
    return _Session(
        account,
        field,
        challenge.nonce,
        challenge.opaque,
        challenge.algorithm,
        qop,
        challenge.params.get("userhash", "").lower() == "true",
    )


def _remove(request: Request, field: str, realm: str) -> None:
    """Remove credentials for ``realm``: those of an earlier attempt, or of another client."""
    lines = request.get_all(field)
    if not lines:
        return
    request.remove(field)
    for line in lines:
        try:
            same = parse_credentials(line, field, "RFC 3261 20.7").realm == realm
        except RemoteProtocolError:
            same = False
        if not same:
            request.append(field, line)


def _is_genuine(session: _Session, info: dict[str, str], body: bytes) -> bool:
    """Whether ``rspauth``, where there is one, proves that the server knows the password."""
    given = info.get("rspauth")
    if given is None:
        return True
    # RFC 7616 3.5: A2 of a response has no method.
    expected = compute_response(
        session.account.key(session.algorithm) or "",
        "",
        session.uri,
        session.nonce,
        algorithm=session.algorithm,
        qop=session.qop,
        nc=f"{session.count:08x}",
        cnonce=session.cnonce,
        body=body,
    )
    return hmac.compare_digest(given.lower().encode("utf-8", "surrogateescape"), expected.encode())
