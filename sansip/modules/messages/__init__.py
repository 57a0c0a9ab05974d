"""Messages for users whom nobody can reach: kept, and delivered when a phone registers (RFC 3428)."""

from sansip.modules.messages.module import Messages
from sansip.modules.messages.settings import MessagesSettings

__all__ = ["Messages", "MessagesSettings"]
