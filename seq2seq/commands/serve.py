"""`seq2seq serve`: serves runs over HTTP."""

import argparse
import os
import re
from importlib.util import find_spec
from pathlib import Path

from seq2seq.commands._run_argument import local_run, trust_option
from seq2seq.commands._start_tensorflow import start_tensorflow
from seq2seq.errors import UserError
from seq2seq.progress import step

EXAMPLES = """\
  seq2seq serve RUN
  seq2seq serve dates=RUN models:/languages@champion --port 8080 --latency 20
  curl -H 'Content-Type: application/json' -d '{"inputs": ["7 May 2031"]}' \\
      http://127.0.0.1:8000/models/dates/predict
"""

TOKEN = "SEQ2SEQ_SERVE_TOKEN"
"""The variable with the bearer token that clients need."""

TOKEN_FILE = "SEQ2SEQ_SERVE_TOKEN_FILE"
"""The variable with the path of a file that holds the token."""

LEAST = {
    "latency": 0,
    "batch_size": 1,
    "queue": 1,
    "timeout": 1,
    "reload": 0,
    "session_timeout": 1,
}
"""The least values of options."""

_PACKAGES = ("fastapi", "uvicorn", "prometheus_client")
_NAMED = re.compile(r"(?P<name>[\w.-]+)=(?P<run>.+)")


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "models",
        nargs="+",
        metavar="RUN",
        help="a run folder, an id of `seq2seq runs`, or models:/NAME@ALIAS; NAME=RUN names it",
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="the port (default 8000)")
    parser.add_argument(
        "--latency",
        type=float,
        default=0.0,
        metavar="MS",
        help="how long a request waits for others while no batch runs (default 0); requests that "
        "come while one runs always form the next",
    )
    parser.add_argument(
        "--batch-size", type=int, default=64, metavar="N", help="inputs at once (default 64)"
    )
    parser.add_argument(
        "--queue", type=int, default=1024, metavar="N", help="inputs that may wait (default 1024)"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=30.0,
        metavar="S",
        help="seconds that a request may take (default 30)",
    )
    parser.add_argument(
        "--reload",
        type=float,
        default=0.0,
        metavar="S",
        help="seconds between two looks at whether models:/NAME@ALIAS means another version, which "
        "is then served (default 0: never)",
    )
    parser.add_argument(
        "--session-timeout",
        type=float,
        default=600.0,
        metavar="S",
        help="seconds after which a session ends that is not used (default 600)",
    )
    trust_option(parser)


def run(options: argparse.Namespace) -> int:
    """Serves until a signal asks to stop."""
    for name, least in LEAST.items():
        if not (value := getattr(options, name)) >= least:  # also for NaN
            raise UserError(f"--{name.replace('_', '-')}: must be at least {least}, got {value}.")
    if missing := [name for name in _PACKAGES if find_spec(name) is None]:
        raise UserError(f"serve: needs {', '.join(missing)}; pip install 'keras-seq2seq[serve]'.")
    token = read_token()
    named = [_named(model) for model in options.models]
    if len({name for name, _ in named}) < len(named):
        raise UserError("Two runs have the same name; give NAME=RUN.")
    start_tensorflow()
    with step("loading the libraries"):
        from seq2seq.serving.limits import Limits
        from seq2seq.serving.models.sources import RegisteredSource
        from seq2seq.serving.server import serve

    sources = {
        name: RegisteredSource(model) if model.startswith("models:") else local_run(model)
        for name, model in named
    }
    limits = Limits(
        options.latency,
        options.batch_size,
        options.queue,
        timeout=options.timeout,
        reload=options.reload,
        session_timeout=options.session_timeout,
    )
    serve(sources, options.host, options.port, limits, token, tuple(options.trust))
    return 0


def read_token() -> str | None:
    """Returns the token of the environment, or of the file that it names; None for no token.

    Raises:
        UserError: If both are set, the token is empty, or the file cannot be read.
    """
    token, path = os.environ.get(TOKEN), os.environ.get(TOKEN_FILE)
    if token is not None and path is not None:
        raise UserError(f"{TOKEN} and {TOKEN_FILE}: are both set; unset one of them.")
    if path is None:
        if token is not None and not token.strip():
            raise UserError(f"{TOKEN}: is empty; give a token, or unset it.")
        return token
    try:
        token = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise UserError(f"{TOKEN_FILE}: {path!r} cannot be read: {error}.") from error
    if not token:
        raise UserError(f"{TOKEN_FILE}: {path} is empty; write a token to it, or unset it.")
    if len(token.split()) > 1:
        raise UserError(f"{TOKEN_FILE}: {path} must hold one token, without blanks.")
    return token


def _named(model: str) -> tuple[str, str]:
    """Returns the name of a model, and what to load."""
    if match := _NAMED.fullmatch(model):
        return match["name"], match["run"]
    if model.startswith("models:/"):
        return re.split("[@/]", model.removeprefix("models:/"))[0], model
    path = Path(model).resolve()
    is_date = re.match(r"\d{4}-\d\d-\d\d", path.name)
    return (path.parent if is_date else path).name, model
