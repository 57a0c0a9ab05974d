"""Messages for users without a registered phone: kept, and delivered when a phone registers (RFC 3428)."""

from sansip.modules.messages.module import Messages
from sansip.modules.messages.settings import MessagesSettings

__all__ = ["Messages", "MessagesSettings"]
