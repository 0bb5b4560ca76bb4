"""Sequences of texts and labels from TFDS, prepared by its own CoNLL builder from local files."""

import numpy as np
import pytest
import tensorflow_datasets as tfds
from hydra.utils import instantiate
from omegaconf import OmegaConf
from tensorflow_datasets.core.dataset_builders.conll.conll_dataset_builder_utils import (
    CONLL_2003_CONFIG,
)

from seq2seq.data.formats.conll import Conll
from seq2seq.data.formats.tfds import Tfds
from seq2seq.errors import UserError

FILE = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O
German JJ B-NP B-MISC

Peter NNP B-NP B-PER
"""
SENTENCES = [
    {"tokens": ["EU", "rejects", "German"], "labels": ["B-ORG", "O", "B-MISC"]},
    {"tokens": ["Peter"], "labels": ["B-PER"]},
]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with CoNLL 2003, as TFDS prepares it."""
    folder = tmp_path_factory.mktemp("tfds")
    (folder / "train.txt").write_text(FILE)

    class LocalConll2003(tfds.dataset_builders.ConllDatasetBuilder):
        VERSION = tfds.core.Version("1.0.0")
        BUILDER_CONFIGS = (CONLL_2003_CONFIG,)

        def _info(self):
            return tfds.core.DatasetInfo(builder=self, features=self.builder_config.features_dict)

        def _split_generators(self, dl_manager):
            path = folder / "train.txt"
            return {split: self._generate_examples(path) for split in ("train", "dev", "test")}

    LocalConll2003(data_dir=folder, config="conll2003").download_and_prepare()
    return folder / "local_conll2003" / "conll2003" / "1.0.0"


def dataset(prepared, **features):
    return Tfds(None, features, {"train": "train"}, directory=str(prepared))


def by_tokens(records):
    return sorted(records, key=lambda record: record["tokens"])


def test_lists_of_texts_and_labels_are_those_of_the_file(prepared):
    found = dataset(prepared, tokens="tokens", labels="ner").records("train")
    assert by_tokens(found) == SENTENCES
    directory = str(prepared.parents[2])
    own = Conll(directory, {"train": "train.txt"}, {"tokens": 0, "labels": 3}).records("train")
    assert by_tokens(own) == SENTENCES


def test_the_config_of_conll_2003(prepared, request):
    folder = request.config.rootpath / "conf" / "data"
    configs = [OmegaConf.load(folder / f"{name}.yaml") for name in ("tagged_tfds", "conll2003")]
    config = OmegaConf.merge(*configs, {"name": None, "directory": str(prepared)})
    del config["defaults"]
    assert by_tokens(instantiate(config).records("validation")) == SENTENCES


def test_other_sequences_are_refused(prepared, tmp_path):
    class Numbers(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = tfds.features.FeaturesDict({"heights": tfds.features.Sequence(np.float32)})
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            yield 0, {"heights": [1.0]}

    Numbers(data_dir=tmp_path).download_and_prepare()
    with pytest.raises(UserError, match="nor a sequence of texts or labels"):
        list(dataset(tmp_path / "numbers" / "1.0.0", heights="heights").records("train"))
