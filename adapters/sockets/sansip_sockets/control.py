"""The control socket: commands of this machine's operator, one line each, on every runtime.

Theory of operation: a Unix socket that only its owner may open. A line is handed to
``answer``, which runs in the stack's thread and returns the parts of its reply one after the
other. If the peer does not read them in time, the rest is not computed. So a list of a million
bindings goes out piece by piece between other work. A part may be ``None``: other work goes on
first. Or it may be a result that is ``Pending``: the reply sleeps until the result is there,
and gets ``Late`` after a minute.

The file has its mode from its creation on. A file left over by a server that was killed is
replaced; one on which a server still answers is not.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from sansip_sockets.bind import BindError
from sansip_sockets.pending import Late, Pending
from sansip_sockets.waits import PAUSE, READ, WRITE, Bell, Pump, Wait

if TYPE_CHECKING:
    from sansip_sockets.hub import Hub

__all__ = ["AnswerLine", "ControlSocket"]

# From a line without its end to the parts of the reply, each written as it is.
AnswerLine: TypeAlias = Callable[[bytes], Generator[bytes | Pending[Any] | None, None, None]]

# Octets of one command; the longest names an address-of-record.
LINE = 65_536
# Connections at once: an operator and a few scripts. More are closed.
SESSIONS = 16
# Seconds for the next command to come, and for a reply to be read.
IDLE = 60.0
# Seconds that a command may wait for work done elsewhere: a reload tries the route in a child process.
ANSWER = 60.0
# Seconds between two parts.
TURN = 0.0005
# The longest path that fits into sockaddr_un, without the final NUL.
PATH_SIZE = 107


class ControlSocket:
    """Opens ``path`` now; serves it from ``start`` to ``close``. Raises ``BindError``."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._sessions: set[socket.socket] = set()
        name = os.fsencode(self.path)
        if len(name) > PATH_SIZE:
            raise BindError(
                f"control {self.path}: a socket's path has {PATH_SIZE} octets at most, this one {len(name)}"
            )
        self._remove_leftover()
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)
        try:
            self.sock.bind(name)
            self.sock.listen(SESSIONS)
        except FileNotFoundError:
            self.sock.close()
            raise BindError(
                f"control {self.path}: there is no folder {self.path.parent}; make it, or set another path"
            ) from None
        except OSError as error:
            self.sock.close()
            raise BindError(f"control {self.path}: {(error.strerror or str(error)).lower()}") from None
        finally:
            os.umask(mask)
        self.sock.setblocking(False)
        # Somebody else's file may stand there when we end.
        self._inode = os.stat(name).st_ino

    def _remove_leftover(self) -> None:
        try:
            if not stat.S_ISSOCK(os.lstat(self.path).st_mode):
                raise BindError(f"control {self.path}: a file is there that is no socket; remove it")
        except FileNotFoundError:
            return
        except OSError as error:
            raise BindError(f"control {self.path}: {(error.strerror or str(error)).lower()}") from None
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            try:
                probe.connect(os.fsencode(self.path))
            except ConnectionRefusedError:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.path)
                return
            except OSError:
                pass  # full, or not ours: a server is there
        raise BindError(f"control {self.path}: another server answers there; stop it, or set another path")

    def start(self, hub: Hub, answer: AnswerLine) -> None:
        """Serve from ``hub``'s runtime; ``answer`` is called in its thread."""
        hub.spawn(self._accept(hub, answer))
        # Some runtimes spawn in their next turn.
        hub.inbox.wake()

    def close(self) -> None:
        """Close all sockets and remove the file. The runtime has let go of the pumps before."""
        for sock in self._sessions:
            sock.close()
        self._sessions.clear()
        self.sock.close()
        try:
            if os.stat(self.path).st_ino == self._inode:
                os.unlink(self.path)
        except OSError:
            pass  # removed by hand

    # --- pumps

    def _accept(self, hub: Hub, answer: AnswerLine) -> Pump:
        while True:
            yield (READ, self.sock, None)
            try:
                peer, _ = self.sock.accept()
            except OSError as error:
                if not isinstance(error, BlockingIOError):
                    hub.report(f"accept on control {self.path}", error)
                    yield (PAUSE, self.sock, 0.1)
                continue
            if len(self._sessions) >= SESSIONS:
                peer.close()
                continue
            peer.setblocking(False)
            self._sessions.add(peer)
            hub.spawn(self._session(hub, peer, answer))

    def _session(self, hub: Hub, sock: socket.socket, answer: AnswerLine) -> Pump:
        try:
            buffer = b""
            while (yield (READ, sock, IDLE)):
                try:
                    data = sock.recv(LINE)
                except BlockingIOError:
                    continue
                if not data:
                    break
                *lines, buffer = (buffer + data).split(b"\n")
                if len(buffer) > LINE:
                    break
                for line in lines:
                    if not (yield from self._reply(hub, sock, answer(line))):
                        return
        except OSError:
            pass  # the peer has gone
        except Exception as error:
            hub.report("control", error)
        finally:
            self._sessions.discard(sock)
            sock.close()

    def _reply(
        self, hub: Hub, sock: socket.socket, work: Generator[bytes | Pending[Any] | None, None, None]
    ) -> Generator[Wait, bool, bool]:
        """Write the parts of ``work``; return False when the peer does not read."""
        deadline = hub.clock() + ANSWER
        bell = Bell(hub.inbox)
        step: Callable[[], Any] = work.__next__
        while True:
            try:
                part = step()
            except StopIteration:
                return True
            step = work.__next__
            if not isinstance(part, Pending):
                yield (PAUSE, sock, TURN)
                if part is not None and not (yield from self._write(sock, part)):
                    return False
                # A long list waits for each of its pieces.
                deadline = hub.clock() + ANSWER
            elif (left := deadline - hub.clock()) > 0:
                part.tell(bell.ring)
                yield (PAUSE, sock, left, bell)
            else:
                step = partial(work.throw, Late(f"no answer in {ANSWER:g} s"))

    def _write(self, sock: socket.socket, data: bytes) -> Generator[Wait, bool, bool]:
        """Write all of ``data``; return False when the peer does not read."""
        view = memoryview(data)
        while view:
            try:
                view = view[sock.send(view) :]
            except BlockingIOError:
                if not (yield (WRITE, sock, IDLE)):
                    return False
        return True
