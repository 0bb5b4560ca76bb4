import gc
import logging
import os

import pytest

from seq2seq import progress
from seq2seq.cache import cache_directory

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Tests have caches of their own, but need not compile the kernels each for itself.
os.environ.setdefault("SEQ2SEQ_KERNELS", str(cache_directory() / "kernels"))

# By default, Python looks through all of TensorFlow's objects again and again: a tenth of the time.
gc.set_threshold(10_000, 10, 10)


@pytest.fixture(autouse=True)
def no_display():
    """Removes the display that a command of the test has left."""
    yield
    progress._use(None)
    progress._level = logging.INFO


def pytest_collection_finish():
    gc.freeze()  # what has been imported stays


def pytest_runtest_setup(item):
    if item.get_closest_marker("compiled"):
        import tensorflow as tf

        from seq2seq.ops.dispatch import usable

        if not usable(tf.float32, training=True):
            pytest.skip("there are no compiled kernels here: no C++ compiler, or a GPU")
