"""An update as a value: what a store has to write and to delete."""

from __future__ import annotations

from sansip.location import LocationUpdate

ALICE = "sip:alice@example.com"


def test_a_store_reads_what_to_write_and_what_to_delete(make_binding):
    """A binding left alone is in neither; a refreshed one is in both, old and new."""
    kept, old, gone = (make_binding(f"sip:{n}@host") for n in "abc")
    refreshed, added = make_binding("sip:b@host", cseq=2), make_binding("sip:d@host", cseq=2)

    update = LocationUpdate(ALICE, (kept, old, gone), (kept, refreshed, added))

    assert update.stored == (refreshed, added)
    assert update.removed == (old, gone)
