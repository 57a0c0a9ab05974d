"""The table [rooms], and the rooms in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from sansip.errors import RemoteProtocolError
from sansip.location.aor import address_of_record
from sansip.module import Doc
from sansip.wire import SipUri, parse_uri

__all__ = ["Room", "RoomsSettings", "address"]


def address(text: str) -> str:
    """Return the address-of-record of a SIP URI with a user. Raises ``ValueError``."""
    try:
        uri = parse_uri(text)
    except RemoteProtocolError as error:
        raise ValueError(f"{text!r:.80} is no SIP URI: {error.reason}") from None
    if not isinstance(uri, SipUri) or not uri.user:
        raise ValueError(f"{text!r:.80} is no address; expected one like sip:team@example.com")
    return address_of_record(uri)


@dataclass(frozen=True, slots=True)
class Room:
    """A room, and a table [[rooms.rooms]]. Raises ``ValueError`` that begins with the field's name."""

    address: Annotated[str, Doc("The address of the room, like sip:team@example.com.")]
    members: Annotated[list[str], Doc("Addresses of members; those of other servers only receive.")] = field(
        default_factory=list
    )
    open: Annotated[bool, Doc("Whether each user of this server may join by the text /join.")] = False

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "address", address(self.address))
        except ValueError as error:
            raise ValueError(f"address: {error}") from None
        try:
            object.__setattr__(self, "members", [address(one) for one in self.members])
        except ValueError as error:
            raise ValueError(f"members: {error}") from None


@dataclass(slots=True)
class RoomsSettings:
    """The table [rooms]. Raises ``ValueError`` for a bound below 1, and a room that stands twice."""

    rooms: list[Room] = field(default_factory=list)
    members: Annotated[int, Doc("Members of one room; nobody joins it beyond that.")] = 100
    devices: Annotated[int, Doc("Phones of one member that a message goes to.")] = 8
    size: Annotated[int, Doc("Octets of a message; a longer one gets a 413.")] = 8_192
    per_minute: Annotated[
        int, Doc("Messages of one sender to one room in a minute; the next gets a 480 with Retry-After.")
    ] = 30
    waiting: Annotated[
        int, Doc("Messages that wait for one phone; it misses the next one. One is on its way at a time.")
    ] = 20
    most: Annotated[int, Doc("Messages that wait for all phones; what comes beyond that gets a 480.")] = (
        10_000
    )
    form: Annotated[
        Literal["text", "cpim"],
        Doc(
            "How plain text reaches members: `text` with the sender's address before it, or `cpim` as a "
            "message/cpim (RFC 3862) whose From is the sender."
        ),
    ] = "text"

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for one in self.rooms:
            if one.address in seen:
                raise ValueError(f"rooms: {one.address} stands twice")
            seen.add(one.address)
            if len(one.members) > self.members:
                raise ValueError(
                    f"rooms: {one.address} has {len(one.members)} members; rooms.members is {self.members}"
                )
        for name in ("members", "devices", "size", "per_minute", "waiting", "most"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
