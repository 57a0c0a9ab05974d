"""The table [dispatcher] and its destinations: what is wrong is refused with its name."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.errors import LocalProtocolError
from sansip.modules.dispatcher import Destination, DispatcherSettings
from tests.modules.dispatcher.farm import Farm, settings


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: Farm(settings(0, 0, 0)), "all weights"),
        (lambda: Farm(settings(group="pbx")), "there are default"),
        (lambda: Destination("sip:user@a.test"), "without a user"),
        (lambda: Destination("http://a.test"), "no SIP URI"),
        (lambda: Destination("sip:a.test", weight=2_000_000), "weight must be"),
        (lambda: DispatcherSettings([Destination("sip:a.test"), Destination("sip:a.test")]), "stands twice"),
        (lambda: DispatcherSettings(failover=[200]), "200 is no status"),
        (lambda: DispatcherSettings(answer=0.0), "answer must be"),
    ],
)
def test_bad_settings(build: Any, said: str) -> None:
    """The error names the fault, before anything runs."""
    with pytest.raises((ValueError, LocalProtocolError), match=said):
        build()
