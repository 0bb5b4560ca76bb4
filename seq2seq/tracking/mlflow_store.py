"""Opening an MLflow store: which one, whether it answers, and without its noise."""

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

DEFAULT_DATABASE = "mlflow.db"
DATABASE_SCHEMES = ("sqlite", "postgresql", "mysql", "mssql")

# Seconds and retries of one request to a tracking server. MLflow's own (120 s, 7 retries) would
# hold up a training for minutes. Variables that the user has set win over all of these.
FIRST_CONTACT = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "5", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
LATER_CONTACT = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "20", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}


def resolve_uri(tracking_uri: str | None) -> str:
    """The address of the store that is meant.

    Args:
        tracking_uri: An MLflow tracking URI; if null, that of the variable `MLFLOW_TRACKING_URI`,
            or else the SQLite file `mlflow.db` in the current folder.

    Returns:
        The URI, its path absolute if it names a SQLite file.
    """
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{DEFAULT_DATABASE}"
    database = sqlite_file(uri)
    return uri if database is None else f"sqlite:///{database}"


def sqlite_file(uri: str) -> Path | None:
    """The absolute path of the database that a URI names, or None if it is no plain SQLite file."""
    path = uri.removeprefix("sqlite:///")
    is_file = path not in (uri, "", ":memory:") and "?" not in path
    return Path(path).absolute() if is_file else None


def without_password(uri: str) -> str:
    """The URI as it may be printed."""
    try:
        return sqlalchemy.make_url(uri).render_as_string() if "@" in uri else uri
    except SQLAlchemyError:
        return uri


def reason(error: BaseException) -> str:
    """Why something failed, in one sentence.

    Where the system refused something (a connection, a file), its own few words are what matters;
    else the first line, as MLflow's messages go on with stack traces.
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
    """Opens a store, creating it if it is a database without tables.

    Args:
        uri: What `resolve_uri` returned.

    Returns:
        A client of a store that has answered.

    Raises:
        UserError: The store cannot be reached, read or written.
    """
    _silence()
    with store_errors(uri), _environment(FIRST_CONTACT):
        database = sqlite_file(uri)
        if database is not None:
            _check_writable(database)
            with _one_process_at_a_time(database):
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
    """Turns what MLflow, its database or its server raise into one clear message.

    Raises:
        UserError: Something in the block failed.
    """
    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError, ImportError) as error:
        raise UserError(
            f"tracking.tracking_uri: the MLflow store {without_password(uri)} cannot be used: "
            f"{reason(error)} Start the server or mend the address, or train without "
            "tracking: tracking=none."
        ) from error


def _first_contact(uri: str) -> MlflowClient:
    client = MlflowClient(tracking_uri=uri)
    client.search_experiments(max_results=1)
    return client


def _check_writable(database: Path) -> None:
    database.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(database, timeout=20, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")


@contextmanager
def _one_process_at_a_time(database: Path) -> Iterator[None]:
    """Keeps processes that create the same store apart: MLflow's migrations race each other."""
    # An exclusive transaction on a file beside it is a lock that every system has, and that is
    # released when a process dies.
    lock = database.with_name(f".{database.name}.lock")
    with closing(sqlite3.connect(lock, timeout=120, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Sets those variables that are not set, for as long as the block runs."""
    added = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _silence() -> None:
    """Turns off MLflow's own lines: what fails is raised as well, and told by us."""
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    for name in ("mlflow", "alembic", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
