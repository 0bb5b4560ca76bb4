"""EOLE's search: `python -m benchmarks.programs.decode_eole JOB`.

Timed is what its predictor does with a batch: making the tensors, and `Translator.predict_batch`;
turning tokens into text is not. All hypotheses are as long as their batch's longest source, and
the end. Its greedy search is a beam search with a beam of 1, as its users have it.
"""

from typing import Any

import torch
from eole.config.run import PredictConfig
from eole.predict import GNMTGlobalScorer
from eole.predict.translator import Translator

from benchmarks.batches import Batch
from benchmarks.programs.decode import Decode, measure
from benchmarks.programs.eole_luong import to_batch, translation, versions
from benchmarks.programs.job import Job


def main() -> None:
    """Decodes and reports."""
    job = Job.from_arguments()
    model, vocabularies, config = translation(job.work)
    model.eval()
    greedy, beam = (
        decoder(translator(model, vocabularies, config, beam_size=size)) for size in (1, 5)
    )
    measure(job, {"greedy": greedy, "beam_5": beam}, greedy, **versions())


def translator(model: Any, vocabularies: dict[str, Any], config: Any, beam_size: int) -> Translator:
    """Returns EOLE's search over a model."""
    settings = PredictConfig(
        model_path="unused",
        src="unused",
        beam_size=beam_size,
        n_best=1,
        length_penalty="wu",
        alpha=1.0,
    )
    return Translator(
        model,
        vocabularies,
        settings,
        config.model,
        device_id=-1,
        global_scorer=GNMTGlobalScorer.from_config(settings),
        report_score=False,
    )


def decoder(search: Translator) -> Decode:
    """Returns what translates a batch."""

    def decode(batch: Batch) -> list[list[torch.Tensor]]:
        longest = int(batch["source_length"].max())
        search.min_length, search.max_length = longest, longest + 1
        search.max_length_ratio = 0
        sources = {name: batch[name] for name in ("source", "source_length")}
        return search.predict_batch(to_batch(sources), attn_debug=False)["predictions"]

    return decode


if __name__ == "__main__":
    main()
