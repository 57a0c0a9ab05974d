"""XML of strangers: bombs and broken documents cost little and are refused, with words."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from sansip.module.xml import attribute, local_name, namespace, read_xml, text, write_xml

BOMB = b"""<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><lolz>&c;</lolz>"""
EXTERNAL = b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><x>&f;</x>'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<",
        b"<a>",
        b"<a></b>",
        b"<a x=1/>",
        b"<a>\x00</a>",
        b"\xff\xfe",
        BOMB,
        EXTERNAL,
        BOMB.decode().replace('version="1.0"', 'version="1.0" encoding="utf-16"').encode("utf-16"),
        b"<a>&undefined;</a>",
        b"<a:b/>",
        b"<a>" * 1000 + b"</a>" * 1000,
        b"<a>" + b"<b/>" * 5000 + b"</a>",
        b"<a " + b" ".join(b'x%d="1"' % number for number in range(6000)) + b"/>",
        b"<a>" + b"x" * 70_000 + b"</a>",
        "<a>\ud800</a>".encode("utf-8", "surrogatepass"),
        # Its octets show less than it holds.
        b'<?xml version="1.0" encoding="UTF-7"?><a>' + b"+ADw-a+AD4-" * 100 + b"+ADw-/a+AD4-" * 100 + b"</a>",
    ],
)
def test_refused(body: bytes) -> None:
    """Each raises ``ValueError`` with a few words, and no file is read."""
    with pytest.raises(ValueError, match=r"^.{3,60}$"):
        read_xml(body)


def test_read_and_written() -> None:
    """An element is written with the namespaces that it needs, wherever they were declared."""
    root = read_xml(
        b'<?xml version="1.0"?><!-- c --><a xmlns="urn:a" xmlns:b="urn:b"><b:c d="1">t</b:c> tail</a>'
    )
    (child,) = root
    assert (local_name(child), namespace(child), namespace(root)) == ("c", "urn:b", "urn:a")
    again = read_xml(write_xml(child))
    assert (again.tag, again.text, again.get("d")) == ("{urn:b}c", "t", "1")


@pytest.mark.parametrize("value", ["plain", "<&>\"'", "\x00\x1b\ud800", "\t\r\n", 7, "ü漢😀", "]]>"])
def test_written_text(value: Any) -> None:
    """For any address of a peer, the document that we write is well-formed and says the same."""
    root = read_xml(f"<a b={attribute(value)}>{text(value)}</a>".encode())
    wanted = "".join("?" if one in "\x00\x1b\ud800" else one for one in str(value))
    assert root.get("b") == wanted
    assert root.text == wanted.replace("\r\n", "\n").replace("\r", "\n")


# In a process of its own, whose memory nobody else uses.
FLOOD = """
from sansip.module.xml import read_xml
def used():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
read_xml(b"<a/>")
begun = used()
kept = read_xml(b"<kept><inner x='1'/></kept>")
for number in range(4000):
    read_xml(b"<a>" + b"".join(b"<n%dx%d/>" % (number, one) for one in range(300)) + b"</a>")
kept.append(read_xml(b"<other/>"))
assert [one.tag for one in kept.iter()] == ["kept", "inner", "other"]
print(used() - begun)
"""


def test_names_are_forgotten() -> None:
    """A stranger writes 1,200,000 names that nobody wrote before: they took 45 MB for ever."""
    done = subprocess.run(
        [sys.executable, "-c", FLOOD], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(done.stdout) < 12_000_000
