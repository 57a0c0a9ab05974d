"""The operator's settings for authentication."""

from __future__ import annotations

from dataclasses import dataclass

from sansip.auth.algorithms import HASHES, hash_name

__all__ = ["AuthConfig"]


@dataclass(slots=True)
class AuthConfig:
    """Policy of authentication.

    Attributes:
        algorithms: offered, most preferred first (RFC 8760 2.3): `MD5`, `SHA-256`,
            `SHA-512-256`, each also with `-sess`. A client answers the topmost that it
            knows (2.4); but in the field many give up when they meet another than MD5, even below
            it, so that is the default. `["SHA-256", "MD5"]` where phones can; keys for all
            are stored, so it can be changed at any time.
        qop: qualities of protection offered (RFC 7616 3.3): `auth`, and `auth-int`,
            which covers the body as well. Some phones stumble over a list of two.
        realms: realms with another name than their domain, as `"domain realm"`. The keys of users are bound
            to their realm: if they came from another server, the realm must stay the same.
        nonce_lifetime: seconds a nonce may be used.
        nonces: nonce counts remembered at the most. When the oldest is forgotten, nonces no younger
            than it are refused with `stale=true`.
        bind_nonces: refuse an answer by UDP whose nonce was given to another address (of IPv6, another /64),
            with `stale=true`: so an attacker cannot fail in a user's name and bar that user. Turn it off if
            phones are behind a NAT that takes another address for each packet.
        other_nodes: believe nonces that other nodes made with the same key: a phone that one node challenged
            may answer another. Without it, a nonce is good at one node only, and a recorded request at none.
            Turn it off for one server, or for nodes that phones stay with.
        match_uri: compare `uri` in an answer with the Request-URI (RFC 7616 3.4.6), and answer 400
            where they name different things. Turn it off where something in front of the server
            rewrites the Request-URI to another user or host.
        authentication_info: prove in each 200 to a REGISTER, SUBSCRIBE or PUBLISH that we know the password,
            too, and renew the nonce before it grows stale (RFC 7616 3.5).
        userhash: have clients that can hide the user name by hashing it (RFC 7616
            3.4.4). It is found where it is the user of To or From.
        username_size: octets of a user name that is looked up; longer ones are unknown.
        guarded: sources, and pairs of source and user, whose failures are remembered, and
            pairs that were right; about 400 octets each. The oldest is forgotten.
        failures_per_user: wrong passwords outstanding of one source for one user.
        failures_per_source: the same for one source and all users.
        recovery: seconds after which one failure is forgotten. A source that has no room for one more failure
            is barred until then (`sansip ctl bans`).
    """

    algorithms: tuple[str, ...] = ("MD5",)
    qop: tuple[str, ...] = ("auth",)
    realms: tuple[str, ...] = ()
    nonce_lifetime: float = 300.0
    nonces: int = 100_000
    bind_nonces: bool = True
    other_nodes: bool = True
    match_uri: bool = True
    authentication_info: bool = False
    userhash: bool = False
    username_size: int = 255
    guarded: int = 100_000
    failures_per_user: int = 10
    failures_per_source: int = 100
    recovery: float = 30.0

    def __post_init__(self) -> None:
        # Embedders may give lists; the compiled build takes tuples alone.
        self.algorithms, self.qop, self.realms = map(tuple, (self.algorithms, self.qop, self.realms))
        for algorithm in self.algorithms:
            if hash_name(algorithm) is None:
                raise ValueError(f"unknown digest algorithm {algorithm!r}; known are {', '.join(HASHES)}")
        for qop in self.qop:
            if qop not in ("auth", "auth-int"):
                raise ValueError(f"unknown qop {qop!r}; known are auth, auth-int")
        if not self.algorithms or not self.qop:
            # RFC 8760 2.6 item 8: a challenge always has a qop.
            raise ValueError("algorithms and qop need at least one value each")
        for line in self.realms:
            if not all(line.partition(" ")[::2]):
                raise ValueError(f"expected 'domain realm', found {line!r}")

    def realm_by_domain(self) -> dict[str, str]:
        """Return ``realms`` as a mapping; domains are in lower case."""
        pairs = (line.partition(" ")[::2] for line in self.realms)
        return {domain.lower(): realm.strip() for domain, realm in pairs}
