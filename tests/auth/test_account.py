"""Accounts at other servers: what an account must have, and that it shows no password."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.auth import Account
from tests.proxy.carrier import CARRIER


@pytest.mark.parametrize(
    ("hosts", "realm", "user", "more", "fault"),
    [
        ((), "r", "u", {"password": "p"}, "at least one host"),
        (("h",), "", "u", {"password": "p"}, "a realm"),
        (("h",), "r", "u", {}, "no password"),
        (("h",), "r", "u", {"keys": {"SHA1": "00"}}, "unknown digest"),
        (("10.0.0.0/99",), "r", "u", {"password": "p"}, "nor a network"),
    ],
)
def test_accounts_that_could_not_work(
    hosts: Any, realm: str, user: str, more: dict[str, Any], fault: str
) -> None:
    with pytest.raises(ValueError, match=fault):
        Account(hosts, realm, user, **more)


def test_an_account_shows_no_password() -> None:
    """Where it is printed by mistake."""
    assert "secret" not in repr(CARRIER)
