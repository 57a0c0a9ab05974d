"""The user that a phone token proves: an address, for the wanted scope; a bare name proves none."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest

from sansip.auth import ShownToken
from sansip_server.bearer import Bearer, open_bearer
from sansip_server.config.bearer import BearerSettings
from sansip_server.faults import OperatorError
from tests.server.http.test_access import made

AUTHORITY = "https://as.test/"


def signed(keys: Path, **claims: Any) -> str:
    (entry,) = json.loads(keys.read_text())["keys"]
    given = {"aud": "sip", "exp": int(time.time()) + 60, "scope": "calls", **claims}
    return jwt.encode(given, jwt.PyJWK(entry, "EdDSA"), algorithm="EdDSA", headers={"kid": entry["kid"]})


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"sub": "alice@Biloxi.test"}, {"user": "alice@biloxi.test"}),
        ({"sub": "sip:alice@biloxi.test"}, {"user": "alice@biloxi.test"}),
        ({"sub": "alice@biloxi.test", "scope": "video calls"}, {"user": "alice@biloxi.test"}),
        ({"sub": "alice"}, {"error": "invalid_token"}),
        ({"sub": ["alice@biloxi.test"]}, {"error": "invalid_token"}),
        ({"sub": "alice@biloxi.test\r\nX: y"}, {"error": "invalid_token"}),
        ({"sub": "alice@biloxi.test;x=1"}, {"error": "invalid_token"}),
        ({"sub": "alice@biloxi.test", "scope": "call"}, {"error": "invalid_scope"}),
        ({"sub": "alice@biloxi.test", "scope": ["calls"]}, {"error": "invalid_scope"}),
        # A token for HTTP is none for calls.
        ({"sub": "alice@biloxi.test", "aud": "sansip"}, {"error": "invalid_token"}),
    ],
)
def test_claims(tmp_path: Path, claims: dict[str, Any], said: dict[str, str]) -> None:
    keys = tmp_path / "keys.json"
    made(keys)
    judge = Bearer(BearerSettings(authz_server=AUTHORITY, keys=str(keys), scope="calls"))
    answer = judge.handlers[ShownToken](ShownToken(signed(keys, **claims)))
    answer.pop("reason", None)
    assert answer == said


def test_where_it_is_not_to_be(tmp_path: Path) -> None:
    """Without a server of tokens there is nothing to judge; without passwords the error names them."""
    assert open_bearer(BearerSettings(), "none") is None
    with pytest.raises(OperatorError, match='set auth = "digest"'):
        open_bearer(BearerSettings(authz_server=AUTHORITY, keys="keys.json"), "none")
    with pytest.raises(OperatorError, match=r"bearer\.keys: .*no such file"):
        open_bearer(BearerSettings(authz_server=AUTHORITY, keys=str(tmp_path / "none")), "digest")
