"""Calls: a record of each, limits, session timers, hanging up (what Kamailio's ``dialog`` does)."""

from sansip.modules.calls.call import Call, Side, Talk
from sansip.modules.calls.elsewhere import CallElsewhere
from sansip.modules.calls.events import (
    CallAnswered,
    CallFinished,
    CallRang,
    CallsRead,
    CallTakenBack,
    CallTried,
)
from sansip.modules.calls.module import Calls
from sansip.modules.calls.row import Row
from sansip.modules.calls.settings import CallsSettings
from sansip.modules.calls.tariff import Tariff

__all__ = [
    "Call",
    "CallAnswered",
    "CallElsewhere",
    "CallFinished",
    "CallRang",
    "CallTakenBack",
    "CallTried",
    "Calls",
    "CallsRead",
    "CallsSettings",
    "Row",
    "Side",
    "Talk",
    "Tariff",
]
