"""A small mutating fuzzer for where atheris has no wheel: seeded, bounded, no coverage feedback.

    python -m tests.fuzz.mutate stack --seconds 600 --seed 7

Crashes are written to ``tests/fuzz/corpus`` as TARGET/HASH and end the run.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import time
from collections.abc import Iterator

from tests.fuzz.seeds import CORPUS, seeds
from tests.fuzz.targets import TARGETS

__all__ = ["WORDS", "change", "inputs"]

WORDS = [
    b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b";", b",", b"<", b">", b'"', b"\\",
    b"@", b"%", b"%zz", b"[", b"]", b"=", b"*", b"?", b"SIP/2.0", b"sip:", b"sips:", b"tel:", b";lr",
    b";tag=", b";branch=z9hG4bK", b";rport", b";received=", b";maddr=", b"Via: ", b"v: ",
    b"Content-Length: ", b"l: -1", b"Max-Forwards: 0", b"Route: <sip:192.0.2.1;lr>", b"Record-Route: ",
    b"Contact: *", b"Expires: 0", b"CSeq: 4294967296 INVITE", b"4294967296", b"\xff", b"\xc3\x28",
    b"\xff\xfe\xfd", b"CANCEL sip:a@example.com SIP/2.0\r\n", b"ACK sip:a@example.com SIP/2.0\r\n",
    b"SIP/2.0 200 OK\r\n", b"SIP/2.0 100 Trying\r\n", b"\xff\xfe\xfd\0\0", b"\xff\xfe\xfd\7\2",
    b"\xff\xfe\xfd\x05\6", b";reg-id=1", b';+sip.instance="<urn:uuid:1>"', b";ob", b";gr", b";gr=urn:uuid:1",
    b"Path: <sip:f-AAAA@example.com;lr;ob>", b"Route: <sip:f-AAAA@example.com;lr>", b"sip:tgruu.AAAA@",
    b"Supported: outbound, path, gruu",
]  # fmt: skip


def inputs(target: str, seed: int) -> Iterator[bytes]:
    """Yield inputs for ``target`` without end, the same for the same ``seed``."""
    chance = random.Random(seed)
    known = seeds(target)
    while True:
        data = bytearray(chance.choice(known))
        for _ in range(chance.choice((1, 1, 2, 3, 5, 9))):
            change(data, chance, known)
        yield bytes(data[:20_000])


def change(data: bytearray, chance: random.Random, known: list[bytes]) -> None:
    """Spoil ``data`` once, somewhere."""
    at = chance.randrange(len(data) + 1)
    end = min(len(data), at + chance.choice((1, 2, 8, 40)))
    kind = chance.randrange(8)
    if kind == 0:
        del data[at:end]
    elif kind == 1:
        data[at:at] = chance.choice(WORDS)
    elif kind == 2:
        data[at:end] = chance.choice(WORDS)
    elif kind == 3:
        data[at:at] = data[at:end] * chance.choice((1, 2, 50))
    elif kind == 4 and at < len(data):
        data[at] = chance.randrange(256)
    elif kind == 5:
        data += b"\xff\xfe\xfd" + chance.choice(known)
    elif kind == 6:
        lines = bytes(data).split(b"\r\n")
        first, second = chance.randrange(len(lines)), chance.randrange(len(lines))
        lines[first], lines[second] = lines[second], lines[first]
        data[:] = b"\r\n".join(lines)
    else:
        del data[at:]


def main() -> None:
    """Fuzz one target for a while."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    run = TARGETS[options.target]
    began = time.monotonic()
    slowest = 0.0
    count = 0
    for data in inputs(options.target, options.seed):
        if time.monotonic() - began > options.seconds:
            break
        # The cost, not the load of the machine.
        start = time.process_time()
        try:
            run(data)
        except BaseException:
            name = f"{options.target}/{hashlib.sha1(data, usedforsecurity=False).hexdigest()[:12]}"
            (CORPUS / options.target).mkdir(exist_ok=True)
            (CORPUS / name).write_bytes(data)
            sys.stdout.write(f"after {count} inputs: kept as {name}\n")
            raise
        slowest = max(slowest, time.process_time() - start)
        count += 1
    slow = f"{slowest * 1000:.1f} ms"
    sys.stdout.write(f"{options.target}: {count} inputs, no failure; the slowest took {slow}\n")


if __name__ == "__main__":
    main()
