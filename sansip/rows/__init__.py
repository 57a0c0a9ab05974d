"""Durable rows: the stored data of a module, whatever database an operator has.

Theory of operation: a ``Table`` is a dataclass whose fields are columns. The core asks the
outside to read, scan and write rows by the questions in ``questions``; a store answers
them (``sansip_server.rows``), and ``MemoryRows`` where nothing is durable, as in a test.
"""

from sansip.rows.memory import MemoryRows
from sansip.rows.questions import Change, Expected, Read, Scan, Write
from sansip.rows.table import Column, Key, Migration, Table, Values

__all__ = [
    "Change",
    "Column",
    "Expected",
    "Key",
    "MemoryRows",
    "Migration",
    "Read",
    "Scan",
    "Table",
    "Values",
    "Write",
]
