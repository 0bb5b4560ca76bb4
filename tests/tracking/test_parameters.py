import json

from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_param

from seq2seq.tracking.parameters import flatten, shorten

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
CONFIGS = st.recursive(
    SCALARS | st.lists(SCALARS, max_size=3),
    lambda children: st.dictionaries(st.text("abc_", min_size=1), children, max_size=4),
)


def test_values_look_as_in_a_config():
    config = {
        "model": {"encoder": {"units": 256, "cell": "lstm"}, "bridge": {}},
        "optimizer": {"learning_rate": 0.001, "amsgrad": False},
        "layers": [1, "two", {"three": 3}],
        "path": None,
        "title": "Überraschung: 驚き",
    }
    assert flatten(config) == {
        "model.encoder.units": "256",
        "model.encoder.cell": "lstm",
        "model.bridge": "{}",
        "optimizer.learning_rate": "0.001",
        "optimizer.amsgrad": "false",
        "layers": '[1, "two", {"three": 3}]',
        "path": "null",
        "title": "Überraschung: 驚き",
    }


@given(st.dictionaries(st.text(min_size=1), SCALARS, max_size=4))
def test_mlflow_takes_whatever_the_config_holds(config):
    for name, value in flatten({"config": config}).items():
        _validate_param(name, value)


@given(st.dictionaries(st.text("abc_", min_size=1), CONFIGS, max_size=4))
def test_no_value_is_lost(config):
    def leaves(value):
        return sum(map(leaves, value.values())) if isinstance(value, dict) and value else 1

    assert len(flatten(config)) == sum(map(leaves, config.values()))


@given(SCALARS.filter(lambda value: not isinstance(value, str)))
def test_a_value_can_be_read_back(value):
    text = flatten({"key": value})["key"]
    assert json.dumps(json.loads(text)) == json.dumps(value)


def test_long_texts_are_cut_and_say_so():
    assert shorten("a" * 20, 20) == "a" * 20
    assert shorten("a" * 21, 20) == "aaaaaaaaaaa... (cut)"
