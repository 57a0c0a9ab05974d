"""Digest authentication (RFC 3261 22, RFC 7616, RFC 8760): pure, with nonces that prove themselves."""

from sansip.auth.account import Account
from sansip.auth.algorithms import HASHES, compute_response, ha1, hash_name, session_key
from sansip.auth.authenticator import Authenticator
from sansip.auth.bearer import BearerConfig, ShownToken
from sansip.auth.client import Answers, ClientAuth
from sansip.auth.digest_uri import designates
from sansip.auth.ephemeral import EPHEMERAL_HASHES, Ephemeral
from sansip.auth.offer import Lookup, Offer, Users, Verdict
from sansip.auth.policy import AuthConfig

__all__ = [
    "EPHEMERAL_HASHES",
    "HASHES",
    "Account",
    "Answers",
    "AuthConfig",
    "Authenticator",
    "BearerConfig",
    "ClientAuth",
    "Ephemeral",
    "Lookup",
    "Offer",
    "ShownToken",
    "Users",
    "Verdict",
    "compute_response",
    "designates",
    "ha1",
    "hash_name",
    "session_key",
]
