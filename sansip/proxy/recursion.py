"""Following redirections (RFC 3261 16.7 step 4), where the operator wants that.

Theory of operation: the contacts of a 3xx become targets of the same request, in the order of their q, and
disappear from the response: the caller never sees which targets the proxy tried. A URI that is a target
already is not tried again (16.5), so two servers that point at each other come to an end at once. If they
invent new URIs, ``limits.branches`` ends it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from sansip.errors import RemoteProtocolError
from sansip.proxy.target import Target
from sansip.wire import SipUri

if TYPE_CHECKING:
    from sansip.wire import OtherUri, Response, TelUri

__all__ = ["Redirects"]

# RFC 3261 21.3: these say where else the user is. 305 and 380 mean other things.
_FOLLOWED = (300, 301, 302)
# RFC 3261 25.1
_QVALUE = re.compile(r"0(?:\.([0-9]{0,3}))?|1(?:\.0{0,3})?")


class Redirects:
    """The redirections of one request: ``known`` are the URIs of its targets, in text."""

    __slots__ = ("_followed", "known")

    def __init__(self, known: Iterable[str]) -> None:
        self.known = set(known)
        # Responses without any contact left for the caller.
        self._followed: list[Response] = []

    def follow(
        self,
        response: Response,
        asked: SipUri | TelUri | OtherUri,
        most: int,
        alone: bool,
        accept: Callable[[SipUri], bool] | None = None,
    ) -> list[Target]:
        """Return the new targets, at most ``most``, that ``response`` to a request for ``asked`` leads to.

        ``alone`` as of ``Target``; ``accept``: the route's test of a contact, which goes back if it fails.
        """
        targets = _redirected(response, asked, self.known, most, alone, accept)
        if targets and not response.has("contact"):
            # RFC 3261 16.7 step 4: a response without contacts is not kept.
            self._followed.append(response)
        return targets

    def kept(self, responses: list[Response]) -> list[Response]:
        """Return the ``responses`` to choose from; all of them where none would be left."""
        left = [one for one in responses if not any(one is followed for followed in self._followed)]
        return left or responses


def _redirected(
    response: Response,
    asked: SipUri | TelUri | OtherUri,
    known: set[str],
    most: int,
    alone: bool,
    accept: Callable[[SipUri], bool] | None,
) -> list[Target]:
    """Return the targets that ``response`` to a request for ``asked`` leads to, and take them out of it.

    ``known`` are the URIs that were targets before, in text; new ones are added. At
    most ``most`` are taken.
    """
    if response.status not in _FOLLOWED:
        return []
    try:
        contacts = response.contacts
    except RemoteProtocolError:
        return []
    if not isinstance(contacts, list) or not all(isinstance(one.uri, SipUri) for one in contacts):
        # RFC 3261 21.3.3: only the caller can decide about a telephone number or a web page.
        return []
    secure = asked.scheme == "sips"
    if any((one.uri.scheme == "sips") != secure for one in contacts):
        # RFC 5630 5.3: between sip and sips, the response goes back as it is.
        return []
    targets: list[Target] = []
    left: list[str] = []
    for one, text in zip(contacts, response.values("contact"), strict=True):
        uri = one.uri
        assert isinstance(uri, SipUri)
        if uri.headers:
            # RFC 3261 19.1.5: fields of a contact must not reach into the request, and the target is without.
            uri = uri.replace(headers=[])
        name = str(uri)
        if name in known or len(targets) >= most or not (accept is None or accept(uri)):
            left.append(text)
        else:
            known.add(name)
            targets.append(Target(uri, _q(one.params.get("q")), alone=alone))
    if targets:
        # RFC 3261 16.7 step 4: the proxy removes the contacts that it follows before it keeps the response.
        response.remove("contact")
        for text in left:
            response.append("Contact", text)
    return targets


def _q(raw: str | None) -> int:
    """Return a qvalue in thousandths; 1000 where there is none, 0 where it cannot be read."""
    if raw is None:
        return 1000
    found = _QVALUE.fullmatch(raw)
    if found is None:
        return 0
    return 1000 if found[0][0] == "1" else int((found[1] or "").ljust(3, "0"))
