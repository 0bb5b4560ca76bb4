"""Operations with gradients of their own, and higher derivatives by TensorFlow's operations."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from seq2seq.private_api import has_tangents, in_forward_mode, stop_recording

Tensors = tuple[tf.Tensor, ...]
Gradients = Sequence[tf.Tensor | None]
Gradient = Callable[..., Gradients]
"""Maps the gradients of the results to those of the inputs."""


def differentiable(
    run: Callable[..., tuple[Tensors, Gradient]],
    reference: Callable[..., Tensors],
    constants: Tensors = (),
) -> Callable[..., Tensors]:
    """Gives a function a gradient of its own, and to that gradient TensorFlow's.

    A training step takes the first gradient alone, and runs `run` and its gradient only. Second
    and higher derivatives, products with Hessians and forward mode go through `reference`.

    Args:
        run: Maps the inputs, one tensor or more, to the results and to their gradient. Nothing that
            it does is recorded.
        reference: Maps inputs and constants to the same results by operations that TensorFlow
            differentiates any number of times. It uses no other tensors.
        constants: Tensors without a gradient, such as a mask.
    """

    @tf.custom_gradient
    def forward(*inputs: tf.Tensor) -> tuple[Tensors, Callable]:
        with stop_recording():
            results, gradient = run(*inputs)

        def backward(*d_results: tf.Tensor) -> Gradients:
            own_inputs, own_constants = _in_this_graph(inputs), _in_this_graph(constants)

            def by_reference(*inputs: tf.Tensor) -> Tensors:
                return reference(*inputs, *own_constants)

            if in_forward_mode():  # where TensorFlow keeps tapes from recording
                return tf.gradients(by_reference(*own_inputs), own_inputs, grad_ys=d_results)
            if has_tangents((*own_inputs, *d_results)):
                return _gradients_of(by_reference, own_inputs, d_results)
            return _first_gradients(gradient, by_reference, own_inputs, d_results)

        return results, backward

    def choose(*inputs: tf.Tensor) -> Tensors:
        return reference(*inputs, *constants) if has_tangents(inputs) else forward(*inputs)

    return choose


def _in_this_graph(tensors: Tensors) -> Tensors:
    """Returns tensors of the graph that is being traced.

    TensorFlow differentiates a graph of gradients without the one that it was made for.
    """
    if tf.executing_eagerly():
        return tensors
    graph = tf.compat.v1.get_default_graph()
    return tuple(
        tensor if getattr(tensor, "graph", None) is graph else tf.identity(tensor)
        for tensor in tensors
    )


def _first_gradients(
    gradient: Gradient, reference: Callable[..., Tensors], inputs: Tensors, d_results: Tensors
) -> Tensors:
    """Returns the gradients of the inputs, whose own gradients are those of the reference."""
    count = len(inputs)

    @tf.custom_gradient
    def first(*operands: tf.Tensor) -> tuple[Tensors, Callable]:
        with stop_recording():
            gradients = tuple(gradient(*operands[count:]))

        def again(*operands: tf.Tensor) -> Gradients:
            return _gradients_of(reference, operands[:count], operands[count:])

        return gradients, lambda *d_gradients: _gradients_of(again, operands, d_gradients)

    return first(*inputs, *d_results)


def _gradients_of(
    function: Callable[..., Gradients], inputs: Tensors, d_results: Tensors
) -> Gradients:
    """Returns TensorFlow's gradients of a function of which some results may be `None`."""
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        results = function(*inputs)
    pairs = [pair for pair in zip(results, d_results, strict=True) if pair[0] is not None]
    return tape.gradient(
        [result for result, _ in pairs], inputs, output_gradients=[d for _, d in pairs]
    )
