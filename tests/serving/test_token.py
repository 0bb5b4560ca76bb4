"""The token comes from a variable, or from the file that another names."""

import pytest

from seq2seq.commands.serve import TOKEN, TOKEN_FILE, read_token
from seq2seq.errors import UserError


@pytest.fixture
def secret(tmp_path, monkeypatch):
    monkeypatch.delenv(TOKEN, raising=False)
    monkeypatch.setenv(TOKEN_FILE, str(tmp_path / "token"))
    return tmp_path / "token"


def test_a_token_from_a_file_has_no_line_end(secret):
    secret.write_text("right\n")
    assert read_token() == "right"


@pytest.mark.parametrize("content", [b"", b" \n", b"two tokens", b"\xff\xfe"])
def test_a_file_without_one_token_is_an_error(secret, content):
    secret.write_bytes(content)
    with pytest.raises(UserError, match=TOKEN_FILE):
        read_token()


def test_a_missing_file_is_an_error(secret):
    with pytest.raises(UserError, match="No such file"):
        read_token()


def test_two_tokens_are_an_error(secret, monkeypatch):
    secret.write_text("right")
    monkeypatch.setenv(TOKEN, "right")
    with pytest.raises(UserError, match=f"{TOKEN} and {TOKEN_FILE}"):
        read_token()


def test_a_token_of_the_environment(secret, monkeypatch):
    monkeypatch.delenv(TOKEN_FILE)
    assert read_token() is None
    monkeypatch.setenv(TOKEN, "right")
    assert read_token() == "right"
    monkeypatch.setenv(TOKEN, " ")
    with pytest.raises(UserError, match="is empty"):
        read_token()
