"""Train, compare and use recurrent sequence models (LSTM, GRU) on TensorFlow and Keras 3.

    import seq2seq

    run = seq2seq.train("translation/cldr_dates", {"trainer.epochs": 1})
    run.metrics                                  # a DataFrame of scores
    translate = seq2seq.load(run.folder)
    translate("7 জুন, 2031")["prediction"]        # '2031-06-07'
    seq2seq.compare(run, "outputs/another/run")  # tables with tests of significance

`import seq2seq` is quick: TensorFlow starts with the first name that needs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seq2seq.api import Run, compare, load, plot_alignment, train
    from seq2seq.decoding.beam import BeamSearch
    from seq2seq.decoding.greedy import Greedy
    from seq2seq.decoding.sampling import Sampling
    from seq2seq.errors import UserError
    from seq2seq.inference.predictor import Predictor
    from seq2seq.layers.attention import BahdanauAttention, LocationAwareAttention, LuongAttention
    from seq2seq.layers.bridge import ConcatenateBridge, CopyBridge, DenseBridge, ZeroBridge
    from seq2seq.layers.crf import CRF
    from seq2seq.layers.layer_norm_lstm import LayerNormLSTM
    from seq2seq.layers.minimal import MinGRU, MinLSTM
    from seq2seq.layers.mogrifier_lstm import MogrifierLSTM
    from seq2seq.layers.multi_head_attention import MultiHeadAttention
    from seq2seq.layers.pooling import AttentionPooling, LastPooling, MaxPooling, MeanPooling
    from seq2seq.layers.recurrent import GRU, LSTM
    from seq2seq.models.classifier import Classifier
    from seq2seq.models.decoder import Decoder
    from seq2seq.models.encoder import Encoder
    from seq2seq.models.language_model import LanguageModel
    from seq2seq.models.stack import CarriedStack, RecurrentStack
    from seq2seq.models.tagger import Tagger
    from seq2seq.models.translator import Translator

    __version__: str

_NAMES = {
    "api": ("Run", "compare", "load", "plot_alignment", "train"),
    "errors": ("UserError",),
    "inference.predictor": ("Predictor",),
    "layers.recurrent": ("GRU", "LSTM"),
    "layers.layer_norm_lstm": ("LayerNormLSTM",),
    "layers.minimal": ("MinGRU", "MinLSTM"),
    "layers.mogrifier_lstm": ("MogrifierLSTM",),
    "layers.attention": ("BahdanauAttention", "LocationAwareAttention", "LuongAttention"),
    "layers.multi_head_attention": ("MultiHeadAttention",),
    "layers.bridge": ("ConcatenateBridge", "CopyBridge", "DenseBridge", "ZeroBridge"),
    "layers.crf": ("CRF",),
    "layers.pooling": ("AttentionPooling", "LastPooling", "MaxPooling", "MeanPooling"),
    "models.encoder": ("Encoder",),
    "models.decoder": ("Decoder",),
    "models.stack": ("CarriedStack", "RecurrentStack"),
    "models.classifier": ("Classifier",),
    "models.language_model": ("LanguageModel",),
    "models.tagger": ("Tagger",),
    "models.translator": ("Translator",),
    "decoding.beam": ("BeamSearch",),
    "decoding.greedy": ("Greedy",),
    "decoding.sampling": ("Sampling",),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}
_WITHOUT_TENSORFLOW = ("api", "errors")

__all__ = [
    "CRF",
    "GRU",
    "LSTM",
    "AttentionPooling",
    "BahdanauAttention",
    "BeamSearch",
    "CarriedStack",
    "Classifier",
    "ConcatenateBridge",
    "CopyBridge",
    "Decoder",
    "DenseBridge",
    "Encoder",
    "Greedy",
    "LanguageModel",
    "LastPooling",
    "LayerNormLSTM",
    "LocationAwareAttention",
    "LuongAttention",
    "MaxPooling",
    "MeanPooling",
    "MinGRU",
    "MinLSTM",
    "MogrifierLSTM",
    "MultiHeadAttention",
    "Predictor",
    "RecurrentStack",
    "Run",
    "Sampling",
    "Tagger",
    "Translator",
    "UserError",
    "ZeroBridge",
    "__version__",
    "compare",
    "load",
    "plot_alignment",
    "train",
]


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used."""
    if name == "__version__":
        return import_module("seq2seq.version").version()
    if name not in _MODULES:
        raise AttributeError(f"module 'seq2seq' has no attribute {name!r}")
    if _MODULES[name] not in _WITHOUT_TENSORFLOW:
        import_module("seq2seq.commands._start_tensorflow").start_tensorflow()
    value = getattr(import_module(f"seq2seq.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Returns the public names."""
    return __all__
