"""Numbers, domains and voicemail over workers: each caller is served alike, whichever worker has the call."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.interop.conftest import TARGET
from tests.interop.siege import request
from tests.interop.test_workers_routing import DOMAIN, call, config, farm, spread
from tests.interop.workers import Crew, heard

pytestmark = [
    pytest.mark.skipif(TARGET != "sansip", reason="workers are sansip's"),
    pytest.mark.skipif(sys.platform != "linux", reason="workers need Linux"),
]
# Of which some go to each of two workers.
CALLS = 12


def test_a_domain_that_is_added_and_removed(tmp_path: Path) -> None:
    """An operator's word reaches all workers before the command ends; and a worker that starts later."""
    added = "support.example.com"
    with Crew(tmp_path, transports=("udp",), config="[tenants]\n") as crew:

        def answers() -> set[str]:
            lines = crew.lines(CALLS)
            for line in lines:
                line.send(
                    request("INVITE", f"sip:nobody@{added}", line, lines=["Contact: <sip:e@192.0.2.9>"])
                )
            return {heard(line).what for line in lines}

        assert answers() == {"403"}
        crew.ctl("tenants.add", added)
        assert answers() == {"404"}
        crew.kill(1)
        assert answers() == {"404"}
        crew.ctl("tenants.remove", added)
        assert answers() == {"403"}


def test_numbers_as_people_dial_them(tmp_path: Path) -> None:
    """Each worker asks the library of numbers by itself."""
    with (
        farm(1) as (server,),
        Crew(tmp_path, transports=("udp",), config=config([server]) + '[e164]\nregion = "DE"\n') as crew,
    ):
        lines = spread(crew, server, CALLS)
        for line in lines:
            call(line, "03023125000")
            assert heard(line).what == "180"
        users = [message.start.split()[1].partition("@")[0] for _, message in server.all("INVITE")]
        assert users == ["sip:+493023125000"] * CALLS


def test_voicemail(tmp_path: Path) -> None:
    """A phone registered at one worker declines calls of both; the voicemail server gets each, once."""
    with farm(2) as (server, bob):
        text = f'[voicemail]\nuri = "{server.uri}"\nafter = 25\n'
        with Crew(tmp_path, transports=("udp",), config=text) as crew:
            # Nobody is registered at the number that these call.
            lines = spread(crew, server, CALLS)
            contact = f"<sip:bob@127.0.0.1:{bob.port}>"
            assert crew.register("bob", lines[0], contact=contact) == "200"
            bob.status["INVITE"] = "480 Temporarily Unavailable"
            for line in lines:
                call(line, "bob")
                assert heard(line).what == "180"
            assert len(bob.all("INVITE")) == CALLS
            users = [message.start.split()[1].partition("@")[0] for _, message in server.all("INVITE")]
            assert users == ["sip:bob"] * CALLS
            assert DOMAIN in bob.all("INVITE")[0][1].get("to")
