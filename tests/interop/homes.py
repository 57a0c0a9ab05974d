"""Homes with NATs, of network namespaces: the kernel's own NAT between a phone and the server.

Theory of operation: one namespace is the internet, with a bridge in it; hosts and
gateways hang on that. A gateway masquerades the one private network behind it,
whose addresses are the same in every home. A socket belongs to the namespace it
was made in, so the phones are objects of this process still. No packet leaves the
machine: nothing is connected to its own interfaces.

NATs (RFC 4787's words): ``kind`` "cone" keeps the port where it can and maps every
destination to the same (endpoint-independent mapping, address and port-dependent
filtering); "symmetric" takes a random port for each destination.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from tests.missing import missing

__all__ = ["AT_HOME", "Home", "Internet", "inside"]

# The address of the one host in each home.
AT_HOME = "10.0.0.9"
_CLONE_NEWNET = 0x40000000


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Sockets that this thread opens inside belong to ``namespace``."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net") as ours, open(f"/run/netns/{namespace}") as theirs:
        assert libc.setns(theirs.fileno(), _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        try:
            yield
        finally:
            assert libc.setns(ours.fileno(), _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())


class Home:
    """A private network behind a NAT of its own: ``namespace`` is the host in it."""

    def __init__(self, internet: Internet, name: str, public: str, kind: str, private: str) -> None:
        self.public = public
        self.private = private
        self.gateway = internet.host(f"{name}-gw", public)
        self.namespace = internet.namespace(f"{name}-in")
        router = private.rpartition(".")[0] + ".1"
        internet.link(self.gateway, "in", f"{router}/24", self.namespace, "eth0", f"{private}/24")
        self._exec("sysctl", "-qw", "net.ipv4.ip_forward=1")
        _run("ip", "-n", self.namespace, "route", "add", "default", "via", router)
        how = {"cone": "masquerade", "symmetric": "masquerade fully-random"}[kind]
        self._exec("nft", "add table ip nat")
        self._exec("nft", "add chain ip nat out { type nat hook postrouting priority 100; }")
        self._exec("nft", "add chain ip nat in { type nat hook prerouting priority -100; }")
        self._exec("nft", f'add rule ip nat out oifname "eth0" {how}')
        # Inwards only what answers something, as a home's router has it.
        self._exec("nft", "add table ip filter")
        self._exec("nft", "add chain ip filter pass { type filter hook forward priority 0; policy drop; }")
        self._exec("nft", "add rule ip filter pass ct state established,related accept")
        self._exec("nft", 'add rule ip filter pass iifname "in" accept')
        # An uninvited packet is dropped before it is remembered: else its port would be taken, and a hole
        # could not be punched from the inside.
        self._exec("nft", "add chain ip filter own { type filter hook input priority 0; }")
        self._exec("nft", 'add rule ip filter own iifname "eth0" ct state new drop')

    def _exec(self, *command: str) -> None:
        _run("ip", "netns", "exec", self.gateway, *command)

    def forward(self, port: int) -> None:
        """Forward packets to ``port`` of the public address to the host inside."""
        for protocol in ("udp", "tcp"):
            self._exec("nft", f"add rule ip nat in {protocol} dport {port} dnat to {self.private}")
        self._exec("nft", "add rule ip filter pass ct status dnat accept")

    def forget_after(self, seconds: int) -> None:
        """Set how long the NAT remembers a UDP port that nothing passes."""
        for name in ("nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream"):
            self._exec("sysctl", "-qw", f"net.netfilter.{name}={seconds}")


class Internet:
    """The public network 203.0.113.0/24 (RFC 5737), and the hosts on it."""

    def __init__(self) -> None:
        for program in ("ip", "nft", "sysctl"):
            if shutil.which(program) is None:
                missing(f"not installed: {program} (Debian: iproute2, nftables, procps)")
        if os.geteuid() != 0:
            missing("network namespaces need root")
        self._stack = ExitStack()
        self._count = 0

    def __enter__(self) -> Self:
        self.core = self.namespace("core")
        _run("ip", "-n", self.core, "link", "add", "name", "br0", "type", "bridge")
        _run("ip", "-n", self.core, "addr", "add", "203.0.113.1/24", "dev", "br0")
        _run("ip", "-n", self.core, "link", "set", "br0", "up")
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def namespace(self, name: str) -> str:
        """Make one, gone at the end."""
        full = f"sansip-{os.getpid()}-{name}"
        _run("ip", "netns", "add", full)
        self._stack.callback(_run, "ip", "netns", "del", full)
        _run("ip", "-n", full, "link", "set", "lo", "up")
        return full

    def link(self, one: str, name: str, address: str, other: str, far: str, far_address: str = "") -> None:
        """A cable between two namespaces."""
        _run(
            "ip", "-n", one, "link", "add", "name", name, "type", "veth", "peer", "name", far, "netns", other
        )
        for namespace, device, given in ((one, name, address), (other, far, far_address)):
            if given:
                _run("ip", "-n", namespace, "addr", "add", given, "dev", device)
            _run("ip", "-n", namespace, "link", "set", device, "up")

    def host(self, name: str, address: str) -> str:
        """A host with a public address; returns its namespace."""
        namespace = self.namespace(name)
        self._count += 1
        port = f"port{self._count}"
        self.link(namespace, "eth0", f"{address}/24", self.core, port)
        _run("ip", "-n", self.core, "link", "set", port, "master", "br0")
        return namespace

    def home(self, name: str, public: str, kind: str = "cone", private: str = AT_HOME) -> Home:
        """A home behind a NAT of ``kind``."""
        return Home(self, name, public, kind, private)

    def log(self, directory: Path) -> Path:
        """A folder below ``directory`` for one more server's log."""
        self._count += 1
        path = directory / f"host{self._count}"
        path.mkdir()
        return path
