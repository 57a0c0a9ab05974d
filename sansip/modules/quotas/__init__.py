"""Limits for each user against fraud: calls at once, minutes and spend, in real time."""

from sansip.modules.quotas.module import QuotaReached, Quotas
from sansip.modules.quotas.settings import QuotasSettings

__all__ = ["QuotaReached", "Quotas", "QuotasSettings"]
