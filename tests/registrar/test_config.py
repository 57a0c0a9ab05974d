"""A policy that could not work is refused when it is made."""

from __future__ import annotations

import pytest

from sansip.registrar import RegistrarConfig


def test_the_defaults_work():
    """The defaults are those of the documentation."""
    config = RegistrarConfig()

    assert (config.default_expires, config.min_expires, config.max_expires) == (3600, 10, 86400)
    # sipsak asks for 15 s, and a call should not go out in 32 copies.
    assert (config.max_contacts, config.on_full, config.path_from) == (10, "refuse", "trusted")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"min_expires": 7200}, "min_expires"),
        ({"max_expires": 60}, "max_expires"),
        ({"max_expires": 2**32}, "max_expires"),
        ({"min_expires": -1}, "min_expires"),
        ({"min_expires": 0, "default_expires": 0}, "default_expires"),
        ({"max_contacts": 0}, "max_contacts"),
        ({"retry_after": 0}, "retry_after"),
        ({"repeat_time": -1}, "repeat_time"),
        ({"path": "maybe"}, "path"),
        ({"on_full": "panic"}, "on_full"),
        ({"path_from": "nobody"}, "path_from"),
    ],
)
def test_the_message_names_the_key(fields, named):
    """The author of the configuration learns what to change."""
    with pytest.raises(ValueError, match=named):
        RegistrarConfig(**fields)
