"""A prepared dataset of a stranger imports nothing that its files name."""

import json
import shutil
import sys

import pytest

from seq2seq.data.embedded.cldr_dates_builder import prepare
from seq2seq.data.formats.tfds import Tfds
from seq2seq.errors import UserError

LEGACY = {"type": "evil_features.Feature", "content": {}}


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.update(pythonClassName="evil_features.Feature"),
        lambda content: content.update(python_class_name="evil_features.Feature"),
        lambda content: content["featuresDict"]["features"].update(source=LEGACY),
        lambda content: content["featuresDict"]["features"]["source"].update(
            pythonClassName="evil_features.Feature"
        ),
    ],
)
def test_features_of_other_modules_are_refused(tmp_path, monkeypatch, change):
    folder = tmp_path / "data" / "1.0.0"
    shutil.copytree(prepare(), folder)
    (tmp_path / "evil_features.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    path = folder / "features.json"
    content = json.loads(path.read_text())
    fields = {"source": "source", "target": "target"}
    data = Tfds(None, fields, {"train": "train"}, str(folder))
    assert next(iter(data.records("train")))["source"]
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"names the feature class 'evil_features\.Feature'"):
        list(Tfds(None, fields, {"train": "train"}, str(folder)).records("train"))
    assert not (tmp_path / "canary").exists()
    assert "evil_features" not in sys.modules
