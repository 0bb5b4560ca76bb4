"""One worker of a distributed training of a work: `python -m benchmarks.programs.worker JOB`.

It computes one of the `parts` of each batch; the others have those of `TF_CONFIG`, if it is set.
"""

import tensorflow as tf

from benchmarks.programs.job import Clock, report
from benchmarks.programs.ours import to_example, trained_model
from benchmarks.programs.tensorflow_fit import begin
from seq2seq.ops.dispatch import disable_inter_op_parallelism
from seq2seq.training.divided_step import DividedStep
from seq2seq.training.masked_loss_model import Batch
from seq2seq.training.workers import MultiWorker


def main() -> None:
    """Trains and reports."""
    disable_inter_op_parallelism()
    workers = MultiWorker()
    workers.connect()
    job = begin()
    tf.config.experimental.enable_op_determinism()
    clock, batches = Clock(job), job.load()
    watched = clock.watch(batches)

    def next_batch() -> Batch:
        part = {name: array[workers.index :: job.parts] for name, array in next(watched).items()}
        return tf.nest.map_structure(tf.constant, to_example(part))

    signature = tf.nest.map_structure(
        lambda array: tf.TensorSpec([None] * array.ndim, array.dtype), to_example(batches[0])
    )
    step = DividedStep(workers, 1, trained_model(job.work), signature)
    for _ in batches:
        step(next_batch)
        clock.tick()
    report(**clock.figures())


if __name__ == "__main__":
    main()
