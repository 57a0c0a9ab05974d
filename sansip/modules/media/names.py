"""What a command is about: the call, the branch, the two sides. And what it wants of the relay."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Names", "Options"]


@dataclass(slots=True)
class Names:
    """Whose session description a command is about.

    Attributes:
        call: the call's name at the relay.
        label: the branch of a fork that it is about; "" within a dialog.
        offerer, answerer: the tags of the sides; "" while there is none.
    """

    call: str
    label: str
    offerer: str
    answerer: str = ""


@dataclass(frozen=True, slots=True)
class Options:
    """What a relay does with a description, as keys of the ng protocol.

    ``flags``: its list of flags; ``family``: the address family of who will read it, "" for any.
    """

    keys: dict[str, Any] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    family: str = ""
    # What ``ng`` has written of it: the kind of command -> its octets between names and descriptions.
    forms: dict[Any, tuple[bytes, ...]] = field(default_factory=dict, compare=False, repr=False)
