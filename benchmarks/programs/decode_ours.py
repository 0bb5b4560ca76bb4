"""Our search: `python -m benchmarks.programs.decode_ours JOB`."""

from collections.abc import Sequence
from functools import partial

import keras
import numpy as np
import tensorflow as tf

from benchmarks.batches import END, SPECIAL_IDS, Batch
from benchmarks.programs.decode import (
    COMPRESSED,
    INT8,
    INT8_SHORTLIST,
    NEVER,
    Decode,
    measure,
)
from benchmarks.programs.job import Job
from benchmarks.works import Work
from seq2seq.data.token_store import RaggedColumn
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
from seq2seq.tasks.translation.lexical_table import LexicalTable
from seq2seq.tasks.translation.search import Search

SOURCE = "source", "source_length"
FREQUENT = 500
"""The setting `decoding.shortlist`."""


def main() -> None:
    """Decodes and reports."""
    job = Job.from_arguments()
    keras.utils.set_random_seed(1)
    in_int8 = job.precision in (INT8, INT8_SHORTLIST)
    if job.precision == "bfloat16" or in_int8:
        keras.config.set_dtype_policy("mixed_bfloat16")
    model = translator(job.work, int8_search=in_int8)
    if job.precision == COMPRESSED:
        for weight in model.training_model.weights:
            weight.assign(rounded(weight.numpy()))
    limits = {"maximum_length_ratio": 1.0, "maximum_length_extra": 0}
    table = lexical_table(job.work, job.load()) if job.precision == INT8_SHORTLIST else None
    greedy = decoder(model, Greedy(**limits), table)
    beam = BeamSearch(beam_size=5, length_penalty=GNMTLengthPenalty(1.0), **limits)
    searches = {"greedy": greedy, "beam_5": decoder(model, beam, table)}
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


def lexical_table(work: Work, batches: Sequence[Batch]) -> LexicalTable:
    """Returns the table of the batches' own pairs."""
    sources = [row[:n] for b in batches for row, n in zip(*map(b.get, SOURCE), strict=True)]
    targets = [row[row >= SPECIAL_IDS] for batch in batches for row in batch["target"]]
    columns = [
        RaggedColumn(np.cumsum([0, *map(len, rows)]), np.concatenate(rows))
        for rows in (sources, targets)
    ]
    return LexicalTable.learn(*columns, (work.vocabulary, work.outputs))


def decoder(model: Translator, strategy: Strategy, table: LexicalTable | None = None) -> Decode:
    """Returns what translates a batch, with a shortlist if there is a table."""
    search = Search((model,), strategy)

    def decode(batch: Batch) -> np.ndarray:
        source, lengths = (batch[name] for name in SOURCE)
        rows = [row[:length] for row, length in zip(source, lengths, strict=True)]
        return search(
            source,
            lengths,
            np.arange(len(lengths), dtype=np.int32),
            shortlist=None if table is None else table.shortlist(rows, FREQUENT),
        ).tokens.numpy()

    return decode


if __name__ == "__main__":
    main()
