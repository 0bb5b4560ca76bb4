"""The memory that a training step needs, said before it, against what it takes."""

import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest

from seq2seq.errors import UserError
from tests.training.test_trainer import Regression, fit

STEP = r"""
import re
from pathlib import Path
from seq2seq.commands._start_tensorflow import start_tensorflow
start_tensorflow()
import keras, numpy as np, tensorflow as tf
from seq2seq.models.language_model import LanguageModel
from seq2seq.models.stack import RecurrentStack
from seq2seq.training.losses import TokenCrossEntropy
from seq2seq.training.masked_loss_model import compile_model
from seq2seq.training.memory import step_memory

def peak():  # not getrusage's, which starts with that of the process that started this one
    return int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) / 2**20

model = LanguageModel(300, 32, RecurrentStack(units=256), 128)
trained = compile_model(model.loss_model, TokenCrossEntropy(), keras.optimizers.Adam())

def batch(steps):
    tokens = np.ones((32, steps), np.int32)
    return {"tokens": tokens, "reset": np.zeros(32, bool)}, tokens, np.ones((32, steps), "float32")

signature = tf.nest.map_structure(lambda a: tf.TensorSpec([None] * a.ndim, a.dtype), batch(2))
step = tf.function(trained.checked_step, [signature], autograph=False)
step(batch(2))
before = peak()
step(batch(2000))
print(step_memory(trained, batch(2000)), peak() - before)
"""


@pytest.mark.compiled
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc")
def test_the_estimate_is_near_what_a_step_takes():
    result = subprocess.run(
        [sys.executable, "-c", STEP], capture_output=True, encoding="utf-8", check=True
    )
    estimate, real = map(float, result.stdout.split())
    assert real > 0.2
    assert 0.6 * real < estimate < 2.5 * real


@dataclass
class Wide(Regression):
    """A task whose largest batch has a billion rows, which are never made."""

    def largest_batch(self):
        def many(width):
            return np.broadcast_to(np.float32(1), (10**9, width))

        return many(3), many(1), many(1)


def test_a_batch_beyond_the_limit_is_refused_before_the_first_step(tmp_path):
    text = r"Memory: .*labels 1,000,000,000 x 1.* needs about \d+\.\d GiB.*memory_limit is 8\.0"
    with pytest.raises(UserError, match=text):
        fit(tmp_path, epochs=1, task=Wide(), memory_limit=8)
    assert not list(tmp_path.rglob("*.h5"))


def test_without_a_limit_a_batch_beyond_the_free_memory_is_warned_of(tmp_path, caplog):
    fit(tmp_path, epochs=1, task=Wide())
    assert "needs about" in caplog.text
    assert "free are" in caplog.text
    caplog.clear()
    fit(tmp_path / "small", epochs=1)
    assert "needs about" not in caplog.text


def test_the_limit_is_checked(tmp_path):
    with pytest.raises(ValueError, match="memory_limit"):
        fit(tmp_path, memory_limit=0)
