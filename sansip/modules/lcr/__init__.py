"""Least cost routing: which gateway gets a call to a telephone number, by prefix, price or quality."""

from sansip.modules.lcr.module import Lcr
from sansip.modules.lcr.settings import Gateway, LcrSettings

__all__ = ["Gateway", "Lcr", "LcrSettings"]
