"""Profiles of phones (RFC 6080): a phone learns where its configuration is, and when it is another one.

Theory of operation: the package ``ua-profile`` tells a URL and no data (content indirection, RFC 4483): it is
made of a template and of what the phone says of itself. The Content-ID changes when an operator says that the
profile did, so a phone that refreshes its subscription does not read it again for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import quote, unquote

from sansip.errors import RemoteProtocolError
from sansip.module import FIRST, CommandError, Doc, Module, command
from sansip.modules.events import Content, Events, Package, Subscription, Verdict
from sansip.wire import SipUri, parse_uri

if TYPE_CHECKING:
    from sansip.module import Core

__all__ = ["Profiles", "ProfilesSettings"]

_TYPE: Final = "message/external-body"
_FIELDS: Final = ("name", "domain", "vendor", "model", "version")
_PLACE: Final = re.compile(r"\{([^{}]*)\}")
# Characters of what a phone says of itself.
_LONGEST: Final = 100


@dataclass(slots=True)
class ProfilesSettings:
    """The table [profiles]. Raises ``ValueError``."""

    user: Annotated[
        str,
        Doc(
            "The URL of the profile of a user, with `{name}` and `{domain}` of the user, and `{vendor}`, "
            "`{model}` and `{version}` of the phone; empty: there is none (404)."
        ),
    ] = ""
    device: Annotated[
        str,
        Doc("The same for a device, whose `{name}` is mostly `urn:uuid:…`; told to all who may subscribe."),
    ] = ""
    type: Annotated[str, Doc("The media type of the profiles.")] = "application/octet-stream"

    def __post_init__(self) -> None:
        for name in ("user", "device"):
            url = getattr(self, name)
            unknown = [one for one in _PLACE.findall(url) if one not in _FIELDS]
            if unknown:
                raise ValueError(f"{name}: {{{unknown[0]}}} is none of {', '.join(_FIELDS)}")
            if url and (not url.startswith(("http://", "https://")) or re.search(r"[\s\"\\<>]", url)):
                raise ValueError(f"{name} is {url!r:.80}: an http or https URL")
        if not re.fullmatch(r"[\w.+\-]+/[\w.+\-]+", self.type, re.ASCII):
            raise ValueError(f"type is {self.type!r:.80}: a media type")


class _Profile(Package):
    event = "ua-profile"
    types = (_TYPE,)
    # RFC 6080 6.4
    usual = 86_400
    # RFC 6080 6.3
    ignores_body = True

    def __init__(self, settings: Callable[[], ProfilesSettings], token: Callable[[], str]) -> None:
        self._settings = settings
        self._token = token

    def _template(self, params: Mapping[str, str | None]) -> str:
        settings = self._settings()
        return {"user": settings.user, "device": settings.device}.get(params.get("profile-type") or "", "")

    def offers(self, params: Mapping[str, str | None]) -> bool:
        # RFC 6080 6.6
        return bool(self._template(params))

    def judge(self, subscription: Subscription, now: float) -> Verdict:
        if subscription.params.get("profile-type") == "device":
            # RFC 6080 5.3.1: a device may have no name yet. It is told a URL, which has a guard of its own.
            return Verdict.ALLOW
        own = subscription.proven and subscription.watcher == subscription.resource
        return Verdict.ALLOW if own else Verdict.BLOCK

    def content(self, subscription: Subscription, now: float) -> Content | None:
        params = subscription.params
        template = self._template(params)
        if not template:
            return None
        if subscription.memo is None:
            subscription.memo = self._token()
        name, _, domain = subscription.resource.partition(":")[2].rpartition("@")
        values = {key: (params.get(key) or "").strip('"') for key in ("vendor", "model", "version")}
        values |= {"name": unquote(name), "domain": domain}
        url = _PLACE.sub(lambda match: quote(values[match[1]][:_LONGEST], safe=""), template)
        # RFC 6080 6.5, RFC 4483 3
        inner = f"Content-Type: {self._settings().type}\r\nContent-ID: <{subscription.memo}@{domain}>\r\n\r\n"
        return Content(f'{_TYPE};access-type="URL";URL="{url}"', inner.encode())


class Profiles(Module):
    """Tells phones where their configuration is, and that it changed (RFC 6080)."""

    name = "profiles"
    over_workers = FIRST
    Settings = ProfilesSettings
    requires = (Events,)
    settings: ProfilesSettings

    def start(self, core: Core, now: float) -> None:
        self._engine = core.module(Events)
        self._package = _Profile(lambda: self.settings, core.entropy.token)
        self._engine.add(self._package, now)

    @command("profiles.changed")
    def change_profile(self, now: float, user: str = "") -> int:
        """Tell the phones of `user` (without: all phones) to read their profile again; return how many."""
        resources = [self._user(user)] if user else self._engine.resources(self._package.event)
        told = 0
        for resource in resources:
            for one in self._engine.of(self._package.event, resource):
                one.memo = None
                told += 1
            self._engine.changed(self._package.event, resource, now)
        return told

    def _user(self, text: str) -> str:
        try:
            uri = parse_uri(text)
        except RemoteProtocolError as error:
            raise CommandError(f"profiles.changed: {text!r:.60} is no SIP URI: {error.reason}") from None
        if not isinstance(uri, SipUri):
            raise CommandError(f"profiles.changed: {text!r:.60} is no SIP URI")
        return self.core.address_of(uri)
