"""Numbers get their international form, and their country and carrier are known."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from sansip.modules.e164 import E164, E164Settings, FindNumber
from sansip.testing import ModuleBench, check_module
from sansip_server.faults import OperatorError
from sansip_server.numbers import E164Part

MOBILE = "0151 12345678"


def bench(**options: Any) -> ModuleBench[E164]:
    settings = E164Settings("DE", **options)
    return ModuleBench(E164, settings, answers={FindNumber: E164Part(settings).find})


def test_contract() -> None:
    """What every module promises."""
    check_module(E164)


def test_known() -> None:
    """What the numbering plans say; the same number is asked for once."""
    one = bench()
    found = one.command("e164.try", number=MOBILE)
    assert found == {
        "e164": "+4915112345678",
        "valid": True,
        "country": 49,
        "region": "DE",
        "kind": "mobile",
        "carrier": "T-Mobile",
    }
    assert one.command("e164.try", number="+44 20 7946 0148")["region"] == "GB"
    assert one.command("e164.try", number="020 7946 0148", region="GB")["e164"] == "+442079460148"
    one.command("e164.try", number=MOBILE)
    assert one.module.figures() == {"known": 3}
    assert "no number of DE" in str(one.command("e164.try", number="bob"))
    assert "no number of DE" in str(one.command("e164.try", number="9" * 300))


def test_calls() -> None:
    """Valid numbers leave in international form; names and extensions stay."""
    one = bench()
    assert one.call("030-23125000") == ["404 Not Found"]
    assert one.figure("rewritten") == {(): 1}
    for user in ("bob", "4711", "+4930x", "0" * 40):
        assert one.call(user) == ["404 Not Found"]
    assert one.figure("rewritten") == {(): 1}
    other = bench(rewrite="nothing")
    other.call("030-23125000")
    assert other.module.figures() == {"known": 0}


def test_the_library_fails() -> None:
    """A library that fails or hangs costs its number its form, and no call."""
    one: ModuleBench[E164] = ModuleBench(E164, E164Settings("DE"))
    assert one.call("030-23125000") == ["404 Not Found"]
    assert one.failures


def test_wrong_settings() -> None:
    """A region that is none is refused, by its form here and by the library there."""
    with pytest.raises(ValueError, match="region is 'Germany'"):
        E164Settings("Germany")
    with pytest.raises(OperatorError, match="e164: region: no numbering plan of XX"):
        E164Part(E164Settings("XX"))


def test_the_library_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """`sansip check` names the pip command, and not only the start at night."""
    monkeypatch.setitem(sys.modules, "phonenumbers", None)
    assert E164Part.faults(E164Settings("DE")) == ["it needs phonenumbers; pip install 'sansip[e164]'"]
