"""Reads TensorFlow Datasets (TFDS), by name or from a prepared folder."""

import difflib
import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from seq2seq.data.dataset import Dataset
from seq2seq.data.formats.text_files import content_hash
from seq2seq.data.holdout import Holdout
from seq2seq.data.records import Record
from seq2seq.errors import UserError

_BATCH_SIZE = 1024
_CLASS_KEYS = ("pythonClassName", "python_class_name", "type")


class Tfds(Dataset):
    """Reads any dataset of TensorFlow Datasets, downloading and preparing it on first use.

    Args:
        name: `dataset`, `dataset/config` or `dataset/config:version`; `None` if `directory` is
            itself a prepared dataset, or a folder for `tfds.TranslateFolder`.
        features: The feature of each field, nested ones with `/`, such as `translation/en`. Texts,
            class labels (read as their names), numbers, and sequences of texts or labels (read as
            lists) are possible.
        splits: The TFDS split of each split, optionally sliced, such as `train[:90%]`.
        directory: The data folder of TFDS, or that of one prepared dataset; `None` for the default
            of TFDS.
        holdout: Takes further splits out of `train`.

    Example:
        >>> dataset = Tfds(
        ...     "ted_hrlr_translate/pt_to_en",
        ...     features={"source": "pt", "target": "en"},
        ...     splits={"train": "train[:90%]", "validation": "validation", "test": "test"},
        ... )
    """

    split_keys: ClassVar[tuple[str, ...]] = ("splits",)

    def __init__(
        self,
        name: str | None,
        features: Mapping[str, str],
        splits: Mapping[str, str | None],
        directory: str | None = None,
        holdout: Holdout | None = None,
    ) -> None:
        if name is None and directory is None:
            raise UserError("Give data.name or data.directory.")
        self._name = name
        self._directory = Path(directory).expanduser() if directory is not None else None
        self._features = dict(features)
        self._splits = {split: spec for split, spec in splits.items() if spec is not None}
        super().__init__(self._splits, holdout)

    def describe(self) -> dict[str, str]:
        """Returns the name, and the folder or `tfds`."""
        source = "tfds" if self._directory is None else str(self._directory.absolute())
        return {"name": self._name or "/".join(Path(source).parts[-2:]), "source": source}

    @functools.cached_property
    def _builder(self) -> Any:
        return open_builder(self._name, self._directory)

    @property
    def _is_translate_folder(self) -> bool:
        import tensorflow_datasets as tfds

        return isinstance(self._builder, tfds.TranslateFolder)

    def _read(self, split: str) -> Iterator[Record]:
        import tensorflow_datasets as tfds

        features = self._field_features()
        # In the order of the files: by default, TFDS interleaves them.
        config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
        examples = self._builder.as_dataset(
            split=self._checked_split(split), shuffle_files=False, read_config=config
        )
        for batch in examples.map(self._fields_of).ragged_batch(_BATCH_SIZE).prefetch(1):
            columns = [
                self._values(field, feature, _to_list(batch[field]))
                for field, feature in features.items()
            ]
            for values in zip(*columns, strict=True):
                yield dict(zip(features, values, strict=True))

    def _field_features(self) -> dict[str, Any]:
        """Returns the TFDS feature of each field."""
        return {field: self._feature(field, path) for field, path in self._features.items()}

    def _feature(self, field: str, path: str) -> Any:
        """Returns the TFDS feature of a field; raises UserError if it cannot be read."""
        import tensorflow_datasets as tfds

        feature: Any = self._builder.info.features
        for name in path.split("/"):
            names = list(feature) if isinstance(feature, tfds.features.FeaturesDict) else []
            if name not in names:
                raise UserError(
                    f"data.features.{field}={path}: there is no {name!r}; "
                    f"there is {', '.join(names) or 'nothing inside'}."
                )
            feature = feature[name]
        item = feature.feature if isinstance(feature, tfds.features.Sequence) else feature
        if isinstance(item, tfds.features.Text | tfds.features.ClassLabel):
            return feature
        dtype = getattr(feature, "np_dtype", None)
        if feature.shape != () or dtype is None or not np.issubdtype(dtype, np.number):
            raise UserError(
                f"data.features.{field}={path} is neither a text nor a class label nor "
                f"a number, nor a sequence of texts or labels, but {feature}."
            )
        return feature

    def _fields_of(self, example: Any) -> dict[str, Any]:
        fields = {}
        for field, path in self._features.items():
            fields[field] = example
            for name in path.split("/"):
                fields[field] = fields[field][name]
        return fields

    def _values(self, field: str, feature: Any, values: list[Any]) -> list[Any]:
        """Returns texts and label names for the bytes and numbers of TFDS."""
        import tensorflow_datasets as tfds

        if isinstance(feature, tfds.features.Sequence):
            return [self._values(field, feature.feature, items) for items in values]
        if isinstance(feature, tfds.features.ClassLabel):  # -1 is an unknown label
            return [feature.int2str(value) if value >= 0 else "" for value in values]
        if not isinstance(feature, tfds.features.Text):
            return values
        try:
            return [value.decode("utf-8") for value in values]
        except UnicodeDecodeError as error:
            raise UserError(
                f"{self.describe()['name']}: the feature {self._features[field]} holds invalid "
                f"UTF-8 ({error.reason} in {error.object[:40]!r})."
            ) from None

    def _checked_split(self, split: str) -> str:
        """Returns the TFDS split of a split; raises UserError if it is invalid or empty."""
        specification = self._splits[split]
        setting = f"data.splits.{split}={specification}"
        tfds_splits = self._builder.info.splits
        for part in specification.split("+"):
            if part.split("[")[0].strip() not in tfds_splits:
                raise UserError(
                    f"{setting}: the dataset has {', '.join(tfds_splits)}. To take a split from "
                    f"train, give data.splits.{split}=null data.holdout.fractions.{split}=0.05."
                )
        if self._is_translate_folder and specification not in list(tfds_splits):
            raise UserError(
                f"{setting}: a folder of <language>.<split>.txt files cannot be sliced; its "
                f"splits are {', '.join(tfds_splits)}."
            )
        try:
            count = tfds_splits[specification].num_examples
        except ValueError as error:
            raise UserError(f"{setting}: {str(error).splitlines()[0]}") from None
        if count == 0:
            raise UserError(f"{setting}: there are no records in it.")
        return specification

    def _content(self, split: str) -> list[str]:
        specification = self._checked_split(split)
        # The sizes of all splits, since they decide where a slice begins.
        splits = sorted(self._builder.info.splits.items())
        sizes = [f"{name} {info.shard_lengths}" for name, info in splits]
        features = self._field_features().values()
        labels = [str(getattr(feature, "names", None)) for feature in features]
        files = map(content_hash, self._files(specification))
        return [specification, str(self._features), *labels, *sizes, *files]

    def _files(self, specification: str) -> list[Path]:
        """Returns the files of a TFDS split or slice."""
        if self._is_translate_folder:
            return sorted(Path(self._builder.data_dir).glob(f"*.{specification}.txt"))
        return [Path(path) for path in self._builder.info.splits[specification].filepaths]


def open_builder(name: str | None, directory: Path | None) -> Any:
    """Returns a prepared TFDS builder; downloads and prepares the data if necessary."""
    import tensorflow_datasets as tfds

    if directory is not None and (directory / "dataset_info.json").is_file():
        check_features(directory)
        return tfds.builder_from_directory(directory)
    if name is None:
        return _translate_folder(directory)
    try:
        builder = tfds.builder(name, data_dir=directory)
    except tfds.core.registered.DatasetNotFoundError:
        similar = difflib.get_close_matches(name.split("/")[0], sorted(set(tfds.list_builders())))
        hint = f" Did you mean {' or '.join(similar)}?" if similar else ""
        place = "" if directory is None else f" and no dataset is prepared in {directory}"
        raise UserError(f"data.name={name}: TFDS has no such dataset{place}.{hint}") from None
    except ValueError as error:
        raise UserError(f"data.name={name}: {' '.join(str(error).split())}") from None
    from seq2seq.data.formats.tfds_downloads import quick_failure

    advice = (
        f"Where there is a network, prepare it by `tfds build {name}`, and copy "
        f"~/tensorflow_datasets/{builder.name} to {Path(builder.data_dir_root) / builder.name} "
        "here, or to another folder that data.directory names."
    )
    try:
        with quick_failure(advice):
            builder.download_and_prepare()
    except UserError as error:
        raise UserError(f"data.name={name}: {error}") from None
    except Exception as error:
        # Anything can be raised by the network, the server or the builder's own parsing.
        raise UserError(
            f"data.name={name} cannot be downloaded and prepared "
            f"({type(error).__name__}: {str(error).strip().splitlines()[0]}). Prepare it where "
            "there is a network, and let data.directory name the folder."
        ) from error
    return builder


def _translate_folder(directory: Path | None) -> Any:
    import tensorflow_datasets as tfds

    if directory is None or not any(directory.glob("*.*.txt")):
        raise UserError(
            f"data.directory={directory} is neither a prepared TFDS dataset (with "
            "dataset_info.json) nor a folder of <language>.<split>.txt files. Set data.directory, "
            "or the variable SEQ2SEQ_DATA that it may be built on, or data.name."
        )
    try:
        return tfds.TranslateFolder(root_dir=str(directory))
    except ValueError as error:
        raise UserError(
            f"data.directory={directory} cannot be read as a folder of <language>.<split>.txt "
            f"files: {error}. It must hold no other files, and those of a split must have equally "
            "many lines."
        ) from None


def _to_list(values: Any) -> list[Any]:
    """Returns a tensor or ragged tensor as plain lists."""
    return values.to_list() if hasattr(values, "to_list") else values.numpy().tolist()


def check_features(directory: Path) -> None:
    """Raises UserError if a prepared folder names classes outside TFDS, which TFDS would import."""
    path = directory / "features.json"
    if not path.exists():
        return
    try:
        names = _class_names(json.loads(path.read_text(encoding="utf-8")))
        foreign = [name for name in names if not name.startswith("tensorflow_datasets.")]
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: is damaged ({error}). Copy the data again.") from error
    if foreign:
        raise UserError(
            f"{path}: names the feature class '{foreign[0]}', which is not one of TFDS; prepared "
            "data must not run other code."
        )


def _class_names(content: object) -> Iterator[str]:
    """Yields the class of every feature, at any depth."""
    if isinstance(content, dict):
        for key, value in content.items():
            if key in _CLASS_KEYS and isinstance(value, str):
                yield value
            else:
                yield from _class_names(value)
    elif isinstance(content, list):
        for item in content:
            yield from _class_names(item)
