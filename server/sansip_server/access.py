"""Who may what: trusted peers, accounts elsewhere, keys and secrets; read at the start and on SIGHUP.

Theory of operation: everything is read before anything is changed, so a slip in one
file leaves all as it was, and the log says what is wrong. Of the configuration
file only ``[[trusted]]`` and ``[[upstream]]`` are taken anew: what else stands in
there needs a restart.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path

from sansip.auth import Account, Ephemeral
from sansip.config import StackConfig
from sansip.module import Use
from sansip.modules.upstream import UpstreamConfig, UpstreamRegistration, Upstreams
from sansip.routing import TrustedPeer
from sansip.stack import Stack
from sansip_server.config.load import load_file
from sansip_server.config.peers import accounts_of, read_keys, registrations_of, trusted_of
from sansip_server.config.schema import Settings
from sansip_server.faults import OperatorError

__all__ = ["Access"]

logger = logging.getLogger("sansip.access")


@dataclass(slots=True)
class _Read:
    """What the files say."""

    accounts: list[Account]
    registrations: list[UpstreamRegistration]
    trusted: list[TrustedPeer]
    nonce_keys: list[bytes] | None
    secrets: list[bytes] | None


class Access:
    """Reads the files that ``settings`` names. Raises OperatorError at the start, and never later."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack: Stack | None = None
        self._read = self._files(settings)
        secrets = self._read.secrets
        self._ephemeral = None if secrets is None else Ephemeral(secrets)

    @staticmethod
    def _files(settings: Settings) -> _Read:
        nonces, secrets = settings.nonce_file, settings.ephemeral_file
        accounts = accounts_of(settings.upstream)
        return _Read(
            accounts,
            registrations_of(settings.upstream, accounts),
            trusted_of(settings.trusted),
            None if nonces is None else read_keys(Path(nonces), "nonce_file"),
            None if secrets is None else read_keys(Path(secrets), "ephemeral_file"),
        )

    @property
    def registers(self) -> bool:
        """Whether we register at other servers."""
        return bool(self._read.registrations)

    def configure(self, config: StackConfig) -> None:
        """Tell the core's configuration what was read."""
        config.accounts = self._read.accounts
        config.trusted = self._read.trusted
        config.nonce_keys = self._read.nonce_keys
        config.ephemeral = self._ephemeral
        others = [use for use in config.modules if use.kind is not Upstreams]
        config.modules = [*others, Use(Upstreams, UpstreamConfig(self._read.registrations))]
        if self._settings.store is None:
            # All users have a time limit; there is nobody else to be looked up.
            config.users = lambda lookup: None

    def attach(self, stack: Stack) -> None:
        """Change ``stack`` on ``reload``."""
        self._stack = stack

    def reload(self) -> list[str]:
        """Read everything again; return what is wrong, which changes nothing."""
        settings = self._settings
        stack = self._stack
        if stack is None:
            return []
        try:
            if settings.file is not None:
                loaded = load_file(settings.file)
                if loaded.settings is None:
                    raise OperatorError(*(fault.text(str(settings.file)) for fault in loaded.faults))
                settings.trusted = loaded.settings.trusted
                settings.upstream = loaded.settings.upstream
            read = self._files(settings)
        except OperatorError as error:
            return [f"{line}; who may what stays as it was" for line in error.lines]
        stack.trusted.replace(read.trusted)
        stack.proxy.client.replace(read.accounts)
        stack.modules.configure({Upstreams: UpstreamConfig(read.registrations)}, time.monotonic())
        if stack.authenticator is not None and read.nonce_keys is not None:
            stack.authenticator.rotate(read.nonce_keys, time.time())
        if self._ephemeral is not None and read.secrets is not None:
            self._ephemeral.replace(read.secrets)
        logger.info(
            "read again: %d trusted peers, %d accounts at other servers",
            len(read.trusted),
            len(read.accounts),
        )
        return []
