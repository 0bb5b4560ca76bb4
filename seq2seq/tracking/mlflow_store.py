"""Opens MLflow stores: resolves their address, checks that they answer, turns off MLflow's log."""

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import sqlalchemy
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from seq2seq.errors import UserError
from seq2seq.files import sync

DEFAULT_DATABASE = "mlflow.db"
DATABASE_SCHEMES = ("sqlite", "postgresql", "mysql", "mssql")

# Seconds and retries of one request to a tracking server. MLflow's own (120 s, 7 retries) would
# hold up a training for minutes. Variables that the user has set take precedence.
FIRST_CONTACT = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "5", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
LATER_CONTACT = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "20", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}


def resolve_uri(tracking_uri: str | None) -> str:
    """Returns the address of a store, with an absolute path if it is a SQLite file.

    The default is that of the variable `MLFLOW_TRACKING_URI`, or else `mlflow.db` in the current
    folder.
    """
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{DEFAULT_DATABASE}"
    database = sqlite_file(uri)
    return uri if database is None else f"sqlite:///{database}"


def sqlite_file(uri: str) -> Path | None:
    """Returns the absolute path of a URI's database, or None if it is no plain SQLite file."""
    path = uri.removeprefix("sqlite:///")
    is_file = path not in (uri, "", ":memory:") and "?" not in path
    return Path(path).absolute() if is_file else None


def without_password(uri: str) -> str:
    """Masks the password of a URI, for printing."""
    try:
        return sqlalchemy.make_url(uri).render_as_string() if "@" in uri else uri
    except SQLAlchemyError:
        return uri


def reason(error: BaseException) -> str:
    """Summarizes an error in one sentence.

    If the operating system refused something (a connection, a file), its own message matters; else
    the first line, because MLflow's messages continue with stack traces.
    """
    innermost = error
    while cause := innermost.__cause__ or innermost.__context__:
        innermost = cause
    if isinstance(innermost, OSError) and innermost.strerror:
        line = innermost.strerror + (f": {innermost.filename}" if innermost.filename else "")
    elif isinstance(innermost, sqlite3.Error):
        line = str(innermost)
    else:
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return line if line.endswith((".", "!", "?")) else f"{line}."


def open_store(uri: str) -> MlflowClient:
    """Opens the store of a resolved URI, creating the tables of a database that has none.

    Raises:
        UserError: If the store cannot be reached, read or written.
    """
    _silence()
    with store_errors(uri), _environment(FIRST_CONTACT):
        database = sqlite_file(uri)
        if database is not None:
            _check_writable(database)
            with _database_lock(database):
                if not database.stat().st_size:
                    _create_database(database)
                client = _first_contact(uri)
        else:
            if uri.startswith(DATABASE_SCHEMES):
                # MLflow would try for more than a minute.
                sqlalchemy.create_engine(uri).connect().close()
            client = _first_contact(uri)
    for name, value in LATER_CONTACT.items():
        os.environ.setdefault(name, value)
    return client


@contextmanager
def store_errors(uri: str) -> Iterator[None]:
    """Turns the errors of MLflow, its database or its server into one clear message.

    Raises:
        UserError: If an operation of the block failed.
    """
    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError, ImportError) as error:
        raise UserError(
            f"tracking.tracking_uri: the MLflow store {without_password(uri)} cannot be used: "
            f"{reason(error)} Start the server or correct the address, or train without "
            "tracking: tracking=none."
        ) from error


def _first_contact(uri: str) -> MlflowClient:
    client = MlflowClient(tracking_uri=uri)
    client.search_experiments(max_results=1)
    return client


def _create_database(database: Path) -> None:
    """Creates a store aside, and renames it: MLflow cannot use one whose creation was killed."""
    new = database.with_name(f".{database.name}.new")
    for path in (new, Path(f"{new}-journal")):
        path.unlink(missing_ok=True)
    with _without_sync():  # MLflow creates it by dozens of transactions
        _first_contact(f"sqlite:///{new}")
    sync(new)
    new.rename(database)
    sync(database.parent)


@contextmanager
def _without_sync() -> Iterator[None]:
    """Lets SQLite not wait for the disk, in connections that are opened within the block."""

    def turn_off(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA synchronous=OFF")

    sqlalchemy.event.listen(sqlalchemy.Engine, "connect", turn_off)
    try:
        yield
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "connect", turn_off)


def _check_writable(database: Path) -> None:
    database.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(database, timeout=20, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")


@contextmanager
def _database_lock(database: Path) -> Iterator[None]:
    """Lets one process at a time create a store: MLflow's migrations would race each other."""
    # An exclusive transaction on a separate file is a lock that every system has, and that is
    # released when a process dies.
    lock = database.with_name(f".{database.name}.lock")
    with closing(sqlite3.connect(lock, timeout=120, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Sets the variables that are not set yet, within a block."""
    added = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _silence() -> None:
    """Turns off MLflow's own log: its errors are also raised, and reported by us."""
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    for name in ("mlflow", "alembic", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
