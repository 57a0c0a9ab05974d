"""Events of the module ``lcr``, and its questions to the outside."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FindZone", "GatewayChanged", "LoadRates", "RatesLoaded", "RatesRefused"]


@dataclass(frozen=True, slots=True)
class LoadRates:
    """The question for the packed rates of the file. Answer: ``PackedRates``, or None while they are made.

    ``anew``: read the file again; else the last ones will do. A fault of the file is a ``ValueError``.
    """

    anew: bool = False


@dataclass(frozen=True, slots=True)
class FindZone:
    """The question when the clocks of a time zone change: ((Unix time, seconds ahead of UTC), …).

    A zone that this machine does not know is a ``ValueError``.
    """

    name: str


@dataclass(slots=True)
class GatewayChanged:
    """A gateway is up or down, or rests. ``why`` is for people."""

    name: str
    state: str
    why: str

    def __str__(self) -> str:
        because = f": {self.why}" if self.why else ""
        return f"gateway {self.name} is {self.state}{because}"


@dataclass(slots=True)
class RatesLoaded:
    """The rates of the file are in use."""

    file: str
    rates: int
    prefixes: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.rates:,} rates for {self.prefixes:,} prefixes of {self.file}, in {self.seconds:.1f} s"


@dataclass(slots=True)
class RatesRefused:
    """The file of rates has faults: those before it stay in use."""

    why: str

    def __str__(self) -> str:
        return f"the rates that were loaded before stay: {self.why}"
