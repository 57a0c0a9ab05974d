"""The pytest plugin: a virtual network as a fixture, and traces as tests.

Theory of operation: ``sip_network`` is a fresh ``sansip.testing.Network``; when
the test is over everything it started must end on virtual time, or the test
fails. A file ``test_*.trace`` is collected like a test module, one test a trace.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sansip.testing import Network
    from sansip_conformance.trace import Trace

__all__ = ["sip_network"]


@pytest.fixture
def sip_network() -> Iterator[Network]:
    """A virtual network; afterwards no transaction may be left behind."""
    from sansip.testing import Network

    network = Network()
    yield network
    network.run(200_000.0)
    for server in network.servers:
        left = server.stack.snapshot()
        kept = {name: left[name] for name in ("server_transactions", "client_transactions") if left[name]}
        assert not kept, f"left behind when all timers have run: {kept}"


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect ``test_*.trace``."""
    if file_path.suffix == ".trace" and file_path.name.startswith("test_"):
        collector: pytest.Collector = TraceFile.from_parent(parent, path=file_path)
        return collector
    return None


class TraceFile(pytest.File):
    """One file of traces."""

    def collect(self) -> Iterator[pytest.Item]:
        """Return a test for each trace."""
        from sansip_conformance.syntax import TraceSyntaxError, read_file

        try:
            traces = read_file(self.path)
        except TraceSyntaxError as error:
            raise self.CollectError(str(error)) from None
        for trace in traces:
            item: Any = TraceItem.from_parent(self, name=trace.name)
            item.trace = trace
            yield item


class TraceItem(pytest.Item):
    """One trace, played on the core."""

    trace: Trace

    def runtest(self) -> None:
        """Play it; skip it when something that it needs is missing."""
        from sansip_conformance.run import play_on_core

        verdict = play_on_core(self.trace)
        if verdict.outcome == "skip":
            pytest.skip(verdict.reason)
        if verdict.outcome == "fail":
            cited = f" ({'; '.join(verdict.rfc)})" if verdict.rfc else ""
            pytest.fail(f"{verdict.where}: {verdict.reason}{cited}", pytrace=False)

    def reportinfo(self) -> tuple[Path, int, str]:
        """The place of the trace: file and line."""
        return self.path, self.trace.line - 1, f"{self.trace.id}: {self.trace.title}"
