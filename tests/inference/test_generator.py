"""Texts that are gone on with: from Python, and by the command."""

import io
import json
import os
import subprocess

import numpy as np
import pytest

from seq2seq.cli import main
from seq2seq.decoding.greedy import Greedy
from seq2seq.decoding.sampling import Sampling
from seq2seq.inference.generator import Generator
from tests.forked_commands import forked_seq2seq
from tests.language_run import saved_run

PROMPTS = ["To be", "", "The rest is", "Q"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("language")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        return saved_run(folder)


@pytest.fixture(scope="module")
def generator(run):
    return Generator.load(run)


def sampling(length=12, **options):
    return Sampling(maximum_length_ratio=0.0, maximum_length_extra=length, **options)


def test_greedy_texts_follow_from_the_whole_text_so_far(generator):
    """Each token is the likeliest after all before it, read anew."""
    task, model = generator.task, generator.model
    decoding = Greedy(maximum_length_ratio=0.0, maximum_length_extra=6)
    for prompt, text in zip(PROMPTS, generator(PROMPTS, decoding), strict=True):
        ids = [2, *task.tokenizer.encode([prompt])[0]]
        begun = len(ids)
        while len(ids) < begun + 6:
            logits = model.training_model({"tokens": np.array([ids], np.int32)})
            ids.append(int(np.argmax(logits[0, -1])))
            if ids[-1] == 3:
                break
        assert text == task.tokenizer.decode([ids[begun:]])[0]


def test_texts_depend_on_seed_and_number_but_not_on_the_batch(generator):
    together = generator(PROMPTS, sampling(seed=5))
    for number, prompt in enumerate(PROMPTS):
        assert generator([prompt], sampling(seed=5), first_key=number) == [together[number]]
    assert generator(PROMPTS, sampling(seed=6)) != together
    assert len(set(generator(["To be"] * 3, sampling(seed=5)))) == 3
    rows = generator.task.predict(generator.model, PROMPTS)  # the run's own search
    assert [row["prediction"] for row in rows] == generator(PROMPTS)


def test_pieces_come_as_they_are_made_and_stop_strings_end_them(generator):
    (whole,) = generator(["To be"], sampling(40))
    pieces = [piece for (piece,) in generator.stream(["To be"], sampling(40))]
    assert "".join(pieces) == whole
    assert sum(map(bool, pieces)) > 5
    stop = whole[4:6]
    (stopped,) = generator(["To be"], sampling(40), stop=[stop])
    assert stopped == whole[: whole.index(stop)]


def generate(run, *arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["generate", str(run), *arguments])
    out, err = capsys.readouterr()
    return ended.value.code, out, err


LENGTH = ("--length", "12", "--seed", "5")


def test_the_command_writes_prompt_and_text(run, generator, capsys):
    code, out, _ = generate(run, "--prompt", "To be", *LENGTH, capsys=capsys)
    (text,) = generator(["To be"], sampling(seed=5))
    assert (code, out.rstrip("\n")) == (0, f"To be{text}".rstrip("\n"))


def test_the_command_takes_many_prompts_from_stdin_and_writes_lines(run, generator):
    done = subprocess.run(
        [
            forked_seq2seq(),
            "generate",
            str(run),
            "--prompts",
            "-",
            "--count",
            "2",
            "--batch-size",
            "3",
            "--format",
            "jsonl",
            *LENGTH,
        ],
        input="\n".join(PROMPTS),
        capture_output=True,
        text=True,
        env=os.environ,
        check=True,
    )
    repeated = [prompt for prompt in PROMPTS for _ in range(2)]
    lines = [json.loads(line) for line in io.StringIO(done.stdout)]
    assert [line["prompt"] for line in lines] == repeated
    assert [line["text"] for line in lines] == generator(repeated, sampling(seed=5))


def test_several_texts_stand_under_headings(run, generator, capsys):
    arguments = ("--prompt", "To be", "--prompt", "Q", "--temperature", "0", *LENGTH)
    _, out, _ = generate(run, *arguments, capsys=capsys)
    decoding = Greedy(maximum_length_ratio=0.0, maximum_length_extra=12)
    first, second = generator(["To be", "Q"], decoding)
    assert out.startswith(f"==> 1 <==\nTo be{first}")
    assert f"==> 2 <==\nQ{second}" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--length", "0"), "--length: must be at least 1"),
        (("--temperature", "-1"), "--temperature: must be above 0"),
        (("--top-p", "2"), "--top-p: must be above 0 and at most 1"),
        (("--stop", ""), "--stop: an empty string"),
        (("--count", "0"), "--count: must be at least 1"),
        (("--prompts", "nowhere.txt"), "nowhere.txt: no such file"),
    ],
)
def test_mistakes_are_named(run, arguments, words, capsys):
    code, _, err = generate(run, *arguments, capsys=capsys)
    assert code == 2
    assert words in err


def test_a_run_of_another_task_is_refused(run_folder, capsys):
    code, _, err = generate(run_folder, "--prompt", "a", capsys=capsys)
    assert code == 2
    assert "was trained for translation, not generation" in err
