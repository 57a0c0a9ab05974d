"""What the log says of a server that begins: who may register, who cannot yet, which certificates fail."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sansip_server.config.listen import ListenAddress
from sansip_server.config.schema import Settings
from sansip_server.doubts import certificate_doubts
from sansip_server.storage import Storage
from sansip_server.targets import shown

if TYPE_CHECKING:
    from sansip_sockets import TlsContexts

__all__ = ["say_doubts", "say_who_lacks_users", "say_who_may_register"]

logger = logging.getLogger("sansip.server")


def say_doubts(tls: TlsContexts, domains: Iterable[str]) -> None:
    """Warn of certificates that clients or other servers will refuse."""
    for doubt in certificate_doubts(tls, domains):
        logger.warning("%s", doubt)


def say_who_lacks_users(storage: Storage, settings: Settings, domains: Iterable[str]) -> None:
    """Warn of domains without a user with a password: the most common fault of a new installation."""
    if settings.auth != "digest" or settings.ephemeral_file is not None:
        return
    named = settings.digest.realm_by_domain()
    store = shown(settings.store or "")
    realms = {named.get(domain, domain): domain for domain in domains}
    lacking = storage.lacking(realms)
    if not settings.domains and len(lacking) < len(realms):
        # Each address is a realm of its own; perhaps all phones use the one that has users.
        return
    for realm in lacking[: None if settings.domains else 1]:
        domain = realms[realm]
        option = f" --realm '{realm}'" if realm != domain else ""
        option += "" if store == "sansip.db" else f" --store {store}"
        logger.warning(
            "nobody can register in %s yet: %s has no user for it; `sansip user add NAME@%s%s` adds one",
            *(domain, store, domain, option),
        )


def say_who_may_register(addresses: Iterable[ListenAddress], settings: Settings) -> None:
    """Tell who can register here, and warn where that is everybody."""
    if settings.auth == "digest":
        logger.info("users of %s may register, with their passwords", shown(settings.store or ""))
    elif all(address.loopback for address in addresses):
        logger.info("registration is open, because only this machine can reach these addresses")
    else:
        logger.warning("registration is open to everybody who can reach these addresses (auth none)")
