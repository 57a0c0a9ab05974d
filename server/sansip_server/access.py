"""Trusted peers, accounts elsewhere, keys and secrets; read at the start and on SIGHUP.

Theory of operation: everything is read before anything is changed, so a mistake in one file leaves all as
it was. All changed values become part of one ``Reconfiguration`` of the stack.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sansip.auth import Account, Ephemeral
from sansip.config import Reconfiguration, StackConfig
from sansip.module import Use
from sansip.modules.upstream import UpstreamConfig, UpstreamRegistration, Upstreams
from sansip.routing import TrustedPeer
from sansip_server.config.peers import accounts_of, guarded_of, read_keys, registrations_of, trusted_of
from sansip_server.config.schema import Settings

__all__ = ["Access"]


@dataclass(slots=True)
class _Read:
    """The content of the files."""

    accounts: list[Account]
    registrations: list[UpstreamRegistration]
    guarded: tuple[list[str], list[str]]
    trusted: list[TrustedPeer]
    nonce_keys: list[bytes] | None
    secrets: list[bytes] | None


class Access:
    """Reads the files that ``settings`` names. Raises OperatorError at the start, and never later."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
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
            guarded_of(settings.upstream),
            trusted_of(settings.trusted),
            None if nonces is None else read_keys(Path(nonces), "nonce_file"),
            None if secrets is None else read_keys(Path(secrets), "ephemeral_file"),
        )

    @property
    def registers(self) -> bool:
        """Whether we register at other servers."""
        return bool(self._read.registrations)

    @staticmethod
    def would_register(read: _Read) -> bool:
        """Whether this server would register at other servers with the settings ``read``."""
        return bool(read.registrations)

    def configure(self, config: StackConfig) -> None:
        """Put the values that were read into the core's configuration."""
        config.accounts = self._read.accounts
        config.trusted = self._read.trusted
        config.nonce_keys = self._read.nonce_keys
        config.ephemeral = self._ephemeral
        others = [use for use in config.modules if use.kind is not Upstreams]
        upstreams = UpstreamConfig(self._read.registrations, *self._read.guarded)
        config.modules = [*others, Use(Upstreams, upstreams)]
        if self._settings.store is None:
            # All users have a time limit; there are no others to look up.
            config.users = lambda lookup: None

    def read(self, settings: Settings) -> _Read:
        """Return what the files of ``settings`` say; nothing is changed. Raises OperatorError."""
        return self._files(settings)

    def change(self, read: _Read, change: Reconfiguration) -> None:
        """Put the changed values of ``read`` into ``change``; call ``take`` after the stack took that."""
        before = self._read
        if read.trusted != before.trusted:
            change.trusted = read.trusted
        if read.accounts != before.accounts:
            change.accounts = read.accounts
        if (read.registrations, read.guarded) != (before.registrations, before.guarded):
            upstreams = UpstreamConfig(read.registrations, *read.guarded)
            change.modules = {**change.modules, Upstreams: upstreams}
        if read.nonce_keys != before.nonce_keys:
            change.nonce_keys = read.nonce_keys

    def take(self, read: _Read) -> None:
        """Take ``read`` as the values in force."""
        self._read = read
        if self._ephemeral is not None and read.secrets is not None:
            self._ephemeral.replace(read.secrets)
