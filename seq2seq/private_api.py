"""All uses of private names of libraries, each with the reason for it.

Checked on TensorFlow 2.21, Keras 3.15, Hydra 1.3, TFDS 4.9, Optuna 4.9, sacreBLEU 2.6 and MLflow
3.17. `tests/test_private_api.py` has a test for each, which fails when a name moves or changes its
meaning; also for the private methods of Keras' Adam that `training.optimizers` overrides, and for
the attribute of `tracking.served_model` that MLflow reads. The functions import what they need
themselves, so that importing this module costs nothing.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import FrameType
from typing import Any

EXPORTERS = ("keras.src.export.", "tensorflow.python.saved_model.", "tensorflow.lite.python.")
"""Modules that trace graphs for files."""


def stop_recording() -> AbstractContextManager[None]:
    """Stops all tapes from recording; `GradientTape.stop_recording` stops only one's own."""
    from tensorflow.python.eager.record import stop_recording

    return stop_recording()


def may_record() -> bool:
    """Returns whether any tape is open; the public API shows only tapes that one made oneself."""
    from tensorflow.python.eager.record import could_possibly_record

    return could_possibly_record()


def has_tangents(tensors: Sequence[Any]) -> bool:
    """Returns whether a `ForwardAccumulator` follows a tensor; one can ask only one's own."""
    from tensorflow.python.eager.forwardprop_util import pack_tangents

    return bool(pack_tangents(tensors).tangents)


def in_forward_mode() -> bool:
    """Returns whether a graph's gradient is made for a `ForwardAccumulator` around that graph.

    TensorFlow differentiates that gradient, but not gradients of functions within: it returns None.
    Nothing but the call stack shows it.
    """
    from tensorflow.python.eager.polymorphic_function import concrete_function

    def differentiates_forward(frame: FrameType) -> bool:
        if frame.f_globals.get("__name__") != concrete_function.__name__:
            return False
        name, tangents = frame.f_code.co_name, frame.f_locals.get("input_tangents")
        # "record" is called in a graph: the gradient is made while the call is being recorded.
        return name == "record" or (name == "_build_functions_for_outputs" and bool(tangents))

    return _in_call_stack(differentiates_forward)


def is_exporting() -> bool:
    """Returns whether a graph is being traced for a file; nothing but the call stack shows it."""
    return _in_call_stack(lambda frame: frame.f_globals.get("__name__", "").startswith(EXPORTERS))


def _in_call_stack(matches: Callable[[FrameType], bool]) -> bool:
    """Returns whether any frame of the call stack matches, while a graph is being traced."""
    import tensorflow as tf

    if tf.executing_eagerly():
        return False
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if matches(frame):
            return True
        frame = frame.f_back
    return False


def single_threaded_executor() -> AbstractContextManager[None]:
    """Runs graphs on the calling thread; publicly an executor is chosen only at start-up."""
    from tensorflow.python.eager import context

    return context.function_executor_type("SINGLE_THREADED_EXECUTOR")


def asks_for_shapes() -> bool:
    """Returns whether Keras calls a layer for the shapes of its outputs alone: `layer(Input)`.

    The graph is thrown away: loops over time, which take most of its time, need not be built.
    """
    from keras.src.backend.common.symbolic_scope import in_symbolic_scope

    return bool(in_symbolic_scope())


def in_xla_graph() -> bool:
    """Returns whether XLA compiles the current graph; publicly no graph tells."""
    import tensorflow as tf
    from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

    return GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def retrace_functions_in_xla() -> None:
    """Makes TensorFlow trace a function anew where one that XLA compiles calls it.

    A function traced before may hold kernels, which XLA does not know. TensorFlow has this rule for
    TPUs alone.
    """
    from tensorflow.python.ops.control_flow_ops import XLAControlFlowContext

    XLAControlFlowContext.RequiresUniqueFunctionRetracing = lambda context: True


def stored_value(weight: Any) -> Any:
    """Returns a Keras variable's value as it is stored, not cast by a mixed precision policy.

    Keras casts a layer's weights when the layer is called, and their gradients back; only its
    private scope turns that off. Any other tensor is returned as it is.
    """
    import tensorflow as tf
    from keras.src.backend.common.variables import AutocastScope

    with AutocastScope(None):
        return tf.convert_to_tensor(weight)


def hydra_callbacks(config: Any) -> Any:
    """Returns Hydra's callbacks, which launchers need; publicly only a sweeper gets them."""
    from hydra._internal.callbacks import Callbacks

    return Callbacks(config)


@contextmanager
def tfds_url_opener(wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:
    """Wraps the function by which TFDS opens URLs; its public settings know no time limit."""
    from tensorflow_datasets.core.download import downloader

    original = downloader._open_url
    downloader._open_url = wrap(original)
    try:
        yield
    finally:
        downloader._open_url = original


def optuna_trial_id(trial: Any) -> int:
    """Returns the id of an Optuna trial in its storage; publicly a trial has its number only."""
    return int(trial._trial_id)


def sacrebleu_statistics(
    metric: Any, texts: Sequence[str], references: Sequence[Sequence[str]]
) -> list[Any]:
    """Returns sacreBLEU's statistics of each sentence; its public methods sum them at once.

    The references are in streams, see `seq2seq.evaluation.text.reference_streams`.
    """
    return list(metric._extract_corpus_statistics(texts, references))


def sacrebleu_score(metric: Any, statistics: Sequence[float]) -> float:
    """Returns the score of summed statistics of sentences, see `sacrebleu_statistics`."""
    return float(metric._compute_score_from_stats(list(statistics)).score)


@contextmanager
def mlflow_without_package_scan() -> Iterator[None]:
    """Keeps MLflow from reading the lists of files of all installed packages, for two seconds.

    It does that to compare the requirements of a model with what is installed; those of our models
    are what is installed.
    """
    from mlflow.utils import requirements_utils

    before = requirements_utils._MODULES_TO_PACKAGES
    requirements_utils._MODULES_TO_PACKAGES = before or {}
    try:
        yield
    finally:
        requirements_utils._MODULES_TO_PACKAGES = before
