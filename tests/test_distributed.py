"""Embedding with Ray on several real processes: the same vectors, also if a process is killed, and errors in one line."""

import os
import signal
import sys

import numpy as np
import psutil
import pytest

import distributed
import encoders

CONFIG = {
    "library": "torchvision", "architecture": "resnet18", "weights": None, "input_size": 32,
    "layers": {"layer3": "layer3", "avgpool": "avgpool"},
}  # fmt: skip


@pytest.fixture(scope="module")
def cluster():
    """Two processes for all tests of this file: to start them takes longer than to use them."""
    os.environ.update(distributed.QUIET)
    import ray

    environment = {"env_vars": {"PYTHONPATH": str(distributed.utils.ROOT)}}
    ray.init(num_cpus=2, include_dashboard=False, logging_level="error", log_to_driver=False, runtime_env=environment)
    yield
    ray.shutdown()


def shards_of(photos, n):
    """The photographs in `n` shards, so many times over that every shard has eight."""
    paths = (list(photos) * (8 * n // len(photos) + 1))[: 8 * n]
    return [paths[start : start + 8] for start in range(0, 8 * n, 8)]


def locally(shards):
    paths = [path for shard in shards for path in shard]
    rows = np.split(np.arange(len(paths)), np.cumsum([len(shard) for shard in shards])[:-1])
    return list(encoders.open_encoder(CONFIG, encoders.Source(paths), 3).describe([part.tolist() for part in rows]))


def title(process):
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has ended meanwhile
        return ""


def check_same(found, shards):
    assert sorted(number for number, _ in found) == list(range(len(shards)))  # nothing lost, nothing twice
    for (_, values), expected in zip(sorted(found, key=lambda pair: pair[0]), locally(shards), strict=True):
        assert list(values) == list(expected)
        for layer in expected:
            np.testing.assert_allclose(values[layer], expected[layer], rtol=1e-4, atol=1e-5)


def test_ray_gives_the_same_embeddings_also_if_a_process_is_killed(cluster, photos):
    shards, seen = shards_of(photos, 12), []
    described = distributed.describe(shards, CONFIG, seed=3, progress=seen.append)
    found = [next(described)]
    workers = [p for p in psutil.Process().children(recursive=True) if "MapWorker" in title(p)]
    os.kill(workers[0].pid, signal.SIGKILL)
    found += described
    check_same(found, shards)
    assert seen == [8] * 12


def test_a_photograph_that_vanished_is_named_in_one_line(cluster, photos, tmp_path):
    with pytest.raises(RuntimeError, match=r"gone.jpg was readable in chapter 01 but is not now") as error:
        list(distributed.describe([[tmp_path / "gone.jpg"]], CONFIG))
    assert "\n" not in str(error.value)


def test_nothing_to_do_starts_nothing(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)  # an import would fail
    assert list(distributed.describe([], CONFIG)) == []


def test_chapter_02_keeps_the_shards_of_either_engine(cluster, photos, bench):
    bench.run("01", dataset="d", source=str(photos[0].parent))
    with pytest.raises(ValueError, match="engine=spark should be one of: local, ray"):
        bench.encode("d", "resnet18_untrained", engine="spark")
    bench.encode("d", "resnet18_untrained", shard_size=3, engine="ray")
    printed, _ = bench.encode("d", "resnet18_untrained", shard_size=3)
    assert "4 of 4 shards are complete already" in printed
    printed, _ = bench.encode("d", "pixels", engine="ray")  # looks at all photographs, so it stays in this process
    assert "0 of 1 shards" in printed and bench.data("d", "embeddings", "pixels", "_SUCCESS").is_file()
