"""The translation task, joined from its data, prediction and evaluation."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from seq2seq.data.batching import Batching
from seq2seq.data.tokenizers.tokenizer import SPECIAL_TOKENS, TokenizerPair
from seq2seq.decoding.strategy import Strategy
from seq2seq.errors import UserError
from seq2seq.evaluation.text import check_metrics
from seq2seq.models.translator import Translator
from seq2seq.tasks.consistency import check_drops
from seq2seq.tasks.exported import ExportedFunction
from seq2seq.tasks.prediction_options import PredictionOptions
from seq2seq.tasks.translation.data import SIDES
from seq2seq.tasks.translation.evaluation import TranslationEvaluation
from seq2seq.tasks.translation.export import exported_functions
from seq2seq.tasks.translation.prediction import TranslationPrediction
from seq2seq.tasks.translation.search import Scorer, Search
from seq2seq.training.guided_alignment import GuidedAlignment
from seq2seq.training.losses import TokenCrossEntropy

CACHED_GRAPHS = 8


class Translation(TranslationPrediction, TranslationEvaluation):
    """Learns from pairs of `source` and `target`, and predicts targets.

    Args:
        tokenizer: The tokenizers of both sides.
        batching: How rows become batches.
        decoding: The search.
        label_smoothing: Share of probability given to the uniform distribution in training.
        consistency: Weight of the divergence between two passes over each training row, with two
            dropout masks, see `TokenCrossEntropy`; a step takes about twice as long.
        unlikelihood: Weight of the loss for giving probability to tokens of the target that came
            before, against repetition, see `TokenCrossEntropy`.
        guided_alignment: Weight of the loss of the attention's weights against given word
            alignments, see `GuidedAlignment`; needs an attention, and `alignments` of the data.
        guided_alignment_decay: The factor of that weight from each training step to the next.
        metrics: Names of the scores of predictions.
        bleu_tokenize: sacreBLEU's tokenizer; `none` for text that is tokenised already.
        replace_unknown: Whether an unknown word becomes the source word that it attends to; needs
            words as tokens, and an attention.

    Raises:
        UserError: If a metric or tokenizer is unknown.
        ValueError: If the weight of a loss is impossible.
    """

    def __init__(
        self,
        tokenizer: TokenizerPair,
        batching: Batching,
        decoding: Strategy,
        label_smoothing: float = 0.0,
        consistency: float = 0.0,
        metrics: Sequence[str] = ("bleu", "chrf", "exact_match"),
        bleu_tokenize: str = "13a",
        replace_unknown: bool = False,
        unlikelihood: float = 0.0,
        guided_alignment: float = 0.0,
        guided_alignment_decay: float = 1.0,
    ) -> None:
        check_metrics(metrics, bleu_tokenize)
        super().__init__(batching)
        self.tokenizer, self.decoding = tokenizer, decoding
        guide = GuidedAlignment(guided_alignment, guided_alignment_decay)
        self.is_guided = guided_alignment > 0
        self.loss = TokenCrossEntropy(
            label_smoothing, consistency, unlikelihood, guide if self.is_guided else None
        )
        self.consistency = consistency
        self.metrics, self.bleu_tokenize = list(metrics), bleu_tokenize
        self.replace_unknown = replace_unknown
        self._search = lru_cache(CACHED_GRAPHS)(Search)
        self._scorer = lru_cache(CACHED_GRAPHS)(Scorer)

    def check_model(self, model: Translator) -> None:
        """Refuses settings that need an attention or dropout, where there is none."""
        check_drops(self.consistency, model)
        for name in ("consistency", "unlikelihood"):
            if getattr(self.loss, name) and model.copy_gate is not None:
                raise UserError(f"task.{name}: is not for model.copy=true; leave one of them out.")
        if self.consistency and model.scheduled_sampling is not None:
            raise UserError(
                "task.consistency: compares two readings of the same target, which scheduled "
                "sampling makes different; set model/scheduled_sampling=none, or leave it out."
            )
        if self.is_guided and model.decoder.attention is None:
            raise UserError(
                "task.guided_alignment: is a loss of the attention's weights, and there is none; "
                "choose one, such as model/attention=luong."
            )
        options = PredictionOptions(replace_unknown=self.replace_unknown)
        self.check_attention((model,), options, self.decoding)

    def exported_functions(
        self, model: Translator, options: PredictionOptions
    ) -> list[ExportedFunction]:
        """Returns the search, the encoder, and a step of the decoder."""
        self.check_options(options, ("decoding", "alignments", "token_scores"))
        decoding = options.decoding or self.decoding
        self.check_attention((model,), options, decoding)
        extra = options.alignments, options.token_scores
        return exported_functions(model, self.tokenizer, decoding, *extra)

    def export_vocabularies(self, folder: Path) -> dict[str, Any]:
        """Writes the tokenizers of both sides."""
        paths = {side: f"{side}_tokenizer.json" for side in SIDES}
        self.tokenizer.source.save_standard(folder / paths["source"])
        self.tokenizer.target.save_standard(folder / paths["target"])
        return {"tokenizers": paths, "special_tokens": SPECIAL_TOKENS}
