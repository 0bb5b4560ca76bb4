"""`seq2seq sync` reads a run folder, whose files may be damaged."""

import pytest

from seq2seq.commands.sync import _results
from seq2seq.errors import UserError


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", '{"test": {}}', '{"validation": 1, "test": {}, "training": {}}',
     '{"validation": {}, "test": {}, "training": {}}', "\x00"],
)  # fmt: skip
def test_damaged_scores_are_said(tmp_path, text):
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(UserError, match=r"metrics\.json: is damaged; .*resume="):
        _results(tmp_path / "metrics.json")


def test_a_run_without_scores_has_not_finished(tmp_path):
    assert _results(tmp_path / "metrics.json") is None
