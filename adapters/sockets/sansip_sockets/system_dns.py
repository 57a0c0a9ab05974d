"""The machine's own name servers and host names, as settings of the stack's resolver.

Theory of operation: the core reads no files, so they are read here, once, when
the stack is configured: ``StackConfig(..., dns=system_dns())``. The reader skips lines that it
does not understand, as the C library does.
"""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Any

from sansip.transport.dns import DnsConfig

__all__ = ["host_names", "name_servers", "system_dns"]

PORT = 53


def system_dns(
    resolv_conf: str | Path = "/etc/resolv.conf", hosts_file: str | Path = "/etc/hosts", **changes: Any
) -> DnsConfig:
    """Return the settings of this machine, with ``changes`` (fields of ``DnsConfig``).

    Files that are missing are taken as empty, and without a name server there is
    one at 127.0.0.1 (resolv.conf(5)). Raises ``ValueError`` for changes that cannot work.
    """
    settings: dict[str, Any] = dict(name_servers(_read(resolv_conf)))
    settings["hosts"] = host_names(_read(hosts_file))
    settings.update(changes)
    return DnsConfig(**settings)


def name_servers(text: str) -> dict[str, Any]:
    """Return ``servers``, and ``timeout``, ``rounds`` and ``rotate`` if a resolv.conf sets them."""
    servers: list[tuple[str, int]] = []
    settings: dict[str, Any] = {"servers": servers}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0][0] in "#;":
            continue
        if words[0] == "nameserver" and _is_address(words[1]):
            servers.append((words[1], PORT))
        elif words[0] == "options":
            for option in words[1:]:
                name, _, value = option.partition(":")
                number = int(value) if value.isascii() and value.isdigit() and len(value) < 4 else 0
                if name == "timeout" and number:
                    settings["timeout"] = float(min(number, 30))
                elif name == "attempts" and number:
                    settings["rounds"] = min(number, 5)
                elif name == "rotate":
                    settings["rotate"] = True
    if not servers:
        servers.append(("127.0.0.1", PORT))
    return settings


def host_names(text: str) -> dict[str, list[str]]:
    """Return the addresses of each name in a hosts file, in its order."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if len(words) > 1 and _is_address(words[0]):
            for name in words[1:]:
                addresses = found.setdefault(name.lower().rstrip("."), [])
                if words[0] not in addresses:
                    addresses.append(words[0])
    return found


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
