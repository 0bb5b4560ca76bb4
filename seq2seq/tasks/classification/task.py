"""The classification task, joined from its data, prediction and evaluation."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from seq2seq.data.batching import Batching
from seq2seq.data.labels.class_labels import ClassLabels
from seq2seq.data.number_columns import NumberColumn
from seq2seq.data.tokenizers.tokenizer import Tokenizer
from seq2seq.errors import UserError
from seq2seq.models.classifier import Classifier
from seq2seq.tasks.classification.evaluation import ClassificationEvaluation
from seq2seq.tasks.classification.export import exported_functions
from seq2seq.tasks.classification.prediction import ClassificationPrediction
from seq2seq.tasks.consistency import check_drops
from seq2seq.tasks.exported import ExportedFunction
from seq2seq.tasks.prediction_options import PredictionOptions
from seq2seq.training.losses import ClassCrossEntropy, MultiLabelCrossEntropy

TEXTS = ("text", "text2")


class Classification(ClassificationPrediction, ClassificationEvaluation):
    """Learns from records with a `text` and a `label`, and predicts labels with probabilities.

    Records that cannot be learned from (empty texts, no number where one is expected, in validation
    and test a label that training does not have) are left out, counted and reported.

    Args:
        tokenizer: Of all texts.
        batching: How rows become batches.
        pairs: Whether a record has two texts, `text` and `text2`.
        numbers: Fields that hold a number each, read beside the text; standardised by the mean and
            the deviation of the training records.
        multi_label: Whether a record may have any number of labels.
        label_delimiter: The separator of several labels in one text.
        label_names: Other names for labels, such as `{0: negative}`.
        maximum_length: How many tokens of a text are read; null for all.
        label_smoothing: Share of probability given to the uniform distribution in training.
        class_weights: `balanced`, weights by label, or null.
        focal_gamma: How much less well classified examples weigh in training, see
            `ClassCrossEntropy`.
        threshold: The least probability of a predicted label, with `multi_label`.
        consistency: Weight of the divergence between two passes over each training row, with two
            dropout masks (R-Drop), see `ClassLoss`; a step takes about twice as long.

    Raises:
        UserError: If the batching leaves out long texts, which are cut instead.
        ValueError: If an argument is impossible.
    """

    target_unit = "texts"

    def __init__(
        self,
        tokenizer: Tokenizer,
        batching: Batching,
        pairs: bool = False,
        numbers: Sequence[str] = (),
        multi_label: bool = False,
        label_delimiter: str = ",",
        label_names: Mapping[Any, str] | None = None,
        maximum_length: int | None = None,
        label_smoothing: float = 0.0,
        class_weights: str | Mapping[str, float] | None = None,
        focal_gamma: float = 0.0,
        threshold: float = 0.5,
        consistency: float = 0.0,
    ) -> None:
        super().__init__(batching)
        if any(limit is not None for limit in batching.maximum_length.values()):
            raise UserError(
                "batching.maximum_length: classification cuts long texts instead of leaving them "
                "out; set task.maximum_length."
            )
        if not 0 < threshold < 1:
            raise ValueError(f"threshold: must be between 0 and 1, got {threshold!r}")
        if maximum_length is not None and maximum_length < 1:
            raise ValueError(f"maximum_length: must be at least 1 or null, got {maximum_length!r}")
        self.tokenizer = tokenizer
        self.texts = self.sorted_by = TEXTS if pairs else TEXTS[:1]
        self.numbers = [NumberColumn(field) for field in numbers]
        self.input_fields = (*self.texts, *numbers)
        self.labels = ClassLabels(label_names, multi_label, label_delimiter)
        self.maximum_length, self.threshold = maximum_length, threshold
        self.class_weights = class_weights
        self.make_loss = partial(
            MultiLabelCrossEntropy if multi_label else ClassCrossEntropy,
            label_smoothing=label_smoothing,
            focal_gamma=focal_gamma,
            consistency=consistency,
        )
        self.loss = self.make_loss(class_weights=None)
        self.consistency = consistency

    def check_model(self, model: Classifier) -> None:
        """Refuses a consistency loss where there is no dropout."""
        check_drops(self.consistency, model)

    def exported_functions(
        self, model: Classifier, options: PredictionOptions
    ) -> list[ExportedFunction]:
        """Returns the probabilities of texts, and the step of a stream if there is one."""
        self.check_options(options, ("attention",))
        several = self.labels.several
        return exported_functions(
            model,
            self.texts,
            self.numbers,
            self.temperature,
            several,
            self.tokenizer,
            self.maximum_length,
        )

    def export_vocabularies(self, folder: Path) -> dict[str, Any]:
        """Writes the tokenizer."""
        self.tokenizer.save_standard(folder / "tokenizer.json")
        return {
            "tokenizers": dict.fromkeys(self.texts, "tokenizer.json"),
            "maximum_length": self.maximum_length,
            "labels": list(self.labels.names),
            "several_labels": self.labels.several,
            "threshold": self.threshold if self.labels.several else None,
        }
