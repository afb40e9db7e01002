"""Embedding on several machines: Ray Data hands whole shards of photographs to processes that each hold the network.

Chapter 02 uses it with ENGINE=ray. Without RAY_ADDRESS it starts Ray on this machine, with one process for each core or
graphics card. With RAY_ADDRESS it joins a cluster, whose machines have to see the folder of the project and the photographs
under the same paths. A shard that a lost process was working on is given to another.
"""

import logging
import os
from pathlib import Path

import torch

import encoders
import utils

# Ray reports nothing to its makers, and says nothing about its own affairs
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
}


class _Describer:
    """One process of the cluster: it opens the encoder once, and then describes one shard after the other."""

    def __init__(self, config, weights_dir, seed, precision, batch_size, cores):
        torch.set_num_threads(cores)
        # without a graphics card, a core that runs the network reads its photographs, too
        encoders.WORKERS = cores if torch.cuda.is_available() else 0
        source = encoders.Source([], weights_dir=weights_dir)
        self.model = encoders.open_encoder(config, source, seed, precision, batch_size)

    def __call__(self, shard):
        self.model.paths = [Path(path) for path in shard["paths"]]
        try:
            (layers,) = self.model.describe([list(range(len(self.model.paths)))])
        except RuntimeError as error:  # as a value it arrives in one line, and Ray does not try again
            return {"number": shard["number"], "error": str(error)}
        return {"number": shard["number"]} | {f"layer {name}": vectors for name, vectors in layers.items()}


def describe(paths, config, weights_dir="", seed=0, precision=None, batch_size=None, progress=None):
    """Yield (number, {layer: float32 array (n, d)}) of every shard, a list of paths, in the order in which they are done.

    `paths` is a list of shards; the other arguments are those of `encoders.open_encoder`, whose networks give the same here.
    `progress(n)` is called after every n photographs. RuntimeError in one line if a photograph cannot be read any more, or if
    Ray gives up.
    """
    if not paths:
        return
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import ray  # takes seconds to load
    from ray.exceptions import RayError

    ours = not ray.is_initialized()
    if ours:
        environment = {"env_vars": {"PYTHONPATH": str(utils.ROOT)}}
        ray.init(include_dashboard=False, logging_level="error", log_to_driver=False, runtime_env=environment)
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False  # the chapter has its own
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        cards, cores = (int(ray.cluster_resources().get(name, 0)) for name in ("GPU", "CPU"))
        processes = cards or cores
        each = max(1, cores // processes)
        shards = [{"number": number, "paths": [str(path) for path in shard]} for number, shard in enumerate(paths)]
        described = ray.data.from_items(shards, override_num_blocks=len(shards)).map(
            _Describer,
            fn_constructor_args=(config, str(weights_dir), seed, precision, batch_size, each),
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(processes, len(shards))),
            num_cpus=each,
            num_gpus=1 if cards else 0,
        )
        for row in described.iter_rows():
            number = row.pop("number")
            if "error" in row:
                raise RuntimeError(row["error"])
            if progress:
                progress(len(paths[number]))
            yield number, {name.removeprefix("layer "): vectors for name, vectors in row.items()}
    except RayError as error:
        raise RuntimeError(f"Ray stopped: {type(error).__name__}: {str(error).strip().splitlines()[0]}") from None
    finally:
        if ours:
            ray.shutdown()
