"""XCAP on a running server, by curl and a raw client: rules and watchers with PJSIP, restarts, races."""

from __future__ import annotations

import importlib.util
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.interop.siege import LOCAL, Siege
from tests.interop.test_module_presence import RULES, ctl, phone
from tests.interop.xcap_client import Raw
from tests.missing import missing
from tools.peers import free_port
from tools.redises import redis_server

pytestmark = [pytest.mark.interop, pytest.mark.needs("curl")]

DOMAIN, PASSWORD = "siege.test", "wonderland"
USERS = {f"{user}@{DOMAIN}": PASSWORD for user in ("alice", "bob")}
BOB = f"sip:bob@{DOMAIN}"
RULES_TYPE, LISTS_TYPE = "application/auth-policy+xml", "application/resource-lists+xml"
ELEMENT = "application/xcap-el+xml"
LISTS = b"""<?xml version="1.0" encoding="UTF-8"?>
<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists">
 <list name="l">
  <entry uri="sip:a@example.com"/> <!-- kept -->
 </list>
</resource-lists>
"""


def config(http: int) -> str:
    return (
        f'control = "ctl.sock"\n[http]\nlisten = ["http:{LOCAL}:{http}"]\n[documents]\n[events]\n[lists]\n'
        "[presence]\ninterval = 0.2\nburst = 20\n[publications]\n"
        "[xcap]\nrate = 1000\noctets = 1_000_000_000\n"
    )


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as one:
        yield one


def test_rules_by_put_and_the_watcher_at_once(tmp_path: Path, stack: ExitStack) -> None:
    """Bob's phone publishes, alice's phone watches; bob's PUTs decide what it shows, without a delay."""
    if importlib.util.find_spec("pjsua2") is None:
        missing("pjsua2 is not installed (pip install pjsua2-python)")
    http = free_port()
    server = stack.enter_context(
        Siege(tmp_path, domain=DOMAIN, config=config(http), users=USERS, transports=("udp", "tcp"))
    )
    xcap = Raw((LOCAL, http), "bob", PASSWORD)
    bob = phone(stack, tmp_path, server, "bob")
    alice = phone(stack, tmp_path, server, "alice", "bob")
    bob.tell("busy")
    alice.hear(r"^buddy ACTIVE 1 2 Busy")
    path = f"/xcap-root/pres-rules/users/{BOB}/index"
    assert xcap("PUT", path, RULES.format("polite-block").encode(), RULES_TYPE).status == 201
    alice.hear(r"^buddy ACTIVE 2 ")
    node = "~~/c:ruleset/c:rule%5B@id=%22a%22%5D/c:actions/sub-handling"
    query = "?xmlns(c=urn:ietf:params:xml:ns:common-policy)"
    handling = b"<pr:sub-handling>%s</pr:sub-handling>"
    assert xcap("PUT", f"{path}/{node}{query}", handling % b"allow", ELEMENT).status == 200
    alice.hear(r"^buddy ACTIVE 1 2 Busy")
    assert xcap("PUT", f"{path}/{node}{query}", handling % b"block", ELEMENT).status == 200
    alice.hear(r"^buddy (TERMINATED|NULL)")


def test_the_recipe_of_the_page(tmp_path: Path, stack: ExitStack) -> None:
    """docs/modules/xcap.md: its configuration and its commands, as they stand but for names and ports."""
    page = (Path(__file__).parents[2] / "docs/modules/xcap.md").read_text()
    http = free_port()
    text = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)[0]
    text = text.replace('domains = ["example.com"]\n', "").replace("127.0.0.1:8080", f"{LOCAL}:{http}")
    users = {"bob@example.com": "secret"}
    stack.enter_context(Siege(tmp_path, domain="example.com", config=text, users=users, transports=("udp",)))
    block = re.findall(r"```console\n(\$ cat rules.*?)```", page, re.DOTALL)[0]
    rules = re.findall(r"\$ cat rules.xml\n(.*?)\$ root", block, re.DOTALL)[0]
    (tmp_path / "rules.xml").write_text(rules)
    commands = block[block.index("$ root") :].replace("127.0.0.1:8080", f"{LOCAL}:{http}")
    lines = [line for line in commands.splitlines() if line.startswith(("$ ", "    "))]
    script = "\n".join(line.removeprefix("$ ") for line in lines).replace("curl ", "curl -sS --fail ")
    done = subprocess.run(
        ["bash", "-e", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "<pr:sub-handling>polite-block</pr:sub-handling>"), (
        done.stderr
    )


def test_octets_restart_and_kill(tmp_path: Path, stack: ExitStack) -> None:
    """What was acknowledged is there after kill -9, octet for octet and with its tag."""
    http, ports = free_port(), {"udp": free_port()}
    options: dict[str, Any] = {
        "domain": DOMAIN, "config": config(http), "users": USERS, "transports": ("udp",), "ports": ports
    }  # fmt: skip
    server = Siege(tmp_path, **options)
    xcap = Raw((LOCAL, http), "bob", PASSWORD)
    path = f"/xcap-root/resource-lists/users/{BOB}/index"
    assert xcap("PUT", path, LISTS, LISTS_TYPE, If_None_Match="*").status == 201
    place = f"{path}/~~/resource-lists/list%5B1%5D/entry%5B@uri=%22sip:b@example.com%22%5D"
    put = xcap("PUT", place, b'<entry uri="sip:b@example.com"/>', ELEMENT)
    assert put.status == 201
    head = xcap("HEAD", path)
    assert (head.status, head.etag, head.body) == (200, put.etag, b"")
    server.program.process.send_signal(signal.SIGKILL)
    server.program.process.wait()
    xcap.close()
    stack.enter_context(Siege(tmp_path, **options))
    got = xcap("GET", path)
    wanted = LISTS.replace(b'a@example.com"/>', b'a@example.com"/><entry uri="sip:b@example.com"/>')
    assert (got.status, got.body, got.etag) == (200, wanted, put.etag)
    assert int(head.fields["content-length"]) == len(wanted)
    assert xcap("GET", path, If_None_Match=put.etag).status == 304
    assert xcap("DELETE", place, If_Match='"other"').status == 412
    assert xcap("DELETE", place, If_Match=put.etag).status == 200
    assert xcap("GET", path).body == LISTS
    assert ctl(tmp_path, "xcap.list", f"user={BOB}")[0]["octets"] == len(LISTS)


@pytest.mark.parametrize("nodes", [1, 2])
def test_eight_at_once(tmp_path: Path, stack: ExitStack, nodes: int) -> None:
    """Eight clients with one entity-tag, ten times over: exactly one wins; also at two nodes with a Redis."""
    rows = ""
    if nodes > 1:
        if shutil.which("redis-server") is None:
            missing("redis-server is not installed (apt install redis-server)")
        redis = free_port()
        stack.callback(redis_server(tmp_path / "redis", redis).stop)
        rows = f'rows = "redis://{LOCAL}:{redis}/0"\n'
    places = []
    for node in range(nodes):
        places.append((LOCAL, free_port()))
        folder = tmp_path / str(node)
        folder.mkdir()
        text = rows + config(places[-1][1])
        stack.enter_context(Siege(folder, domain=DOMAIN, config=text, users=USERS, transports=("udp",)))
    clients = [Raw(places[number % nodes], "bob", PASSWORD) for number in range(8)]
    path = f"/xcap-root/resource-lists/users/{BOB}/index"
    tag = clients[0]("PUT", path, LISTS, LISTS_TYPE).etag
    for one in clients:
        assert one("GET", path).status == 200
    for _ in range(10):
        answers: dict[int, Any] = {}

        def ask(number: int, tag: str = tag, answers: dict[int, Any] = answers) -> None:
            body = LISTS.replace(b"kept", b"from %d" % number)
            answers[number] = clients[number]("PUT", path, body, LISTS_TYPE, If_Match=tag)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for one_thread in threads:
            one_thread.start()
        for one_thread in threads:
            one_thread.join(30)
        assert sorted(answer.status for answer in answers.values()) == [200] + [412] * 7
        (winner,) = (number for number, answer in answers.items() if answer.status == 200)
        # Also at the node that did not write it.
        got = clients[winner - 1]("GET", path)
        assert b"from %d" % winner in got.body
        tag = got.etag
        assert tag == answers[winner].etag
