"""The table [messages]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from sansip.module import Doc

__all__ = ["MessagesSettings"]


@dataclass(slots=True)
class MessagesSettings:
    """The table [messages]. Raises ``ValueError`` for a bound below 1."""

    expires: Annotated[int, Doc("Seconds that a message is kept, at the most; its Expires may say less.")] = (
        259_200
    )
    per_user: Annotated[
        int,
        Doc(
            "Messages that wait for one user; the next one is not kept. As many that a device has stay for "
            "further devices."
        ),
    ] = 100
    per_sender: Annotated[int, Doc("Of these, messages of one sender.")] = 20
    per_strangers: Annotated[
        int,
        Doc(
            "Of these, messages of all senders of other domains together, where the server asks for"
            " passwords: one of them may write any From."
        ),
    ] = 50
    most: Annotated[int, Doc("Messages in all.")] = 100_000
    size: Annotated[
        int, Doc("Octets of a message with the header fields that are kept; a longer one is not.")
    ] = 16_384
    memory: Annotated[
        int,
        Doc(
            "Octets of kept messages that are in memory as well, so that a delivery reads no rows; where "
            "nodes share the store, none are."
        ),
    ] = 8_388_608
    retry: Annotated[
        float, Doc("Seconds after which a phone that did not take a message is tried again.")
    ] = 120.0
    in_doubt: Annotated[
        Literal["send again", "give up"],
        Doc(
            "What becomes of a message whose answer a killed server did not see, once the phone has "
            "forgotten the transaction (after 32 seconds over UDP, at once over TCP): `send again` sends the "
            "same request, so that none is lost; `give up` does not, so that none comes twice."
        ),
    ] = "send again"
    date_in_text: Annotated[
        bool, Doc("Whether text begins with the time of the message, for phones that do not show Date.")
    ] = False

    notice: Annotated[
        str,
        Doc(
            "Text that a sender who has proved who they are gets when one of their messages is kept; empty: "
            "none."
        ),
    ] = ""

    def __post_init__(self) -> None:
        for name in ("expires", "per_user", "per_sender", "per_strangers", "most", "size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if self.memory < 0:
            raise ValueError(f"memory must be 0 or more, got {self.memory}")
        if self.retry <= 0:
            raise ValueError(f"retry must be above 0, got {self.retry:g}")
