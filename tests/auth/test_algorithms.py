"""Digest computations against every vector of the conformance data (RFC 2617, 7616, 8760)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sansip.auth import compute_response, ha1, session_key

FILE = Path(__file__).parents[2] / "conformance/sansip_conformance/data/vectors/digest.json"
VECTORS: list[dict[str, Any]] = json.loads(FILE.read_text("utf-8"))["vectors"]


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["id"] for vector in VECTORS])
def test_vector(vector: dict[str, Any]) -> None:
    """RFC 7616 3.4.1: HA1 and response as published or computed."""
    algorithm = vector.get("algorithm") or "MD5"
    base = ha1(vector["username"], vector["realm"], vector["password"], algorithm)
    key = base
    if algorithm.lower().endswith("-sess"):
        assert base == vector.get("ha1_base", base)
        key = session_key(base, vector["nonce"], vector["cnonce"], algorithm)
    assert key == vector["ha1"]
    response = compute_response(
        base,
        vector["method"],
        vector["uri"],
        vector["nonce"],
        algorithm=vector.get("algorithm"),
        qop=vector.get("qop"),
        nc=vector.get("nc") or "",
        cnonce=vector.get("cnonce") or "",
        body=(vector.get("body") or "").encode(),
    )
    assert response == vector["response"]


def test_unknown_algorithm() -> None:
    """RFC 7616 3.3: an algorithm that is not understood cannot be computed with."""
    with pytest.raises(ValueError, match="SHA-256"):
        ha1("u", "r", "p", "SHA-3")
