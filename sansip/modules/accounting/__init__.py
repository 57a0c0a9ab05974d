"""Accounting: a record of each call as JSON lines or rows (what Kamailio's ``acc`` does)."""

from sansip.modules.accounting.module import Accounting, Append, Spool, Spooled, Unspool
from sansip.modules.accounting.record import Record
from sansip.modules.accounting.settings import AccountingSettings

__all__ = ["Accounting", "AccountingSettings", "Append", "Record", "Spool", "Spooled", "Unspool"]
