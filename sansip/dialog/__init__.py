"""Dialogs (RFC 3261 12) and what lives in them. Pure: no transport, no clock, no chance."""

from __future__ import annotations

from sansip.dialog.dialog import (
    CONFIRMED,
    EARLY,
    ENDED,
    TARGET_REFRESH,
    Dialog,
    DialogId,
    Refusal,
    id_at_uac,
    id_at_uas,
    is_reliable,
    needs_sips_contact,
    target_of,
)
from sansip.dialog.route_set import RouteSet, aim, record_routes_to_copy, route_set_of_uac, route_set_of_uas

__all__ = [
    "CONFIRMED",
    "EARLY",
    "ENDED",
    "TARGET_REFRESH",
    "Dialog",
    "DialogId",
    "Refusal",
    "RouteSet",
    "aim",
    "id_at_uac",
    "id_at_uas",
    "is_reliable",
    "needs_sips_contact",
    "record_routes_to_copy",
    "route_set_of_uac",
    "route_set_of_uas",
    "target_of",
]
