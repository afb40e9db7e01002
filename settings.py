"""Settings of one call of make: DATASET, SOURCE, ENCODERS and the others, checked before any work.

A setting that is not given on the command line is read from data/<dataset>/config.yaml, where execute.py stores what a
chapter ran with, or else from params/datasets/<dataset>.yaml, or else from DEFAULTS.
"""

import itertools
import os
import re
import shlex
from pathlib import Path

import listing
from files import atomic_write, locked
from parameters import (
    ENGINES,
    ROOT,
    check_parameters,
    config_names,
    declared_parameters,
    is_plain_name,
    load_params,
    parse_assignments,
    read_yaml,
    suggestion,
)

DEFAULTS = {
    "encoders": "resnet50_crops resnet18_double pixels",  # two networks, so that trust can compare them
    "clusterers": "pooled_average nested_kmeans flat_kmeans",
    "seeds": "0 1 2",
    "start": "resnet18_double",
    "training": "",
}
KINDS = {"encoders": ("encoders", "trainers"), "clusterers": ("clusterers",)}  # folders of params/ with allowed names
TRAINING_CHAPTER = "03_supcon_finetune"
NOT_IN_TRAINING = ("dataset", "trainer", "setting", "start", "weights_dir")  # parameters of chapter 03 that make sets
NO_NETWORK = ("pixels", "truth", "fused", "kmers", "dna_mlm", "huggingface")  # libraries whose encoders cannot be tuned
STORED_HEADER = "# Written by execute.py: what later calls of make for this dataset need not repeat.\n"


class BadSetting(ValueError):
    """A setting, given or stored, that cannot be used."""


def parse_settings(assignments):
    """{lower-case name: text} of "NAME=value" arguments."""
    return {name.lower(): text.strip() for name, _, text in (item.partition("=") for item in assignments)}


class Settings:
    """All settings of one call of make.

    Raises BadSetting, or ValueError for a file in params/, with a one-line message if any of them cannot be used.
    """

    def __init__(self, given, goals=()):
        self.given = dict(given)
        self.dataset = check_dataset(given.get("dataset", "demo"))
        if given.get("list"):
            raise BadSetting(f"LIST={given['list']} is for make fetch, which fetches photographs")
        self.data, self.figures = f"data/{self.dataset}", f"figures/{self.dataset}"
        self.world = f"params/worlds/{self.dataset}.yaml" if self.dataset in config_names("worlds") else ""
        self.stored = load_stored(self.dataset)
        self.defaults = DEFAULTS | self._dataset_defaults()

        self.labels = self._labels()
        self.source, self.csv, self.weights = (self.given_or_stored(name) for name in ("source", "csv", "weights"))
        self._check_folders()
        self.review = self._review()
        self.engine = self._engine()
        self.encoders = self._names("encoders")
        self.clusterers = self._names("clusterers")
        self.seeds = self._seeds()
        self.runs = [
            f"{encoder}/{clusterer}" for encoder, clusterer in itertools.product(self.encoders, self.clusterers)
        ]
        self.submit = self._submit(goals)
        self.start = self.given_or_stored("start") or self.defaults["start"]
        check_start(self.start, f"START={self.start}{self._origin('start')}")
        self.training = self._training(self.given_or_stored("training") or self.defaults["training"])
        self.sweep = given.get("sweep", "")
        if "sweep" in goals and self.sweep not in config_names("sweeps"):
            raise BadSetting(f"SWEEP={self.sweep} should be one of: {', '.join(config_names('sweeps'))}")

    def given_or_stored(self, name):
        """The text of a setting from the command line, or else from config.yaml; empty if it is in neither."""
        return self.given[name] if name in self.given else str(self.stored.get(name) or "")

    def _origin(self, name):
        """Where a setting comes from that was not given on the command line, as part of a message."""
        if name in self.given:
            return ""
        return f" (stored in {self.data}/config.yaml)" if self.stored.get(name) else " (the default)"

    def sweep_encoders(self):
        """ENCODERS of a sweep, which are stored separately for every sweep."""
        stored = (self.stored.get("sweeps") or {}).get(self.sweep, "")
        return self.encoders if "encoders" in self.given or not stored else self._expand("encoders", stored)

    def _dataset_defaults(self):
        """Defaults in params/datasets/<dataset>.yaml; a simulated world without such a file uses the demo's."""
        name = self.dataset if self.dataset in config_names("datasets") else "demo" if self.world else None
        config = load_params("datasets", name) if name else {}
        for key in config:
            if key not in (*DEFAULTS, "title"):
                hint = suggestion(key, list(DEFAULTS))
                raise BadSetting(f"params/datasets/{name}.yaml: unknown name {key!r}; {hint}")
        given = {key: value for key, value in config.items() if value is not None and key != "title"}
        return {k: " ".join(map(str, v)) if isinstance(v, list) else str(v) for k, v in given.items()}

    def _labels(self):
        """LABELS. It stands for the table of the photographs, as CSV does, so one of them replaces a stored other."""
        labels = self.given.get("labels")
        if labels not in (None, "", "folders"):
            raise BadSetting(f"LABELS={labels} should be empty or: folders (family/genus/species by depth)")
        if labels and self.world:
            raise BadSetting(f"LABELS={labels} is for photographs of your own: {self.dataset} is simulated ({self.world})")
        if labels and self.given.get("csv"):
            raise BadSetting(f"LABELS={labels} and CSV={self.given['csv']} cannot both name the photographs: leave one out")
        if labels:
            self.given["csv"] = ""
        elif self.given.get("csv"):
            self.given["labels"] = ""
        return self.given_or_stored("labels")

    def _check_folders(self):
        if self.world and self.source:
            raise BadSetting(
                f"DATASET={self.dataset} is simulated ({self.world}): give your own photographs another name, "
                "DATASET=mine SOURCE=..."
            )
        for name in ("source", "weights"):
            text = self.given.get(name)
            if text and not as_path(text).is_dir():
                raise BadSetting(f"{name.upper()}={text} is not a folder (looked for {as_path(text)})")
        if self.given.get("csv"):
            self._check_csv(as_path(self.source or f"{self.data}/photos"))

    def _review(self):
        """REVIEW: the path of a review.csv, or empty."""
        review = self.given_or_stored("review")
        if review and not as_path(review).is_file():
            described = f"REVIEW={review}{self._origin('review')}"
            raise BadSetting(f"{described} is not a file: give the review.csv that the atlas saved, or REVIEW= for none")
        return review

    def _engine(self):
        """ENGINE: "local", or "ray" for several machines."""
        engine = self.given_or_stored("engine") or ENGINES[0]
        if engine not in ENGINES:
            described = f"ENGINE={engine}{self._origin('engine')}"
            raise BadSetting(f"{described} should be one of: {', '.join(ENGINES)}")
        return engine

    def _check_csv(self, photos):
        if Path(self.csv).name != self.csv or not (photos / self.csv).is_file():
            found = sorted(path.name for path in photos.glob("*") if path.name.lower().endswith(listing.TABLES))
            hint = suggestion(self.csv, found) if found else "there is no table"
            raise BadSetting(f"CSV={self.csv} is not a file in {photos}; {hint}")
        own = os.path.realpath(photos) == os.path.realpath(ROOT / self.data)
        if own and listing.made_by_chapters("", [self.csv]):
            raise BadSetting(f"CSV={self.csv} has the name of a result in {self.data}: rename it")

    def _names(self, setting):
        text = self.given.get(setting, self.defaults[setting])
        if not text.strip():
            raise BadSetting(f"{setting.upper()} is empty: give names from params/{setting}/, or leave it out")
        return self._expand(setting, text)

    def _expand(self, setting, text):
        """The names in a text without duplicates; a name with no file of its own stands for all that start with it."""
        known = [name for kind in KINDS[setting] for name in config_names(kind)]
        found = []
        for name in text.split():
            group = [name] if name in known else [other for other in known if other.startswith(f"{name}_")]
            if not group:
                hint = suggestion(name, list(dict.fromkeys(known)))
                raise BadSetting(f"{setting.upper()}: there is no params/{setting}/{name}.yaml; {hint}")
            found += group
        return list(dict.fromkeys(found))

    def _seeds(self):
        text = self.given.get("seeds", self.defaults["seeds"])
        seeds = text.split()
        if not seeds or not all(re.fullmatch(r"0|[1-9]\d{0,8}", seed) for seed in seeds):
            raise BadSetting(f"SEEDS={text} should be whole numbers from 0, separated by blanks, as in SEEDS='0 1 2'")
        if len(set(seeds)) < len(seeds):
            raise BadSetting(f"SEEDS={text} contains a seed twice")
        return seeds

    def _submit(self, goals):
        """The run to submit. A stored one that is not among the runs is replaced by the first run."""
        submit = self.given_or_stored("submit")
        if submit in self.runs:
            return submit
        if self.given.get("submit") and goals != ["sweep"]:
            raise BadSetting(f"SUBMIT={submit} is not one of the runs; {suggestion(submit, self.runs)}")
        return self.runs[0]

    def _training(self, text):
        """The "name=value" assignments of TRAINING, each a parameter that chapter 03 declares."""
        declared = {k: v for k, v in declared_parameters(TRAINING_CHAPTER).items() if k not in NOT_IN_TRAINING}
        try:
            assignments = shlex.split(text)
            for assignment in assignments:
                name, equals, _ = assignment.partition("=")
                if not equals:
                    raise ValueError(f"{assignment} should be name=value")
                if name not in declared:
                    raise ValueError(f"unknown parameter {name!r}; {suggestion(name, list(declared))}")
            check_parameters(parse_assignments(assignments, declared), declared, "TRAINING")
        except Exception as error:  # from shlex, from YAML, or from the checks
            reason = " ".join(str(error).split()).removeprefix("TRAINING: ")
            raise BadSetting(f"TRAINING={text}{self._origin('training')}: {reason}") from None
        return assignments

    def to_store(self, *names):
        """Options of execute.py that store these settings if the chapter succeeds; an empty value removes the setting."""
        kept = {name: self.given_or_stored(name) for name in names}
        if kept.get("submit") and kept["submit"] != self.submit:  # a run with fewer methods keeps what is stored
            del kept["submit"]
        return [part for name, text in kept.items() for part in ("-r", f"{name}={text}")]


def check_dataset(dataset):
    """Return the name of a dataset; BadSetting if it is not a plain name."""
    if not is_plain_name(dataset):
        raise BadSetting(f"DATASET={dataset} should be one plain name: letters, digits, '.', '_' and '-' only")
    return dataset


def networks():
    """Names of the configs in params/encoders/ of networks that see photographs."""
    return [name for name in config_names("encoders") if load_params("encoders", name).get("library") not in NO_NETWORK]


def check_start(start, described):
    """BadSetting unless `start` is an encoder that can be tuned; `described` begins the message."""
    if start not in networks():
        hint = suggestion(start, networks())
        raise BadSetting(f"{described} is not a network of params/encoders/ to start from; {hint}")


def as_path(text):
    """A folder as the chapters read it: relative to the project, with ~ as the home folder."""
    try:
        return ROOT / Path(text).expanduser()
    except RuntimeError:  # ~ before the name of somebody who has no home here
        return ROOT / text


# ---- stored settings ---------------------------------------------------------------------------------------------


def is_stored_settings(path):
    """Whether a file is a config.yaml that execute.py wrote, and not one of the user's own."""
    try:
        with path.open() as stream:
            return stream.readline() == STORED_HEADER
    except (OSError, UnicodeDecodeError):
        return False


def load_stored(dataset):
    """Settings stored in data/<dataset>/config.yaml; empty if there are none, BadSetting if the file is not ours."""
    path = f"data/{dataset}/config.yaml"
    if not (ROOT / path).is_file():
        return {}
    if not is_stored_settings(ROOT / path):
        raise BadSetting(f"{path} is where settings are stored, but make did not write this file: rename it")
    stored = read_yaml(path)
    for name, value in stored.items():
        if isinstance(value, list) or isinstance(value, dict) != (name in ("plan", "sweeps")):
            raise BadSetting(f"{path}: {name} is not as make wrote it: delete this line, or the file")
    return stored


def store(dataset, settings, parameters):
    """Store "name=text" settings in data/<dataset>/config.yaml; an empty text removes one.

    "sweeps.<sweep>=text" is a setting of one sweep. "plan" without a text stores the encoders, clusterers, seeds and submit
    among the `parameters` of chapter 06. A lock on the folder makes calls at the same time wait for each other.
    """
    import yaml

    path = ROOT / "data" / dataset / "config.yaml"
    with locked(path.parent):
        before = load_stored(dataset)
        stored = {**before, "sweeps": dict(before.get("sweeps", {}))}
        for setting in settings:
            name, equals, text = setting.partition("=")
            kind, _, sweep = name.partition(".")
            place, key = (stored["sweeps"], sweep) if sweep else (stored, kind)
            place[key] = text if equals else {k: parameters[k] for k in ("encoders", "clusterers", "seeds", "submit")}
            if not place[key]:
                del place[key]
        if not stored["sweeps"]:
            del stored["sweeps"]
        if stored != before:
            with atomic_write(path) as temporary:
                temporary.write_text(STORED_HEADER + yaml.safe_dump(stored, sort_keys=False))
