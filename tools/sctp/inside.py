"""The first process of the kernel that ``boot.py`` starts: set the system up, run the command, halt.

Theory of operation: a process with the number 1 has to mount /proc, load the
modules and set the loopback interface up itself; no other program runs. At the end it halts the
kernel, which ends the user-mode Linux program.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import socket
import struct
import subprocess
import sys
import traceback
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
# x86_64: the numbers of <asm/unistd.h>, <linux/sockios.h>, <linux/if.h>, <linux/reboot.h>.
FINIT_MODULE = 313
SIOCSIFFLAGS = 0x8914
IFF_UP_LOOPBACK_RUNNING = 0x49
POWER_OFF = 0x4321FEDC
MODULES = Path("/usr/lib/uml/modules")
# A place in memory for temporary files; the machine's own /tmp may hold the Python that runs here.
TEMPORARY = "/mnt"
# The module asks for an HMAC in another module when a socket begins to listen; cookies
# that only this kernel sees need none.
HMAC = Path("/proc/sys/net/sctp/cookie_hmac_alg")


def mount(kind: str, where: str) -> None:
    """Mount a file system that has no device."""
    if LIBC.mount(kind.encode(), where.encode(), kind.encode(), 0, None) != 0:
        raise OSError(ctypes.get_errno(), f"mount {where}: {os.strerror(ctypes.get_errno())}")


def load(name: str) -> None:
    """Load a module and, before it, the modules that it needs (modules.dep lists the last needed first)."""
    base = MODULES / os.uname().release
    for line in (base / "modules.dep").read_text().splitlines():
        module, _, needs = line.partition(":")
        if module.endswith(f"/{name}.ko"):
            for path in [*reversed(needs.split()), module]:
                with open(base / path, "rb") as file:
                    failed = LIBC.syscall(FINIT_MODULE, file.fileno(), b"", 0) != 0
                if failed and ctypes.get_errno() != 17:
                    raise OSError(ctypes.get_errno(), f"{path}: {os.strerror(ctypes.get_errno())}")
            return
    raise FileNotFoundError(f"no module {name} in {base}")


def prepare() -> None:
    """Mount the file systems, load the modules, and set up the loopback interface."""
    for kind, where in (("proc", "/proc"), ("sysfs", "/sys"), ("tmpfs", TEMPORARY)):
        mount(kind, where)
    load("sctp")
    HMAC.write_text("none")
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP_LOOPBACK_RUNNING))
    # Addresses of IPv6 are tentative for a second, and cannot be bound, unless told otherwise.
    Path("/proc/sys/net/ipv6/conf/lo/accept_dad").write_text("0")
    resource.setrlimit(resource.RLIMIT_NOFILE, (20_000, 20_000))


def run(order: list[str]) -> int:
    """Run the command of ``order``; return its exit status."""
    blank = order.index("")
    environment = dict(pair.split("=", 1) for pair in order[3:blank])
    environment |= {"HOME": TEMPORARY, "TMPDIR": TEMPORARY, "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
    bin_directory = str(Path(order[0]).parent)
    environment["PATH"] = f"{bin_directory}:{environment.get('PATH', '/usr/bin:/bin')}:/usr/sbin"
    return subprocess.run(order[blank + 1 :], cwd=order[1], env=environment, check=False).returncode


def main() -> None:
    """Read the order, obey it, note the outcome, halt."""
    order = Path(sys.argv[1]).read_text().split("\0")
    status = 125
    try:
        prepare()
        status = run(order)
    except BaseException:
        traceback.print_exc()
    Path(order[2]).write_text(str(status))
    sys.stdout.flush()
    os.sync()
    LIBC.reboot(POWER_OFF)


main()
