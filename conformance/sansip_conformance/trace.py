"""The content of a trace, as values: setup, steps, and the sections that they cite.

Theory of operation: ``sansip_conformance.syntax`` reads a file into these,
``sansip_conformance.player`` acts them out, ``sansip_conformance.ladder`` draws
them. A trace is complete in itself: the lines of its file for all traces are copied into each.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = [
    "HTTP",
    "MSRP",
    "Block",
    "EndpointSetup",
    "Expect",
    "ExpectNothing",
    "Fault",
    "Line",
    "Registration",
    "Send",
    "Setup",
    "Step",
    "Trace",
    "User",
]

# What an endpoint may speak beside SIP: MSRP, with or without TLS, and HTTP.
MSRP = ("msrp", "msrps")
HTTP = "http"


@dataclass(slots=True)
class EndpointSetup:
    """One endpoint. ``transports``: it sends by the first. ``address`` None: chosen for it."""

    name: str
    transports: list[str]
    address: str | None = None
    aor: str | None = None


@dataclass(slots=True)
class Registration:
    """``register bob …``: bob registers before the trace begins."""

    endpoint: str
    aor: str | None
    headers: list[tuple[str, str]]
    contact_params: str
    line: int


@dataclass(slots=True)
class User:
    """``user alice PASSWORD``: a user that the server authenticates. ``realm`` None: the first domain."""

    name: str
    password: str
    realm: str | None = None


@dataclass(slots=True)
class Setup:
    """Everything that stands before the first step."""

    server: str = "proxy"
    transports: list[str] = field(default_factory=lambda: ["udp", "tcp"])
    address: str | None = None
    # (transport, host, port), in place of ``transports`` at ``address``
    listen: list[tuple[str, str, int]] = field(default_factory=list)
    domains: list[str] = field(default_factory=list)
    endpoints: dict[str, EndpointSetup] = field(default_factory=dict)
    registrations: list[Registration] = field(default_factory=list)
    users: list[User] = field(default_factory=list)
    config: dict[str, str] = field(default_factory=dict)
    # module -> its settings
    modules: dict[str, dict[str, str]] = field(default_factory=dict)
    route: str = ""
    names: dict[str, list[str]] = field(default_factory=dict)
    # (name, type, data) of a zone; "silent" or "failing" as the type: how its servers behave
    records: list[tuple[str, str, str]] = field(default_factory=list)
    # name -> a text for bodies and paths
    texts: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Line:
    """One line of a message block. ``kind`` is "header", "absent", "contains", "lacks", "count",
    "like", "credentials", "start" or "comment"."""

    kind: str
    name: str
    value: str
    line: int


@dataclass(slots=True)
class Block:
    """The indented message below a step."""

    lines: list[Line] = field(default_factory=list)
    body: str | None = None
    raw: str = ""


@dataclass(slots=True)
class Step:
    """Common to all steps. ``at`` is absolute, ``after`` relative to the step before."""

    line: int
    at: float | None = None
    after: float | None = None
    rfc: tuple[str, ...] = ()


@dataclass(slots=True)
class Send(Step):
    """``alice > proxy …``. ``verb`` is "request", "response", "raw", "again", "connect", "close"."""

    source: str = ""
    verb: str = "request"
    what: str = ""
    uri: str | None = None
    reason: str | None = None
    transport: str | None = None
    to: str | None = None
    name: str | None = None
    in_dialog: bool | None = None
    split: int = 0
    file: str | None = None
    block: Block = field(default_factory=Block)


@dataclass(slots=True)
class Expect(Step):
    """``proxy > bob expect …``."""

    endpoint: str = ""
    what: str = ""
    uri: str | None = None
    transport: str | None = None
    name: str | None = None
    again: bool = False
    optional: bool = False
    or_nothing: bool = False
    within: float | None = None
    block: Block = field(default_factory=Block)


@dataclass(slots=True)
class ExpectNothing(Step):
    """``proxy > bob expect nothing until @32``. ``until`` None: nothing that is already there."""

    endpoints: list[str] = field(default_factory=list)
    until: float | None = None
    duration: float | None = None


@dataclass(slots=True)
class Fault(Step):
    """``drop next proxy > bob``, ``unreachable bob``, ``refuse bob``, ``wait``."""

    verb: str = ""
    source: str = ""
    destination: str = ""
    count: int = 1


@dataclass(slots=True)
class Trace:
    """One trace.

    Attributes:
        name: unique within its suite, a slug.
        title: one sentence.
        suite: the file's name without its ending.
        path: where it came from.
        line: where it begins.
        rfc: sections cited by the whole trace, as "RFC 3261 16.6 step 3".
        level: "MUST", "SHOULD", "MAY", or "policy" for a choice of ours.
        covers: requirement numbers (see conformance/README.md).
        tolerance: seconds that a message may be early or late.
        loose: the trace leaves some messages open, and they do not fail it.
    """

    name: str
    title: str
    suite: str
    path: str
    line: int
    rfc: tuple[str, ...] = ()
    level: str = "MUST"
    covers: tuple[str, ...] = ()
    loose: bool = False
    tolerance: float = 0.0
    setup: Setup = field(default_factory=Setup)
    steps: list[Step] = field(default_factory=list)
    needs: list[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        """``suite/name``."""
        return f"{self.suite}/{self.name}"

    @property
    def sections(self) -> list[str]:
        """Every section cited, by the trace and by its steps."""
        cited = dict.fromkeys(self.rfc)
        for step in self.steps:
            cited.update(dict.fromkeys(step.rfc))
        return list(cited)

    @property
    def duration(self) -> float:
        """Seconds of trace time, as far as its steps tell."""
        now = 0.0
        for step in self.steps:
            if step.at is not None:
                now = max(now, step.at)
            elif step.after is not None:
                now += step.after
            if isinstance(step, Expect) and step.within is not None:
                now += step.within
            elif isinstance(step, ExpectNothing):
                if step.until is not None:
                    now = max(now, step.until)
                elif step.duration is not None:
                    now += step.duration
        return now
