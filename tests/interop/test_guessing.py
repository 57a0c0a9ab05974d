"""Guessing from many addresses: honest users register as usual, and no guess is right.

Theory of operation: guessers on hundreds of loopback addresses send REGISTERs
with seeded wrong passwords, for users that exist and for some that do not, each
with the nonce it was given and a rising count, as fast as the server answers.
Meanwhile honest users, one of them behind a guesser's address, register with
the whole exchange of challenge and answer. The short form runs in CI;
``SANSIP_GUESSES=100000`` is the long one, whose figures stand in
docs/authentication.md (``-s`` prints them).
"""

from __future__ import annotations

import os
import random
import re
import selectors
import socket
import statistics
import sys
import time
from pathlib import Path

import pytest

from tests.interop.conftest import TARGET
from tests.interop.users import credentials, serve_users
from tools.peers import Program, free_port

GUESSES = int(os.environ.get("SANSIP_GUESSES", "3000"))
# One address for every fifty guesses: enough to run into each bound.
ADDRESSES = max(20, min(2_000, GUESSES // 50))
HONEST = 20
# Seconds between two registrations of honest users, all in all.
PACE = 0.02
SERVER = "127.38.0.1"
DOMAIN = "biloxi.test"

pytestmark = [
    pytest.mark.skipif(TARGET != "sansip", reason="the passwords are in sansip's store"),
    pytest.mark.timeout(1800),
]


def register(user: str, source: tuple[str, int], number: int, line: str = "") -> bytes:
    host, port = source
    lines = [
        f"REGISTER sip:{DOMAIN} SIP/2.0",
        f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{number}",
        "Max-Forwards: 70",
        f"From: <sip:{user}@{DOMAIN}>;tag=1",
        f"To: <sip:{user}@{DOMAIN}>",
        f"Call-ID: {user}-{host}",
        f"CSeq: {number} REGISTER",
        f"Contact: <sip:{user}@{host}:{port}>",
        "Expires: 600",
        *([line] if line else []),
        "Content-Length: 0",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def status_of(data: bytes) -> int:
    return int(data[8:11])


def challenge_in(data: bytes) -> str:
    found = re.search(rb"WWW-Authenticate: ([^\r]*)", data)
    assert found is not None, data
    return found[1].decode()


class Honest:
    """A user with the right password; ``latencies`` in seconds, of the whole exchange."""

    def __init__(self, number: int, host: str, port: int) -> None:
        self.user = f"user{number}"
        self.latencies: list[float] = []
        self.refused = 0
        # Exchanges that did not come to an end in five seconds.
        self.lost = 0
        self.number = 0
        self.begun = 0.0
        self.waiting = False
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((host, 0))
        self.sock.connect((SERVER, port))
        self.source = self.sock.getsockname()

    def begin(self, now: float) -> None:
        if self.waiting and now - self.begun < 5.0:
            return
        # A phone whose datagram was lost tries again.
        self.lost += self.waiting
        self.waiting, self.begun = True, now
        self._send("")

    def _send(self, line: str) -> None:
        self.number += 1
        self.sock.send(register(self.user, self.source, self.number, line))

    def received(self, now: float) -> None:
        data = self.sock.recv(65_535)
        status = status_of(data)
        if status == 401:
            if b"stale=true" in data or self.number % 2:
                proof = credentials(challenge_in(data), "REGISTER", f"sip:{DOMAIN}", self.user, "right")
                self._send(f"Authorization: {proof}")
                return
            self.refused += 1
        elif status == 200:
            self.latencies.append(now - self.begun)
        elif status >= 300:
            self.refused += 1
        self.waiting = False
        self.number += self.number % 2


class Guesser:
    """One address; it asks for a nonce once and guesses on with it."""

    def __init__(self, host: str, port: int, chance: random.Random) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((host, 0))
        self.sock.connect((SERVER, port))
        self.source = self.sock.getsockname()
        self.chance = chance
        self.number = 0
        self.challenge = ""
        self.user = ""
        self.sent = 0.0

    def guess(self, now: float) -> None:
        self.number += 1
        self.sent = now
        line = ""
        if self.number > 1 and self.challenge:
            # Half of the names exist; three of four guesses go on with the last one.
            if not self.user or self.chance.random() < 0.25:
                self.user = f"user{self.chance.randrange(2 * HONEST)}"
            password = f"{self.chance.getrandbits(40):x}"
            proof = credentials(self.challenge, "REGISTER", f"sip:{DOMAIN}", self.user, password, self.number)
            line = f"Authorization: {proof}"
        self.sock.send(register(self.user or "user0", self.source, self.number, line))

    def received(self) -> int:
        data = self.sock.recv(65_535)
        status = status_of(data)
        if status == 401:
            self.challenge = challenge_in(data)
            self.number = 1 if b"stale=true" in data else self.number
        return status


def figures(program: Program) -> tuple[float, float]:
    """Return (CPU seconds, MB of memory) of the server so far."""
    fields = Path(f"/proc/{program.pid}/stat").read_text().rpartition(") ")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK"), int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def quantiles(latencies: list[float]) -> str:
    ordered = sorted(latencies)
    middle, high = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
    return f"median {middle * 1000:.1f} ms, 99 % {high * 1000:.1f} ms, worst {ordered[-1] * 1000:.1f} ms"


def play(port: int, guesses: int, seconds: float) -> tuple[list[Honest], dict[int, int], float]:
    """Have honest users register for ``seconds``, or until ``guesses`` are answered.

    Returns the users, how often guesses were answered by which status, and seconds.
    """
    chance = random.Random(5)
    hosts = [f"127.38.{1 + number // 250}.{1 + number % 250}" for number in range(ADDRESSES)]
    # The last honest user is behind the address of the first guesser.
    honest = [Honest(n, f"127.38.255.{n + 1}", port) for n in range(HONEST - 1)]
    honest.append(Honest(HONEST - 1, hosts[0], port))
    statuses: dict[int, int] = {}
    with selectors.DefaultSelector() as selector:
        for user in honest:
            selector.register(user.sock, selectors.EVENT_READ, user)
        # Everybody registers once before it begins, as phones do that are in use.
        begun = time.monotonic()
        for user in honest:
            user.begin(begun)
        while any(not user.latencies for user in honest) and time.monotonic() < begun + 20:
            for key, _ in selector.select(0.1):
                key.data.received(time.monotonic())
        for user in honest:
            user.latencies.clear()
        guessers = [Guesser(host, port, chance) for host in hosts] if guesses else []
        for guesser in guessers:
            selector.register(guesser.sock, selectors.EVENT_READ, guesser)
        begun = time.monotonic()
        due, turn, sent, answered = begun, 0, 0, 0
        idle = list(guessers)
        while (answered < guesses) if guesses else (time.monotonic() < begun + seconds):
            now = time.monotonic()
            if now >= due:
                due = max(due + PACE, now)
                turn += 1
                honest[turn % HONEST].begin(now)
            # 32 at once keep the server busy without overflowing its socket.
            while idle and len(guessers) - len(idle) < 32 and sent < guesses:
                sent += 1
                idle.pop(0).guess(now)
            for key, _ in selector.select(0.02):
                if isinstance(key.data, Honest):
                    key.data.received(time.monotonic())
                    continue
                status = key.data.received()
                statuses[status] = statuses.get(status, 0) + 1
                answered += 1
                idle.append(key.data)
            if guesses and sent == guesses and len(idle) == len(guessers):
                break
            # A datagram that was lost is a guess that was not made.
            for guesser in guessers if not idle or sent == guesses else ():
                if guesser not in idle and now - guesser.sent > 2.0:
                    idle.append(guesser)
                    answered += 1
        taken = time.monotonic() - begun
        for sock in [user.sock for user in honest] + [guesser.sock for guesser in guessers]:
            sock.close()
    return honest, statuses, taken


def test_guessing(tmp_path: Path) -> None:
    """No honest user is refused, however many guess, and no guess is right; memory stays where it was."""
    port = free_port()
    users = {f"user{number}@{DOMAIN}": "right" for number in range(HONEST)}
    with serve_users(tmp_path, [f"udp:{SERVER}:{port}"], users, "[log]\nlevel = 'warning'\n") as program:
        quiet, _, _ = play(port, 0, 3.0)
        cpu, memory = figures(program)
        honest, statuses, taken = play(port, GUESSES, 0.0)
        more_cpu, more_memory = figures(program)
        assert "Traceback" not in program.output()
    before = [one for user in quiet for one in user.latencies]
    during = [one for user in honest for one in user.latencies]
    cost = (more_cpu - cpu) / GUESSES * 1e6
    lines = (
        f"{GUESSES:,} guesses from {ADDRESSES:,} addresses in {taken:.0f} s: answers {statuses}",
        f"honest before: {len(before)} registrations, {quantiles(before)}",
        f"honest during: {len(during)} registrations, {quantiles(during)}",
        f"server: {cost:.0f} µs of CPU for each guess, {memory:.1f} MB before, {more_memory:.1f} MB after",
    )
    sys.stdout.write("\n" + "\n".join(lines) + "\n")
    assert 200 not in statuses
    assert statuses.get(401, 0) > 0
    # Enough of them to run into the bound for one source and one user.
    assert statuses.get(403, 0) > 0
    assert sum(user.refused for user in honest) == 0
    assert sum(user.lost for user in honest) == 0
    assert during
    # A bucket for each pair and each source; the rest waits for a collection, which is rare.
    assert more_memory - memory < 150
