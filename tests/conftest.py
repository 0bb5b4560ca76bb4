import os

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def pytest_runtest_setup(item):
    if item.get_closest_marker("compiled"):
        import tensorflow as tf

        from seq2seq.kernels.library import usable

        if not usable(tf.float32, training=True):
            pytest.skip("there are no compiled kernels here: no C++ compiler, or a GPU")
