"""Worker threads, and how many of their jobs are under way.

Theory of operation: a worker thread posts its answer to the inbox. The server does not see the inbox
while it waits in ``recvfrom``. So as long as a job is under way, the server waits in the selector, which
watches the inbox. Not for the job of a handler that is ``patient``: a store takes longer than ``recvfrom``
waits.
"""

from __future__ import annotations

from collections.abc import Callable

from sansip_sockets import Threads
from sansip_sockets.inbox import Inbox

__all__ = ["Jobs"]


class Jobs:
    """Runs the jobs of handlers in threads; called, and read, in the stack's thread only."""

    def __init__(self) -> None:
        self._threads = Threads()
        self.running = 0
        # Known when the hub is, before the first job.
        self.inbox: Inbox | None = None

    def __call__(self, job: Callable[[], None]) -> None:
        """Run ``job`` in a thread, soon."""
        self.running += 1
        inbox = self.inbox
        assert inbox is not None

        def work() -> None:
            try:
                job()
            finally:
                # After everything that the job itself has posted.
                inbox.post(self._ended)

        self._threads(work)

    def patiently(self, job: Callable[[], None]) -> None:
        """Run ``job`` in a thread; the server looks for what it posts when ``recvfrom`` returns."""
        self._threads(job)

    def _ended(self) -> None:
        self.running -= 1

    def close(self) -> None:
        """Let the threads end."""
        self._threads.close()
