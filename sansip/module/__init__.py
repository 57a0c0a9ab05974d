"""Modules: the one door through which everything enters that is not RFC 3261.

Theory of operation: a module is one class (``Module``) with settings, durable tables, functions
for routes, commands for operators, and hooks that the core calls. ``Modules`` puts those
of a configuration in order, starts them, and gives the core each hook as one tuple;
``Core`` is all that a module sees of the stack. docs/modules.md shows how to write one.
"""

from sansip.module.again import Again
from sansip.module.assembly import Modules, Use
from sansip.module.base import (
    DROP,
    FIRST,
    PASS,
    Empty,
    Gathered,
    Module,
    ModuleFault,
    Reply,
    Verdict,
    Waits,
    command,
    function,
    step,
)
from sansip.module.commands import Command, CommandError
from sansip.module.core import Core
from sansip.module.datagrams import Datagrams
from sansip.module.links import Link
from sansip.module.metrics import Counter, Histogram
from sansip.module.mounts import Mount, WebRequest, WebResponse, mount
from sansip.module.peer import PeerFailed
from sansip.module.rows import Rows
from sansip.module.settings import Doc, Key, keys_of
from sansip.module.sharing import Shared
from sansip.module.slot import Slot
from sansip.module.streams import Stream

__all__ = [
    "DROP",
    "FIRST",
    "PASS",
    "Again",
    "Command",
    "CommandError",
    "Core",
    "Counter",
    "Datagrams",
    "Doc",
    "Empty",
    "Gathered",
    "Histogram",
    "Key",
    "Link",
    "Module",
    "ModuleFault",
    "Modules",
    "Mount",
    "PeerFailed",
    "Reply",
    "Rows",
    "Shared",
    "Slot",
    "Stream",
    "Use",
    "Verdict",
    "Waits",
    "WebRequest",
    "WebResponse",
    "command",
    "function",
    "keys_of",
    "mount",
    "step",
]
