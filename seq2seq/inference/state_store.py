"""Stores the states of a session in an SQLite file."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from seq2seq.errors import UserError

_TABLES = (
    "CREATE TABLE IF NOT EXISTS about (model TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS states (source TEXT PRIMARY KEY, state BLOB NOT NULL)",
)


class StateStore:
    """Stores the states of the sources of one model, see `Session`.

    Each `write` is one transaction, so a crash leaves all old states or all new ones. Several
    processes may use one file.

    Args:
        path: The file; created if it does not exist.

    Raises:
        UserError: If the file cannot be opened, or is not a store of states.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with self._transaction() as connection:
            for table in _TABLES:
                connection.execute(table)

    def write(self, states: Mapping[str, bytes | None], model: str) -> None:
        """Writes states by source; None removes the state. `model` identifies the model.

        Raises:
            UserError: If the store belongs to another model, or cannot be written.
        """
        with self._transaction() as connection:
            self._check(connection, model)
            connection.execute(
                "INSERT INTO about SELECT ? WHERE NOT EXISTS (SELECT * FROM about)", (model,)
            )
            connection.executemany(
                "REPLACE INTO states VALUES (?, ?)",
                ((source, state) for source, state in states.items() if state is not None),
            )
            connection.executemany(
                "DELETE FROM states WHERE source = ?",
                ((source,) for source, state in states.items() if state is None),
            )

    def read(self, sources: Iterable[str] | None, model: str) -> dict[str, bytes]:
        """Returns the stored states of the given sources, or of all.

        Raises:
            UserError: If the store belongs to another model, or cannot be read.
        """
        with self._transaction() as connection:
            self._check(connection, model)
            if sources is None:
                return dict(connection.execute("SELECT source, state FROM states"))
            query = "SELECT source, state FROM states WHERE source = ?"
            rows = (connection.execute(query, (source,)).fetchone() for source in sources)
            return dict(row for row in rows if row is not None)

    def _check(self, connection: sqlite3.Connection, model: str) -> None:
        row = connection.execute("SELECT model FROM about").fetchone()
        if row is not None and row[0] != model:
            raise UserError(
                f"{self.path}: holds states of another model or other weights; use another file"
            )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")  # otherwise rolled back
        except sqlite3.Error as error:
            raise UserError(
                f"{self.path}: cannot be used as a store of states ({error})"
            ) from error
