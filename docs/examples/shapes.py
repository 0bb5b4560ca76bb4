"""What a recurrent layer returns, for every combination of its arguments, as one table.

`return_sequences` asks for the output of every step instead of the last one, `return_state` for the
state after the last step; with `stateful` the next call goes on from there; `go_backwards` reads
from the end. The output of the last step is always the state h.
"""

from functools import cache
from itertools import islice, product

import keras
import numpy as np

from seq2seq.data.embedded.cldr_dates import date_examples
from seq2seq.data.tokenizers.tokenizer import Tokenizer
from seq2seq.layers.recurrent import GRU, LSTM

UNITS = 5
ARGUMENTS = ("return_sequences", "return_state", "stateful", "go_backwards")
ROW = "{:6}{:12}{:18}{:14}{:10}{:14}{:13}{:12}{:12}{}"

texts = [example.source for example in islice(date_examples("train"), 4)]
tokenizer = Tokenizer("character").fit(texts)
ids = keras.utils.pad_sequences(tokenizer.encode(texts), maxlen=6)
inputs = keras.layers.Embedding(tokenizer.size, 3)(ids)


def build(cell, directions, **arguments):
    """Makes a layer, always with the same weights."""
    keras.utils.set_random_seed(1)
    if directions == 1:
        return cell(UNITS, **arguments)
    other_way = cell(UNITS, **{**arguments, "go_backwards": not arguments["go_backwards"]})
    both = keras.layers.Bidirectional(cell(UNITS, **arguments), backward_layer=other_way)
    both.supports_masking = False  # Keras 3.15 fails on the mask of a stateful one's states
    return both


def call(layer):
    """Returns the output, and the states: h (and c) of each direction."""
    output, *states = map(np.array, keras.tree.flatten(layer(inputs)))
    return output, states


@cache
def everything(cell, directions, **arguments):
    """Returns what a layer of the same weights gives that is asked for the sequence and states."""
    return call(build(cell, directions, return_sequences=True, return_state=True, **arguments))


def last_step(sequence, directions):
    """Returns the last output of each direction; the second ends where the first begins."""
    if directions == 1:
        return sequence[:, -1]
    return np.concatenate([sequence[:, -1, :UNITS], sequence[:, 0, UNITS:]], axis=-1)


def row(cell, directions, *chosen):
    """Returns one row of the table, once it is checked."""
    arguments = dict(zip(ARGUMENTS, chosen, strict=True))
    layer = build(cell, directions, **arguments)
    output, states = call(layer)
    goes_on = not np.array_equal(call(layer)[0], output)
    assert goes_on == arguments["stateful"]
    others = {name: arguments[name] for name in ("stateful", "go_backwards")}
    sequence, all_states = everything(cell, directions, **others)  # h, c, h, c or h, h
    state_h = np.concatenate(all_states[:: len(all_states) // directions], axis=-1)
    last = last_step(sequence, directions)
    assert np.allclose(output, sequence if arguments["return_sequences"] else last, atol=1e-6)
    return ROW.format(
        cell.__name__,
        "one" if directions == 1 else "two",
        *("yes" if value else "-" for value in chosen),
        str(output.shape),
        f"{len(states)} x {states[0].shape}" if states else "-",
        "goes on" if goes_on else "the same",
        np.allclose(last, state_h, atol=1e-6),
    )


print(f"{UNITS} units, input {inputs.shape}")
print(ROW.format("cell", "directions", *ARGUMENTS, "output", "states", "2nd call", "last is h"))
for combination in product((LSTM, GRU), (1, 2), *[(False, True)] * len(ARGUMENTS)):
    print(row(*combination))
