import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from hydra.utils import instantiate
from omegaconf import OmegaConf

from seq2seq.data.batching import Batching
from seq2seq.data.embedded import cldr_dates
from seq2seq.data.embedded.cldr_dates import CldrDates
from seq2seq.data.formats.parallel_text import ParallelText
from seq2seq.data.formats.tfds import Tfds
from seq2seq.data.holdout import Holdout
from seq2seq.data.token_store import ColumnSpec, TokenStore
from seq2seq.data.tokenizers.tokenizer import Tokenizer
from seq2seq.errors import UserError

PAIRS = [("one", "eins"), ("two\u2028", "zwei"), ("", "drei"), ("four", "vier")]


class Nested(tfds.core.GeneratorBasedBuilder):
    """Four pairs, with labels, inside of each other."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        text = tfds.features.Text()
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "translation": {"en": text, "de": text},
                    "parity": tfds.features.ClassLabel(names=["odd", "even"]),
                    "number": np.int64,
                    "vector": tfds.features.Tensor(shape=(2,), dtype=np.float32),
                }
            ),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for number, (english, german) in enumerate(PAIRS):
            yield (
                number,
                {
                    "translation": {"en": english, "de": german},
                    "parity": number % 2 if number < 3 else -1,
                    "number": number,
                    "vector": [0.0, 1.0],
                },
            )


@pytest.fixture(scope="module")
def nested(tmp_path_factory):
    builder = Nested(data_dir=tmp_path_factory.mktemp("nested"))
    builder.download_and_prepare()
    return builder.data_dir


@pytest.fixture(scope="module")
def dates(tmp_path_factory):
    return CldrDates(str(tmp_path_factory.mktemp("dates")))


def _read(directory, features=None, split="train", **options):
    features = features or {"source": "translation/en", "target": "translation/de"}
    dataset = Tfds(None, features, {"train": split}, directory=directory, **options)
    return list(dataset.records("train"))


def test_nested_texts(nested):
    assert _read(nested) == [{"source": s, "target": t} for s, t in PAIRS]


def test_class_labels_are_read_as_names(nested):
    records = _read(nested, {"text": "translation/en", "label": "parity"})
    assert [record["label"] for record in records] == ["odd", "even", "odd", ""]


def test_numbers(nested):
    assert [record["x"] for record in _read(nested, {"x": "number"})] == [0, 1, 2, 3]


def test_slices(nested):
    assert [record["target"] for record in _read(nested, split="train[1:3]")] == ["zwei", "drei"]
    assert len(_read(nested, split="train[:25%]+train[50%:]")) == 3


def test_holdout(nested):
    features = {"source": "translation/en"}
    holdout = Holdout({"test": 0.5}, seed=1)
    dataset = Tfds(None, features, {"train": "train"}, directory=nested, holdout=holdout)
    texts = [[r["source"] for r in dataset.records(split)] for split in dataset.split_names]
    assert sorted(texts[0] + texts[1]) == sorted(source for source, _ in PAIRS)
    assert dataset.fingerprint("train") != dataset.fingerprint("test")


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"source": "text"}, "there is no 'text'; there is .*translation"),
        ({"source": "translation/fr"}, "there is no 'fr'; there is (de, en|en, de)"),
        ({"source": "translation/en/x"}, "there is nothing inside"),
        ({"source": "vector"}, "neither a text nor a class label nor a number"),
    ],
)
def test_wrong_features(nested, features, message):
    with pytest.raises(UserError, match=rf"data\.features\.source=.*{message}"):
        _read(nested, features)


@pytest.mark.parametrize("split", ["dev", "train[:x]", "train+dev"])
def test_wrong_splits(nested, split):
    with pytest.raises(UserError, match=r"data\.splits\.train="):
        _read(nested, split=split)


def test_a_split_that_tfds_does_not_have_can_be_held_out(nested):
    features, splits = {"source": "translation/en"}, {"train": "train", "test": "test"}
    with pytest.raises(UserError) as raised:
        next(Tfds(None, features, splits, nested).records("test"))
    assert "data.splits.test=null data.holdout.fractions.test=0.05" in str(raised.value)
    splits["test"] = None
    with pytest.raises(UserError, match=r"Give data\.splits\.test, or .*fractions\.test=0\.05"):
        Tfds(None, features, splits, nested).records("test")
    holdout = Holdout({"test": 0.5}, seed=1)
    assert list(Tfds(None, features, splits, nested, holdout).records("test"))


def test_empty_slice(nested):
    with pytest.raises(UserError, match=r"data\.splits\.train=train\[:0\]: there are no records"):
        _read(nested, split="train[:0]")


def test_unknown_names():
    options = {"features": {"source": "pt"}, "splits": {"train": "train"}}
    with pytest.raises(UserError, match=r"no such dataset.*Did you mean .*ted_hrlr_translate"):
        next(Tfds("ted_hrlr_translat/pt_to_en", **options).records("train"))
    with pytest.raises(UserError, match=r"data\.name=ted_hrlr_translate/xx_to_en: .*xx_to_en"):
        next(Tfds("ted_hrlr_translate/xx_to_en", **options).records("train"))
    with pytest.raises(UserError, match=r"data\.directory=/nowhere is neither a prepared TFDS"):
        next(Tfds(None, directory="/nowhere", **options).records("train"))
    with pytest.raises(UserError, match=r"Give data\.name or data\.directory"):
        Tfds(None, **options)


def test_a_failed_download_says_so(monkeypatch, tmp_path):
    def fail(*args, **kwargs):
        raise ConnectionError("no route to host\nmore")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    dataset = Tfds(
        "ted_hrlr_translate/pt_to_en", {"source": "pt"}, {"train": "train"}, str(tmp_path)
    )
    with pytest.raises(UserError, match=r"cannot be downloaded .*no route to host\)\. Prepare it"):
        next(dataset.records("train"))


def _batch_texts(dataset, tokenizers, cache):
    columns = {side: ColumnSpec(side, tokenizer) for side, tokenizer in tokenizers.items()}
    store = TokenStore.cached(
        dataset.fingerprint("train"), lambda: dataset.records("train"), columns, cache
    )
    batches = Batching(16).training_batches(store.lengths, store.hashes, seed=3, epoch=1)
    return [store.padded("target", batch)[0].tolist() for batch in batches]


def test_multi30k_from_tfds_gives_the_batches_of_the_files(real_data, tmp_path):
    directory = real_data / "multi30k_en_de" / "tok"
    names = {"train": "val.lc.norm.tok.en"}, {"train": "val.lc.norm.tok.de"}
    from_files = ParallelText(directory, *names)

    class Multi30k(tfds.core.GeneratorBasedBuilder):
        """The validation set, in the random order that TFDS stores by default."""

        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            text = tfds.features.Text()
            features = tfds.features.FeaturesDict({"en": text, "de": text})
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for number, record in enumerate(from_files.records("train")):
                yield number, {"en": record["source"], "de": record["target"]}

    Multi30k(data_dir=tmp_path).download_and_prepare()
    features = {"source": "en", "target": "de"}
    from_tfds = Tfds("multi30k", features, {"train": "train"}, directory=str(tmp_path))

    records = [list(dataset.records("train")) for dataset in (from_files, from_tfds)]
    assert records[0] != records[1]
    assert sorted(map(str, records[0])) == sorted(map(str, records[1]))

    tokenizers = [
        {side: Tokenizer("bpe", 2000).fit(r[side] for r in rows) for side in features}
        for rows in records
    ]
    assert [t.fingerprint for t in tokenizers[0].values()] == [
        t.fingerprint for t in tokenizers[1].values()
    ]
    batches = [
        _batch_texts(dataset, tokenizers[0], tmp_path / "cache")
        for dataset in (from_files, from_tfds)
    ]
    assert batches[0] == batches[1]


def test_translate_folder(tmp_path):
    (tmp_path / "en.train.txt").write_text("one\ntwo\n")
    (tmp_path / "de.train.txt").write_text("eins\nzwei\n")
    records = _read(str(tmp_path), {"source": "en", "target": "de"})
    assert records == [
        {"source": "one", "target": "eins"},
        {"source": "two", "target": "zwei"},
    ]
    with pytest.raises(UserError, match=r"train\[:1\]: .* whole splits only: train"):
        _read(str(tmp_path), {"source": "en"}, split="train[:1]")


def test_a_folder_that_is_no_translate_folder(tmp_path):
    (tmp_path / "en.train.txt").write_text("one\n")
    (tmp_path / "SOURCE.txt").write_text("where it is from\n")
    with pytest.raises(UserError, match=r"data\.directory=.*cannot be read as .*\.txt files"):
        _read(str(tmp_path), {"source": "en"})


class TestFingerprint:
    """It must differ where a record does, or the tokens of other texts would be used."""

    FEATURES = {"source": "translation/en", "label": "parity"}  # noqa: RUF012

    def _fingerprint(self, directory, features=FEATURES, split="train"):
        return Tfds(None, features, {"x": split}, str(directory)).fingerprint("x")

    def test_of_a_translate_folder(self, tmp_path):
        features = {"source": "en", "target": "de"}
        (tmp_path / "en.train.txt").write_text("one\ntwo\n")
        (tmp_path / "de.train.txt").write_text("eins\nzwei\n")
        before = self._fingerprint(tmp_path, features)
        (tmp_path / "en.test.txt").write_text("three\n")
        (tmp_path / "de.test.txt").write_text("drei\n")
        (tmp_path / "de.train.txt").write_text("zwei\neins\n")
        swapped = self._fingerprint(tmp_path, features)
        assert swapped != before
        assert self._fingerprint(tmp_path, features, "test") not in (before, swapped)

    @pytest.mark.parametrize(
        ("files", "old", "new"),
        [("*.tfrecord*", b"zwei", b"iewz"), ("*.labels.txt", b"odd", b"uneven")],
    )
    def test_of_a_prepared_folder(self, nested, tmp_path, files, old, new):
        copy = shutil.copytree(nested, tmp_path / Path(nested).parent.name / Path(nested).name)
        before = self._fingerprint(copy)
        assert before == self._fingerprint(nested)
        (changed,) = copy.glob(files)
        changed.write_bytes(changed.read_bytes().replace(old, new))
        assert self._fingerprint(copy) != before

    def test_depends_on_slices(self, nested):
        splits = ["train", "train[:2]", "train[2:]", "train[:1]+train[2:]"]
        assert len({self._fingerprint(nested, split=split) for split in splits}) == 4


def test_a_tokenizer_is_fitted_on_a_tensorflow_pipeline(dates):
    # Pulled from a thread of the tokenizers library, TensorFlow crashed.
    texts = (record["source"] for record in dates.records("validation"))
    assert Tokenizer("character").fit(texts).size > 300


class TestCldrDates:
    def test_holds_the_examples(self, dates):
        for split in cldr_dates.SPLIT_SIZES:
            expected = [example._asdict() for example in cldr_dates.date_examples(split)]
            assert list(dates.records(split)) == expected

    def test_begins_as_its_docstring_says(self, dates):
        assert f"{next(dates.records('train'))}\n" in CldrDates.__doc__

    def test_second_use_prepares_nothing(self, dates, monkeypatch):
        first = next(dates.records("test"))
        monkeypatch.setattr("seq2seq.data.embedded.cldr_dates_builder._write", None)
        again = CldrDates(str(dates._directory))
        assert next(again.records("test")) == first
        assert again.fingerprint("test") == dates.fingerprint("test")

    def test_is_kept_in_the_cache_folder(self, dates, monkeypatch, tmp_path):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        (tmp_path / "seq2seq").symlink_to(dates._directory)
        monkeypatch.setattr("seq2seq.data.embedded.cldr_dates_builder._write", None)
        assert CldrDates().fingerprint("test") == dates.fingerprint("test")

    def test_the_config_is_the_constructor(self, request):
        config = OmegaConf.load(request.config.rootpath / "conf" / "data" / "cldr_dates.yaml")
        dataset = instantiate(config)
        assert dataset.split_names == ("train", "validation", "test")
        assert "Babel" in dataset.describe()["source"]


def test_the_config_of_tfds_is_the_constructor(request, nested):
    config = OmegaConf.load(request.config.rootpath / "conf" / "data" / "tfds.yaml")
    given = {
        "name": "nested",
        "directory": nested,
        "features": {"source": "translation/en", "target": "translation/de"},
        "splits": {"validation": "train[:1]", "test": None},
    }
    dataset = instantiate(OmegaConf.merge(config, given))
    assert dataset.split_names == ("train", "validation")
    assert list(dataset.records("validation")) == [{"source": "one", "target": "eins"}]
    assert dataset.describe() == {"name": "nested", "source": nested}
