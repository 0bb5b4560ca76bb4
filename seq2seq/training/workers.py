"""The processes or devices that train one run together, and how they exchange tensors."""

import json
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

import keras
import numpy as np
import tensorflow as tf

from seq2seq.cluster import cluster
from seq2seq.errors import OUT_OF_TIME, UserError
from seq2seq.progress import step

T = TypeVar("T")


GradientType = Literal["float32", "bfloat16"]

GRADIENT_TYPES: tuple[GradientType, ...] = ("float32", "bfloat16")

GROUP = 20_585
"""The key of the group of all workers; those of `tf.distribute` are small numbers."""


class WorkerLostError(UserError):
    """Another worker has ended, or cannot be reached; the same command, started again, goes on."""

    exit_code = OUT_OF_TIME


def summed_in_pairs(items: Sequence[T], add: Callable[[T, T], T]) -> T:
    """Adds neighbours, then the neighbours of the results, until one is left."""
    while len(items) > 1:
        pairs = [items[first : first + 2] for first in range(0, len(items), 2)]
        items = [add(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return items[0]


class Workers:
    """One process, which trains alone; the base class of several.

    Attributes:
        are_one_process: Whether there can be no other process.
        count: How many workers there are.
        index: The number of this one; worker 0 is the chief.
        shards: Into how many parts the rows of each batch are divided.
        gradients: The type of gradients that are sent: `float32`, or `bfloat16`, to which those of
            each shard are rounded, and the sum of each pair.
    """

    are_one_process = True
    count = 1
    index = 0
    shards = 1
    gradients: GradientType = "float32"

    @property
    def is_chief(self) -> bool:
        """Whether this worker writes the run folder."""
        return self.index == 0

    @property
    def own_shards(self) -> range:
        """The shards that this worker computes: a contiguous part, in the order of the workers."""
        each = self.shards // self.count
        return range(self.index * each, (self.index + 1) * each)

    def device(self, shard: int) -> str | None:
        """Returns the device that computes a shard; None for that of TensorFlow's choice."""
        return None

    def connect(self) -> None:
        """Connects to the other workers; before TensorFlow runs its first operation."""

    def gather(self, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Concatenates the tensors of all workers along their first axis, in the order of workers.

        All workers call it at the same place of the training; sizes of first axes may differ.

        Raises:
            WorkerLostError: If another worker has ended.
        """
        return list(tensors)

    def summed(self, tensor: tf.Tensor) -> tf.Tensor:
        """Adds a vector of all workers, in pairs, in the order of workers.

        Raises:
            WorkerLostError: If another worker has ended.
        """
        return tensor

    def highest(self, number: int) -> int:
        """Returns the highest of the numbers of all workers."""
        return number

    def from_chief(self, compute: Callable[[], T]) -> T:
        """Returns what the chief computes, to all workers: a value that JSON can hold."""
        return compute()

    def copy_from_chief(self, variables: Sequence[tf.Variable | keras.Variable]) -> None:
        """Assigns the chief's values to the variables of the other workers."""


ALONE = Workers()


def _check_arguments(shards: int | None, gradients: str) -> None:
    """Raises a `ValueError` for an impossible value."""
    if shards is not None and shards < 1:
        raise ValueError(f"shards: must be at least 1 or null, got {shards!r}")
    if gradients not in GRADIENT_TYPES:
        raise ValueError(f"gradients: must be float32 or bfloat16, got {gradients!r}")


class Mirrored(Workers):
    """One process with several devices, such as the GPUs of a machine.

    Each device computes the gradients of its shards of every batch. TensorFlow's first device has
    the weights, makes the sum in the order of the shards, as several processes do, and updates.

    Args:
        devices: The devices, such as `[GPU:0, GPU:1]`; with null all GPUs.
        shards: Into how many parts the rows of each batch are divided, a multiple of the devices;
            with null as many as there are devices when the run is started. Dropout masks and
            rounding depend on it.
        gradients: `float32`, or `bfloat16` for half of the traffic: gradients of each shard are
            rounded to it, and the sum of each pair.

    Raises:
        UserError: If there are fewer than two devices, or the shards are no multiple of them.
    """

    def __init__(
        self,
        devices: Sequence[str] | None = None,
        shards: int | None = None,
        gradients: GradientType = "float32",
    ) -> None:
        _check_arguments(shards, gradients)
        self.gradients = gradients
        gpus = [f"GPU:{n}" for n in range(len(tf.config.list_physical_devices("GPU")))]
        self.devices = gpus if devices is None else [str(each) for each in devices]
        if len(set(self.devices)) < max(2, len(self.devices)):
            named = ", ".join(self.devices) or "no GPU"
            raise UserError(
                f"distribute.devices: needs two or more different devices, and there is {named}. "
                "Use distribute=none for one device; a run of several goes on with one by "
                "distribute=multi_worker, bit-identically"
            )
        self.shards = shards or len(self.devices)
        if self.shards % len(self.devices):
            raise UserError(
                f"distribute.shards={self.shards}: is no multiple of the {len(self.devices)} "
                "devices, and some would wait for others. Name fewer in distribute.devices"
            )

    def connect(self) -> None:
        """Checks that the devices exist.

        Raises:
            UserError: If one does not.
        """
        known = [each.name.removeprefix("/device:") for each in tf.config.list_logical_devices()]
        if unknown := [each for each in self.devices if each not in known]:
            raise UserError(
                f"distribute.devices: there is no {unknown[0]} (there are {', '.join(known)})"
            )

    def device(self, shard: int) -> str | None:
        """Returns the device that computes a shard; each has as many shards, side by side."""
        return self.devices[shard * len(self.devices) // self.shards]


class MultiWorker(Workers):
    """Several processes, on one machine or on many, found by `TF_CONFIG` or Slurm.

    They exchange tensors by the collective operations of `tf.distribute`. Each computes the
    gradients of its shards of every batch, and all make the same update from their sum. The sum is
    made in the order of the shards, so that the result does not depend on the number of workers.

    Args:
        shards: Into how many parts the rows of each batch are divided: the workers times a power of
            two. With null as many as there are workers when the run is started. Dropout masks and
            rounding depend on it.
        gradients: `float32`, or `bfloat16` for half of the traffic: gradients of each shard are
            rounded to it, and the sum of each pair.
        port: With Slurm, the port of the first worker of each host; the next ones follow.

    Raises:
        UserError: If the cluster and the shards do not fit.
    """

    are_one_process = False

    def __init__(
        self,
        shards: int | None = None,
        gradients: GradientType = "float32",
        port: int = 8888,
    ) -> None:
        _check_arguments(shards, gradients)
        self.gradients = gradients
        place = cluster()
        self.count, self.index, self.source = place.workers, place.index, place.source
        self.shards = shards or self.count
        self.port = port
        self._strategy: tf.distribute.Strategy | None = None  # has started the collective runtime
        self._calls = 0  # of collective operations, which have the same number on all workers
        self._check_shards()

    def _check_shards(self) -> None:
        each, rest = divmod(self.shards, self.count)
        if rest or (self.count > 1 and each & (each - 1)):
            raise UserError(
                f"distribute.shards={self.shards}: {self.count} workers need {self.count} shards, "
                "or 2, 4, 8, ... times as many, so that sums do not depend on the number of "
                f"workers. Start another number of workers; or set distribute.shards={self.count}, "
                "which changes rounding and dropout masks"
            )

    def connect(self) -> None:
        """Connects to the other workers, and waits until all have started.

        Raises:
            UserError: If TensorFlow has run already, a port is used, or the process has many GPUs.
        """
        if self.count == 1:
            return
        if len(tf.config.list_physical_devices("GPU")) > 1:
            raise UserError(
                "distribute=multi_worker: each worker needs one GPU, and this one has several: "
                "start one worker for each, with another CUDA_VISIBLE_DEVICES; `seq2seq launch` "
                "and Slurm's --gpus-per-task=1 do so. distribute=mirrored is for one process"
            )
        try:
            with step(f"waiting for {self.count} workers"):
                self._strategy = tf.distribute.MultiWorkerMirroredStrategy(self._resolver())
        except (RuntimeError, ValueError, tf.errors.OpError) as error:
            raise UserError(
                f"distribute=multi_worker: cannot connect to the other workers ({error})"
            ) from error
        self.shards = self.from_chief(lambda: self.shards)  # which may be that of a resumed run
        self._check_shards()

    def _resolver(self) -> tf.distribute.cluster_resolver.ClusterResolver:
        if self.source == "TF_CONFIG":
            return tf.distribute.cluster_resolver.TFConfigClusterResolver()
        # It divides by the GPUs of a task, and counts them by a program that may be missing; Slurm
        # has set CUDA_VISIBLE_DEVICES itself.
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=self.port, gpus_per_node=self.count, gpus_per_task=1, auto_set_gpu=False
        )
        resolver.num_accelerators = lambda **_: {"GPU": len(tf.config.list_physical_devices("GPU"))}
        return resolver

    def gather(self, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Concatenates the tensors of all workers, see `Workers.gather`."""
        if self.count == 1:
            return list(tensors)
        sizes = self._collected(tf.constant([tensor.shape[0] for tensor in tensors]))
        by_worker = sizes.numpy().reshape(self.count, -1)
        return [
            self._joined(tensor, own.tolist())
            for tensor, own in zip(tensors, by_worker.T, strict=True)
        ]

    def _joined(self, tensor: tf.Tensor, sizes: list[int]) -> tf.Tensor:
        """Concatenates tensors of all workers, of given sizes of their first axis."""
        missing = max(sizes) - sizes[self.index]
        padding = [[0, missing], *([0, 0] for _ in tensor.shape[1:])]
        joined = self._collected(tf.pad(tensor, padding) if missing else tensor)
        if len(set(sizes)) == 1:
            return joined
        parts = tf.split(joined, self.count)
        return tf.concat([part[:size] for part, size in zip(parts, sizes, strict=True)], axis=0)

    def summed(self, tensor: tf.Tensor) -> tf.Tensor:
        """Adds a vector of all workers, see `Workers.summed`.

        Each worker gets a part of the vectors of all, and sends its sum to all: together about
        twice the vector, for any number of workers.
        """
        if self.count == 1:
            return tensor
        size = tensor.shape[0]
        parts = tf.reshape(tf.pad(tensor, [[0, -size % self.count]]), [self.count, -1])
        total = summed_in_pairs(tf.unstack(self._exchanged(parts)), tf.add)
        return self._collected(total)[:size]

    def _collected(self, tensor: tf.Tensor) -> tf.Tensor:
        """Concatenates tensors of one shape of all workers, in the order of workers."""
        received = self._exchanged(tf.stack([tensor] * self.count))
        return tf.reshape(received, [-1, *tensor.shape[1:]])

    def _exchanged(self, tensors: tf.Tensor) -> tf.Tensor:
        """Sends tensor i of `(workers, ...)` to worker i; tensor i of the result is from it."""
        self._calls += 1
        try:
            return tf.raw_ops.CollectiveAllToAllV2(
                input=tensors,
                group_size=self.count,
                group_key=GROUP,
                instance_key=self._calls,
                ordering_token=[],
                communication_hint="nccl" if tf.config.list_logical_devices("GPU") else "auto",
            )
        except tf.errors.OpError as error:
            reason = " ".join(str(error.message).split()).rpartition("}} ")[2]
            raise WorkerLostError(
                "distribute=multi_worker: another worker has ended, or cannot be reached "
                f"({reason[:200]}). See its output, and start all workers again: the training goes "
                "on from the last checkpoint."
            ) from error

    def highest(self, number: int) -> int:
        """Returns the highest of the numbers of all workers."""
        if self.count == 1:
            return number
        return int(tf.reduce_max(self._collected(tf.constant([number]))))

    def from_chief(self, compute: Callable[[], T]) -> T:
        """Returns what the chief computes, see `Workers.from_chief`."""
        if self.count == 1:
            return compute()
        content = json.dumps(compute()).encode() if self.is_chief else b""
        value: T = json.loads(self._bytes_from_chief(content))
        return value

    def copy_from_chief(self, variables: Sequence[tf.Variable | keras.Variable]) -> None:
        """Assigns the chief's values to the variables of the other workers."""
        if self.count == 1:
            return
        values = [np.asarray(variable) for variable in variables]
        own = b"".join(value.tobytes() for value in values) if self.is_chief else b""
        content, start = self._bytes_from_chief(own), 0
        for variable, value in zip(variables, values, strict=True):
            part = np.frombuffer(content, value.dtype, value.size, start)
            variable.assign(part.reshape(value.shape))
            start += value.nbytes

    def _bytes_from_chief(self, content: bytes) -> bytes:
        """Sends bytes of the chief, as the collective operations know no bytes."""
        numbers = np.frombuffer(content + bytes(-len(content) % 4), np.int32)
        # The others send nothing, and the chief's length comes first.
        lengths, all_numbers = self.gather([tf.constant([len(content)]), tf.constant(numbers)])
        received: Any = all_numbers.numpy().tobytes()
        return bytes(received[: int(lengths[0])])
