"""The commands of the containers for a team are commands that MLflow and seq2seq have."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from seq2seq.cli import parser

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def services():
    return yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]


def test_the_options_of_mlflows_server_exist(services):
    command = [sys.executable, "-m", "mlflow", "server", "--help"]
    known = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    options = [argument.partition("=")[0] for argument in services["mlflow"]["command"]]
    assert services["mlflow"]["entrypoint"] == "mlflow server"
    assert len(options) == 6
    for option in options:
        assert re.search(rf"{option}\b", known), option


def test_the_models_are_served_from_mlflows_server(services):
    options = parser().parse_args(services["serve"]["command"])
    assert options.models == ["dates=models:/dates@champion"]
    assert (options.host, options.port) == ("0.0.0.0", 8000)
    address = services["serve"]["environment"]["MLFLOW_TRACKING_URI"]
    [allowed] = [a for a in services["mlflow"]["command"] if a.startswith("--allowed-hosts=")]
    assert address.removeprefix("http://") in allowed.partition("=")[2].split(",")


def test_the_database_and_the_bucket_are_those_of_the_other_containers(services):
    arguments = " ".join(services["mlflow"]["command"])
    user = services["postgres"]["environment"]["POSTGRES_USER"]
    assert f"postgresql+psycopg2://{user}:" in arguments
    assert "@postgres/mlflow" in arguments
    assert "mc mb --ignore-existing team/mlflow" in services["bucket"]["command"][0]
    assert "s3://mlflow" in arguments
    secrets = re.findall(r"\$\{(\w+)", yaml.safe_dump(services))
    assert set(secrets) == {"POSTGRES_PASSWORD", "MINIO_PASSWORD", "SERVE_TOKEN"}


def test_the_image_has_what_the_commands_need():
    text = (ROOT / "Dockerfile").read_text("utf-8")
    extras = re.search(r"ARG EXTRAS=(.+)", text).group(1).split(",")
    known = (ROOT / "pyproject.toml").read_text("utf-8")
    for extra in extras:
        assert re.search(rf"^{extra} = \[", known, re.MULTILINE), extra
