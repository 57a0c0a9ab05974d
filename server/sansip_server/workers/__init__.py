"""``sansip serve --workers N``: several processes that serve the same sockets (docs/workers.md)."""
