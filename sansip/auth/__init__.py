"""Digest authentication (RFC 3261 22, RFC 7616, RFC 8760): pure, stateless nonces."""

from sansip.auth.account import Account
from sansip.auth.algorithms import HASHES, compute_response, ha1, hash_name, session_key
from sansip.auth.authenticator import AuthConfig, Authenticator, Lookup, Verdict
from sansip.auth.client import Answers, ClientAuth
from sansip.auth.ephemeral import EPHEMERAL_HASHES, Ephemeral

__all__ = [
    "EPHEMERAL_HASHES",
    "HASHES",
    "Account",
    "Answers",
    "AuthConfig",
    "Authenticator",
    "ClientAuth",
    "Ephemeral",
    "Lookup",
    "Verdict",
    "compute_response",
    "ha1",
    "hash_name",
    "session_key",
]
