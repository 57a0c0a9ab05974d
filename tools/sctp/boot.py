#!/usr/bin/env python3
"""Run a command on a kernel that has SCTP: ``python tools/sctp/boot.py pytest tests/sctp``.

Theory of operation: many machines, containers and CI runners have a kernel
without SCTP and no way to load it. User-mode Linux is a kernel that runs as an
ordinary program, and Debian's (package ``user-mode-linux``) brings SCTP as a
module. It boots in three seconds with this machine's files as its root, starts
``inside.py`` as its first process, and the command runs there, in this directory,
with a network (loopback) and a $TMPDIR of its own. The exit status is the command's.

SCTP is loaded into the kernel that was started, and gone with it. Root is not needed. If user-mode Linux is
not installed, the script runs nothing; only in CI that is a failure.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

INSIDE = Path(__file__).with_name("inside.py")
KERNEL = "linux.uml"
MODULES = Path("/usr/lib/uml/modules")


def fault() -> str | None:
    """Return why no such kernel can be started here, or None."""
    if shutil.which(KERNEL) is None or not list(MODULES.glob("*/kernel/net/sctp/sctp.ko")):
        return f"{KERNEL} is not installed: apt install user-mode-linux"
    return None


def boot(command: list[str], *, memory: str = "768M", timeout: float = 600.0) -> int:
    """Run ``command`` inside; return its exit status, or 125 if the kernel did not get that far.

    This prints the command's output as it comes. After ``timeout`` seconds the kernel is killed
    and 124 returned.
    """
    with tempfile.TemporaryDirectory(prefix="sctp-") as directory:
        order = Path(directory, "order")
        status = Path(directory, "status")
        # The kernel's command line is short and splits at blanks: a file holds the command.
        kept = [f"{k}={v}" for k, v in os.environ.items() if k.startswith(("CI", "SANSIP_", "PATH"))]
        order.write_text("\0".join([sys.executable, os.getcwd(), str(status), *kept, "", *command]))
        # Its first process must be one file, without arguments.
        init = Path(directory, "init")
        init.write_text(f"#!/bin/sh\nexec {shlex.quote(sys.executable)} {INSIDE} {order}\n")
        init.chmod(0o755)
        line = [KERNEL, f"mem={memory}", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw", "quiet"]
        line += [f"init={init}", "con=null", "con0=null,fd:1"]
        try:
            # Its memory is a file: in /dev/shm if that is large enough; the kernel says so if it is not.
            subprocess.run(line, stdin=subprocess.DEVNULL, timeout=timeout, check=False)
        except subprocess.TimeoutExpired:
            print(f"not finished after {timeout:g} s", file=sys.stderr)
            return 124
        return int(status.read_text()) if status.exists() else 125


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--memory", default="768M", help="of the kernel (default %(default)s)")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds (default %(default)s)")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    why = fault()
    if why is not None:
        print(why, file=sys.stderr)
        return 1 if os.environ.get("CI") else 0
    if not args.command:
        parser.error("which command?")
    return boot(args.command, memory=args.memory, timeout=args.timeout)


if __name__ == "__main__":
    sys.exit(main())
