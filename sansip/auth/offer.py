"""The proof of its sender that a request offers, and the verdict on it.

Theory of operation: an ``Offer`` is made when the credentials are found, and every check
writes its ``Verdict`` into it, with the reason for the log where it is not a good one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from sansip.auth.nonce import Nonce
    from sansip.bans import Ban
    from sansip.wire.headers.auth import Credentials

__all__ = ["SHOWN", "TOO_OLD", "Lookup", "Offer", "Users", "Verdict"]

# Characters of a stranger's text that go to the log.
SHOWN: Final = 80
# The one reason that is everyday: a phone refreshes with the nonce that it has.
TOO_OLD: Final = "the nonce is too old"


class Verdict(Enum):
    """The verdict on the sender of a request."""

    # The password was right.
    GENUINE = "genuine"
    # No credentials for our realm: to be challenged.
    ABSENT = "absent"
    # The nonce is too old, was used, or is another's: to be challenged with stale=true.
    STALE = "stale"
    # Wrong user or password.
    DENIED = "denied"
    # Too many wrong passwords from there; not looked at.
    BARRED = "barred"
    # A user name with a time limit, which is over.
    EXPIRED = "expired"


@dataclass(slots=True, init=False)
class Lookup:
    """The question for the stored data of a user.

    The answer is a mapping from hash name (``"SHA-256"``, ``"MD5"``…) to HA1 in
    hexadecimal, or None where there is no such user.
    """

    username: str
    realm: str

    # Written out, as in ``sansip.actions``.
    def __init__(self, username: str, realm: str) -> None:
        self.username = username
        self.realm = realm


# Users known without asking the outside: HA1 by hash name, or None.
Users: TypeAlias = Callable[[Lookup], Mapping[str, str] | None]


@dataclass(slots=True, init=False)
class Offer:
    """The proof of its sender that a request offers, and the result so far.

    Attributes:
        verdict: GENUINE means: nothing that speaks against it.
        credentials: those for our realm, if there are any.
        nonce: the content of their nonce, if it is ours.
        reason: why they do not count, as text for people; "" if the request had no credentials.
        ban: the one for which they are not looked at, or that came of them.
    """

    verdict: Verdict
    credentials: Credentials | None = None
    nonce: Nonce | None = None
    reason: str = ""
    ban: Ban | None = None

    # Written out, as in ``sansip.actions``.
    def __init__(
        self,
        verdict: Verdict,
        credentials: Credentials | None = None,
        nonce: Nonce | None = None,
        reason: str = "",
        ban: Ban | None = None,
    ) -> None:
        self.verdict = verdict
        self.credentials = credentials
        self.nonce = nonce
        self.reason = reason
        self.ban = ban

    @property
    def username(self) -> str:
        """The user name that was given, cut to a length that a log can take."""
        return "" if self.credentials is None else (self.credentials.username or "")[:SHOWN]
