"""The subcommands, one file each. They import heavy packages when they run."""

from __future__ import annotations
