"""Writes the dates of `cldr_dates` as a dataset of TensorFlow Datasets."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import babel
import tensorflow_datasets as tfds

from seq2seq.cache import cache_directory, ensure_directory
from seq2seq.data.embedded.cldr_dates import SPLIT_SIZES, date_examples


class CldrDates(tfds.core.GeneratorBasedBuilder):
    """Dates written in many languages, and their ISO forms."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Dates from 1900 to 2099 in many languages and formats, from Unicode CLDR.",
            homepage="https://cldr.unicode.org",
            features=tfds.features.FeaturesDict(
                {
                    "source": tfds.features.Text(doc="The date as people write it."),
                    "target": tfds.features.Text(doc="The date in ISO 8601."),
                    "language": tfds.features.Text(doc="The language tag of the source."),
                }
            ),
            supervised_keys=("source", "target"),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager  # Nothing to download.
        return {split: self._generate_examples(split) for split in SPLIT_SIZES}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, str]]]:
        for number, example in enumerate(date_examples(split)):
            yield number, example._asdict()


def prepare(directory: Path | None = None) -> Path:
    """Returns the prepared dataset's folder below `directory` (by default the package's cache)."""
    root = cache_directory() if directory is None else directory
    # One folder per release of Babel, as their data differ.
    release = f"cldr_dates-{CldrDates.VERSION}-babel-{babel.__version__}"
    return ensure_directory(root / release, _write) / "cldr_dates" / str(CldrDates.VERSION)


def _write(directory: Path) -> None:
    builder = CldrDates(data_dir=directory)
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare()
    finally:
        tfds.enable_progress_bar()
