"""The workers that environment variables name."""

import json

import pytest
from omegaconf import OmegaConf

from seq2seq.cli import main
from seq2seq.cluster import Cluster, cluster, tf_config
from seq2seq.config import composed
from seq2seq.errors import UserError
from seq2seq.follower import is_distributed, with_shards
from seq2seq.tracking.parameters import meaningful


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for name in ("TF_CONFIG", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("jobs", "kind", "index", "expected"),
    [
        ({"worker": ["a:1", "b:2"]}, "worker", 0, Cluster(2, 0, "TF_CONFIG")),
        ({"worker": ["a:1", "b:2"]}, "worker", 1, Cluster(2, 1, "TF_CONFIG")),
        ({"chief": ["a:1"], "worker": ["b:2", "c:3"]}, "chief", 0, Cluster(3, 0, "TF_CONFIG")),
        ({"chief": ["a:1"], "worker": ["b:2", "c:3"]}, "worker", 1, Cluster(3, 2, "TF_CONFIG")),
        ({"worker": ["a:1"]}, "worker", 0, Cluster()),
        ({}, "worker", 0, Cluster()),
    ],
)
def test_tf_config(jobs, kind, index, expected, monkeypatch):
    """As the documentation of `tf.distribute.cluster_resolver.TFConfigClusterResolver` has it."""
    task = {"type": kind, "index": index}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": jobs, "task": task}))
    assert cluster() == expected


def test_slurm(monkeypatch):
    assert cluster() == Cluster()
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    monkeypatch.setenv("SLURM_PROCID", "3")
    assert cluster() == Cluster(4, 3, "Slurm")
    monkeypatch.setenv("TF_CONFIG", tf_config(["a:1", "b:2"], 1))
    assert cluster() == Cluster(2, 1, "TF_CONFIG")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not the JSON"),
        ("[]", "is not the JSON"),
        ('{"cluster": {"worker": ["a:1", "b:2"], "ps": ["c:3"]}}', "has a job 'ps'"),
        (tf_config(["a:1", "b:2"], 2), "no worker with the index 2"),
    ],
)
def test_mistakes_get_a_message(text, message, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match=message):
        cluster()


def test_several_processes_that_each_train_alone_are_refused(monkeypatch, capsys):
    from seq2seq.experiment import connected_workers

    monkeypatch.setenv("TF_CONFIG", tf_config(["a:1", "b:2"], 1))
    with pytest.raises(UserError, match="Add distribute=multi_worker"):
        connected_workers(composed(["distribute=none"]))
    with pytest.raises(SystemExit):
        main(["train", "-m", "translation/cldr_dates", "seed=1,2"])
    assert "unset TF_CONFIG" in capsys.readouterr().err


def test_the_shards_of_a_run_are_saved_with_it(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", tf_config(["a:1", "b:2"], 0))
    config, resumed = (composed(["distribute=multi_worker"]) for _ in range(2))
    with_shards(config)
    assert config.distribute.shards == 2
    monkeypatch.delenv("TF_CONFIG")
    with_shards(resumed, config)
    assert resumed.distribute.shards == 2
    alone = composed(["distribute=none"])
    with_shards(alone)
    assert "shards" not in alone.distribute


def test_the_shards_of_devices_are_saved_and_another_way_to_divide_has_them():
    devices = composed(["distribute=mirrored", "distribute.devices=[GPU:0,GPU:1]"])
    with_shards(devices)
    assert devices.distribute.shards == 2
    processes = composed(["distribute=multi_worker"])
    with_shards(processes, devices)
    assert processes.distribute.shards == 2
    for earlier in (devices, processes):
        assert meaningful(OmegaConf.to_container(earlier)) == meaningful(
            OmegaConf.to_container(processes)
        )


def test_the_object_says_whether_there_can_be_several_processes():
    assert is_distributed(composed(["distribute=multi_worker"]))
    assert not is_distributed(composed(["distribute=none"]))
    assert not is_distributed(composed(["distribute=mirrored", "distribute.devices=[a,b]"]))


def test_tensorflow_resolves_a_slurm_step_without_gpus(monkeypatch):
    from seq2seq.training.workers import MultiWorker

    step = {"NUM_TASKS": "4", "NODELIST": "node[1-2]", "TASKS_PER_NODE": "2(x2)"}
    for name, value in step.items():
        monkeypatch.setenv(f"SLURM_STEP_{name}", value)
    monkeypatch.setenv("SLURM_PROCID", "2")
    workers = MultiWorker(port=9000)
    resolver = workers._resolver()
    assert resolver.cluster_spec().as_dict() == {
        "worker": ["node1:9000", "node1:9001", "node2:9000", "node2:9001"]
    }
    assert (resolver.task_type, resolver.task_id) == ("worker", 2)
    assert resolver.num_accelerators() == {"GPU": 0}
