"""The subcommands, one file each. They import what is heavy when they run."""

from __future__ import annotations
