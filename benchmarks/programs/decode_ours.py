"""Our search: `python -m benchmarks.programs.decode_ours JOB`."""

from functools import partial

import keras
import numpy as np
import tensorflow as tf

from benchmarks.batches import END, Batch
from benchmarks.programs.decode import COMPRESSED, INT8, NEVER, Decode, measure
from benchmarks.programs.job import Job
from benchmarks.works import Work
from seq2seq.decoding.beam import BeamSearch
from seq2seq.decoding.greedy import Greedy
from seq2seq.decoding.penalties import GNMTLengthPenalty
from seq2seq.decoding.strategy import Strategy
from seq2seq.inference.compression import rounded
from seq2seq.layers.attention import LuongAttention
from seq2seq.layers.bridge import ConcatenateBridge
from seq2seq.models.decoder import Decoder
from seq2seq.models.encoder import Encoder
from seq2seq.models.translator import Translator
from seq2seq.tasks.translation.search import Search


def main() -> None:
    """Decodes and reports."""
    job = Job.from_arguments()
    keras.utils.set_random_seed(1)
    if job.precision in ("bfloat16", INT8):
        keras.config.set_dtype_policy("mixed_bfloat16")
    model = translator(job.work, int8_search=job.precision == INT8)
    if job.precision == COMPRESSED:
        for weight in model.training_model.weights:
            weight.assign(rounded(weight.numpy()))
    limits = {"maximum_length_ratio": 1.0, "maximum_length_extra": 0}
    greedy = decoder(model, Greedy(**limits))
    beam = BeamSearch(beam_size=5, length_penalty=GNMTLengthPenalty(1.0), **limits)
    searches = {"greedy": greedy, "beam_5": decoder(model, beam)}
    measure(job, searches, greedy, tensorflow=tf.__version__, keras=keras.__version__)


def translator(work: Work, int8_search: bool = False) -> Translator:
    """Returns the model of a work, which never ends by itself."""
    model = Translator(
        source_vocabulary_size=work.vocabulary,
        target_vocabulary_size=work.outputs,
        encoder=Encoder(units=work.units, bidirectional=work.bidirectional),
        decoder=Decoder(units=work.encoder_width, attention=partial(LuongAttention, score="dot")),
        bridge=ConcatenateBridge,
        embedding_dim=work.embedding,
        int8_search=int8_search,
    )
    bias = np.zeros(work.outputs, np.float32)
    bias[END] = NEVER
    model.output_layer.bias.assign(bias)
    return model


def decoder(model: Translator, strategy: Strategy) -> Decode:
    """Returns what translates a batch."""
    search = Search((model,), strategy)

    def decode(batch: Batch) -> np.ndarray:
        lengths = batch["source_length"]
        return search(
            batch["source"], lengths, np.arange(len(lengths), dtype=np.int32)
        ).tokens.numpy()

    return decode


if __name__ == "__main__":
    main()
