import csv
import gzip
import json
import subprocess
import sys
from itertools import chain

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from seq2seq.data.formats.json_lines import Jsonl
from seq2seq.data.formats.parallel_text import ParallelText
from seq2seq.data.formats.tables import Tsv
from seq2seq.data.holdout import Holdout
from seq2seq.errors import UserError

COLUMNS = {"source": 0, "target": 1}


def _parallel(directory, **options):
    return ParallelText(directory, {"train": "a.en"}, {"train": "a.de"}, **options)


def _pairs(dataset, split="train"):
    return [(record["source"], record["target"]) for record in dataset.records(split)]


class TestParallelText:
    def test_line_n_belongs_to_line_n(self, files):
        directory = files(a__en="one\n\n three \n", a__de="eins\nzwei\ndrei")
        assert _pairs(_parallel(directory)) == [("one", "eins"), ("", "zwei"), (" three ", "drei")]

    def test_several_files_a_split(self, files):
        directory = files(a__en="1\n", b__en="2\n", a__de="eins\n", b__de="zwei\n")
        dataset = ParallelText(directory, {"train": ["a.en", "b.en"]}, {"train": ["a.de", "b.de"]})
        assert _pairs(dataset) == [("1", "eins"), ("2", "zwei")]

    @pytest.mark.parametrize(("english", "german"), [(3, 5), (5, 3), (1, 2)])
    def test_different_line_counts(self, files, english, german):
        directory = files(a__en="x\n" * english, a__de="y\n" * german)
        with pytest.raises(UserError, match=rf"a\.en has {english} lines, .*a\.de has {german}:"):
            list(_parallel(directory).records("train"))

    def test_sides_that_name_different_files(self):
        with pytest.raises(UserError, match=r"data\.source\.test names 1 .* names 0"):
            ParallelText(".", {"train": "a", "test": "b"}, {"train": "a", "test": None})

    def test_unknown_split(self, files):
        dataset = _parallel(files(a__en="1\n", a__de="2\n"))
        with pytest.raises(UserError, match="no split 'dev'; this dataset has train"):
            dataset.records("dev")

    def test_a_missing_split_comes_with_the_overrides_that_make_it(self, files):
        dataset = _parallel(files(a__en="1\n", a__de="2\n"))
        with pytest.raises(UserError) as raised:
            dataset.records("test")
        assert str(raised.value).endswith(
            "Give data.source.test and data.target.test, or take it from train by "
            "data.holdout.fractions.test=0.05."
        )
        with pytest.raises(UserError, match=r"this dataset has test\. Give data\.files\.train\.$"):
            Tsv(".", {"test": "a"}, COLUMNS).records("train")

    def test_construction_needs_no_file(self):
        assert _parallel("/nowhere").split_names == ("train",)

    def test_multi30k(self, real_data):
        directory = real_data / "multi30k_en_de" / "raw"
        dataset = ParallelText(directory, {"train": "train.en"}, {"train": "train.de"})
        english = (directory / "train.en").read_text(encoding="utf-8").split("\n")[:-1]
        german = (directory / "train.de").read_text(encoding="utf-8").split("\n")[:-1]
        assert _pairs(dataset) == list(zip(english, german, strict=True))

    def test_small_en_ja_in_three_files_and_gzip(self, real_data, tmp_path):
        directory = real_data / "small_en_ja"
        names = [[f"train.{side}.00{part}" for part in range(3)] for side in ("en", "ja")]
        for name in (*names[0], *names[1]):
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress((directory / name).read_bytes()))
        plain, compressed = (
            ParallelText(folder, {"train": names[0]}, {"train": names[1]})
            for folder in (directory, tmp_path)
        )
        pairs = _pairs(plain)
        assert len(pairs) == 30_000
        assert pairs == _pairs(compressed)


class TestTsv:
    def test_columns_are_chosen_and_others_ignored(self, files):
        directory = files(a="Go.\tVa !\tCC-BY\nRun!\tCours\u202f!\tCC-BY\n")
        assert list(
            Tsv(directory, {"train": "a"}, {"source": 1, "licence": 2}).records("train")
        ) == [
            {"source": "Va !", "licence": "CC-BY"},
            {"source": "Cours\u202f!", "licence": "CC-BY"},
        ]

    def test_too_few_columns(self, files):
        directory = files(a="1\t2\n3\n")
        with pytest.raises(UserError, match=r"a:2: 1 column.*needs 2"):
            list(Tsv(directory, {"train": "a"}, COLUMNS).records("train"))

    @pytest.mark.parametrize("columns", [{}, {"source": -1}])
    def test_impossible_columns(self, columns):
        with pytest.raises(UserError, match=r"data\.columns"):
            Tsv(".", {"train": "a"}, columns)

    def test_empty_delimiter(self):
        with pytest.raises(UserError, match=r"data\.delimiter is empty"):
            Tsv(".", {"train": "a"}, COLUMNS, delimiter="")

    def test_further_targets(self, files):
        directory = files(a="a\tAH0\tEY1\nno\tN OW1\nre\tR EY1\tR IY1\tR EY1\t\n")
        texts = [["AH0", "EY1"], ["N OW1"], ["R EY1", "R IY1"]]

        def records(further_targets, split):
            parts = {"train": "a", "test": "a"}
            dataset = Tsv(directory, parts, COLUMNS, further_targets=further_targets)
            return list(dataset.records(split))

        first = [(word, each[0]) for word, each in zip(("a", "no", "re"), texts, strict=True)]
        assert records("ignore", "test") == [{"source": s, "target": t} for s, t in first]
        scored = [{"source": s, "target": t, "references": each}
                  for (s, t), each in zip(first, texts, strict=True)]  # fmt: skip
        assert records("evaluate", "train") == records("evaluate", "test") == scored
        assert records("train", "test") == scored
        each = [{**record, "target": text} for record in scored for text in record["references"]]
        assert records("train", "train") == each
        assert [r.place[-2:] for r in records("train", "train")] == [":1", ":1", ":2", ":3", ":3"]

    def test_further_targets_after_a_column_that_is_not_the_target(self):
        with pytest.raises(UserError, match=r"further_targets=train: data\.columns needs a target"):
            Tsv(".", {"train": "a"}, {"source": 1, "target": 0}, further_targets="train")
        with pytest.raises(UserError, match="needs a target"):
            Tsv(".", {"train": "a"}, {"text": 0}, further_targets="evaluate")

    def test_each_use_of_further_targets_is_stored_by_itself(self, files):
        directory = files(a="a\tb\tc\n")
        uses = ("ignore", "evaluate", "train")
        datasets = [Tsv(directory, {"train": "a"}, COLUMNS, further_targets=use) for use in uses]
        assert len({dataset.fingerprint("train") for dataset in datasets}) == 3

    def test_cmudict(self, real_data):
        path = real_data / "cmudict" / "train.tsv"
        dataset = Tsv(path.parent, {"train": "train.tsv"}, COLUMNS, further_targets="train")
        with path.open(encoding="utf-8", newline="\n") as stream:
            rows = list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
        assert len(rows) == 110_683
        expected = [(word, text) for word, *texts in rows for text in dict.fromkeys(texts)]
        assert len(expected) == sum(map(len, rows)) - len(rows) - 2  # two repeat one
        assert all(map(tuple.__eq__, _pairs(dataset), expected))

    def test_tatoeba_with_holdout(self, real_data):
        path = real_data / "fra_eng" / "fra.txt"
        holdout = Holdout({"validation": 0.05, "test": 0.05})
        dataset = Tsv(path.parent, {"train": "fra.txt"}, COLUMNS, holdout=holdout)
        splits = {split: _pairs(dataset, split) for split in dataset.split_names}
        with path.open(encoding="utf-8", newline="\n") as stream:
            rows = list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
        assert sorted(chain.from_iterable(splits.values())) == sorted(tuple(row) for row in rows)
        sources = {split: {source for source, _ in pairs} for split, pairs in splits.items()}
        assert not sources["train"] & sources["validation"]
        assert not sources["train"] & sources["test"]
        assert not sources["validation"] & sources["test"]
        assert len(splits["test"]) == pytest.approx(0.05 * len(rows), rel=0.1)


class TestJsonl:
    FIELDS = {"source": "en", "target": "fr"}  # noqa: RUF012

    def _read(self, directory):
        return list(Jsonl(directory, {"train": "a"}, self.FIELDS).records("train"))

    def test_keys_are_chosen(self, files):
        rows = [{"en": "a\u2028b", "fr": "\u00e9", "id": 1}, {"fr": "", "en": "\n"}]
        text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n\n"
        assert self._read(files(a=text)) == [
            {"source": "a\u2028b", "target": "\u00e9"},
            {"source": "\n", "target": ""},
        ]

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ('{"en": "a", "fr": }', r"a:2: malformed JSON .*column 19"),
            ('["a", "b"]', r"a:2: a JSON object is needed, not list"),
            ('{"en": "a"}', r"a:2: there is no key 'fr' \(data\.fields\.target\); there are 'en'"),
            ('{"en": "a", "fr": 3}', r"a:2: the value of 'fr' is not a text but 3"),
            ('{"en": "a", "fr": "\\ud800"}', r"a:2: the value of 'fr' holds an unpaired surrogate"),
        ],
    )
    def test_faulty_lines(self, files, line, message):
        directory = files(a='{"en": "a", "fr": "b"}\n' + line + "\n")
        with pytest.raises(UserError, match=message):
            self._read(directory)

    def test_several_targets(self, files):
        directory = files(a='{"en": "a", "fr": ["b", "c", "b"]}\n{"en": "d", "fr": "e"}\n')
        scored = [
            {"source": "a", "target": "b", "references": ["b", "c"]},
            {"source": "d", "target": "e", "references": ["e"]},
        ]

        def dataset(further_targets):
            files = {"train": "a", "test": "a"}
            return Jsonl(directory, files, self.FIELDS, further_targets=further_targets)

        assert list(dataset("evaluate").records("train")) == scored
        assert list(dataset("train").records("test")) == scored
        targets = [record["target"] for record in dataset("train").records("train")]
        assert targets == ["b", "c", "e"]
        assert dataset("train").fingerprint("train") != dataset("evaluate").fingerprint("train")
        with pytest.raises(UserError, match=r"a:1: the value of 'fr' is not a text but \["):
            list(dataset("ignore").records("train"))
        with pytest.raises(UserError, match=r"data\.further_targets=train: data\.fields has no"):
            Jsonl(directory, {"train": "a"}, {"text": "en"}, further_targets="train")

    @pytest.mark.parametrize("value", ["[]", '["b", 3]'])
    def test_faulty_lists_of_targets(self, files, value):
        directory = files(a=f'{{"en": "a", "fr": {value}}}\n')
        dataset = Jsonl(directory, {"train": "a"}, self.FIELDS, further_targets="evaluate")
        with pytest.raises(UserError, match=r"a:1.*is not a text but"):
            list(dataset.records("train"))


class TestHoldout:
    def test_needs_train(self):
        with pytest.raises(UserError, match="from the split train, which is not given"):
            Tsv(".", {"test": "a"}, COLUMNS, holdout=Holdout({"validation": 0.1}))

    def test_a_split_given_twice(self):
        with pytest.raises(UserError, match=r"split test is given .*fractions\.test=null"):
            Tsv(".", {"train": "a", "test": "b"}, COLUMNS, holdout=Holdout({"test": 0.1}))

    def test_of_nothing_is_none(self, files):
        given = files(a="1\t2\n"), {"test": "a"}, COLUMNS
        nothing = Tsv(*given, holdout=Holdout({"validation": None, "test": None}))
        assert nothing.split_names == ("test",)
        assert nothing.fingerprint("test") == Tsv(*given).fingerprint("test")

    def test_an_empty_split(self, files):
        directory = files(a="1\t2\n")
        dataset = Tsv(directory, {"train": "a"}, COLUMNS, holdout=Holdout({"test": 1e-9}))
        with pytest.raises(UserError, match=r"The split test of .* has no records"):
            list(dataset.records("test"))


class TestFingerprint:
    def test_depends_on_content_and_options_alone(self, files, tmp_path_factory):
        directory = files(a="1\t2\n", b="1\t3\n")
        elsewhere = tmp_path_factory.mktemp("elsewhere")
        (elsewhere / "other_name").write_bytes((directory / "a").read_bytes())

        def fingerprint(folder, name, columns=COLUMNS, **options):
            return Tsv(folder, {"train": name}, columns, **options).fingerprint("train")

        reference = fingerprint(directory, "a")
        assert fingerprint(elsewhere, "other_name") == reference
        others = {
            fingerprint(directory, "b"),
            fingerprint(directory, "a", {"source": 1, "target": 0}),
            fingerprint(directory, "a", holdout=Holdout({"test": 0.1})),
            fingerprint(directory, "a", holdout=Holdout({"test": 0.1}, seed=1)),
        }
        assert len(others | {reference}) == 5

    def test_differs_between_held_out_splits(self, files):
        dataset = Tsv(files(a="1\t2\n"), {"train": "a"}, COLUMNS, holdout=Holdout({"test": 0.1}))
        assert dataset.fingerprint("train") != dataset.fingerprint("test")


OVERRIDES = {
    "parallel_text": ["data.source.train=c", "data.target.train=c"],
    "tsv": ["data.files.train=a"],
    "jsonl": ["data.files.train=b"],
    "tfds": ["data.name=a", "data.features.source=b", "data.features.target=c"],
}


@pytest.mark.parametrize("name", OVERRIDES)
def test_every_source_takes_the_same_override_for_held_out_splits(name, request):
    given = "splits" if name == "tfds" else "source" if name == "parallel_text" else "files"
    overrides = [
        f"data={name}",
        *OVERRIDES[name],
        f"data.{given}.validation=null",
        "data.holdout.fractions.validation=0.25",
        "data.holdout.fractions.test=null",
    ]
    with initialize_config_dir(str(request.config.rootpath / "conf"), version_base="1.3"):
        dataset = instantiate(compose("train", overrides).data)
    assert "validation" in dataset.split_names
    assert dataset._holdout.split_names == ("validation",)


@pytest.mark.parametrize("name", ["parallel_text", "tsv", "jsonl"])
def test_the_config_is_the_constructor(name, request, files, monkeypatch):
    directory = files(a="1\t2\n", b='{"source": "1", "target": "2"}\n', c="1\n", d="2\n")
    monkeypatch.setenv("SEQ2SEQ_DATA", str(directory))
    config = OmegaConf.load(request.config.rootpath / "conf" / "data" / f"{name}.yaml")
    given = {
        "parallel_text": {"source": {"train": ["c"]}, "target": {"train": ["d"]}},
        "tsv": {"files": {"train": "a"}},
        "jsonl": {"files": {"train": ["b"]}},
    }
    dataset = instantiate(OmegaConf.merge(config, given[name]))
    held_out = () if name == "parallel_text" else ("validation", "test")
    assert dataset.split_names == ("train", *held_out)
    assert _pairs(dataset) == [("1", "2")]
    assert dataset.describe()["source"] == str(directory)


def test_reading_text_imports_no_tensorflow():
    program = (
        "import sys; from seq2seq.data import batching, dataset, token_store; "
        "from seq2seq.data.embedded import cldr_dates; from seq2seq.data.formats import tfds; "
        "from seq2seq.data.tokenizers import tokenizer; assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
