"""The module ``enum``: numbers that DNS knows a SIP address of are called there (RFC 6116).

Theory of operation: the NAPTR records of the number's domain, in each of the suffixes in turn, give URIs.
What a zone says is its owner's word: an expression that could run away is not used, a URI has to be one, and
there are at most so many. An address of this server is looked up here, any other is called at its domain.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Final, Literal

from sansip.errors import RemoteProtocolError
from sansip.module import CommandError, Doc, Module, command, function, step
from sansip.proxy import Target
from sansip.transport.dns import DnsLookup, Naptr, enum_domain, enum_uris
from sansip.wire import SipUri, parse_uri

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.routing import IncomingRequest

__all__ = ["Enum", "EnumSettings"]

# Domains that a number may lead over: RFC 6116 3.2.1 has one, and rules that only lead on (RFC 3403 4.1).
_STEPS: Final = 5
# URIs of one number. → the rest is not used
_MOST: Final = 10
# The least digits of a number that is asked for: DNS is not asked for extensions.
_SHORTEST: Final = 4
_DIGITS: Final = frozenset("0123456789")


@dataclass(slots=True)
class EnumSettings:
    """The table [enum]. Raises ``ValueError`` for a suffix that is none."""

    suffixes: Annotated[list[str], Doc("The domains that numbers are looked up in, in order.")] = field(
        default_factory=lambda: ["e164.arpa"]
    )
    service: Annotated[str, Doc("The service that is wanted of a number (RFC 6117).")] = "sip"
    takes: Annotated[
        Literal["unregistered", "nothing"],
        Doc("What the default route looks up: numbers that are not registered here, or nothing."),
    ] = "unregistered"
    plus: Annotated[bool, Doc("Only numbers with a plus are looked up: others may not be international.")] = (
        True
    )
    strangers: Annotated[
        bool,
        Doc(
            "Whether senders who have proved nothing are called on for, where the server asks for passwords."
        ),
    ] = False
    within: Annotated[float, Doc("Seconds that all look-ups of a number may take.")] = 3.0

    def __post_init__(self) -> None:
        if not self.suffixes or len(self.suffixes) > _STEPS:
            raise ValueError(f"suffixes: expected 1 to {_STEPS} domains, got {len(self.suffixes)}")
        for one in self.suffixes:
            labels = one.rstrip(".").split(".")
            if len(one) > 120 or not all(label and label.replace("-", "").isalnum() for label in labels):
                raise ValueError(f"suffixes: {one!r:.80} is no domain")
        if not self.service.replace(":", "").isalnum():
            raise ValueError(f"service is {self.service!r:.40}; expected a name like sip")
        if not 0.05 <= self.within <= 10:
            raise ValueError(f"within must be 0.05 to 10 seconds, got {self.within:g}")


class Enum(Module):
    """Calls numbers by the SIP addresses that DNS has of them."""

    name = "enum"
    Settings = EnumSettings
    over_workers = True
    settings: EnumSettings

    def start(self, core: Core, now: float) -> None:
        self._asked = core.counter("lookups", "Numbers that were looked up", ("found",))

    # --- in routes

    @function
    def number(self, request: IncomingRequest) -> str:
        """Return the number of ``request`` with its plus, "" where it is none to be looked up."""
        return self._number(request.user or "")

    @function
    async def query(self, number: str, suffix: str = "", service: str = "") -> list[SipUri]:
        """Return the SIP URIs of ``number``, best first; none where DNS has none, or does not answer."""
        settings = self.settings
        for one in [suffix] if suffix else settings.suffixes:
            try:
                found = await self._query(number, one, service or settings.service)
            except Exception:
                # Whatever the name server says: the next suffix may know it, and the call goes on without.
                continue
            if found:
                self._asked.add("yes")
                return found
        self._asked.add("no")
        return []

    @function
    async def is_from_number(self, request: IncomingRequest) -> bool:
        """Whether DNS gives the number in From the very address in From (``is_from_user_enum``)."""
        uri = request.message.from_.uri
        if not isinstance(uri, SipUri) or not (number := self._number(uri.user_decoded or "")):
            return False
        mine = self.core.address_of(uri)
        return any(self.core.address_of(one) == mine for one in await self.query(number))

    def _number(self, user: str) -> str:
        digits = user.partition(";")[0].replace("-", "").replace(".", "")
        if not digits.startswith("+"):
            if self.settings.plus:
                return ""
            digits = f"+{digits}"
        # RFC 6116 3.1: the application unique string is the number with a plus, in digits alone.
        if not _SHORTEST < len(digits) <= 16 or not _DIGITS.issuperset(digits[1:]):
            return ""
        return digits

    async def _query(self, number: str, suffix: str, service: str) -> list[SipUri]:
        name = enum_domain(number, suffix.rstrip("."))
        for _ in range(_STEPS):
            records = await self.core.ask(DnsLookup(name, "NAPTR"), self.settings.within)
            found = _sip_uris(enum_uris(number, records, service))
            if found:
                return found
            # RFC 3403 4.1: a rule without flags leads to another domain.
            onward = [
                one
                for one in records
                if isinstance(one, Naptr) and not one.flags and one.replacement.strip(".")
            ]
            if not onward:
                return []
            name = min(onward, key=lambda one: (one.order, one.preference)).replacement
        return []

    # --- the default route

    @step("select")
    async def call_addresses(self, request: IncomingRequest) -> None:
        """Call the SIP addresses that DNS has of the number."""
        number = self.number(request)
        if self.settings.takes != "unregistered" or not number:
            return
        if request.authenticates and not request.proven and not self.settings.strangers:
            # No sender who has proved nothing has us send requests where a zone of its own says.
            return
        here = None if not isinstance(request.uri, SipUri) else self.core.address_of(request.uri)
        targets: list[Target] = []
        for place, uri in enumerate(await self.query(number)):
            q = 1000 - 10 * place
            if not request.serves(uri):
                targets.append(Target(uri, q))
            elif self.core.address_of(uri) != here:
                targets += [replace(one, q=q) for one in await request.locate(uri)]
        if targets:
            request.record_route()
            request.relay(targets)

    # --- operators

    @command("enum.try")
    async def try_number(self, number: str, suffix: str = "") -> list[str]:
        """Return the SIP URIs that DNS has of a number now, best first."""
        wanted = self._number(number) or self._number(f"+{number}")
        if not wanted:
            raise CommandError(f"enum.try: number is {number!r:.40}; expected 4 to 15 digits, with a plus")
        return [str(uri) for uri in await self.query(wanted, suffix)]


def _sip_uris(texts: list[str]) -> list[SipUri]:
    """Return those that are SIP URIs and can be called."""
    found: list[SipUri] = []
    for text in texts[:_MOST]:
        try:
            uri = parse_uri(text)
        except RemoteProtocolError:
            continue
        # RFC 3261 19.1.5: header fields in a URI would go into the request.
        if isinstance(uri, SipUri) and not uri.headers and uri not in found:
            found.append(uri)
    return found
