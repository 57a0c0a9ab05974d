"""The table [accounting]."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from sansip.module import Doc
from sansip.module.settings import FileName
from sansip.wire.abnf import is_token

__all__ = ["AccountingSettings"]


@dataclass(slots=True)
class AccountingSettings:
    """What to record, and where. Raises ``ValueError`` for settings that could not work."""

    to: Annotated[
        Literal["lines", "rows", "stream"],
        Doc(
            "`lines`: JSON lines at the end of `file`; `rows`: the table accounting_records of the store;"
            " `stream`: the Redis stream `stream` at `queue`."
        ),
    ] = "lines"
    file: Annotated[
        str,
        FileName(),
        Doc(
            "Where lines go, relative to the configuration; it may be renamed while the server runs"
            " (logrotate)."
        ),
    ] = "accounting.jsonl"
    queue: Annotated[str, Doc("The Redis of the stream, like `redis://localhost:6379/0`.")] = ""
    stream: Annotated[str, Doc("The name of the stream; in Redis it stands in braces.")] = "sansip:records"
    stream_most: Annotated[
        int, Doc("Entries that the stream keeps about, older ones go; 0: all, the reader trims it.")
    ] = 0
    spool: Annotated[
        str,
        FileName(),
        Doc(
            "A file of this process alone for records that cannot be written meanwhile, relative to the"
            " configuration; `file`.spool without."
        ),
    ] = ""
    spool_size: Annotated[
        int, Doc("Octets that the server reserves for it at the start, so a full disk has room; 0: no spool.")
    ] = 1_048_576
    failed: Annotated[bool, Doc("Record calls that were refused or not answered.")] = True
    cancelled: Annotated[bool, Doc("Record calls that the caller gave up.")] = True
    attempts: Annotated[
        bool, Doc("Record each target that an INVITE was sent to, with its answer: each try of a failover.")
    ] = False
    starts: Annotated[bool, Doc("Record the answer of a call as well, when it is answered.")] = False
    interim: Annotated[float, Doc("Seconds between two records of a call that goes on; 0: none.")] = 0.0
    headers: Annotated[list[str], Doc("Header fields of the INVITE to be recorded.")] = field(
        default_factory=list
    )
    variables: Annotated[list[str], Doc("Variables of the call that routes set (`call.variables`).")] = field(
        default_factory=list
    )
    gather: Annotated[
        float,
        Doc(
            "Seconds in which records are gathered for one write, if one was just before: the 200 to"
            " a BYE waits so much longer at the most. 0: each write begins at once, and costs more."
        ),
    ] = 0.02
    most: Annotated[int, Doc("Records that wait while they cannot be written; older ones are lost.")] = (
        100_000
    )

    def __post_init__(self) -> None:
        if not self.file:
            raise ValueError("file must not be empty")
        if self.interim and not 0.1 <= self.interim < 1e6:
            raise ValueError(f"interim must be 0, or at least 0.1 seconds, got {self.interim:g}")
        if not 0 <= self.gather <= 1:
            raise ValueError(f"gather must be 0 to 1 seconds, got {self.gather:g}")
        if self.to == "stream" and not self.queue.startswith(("redis", "rediss")):
            raise ValueError(f"queue is {self.queue!r}; a stream needs a URL like redis://localhost:6379/0")
        if self.stream_most < 0:
            raise ValueError(f"stream_most must be 0 or more, got {self.stream_most}")
        if self.spool_size and self.spool_size < 4_096:
            raise ValueError(f"spool_size must be 0, or at least 4096 octets, got {self.spool_size}")
        if self.most < 1:
            raise ValueError(f"most must be at least 1, got {self.most}")
        for name in self.headers:
            if not is_token(name):
                raise ValueError(f"headers: {name!r} is not the name of a header field")
