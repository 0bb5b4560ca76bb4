"""Datasets of TensorFlow Datasets (TFDS): any by its name, or from a prepared folder."""

import difflib
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
    """Any dataset of TensorFlow Datasets; nothing is read or downloaded before it is needed.

    Args:
        name: `dataset`, `dataset/config` or `dataset/config:version`; `None` where `directory` is
            itself a prepared dataset, or a folder for `tfds.TranslateFolder`.
        features: The feature of each field, nested ones with `/`, such as `translation/en`. Texts,
            class labels (read as their names), numbers, and sequences of texts or labels (read as
            lists) are possible.
        splits: The TFDS split of each split, sliced if wanted, such as `train[:90%]`.
        directory: Where TFDS keeps its datasets, or one prepared dataset; `None` for the default
            of TFDS.
        holdout: Takes further splits out of `train`.

    Raises:
        UserError: If neither a name nor a directory is given.

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
        self._opened: Any = None
        super().__init__(self._splits, holdout)

    def describe(self) -> dict[str, str]:
        """Returns the name, and the folder or `tfds`."""
        source = "tfds" if self._directory is None else str(self._directory.absolute())
        return {"name": self._name or "/".join(Path(source).parts[-2:]), "source": source}

    @property
    def _builder(self) -> Any:
        if self._opened is None:
            self._opened = open_builder(self._name, self._directory)
        return self._opened

    @property
    def _is_translate_folder(self) -> bool:
        import tensorflow_datasets as tfds

        return isinstance(self._builder, tfds.TranslateFolder)

    def _read(self, split: str) -> Iterator[Record]:
        import tensorflow_datasets as tfds

        kinds = self._kinds()
        # One file after the other, in order: the default reads several at once.
        config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
        examples = self._builder.as_dataset(
            split=self._checked_split(split), shuffle_files=False, read_config=config
        )
        for batch in examples.map(self._fields_of).ragged_batch(_BATCH_SIZE).prefetch(1):
            columns = [
                self._values(field, kind, _as_list(batch[field])) for field, kind in kinds.items()
            ]
            for values in zip(*columns, strict=True):
                yield dict(zip(kinds, values, strict=True))

    def _kinds(self) -> dict[str, Any]:
        """Returns the TFDS feature of each field."""
        return {
            field: self._feature(field, name.split("/")) for field, name in self._features.items()
        }

    def _feature(self, field: str, path: list[str]) -> Any:
        """Returns the feature that a field is read from; raises UserError where there is none."""
        import tensorflow_datasets as tfds

        feature: Any = self._builder.info.features
        for name in path:
            known = list(feature) if isinstance(feature, tfds.features.FeaturesDict) else []
            if name not in known:
                raise UserError(
                    f"data.features.{field}={'/'.join(path)}: there is no {name!r}; "
                    f"there is {', '.join(known) or 'nothing inside'}."
                )
            feature = feature[name]
        inner = feature.feature if isinstance(feature, tfds.features.Sequence) else feature
        if isinstance(inner, tfds.features.Text | tfds.features.ClassLabel):
            return feature
        kind = getattr(feature, "np_dtype", None)
        if feature.shape != () or kind is None or not np.issubdtype(kind, np.number):
            raise UserError(
                f"data.features.{field}={'/'.join(path)} is neither a text nor a class label nor "
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

    def _values(self, field: str, kind: Any, values: list[Any]) -> list[Any]:
        import tensorflow_datasets as tfds

        if isinstance(kind, tfds.features.Sequence):
            return [self._values(field, kind.feature, items) for items in values]
        if isinstance(kind, tfds.features.ClassLabel):  # -1 is an unknown label
            return [kind.int2str(value) if value >= 0 else "" for value in values]
        if not isinstance(kind, tfds.features.Text):
            return values
        try:
            return [value.decode("utf-8") for value in values]
        except UnicodeDecodeError as error:
            raise UserError(
                f"{self.describe()['name']}: the feature {self._features[field]} holds invalid "
                f"UTF-8 ({error.reason} in {error.object[:40]!r})."
            ) from None

    def _checked_split(self, split: str) -> str:
        specification = self._splits[split]
        known = self._builder.info.splits
        for part in specification.split("+"):
            if part.split("[")[0].strip() not in known:
                raise UserError(
                    f"data.splits.{split}={specification}: the dataset has {', '.join(known)}. To "
                    f"take a split from train, give data.splits.{split}=null "
                    f"data.holdout.fractions.{split}=0.05."
                )
        if self._is_translate_folder and specification not in list(known):
            raise UserError(
                f"data.splits.{split}={specification}: a folder of <language>.<split>.txt files "
                f"has whole splits only: {', '.join(known)}."
            )
        try:
            count = known[specification].num_examples
        except ValueError as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"data.splits.{split}={specification}: {reason}") from None
        if count == 0:
            raise UserError(f"data.splits.{split}={specification}: there are no records in it.")
        return specification

    def _content(self, split: str) -> list[str]:
        specification = self._checked_split(split)
        # The sizes of all splits, since they decide where a slice begins.
        sizes = [
            f"{name} {info.shard_lengths}"
            for name, info in sorted(self._builder.info.splits.items())
        ]
        labels = [str(getattr(kind, "names", None)) for kind in self._kinds().values()]
        files = map(content_hash, self._files(specification))
        return [specification, str(self._features), *labels, *sizes, *files]

    def _files(self, specification: str) -> list[Path]:
        """Returns the files that a TFDS split, or slice, is read from."""
        if self._is_translate_folder:
            return sorted(Path(self._builder.data_dir).glob(f"*.{specification}.txt"))
        return [Path(path) for path in self._builder.info.splits[specification].filepaths]


def open_builder(name: str | None, directory: Path | None) -> Any:
    """Returns a prepared TFDS builder, downloading the data if need be."""
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
        # Anything from the network, the remote server or the builder's own parsing ends here.
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
            f"files: {error}. It must hold nothing else, and the files of a split as many lines."
        ) from None


def _as_list(values: Any) -> list[Any]:
    """Returns a batch of values, or of sequences of different lengths, as plain lists."""
    return values.to_list() if hasattr(values, "to_list") else values.numpy().tolist()


def check_features(directory: Path) -> None:
    """Refuses a prepared folder whose features are not TFDS' own: TFDS would import their classes.

    Raises:
        UserError: If a feature is of another class, or the file is damaged.
    """
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
            "data must not run other code"
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
