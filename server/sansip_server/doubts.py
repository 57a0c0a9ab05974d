"""Objections that peers will have to our certificates, in words for the operator.

Theory of operation: ``TlsContexts.doubts`` looks at them as a client would; this file tells it
which names count. Addresses and names without a dot are not domains.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sansip.wire.host import is_address

if TYPE_CHECKING:
    from sansip_sockets.tls import TlsContexts

__all__ = ["certificate_doubts"]


def certificate_doubts(tls: TlsContexts, domains: Iterable[str]) -> list[str]:
    """Return a line for each doubt about the certificates of a server of ``domains``."""
    named = [one for one in domains if "." in one and not is_address(one)]
    return [f"tls: {doubt}" for doubt in tls.doubts(named, time.time())]
