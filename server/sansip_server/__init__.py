"""The ready-made program: ``sansip`` on the command line, configured by TOML.

Theory of operation: everything here is assembly. ``config`` turns a file and
options into the core's ``StackConfig``; ``commands`` holds one file per
subcommand; the protocol lives in ``sansip`` and the waiting in the runtime's
adapter. Modules import at their top only what is cheap (click and the
standard library), so that ``sansip --help`` answers at once.
"""

from __future__ import annotations
