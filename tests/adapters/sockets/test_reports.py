"""Reports of what went wrong inside: passed on, counted, never a danger themselves."""

from __future__ import annotations

import logging

from sansip_sockets.reports import PER_SECOND, Reports


def test_a_flood_is_cut_and_counted():
    """A peer that can provoke a report can provoke a million of them."""
    told: list[str] = []
    time = 100.0
    report = Reports(lambda text, error: told.append(text), lambda: time)
    for number in range(1000):
        report(str(number), None)
    assert told == [str(number) for number in range(PER_SECOND)]
    time = 101.0
    report("later", None)
    report("last", None)
    assert told[PER_SECOND:] == [f"later ({1000 - PER_SECOND} reports before this one left out)", "last"]


def test_the_default_is_the_log(caplog):
    """With the traceback, for it is a bug."""
    Reports(None, lambda: 0.0)("datagram of 3 octets", ValueError("bad"))
    [record] = caplog.records
    assert (record.name, record.levelno) == ("sansip.sockets", logging.ERROR)
    assert record.getMessage() == "datagram of 3 octets: ValueError('bad')"
    assert record.exc_info is not None


def test_a_report_function_that_fails_harms_nobody(caplog):
    """It is called where a pump contains an exception, so its own must not get out."""

    def report(text, error):
        raise OSError("disk full")

    Reports(report, lambda: 0.0)("text", None)
    assert caplog.records[0].getMessage() == "the report function failed"
