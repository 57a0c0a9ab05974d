"""sansip_server.workers.directory: transactions of all workers in one table."""

from __future__ import annotations

from sansip_server.workers.directory import SharedDirectory


def test_the_first_worker_has_it() -> None:
    """RFC 3261 17.2.3: a request that is sent again belongs where the first one went."""
    table = SharedDirectory(1_024)
    table.number = 2
    assert table.claim("z9hG4bK1 host") == 2
    table.number = 0
    assert table.claim("z9hG4bK1 host") == 2
    assert table.find("z9hG4bK1 host") == 2
    assert table.find("z9hG4bK2 host") is None


def test_a_full_table_forgets_the_oldest() -> None:
    """A flood of new transactions costs old entries, and neither memory nor an exception."""
    now = [0.0]
    table = SharedDirectory(8, lambda: now[0])
    for index in range(100):
        now[0] += 1
        assert table.claim(f"key {index}") == 0
    assert table.find("key 99") == 0
    assert sum(table.find(f"key {index}") is not None for index in range(100)) <= 8
