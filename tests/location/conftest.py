"""Bindings for tests: only what a test is about has to be said."""

from __future__ import annotations

import pytest

from sansip.location import Binding, LocationUpdate

ALICE = "sip:alice@example.com"


def make_binding(contact="sip:alice@192.0.2.1", expires_at=3600.0, aor=ALICE, **fields):
    fields.setdefault("call_id", "a84b4c76e66710")
    fields.setdefault("cseq", 1)
    return Binding(aor, contact, expires_at, **fields)


def put(location, *bindings, now=0.0, aor=ALICE):
    """Make ``bindings`` the whole record of ``aor``; return the outcome."""
    update = LocationUpdate(
        aor, tuple(location.lookup(aor, now)), tuple(sorted(bindings, key=lambda b: b.rank))
    )
    return location.apply(update, now)


@pytest.fixture(name="make_binding")
def _make_binding():
    return make_binding


@pytest.fixture(name="put")
def _put():
    return put
