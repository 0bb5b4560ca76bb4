"""The generation task, joined from its data, prediction and evaluation."""

from pathlib import Path
from typing import Any

from seq2seq.data.tokenizers.tokenizer import SPECIAL_TOKENS, Tokenizer
from seq2seq.data.windows import Windows
from seq2seq.decoding.strategy import Strategy
from seq2seq.errors import UserError
from seq2seq.models.language_model import LanguageModel
from seq2seq.tasks.consistency import check_drops
from seq2seq.tasks.exported import ExportedFunction
from seq2seq.tasks.generation.evaluation import GenerationEvaluation, checked_rate
from seq2seq.tasks.generation.export import exported_functions
from seq2seq.tasks.generation.prediction import GenerationPrediction
from seq2seq.tasks.prediction_options import PredictionOptions
from seq2seq.training.losses import TokenCrossEntropy


class Generation(GenerationPrediction, GenerationEvaluation):
    """Learns from documents (records with `text`) to continue a text.

    Args:
        tokenizer: Splits texts into tokens: words, characters or subwords.
        batching: The windows that documents are read in.
        decoding: The search for continuations.
        samples: How many sample continuations of a split's documents are made.
        prompt_length: The tokens of the document before a sample.
        dynamic_rate: The learning rate of dynamic evaluation, see `DynamicModel`; 0 leaves it out.
        consistency: Weight of the divergence between two passes over each training window, with two
            dropout masks and from the same states, see `TokenCrossEntropy`; a step takes about
            twice as long.

    Raises:
        UserError: If an argument is impossible.
        ValueError: If `consistency` is impossible.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        batching: Windows,
        decoding: Strategy,
        samples: int = 8,
        prompt_length: int = 64,
        dynamic_rate: float = 0.0,
        consistency: float = 0.0,
    ) -> None:
        for name, value in {"samples": samples, "prompt_length": prompt_length}.items():
            if value < 1:
                raise UserError(f"task.{name}={value} is below 1.")
        if decoding.shortlist:
            raise UserError(
                f"decoding.shortlist={decoding.shortlist}: is for translations, whose sources say "
                "which tokens are likely; set it to 0."
            )
        super().__init__(batching)
        self.tokenizer, self.decoding = tokenizer, decoding
        self.samples, self.prompt_length = samples, prompt_length
        self.dynamic_rate = checked_rate(dynamic_rate, "task.dynamic_rate")
        self.consistency = consistency
        self.loss = TokenCrossEntropy(consistency=consistency)

    def check_model(self, model: LanguageModel) -> None:
        """Refuses a consistency loss where there is no dropout."""
        check_drops(self.consistency, model)

    def exported_functions(
        self, model: LanguageModel, options: PredictionOptions
    ) -> list[ExportedFunction]:
        """Returns the search for continuations, and the step of a stream."""
        self.check_options(options, ("decoding",))
        return exported_functions(model, options.decoding or self.decoding)

    def export_vocabularies(self, folder: Path) -> dict[str, Any]:
        """Writes the tokenizer."""
        self.tokenizer.save_standard(folder / "tokenizer.json")
        return {"tokenizers": {"text": "tokenizer.json"}, "special_tokens": SPECIAL_TOKENS}
