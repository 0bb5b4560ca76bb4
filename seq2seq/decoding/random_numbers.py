"""Counter-based random numbers, independent of the batch that a row is in."""

import tensorflow as tf

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


def threefry(key: tuple[tf.Tensor, tf.Tensor], counter: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
    """Threefry-2x32 with 20 rounds (Salmon et al., 2011, https://doi.org/10.1145/2063384.2063405).

    TensorFlow's stateless generators take one key for a whole tensor; a search needs one for each
    row. Key and counter are two uint32 tensors each, which broadcast.

    Returns:
        The first of the two uint32 outputs.
    """
    keys = (*key, key[0] ^ key[1] ^ tf.constant(0x1BD11BDA, tf.uint32))
    left, right = counter[0] + keys[0], counter[1] + keys[1]
    for block in range(5):
        for rotation in ROTATIONS[block % 2]:
            left += right
            right = left ^ _rotate(right, rotation)
        left += keys[(block + 1) % 3]
        right += keys[(block + 2) % 3] + tf.constant(block + 1, tf.uint32)
    return left


def _rotate(bits: tf.Tensor, by: int) -> tf.Tensor:
    high = tf.bitwise.left_shift(bits, tf.constant(by, tf.uint32))
    return high | tf.bitwise.right_shift(bits, tf.constant(32 - by, tf.uint32))


def uniform(seed: int, keys: tf.Tensor, samples: int, steps: tf.Tensor) -> tf.Tensor:
    """Returns numbers in [0, 1), float32 `(batch, samples, steps)`.

    Each depends on the seed (32 bits), the key of its row, int32 `(batch,)`, sample and step alone.
    """
    key = (
        tf.constant(seed % 2**32, tf.uint32),
        tf.bitcast(keys, tf.uint32)[:, tf.newaxis, tf.newaxis],
    )
    counter = (
        tf.bitcast(tf.range(steps), tf.uint32),
        tf.bitcast(tf.range(samples), tf.uint32)[:, tf.newaxis],
    )
    bits = threefry(key, counter)
    # 23 bits, so that a number times a float32 sum is always below that sum.
    bits = tf.bitcast(tf.bitwise.right_shift(bits, tf.constant(9, tf.uint32)), tf.int32)
    return tf.cast(bits, tf.float32) / 2.0**23
