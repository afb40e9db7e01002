"""Embedding on several machines: Ray Data hands whole shards of photographs to processes that each hold the network.

Chapter 02 uses it with ENGINE=ray. Without RAY_ADDRESS it starts Ray on this machine, with one process for each core or
graphics card. With RAY_ADDRESS it joins a cluster, whose machines have to see the folder of the project and the photographs
under the same paths. A shard that a lost process or machine was working on is given to another.
"""

import itertools
import logging
import os
import re
import socket
import warnings
from pathlib import Path

import torch

import encoders
import utils

TRIES = 3  # of a shard whose process was lost, and of a run that ended and gave nothing since, besides the first
SHARDS_AT_A_TIME = 8  # of one process: what reads photographs is started once for all of them
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported to the makers of Ray
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # what a later release will do; without it Ray warns at every start
}


class _Describer:
    """One process of the cluster: it opens the encoder once, and then describes some shards after the other."""

    def __init__(self, config, weights_dir, seed, precision, batch_size, device, cores):
        torch.set_num_threads(cores)
        encoders.WORKERS = cores
        source = encoders.Source([], weights_dir=weights_dir)
        self.model = encoders.open_encoder(config, source, seed, precision, batch_size)
        if self.model.device.type != device:
            raise RuntimeError(f"a process of the cluster computes on {self.model.device.type}, and make on {device}")

    def __call__(self, group):
        """Yield a row for every shard: its number and vectors, or the error that a photograph gave."""
        self.model.paths = [Path(path) for shard in group["paths"] for path in shard]
        ends = itertools.accumulate(map(len, group["paths"]))
        rows = [list(range(end - len(shard), end)) for shard, end in zip(group["paths"], ends, strict=True)]
        described = self.model.describe(rows)
        for number in group["numbers"]:
            try:
                layers = next(described)
            except RuntimeError as error:  # as a value it arrives in one line, and Ray does not try again
                yield {"number": number, "error": str(error)}
                return
            yield {"number": number} | {f"layer {name}": vectors for name, vectors in layers.items()}


def processes_and_cores(nodes):
    """How many processes the machines `nodes` (of ray.nodes()) have room for, cores and cards of each: (n, cores, cards).

    One for each graphics card, or for each core if no machine has a card. Cores are those of the machine with fewest per card.
    """
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    cards = sum(int(node.get("GPU", 0)) for node in alive)
    if not cards:
        return max(1, sum(int(node.get("CPU", 0)) for node in alive)), 1, 0
    with_cards = [node for node in alive if node.get("GPU", 0) >= 1]
    return cards, max(1, min(int(node.get("CPU", 1) // node["GPU"]) for node in with_cards)), 1


def _reached(address):
    """RuntimeError if nothing answers at a RAY_ADDRESS with a host and a port: Ray itself would try for minutes."""
    if found := re.fullmatch(r"(?:ray://)?([^/]+):(\d+)", address):
        try:
            socket.create_connection((found[1], int(found[2])), timeout=5).close()
        except (OSError, OverflowError) as error:
            raise RuntimeError(f"RAY_ADDRESS={address}: no Ray cluster answers there ({error})") from error


def describe(paths, config, device, precision, weights_dir="", seed=0, batch_size=None, progress=None):
    """Yield (number, {layer: float32 array (n, d)}) of every shard, a list of paths, in the order in which they are done.

    `paths` is a list of shards. `device` is the type of device of all processes ("cpu" or "cuda"); the other arguments are
    those of `encoders.open_encoder`, whose networks give the same here. `progress(n)` is called after every n photographs.
    RuntimeError in one line if a photograph cannot be read any more, or if Ray gives up.
    """
    if not paths:
        return
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    _reached(os.environ.get("RAY_ADDRESS", ""))
    import ray  # takes seconds to load
    from ray.exceptions import RayError

    ours = not ray.is_initialized()
    if ours:
        environment = {"env_vars": {"PYTHONPATH": str(utils.ROOT)}}
        ray.init(include_dashboard=False, logging_level="error", log_to_driver=False, runtime_env=environment)
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False  # the chapter has its own
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        left, tries = dict(enumerate(paths)), TRIES
        while left:
            try:
                for number, layers in _described(left, (config, str(weights_dir), seed, precision, batch_size, device)):
                    shard = left.pop(number, None)
                    if shard is None:  # given again by a process that took the place of a lost one
                        continue
                    if progress:
                        progress(len(shard))
                    tries = TRIES
                    yield number, layers
            except RayError as error:  # a lost machine can end the whole run: what is left is started again
                if not tries:
                    about = " ".join(str(error).strip().splitlines()[-1].split())
                    raise RuntimeError(f"Ray gave up: {about}") from None
                tries -= 1
    finally:
        if ours:
            ray.shutdown()


def _described(left, settings):
    """Yield (number, {layer: vectors}) of the shards that are `left`, {number: paths}, by processes with these settings."""
    import ray

    n_processes, cores, cards = processes_and_cores(ray.nodes())
    each = min(SHARDS_AT_A_TIME, -(-len(left) // n_processes))
    pending = list(left)
    numbers = [pending[start : start + each] for start in range(0, len(pending), each)]
    groups = [{"numbers": group, "paths": [[str(p) for p in left[number]] for number in group]} for group in numbers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray 2.60 knows no newer way to limit how often a process is started again
        described = ray.data.from_items(groups, override_num_blocks=len(groups)).flat_map(
            _Describer,
            fn_constructor_args=(*settings, cores),
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(n_processes, len(groups))),
            num_cpus=cores,
            num_gpus=cards,
            max_restarts=TRIES,
            max_task_retries=TRIES,
        )
    for row in described.iter_rows():
        number = row.pop("number")
        if error := row.pop("error", None):
            raise RuntimeError(error)
        yield number, {name.removeprefix("layer "): vectors for name, vectors in row.items()}
