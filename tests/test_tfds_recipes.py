"""Recipes on datasets of TFDS, whose own builders prepare small files in place of the downloads."""

import io
import json
import tarfile

import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from seq2seq.cli import main
from seq2seq.config import build, composed, register_recipe

MRPC = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
SAME = [("Ann has a dog .", "A dog is what Ann has ."), ("It rains .", "Rain falls .")]


def imdb(folder):
    with tarfile.open(folder / "imdb.tar.gz", "w:gz") as archive:
        for split in ("train", "test"):
            for label, text in (("pos", "A joy .\n"), ("neg", "Dull ."), ("unsup", "So so .")):
                for number in range(20):
                    content = f"{number} {text}".encode()
                    member = tarfile.TarInfo(f"aclImdb/{split}/{label}/{number}_7.txt")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
    return {"aclImdb_v1.tar.gz": folder / "imdb.tar.gz"}


def ag_news(folder):
    (folder / "news" / "ag_news_csv").mkdir(parents=True)
    for split in ("train", "test"):
        rows = [f'"{n % 4 + 1}","Title {n}","He said ""{n}"", then left."\n' for n in range(40)]
        (folder / "news" / "ag_news_csv" / f"{split}.csv").write_text("".join(rows))
    return {"drive.google.com": folder / "news"}


def mrpc(folder):
    rows = [
        f"{n % 2}\t{n}\t{n + 100}\t{n} {one}\t{other}\n" for n in range(12) for one, other in SAME
    ]
    (folder / "dev").write_text("".join(f"{n}\t{n + 100}\n" for n in range(4)))
    (folder / "train").write_text("\ufeff" + MRPC + "".join(rows), encoding="utf-8")
    (folder / "test").write_text("\ufeff" + MRPC + "".join(rows[:3]), encoding="utf-8")
    return {
        "mrpc_dev_ids": folder / "dev",
        "paraphrase_train": folder / "train",
        "paraphrase_test": folder / "test",
    }


def conll(folder):
    (folder / "conll").mkdir()
    for split in ("train", "valid", "test"):
        text = "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n" * 3
        (folder / "conll" / f"{split}.txt").write_text(text)
    return {"conll2003.zip": folder / "conll"}


@pytest.fixture
def downloaded(tmp_path, monkeypatch):
    """Puts small files in place of what TFDS downloads."""
    files = imdb(tmp_path) | ag_news(tmp_path) | mrpc(tmp_path) | conll(tmp_path)

    def local(self, urls):
        def found(url):
            return next(path for part, path in files.items() if part in url)

        return tf.nest.map_structure(found, urls)

    for method in ("download", "download_and_extract"):
        monkeypatch.setattr(tfds.download.DownloadManager, method, local)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.parametrize(
    ("overrides", "labels", "text"),
    [
        (["recipe=classification/imdb"], {"neg", "pos"}, "0 A joy ."),
        (
            [
                "recipe=classification/ag_news",
                "data=labelled_tfds",
                "data.name=ag_news_subset",
                "data.features.text=description",
                "task.label_names=null",
            ],
            {"World", "Sports", "Business", "Sci/Tech"},
            'He said "3", then left.',
        ),
    ],
)
def test_records(downloaded, overrides, labels, text):
    register_recipe(overrides[0].removeprefix("recipe="))
    data = build(composed([*overrides, f"data.directory={downloaded}"]), "data")
    records = {split: list(data.records(split)) for split in ("train", "validation", "test")}
    for split, found in records.items():
        assert found, split
        assert {record["label"] for record in found} <= labels
    assert {record["label"] for record in records["train"]} == labels
    assert text in {record["text"] for found in records.values() for record in found}


@pytest.mark.parametrize("name", ["classification/mrpc", "tagging/conll2003"])
def test_a_run(downloaded, name):
    arguments = [
        f"recipe={name}",
        f"data.directory={downloaded}",
        *(["tokenizer.vocabulary_size=300"] if name == "classification/mrpc" else []),
        "model.encoder.units=4",
        "trainer.epochs=1",
        "tracking=none",
        f"hydra.run.dir={downloaded}/run",
    ]
    with pytest.raises(SystemExit) as ended:
        main(["train", *arguments])
    assert ended.value.code == 0
    metrics = json.loads((downloaded / "run" / "metrics.json").read_text())
    assert 0 <= metrics["test"]["f1" if name == "tagging/conll2003" else "f1_macro"] <= 1
    lines = (downloaded / "run" / "predictions" / "test.jsonl").read_text().splitlines()
    sources = {json.loads(line)["source"] for line in lines}
    assert sources & {"EU rejects", "0 It rains ."}
