"""Runs of strangers: whatever their files hold, no command and no function runs code from them."""

import json
import pickle
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import h5py
import pytest
import yaml
from omegaconf import OmegaConf

from seq2seq.cli import main
from seq2seq.errors import UserError
from seq2seq.files import CHECKSUMS
from seq2seq.inference.generator import Generator
from seq2seq.inference.sessions import Session
from seq2seq.tasks.initial_encoder import InitialEncoder
from seq2seq.tasks.model_folder import load_model_folder
from seq2seq.tracking.served_model import ServedModel
from tests.language_run import saved_run


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with what attacks need: a pickle, a module, and no file `canary` yet."""
    folder = tmp_path_factory.mktemp("attack")
    (folder / "pickled.pkl").write_bytes(pickle.dumps(Touch(folder / "canary")))
    code = f"import pathlib\npathlib.Path({str(folder / 'canary')!r}).touch()\nclass Evil: pass\n"
    (folder / "evil_module.py").write_text(code)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


def payloads(place):
    """Nodes that would each make `canary` if an object were made from them, or read elsewhere."""
    canary = str(place / "canary")
    return {
        "shell": {"_target_": "os.system", "command": f"touch {canary}"},
        "process": {"_target_": "subprocess.run", "args": ["touch", canary]},
        "method": {"_target_": "pathlib.Path.touch", "_args_": [canary]},
        "open": {"_target_": "builtins.open", "file": canary, "mode": "w"},
        "eval": {"_target_": "builtins.eval", "_args_": [f"open({canary!r}, 'w')"]},
        "pickle": {
            "_target_": "pandas.read_pickle",
            "filepath_or_buffer": str(place / "pickled.pkl"),
        },
        "logging": {"_target_": "logging.FileHandler", "filename": canary},
        "import": {"_target_": "evil_module.Evil"},
        "importlib": {"_target_": "importlib.import_module", "name": "evil_module"},
        "partial": {"_target_": "os.system", "_partial_": True, "command": f"touch {canary}"},
        "alias": {"_target_": "seq2seq.experiment.logging.FileHandler", "filename": canary},
        "own but unlisted": {"_target_": "seq2seq.tracking.logged_models.Registry"},
        "own function": {"_target_": "seq2seq.plots.figure.save_figure", "path": canary},
        "keras loader": {"_target_": "keras.models.load_model", "filepath": canary},
        "keras layer": {"_target_": "keras.layers.Lambda", "function": "x"},
        "hydra": {
            "_target_": "hydra.utils.instantiate",
            "config": {"_target_": "os.system", "command": f"touch {canary}"},
        },
        "nested": {
            "_target_": "seq2seq.layers.bridge.ZeroBridge",
            "units": [{"deep": {"_target_": "os.system", "command": f"touch {canary}"}}],
        },
        "reference": {"_target_": "${..hidden}", "command": f"touch {canary}"},
        "resolver": {"_target_": "${oc.decode:os.system}", "command": f"touch {canary}"},
        "create": "${oc.create:{_target_: os.system, command: 'touch " + canary + "'}}",
        "environment": "${oc.env:PATH}",
        "no recursion": {"_target_": "os.system", "_recursive_": False, "command": canary},
        "a list as target": {"_target_": ["os.system"], "command": canary},
    }


PAYLOADS = list(payloads(Path("x")))
CONFIG_PLACES = [
    "model",
    "model.encoder",
    "model.encoder.units",
    "model.bridge",
    "model.attention",
    "model.new",
    "task",
    "task.metrics",
    "tokenizer.source",
    "tokenizer.source.vocabulary_size",
    "batching.batch_size",
    "decoding",
    "decoding.length_penalty",
    "precision",
]


def copied(run_folder, tmp_path):
    """A copy of a run; without checksums, as an attacker would write new ones."""
    copy = tmp_path / "run"
    shutil.copytree(run_folder, copy)
    (copy / "model" / CHECKSUMS).unlink(missing_ok=True)
    return copy


def set_in_yaml(path, key, value):
    config = yaml.safe_load(path.read_text())
    node = config
    *above, last = key.split(".")
    for part in above:
        if not isinstance(node.get(part), dict):
            node[part] = {}
        node = node[part]
    node[last] = value
    path.write_text(yaml.safe_dump(config))


@pytest.mark.parametrize("key", CONFIG_PLACES)
def test_no_node_of_a_saved_config_runs_code(key, run_folder, tmp_path, place):
    copy = copied(run_folder, tmp_path)
    saved = (copy / "model" / "config.yaml").read_text()
    for name, payload in payloads(place).items():
        (copy / "model" / "config.yaml").write_text(saved)
        set_in_yaml(copy / "model" / "config.yaml", key, payload)
        with pytest.raises(UserError):
            load_model_folder(copy)
        assert not (place / "canary").exists(), name
    assert "evil_module" not in sys.modules


def test_what_is_refused_is_named(run_folder, tmp_path):
    copy = copied(run_folder, tmp_path)
    set_in_yaml(copy / "model" / "config.yaml", "model.bridge.a", [{"_target_": "my.own.Bridge"}])
    with pytest.raises(UserError, match=r"model\.bridge\.a\[0\] names 'my.own.Bridge'"):
        load_model_folder(copy)
    with pytest.raises(UserError, match=r"--trust my\.own"):
        load_model_folder(copy)


@pytest.mark.parametrize("name", PAYLOADS)
def test_arguments_from_the_data_are_values_and_no_code(name, run_folder, tmp_path, place):
    copy = copied(run_folder, tmp_path)
    path = copy / "model" / "model_arguments.json"
    arguments = json.loads(path.read_text())
    payload = payloads(place)[name]
    for key in [*arguments, "name", "encoder", "bridge", "_target_", "_partial_", "_args_"]:
        path.write_text(json.dumps({**arguments, key: payload}))
        with pytest.raises(UserError):
            load_model_folder(copy)
        assert not (place / "canary").exists()
    assert "evil_module" not in sys.modules


YAML = {
    "python object": "model: !!python/object/apply:os.system ['touch CANARY']",
    "python name": "model: !!python/name:os.system",
    "python module": "model: !!python/module:evil_module",
    "aliases": "\n".join(
        ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
        + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    ),
    "an alias of itself": "model: &a [*a]",
    "merged aliases": "\n".join(
        ["a0: &a0 {x: 1}"] + [f"a{n}: &a{n} {{x: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 40)]
    ),
    "references": "\n".join(
        ["a0: xxxxxxxxxx"] + [f"a{n}: '${{a{n - 1}}}${{a{n - 1}}}'" for n in range(1, 40)]
    ),
    "references to lists": "\n".join(
        ["a0: [x, x]"] + [f"a{n}: ['${{a{n - 1}}}', '${{a{n - 1}}}']" for n in range(1, 40)]
    ),
    "depth": "model: " + "[" * 5000,
    "size": "model: " + "x" * 2_000_000,
    "NUL": "model: \0",
    "not a mapping": "[1, 2]",
    "empty": "",
}


@pytest.mark.parametrize("name", YAML)
def test_no_yaml_runs_code_or_explodes(name, run_folder, tmp_path, place):
    copy = copied(run_folder, tmp_path)
    text = YAML[name].replace("CANARY", str(place / "canary"))
    for path in (copy / "model" / "config.yaml", copy / ".hydra" / "config.yaml"):
        path.write_text(text)
    with pytest.raises(UserError):
        load_model_folder(copy)
    with pytest.raises(SystemExit) as exit_:
        main(["train", f"resume={copy}"])
    assert exit_.value.code == 2
    assert not (place / "canary").exists()
    assert "evil_module" not in sys.modules


@pytest.mark.parametrize(
    "entry", ["predict", "--features", "evaluate", "score", "inspect", "--map"]
)
@pytest.mark.parametrize("name", ["shell", "pickle", "import", "create"])
def test_no_command_runs_code_of_a_run(entry, name, run_folder, tmp_path, place):
    copy = copied(run_folder, tmp_path)
    text = tmp_path / "in.tsv"
    text.write_text("a\tb\n" * 4)
    arguments = {
        "predict": ["predict", copy, text],
        "--features": ["predict", copy, text, "--features", "all", "-o", tmp_path / "x.npz"],
        "evaluate": ["evaluate", copy],
        "score": ["score", copy, text],
        "inspect": ["inspect", copy, text, "-o", tmp_path / "x"],
        "--map": ["inspect", copy, text, "--map", "pca", "-o", tmp_path / "x"],
    }[entry]
    payload = payloads(place)[name]
    arguments_file = copy / "model" / "model_arguments.json"
    kept = arguments_file.read_text()
    arguments_file.write_text(json.dumps({**json.loads(kept), "target_vocabulary_size": payload}))
    assert exit_code(arguments) == 2
    arguments_file.write_text(kept)
    for path in (copy / "model" / "config.yaml", copy / ".hydra" / "config.yaml"):
        set_in_yaml(path, "tokenizer.source", payload)
    assert exit_code(arguments) == 2
    assert not (place / "canary").exists()


def exit_code(arguments):
    with pytest.raises(SystemExit) as exit_:
        main(list(map(str, arguments)))
    return exit_.value.code


@pytest.mark.parametrize("name", ["shell", "pickle", "import"])
def test_no_function_runs_code_of_a_run(name, run_folder, tmp_path, place):
    copy = copied(run_folder, tmp_path)
    set_in_yaml(copy / "model" / "config.yaml", "model.encoder", payloads(place)[name])

    context = SimpleNamespace(artifacts={"model": str(copy / "model")})

    with pytest.raises(UserError):
        InitialEncoder(str(copy)).give(None, None)
    with pytest.raises(Exception, match="names '"):
        ServedModel(load_model_folder).load_context(context)
    for load in (Generator.load, Session.load):
        with pytest.raises(UserError):
            load(copy)
    assert not (place / "canary").exists()


def test_generate_runs_no_code_of_a_run(tmp_path, place):
    (tmp_path / "run").mkdir()
    copy = saved_run(tmp_path / "run")
    (copy / "model" / CHECKSUMS).unlink()
    set_in_yaml(copy / "model" / "config.yaml", "model.stack", payloads(place)["shell"])
    assert exit_code(["generate", copy, "--prompt", "a"]) == 2
    assert not (place / "canary").exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("trainer.callbacks.x", "shell"),
        ("trainer.callbacks.x", "import"),
        ("trainer.callbacks.x", "create"),
        ("optimizer", "eval"),
        ("optimizer.learning_rate", "logging"),
        ("tracking", "process"),
        ("initial_encoder.run", "resolver"),
        ("data.name", "environment"),
        ("sweep", "shell"),
        ("defaults", ["override /data: x"]),
        ("hydra", {"searchpath": ["file:///tmp"]}),
        ("trainer.callbacks.x", {"_target_": "keras.callbacks.CSVLogger", "filename": "/canary"}),
        ("trainer.callbacks.x", {"_target_": "keras.callbacks.CSVLogger", "filename": "../canary"}),
        ("trainer.callbacks.x", {"_target_": "keras.callbacks.RemoteMonitor", "root": "http://x"}),
        ("data", {"_target_": "seq2seq.data.formats.tfds.Tfds", "name": "huggingface:evil"}),
    ],
)
def test_resume_runs_no_code_of_a_run(key, value, run_folder, tmp_path, place, capfd):
    copy = copied(run_folder, tmp_path)
    payload = payloads(place)[value] if isinstance(value, str) else value
    set_in_yaml(copy / ".hydra" / "config.yaml", key, payload)
    (copy / ".hydra" / "hydra.yaml").write_text("hydra: {runtime: {choices: {task: translation}}}")
    assert exit_code(["train", f"resume={copy}"]) == 2
    assert "Traceback" not in capfd.readouterr().err
    assert not (place / "canary").exists()
    assert "evil_module" not in sys.modules


@pytest.mark.parametrize(
    "argument",
    [
        "+trainer.callbacks.x={_target_: os.system, command: touch CANARY}",
        "optimizer._target_=evil_module.Evil",
        "seed=${oc.env:PATH}",
        "hydra.launcher.setup=[touch CANARY]",
        "hydra/launcher=submitit_local hydra.launcher.python=CANARY",
        "hydra.searchpath=[file:///tmp]",
        "hydra.sweeper._target_=evil_module.Evil",
        "recipe=/etc/passwd.yaml",
    ],
)
def test_resuming_a_sweep_runs_no_code_of_it(argument, tmp_path, place, capfd):
    arguments = argument.replace("CANARY", str(place / "canary")).split(" hydra.")
    arguments = [arguments[0], *(f"hydra.{each}" for each in arguments[1:])]
    content = {"study": "s", "storage": None, "arguments": ["seed=1,2", *arguments]}
    (tmp_path / "sweep.json").write_text(json.dumps(content))
    assert exit_code(["train", f"resume={tmp_path}"]) == 2
    assert "Traceback" not in capfd.readouterr().err
    assert not (place / "canary").exists()
    assert "evil_module" not in sys.modules


@pytest.mark.parametrize(
    "argument",
    [
        "+trainer.callbacks.x={_target_: os.system, command: touch CANARY}",
        "optimizer._target_=evil_module.Evil",
        "seed=${oc.env:PATH}",
        "recipe=/etc/passwd.yaml",
        "data=tfds data.name=huggingface:evil",
        3,
    ],
)
@pytest.mark.parametrize("more", [[], ["-m", "seed=1,2"]])
def test_init_from_runs_no_code_of_a_run(argument, more, run_folder, tmp_path, place, capfd):
    copy = copied(run_folder, tmp_path)
    items = str(argument).replace("CANARY", str(place / "canary")).split(" data.")
    items = [items[0], *(f"data.{each}" for each in items[1:]), "hydra.searchpath=[file:///tmp]"]
    (copy / ".hydra" / "hydra.yaml").write_text(
        json.dumps({"hydra": {"overrides": {"task": items if argument != 3 else argument}}})
    )
    assert exit_code(["train", f"init_from={copy}", *more]) == 2
    assert "Traceback" not in capfd.readouterr().err
    assert not (place / "canary").exists()
    assert "evil_module" not in sys.modules


def test_ones_own_classes_can_be_trusted(run_folder, tmp_path, place):
    copy = copied(run_folder, tmp_path)
    (place / "my_layers.py").write_text(
        "from seq2seq.models import encoder\nclass Encoder(encoder.Encoder): pass\n"
    )
    path = copy / "model" / "config.yaml"
    set_in_yaml(path, "model.encoder._target_", "my_layers.Encoder")
    with pytest.raises(UserError, match="--trust my_layers"):
        load_model_folder(copy)
    for trust in ("my_layers", "my_layers.Encoder"):
        _, model = load_model_folder(copy, [trust])
        assert type(model.encoder).__module__ == "my_layers"
    with pytest.raises(UserError, match="--trust"):
        load_model_folder(copy, ["my_layer", "my_layers.My", "layers"])
    with pytest.raises(UserError, match="must be the name of a module"):
        load_model_folder(copy, ["os; rm"])


def weights_with(change, run_folder, tmp_path):
    copy = copied(run_folder, tmp_path)
    with h5py.File(copy / "model" / "model.weights.h5", "a") as file:
        change(file)
    return copy


def first_dataset(file):
    names = []
    file.visititems(
        lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
    )
    return names[0]


def external_link(file):
    name = first_dataset(file)
    del file[name]
    file[name] = h5py.ExternalLink("/etc/passwd", "/x")


def soft_link(file):
    name = first_dataset(file)
    del file[name]
    file[name] = h5py.SoftLink("/elsewhere")


def external_values(file):
    name = first_dataset(file)
    shape = file[name].shape
    del file[name]
    file.create_dataset(name, shape, "float32", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])


def virtual_values(file):
    name = first_dataset(file)
    shape = file[name].shape
    layout = h5py.VirtualLayout(shape, "float32")
    layout[...] = h5py.VirtualSource("/elsewhere.h5", "x", shape)
    del file[name]
    file.create_virtual_dataset(name, layout)


def far_too_large(file):
    file.create_dataset("bomb", (2**40,), "float32", chunks=(2**20,), compression="gzip")


def a_cycle(file):
    file["layers"]["again"] = file["layers"]


@pytest.mark.parametrize(
    "change", [external_link, soft_link, external_values, virtual_values, far_too_large, a_cycle]
)
def test_weights_files_hold_their_own_values_and_nothing_else(change, run_folder, tmp_path):
    copy = weights_with(change, run_folder, tmp_path)
    with pytest.raises(UserError, match="damaged"):
        load_model_folder(copy)
    if change is not far_too_large:
        assert exit_code(["compress", copy, tmp_path / "copy"]) == 2


def test_references_of_ones_own_recipes_still_work(run_folder, tmp_path, monkeypatch):
    copy = copied(run_folder, tmp_path)
    path = copy / ".hydra" / "config.yaml"
    directory = OmegaConf.load(path).data.directory
    set_in_yaml(path, "data.directory", "${oc.env:SEQ2SEQ_DATA,nowhere}/")
    monkeypatch.setenv("SEQ2SEQ_DATA", directory)
    assert exit_code(["evaluate", copy]) == 0
