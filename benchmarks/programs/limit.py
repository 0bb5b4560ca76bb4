"""How fast this machine multiplies a work's matrices: `python -m benchmarks.programs.limit JOB`.

It measures PyTorch's products in PyTorch's environment, and TensorFlow's in ours.
"""

import importlib.util
import statistics
import time
from collections.abc import Callable

from benchmarks.products import Shape, mean_sizes, products
from benchmarks.programs.job import Job, report

REPEATS = 5
SECONDS = 0.04
"""What one of the repeats takes, at least."""


def main() -> None:
    """Measures each shape once and reports the seconds of a call."""
    job = Job.from_arguments()
    sizes = mean_sizes(job.load()[job.warm_up :])
    shapes = sorted({product.shape for product in products(job.work, sizes)})
    prepare = with_torch if importlib.util.find_spec("torch") else with_tensorflow
    report(shapes=[[*shape, seconds(prepare(shape, job.precision))] for shape in shapes])


def seconds(multiply: Callable[[], int]) -> float:
    """Returns the median time of a product.

    Args:
        multiply: Makes a few products, and returns how many.
    """
    multiply()
    found = []
    for _ in range(REPEATS):
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < SECONDS:
            count += multiply()
        found.append((time.perf_counter() - start) / count)
    return statistics.median(found)


def with_torch(shape: Shape, precision: str) -> Callable[[], int]:
    """Returns a function that makes one product with PyTorch, into memory that is there."""
    import torch

    dtype = getattr(torch, precision)
    a, b = (torch.randn(size).to(dtype) for size in stored_sizes(shape))
    a = a.transpose(1, 2) if shape.transpose_a else a
    b = b.transpose(1, 2) if shape.transpose_b else b
    out = torch.empty((shape.stack, shape.m, shape.n), dtype=dtype)

    def multiply() -> int:
        if shape.stack == 1:
            torch.mm(a[0], b[0], out=out[0])
        else:
            torch.bmm(a, b, out=out)
        return 1

    return multiply


def with_tensorflow(shape: Shape, precision: str) -> Callable[[], int]:
    """Returns a function that makes a few products with TensorFlow, one after the other."""
    import tensorflow as tf

    count = max(2, min(16, int(1e9 / shape.operations)))
    # A stack of one is taken as a plain matrix, for which other kernels are used.
    size_a, size_b = (size[shape.stack == 1 :] for size in stored_sizes(shape))
    many = [tf.cast(tf.random.normal(size_a), precision) for _ in range(count)]
    b = tf.cast(tf.random.normal(size_b), precision)

    @tf.function
    def one_by_one(many: list[tf.Tensor], b: tf.Tensor) -> list[tf.Tensor]:
        outs = []
        for a in many:
            with tf.control_dependencies(outs):
                outs.append(
                    tf.matmul(a, b, transpose_a=shape.transpose_a, transpose_b=shape.transpose_b)
                )
        return outs  # all of them: TensorFlow leaves out products that nobody reads

    def multiply() -> int:
        one_by_one(many, b)
        return count

    return multiply


def stored_sizes(shape: Shape) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Returns the sizes of both stacks of matrices as they lie in memory."""
    stack, m, k, n, transpose_a, transpose_b = shape
    return (
        (stack, k, m) if transpose_a else (stack, m, k),
        (stack, n, k) if transpose_b else (stack, k, n),
    )


if __name__ == "__main__":
    main()
