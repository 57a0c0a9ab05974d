"""Digest authentication (RFC 3261 22, RFC 7616, RFC 8760): pure, stateless nonces."""

from sansip.auth.algorithms import HASHES, compute_response, ha1, hash_name, session_key
from sansip.auth.authenticator import AuthConfig, Authenticator, Lookup, Verdict

__all__ = [
    "HASHES",
    "AuthConfig",
    "Authenticator",
    "Lookup",
    "Verdict",
    "compute_response",
    "ha1",
    "hash_name",
    "session_key",
]
