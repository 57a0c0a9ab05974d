"""A small process that forks the workers.

Theory of operation: the parent has threads (a store's), and a process with threads must not fork: a lock that
another thread holds would stay locked in the child for ever. So the first fork, before any thread, makes the
nursery. It has everything imported and all sockets open, does nothing but wait, and forks a worker in
milliseconds when the parent says so. It tells the parent how a worker ended. If the parent is gone, it kills
what is left and ends.
"""

from __future__ import annotations

import contextlib
import gc
import marshal
import os
import select
import signal
import socket
import time
import traceback
from collections.abc import Callable

__all__ = ["NOT_STARTED", "Nursery"]

# In the place of a wait status: the worker was not made, for the machine has no descriptor or process left.
NOT_STARTED = -1

_MESSAGE = 1_024
# Seconds that workers have to end by themselves once the parent is gone.
_PATIENCE = 1.0

# Runs a worker: its number, which process in that place it is, how often settings were reloaded, its link.
Run = Callable[[int, int, int, socket.socket], int]


class Nursery:
    """The parent's end. ``run`` is called in each new process; its result is the exit status."""

    def __init__(self, run: Run) -> None:
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if not self.pid:
            status = 1
            try:
                self.sock.close()
                # Ctrl-C in a terminal goes to the parent alone, which tells the workers.
                os.setpgid(0, 0)
                # systemd hears of the parent alone.
                os.environ.pop("NOTIFY_SOCKET", None)
                _Nurse(theirs, run).serve()
                status = 0
            except Exception:
                traceback.print_exc()
                raise
            finally:
                os._exit(status)
        theirs.close()
        self.sock.setblocking(False)

    def start(self, number: int, incarnation: int, reloads: int, link: socket.socket) -> None:
        """Have worker ``number`` started; ``link`` is its end of the link, and closed here."""
        message = marshal.dumps(("start", number, incarnation, reloads))
        socket.send_fds(self.sock, [message], [link.fileno()])
        link.close()

    def kill(self, number: int, incarnation: int) -> None:
        """Kill worker ``number``, if it is still the same process."""
        with contextlib.suppress(OSError):
            self.sock.send(marshal.dumps(("kill", number, incarnation)))

    def ended(self) -> list[tuple[int, int, int]] | None:
        """Return the workers that ended: number, incarnation, wait status. None: the nursery is gone."""
        found: list[tuple[int, int, int]] = []
        while True:
            try:
                data = self.sock.recv(_MESSAGE)
            except BlockingIOError:
                return found
            except OSError:
                return None
            if not data:
                return found or None
            found.append(marshal.loads(data))

    def close(self) -> None:
        """Kill all workers that are left, and the nursery."""
        self.sock.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


class _Nurse:
    """The nursery's own end."""

    def __init__(self, sock: socket.socket, run: Run) -> None:
        self._sock = sock
        self._run = run
        # Process -> the worker.
        self._children: dict[int, tuple[int, int]] = {}
        self._bell, self._ringer = socket.socketpair()
        for one in (self._bell, self._ringer):
            one.setblocking(False)

    def serve(self) -> None:
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for ending in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            # The parent's end is the sign to end.
            signal.signal(ending, signal.SIG_IGN)
        signal.set_wakeup_fd(self._ringer.fileno(), warn_on_full_buffer=False)
        # What is here already is the same in all workers: their collectors need not look at it.
        gc.freeze()
        while True:
            ready, _, _ = select.select([self._sock, self._bell], [], [])
            if self._bell in ready:
                with contextlib.suppress(BlockingIOError):
                    self._bell.recv(_MESSAGE)
            self._reap()
            if self._sock in ready and not self._obey():
                break
        self._end()

    def _obey(self) -> bool:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._sock, _MESSAGE, 1)
        except OSError:
            return False
        if not data:
            return False
        kind, number, incarnation, *rest = marshal.loads(data)
        if kind == "start":
            # unix(7): what does not fit into the table of descriptors is closed, and the message comes alone.
            if descriptors:
                self._start(number, incarnation, rest[0], socket.socket(fileno=descriptors[0]))
            else:
                self._tell(number, incarnation, NOT_STARTED)
        else:
            for pid, worker in self._children.items():
                if worker == (number, incarnation):
                    os.kill(pid, signal.SIGKILL)
        return True

    def _start(self, number: int, incarnation: int, reloads: int, link: socket.socket) -> None:
        try:
            pid = os.fork()
        except OSError:
            link.close()
            self._tell(number, incarnation, NOT_STARTED)
            return
        if pid:
            link.close()
            self._children[pid] = number, incarnation
            return
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
                signal.signal(one, signal.SIG_DFL)
            for sock in (self._sock, self._bell, self._ringer):
                sock.close()
            status = self._run(number, incarnation, reloads, link)
        except Exception:
            # The parent names the worker and its status; why is known here alone.
            traceback.print_exc()
            raise
        finally:
            os._exit(status)

    def _reap(self) -> None:
        while self._children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            self._tell(*self._children.pop(pid), status)

    def _tell(self, number: int, incarnation: int, status: int) -> None:
        with contextlib.suppress(OSError):
            self._sock.send(marshal.dumps((number, incarnation, status)))

    def _end(self) -> None:
        # Their links have ended with the parent.
        deadline = time.monotonic() + _PATIENCE
        while self._children and time.monotonic() < deadline:
            time.sleep(0.02)
            self._reap()
        for pid in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in list(self._children):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
