"""Back-to-back user agents: one call, two dialogs."""

from sansip.b2bua.bridge import Bridge
from sansip.b2bua.carry import CARRIED, Carry
from sansip.b2bua.policy import Policy
from sansip.b2bua.referral import Referral

__all__ = ["CARRIED", "Bridge", "Carry", "Policy", "Referral"]
