"""Rows from a CSV file: every fault has its line and column, and no bad file gives a row."""

from __future__ import annotations

import pytest

from sansip.module.table_file import RowsFile, TableFault, read_rows, rows_files
from sansip.modules.aliases import AliasesSettings
from sansip.modules.dispatcher import Destination, DispatcherSettings

GOOD = """# our gateways
uri,weight,group,probe

sip:192.0.2.1,3,"far, away",no
sip:192.0.2.2,,,
"""


def test_rows() -> None:
    """Columns in any order, defaults for empty cells, commas in quotes, comments."""
    assert read_rows(Destination, GOOD) == [
        Destination("sip:192.0.2.1", "far, away", 3, probe=False),
        Destination("sip:192.0.2.2"),
    ]
    assert read_rows(Destination, "") == []
    # RFC 4180 2.7
    assert read_rows(Destination, 'uri,group\nsip:a,"a ""b"""\n')[0].group == 'a "b"'


@pytest.mark.parametrize(
    ("text", "line", "column", "said"),
    [
        ("uri,wait\n", 1, 5, "no column 'wait'; expected names of uri, group"),
        ("uri,uri\n", 1, 5, "stands twice"),
        ("weight\n1\n", 1, 1, "the column uri is missing"),
        ("uri,weight\nsip:a,x\n", 2, 7, "weight is 'x'; expected a whole number"),
        ("uri,weight\nsip:a,1.5\n", 2, 7, "expected a whole number"),
        ("uri,weight\nsip:a," + "9" * 300 + "\n", 2, 7, "expected a whole number"),
        ("uri,probe\nsip:a,maybe\n", 2, 7, "expected true or false"),
        ("uri,weight\nsip:a,-1\n", 2, 7, "weight must be 0 to 1,000,000"),
        ("uri,weight\nsip:a\n", 2, 1, "expected 2 cells, found 1"),
        ("uri\nsip:a,2\n", 2, 7, "expected 1 cells, found 2"),
        ("weight,uri\n1,mailto:x\n", 2, 3, "is no SIP URI"),
        ("uri\n\nsip:a\n,\n", 4, 2, "expected 1 cells"),
        ("uri,group\n,x\n", 2, 1, "uri must not be empty"),
        ('uri\n"sip:a\n', 2, 1, 'no " at its end'),
        ('uri\n"sip:a"b\n', 2, 8, "expected a comma"),
        ("uri\nsip:a\nsip:a\n", 3, 1, "stands in line 2 already"),
    ],
)
def test_faults(text: str, line: int, column: int, said: str) -> None:
    """Each error names the place and the expected value."""
    with pytest.raises(TableFault) as caught:
        read_rows(Destination, text, ("group", "uri"))
    assert (caught.value.line, caught.value.column) == (line, column), caught.value
    assert said in caught.value.problem


def test_long_lines_cost_linear_time() -> None:
    """A million quotes or commas are read once."""
    for text in ("uri\n" + "," * 1_000_000, 'uri\n"' + '""' * 500_000, "uri\n" + "x" * 1_000_000):
        with pytest.raises(TableFault):
            read_rows(Destination, text)


def test_marks() -> None:
    """The settings that name such a file say which of them takes the rows."""
    ((name, (mark, kind)),) = rows_files(DispatcherSettings).items()
    assert (name, mark, kind) == ("file", RowsFile("destinations", ("group", "uri")), Destination)
    assert list(rows_files(AliasesSettings)) == ["file"]
    assert rows_files(Destination) == {}
