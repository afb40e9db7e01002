"""Embedding with Ray on several nodes: the same vectors, also if a process or a node is lost, and errors in one line."""

import itertools
import os
import signal
import socket
import sys
import tarfile
import time

import numpy as np
import psutil
import pytest
import torch
from object_store import bucket, started

import distributed
import encoders

CONFIG = {
    "library": "torchvision", "architecture": "resnet18", "weights": None, "input_size": 64,
    "layers": {"layer3": "layer3", "avgpool": "avgpool"},
}  # fmt: skip
HERE = "cpu", torch.float32


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one core each for all tests of this file: to start them takes longer than to use them."""
    os.environ.update(distributed.SETTINGS)
    import ray
    from ray.cluster_utils import Cluster

    checks = {"initial_delay": 1000, "period": 1000, "timeout": 5000}  # milliseconds: a lost node is noticed sooner
    checks = {f"health_check_{name}_ms": value for name, value in checks.items()} | {"health_check_failure_threshold": 3}
    head = {"num_cpus": 1, "include_dashboard": False, "_system_config": checks}
    nodes = Cluster(initialize_head=True, head_node_args=head)
    nodes.add_node(num_cpus=1)
    environment = {"env_vars": {"PYTHONPATH": str(distributed.utils.ROOT)}}
    ray.init(nodes.address, logging_level="error", log_to_driver=False, runtime_env=environment)
    yield nodes
    ray.shutdown()
    nodes.shutdown()


def locally(shards):
    paths = [path for shard in shards for path in shard]
    rows = np.split(np.arange(len(paths)), np.cumsum([len(shard) for shard in shards])[:-1])
    model = encoders.open_encoder(CONFIG, encoders.Source(paths), 3, torch.float32)
    return list(model.describe([part.tolist() for part in rows]))


def check_same(found, shards):
    assert sorted(number for number, _ in found) == list(range(len(shards)))  # nothing lost, nothing twice
    for (_, values), expected in zip(sorted(found, key=lambda pair: pair[0]), locally(shards), strict=True):
        assert list(values) == list(expected)
        for layer in expected:
            np.testing.assert_allclose(values[layer], expected[layer], rtol=1e-4, atol=1e-5)


def processes():
    """Processes that hold the encoder, by their number."""
    found = {}
    for process in psutil.Process().children(recursive=True):
        try:
            if "MapWorker" in " ".join(process.cmdline()):
                found[process.pid] = process
        except psutil.Error:  # it has ended meanwhile
            continue
    return found


def test_ray_gives_the_same_embeddings_also_if_a_process_and_a_node_are_lost(cluster, photos, monkeypatch):
    monkeypatch.setattr(distributed, "SHARDS_AT_A_TIME", 1)
    shards, seen = [[*photos, *photos[:n]] for n in range(1, 13)], []
    described = distributed.describe(shards, CONFIG, *HERE, seed=3, progress=seen.append)
    found = [next(described)]
    before = processes()
    os.kill(next(iter(before)), signal.SIGKILL)
    found += itertools.islice(described, 2)
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    began = time.monotonic()
    found += described
    assert time.monotonic() - began > 0.2  # it was not lost when all was done
    check_same(found, shards)
    assert sorted(seen) == sorted(len(shard) for shard in shards)


def test_processes_fetch_their_photographs_from_an_object_store(cluster, photos, tmp_path):
    with started() as store:
        store.objects |= {path.name: path.read_bytes() for path in photos}
        folder = bucket(tmp_path / "remote", store.address("museum", anonymous=1)) / "photos.bucket"
        found = list(distributed.describe([[folder / path.name for path in photos[n:]] for n in (0, 8)], CONFIG, *HERE, seed=3))
    check_same(found, [photos, photos[8:]])


def test_a_photograph_that_vanished_is_named_in_one_line(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(encoders, "WORKERS", encoders.WORKERS)  # is restored: a process of Ray sets its own
    process = distributed._Describer(CONFIG, "", 3, torch.float32, None, "cpu", 1)
    first, second = process({"numbers": [4, 5, 6], "paths": [[photos[0]], [tmp_path / "gone.jpg"], [photos[1]]]})
    assert first["number"] == 4 and second["number"] == 5
    assert "gone.jpg was readable in chapter 01 but is not now" in second["error"] and "\n" not in second["error"]


def test_another_device_than_that_of_make_is_refused():
    with pytest.raises(RuntimeError, match="a process of the cluster computes on cpu, and make on cuda"):
        distributed._Describer(CONFIG, "", 0, torch.float32, None, "cuda", 1)


def test_a_cluster_that_does_not_answer_is_named_at_once(monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(RuntimeError, match=r"RAY_ADDRESS=127.0.0.1:\d+: no Ray cluster answers there"):
            next(distributed.describe([["a.jpg"]], CONFIG, *HERE))


def test_a_shard_that_is_given_twice_counts_once(cluster, photos, monkeypatch):
    layers = {"avgpool": np.zeros((1, 2))}
    monkeypatch.setattr(distributed, "_described", lambda left, settings: iter([(1, layers), (1, layers), (0, layers)]))
    seen = []
    found = list(distributed.describe([[photos[0]], [photos[1]]], CONFIG, *HERE, progress=seen.append))
    assert [number for number, _ in found] == [1, 0] and seen == [1, 1]


def test_nothing_to_do_starts_nothing(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)  # an import would fail
    assert list(distributed.describe([], CONFIG, *HERE)) == []


@pytest.mark.parametrize(
    "machines, expected",
    [
        ([{"CPU": 2.0}], (2, 1, 0)),
        ([{"CPU": 16.0, "GPU": 1.0}, {"CPU": 64.0}], (1, 16, 1)),  # the cores of a machine without cards are of no use
        ([{"CPU": 16.0, "GPU": 4.0}, {"CPU": 48.0, "GPU": 2.0}], (6, 4, 1)),
        ([{}], (1, 1, 0)),
    ],
)
def test_every_card_gets_a_process_and_no_process_more_cores_than_a_machine_has(machines, expected):
    nodes = [{"Alive": True, "Resources": resources} for resources in machines]
    lost = {"Alive": False, "Resources": {"CPU": 8.0, "GPU": 8.0}}
    assert distributed.processes_and_cores([*nodes, lost]) == expected


def test_chapter_02_keeps_the_shards_of_either_engine(cluster, photos, bench, tmp_path, monkeypatch):
    (tmp_path / "shards").mkdir()  # of WebDataset
    for number, half in enumerate((photos[:6], photos[6:])):
        with tarfile.open(tmp_path / "shards" / f"{number:04d}.tar", "w") as packed:
            for path in half:
                packed.add(path, path.name)
    bench.run("01", dataset="d", source=str(tmp_path / "shards"))
    with pytest.raises(ValueError, match="engine=spark should be one of: local, ray"):
        bench.encode("d", "resnet18_untrained", engine="spark")
    calls, describe = [], distributed.describe
    monkeypatch.setattr(distributed, "describe", lambda *given, **options: calls.append(given) or describe(*given, **options))
    bench.encode("d", "resnet18_untrained", shard_size=3, engine="ray")
    assert len(calls) == 1
    printed, kept = bench.encode("d", "resnet18_untrained", shard_size=3)
    assert "4 of 4 shards are complete already" in printed
    (expected,) = kept["model"].describe([list(range(12))])
    for layer, vectors in kept["embeddings"].items():
        np.testing.assert_allclose(vectors, expected[layer], rtol=1e-2, atol=1e-2)
    bench.encode("d", "pixels", engine="ray")  # looks at all photographs, so it stays in this process
    assert len(calls) == 1 and bench.data("d", "embeddings", "pixels", "_SUCCESS").is_file()
