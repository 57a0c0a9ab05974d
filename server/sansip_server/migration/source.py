"""Another server's database, read table by table.

Theory of operation: an SQLite file is read by ``sqlite3`` alone, every other database by
SQLAlchemy and whichever driver is installed. Tables are read whole and by name. A missing table
or column is no error, because no two installations have the same ones.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sansip_server.faults import OperatorError
from sansip_server.targets import shown

__all__ = ["Source"]

# As Kamailio's DBURL begins, and what SQLAlchemy calls the same.
_DRIVERS = {
    "mysql": "mysql+pymysql",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
}
_PACKAGES = {"pymysql": "pymysql", "psycopg": "'sansip[postgresql]'", "sqlalchemy": "'sansip[postgresql]'"}


class Source:
    """The database at ``url``: ``sqlite:///path``, ``postgres://…``, ``mysql://…`` or the path of a file.

    Raises OperatorError if it cannot be opened or read.
    """

    def __init__(self, url: str) -> None:
        self.name = shown(url)
        self._file: sqlite3.Connection | None = None
        scheme, separator, rest = url.partition("://")
        if not separator or scheme == "sqlite":
            # sqlite:////absolute/path and sqlite:///relative, as SQLAlchemy has it.
            path = Path(rest.removeprefix("/") if separator else url)
            if not path.is_file():
                raise OperatorError(f"--db {self.name}: there is no file {path}")
            try:
                self._file = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
                rows = self._file.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
                self.tables = {str(name) for (name,) in rows}
            except sqlite3.Error as error:
                raise OperatorError(f"--db {self.name}: {error}") from None
            self._file.row_factory = sqlite3.Row
            return
        try:
            import sqlalchemy as sa

            self._engine = sa.create_engine(f"{_DRIVERS.get(scheme, scheme)}://{rest}")
            self.tables = set(sa.inspect(self._engine).get_table_names())
        except ModuleNotFoundError as error:
            package = _PACKAGES.get(error.name or "", error.name)
            raise OperatorError(
                f"--db {self.name}: {error.name} is not installed; pip install {package}"
            ) from None
        except (sa.exc.SQLAlchemyError, ValueError) as error:
            raise OperatorError(f"--db {self.name}: {str(error).splitlines()[0]}") from None

    @property
    def is_file(self) -> bool:
        """Whether it is an SQLite file."""
        return self._file is not None

    def rows(self, table: str) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of ``table``, in its order; nothing if there is no such table."""
        if table not in self.tables:
            return
        try:
            if self._file is not None:
                for row in self._file.execute(f'SELECT * FROM "{table}"'):
                    yield dict(row)
                return
            import sqlalchemy as sa

            with self._engine.connect() as connection:
                statement = sa.select(sa.text("*")).select_from(sa.table(table))
                for found in connection.execute(statement).mappings():
                    yield dict(found)
        except Exception as error:
            raise OperatorError(f"--db {self.name}, table {table}: {str(error).splitlines()[0]}") from None

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        else:
            self._engine.dispose()
