"""The module ``xcap``: an XCAP server (RFC 4825) for the documents of the module ``documents``.

Theory of operation: users prove themselves by the password of their phones, with the bans of SIP. A request
names a document, or an element or attribute in it. A change is made of the document as it is at that moment,
so of several clients with one entity-tag exactly one wins; presence and lists hear of it at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from sansip.auth import Lookup
from sansip.errors import RemoteProtocolError
from sansip.later import Later
from sansip.module import (
    FIRST,
    CommandError,
    Module,
    ModuleFault,
    WebRequest,
    WebResponse,
    command,
    function,
    mount,
)
from sansip.module.limiting import Rates
from sansip.module.xml import FIX, has_lxml
from sansip.modules.documents import DocumentChanged, Documents
from sansip.modules.xcap.address import GLOBAL, Address, encoded, parse_address
from sansip.modules.xcap.conditions import judge as judge_condition
from sansip.modules.xcap.edit import delete
from sansip.modules.xcap.faults import Conflict, Fault
from sansip.modules.xcap.generated import (
    ALL_USAGES,
    CAPABILITIES,
    DIRECTORY,
    capabilities,
    directory,
    etag_of,
    union,
)
from sansip.modules.xcap.putting import changed_by
from sansip.modules.xcap.selector import Selector, Terminal, parse_bindings, parse_selector
from sansip.modules.xcap.services import Services
from sansip.modules.xcap.serving import Held, read_part
from sansip.modules.xcap.settings import XcapSettings
from sansip.modules.xcap.target import target_of
from sansip.modules.xcap.usages import USAGES, Usage, judge
from sansip.wire import SipUri, parse_uri

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.module.digest import Proof

__all__ = ["Xcap"]

# New services in one request: each is looked for among the users.
_MOST_NEW: Final = 50
_READING: Final = ("GET", "HEAD", "OPTIONS")
_METHODS: Final = ("GET", "HEAD", "PUT", "DELETE", "OPTIONS")
_WRITING: Final = ("PUT", "DELETE")
# Seconds' worth of ``XcapSettings.octets`` that may come at once.
_AT_ONCE: Final = 4


class Xcap(Module):
    """Has users read and write their documents (presence rules, lists) over HTTP, whole or in parts."""

    name = "xcap"
    over_workers = FIRST
    Settings = XcapSettings
    requires = (Documents,)
    events = (DocumentChanged,)
    settings: XcapSettings

    def __init__(self, settings: XcapSettings) -> None:
        super().__init__(settings)
        self._services = Services()

    def check(self, settings: XcapSettings) -> None:
        """Without lxml there is no XCAP."""
        if not has_lxml():
            raise ModuleFault(f"xcap: {FIX}")

    def start(self, core: Core, now: float) -> None:
        self._documents = core.module(Documents)
        self._digest = core.digest()
        # Octets that were read, by user.
        self._read = Rates(core.limits.module_keys)
        self._count = core.counter("requests", "XCAP requests, by method and status", ("method", "status"))

    def event_received(self, event: Any, now: float) -> None:
        """A document changed: its services are others."""
        if event.auid == "rls-services":
            self._services.take(
                event.user, event.name, self._documents.get(event.auid, event.user, event.name)
            )

    @mount("/xcap-root", access="open", key="root")
    async def serve(self, request: WebRequest) -> WebResponse:
        """Answer a request; clients are asked for their password here, with the bans of SIP."""
        try:
            response = await self._serve(request)
        except Fault as fault:
            response = fault.response()
        method = request.method if request.method in _METHODS else "other"
        self._count.add(method, str(response.status))
        return response

    async def _serve(self, request: WebRequest) -> WebResponse:
        # RFC 4825 8: first the application, then who asks, then whether they may.
        address = parse_address(request.path, request.query, request.mount)
        usage = ALL_USAGES.get(address.auid)
        if usage is None:
            raise Fault(404, f"there is no application {address.auid:.40}; see xcap-caps/global/index")
        domain, owner = self._owner(address)
        user, info = await self._proved(request, domain)
        if not await self.core.limit(user, self.settings.rate):
            raise Fault(429, "more requests than xcap.rate allows", ("Retry-After", "1"))
        if owner not in (user, GLOBAL) and not await self._is_user(owner):
            # RFC 4825 8: a user that is not recognised. Strangers without a password do not learn it.
            raise Fault(404, "there is no such user")
        writable = self._may(usage, address, owner, user)
        octets, most = self._octets(request, address, owner), float(_AT_ONCE * self.settings.octets)
        if octets and not self._read.allow(user, most, _AT_ONCE, request.now, octets):
            raise Fault(429, "more of documents than xcap.octets allows", ("Retry-After", "1"))
        response = await self._answered(request, usage, address, owner, writable)
        if info:
            response.headers.append(("Authentication-Info", info))
        return response

    def _octets(self, request: WebRequest, address: Address, owner: str) -> int:
        """Return how many octets of XML are read for ``request``: also where it is refused then."""
        found = None if address.node is None else self._documents.get(address.auid, owner, address.name)
        return len(request.body) + (0 if found is None else len(found.body))

    # --- who asks

    def _owner(self, address: Address) -> tuple[str, str]:
        """Return the domain whose users may ask, and the owner as an address-of-record."""
        first = self.core.domains[0] if self.core.domains else ""
        if address.is_global:
            return first, GLOBAL
        text = address.user if ":" in address.user.partition("@")[0] else f"sip:{address.user}"
        try:
            uri = parse_uri(text)
        except RemoteProtocolError:
            raise Fault(404, "there is no such user") from None
        if not isinstance(uri, SipUri) or uri.user is None or not self.core.listeners.serves(uri.host):
            # RFC 4825 8: a user that is not recognised.
            raise Fault(404, "there is no such user")
        owner = self.core.address_of(uri)
        return owner.rpartition("@")[2], owner

    async def _proved(self, request: WebRequest, domain: str) -> tuple[str, str]:
        """Return the user who asks, and the proof that the server knows the password, too."""
        if request.user is not None:
            return request.user, ""
        realm = self.core.realm_of(parse_uri(f"sip:{domain}"))
        authorization = request.header("authorization") or ""
        proved: Later[Proof] = Later()
        self._digest.prove(
            authorization,
            request.method,
            target_of(request, authorization),
            realm,
            request.remote,
            request.now,
            proved.set,
        )
        proof = await proved
        if proof.broken:
            raise Fault(503, proof.reason, ("Retry-After", "20"))
        if proof.wait:
            raise Fault(403, "too many wrong passwords", ("Retry-After", str(proof.wait)))
        if not proof.user:
            fields = [("WWW-Authenticate", one) for one in proof.challenges]
            raise Fault(401, proof.reason or "the password is needed", *fields)
        name, _, host = proof.user.partition("@")
        try:
            uri = parse_uri(f"sip:{name}@{host or domain}")
        except RemoteProtocolError:
            raise Fault(403, "the user is no SIP user") from None
        user = self.core.address_of(uri)
        if user.rpartition("@")[2] != domain:
            raise Fault(403, f"the user is none of {domain}")
        return user, proof.info

    def _may(self, usage: Usage, address: Address, owner: str, user: str) -> bool:
        """Return whether ``user`` may write there. Raises ``Fault`` where even reading is not allowed."""
        if usage is CAPABILITIES:
            # RFC 4825 12.7: there is none in a user's tree.
            if not address.is_global:
                raise Fault(404, "there is one xcap-caps document, in the global tree")
            return False
        if not address.is_global:
            # RFC 4825 5.7: users have their own documents.
            if owner != user:
                raise Fault(403, "these are the documents of another user")
            return usage is not DIRECTORY
        if usage is DIRECTORY:
            raise Fault(404, "there is a directory for each user")
        trusted = user in self.settings.trusted
        if usage.auid == "rls-services":
            # RFC 4826 4.4.9: it has the services of all users.
            if not trusted:
                raise Fault(403, "the list of all services is for trusted users (xcap.trusted)")
            return False
        return trusted

    # --- what it asks for

    async def _answered(
        self, request: WebRequest, usage: Usage, address: Address, owner: str, writable: bool
    ) -> WebResponse:
        selector = None
        if address.node is not None:
            bindings = parse_bindings(address.query)
            selector = parse_selector(address.node, bindings, usage.namespace)
        allowed = _METHODS if writable else _READING
        if selector is not None and selector.terminal is Terminal.NAMESPACES:
            # RFC 4825 8.2, 8.4
            allowed = _READING
        writers = address.is_global and usage.auid in USAGES and usage.auid != "rls-services"
        if writers and not writable and request.method in _WRITING:
            # RFC 4825 5.7: there are methods that write it, for others.
            raise Fault(403, "global documents are written by trusted users (xcap.trusted)")
        if request.method not in allowed:
            raise Fault(405, f"expected {', '.join(allowed)}", ("Allow", ", ".join(allowed)))
        if request.method == "OPTIONS":
            return WebResponse(200, headers=[("Allow", ", ".join(allowed))])
        if not self._documents.is_read:
            raise Fault(503, "the documents are being read", ("Retry-After", "1"))
        if address.deeper:
            raise (
                address.no_directory() if request.method == "PUT" else Fault(404, "there is no such document")
            )
        if not address.name:
            raise Fault(404, "a directory cannot be read; name a document")
        if request.method in ("GET", "HEAD"):
            held = await self._held(usage, address, owner)
            if held is None:
                raise Fault(404, "there is no such document")
            return read_part(request, held, selector)
        if request.method == "PUT":
            return await self._put(request, usage, address, owner, selector)
        return await self._delete(request, usage, address, owner, selector)

    async def _held(self, usage: Usage, address: Address, owner: str) -> Held | None:
        made = self._made(usage, address, owner)
        if made is not None:
            return Held(made, etag_of(made), usage.mime)
        found = await self._documents.fresh(address.auid, owner, address.name)
        return None if found is None else Held(found.body, found.etag, usage.mime)

    def _made(self, usage: Usage, address: Address, owner: str) -> bytes | None:
        if usage is CAPABILITIES:
            return capabilities() if address.name == "index" else None
        if usage is DIRECTORY:
            if address.name != "directory.xml":
                return None
            found = [one for auid in USAGES for one in self._documents.of(auid, owner)]
            return directory(self._root, owner, found)
        if usage.auid == "rls-services" and address.is_global and address.name == "index":
            documents = (self._documents.get(usage.auid, user, "index") for user in self._services.users)
            return union((one for one in documents if one is not None), self.core.limits.mount_answer)
        return None

    @property
    def _root(self) -> str:
        root = self.settings.root or "/xcap-root"
        return "" if root == "/" else root

    # --- for the module xcap_diff

    @property
    def root(self) -> str:
        """The path of the XCAP root, without a slash at its end."""
        return self._root

    @function
    def owner_of(self, address: Address) -> str:
        """Return whose document is at ``address``: an address-of-record, or ``GLOBAL``. Raises ``Fault``."""
        return self._owner(address)[1]

    @function
    def seen_by(self, user: str, address: Address) -> Held | None:
        """Return the document at ``address`` as this node knows it.

        None where there is none, or ``user`` may not read it (as a GET of ``user`` is judged).
        """
        usage = ALL_USAGES.get(address.auid)
        if usage is None or address.deeper or not address.name:
            return None
        try:
            owner = self.owner_of(address)
            self._may(usage, address, owner, user)
            made = self._made(usage, address, owner)
        except Fault:
            return None
        if made is not None:
            return Held(made, etag_of(made), usage.mime)
        found = self._documents.get(address.auid, owner, address.name)
        return None if found is None else Held(found.body, found.etag, usage.mime)

    @function
    def listed_for(self, user: str, auid: str, tree: str) -> list[str]:
        """Return the documents of ``auid`` that ``user`` may read, as paths below the root.

        ``tree``: "users" or ``GLOBAL``; "" for both.
        """
        usage = ALL_USAGES.get(auid)
        found: list[str] = []
        if usage is None:
            return found
        if tree in ("", "users"):
            names = ["directory.xml"] if usage is DIRECTORY else [
                one.name for one in self._documents.of(auid, user)
            ]  # fmt: skip
            found += [f"{auid}/users/{encoded(user)}/{encoded(name)}" for name in names]
        if tree in ("", GLOBAL):
            names = [one.name for one in self._documents.of(auid, GLOBAL)]
            if usage is CAPABILITIES or (auid == "rls-services" and user in self.settings.trusted):
                names = ["index"]
            elif auid == "rls-services":
                names = []
            found += [f"{auid}/{GLOBAL}/{encoded(name)}" for name in names]
        return found

    async def _put(
        self, request: WebRequest, usage: Usage, address: Address, owner: str, selector: Selector | None
    ) -> WebResponse:
        if usage.names and address.name not in usage.names:
            raise Conflict("constraint-failure", f"the document has to be named {usage.names[0]}")
        created: list[bool] = []
        users: set[str] = set()
        if usage.auid == "rls-services":
            held = await self._documents.fresh(address.auid, owner, address.name)
            before = (None, None) if held is None else (held.body, held.etag)
            root = judge(usage, changed_by(request, usage, address, selector, *before)[0], address)
            users = await self._users_among(self._services.new(root, owner, address.name))

        def edit(body: bytes | None, etag: str | None) -> bytes:
            changed, is_new = changed_by(request, usage, address, selector, body, etag)
            root = judge(usage, changed, address)
            if usage.auid == "rls-services":
                most = self.settings.suggestions
                self._services.check(
                    root, owner, address.name, most, lambda uri: uri in users or self._is_taken(uri)
                )
            created[:] = [is_new]
            return changed

        etag = await self._change(address, owner, edit)
        return WebResponse(201 if created[0] else 200, headers=[("ETag", f'"{etag}"')])

    async def _delete(
        self, request: WebRequest, usage: Usage, address: Address, owner: str, selector: Selector | None
    ) -> WebResponse:
        def edit(body: bytes | None, etag: str | None) -> bytes | None:
            if body is None:
                raise Fault(404, "there is no such document")
            held = Held(body, etag or "", usage.mime)
            if selector is None:
                judge_condition(request, etag)
                return None
            # RFC 9110 13.2.1: what is not there is a 404, whatever the condition says.
            held.select(selector)
            judge_condition(request, etag)
            changed = delete(body, held.root, selector)
            judge(usage, changed, address)
            return changed

        left = await self._change(address, owner, edit)
        return WebResponse(200, headers=[("ETag", f'"{left}"')] if left else [])

    async def _change(
        self, address: Address, owner: str, edit: Callable[[bytes | None, str | None], bytes | None]
    ) -> str:
        """Change a document; return its new entity-tag, "" where it is gone. Raises ``Fault``."""
        try:
            changed = await self._documents.change(
                address.auid,
                owner,
                address.name,
                lambda one: edit(None, None) if one is None else edit(one.body, one.etag),
            )
        except Fault:
            raise
        except ValueError as error:
            # A limit of the module documents, or what the module that reads it does not understand.
            raise Conflict("constraint-failure", str(error)) from None
        except (OSError, TimeoutError):
            raise Fault(503, "the store does not answer", ("Retry-After", "5")) from None
        return "" if changed is None else changed.etag

    async def _users_among(self, uris: list[str]) -> set[str]:
        """Return which of ``uris`` are addresses of users. Raises ``Fault`` without the store of users."""
        if len(uris) > _MOST_NEW:
            raise Conflict("constraint-failure", f"more than {_MOST_NEW} new services in one request")
        found: set[str] = set()
        for one in uris:
            uri = parse_uri(one) if one.startswith(("sip:", "sips:")) else None
            if not isinstance(uri, SipUri) or not uri.user or not self.core.listeners.serves(uri.host):
                continue
            if await self._is_kept(uri):
                found.add(one)
        return found

    async def _is_user(self, owner: str) -> bool:
        """Whether there is a user ``owner``; true where the server does not know its users."""
        uri = parse_uri(owner)
        return isinstance(uri, SipUri) and await self._is_kept(uri, True)

    async def _is_kept(self, uri: SipUri, unknown: bool = False) -> bool:
        """Whether the store has the user ``uri``. Raises ``Fault`` without the store of users."""
        lookup = Lookup(uri.user or "", self.core.realm_of(uri))
        try:
            stored = self.core.users(lookup) if self.core.users else await self.core.ask(lookup)
        except (OSError, TimeoutError):
            raise Fault(503, "the store of users does not answer", ("Retry-After", "20")) from None
        except LookupError:
            # A server without passwords does not know its users.
            return unknown
        return stored is not None

    def _is_taken(self, uri: str) -> bool:
        """RFC 4826 4.4.5: whether a phone is registered at the URI of a service."""
        return bool(self.core.location.lookup(uri, self.core.ua.now))

    # --- operators

    @command("xcap.list")
    def list_documents(self, user: str) -> list[dict[str, Any]]:
        """Return the documents of `user` (or `global`) of all applications."""
        owner = self._user(user)
        return [
            {"auid": auid, "name": one.name, "octets": len(one.body), "etag": one.etag}
            for auid in USAGES
            for one in self._documents.of(auid, owner)
        ]

    @command("xcap.usages")
    def list_usages(self) -> list[dict[str, Any]]:
        """Return the applications, with the media type and namespace of their documents."""
        return [
            {"auid": one.auid, "type": one.mime, "namespace": one.namespace}
            for one in sorted(ALL_USAGES.values(), key=lambda one: one.auid)
        ]

    @command("xcap.try")
    def try_document(self, auid: str, user: str, body: str, document: str = "index") -> str:
        """Return why a client could not put `body`, or that it could; nothing is written."""
        usage = USAGES.get(auid)
        if usage is None:
            raise CommandError(f"xcap.try: there is no application {auid!r:.40}; see `xcap.usages`")
        owner = self._user(user)
        home = f"{self._root}/{auid}/users/{owner}"
        try:
            root = judge(usage, body.encode(), Address(auid, owner, document, False, None, "", home))
            if auid == "rls-services":
                self._services.check(root, owner, document, self.settings.suggestions, self._is_taken)
        except Conflict as fault:
            return f"{fault.name}: {fault.phrase}"
        return "it could be written"

    def _user(self, text: str) -> str:
        if text == GLOBAL:
            return text
        try:
            return self.core.address_of(parse_uri(text))
        except RemoteProtocolError as error:
            raise CommandError(f"user {text!r:.60} is no SIP URI: {error.reason}") from None
