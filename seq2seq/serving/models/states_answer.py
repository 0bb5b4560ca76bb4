"""The states of a run's recurrent layers for one input, as plain values."""

from typing import Any

import numpy as np

from seq2seq.models.base import ensemble_of
from seq2seq.plots.states import most_varying
from seq2seq.serving.models.served_run import ServedRun
from seq2seq.tasks.states import input_states, memory_states

DECIMALS = 4


def states_answer(run: ServedRun, example: Any, units: int) -> dict[str, Any]:
    """Returns tokens, and hidden and cell states and gates of each layer.

    Args:
        run: The run.
        example: What the task predicts from.
        units: How many units each layer has in the answer: those whose cell states vary most (of a
            GRU, hidden states), in order.

    Returns:
        `source`, `prediction`, `tokens` by part of the model, and `layers`: each has `name`,
        `part`, `size` (all its units), `units` (the numbers of those returned), and `arrays` by
        name, `(steps, units)`.

    Raises:
        UserError: If the input has no token, or does not suit the task.
    """
    [model] = ensemble_of(run.predictor.model)
    states = input_states(run.predictor.task, model, example)
    layers = []
    for name, fields in states.by_layer().items():
        memory = memory_states(fields)
        chosen = np.sort(most_varying(memory, units))
        layers.append(
            {
                "name": name,
                "part": name.partition("/")[0],
                "size": memory.shape[1],
                "units": chosen.tolist(),
                "arrays": {
                    field: values[:, chosen].astype(float).round(DECIMALS).tolist()
                    for field, values in fields.items()
                },
            }
        )
    return {
        "source": states.source,
        "prediction": states.prediction,
        "tokens": states.tokens,
        "layers": layers,
    }
