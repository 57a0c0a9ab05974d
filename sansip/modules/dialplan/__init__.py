"""Dialplans: what people dial becomes the number that is meant."""

from sansip.modules.dialplan.module import Dialplan
from sansip.modules.dialplan.rule import Rule
from sansip.modules.dialplan.settings import DialplanSettings

__all__ = ["Dialplan", "DialplanSettings", "Rule"]
