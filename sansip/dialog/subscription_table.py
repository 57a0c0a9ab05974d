"""The states of a subscription at its two ends (RFC 6665 4.1.2, 4.2.2), as total tables.

Theory of operation: as in ``invite_table``: a row names a method of ``Subscriber`` or ``Notifier``
and the next state. The names of the states are those of the figures of the RFC; "terminating"
is a notifier whose last NOTIFY has no answer yet.
"""

from __future__ import annotations

from typing import Final

from sansip.transaction.table import IGNORE, IMPOSSIBLE, TERMINATED, Machine, total

__all__ = ["ACTIVE", "NOTIFIER", "NOTIFY_WAIT", "PENDING", "SUBSCRIBER", "TERMINATING"]

NOTIFY_WAIT: Final = "notify_wait"
PENDING: Final = "pending"
ACTIVE: Final = "active"
TERMINATING: Final = "terminating"

SUBSCRIBER: Final[Machine] = total(
    "subscriber",
    (NOTIFY_WAIT, PENDING, ACTIVE),
    (
        "NOTIFY pending",
        "NOTIFY active",
        "NOTIFY terminated",
        "accepted",
        "refused",
        "failed",
        "timer N",
        "expired",
        "subscribe",
        "unsubscribe",
    ),
    {
        (NOTIFY_WAIT, "NOTIFY pending"): ("take_notify", PENDING),
        (NOTIFY_WAIT, "NOTIFY active"): ("take_notify", ACTIVE),
        (NOTIFY_WAIT, "NOTIFY terminated"): ("take_last", TERMINATED),
        (NOTIFY_WAIT, "accepted"): ("take_duration", NOTIFY_WAIT),
        (NOTIFY_WAIT, "refused"): ("take_refusal", TERMINATED),
        # RFC 6665 4.1.2.1: no failure of the first SUBSCRIBE leaves a subscription.
        (NOTIFY_WAIT, "failed"): ("take_refusal", TERMINATED),
        (NOTIFY_WAIT, "timer N"): ("give_up", TERMINATED),
        (NOTIFY_WAIT, "expired"): ("expire", TERMINATED),
        (NOTIFY_WAIT, "subscribe"): IGNORE,
        (NOTIFY_WAIT, "unsubscribe"): ("send_subscribe", NOTIFY_WAIT),
        (PENDING, "NOTIFY pending"): ("take_notify", PENDING),
        (PENDING, "NOTIFY active"): ("take_notify", ACTIVE),
        (PENDING, "NOTIFY terminated"): ("take_last", TERMINATED),
        (PENDING, "accepted"): ("take_duration", PENDING),
        # 4.1.2.2: some statuses end it, others leave it as long as it was.
        (PENDING, "refused"): ("take_refusal", TERMINATED),
        (PENDING, "failed"): ("tell_failure", PENDING),
        (PENDING, "timer N"): ("give_up", TERMINATED),
        (PENDING, "expired"): ("expire", TERMINATED),
        (PENDING, "subscribe"): ("send_subscribe", PENDING),
        (PENDING, "unsubscribe"): ("send_subscribe", PENDING),
        (ACTIVE, "NOTIFY pending"): ("take_notify", PENDING),
        (ACTIVE, "NOTIFY active"): ("take_notify", ACTIVE),
        (ACTIVE, "NOTIFY terminated"): ("take_last", TERMINATED),
        (ACTIVE, "accepted"): ("take_duration", ACTIVE),
        (ACTIVE, "refused"): ("take_refusal", TERMINATED),
        (ACTIVE, "failed"): ("tell_failure", ACTIVE),
        (ACTIVE, "timer N"): ("give_up", TERMINATED),
        (ACTIVE, "expired"): ("expire", TERMINATED),
        (ACTIVE, "subscribe"): ("send_subscribe", ACTIVE),
        (ACTIVE, "unsubscribe"): ("send_subscribe", ACTIVE),
    },
)

NOTIFIER: Final[Machine] = total(
    "notifier",
    (PENDING, ACTIVE, TERMINATING),
    (
        "SUBSCRIBE",
        "unsubscribe",
        "grant",
        "change",
        "end",
        "expired",
        "NOTIFY answered",
        "NOTIFY refused",
    ),
    {
        (PENDING, "SUBSCRIBE"): ("refresh", PENDING),
        # RFC 6665 4.2.1.4: as any other expiration.
        (PENDING, "unsubscribe"): ("take_unsubscribe", TERMINATING),
        (PENDING, "grant"): ("notify_now", ACTIVE),
        (PENDING, "change"): ("notify_now", PENDING),
        (PENDING, "end"): ("send_last", TERMINATING),
        (PENDING, "expired"): ("time_out", TERMINATING),
        (PENDING, "NOTIFY answered"): ("go_on", PENDING),
        # 4.2.2: some statuses, and a timeout, end it.
        (PENDING, "NOTIFY refused"): ("lose", TERMINATED),
        (ACTIVE, "SUBSCRIBE"): ("refresh", ACTIVE),
        (ACTIVE, "unsubscribe"): ("take_unsubscribe", TERMINATING),
        (ACTIVE, "grant"): IGNORE,
        (ACTIVE, "change"): ("notify_now", ACTIVE),
        (ACTIVE, "end"): ("send_last", TERMINATING),
        (ACTIVE, "expired"): ("time_out", TERMINATING),
        (ACTIVE, "NOTIFY answered"): ("go_on", ACTIVE),
        (ACTIVE, "NOTIFY refused"): ("lose", TERMINATED),
        # 4.4.1: the subscription is gone, its NOTIFY is under way.
        (TERMINATING, "SUBSCRIBE"): ("refuse", TERMINATING),
        (TERMINATING, "unsubscribe"): ("refuse", TERMINATING),
        (TERMINATING, "grant"): IGNORE,
        (TERMINATING, "change"): IGNORE,
        (TERMINATING, "end"): IGNORE,
        (TERMINATING, "expired"): IMPOSSIBLE,
        (TERMINATING, "NOTIFY answered"): ("finish", TERMINATING),
        (TERMINATING, "NOTIFY refused"): ("finish", TERMINATING),
    },
)
