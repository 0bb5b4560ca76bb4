"""OpenNMT-tf's search: `python -m benchmarks.programs.decode_opennmt JOB`.

Timed is `opennmt.models.Model.infer` inside one `tf.function`, as its `Runner.infer` calls it, with
the options `beam_width`, `minimum_decoding_length` and `maximum_decoding_length`. No `tf.data` is
involved, so neither is the teardown of its iterators.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.batches import Batch
from benchmarks.programs.decode import Decode, measure
from benchmarks.programs.job import Job
from benchmarks.programs.opennmt_luong import to_features, translation, versions

SIGNATURE = {
    "ids": tf.TensorSpec([None, None], tf.int32),
    "length": tf.TensorSpec([None], tf.int32),
}


def main() -> None:
    """Decodes and reports."""
    job = Job.from_arguments()
    tf.random.set_seed(1)
    model = translation(job.work, {})
    greedy, beam = decoder(model, beam_width=1), decoder(model, beam_width=5, length_penalty=1.0)
    measure(job, {"greedy": greedy, "beam_5": beam}, greedy, **versions())


def decoder(model: Any, **options: float) -> Decode:
    """Returns what translates a batch: all its rows as long as its longest source, and the end."""

    @tf.function(input_signature=(SIGNATURE,))
    def infer(features: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        # Read while the function is traced, and never again.
        longest = tf.reduce_max(features["length"])
        limits = {"minimum_decoding_length": longest, "maximum_decoding_length": longest + 1}
        model.params.clear()
        model.params.update(**options, **limits)
        return model.infer(features)

    def decode(batch: Batch) -> np.ndarray:
        found = {name: each.numpy() for name, each in infer(to_features(batch)).items()}
        return found["tokens"][:, 0]

    return decode


if __name__ == "__main__":
    main()
