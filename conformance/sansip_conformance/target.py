"""A running server that traces are played against, and the traces that cannot be played against it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sansip_conformance.trace import Fault, Send, Setup, Trace

__all__ = ["Target", "parse_target", "reason_to_skip"]


@dataclass(slots=True)
class Target:
    """A server under test: its address for each transport, the domains it serves.

    A trace for another domain is played with the first of these. ``own`` says that the server was
    started for the trace, with its setup.
    """

    addresses: dict[str, tuple[str, int]]
    domains: tuple[str, ...] = ("biloxi.test", "example.com")
    own: bool = False
    slow: bool = False

    def serves(self, setup: Setup) -> bool:
        """Whether all domains of a trace are among those served."""
        return set(setup.domains) <= set(self.domains)


def parse_target(texts: tuple[str, ...]) -> Target:
    """Return the target that ``udp:127.0.0.1:5060`` and the like name. Raises ValueError."""
    addresses: dict[str, tuple[str, int]] = {}
    for text in texts:
        match = re.fullmatch(r"(udp|tcp):(\[[0-9A-Fa-f:.]+\]|[\w.-]+):(\d{1,5})", text)
        if match is None or not 0 < int(match[3]) < 65_536:
            raise ValueError(f"cannot read the target {text!r}; write udp:127.0.0.1:5060 or tcp:[::1]:5060")
        addresses[match[1]] = (match[2].strip("[]"), int(match[3]))
    for missing, given in (("udp", "tcp"), ("tcp", "udp")):
        # A SIP server listens on the same port for both.
        if given in addresses:
            addresses.setdefault(missing, addresses[given])
    return Target(addresses)


def reason_to_skip(trace: Trace, target: Target) -> str | None:
    """Return why ``trace`` cannot be played against ``target``, None when it can."""
    setup = trace.setup
    if trace.needs:
        return f"needs {trace.needs[0]}"
    if setup.address is not None and ":" in setup.address.rpartition(":")[0]:
        return f"needs the server at {setup.address}"
    if setup.listen and not target.own:
        return "needs listeners of its own"
    if any(one.address is not None for one in setup.endpoints.values()):
        return "needs endpoints at addresses of their own"
    played = {one for party in setup.endpoints.values() for one in party.transports}
    for step in trace.steps:
        if isinstance(step, Send) and step.transport is not None:
            played.add(step.transport)
    if others := played - {"udp", "tcp"}:
        return f"endpoints that speak {min(others)} are played on the core alone"
    if setup.records:
        return "needs a name server of its own"
    if not target.own:
        if setup.users:
            return f"needs the user {setup.users[0].name} with a password of its own"
        if setup.names:
            return f"needs the name {next(iter(setup.names))} to resolve to an endpoint"
        if setup.route:
            return "needs a route of its own"
        if setup.config:
            return f"needs a configuration of its own ({next(iter(setup.config))})"
        if not target.serves(setup):
            if len(setup.domains) > 1:
                return "needs several domains"
            if any(isinstance(step, Send) and step.file is not None for step in trace.steps):
                return f"its octets name {setup.domains[0]}, which the target does not serve (--domain)"
    for step in trace.steps:
        if isinstance(step, Fault) and step.verb == "duplicate" and step.source == setup.server:
            return "the server's datagrams cannot be doubled"
    if not target.slow and trace.duration > 3.0:
        return f"takes {trace.duration:g} s of real time; run it with --slow"
    return None
