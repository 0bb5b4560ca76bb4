"""Sweeps can be resumed and shared, and repeat no trial."""

import io
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import optuna
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from rich.console import Console

from seq2seq.config import build, composed
from seq2seq.errors import UserError
from seq2seq.sweeps.report import print_trials, write_report
from seq2seq.sweeps.run import _new_folder
from seq2seq.sweeps.settings import Sweep
from seq2seq.sweeps.space import combinations, distributions
from seq2seq.sweeps.study import TrialStudy, read_sweep

STUB = Path(__file__).with_name("stub_sweep.py")
SEARCH = ("sweep=optuna", "sweep.trials=12", "optimizer.learning_rate=tag(log,interval(1e-2,1.0))")
NO_DEATH = -1


def sweep(folder, die_after, *overrides):
    return subprocess.run(
        [sys.executable, STUB, folder, str(die_after), *overrides],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def begun(folder):
    """The trials in the order they were begun: number, learning rate, seed."""
    return [tuple(line.split()) for line in (folder / "begun.txt").read_text().splitlines()]


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A search that was killed in its seventh trial, and then gone on with."""
    folder = tmp_path_factory.mktemp("killed") / "sweep"
    assert sweep(folder, 6, *SEARCH).returncode == -9
    done = sweep(folder, NO_DEATH, *SEARCH)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_killed_search_goes_on_and_repeats_nothing(killed):
    trials = json.loads((killed / "trials.json").read_text())
    assert [trial["trial"] for trial in trials] == list(range(12))
    assert {trial["state"] for trial in trials} == {"complete"}
    counts = Counter(number for number, *_ in begun(killed))
    assert counts == {**{str(n): 1 for n in range(12)}, "6": 2}
    # The trial that was killed is taken up with the values it had; no two trials have the same.
    rates = {number: rate for number, rate, _ in begun(killed)}
    assert [rate for number, rate, _ in begun(killed) if number == "6"] == [rates["6"]] * 2
    assert len(set(rates.values())) == 12


def test_a_search_finds_the_formulas_minimum(killed):
    best = json.loads((killed / "best.json").read_text())
    trials = json.loads((killed / "trials.json").read_text())
    assert best["value"] == min(trial["value"] for trial in trials)
    assert best["metric"] == "val_loss"
    for name in ("parallel_coordinates", "importance"):
        assert (killed / "plots" / f"{name}.png").stat().st_size > 5000


def test_a_killed_grid_goes_on_and_a_failed_trial_does_not_end_it(tmp_path):
    grid = ("sweep=grid", "optimizer.learning_rate=0.1,0.2,0.3", "seed=1,13")
    folder = tmp_path / "grid"
    assert sweep(folder, 3, *grid).returncode == -9
    done = sweep(folder, NO_DEATH, *grid)
    assert done.returncode == 2, done.stderr
    states = [trial["state"] for trial in json.loads((folder / "trials.json").read_text())]
    assert states == ["complete", "fail"] * 3
    assert [line[1:] for line in begun(folder)[:3]] == [("0.1", "1"), ("0.1", "13"), ("0.2", "1")]
    assert Counter(number for number, *_ in begun(folder))["3"] == 2
    assert "over seeds" in done.stdout
    again = sweep(folder, NO_DEATH, *grid)
    assert again.returncode == 0, again.stderr
    assert len(begun(folder)) == 7


def test_two_processes_share_the_trials_of_a_sweep(tmp_path):
    command = [sys.executable, STUB, tmp_path / "shared", str(NO_DEATH), *SEARCH]
    processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(timeout=300) for process in processes] == [0, 0]
    assert sorted(int(n) for n, *_ in begun(tmp_path / "shared")) == list(range(12))


@pytest.mark.parametrize(
    ("launcher", "option"),
    [
        ("joblib", "hydra.launcher.n_jobs=2"),
        ("submitit_local", "hydra.launcher.timeout_min=9"),  # as on Slurm, but as processes here
        ("ray", "+hydra.launcher.ray.init.num_cpus=2"),
    ],
)
def test_launchers_run_trials_in_other_processes(launcher, option, tmp_path):
    pytest.importorskip(f"hydra_plugins.hydra_{launcher.partition('_')[0]}_launcher")
    done = sweep(
        tmp_path, NO_DEATH, "sweep=grid", "sweep.at_once=2", "seed=1,2,13",
        f"hydra/launcher={launcher}", option,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr  # one trial fails, the others do not mind
    assert sorted(seed for *_, seed in begun(tmp_path)) == ["1", "13", "2"]
    metrics = [json.loads((tmp_path / n / "metrics.json").read_text()) for n in ("0", "1")]
    assert [metric["launched"] for metric in metrics] == [True, True]
    states = [trial["state"] for trial in json.loads((tmp_path / "trials.json").read_text())]
    assert states == ["complete", "complete", "fail"]


def space_of(*overrides, is_grid=False):
    return distributions(OverridesParser.create().parse_overrides(list(overrides)), is_grid)


def test_hydras_syntax_becomes_optunas_space():
    assert space_of(
        "a=interval(0,1.5)", "b=tag(log,interval(1e-4,1e-1))", "c=int(interval(1,9))",
        "d=range(2,9,2)", "+e.f=choice(x,y)", "g=range(0.5,2,0.5)", "model/bridge=dense,copy",
    ) == {
        "a": FloatDistribution(0, 1.5),
        "b": FloatDistribution(1e-4, 1e-1, log=True),
        "c": IntDistribution(1, 9),
        "d": IntDistribution(2, 8, step=2),
        "+e.f": CategoricalDistribution(("x", "y")),
        "g": FloatDistribution(0.5, 1.5, step=0.5),
        "model/bridge": CategoricalDistribution(("dense", "copy")),
    }  # fmt: skip


def test_a_grid_is_every_combination_and_no_interval():
    space = space_of("a=1,2", "b=range(3)", is_grid=True)
    pairs = [(values["a"], values["b"]) for values in combinations(space)]
    assert pairs == [(a, b) for a in "12" for b in "012"]
    with pytest.raises(UserError, match="sweep=optuna"):
        space_of("a=interval(0,1)", is_grid=True)
    with pytest.raises(UserError, match="a: "):
        space_of("a=tag(log,interval(0,1.5))")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"trials": 0}, "trials"), ({"at_once": 0}, "at_once"),
     ({"sampler": optuna.samplers.RandomSampler}, "trials")],
)  # fmt: skip
def test_impossible_settings(arguments, message):
    with pytest.raises(ValueError, match=message):
        Sweep(**arguments)


@pytest.mark.parametrize("name", ["grid", "optuna"])
def test_the_choices_of_the_config(name):
    settings = build(composed([f"sweep={name}"]), "sweep")
    assert settings.is_grid == (name == "grid")
    # What is sampled for a trial follows from its number, not from how often a process began anew.
    space = {"x": FloatDistribution(0, 1)}
    samples = []
    for _ in range(2):
        study = optuna.create_study(sampler=settings.sampler_of(3))
        samples.append(study.ask(space).params["x"])
    assert samples[0] == samples[1]
    study = optuna.create_study(sampler=settings.sampler_of(4))
    assert name == "grid" or study.ask(space).params["x"] != samples[0]


def test_unpromising_trials_are_pruned(tmp_path):
    settings = build(composed(["sweep=optuna", "sweep.pruner.n_startup_trials=1"]), "sweep")
    space = {"x": FloatDistribution(0, 1)}
    study = TrialStudy.create(tmp_path, settings, "minimize", [], space)
    with study.as_worker():
        one, other = study.claim(settings, space, 2)
        for epoch in (1, 2, 3):
            assert not study.should_prune(one.number, epoch, 1.0)
        study.tell(one.number, 1.0)
        assert not study.should_prune(other.number, 1, 5.0)
        assert study.should_prune(other.number, 2, 5.0)
        study.tell(other.number, 5.0)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "PRUNED"]
    assert study.best.number == one.number


def test_trials_that_are_as_good_are_named(tmp_path):
    settings = build(composed(["sweep=optuna"]), "sweep")
    space = {"x": FloatDistribution(0, 1)}
    study = TrialStudy.create(tmp_path, settings, "maximize", [], space)
    with study.as_worker():
        for trial, value in zip(study.claim(settings, space, 4), (0.9, 1.0, 1.0, 0.8), strict=True):
            study.tell(trial.number, value)
    write_report(study, "test/accuracy")
    best = json.loads((tmp_path / "best.json").read_text())
    assert (best["trial"], best["ties"]) == (1, [2])
    console = Console(file=io.StringIO(), width=80)
    print_trials(study, "test/accuracy", console)
    assert "as good:      2" in console.file.getvalue()


def test_what_is_no_sweep(tmp_path):
    with pytest.raises(UserError, match="not the folder of a sweep"):
        read_sweep(tmp_path)
    with pytest.raises(UserError, match=r"sweep\.storage"):
        TrialStudy.create(tmp_path, Sweep(storage="ftp://x"), "minimize", [], {})


def test_sweeps_begun_in_the_same_second_get_folders_of_their_own(tmp_path):
    first, second = (_new_folder(tmp_path / "sweep", named=False) for _ in range(2))
    assert (first.name, second.name) == ("sweep", "sweep_2")
    (first / "sweep.json").write_text("{}")
    with pytest.raises(UserError, match="holds a sweep already"):
        _new_folder(first, named=True)
    assert _new_folder(tmp_path / "named", named=True).is_dir()
    (tmp_path / "file").write_text("")
    for named in (True, False):
        with pytest.raises(UserError, match=r"hydra\.sweep\.dir=.*file"):
            _new_folder(tmp_path / "file", named=named)
