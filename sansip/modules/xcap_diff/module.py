"""The module ``xcap_diff``: users' phones hear what changed in their XCAP documents (RFC 5875).

Theory of operation: the module ``documents`` tells of each change, of clients and of operators. The
subscriptions of the user whose document it is, and that select it, get a NOTIFY, each at its pace. A change
of a global document is looked for among all subscriptions; their NOTIFYs leave a group at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from sansip.module import FIRST, Doc, Module, ModuleFault
from sansip.module.xml import FIX, has_lxml
from sansip.modules.documents import DocumentChanged, Documents, DocumentsRead
from sansip.modules.events import Events
from sansip.modules.xcap import Xcap
from sansip.modules.xcap.address import GLOBAL
from sansip.modules.xcap_diff.package import DiffPackage

if TYPE_CHECKING:
    from sansip.module import Core

__all__ = ["XcapDiff", "XcapDiffSettings"]


@dataclass(slots=True)
class XcapDiffSettings:
    """The table [xcap_diff]. Raises ``ValueError``."""

    interval: Annotated[float, Doc("Seconds between two NOTIFYs to one phone, in the long run.")] = 5.0
    uris: Annotated[int, Doc("URIs in one subscription; for more there is a 400.")] = 32
    size: Annotated[
        int, Doc("Octets of elements and attributes in one NOTIFY; what is beyond is named without content.")
    ] = 65_536
    root: Annotated[
        str,
        Doc(
            "The XCAP root as phones know it (`https://xcap.example.com/xcap-root/`), for those that "
            "subscribe to relative URIs; empty: https, the first domain and `xcap.root`."
        ),
    ] = ""

    def __post_init__(self) -> None:
        if not 0 <= self.interval <= 3600:
            raise ValueError(f"interval is {self.interval:g}: 0 to 3600 seconds")
        if not 1 <= self.uris <= 200:
            raise ValueError(f"uris is {self.uris}: 1 to 200")
        if not 0 <= self.size <= 1_048_576:
            raise ValueError(f"size is {self.size}: 0 to 1048576 octets")
        if self.root and not self.root.startswith(("http://", "https://")):
            raise ValueError(f"root is {self.root!r:.80}: an http or https URI")


class XcapDiff(Module):
    """Tells phones what changed in the XCAP documents of their user (RFC 5875)."""

    name = "xcap_diff"
    over_workers = FIRST
    Settings = XcapDiffSettings
    requires = (Documents, Events, Xcap)
    events = (DocumentChanged, DocumentsRead)
    settings: XcapDiffSettings

    def check(self, settings: XcapDiffSettings) -> None:
        """Without lxml no list of URIs can be read."""
        if not has_lxml():
            raise ModuleFault(f"xcap_diff: {FIX}")

    def start(self, core: Core, now: float) -> None:
        documents = core.module(Documents)
        self._engine = core.module(Events)
        self._xcap = core.module(Xcap)
        self._package = DiffPackage(self._xcap, lambda: documents.reading)
        self._package.ready = documents.is_read
        self._take()
        self._engine.add(self._package, now)

    def configure(self, settings: XcapDiffSettings, now: float) -> None:
        """Take other limits."""
        super().configure(settings, now)
        self._take()

    def _take(self) -> None:
        settings, package = self.settings, self._package
        package.interval, package.uris, package.size = settings.interval, settings.uris, settings.size
        domain = self.core.domains[0] if self.core.domains else "localhost"
        place = settings.root or f"https://{domain}{self._xcap.root}"
        package.place = f"{place.rstrip('/')}/"

    def event_received(self, event: Any, now: float) -> None:
        """A document changed, or all have been read at the start."""
        event_name = self._package.event
        if isinstance(event, DocumentsRead):
            self._package.ready = True
            for resource in self._engine.resources(event_name):
                for one in self._engine.of(event_name, resource):
                    one.full = True
                self._engine.changed(event_name, resource, now)
            return
        if not self._package.ready:
            return
        resources: Iterable[str] = (event.user,)
        if event.user == GLOBAL:
            resources = self._engine.resources(event_name)
        elif event.auid == "rls-services":
            # RFC 4826 4.4.7: the list of all services, which these may read.
            resources = {event.user: None, **dict.fromkeys(self._xcap.settings.trusted)}
        for resource in resources:
            for one in self._engine.of(event_name, resource):
                if self._package.concerns(one, event.auid, event.user, event.name):
                    one.note(None, None)
                    self._engine.look(one, now, soon=event.user == GLOBAL)
