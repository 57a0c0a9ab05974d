"""``python -m sansip_server`` is the command ``sansip``."""

from __future__ import annotations

from sansip_server.cli import main

if __name__ == "__main__":
    main(prog_name="sansip")
