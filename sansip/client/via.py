"""Our Via on a request that leaves (RFC 3261 8.1.1.7, 16.6 step 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.transaction.layer import MAGIC_COOKIE

if TYPE_CHECKING:
    from sansip.entropy import Entropy
    from sansip.transport import Listener
    from sansip.wire import Request

__all__ = ["new_branch", "same_branch", "seal", "token_of"]


def new_branch(entropy: Entropy, suffix: str = "") -> str:
    """Return a branch that is unique and carries ``suffix``, such as the hash of a proxy's loop detection."""
    return f"{MAGIC_COOKIE}{entropy.mark}{entropy.token()}.{suffix}"


def token_of(branch: str) -> str:
    """Return the token that ``new_branch`` has taken for ``branch``."""
    return branch[branch.index(".") - 16 : branch.index(".")]


def same_branch(entropy: Entropy, token: str) -> str:
    """Return the branch of ``token``: in another life of this server, too.

    ``token``: 16 digits or more that others cannot guess (RFC 3261 8.1.1.7, 19.3).
    """
    return f"{MAGIC_COOKIE}{entropy.mark}{token}."


def seal(request: Request, outgoing: Listener, branch: str) -> bytes:
    """Add our Via and return the octets to send."""
    request.prepend_line("via", f"{outgoing.via};branch={branch}")
    # RFC 3261 18.3 and 16.6 step 9: framing on streams rests on the field.
    if not request.has("content-length"):
        request.append("Content-Length", str(len(request.body)))
    return request.to_bytes()
