"""One instance and one input of each class that is registered with Keras."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from seq2seq.layers.attention import (
    BahdanauAttention,
    LocationAwareAttention,
    LuongAttention,
    PrepareMemory,
)
from seq2seq.layers.attention_scores import (
    AdditiveScore,
    Coverage,
    CoverageLoss,
    DotScore,
    Location,
    PredictedWindow,
)
from seq2seq.layers.bridge import (
    ConcatenateBridge,
    CopyBridge,
    DenseBridge,
    StateSpec,
    ZeroBridge,
)
from seq2seq.layers.character_features import CharacterCNN, CharacterLSTM
from seq2seq.layers.copying import CopyGate, CopyMixture
from seq2seq.layers.crf import CRF
from seq2seq.layers.dense import Dense, LogitFactors
from seq2seq.layers.dropout import Dropout, EmbeddingDropout, WordDropout
from seq2seq.layers.embedding import Embedding, ReversibleEmbedding
from seq2seq.layers.layer_norm_lstm import LayerNormLSTM
from seq2seq.layers.minimal import MinGRU, MinLSTM
from seq2seq.layers.mogrifier_lstm import MogrifierLSTM
from seq2seq.layers.multi_head_attention import MultiHeadAttention
from seq2seq.layers.pooling import AttentionPooling, LastPooling, MaxPooling, MeanPooling
from seq2seq.layers.recurrent import GRU, LSTM
from seq2seq.models.classifier import Combine
from seq2seq.models.decoder import Decoder
from seq2seq.models.encoder import Encoder
from seq2seq.models.forecaster import AtEachStep, RawNumbers
from seq2seq.models.incremental import EncoderSteps, RunningPooling
from seq2seq.models.stack import CarriedStack, RecurrentStack
from seq2seq.models.tagger import LegalPaths, Respelled
from seq2seq.models.translator import ReverseSource

ROWS, STEPS, SOURCE, UNITS, WIDTH, IDS = 3, 4, 5, 4, 6, 9
SPEC = StateSpec(layers=2, fields=("h", "c"), units=UNITS)


def floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype("float32")


def ids(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(1, IDS, shape, "int32")


LENGTHS = np.array([STEPS, 1, 2], "int32")
SOURCE_LENGTHS = np.array([SOURCE, 1, 0], "int32")
STATES = [{"h": floats(ROWS, UNITS), "c": floats(ROWS, UNITS)} for _ in range(2)]
MASK = np.arange(SOURCE) < SOURCE_LENGTHS[:, np.newaxis]
MEMORY = {"keys": floats(ROWS, SOURCE, UNITS), "values": floats(ROWS, SOURCE, UNITS), "mask": MASK}
QUERY = floats(ROWS, STEPS, UNITS)
WEIGHTS = np.abs(floats(ROWS, STEPS, SOURCE)) / 20
HEADS = {name: floats(ROWS, 2, SOURCE, 2) for name in ("keys", "values")} | {"mask": MASK}


def ends(directions: tuple[str, ...], units: int) -> list[dict[str, Any]]:
    return [
        {name: {"h": floats(ROWS, units), "c": floats(ROWS, units)} for name in directions}
        for _ in range(2)
    ]


@dataclass(frozen=True)
class Case:
    """How a layer is made, from its dtype alone, and what it is called with, by name."""

    make: Callable[..., keras.layers.Layer]
    inputs: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)


def decoder(**options: Any) -> Callable[..., Decoder]:
    return lambda **more: Decoder(units=UNITS, layers=2, **options, **more)


STEPPED = {"inputs": floats(ROWS, STEPS, WIDTH), "states": STATES}
ATTENDED = {**STEPPED, "memory": MEMORY}
COVERED = [*STATES, {"coverage": np.zeros((ROWS, SOURCE), "float32")}]
FED = [*STATES, {"fed": floats(ROWS, UNITS)}]
TEXT = {"outputs": floats(ROWS, STEPS, WIDTH), "lengths": LENGTHS}
SPELLED = {"characters": ids(ROWS, STEPS), "lengths": LENGTHS}
ASKED = {"query": QUERY, "memory": MEMORY, "state": {}}

CASES: dict[str, Case] = {
    "LSTM": Case(lambda **o: LSTM(UNITS, **o), {"sequences": floats(ROWS, STEPS, WIDTH)}),
    "LSTM, all": Case(
        lambda **o: LSTM(UNITS, return_sequences=True, return_state=True, weight_dropout=0.2, **o),
        {"sequences": floats(ROWS, STEPS, WIDTH), "initial_state": [*STATES[0].values()]},
    ),
    "GRU": Case(
        lambda **o: GRU(UNITS, return_sequences=True, go_backwards=True, **o),
        {"sequences": floats(ROWS, STEPS, WIDTH)},
    ),
    "GRU, zoneout": Case(
        lambda **o: GRU(UNITS, return_sequences=True, zoneout=0.3, **o),
        {"sequences": floats(ROWS, STEPS, WIDTH)},
    ),
    "LayerNormLSTM": Case(
        lambda **o: LayerNormLSTM(UNITS, return_state=True, zoneout=[0.1, 0.5], **o),
        {"sequences": floats(ROWS, STEPS, WIDTH), "initial_state": [*STATES[0].values()]},
    ),
    "MinGRU": Case(
        lambda **o: MinGRU(UNITS, return_sequences=True, go_backwards=True, **o),
        {"sequences": floats(ROWS, STEPS, WIDTH)},
    ),
    "MinLSTM": Case(
        lambda **o: MinLSTM(UNITS, return_state=True, zoneout=0.1, use_bias=False, **o),
        {"sequences": floats(ROWS, STEPS, WIDTH), "initial_state": [STATES[0]["h"]]},
    ),
    "MogrifierLSTM": Case(
        lambda **o: MogrifierLSTM(UNITS, rounds=3, return_state=True, **o),
        {"sequences": floats(ROWS, STEPS, WIDTH), "initial_state": [*STATES[0].values()]},
    ),
    "GRU, reset before": Case(
        lambda **o: GRU(UNITS, reset_after=False, **o), {"sequences": floats(ROWS, STEPS, WIDTH)}
    ),
    "Dense": Case(
        lambda **o: Dense(UNITS, activation="tanh", **o), {"inputs": floats(ROWS, STEPS, WIDTH)}
    ),
    "Embedding": Case(lambda **o: Embedding(IDS, WIDTH, **o), {"inputs": ids(ROWS, STEPS)}),
    "Embedding, mask": Case(
        lambda **o: Embedding(IDS, WIDTH, mask_zero=True, **o), {"inputs": ids(ROWS, STEPS)}
    ),
    "ReversibleEmbedding": Case(
        lambda **o: ReversibleEmbedding(IDS, WIDTH, **o), {"inputs": ids(ROWS, STEPS)}
    ),
    "ReversibleEmbedding, reverse": Case(
        lambda **o: ReversibleEmbedding(IDS, WIDTH, **o),
        {"inputs": floats(ROWS, STEPS, WIDTH)},
        {"reverse": True},
    ),
    "Dropout": Case(lambda **o: Dropout(0.3, **o), {"inputs": floats(ROWS, STEPS, WIDTH)}),
    "WordDropout": Case(lambda **o: WordDropout(0.3, **o), {"ids": ids(ROWS, STEPS)}),
    "EmbeddingDropout": Case(
        lambda **o: EmbeddingDropout(IDS, 0.3, **o),
        {"vectors": floats(ROWS, STEPS, WIDTH), "words": ids(ROWS, STEPS)},
    ),
    "CRF": Case(
        lambda **o: CRF(UNITS, [[True] * 4 + [False]] + [[True] * 5] * 4, **o),
        {"logits": floats(ROWS, STEPS, UNITS)},
    ),
    "LegalPaths": Case(
        lambda **o: LegalPaths(UNITS, [[True] * 4 + [False]] + [[True] * 5] * 4, **o),
        {"logits": floats(ROWS, STEPS, UNITS)},
    ),
    "CharacterLSTM": Case(lambda **o: CharacterLSTM(IDS, 3, 5, 0.1, **o), SPELLED),
    "CharacterCNN": Case(lambda **o: CharacterCNN(IDS, 3, 5, 3, 0.1, **o), SPELLED),
    "Respelled": Case(Respelled, {"vectors": floats(IDS, WIDTH), "spelling": ids(ROWS, STEPS)}),
    "LastPooling": Case(lambda **o: LastPooling(bidirectional=True, **o), TEXT),
    "MeanPooling": Case(MeanPooling, TEXT),
    "MaxPooling": Case(MaxPooling, TEXT),
    "AttentionPooling": Case(lambda **o: AttentionPooling(5, **o), TEXT),
    "AttentionPooling, weights": Case(
        lambda **o: AttentionPooling(5, **o), TEXT, {"return_weights": True}
    ),
    "Combine": Case(
        lambda **o: Combine("tanh", 5, **o),
        {"one": floats(ROWS, WIDTH), "other": floats(ROWS, WIDTH) - 1},
    ),
    "ReverseSource": Case(
        ReverseSource, {"sequences": floats(ROWS, STEPS, WIDTH), "lengths": LENGTHS}
    ),
    "CopyBridge": Case(lambda **o: CopyBridge(SPEC, **o), {"states": ends(("forward",), UNITS)}),
    "ConcatenateBridge": Case(
        lambda **o: ConcatenateBridge(SPEC, **o), {"states": ends(("forward", "backward"), 2)}
    ),
    "DenseBridge": Case(
        lambda **o: DenseBridge(SPEC, activation=None, **o),
        {"states": ends(("forward", "backward"), 3)},
    ),
    "ZeroBridge": Case(lambda **o: ZeroBridge(SPEC, **o), {"states": ends(("forward",), 3)}),
    "PrepareMemory": Case(
        lambda **o: PrepareMemory(Dense(3, name="keys", **o), Dense(4, name="values", **o), **o),
        {"outputs": floats(ROWS, SOURCE, WIDTH), "lengths": SOURCE_LENGTHS},
    ),
    "DotScore": Case(
        lambda **o: DotScore(UNITS, "scaled_dot", **o), {"query": QUERY, "keys": MEMORY["keys"]}
    ),
    "AdditiveScore": Case(
        lambda **o: AdditiveScore(UNITS, normalize=True, **o),
        {"query": QUERY, "keys": MEMORY["keys"]},
    ),
    "PredictedWindow": Case(
        lambda **o: PredictedWindow(UNITS, 2, **o), {"query": QUERY, "mask": MASK}
    ),
    "Coverage": Case(lambda **o: Coverage(UNITS, **o), {"state": floats(ROWS, SOURCE)}),
    "Location": Case(lambda **o: Location(UNITS, 2, 3, **o), {"state": floats(ROWS, SOURCE)}),
    "CoverageLoss": Case(lambda **o: CoverageLoss(0.5, **o), {"alignments": WEIGHTS}),
    "LuongAttention": Case(lambda **o: LuongAttention(UNITS, **o), ASKED),
    "LuongAttention, window": Case(lambda **o: LuongAttention(UNITS, "concat", 2, **o), ASKED),
    "BahdanauAttention": Case(
        lambda **o: BahdanauAttention(UNITS, coverage=True, normalize=True, window=1, **o),
        {**ASKED, "state": COVERED[-1]},
    ),
    "LocationAwareAttention": Case(
        lambda **o: LocationAwareAttention(UNITS, filters=2, width=3, **o),
        {**ASKED, "state": {"previous_weights": floats(ROWS, SOURCE)}},
    ),
    "MultiHeadAttention": Case(
        lambda **o: MultiHeadAttention(UNITS, heads=2, **o), {**ASKED, "memory": HEADS}
    ),
    "CopyGate": Case(
        CopyGate,
        {"outputs": QUERY, "inputs": floats(ROWS, STEPS, WIDTH), "alignments": WEIGHTS},
    ),
    "CopyMixture": Case(
        CopyMixture,
        {
            "logits": floats(ROWS, STEPS, IDS),
            "shares": (-np.abs(floats(ROWS, STEPS)), -np.abs(floats(ROWS, STEPS)) - 1),
            "alignments": WEIGHTS,
            "memory": {**MEMORY, "tokens": ids(ROWS, SOURCE)},
        },
    ),
    "LogitFactors": Case(
        lambda **o: LogitFactors(Dense(IDS, name="logits", **o), **o),
        {"features": floats(ROWS, STEPS, WIDTH)},
    ),
    "LogitFactors, tied": Case(
        lambda **o: LogitFactors(ReversibleEmbedding(IDS, WIDTH, **o), **o),
        {"features": floats(ROWS, STEPS, WIDTH)},
    ),
    "Encoder": Case(
        lambda **o: Encoder("gru", 3, layers=2, dropout=0.1, **o),
        {"inputs": floats(ROWS, STEPS, WIDTH), "lengths": LENGTHS},
    ),
    "Decoder": Case(decoder(), STEPPED),
    "Decoder, luong": Case(decoder(attention=LuongAttention), ATTENDED),
    "Decoder, first": Case(
        decoder(attention=lambda units: BahdanauAttention(units, 4), attention_layer="first"),
        ATTENDED,
    ),
    "Decoder, coverage": Case(
        decoder(attention=lambda units: BahdanauAttention(units, coverage=True)),
        {**ATTENDED, "states": COVERED},
    ),
    "Decoder, feeding": Case(
        decoder(attention=LuongAttention, input_feeding=True), {**ATTENDED, "states": FED}
    ),
    "AtEachStep": Case(
        AtEachStep, {"steps": floats(ROWS, STEPS, WIDTH), "features": floats(ROWS, UNITS)}
    ),
    "RawNumbers": Case(
        lambda **o: RawNumbers(STEPS, 2, 3, factor=False, **o), {"vectors": floats(ROWS, WIDTH)}
    ),
    "RawNumbers, factor": Case(
        lambda **o: RawNumbers(0, 2, 3, factor=True, **o),
        {"vectors": floats(ROWS, STEPS, WIDTH), "factor": floats(ROWS, 2)},
    ),
    "RecurrentStack": Case(
        lambda **o: RecurrentStack(units=UNITS, layers=2, residual=True, feed_forward=5, **o),
        {"inputs": floats(ROWS, STEPS, WIDTH), "states": STATES, "lengths": LENGTHS},
    ),
    "CarriedStack": Case(
        lambda **o: CarriedStack(RecurrentStack(units=UNITS, layers=2, **o), ROWS, **o),
        {"inputs": floats(ROWS, STEPS, WIDTH), "reset": np.array([True] * ROWS)},
    ),
    "EncoderSteps": Case(
        lambda **o: EncoderSteps(Encoder(units=UNITS, layers=2, bidirectional=False, **o), **o),
        {**STEPPED, "lengths": LENGTHS},
    ),
    "RunningPooling": Case(
        lambda **o: RunningPooling(["last", "mean", "max"], **o),
        {
            "outputs": floats(ROWS, STEPS, WIDTH),
            "states": {
                "count": np.ones((ROWS, 1), "float32"),
                "sum": floats(ROWS, WIDTH),
                "max": floats(ROWS, WIDTH),
            },
            "lengths": LENGTHS,
        },
    ),
}
