"""Sweeps: params/sweeps/<sweep>.yaml expanded to the points of a grid, one run of a chapter each."""

import functools
import itertools
import operator
import re

from parameters import ROOT, declared_parameters, is_plain_name, load_params

GIVEN_BY_MAKE = ("dataset", "weights_dir", "start")  # make passes these to every point on the command line


def load_sweep(sweep):
    """Read params/sweeps/<sweep>.yaml and fill in its optional parts; ValueError if its structure is wrong."""
    config = {"fixed": {}, "vary": {}, "grid": {}, "configs": []} | load_params("sweeps", sweep)
    for part in ("notebook", "names"):
        if not isinstance(config.get(part), str):
            raise ValueError(f"params/sweeps/{sweep}.yaml should have a line '{part}: <name>'")
    if not is_plain_name(config["notebook"]):
        raise ValueError(f"params/sweeps/{sweep}.yaml: notebook should be a name from notebooks/, without .py")
    kinds = ("encoder", "trainer", "clusterer")
    if not isinstance(config["configs"], list) or any(kind not in kinds for kind in config["configs"]):
        raise ValueError(f"params/sweeps/{sweep}.yaml: configs should be a list of some of {', '.join(kinds)}")
    for part in ("fixed", "vary", "grid"):
        lists = [] if part == "fixed" or not isinstance(config[part], dict) else config[part].values()
        if not isinstance(config[part], dict) or not all(isinstance(v, list) or v == "all" for v in lists):
            raise ValueError(
                f"params/sweeps/{sweep}.yaml: {part} should hold lines of 'name: values', values as a list"
            )
    return config


def expand_sweep(sweep, defaults, encoders=()):
    """All points of a sweep: {point name: parameters of its chapter}.

    - `fixed` values replace `defaults`; together they are the baseline.
    - `vary` changes one parameter of the baseline at a time; the baseline itself is a point too.
    - `grid` is the Cartesian product of its lists, crossed with the points of `vary`; "all" stands for `encoders`.
    - `configs` lists parameters whose value names a file in params/, whose settings are added.
    - The name of a point is the value of the parameter called `names`, and so names its output.

    ValueError if two points have the same name or a value of `vary` equals the baseline.
    """
    config = load_sweep(sweep)
    grid = {name: encoders if values == "all" else values for name, values in config["grid"].items()}
    baseline = {**defaults, **config["fixed"]}
    departures = [{name: value} for name, values in config["vary"].items() for value in values]
    for name, value in itertools.chain.from_iterable(departure.items() for departure in departures):
        if name in grid:
            raise ValueError(f"{name} is in both vary and grid of sweep {sweep}: it can be in only one of them")
        if name in baseline and baseline[name] == value:
            raise ValueError(f"{name} = {value} in vary of sweep {sweep} is the baseline, which is a point already")
    points = {}
    # itertools.product, as sklearn's ParameterGrid would take longer to import than all of the planning
    for changed, values in itertools.product([{}, *departures], itertools.product(*grid.values())):
        crossed = dict(zip(grid, values, strict=True))
        parts = [f"{k}-{re.sub(r'[^.0-9A-Za-z_-]+', '-', str(v))}" for k, v in (changed | crossed).items()]
        label = "__".join([sweep, *parts])
        if label in points:
            raise ValueError(f"two points of sweep {sweep} have the name {label}")
        chosen = {**config["fixed"], **changed, **crossed}
        added = [load_params(f"{kind}s", chosen.get(kind)) for kind in config["configs"]]
        points[label] = functools.reduce(operator.or_, [defaults, *added, chosen, {config["names"]: label}])
    return points


def sweep_points(sweep, encoders):
    """{point name: all parameters of its chapter}. A chapter with the parameter `encoder` gets the first of `encoders`."""
    declared = declared_parameters(load_sweep(sweep)["notebook"])
    asked = {"encoder": encoders[0], "encoders": encoders}
    return expand_sweep(sweep, declared | {name: asked[name] for name in asked if name in declared}, encoders)


def last_sweep(dataset, sweep, encoders=()):
    """Points of a sweep, and {name: its values in their order} of all parameters in `vary` and `grid`.

    Without `encoders`, those of the last `make sweep` of this name are taken from data/<dataset>/sweeps/<sweep>/.
    """
    file = ROOT / "data" / dataset / "sweeps" / sweep / "encoders.txt"
    if not encoders and not file.is_file():
        raise FileNotFoundError(f"{file} is missing: run make sweep SWEEP={sweep} DATASET={dataset}")
    points = sweep_points(sweep, list(encoders) or file.read_text().split())
    config = load_sweep(sweep)
    names = [*config["vary"], *config["grid"]]
    return points, {name: list(dict.fromkeys(point[name] for point in points.values())) for name in names}


def own_parameters(point):
    """The parameters of a point that go into its YAML file; make passes the others on the command line."""
    return {name: value for name, value in point.items() if name not in GIVEN_BY_MAKE}
