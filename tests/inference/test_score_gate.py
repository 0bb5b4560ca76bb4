import pytest

from seq2seq.errors import UserError
from seq2seq.inference.score_gate import Gate


@pytest.mark.parametrize(
    ("text", "score", "champion", "passes"),
    [
        ("bleu >= champion - 0.3", 24.2, 24.4, True),
        ("bleu >= champion - 0.3", 24.0, 24.4, False),
        ("bleu>=champion", 24.4, 24.4, True),
        ("bleu > champion", 24.4, 24.4, False),
        ("bleu >= champion + 1", 25.0, 24.4, False),
        ("bleu >= 24.5", 24.4, None, False),
        ("bleu <= 5e1", 24.4, None, True),
    ],
)
def test_gates(text, score, champion, passes):
    gate = Gate.parse(text)
    base = None if champion is None else {"bleu": champion}
    passed, message = gate.check({"bleu": score, "chrf": 1.0}, base)
    assert passed == passes
    assert message.startswith(f"gate {'passed' if passes else 'failed'}: bleu {score:g}")


@pytest.mark.parametrize("text", ["bleu", "bleu == 3", ">= 3", "bleu >= champ", "bleu >= 1 - 2"])
def test_what_is_no_gate(text):
    with pytest.raises(UserError, match="--gate"):
        Gate.parse(text)


def test_an_unknown_score_is_named_with_its_nearest():
    with pytest.raises(UserError, match="nearest is 'bleu'"):
        Gate.parse("blue >= 3").check({"bleu": 1.0}, None)
