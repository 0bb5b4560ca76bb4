"""`train.log` on a disk that is full: the run goes on, and nothing is printed about it."""

import logging
from pathlib import Path

import pytest

from seq2seq.log_file import log_to


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_log_that_cannot_be_written_is_left(tmp_path, capfd):
    (tmp_path / "train.log").symlink_to("/dev/full")
    with log_to(tmp_path):
        for number in range(5000):
            logging.getLogger("seq2seq.test").error("line %d", number)
    assert "Logging error" not in capfd.readouterr().err
