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
    from seq2seq.layers.recurrent import GRU, LSTM
    from seq2seq.models.classifier import Classifier
    from seq2seq.models.decoder import Decoder
    from seq2seq.models.encoder import Encoder
    from seq2seq.models.language_model import LanguageModel
    from seq2seq.models.tagger import Tagger
    from seq2seq.models.translator import Translator

    __version__: str

_MODULES = {
    "Run": "api",
    "compare": "api",
    "load": "api",
    "plot_alignment": "api",
    "train": "api",
    "UserError": "errors",
    "Predictor": "inference.predictor",
    "GRU": "layers.recurrent",
    "LSTM": "layers.recurrent",
    "Classifier": "models.classifier",
    "Decoder": "models.decoder",
    "Encoder": "models.encoder",
    "LanguageModel": "models.language_model",
    "Tagger": "models.tagger",
    "Translator": "models.translator",
    "BeamSearch": "decoding.beam",
    "Greedy": "decoding.greedy",
    "Sampling": "decoding.sampling",
}
_WITHOUT_TENSORFLOW = ("api", "errors")

__all__ = [
    "GRU",
    "LSTM",
    "BeamSearch",
    "Classifier",
    "Decoder",
    "Encoder",
    "Greedy",
    "LanguageModel",
    "Predictor",
    "Run",
    "Sampling",
    "Tagger",
    "Translator",
    "UserError",
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
