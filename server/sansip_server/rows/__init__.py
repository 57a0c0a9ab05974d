"""Stores of rows: the questions of ``sansip.rows`` answered by a database."""

from sansip_server.rows.interface import Outdated, RowStore
from sansip_server.rows.opening import open_rows
from sansip_server.rows.service import RowService

__all__ = ["Outdated", "RowService", "RowStore", "open_rows"]
