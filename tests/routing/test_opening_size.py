"""A copy never gains more octets than is said before it is made."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.limits import DEFAULT
from sansip.proxy import ProxyConfig
from sansip.routing.opening_size import gained_by_modules, gained_octets
from sansip.wire.opening import read_opening
from tests.proxy.sides import INVITE, REQUEST, Side, wire
from tests.routing.test_opening_flows import BEHIND
from tests.routing.test_opening_flows import invite as invite_from_home


@pytest.mark.parametrize("records", [True, False])
@pytest.mark.parametrize("flows", [True, False])
def test_no_copy_is_larger(records: bool, flows: bool) -> None:
    """RFC 3261 18.1.1: else it could leave by UDP, and be too large for that; and it is hardly smaller."""
    side = Side(None, proxy=ProxyConfig(record_route=records, tcp_above=0))
    step: Any = invite_from_home() if flows else INVITE
    if flows:
        side.play(BEHIND)
    side.play(step)
    data = step[1](side) if flows else wire(REQUEST.format(method="INVITE", more=""))
    opening = read_opening(data, DEFAULT)
    assert opening is not None
    contact = "sip:bob@10.0.0.2:5060" if flows else "sip:bob@192.0.2.2:5060"
    listener = side.stack.listeners[0]
    near = listener if flows else None
    named = "sip:bob@biloxi.test" if flows else None
    most = gained_octets(opening, len(contact), listener, near, records, named)
    gained = len(side.sent[-1]) - len(data)
    # A token may be longer: it may name its binding.
    assert gained <= most <= gained + (250 if flows else 110)
    assert most <= gained_by_modules(len(contact)) + 250
