"""One record of a call: a row, or a line of JSON.

Theory of operation: a record has a name of its own, the call's with kind and number behind it. If the result
of a write is unknown, the record is written again, and the name shows that both are the same. Times are Unix
times with microseconds; None means that the event has not happened.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from sansip.modules.calls.tariff import UNIT

if TYPE_CHECKING:
    from sansip.modules.calls import Call

__all__ = ["Kind", "Record", "attempt_of", "kind_of", "line_of", "record_from", "record_of"]

Kind: TypeAlias = Literal["call", "failed", "cancelled", "start", "interim", "attempt"]


@dataclass(slots=True)
class Record:
    """The record of a call.

    Attributes:
        name: of the record; two with one name are one.
        kind: ``call`` (it was answered and has ended), ``failed``, ``cancelled``, ``start`` (it was
            answered), ``interim`` (it goes on), ``attempt`` (one target of its INVITE).
        asked: the Request-URI as it came; ``target``: where it was sent in the end.
        began, rang, answered, ended: Unix times.
        duration: seconds from answer to end, or to the time of an interim record.
        status: the final status of the INVITE; ``ended_by``: caller, callee, server or "".
        gateway: the name of the gateway, "" where none was chosen.
        price: by its tariff, in the unit of ``currency``; None without a tariff.
        fields: header fields and variables that the settings name, as a JSON object.
    """

    name: str
    kind: str
    call_id: str
    caller: str
    callee: str
    asked: str
    target: str
    source: str
    began: float
    rang: float | None
    answered: float | None
    ended: float | None
    duration: float
    status: int
    ended_by: str
    why: str
    fields: str
    gateway: str = ""
    price: float | None = None
    currency: str = ""


# In this order in a line.
_FIELDS: Final = tuple(one.name for one in fields(Record))
_encode: Final = json.JSONEncoder(ensure_ascii=True).encode


def kind_of(call: Call) -> Kind:
    """Return the kind of a call that has ended."""
    if call.answered is not None:
        return "call"
    return "cancelled" if call.status == 487 or (call.ended_by == "caller") else "failed"


def record_of(
    call: Call, kind: Kind, number: int, unix: Callable[[float], float], now: float, noted: Mapping[str, str]
) -> Record:
    """Return the record of ``call`` at ``now``; ``number`` tells interim records of one call apart."""

    # One offset for all: a clock that is set between two of these makes no call longer.
    offset = unix(now) - now
    began, rang, answered, ended = call.began, call.rang, call.answered, call.ended
    end = ended if ended is not None else now
    return Record(
        f"{call.id}.{kind}.{number}" if number else f"{call.id}.{kind}",
        kind,
        call.call_id,
        call.caller,
        call.callee,
        call.asked,
        call.target,
        call.source,
        round(began + offset, 6),
        None if rang is None else round(rang + offset, 6),
        None if answered is None else round(answered + offset, 6),
        None if ended is None else round(ended + offset, 6),
        0.0 if answered is None else round(end - answered, 6),
        call.status,
        call.ended_by,
        call.why,
        json.dumps(noted, ensure_ascii=True) if noted else "{}",
        call.gateway,
        *_price(call, end),
    )


def _price(call: Call, end: float) -> tuple[float | None, str]:
    tariff = call.tariff
    if tariff is None:
        return None, ""
    cost = 0 if call.answered is None else tariff.cost(end - call.answered)
    return cost / UNIT, tariff.currency


def attempt_of(
    call: Call, number: int, target: str, status: int, unix: Callable[[float], float], now: float
) -> Record:
    """Return the record of one target that the INVITE of ``call`` was sent to."""
    record = record_of(call, "attempt", number, unix, now, {})
    record.target, record.status = target, status
    record.ended, record.price, record.why = round(unix(now), 6), None, ""
    return record


def line_of(record: Record) -> str:
    """Return ``record`` as a line of JSON, without its end."""
    values: dict[str, Any] = {name: getattr(record, name) for name in _FIELDS}
    values["fields"] = {} if record.fields == "{}" else json.loads(record.fields)
    # ASCII: text of peers may not be UTF-8, and a line stays a line.
    return _encode(values)


def record_from(line: str) -> Record:
    """Return the record that ``line_of`` made a line of. Raises ``ValueError`` where it is none."""
    values = json.loads(line)
    try:
        values["fields"] = json.dumps(values["fields"], ensure_ascii=True)
        return Record(**values)
    except (TypeError, KeyError) as error:
        raise ValueError(f"no record: {error}") from None
