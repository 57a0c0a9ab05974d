"""The table [xcap]."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from sansip.module import Doc

__all__ = ["XcapSettings"]


@dataclass(slots=True)
class XcapSettings:
    """The table [xcap]. Raises ``ValueError``."""

    root: Annotated[str, Doc("The path of the XCAP root on the [http] listeners; empty: /xcap-root.")] = ""
    trusted: Annotated[
        list[str],
        Doc("Users who may write the global documents, and read the list of all services."),
    ] = field(default_factory=list)
    rate: Annotated[float, Doc("Requests of one user in a second, in the long run; more get 429.")] = 20.0
    octets: Annotated[
        int,
        Doc(
            "Octets of XML that are read for one user in a second, in the long run; more get 429. A request "
            "for a part reads the whole document, which takes the server about 0.5 ms for 1,000 octets; four "
            "seconds' worth may come at once."
        ),
    ] = 131_072
    suggestions: Annotated[int, Doc("URIs that are suggested for a service whose URI is taken.")] = 3

    def __post_init__(self) -> None:
        if not 1 <= self.rate <= 10_000:
            raise ValueError(f"rate is {self.rate:g}: 1 to 10000 requests a second")
        if self.octets < 65_536:
            raise ValueError(f"octets is {self.octets}: at least 65536, one document")
        if not 0 <= self.suggestions <= 10:
            raise ValueError(f"suggestions is {self.suggestions}: 0 to 10")
        for one in self.trusted:
            if not one.startswith(("sip:", "sips:")) or "@" not in one:
                raise ValueError(f"trusted: {one!r} is no address such as sip:alice@example.com")
