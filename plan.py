"""What Make has to do: every word is checked first, then every rule is written out in an included makefile.

    python plan.py rules --goals "all" DATASET=eu_moths SOURCE=~/moths    # prints the name of the makefile
    python plan.py words DATASET=eu_moths                                 # prints what would be used
    python plan.py clean DATASET=eu_moths                                 # removes what the chapters made, and nothing else
    python plan.py nearest DATASTE DATASET SOURCE ...                     # says what a misspelt word may have meant

A word that is not given is taken from data/<dataset>/config.yaml, where execute.py writes what a chapter succeeded with,
or else from params/datasets/<dataset>.yaml. The Makefile runs this at every start, so nothing heavy is imported.
"""

import argparse
import ast
import difflib
import fcntl
import functools
import hashlib
import itertools
import json
import operator
import os
import re
import shlex
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import listing
from files import atomic_write

ROOT = Path(__file__).resolve().parent
GIVEN_BY_MAKE = ("dataset", "weights_dir", "start")  # on the command line of every point of a sweep
NOT_TRAINED = ("dataset", "trainer", "setting", "start", "weights_dir")  # of chapter 03, what TRAINING may not say
DEFAULTS = {
    "encoders": "resnet50_double resnet50_single pixels",
    "clusterers": "nested_ward nested_kmeans flat_kmeans",
    "seeds": "0 1 2",
    "start": "resnet18_double",
    "training": "",
}
TRAINING_CHAPTER = "03_supcon_finetune"
SWEEP_REPORTS = {  # chapter that a sweep runs: chapter that reports it; the points of any other are run and not reported
    TRAINING_CHAPTER: "97_sweep_training",
    "04_umap_visualization": "96_sweep_maps",
    "05_hierarchical_clustering": "98_sweep_clusters",
    "09_recoverability": "95_sweep_recoverability",
}
NO_NETWORK = ("pixels", "truth", "fused")  # libraries whose encoders cannot be tuned
PLANS_KEPT = 10


class BadWord(ValueError):
    """A word on the command line, or one that is remembered, with which nothing can be done."""


def meant(name, known):
    """Which of the known names a misspelt one may have meant, as the end of a message."""
    near = difflib.get_close_matches(name, known, 1, 0.5)
    return f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"


def is_plain(name):
    """Whether a name can only name something inside its folder, and means nothing to Make or to the shell."""
    return re.fullmatch(r"\w[\w.-]*", str(name)) is not None


# ------------------------------------------------------------------------------------------------ parameters


def literal_assignments(source):
    """{name: value} of the assignments of literals in Python source."""
    assignments = [node for node in ast.parse(source).body if isinstance(node, ast.Assign)]
    return {node.targets[0].id: ast.literal_eval(node.value) for node in assignments}


@functools.cache
def declared_parameters(notebook):
    """{name: default} of the cell tagged "parameters" of notebooks/<notebook>.py; ValueError if there is none."""
    text = (ROOT / "notebooks" / f"{notebook}.py").read_text()
    cells = re.findall(r'^# %%[^\n]*"parameters"[^\n]*\n(.*?)(?=^# %%|\Z)', text, re.MULTILINE | re.DOTALL)
    if len(cells) != 1:
        raise ValueError(f"notebooks/{notebook}.py has {len(cells)} cells tagged 'parameters', not 1")
    return literal_assignments(cells[0])


def check_parameters(given, declared, source):
    """Return `given` if every name is declared and every value has the type of its default; ValueError otherwise.

    A default of None takes anything, an int will do for a float, and None will do for everything.
    """
    if not isinstance(given, dict):
        raise ValueError(f"{source}: should hold lines of 'name: value', but holds {given!r}")
    for name, value in given.items():
        if name not in declared:
            raise ValueError(f"{source}: unknown parameter {name!r}; the notebook knows {', '.join(declared)}")
        kind = type(declared[name])
        fits = isinstance(value, kind) and isinstance(value, bool) == (kind is bool)
        if not (fits or value is None or declared[name] is None or (kind is float and type(value) is int)):
            raise ValueError(f"{source}: {name} should be a {kind.__name__}, as {declared[name]!r}, but is {value!r}")
    return given


def parse_assignments(assignments, declared):
    """{name: value} of "name=value" words; texts stay texts, lists are split at blanks, the rest is read as YAML."""
    parsed = {}
    for word in assignments:
        name, _, text = word.partition("=")
        default = declared.get(name)
        if isinstance(default, list):
            as_text = default and isinstance(default[0], str)
            parsed[name] = [item if as_text else read_yaml(item) for item in text.split()]
        else:
            parsed[name] = text if isinstance(default, str) else read_yaml(text)
            if isinstance(default, float) and re.fullmatch(r"[+-]?[\d.]+e[+-]?\d+", str(parsed[name]), re.IGNORECASE):
                parsed[name] = float(text)  # 1e-4 is a number to everyone but YAML 1.1
    return parsed


def read_yaml(text):
    """YAML text as plain values."""
    import yaml  # not needed to clean or to answer a misspelt word, so that any Python can

    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))


@functools.cache
def load_config(path):
    """A YAML file of `name: value` lines, by its path below the project; ValueError if it cannot be read."""
    import yaml

    try:
        content = read_yaml((ROOT / path).read_text()) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} should hold lines of 'name: value', but holds {content!r}")
    return content


def load_params(kind, name):
    """params/<kind>/<name>.yaml as a dict; ValueError names what there is instead."""
    if not is_plain(name) or not (ROOT / "params" / kind / f"{name}.yaml").is_file():
        raise ValueError(f"there is no params/{kind}/{name}.yaml; {meant(str(name), stems(kind))}")
    return load_config(f"params/{kind}/{name}.yaml")


@functools.cache
def stems(kind):
    """Names of all YAML files in params/<kind>/, sorted."""
    return sorted(path.stem for path in (ROOT / "params" / kind).glob("*.yaml") if is_plain(path.stem))


# --------------------------------------------------------------------------------------------------- sweeps


def load_sweep(sweep):
    """params/sweeps/<sweep>.yaml, with all of its parts; ValueError if one is missing or has another form."""
    config = {"fixed": {}, "vary": {}, "grid": {}, "configs": []} | load_params("sweeps", sweep)
    for part in ("notebook", "names"):
        if not isinstance(config.get(part), str):
            raise ValueError(f"params/sweeps/{sweep}.yaml should have a line '{part}: <name>'")
    for part in ("fixed", "vary", "grid"):
        lists = [] if part == "fixed" or not isinstance(config[part], dict) else config[part].values()
        if not isinstance(config[part], dict) or not all(isinstance(v, list) or v == "all" for v in lists):
            raise ValueError(
                f"params/sweeps/{sweep}.yaml: {part} should hold lines of 'name: values', values as a list"
            )
    return config


def expand_sweep(sweep, defaults, encoders=()):
    """All points of params/sweeps/<sweep>.yaml: {point name: parameters of its notebook}.

    The baseline is what `fixed` holds, and `defaults` where it is silent. Each value in the lists of `vary` is one departure
    from it, one parameter at a time, beside the baseline itself. They are crossed with `grid`, the Cartesian product of its
    lists; "all" there stands for all `encoders`. A parameter named in `configs` is the name of a config, and brings all of it.
    A point's name is written to the parameter called `names`, and so names its output. ValueError if two points would have
    one name, if a value of `vary` is no departure, or if the file has another form.
    """
    config = load_sweep(sweep)
    grid = {name: encoders if values == "all" else values for name, values in config["grid"].items()}
    baseline = {**defaults, **config["fixed"]}
    departures = [{name: value} for name, values in config["vary"].items() for value in values]
    for name, value in itertools.chain.from_iterable(departure.items() for departure in departures):
        if name in grid:
            raise ValueError(f"{name} stands in vary and in grid of sweep {sweep}: it can be in one of them")
        if name in baseline and baseline[name] == value:
            raise ValueError(
                f"{name} = {value} in vary of sweep {sweep} is the baseline itself, which is a point anyway"
            )
    points = {}
    for changed, values in itertools.product([{}, *departures], itertools.product(*grid.values())):
        crossed = dict(zip(grid, values, strict=True))
        parts = [f"{k}-{re.sub(r'[^.0-9A-Za-z_-]+', '-', str(v))}" for k, v in (changed | crossed).items()]
        label = "__".join([sweep, *parts])
        if label in points:
            raise ValueError(f"two points of sweep {sweep} are called {label}")
        chosen = {**config["fixed"], **changed, **crossed}
        brought = [load_params(f"{kind}s", chosen.get(kind)) for kind in config["configs"]]
        points[label] = functools.reduce(operator.or_, [defaults, *brought, chosen, {config["names"]: label}])
    return points


def sweep_points(sweep, encoders):
    """{point: all parameters of its chapter}. A chapter that looks through one encoder gets the first, others all."""
    declared = declared_parameters(load_sweep(sweep)["notebook"])
    asked = {"encoder": encoders[0], "encoders": encoders}
    return expand_sweep(sweep, declared | {name: asked[name] for name in asked if name in declared}, encoders)


def own_parameters(point):
    """Of all parameters of a point, those of its YAML file."""
    return {name: value for name, value in point.items() if name not in GIVEN_BY_MAKE}


# ---------------------------------------------------------------------------------------- words, and their checks


def parse_words(assignments):
    """{lower-case name: text} of the "NAME=value" words that were given."""
    return {name.lower(): text.strip() for name, _, text in (word.partition("=") for word in assignments)}


class Words:
    """What is to be done with which dataset: words that were given, else remembered, else the dataset's defaults.

    BadWord, or ValueError for a file of parameters, says in one line what is wrong with any of them.
    """

    def __init__(self, given, goals=()):
        self.given = given
        self.dataset = given.get("dataset", "demo")
        if not is_plain(self.dataset):
            raise BadWord(f"DATASET={self.dataset} should be one plain name: letters, digits, '.', '_' and '-' only")
        self.data, self.figures = f"data/{self.dataset}", f"figures/{self.dataset}"
        self.world = f"params/worlds/{self.dataset}.yaml" if self.dataset in stems("worlds") else ""
        memory = f"{self.data}/config.yaml"
        if (ROOT / memory).is_file() and not is_memory(ROOT / memory):
            raise BadWord(f"{memory} is where words are kept for later calls, and holds something else: rename it")
        self.memory = load_config(memory) if (ROOT / memory).is_file() else {}
        self.defaults = DEFAULTS | self._dataset_defaults()

        self.source, self.csv, self.weights = (self.recalled(name) for name in ("source", "csv", "weights"))
        self._check_folders()
        self.encoders = self._names("encoders", ("encoders", "trainers"))
        self.clusterers = self._names("clusterers", ("clusterers",))
        self.seeds = self._seeds()
        self.runs = [
            f"{encoder}/{clusterer}" for encoder, clusterer in itertools.product(self.encoders, self.clusterers)
        ]
        self.submit = self._submit(goals)
        self.start = self.recalled("start") or self.defaults["start"]
        check_start(self.start, f"START={self.start}{self._origin('start')}")
        self.training = self._training(self.recalled("training") or self.defaults["training"])
        self.sweep = given.get("sweep", "")
        if "sweep" in goals and self.sweep not in stems("sweeps"):
            raise BadWord(f"SWEEP={self.sweep} should be one of: {', '.join(stems('sweeps'))}")

    def recalled(self, name):
        """A word that was given, or else the one that is remembered; empty if there is none."""
        return self.given[name] if name in self.given else str(self.memory.get(name) or "")

    def _origin(self, name):
        """Where a word comes from that was not given, as part of a message."""
        if name in self.given:
            return ""
        return f" (as {self.data}/config.yaml says)" if self.memory.get(name) else " (the default)"

    def sweep_encoders(self):
        """ENCODERS of a sweep, which has a memory of its own."""
        remembered = (self.memory.get("sweeps") or {}).get(self.sweep, "")
        if "encoders" in self.given or not remembered:
            return self.encoders
        return self._expand("encoders", ("encoders", "trainers"), remembered)

    def _dataset_defaults(self):
        """Of params/datasets/<dataset>.yaml; of the demo's, for a simulated world that has none of its own."""
        name = self.dataset if self.dataset in stems("datasets") else "demo" if self.world else None
        config = load_params("datasets", name) if name else {}
        for key in config:
            if key not in DEFAULTS:
                raise BadWord(f"params/datasets/{name}.yaml: unknown name {key!r}; {meant(key, list(DEFAULTS))}")
        return {k: " ".join(map(str, v)) if isinstance(v, list) else str(v) for k, v in config.items() if v is not None}

    def _check_folders(self):
        if self.world and self.source:
            raise BadWord(
                f"DATASET={self.dataset} is simulated ({self.world}): give your own photographs another name, "
                "DATASET=mine SOURCE=..."
            )
        for name in ("source", "weights"):
            text = self.given.get(name)
            if text and not as_path(text).is_dir():
                raise BadWord(f"{name.upper()}={text} is not a folder (looked for {as_path(text)})")
        if self.given.get("csv"):
            photos = as_path(self.source or f"{self.data}/photos")
            if not is_file_in(photos, self.csv):
                there = sorted(path.name for path in photos.glob("*.[cC][sS][vV]"))
                raise BadWord(
                    f"CSV={self.csv} is no file in {photos}; {meant(self.csv, there) if there else 'no CSV is'}"
                )
            own = os.path.realpath(photos) == os.path.realpath(ROOT / self.data)
            if own and listing.made_by_chapters("", [self.csv]):
                raise BadWord(f"CSV={self.csv} has the name of a result in {self.data}: give it another name")

    def _names(self, word, kinds):
        text = self.given.get(word, self.defaults[word])
        if not text.strip():
            raise BadWord(f"{word.upper()} is empty: name some of params/{kinds[0]}/, or leave it out")
        return self._expand(word, kinds, text)

    def _expand(self, word, kinds, text):
        """The names in a text, each once; a name that is no config itself stands for those that begin with it."""
        known = [name for kind in kinds for name in stems(kind)]
        found = []
        for name in text.split():
            group = [name] if name in known else [other for other in known if other.startswith(f"{name}_")]
            if not group:
                raise BadWord(
                    f"{word.upper()}: there is no params/{kinds[0]}/{name}.yaml; {meant(name, list(dict.fromkeys(known)))}"
                )
            found += group
        return list(dict.fromkeys(found))

    def _seeds(self):
        text = self.given.get("seeds", self.defaults["seeds"])
        seeds = text.split()
        if not seeds or not all(re.fullmatch(r"0|[1-9]\d{0,8}", seed) for seed in seeds):
            raise BadWord(
                f"SEEDS={text} should be whole numbers from 0 on, with blanks between them, as in SEEDS='0 1 2'"
            )
        if len(set(seeds)) < len(seeds):
            raise BadWord(f"SEEDS={text} names a seed twice")
        return seeds

    def _submit(self, goals):
        """The run to submit; a remembered one that is not among the runs gives way to the first."""
        submit = self.recalled("submit")
        if submit in self.runs:
            return submit
        if self.given.get("submit") and goals != ["sweep"]:
            raise BadWord(f"SUBMIT={submit} is none of the runs; {meant(submit, self.runs)}")
        return self.runs[0]

    def _training(self, text):
        """The words of TRAINING, each a parameter that chapter 03 declares."""
        declared = {k: v for k, v in declared_parameters(TRAINING_CHAPTER).items() if k not in NOT_TRAINED}
        try:
            words = shlex.split(text)
            for word in words:
                name, equals, _ = word.partition("=")
                if not equals:
                    raise ValueError(f"{word} should be name=value")
                if name not in declared:
                    raise ValueError(f"unknown parameter {name!r}; {meant(name, list(declared))}")
            check_parameters(parse_assignments(words, declared), declared, "TRAINING")
        except Exception as error:  # of the quotation marks, of YAML, or of the parameters
            reason = " ".join(str(error).split()).removeprefix("TRAINING: ")
            raise BadWord(f"TRAINING={text}{self._origin('training')}: {reason}") from None
        return words

    def to_remember(self, *names):
        """Options of execute.py that keep these words for later calls; one that was emptied is forgotten."""
        kept = {name: self.recalled(name) for name in names}
        if kept.get("submit") and kept["submit"] != self.submit:  # a narrower run keeps the memory as it is
            del kept["submit"]
        return [part for name, text in kept.items() for part in ("-r", f"{name}={text}")]


def as_path(text):
    """A folder that was given, as the chapters take it: relative to the project, ~ is the home."""
    return ROOT / Path(text).expanduser()


def is_file_in(folder, name):
    """Whether a name is a file in a folder, and not one elsewhere."""
    return Path(name).name == name and (folder / name).is_file()


def check_start(start, said):
    """BadWord unless tuning can start from this encoder, where `said` tells who asked for it."""
    networks = [n for n in stems("encoders") if load_params("encoders", n).get("library") not in NO_NETWORK]
    if start not in networks:
        raise BadWord(f"{said} is no network of params/encoders/ to start from; {meant(start, networks)}")


# ------------------------------------------------------------------------------------------------- the memory

MEMORY_HEAD = "# Written by execute.py: what later calls of make for this dataset need not repeat.\n"


def is_memory(path):
    """Whether a file is a config.yaml that execute.py wrote."""
    try:
        with path.open() as stream:
            return stream.readline() == MEMORY_HEAD
    except (OSError, UnicodeDecodeError):
        return False


def remember(dataset, words, parameters):
    """Keep words, each "name=text", in data/<dataset>/config.yaml; an empty text takes the name out.

    sweeps.<name> is a word of one sweep. "plan" alone keeps what chapter 06 was asked for: encoders, clusterers, seeds,
    submit. Calls at the same time wait for each other.
    """
    import yaml

    path = ROOT / "data" / dataset / "config.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = read_yaml(path.read_text()) if path.is_file() else {}
        memory = {**before, "sweeps": dict(before.get("sweeps", {}))}
        for word in words:
            name, equals, text = word.partition("=")
            kind, _, sweep = name.partition(".")
            place, key = (memory["sweeps"], sweep) if sweep else (memory, kind)
            place[key] = text if equals else {k: parameters[k] for k in ("encoders", "clusterers", "seeds", "submit")}
            if not place[key]:
                del place[key]
        if not memory["sweeps"]:
            del memory["sweeps"]
        if memory != before:
            with atomic_write(path) as temporary:
                temporary.write_text(MEMORY_HEAD + yaml.safe_dump(memory, sort_keys=False))
    finally:
        os.close(lock)


# ----------------------------------------------------------------------------------------- what a chapter imports

IMPORT = re.compile(r"^[ \t]*((?:import|from)[ \t][^\n(]*(?:\([^)]*\))?)", re.MULTILINE)


@functools.cache
def imported(path):
    """Modules of this project that a Python file imports, as paths below it, with those that they import in turn."""
    found, pending = set(), [path]
    while pending:
        for module in _imported_directly(pending.pop()) - found:
            found.add(module)
            pending.append(module)
    return sorted(found)


@functools.cache
def _imported_directly(path):
    names = set()
    for statement in IMPORT.findall((ROOT / path).read_text()):
        try:
            node = ast.parse(statement).body[0]
        except (SyntaxError, IndexError):  # a line of prose
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = path.rpartition("/")[0].replace("/", ".") if node.level else ""
            module = ".".join(filter(None, (package, node.module)))
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    parents = {name.rpartition(".")[0] for name in names}
    places = {name.replace(".", "/") for name in names | parents if name}
    files = {f"{place}{end}" for place in places for end in (".py", "/__init__.py")}
    return {file for file in files if (ROOT / file).is_file()}


# ---------------------------------------------------------------------------------------------- what was run last


def recorded(run):
    """What papermill noted in an executed notebook: its parameters, and when it ended; {} and None if it cannot be read."""
    try:
        text = (ROOT / run).read_text()
        start = text.rfind('\n "metadata": {')  # of the notebook itself: the last, and quick to read
        noted = json.loads("{" + text[start:] if start > 0 else text)["metadata"]["papermill"]
        end = datetime.fromisoformat(noted["end_time"])
        return noted["parameters"], end if end.tzinfo else end.replace(tzinfo=UTC)
    except (OSError, ValueError, KeyError, TypeError):
        return {}, None


def must_run_again(run, given, files, covering=()):
    """Whether the last good run was given other parameters, one of its files is lost, or a later run has failed halfway.

    Of the list parameters named in `covering` it is enough that the last good run had all of the items.
    """
    if not (ROOT / run).is_file():
        return False  # Make sees that by itself
    if not all((ROOT / file).is_file() for file in files):
        return True
    parameters, end = recorded(run)
    for name in covering:
        if set(given.get(name) or []) <= set(parameters.get(name) or []):
            parameters = parameters | {name: given.get(name)}
    if parameters != given:
        return True
    failed = any((ROOT / run).with_suffix(suffix).is_file() for suffix in (".failed.ipynb", ".running.ipynb"))
    return failed and any((ROOT / file).stat().st_mtime > end.timestamp() for file in files)


# ---------------------------------------------------------------------------------------------------- the rules


class Rule(NamedTuple):
    """An executed notebook, the files that it leaves, what it needs, and the lines of shell that run it.

    execute.py dates the notebook to when the run began, so what changed while it ran is newer. It appears after all files,
    and only if all went well: Make goes by the notebook, and never deletes a file.
    """

    run: str
    files: list
    needs: list
    commands: list

    def __str__(self):
        lines = [f"{self.run}: {_listed(self.needs)} | $(READY)", *(f"\t@{line}" for line in self.commands)]
        if self.files:
            lines.append(f"{_listed(self.files)}: {self.run} ;")
        return "\n".join(lines) + "\n"


def _listed(names):
    return " \\\n    ".join(names).replace("=", "$(EQ)")


class Plan:
    """All rules of one dataset."""

    def __init__(self, words, goals):
        self.words, self.goals = words, goals
        self.data, self.figures = words.data, words.figures
        self.rules, self.phony = [], {}
        self._photographs()
        self._encoders()
        self._clusters_and_scores()
        self._report()
        if words.sweep:
            self._sweep()
        if self.reaches(f"{self.data}/metadata.parquet") and not self.has_photographs():
            raise BadWord(
                f"{self.data}/photos is missing: name the folder, make all DATASET={words.dataset} SOURCE=<folder>"
            )

    def chapter(self, name, leaves, needs, given=None, label="", files=(), **more):
        """Add the rule of a chapter that leaves some files: `given` are its words, `files` its YAML files of parameters.

        more: `run`, the executed notebook, where it has a name of its own; `own`, parameters that execute.py makes itself
        and `options` that tell it how; `covering`, see must_run_again; `force`, true if it must run anyway; `then`, a
        line to run after it.
        """
        notebook = f"notebooks/{name}.py"
        run = more.get("run") or f"{self.data}/runs/{name}{f'-{label}' if label else ''}.ipynb"
        declared = declared_parameters(name)
        assignments = [f"dataset={self.words.dataset}", *(given or [])]
        parameters = dict(check_parameters(more.get("own", {}), declared, f"params/sweeps/{self.words.sweep}.yaml"))
        there = [file for file in files if (ROOT / file).is_file()]
        for file in there:
            parameters |= check_parameters(load_config(file), declared, file)
        parameters |= check_parameters(parse_assignments(assignments, declared), declared, "command line")
        # a file that is still to be made brings parameters that nobody knows yet
        known = len(there) == len(files)
        again = more.get("force") or (known and must_run_again(run, parameters, leaves, more.get("covering", ())))
        words = [
            notebook,
            run,
            *assignments,
            *more.get("options", []),
            *(part for file in files for part in ("-f", file)),
        ]
        needs = [notebook, *imported(notebook), *files, *needs, *(["FORCE"] if again else [])]
        command = shlex.join(map(str, words)).replace("$", "$$")
        commands = [f"$(RUN) {command}", *more.get("then", [])]
        self.rules.append(Rule(run, leaves, list(dict.fromkeys(needs)), commands))

    # ---- photographs, encoders

    def has_photographs(self):
        """Whether chapter 01 has, or will be given, a folder of photographs, or has done its work before."""
        words = self.words
        made = ROOT / self.data / "metadata.parquet"
        return words.world or words.source or (ROOT / self.data / "photos").is_dir() or made.is_file()

    def photographs_changed(self):
        """Whether the photographs are others than chapter 01 saw. Where their folder is gone, its table is kept."""
        photos, seen = ROOT / self.data / "photos", ROOT / self.data / "photos.seen"
        if not photos.is_dir() or not (ROOT / self.data / "metadata.parquet").is_file():
            return False
        return not seen.is_file() or seen.read_text().strip() != listing.digest(photos)

    def _photographs(self):
        words, data, figures = self.words, self.data, self.figures
        made = []
        if words.world:
            made = [f"{data}/truth.parquet", f"{data}/photos/metadata.csv"]
            targets = [*made, f"{data}/tree.nwk", f"{figures}/tree.png", f"{figures}/barcode_gap.png"]
            self.chapter("00_simulate_specimens", targets, [], files=[words.world])
        names = ("metadata.parquet", "rejected.csv", "reported.csv", "photos.seen")
        self.chapter(
            "01_preprocess",
            [*(f"{data}/{name}" for name in names), f"{figures}/family_sizes.png"],
            made,
            [f"source={words.source}", f"csv={words.csv}"],
            force=self.photographs_changed(),
            options=words.to_remember("source", "csv"),
        )

    def weights_for(self, encoders):
        """Words that say where weights are, and keep it, for a chapter in which one of the encoders looks there."""
        if not self._look_for_weights(encoders):
            return ["weights_dir="], []
        return [f"weights_dir={self.words.weights}"], self.words.to_remember("weights")

    @staticmethod
    def _look_for_weights(encoders):
        seen, pending = set(), list(encoders)
        while pending:
            encoder = pending.pop()
            if encoder in seen or encoder not in stems("encoders"):
                continue  # a trainer's weights lie in data/<dataset>/models/
            seen.add(encoder)
            config = load_params("encoders", encoder)
            if config.get("library") == "fused":
                pending += str(config.get("architecture", "")).split()
            elif config.get("weights") and config.get("library") not in (*NO_NETWORK, "tuned"):
                return True
        return False

    def embedded(self, encoders):
        """What tells that encoders are done."""
        return [f"{self.data}/embeddings/{encoder}/_SUCCESS" for encoder in encoders]

    def mapped(self, encoders):
        """The maps that chapter 04 draws of encoders."""
        return [f"{self.data}/maps/{encoder}/default.parquet" for encoder in encoders]

    def _encoders(self):
        for trainer in stems("trainers"):
            self._trainer(trainer)
        for encoder in dict.fromkeys([*stems("encoders"), *stems("trainers")]):
            tuned = encoder not in stems("encoders")
            config = f"{self.data}/models/{encoder}.yaml" if tuned else f"params/encoders/{encoder}.yaml"
            try:
                self._encoder(encoder, config)
            except ValueError:
                if tuned or encoder in self.words.encoders:
                    raise  # another's config is the business of whoever uses it

    def _trainer(self, trainer):
        words, model = self.words, f"{self.data}/models/{trainer}"
        where, kept = self.weights_for([words.start])
        config = f"params/trainers/{trainer}.yaml"
        files = [f"{model}.safetensors", f"{model}.yaml", f"{model}.csv"]
        self.chapter(
            TRAINING_CHAPTER,
            files,
            self.embedded([words.start]),
            [f"trainer={trainer}", f"start={words.start}", *where, *words.training],
            label=trainer,
            files=[config],
            options=[*kept, *words.to_remember("start", "training")],
            then=[f"touch -c {' '.join(files)}"],  # what was kept from an earlier run is as good as new
        )
        self._tuning_scores(trainer, words.start, files)

    def _tuning_scores(self, setting, start, needs, run=None):
        """The scores of a tuned network beside the encoder it started from; returns their file."""
        scores, given = f"{self.data}/models/{setting}_scores.csv", [f"setting={setting}"]
        needs = [*needs, *self.embedded([start])]
        self.chapter("14_tuned_or_frozen", [scores], needs, given, label=setting, run=run)
        return scores

    def _encoder(self, encoder, config):
        about = load_config(config) if (ROOT / config).is_file() else {}
        parts = str(about.get("architecture", "")).split() if about.get("library") == "fused" else []
        for part in parts:
            if part == encoder or part not in (*stems("encoders"), *stems("trainers")):
                raise BadWord(f"{config}: there is no other encoder {part}; {meant(part, stems('encoders'))}")
        weights = str(about.get("weights"))
        shipped = [weights] if is_plain(weights.replace("/", "_")) and (ROOT / weights).is_file() else []
        needs = [f"{self.data}/metadata.parquet", *shipped, *self.embedded(parts)]
        where, kept = self.weights_for([encoder])
        given = [f"encoder={encoder}", *where]
        name, done = "02_extract_embeddings", self.embedded([encoder])
        self.chapter(name, done, needs, given, label=encoder, files=[config], options=kept)
        drawn = [*self.mapped([encoder]), f"{self.figures}/umap_{encoder}.png"]
        self.chapter("04_umap_visualization", drawn, done, [f"encoder={encoder}"], label=encoder)

    # ---- clusters, scores, figures

    def partitions(self, encoder, clusterer):
        """The cluster tables of a run, one for every seed."""
        return [f"{self.data}/clusters/{encoder}/{clusterer}/seed={seed}.parquet" for seed in self.words.seeds]

    def _clusters_and_scores(self):
        words, data, figures = self.words, self.data, self.figures
        for encoder, clusterer in itertools.product(words.encoders, words.clusterers):
            self.chapter(
                "05_hierarchical_clustering",
                self.partitions(encoder, clusterer),
                self.embedded([encoder]),
                [f"encoder={encoder}", f"clusterer={clusterer}", f"seeds={' '.join(words.seeds)}"],
                label=f"{encoder}-{clusterer}",
                files=[f"params/clusterers/{clusterer}.yaml"],
                covering=("seeds",),
            )
        asked = [f"encoders={' '.join(words.encoders)}", f"clusterers={' '.join(words.clusterers)}"]
        tables = [path for run in words.runs for path in self.partitions(*run.split("/"))]
        self.chapter(
            "06_evaluate",
            [f"{data}/scores.csv", f"{data}/submission.csv"],
            [f"{data}/metadata.parquet", *tables],
            [*asked, f"seeds={' '.join(words.seeds)}", f"submit={words.submit}"],
            options=["-r", "plan", *words.to_remember("submit")],
        )
        drawn = [f"{figures}/{name}" for name in ("scores.csv", "scores.png", "n_clusters.png", "maps.png")]
        if words.world:
            drawn.append(f"{figures}/families.jpg")
        self.chapter("99_figures", drawn, [f"{data}/scores.csv", *self.mapped(words.encoders)], asked)

        world = [f"{figures}/tree.png", f"{figures}/barcode_gap.png"] if words.world else []
        maps = [f"{figures}/umap_{encoder}.png" for encoder in words.encoders]
        self.phony["all"] = [f"{data}/submission.csv", *drawn, *world, f"{figures}/family_sizes.png", *maps]
        self.phony["submission"] = [f"{data}/submission.csv"]
        self.phony["bench"] = [f"{data}/metadata.parquet"]

    def _report(self):
        words, data, figures = self.words, self.data, self.figures
        encoders, seeds = f"encoders={' '.join(words.encoders)}", f"seeds={' '.join(words.seeds)}"
        looked_at = words.submit.partition("/")[0]
        scores = f"{data}/scores.csv"

        def results(*names):
            return [f"{data if name.startswith('+') else figures}/{name.removeprefix('+')}" for name in names]

        where, kept = self.weights_for(words.encoders)
        self.chapter(
            "10_choosing_without_labels",
            results("+choosing.csv", "choosing.png", "choosing.csv"),
            [scores, *self.mapped(words.encoders)],
            [encoders, f"clusterers={' '.join(words.clusterers)}", seeds, *where],
            options=kept,
        )
        where, kept = self.weights_for([looked_at])
        self.chapter(
            "11_robustness",
            results("+robustness.csv", "robustness.png", "robustness.csv"),
            self.embedded([looked_at]),
            [f"encoder={looked_at}", seeds, *where],
            options=[*kept, *words.to_remember("submit")],
        )
        self.chapter(
            "12_taxa",
            results("+taxa.csv", "+confused.csv", "taxa.png", "taxa.csv", "confused.csv"),
            [scores],
            [f"run={words.submit}", f"seed={words.seeds[0]}"],
            options=words.to_remember("submit"),
        )
        self.chapter(
            "13_how_many",
            results("+k_rules.csv", "k_rules.png", "k_rules.csv", "held_out_families.csv", "small_samples.csv"),
            self.embedded(words.encoders),
            [encoders],
        )
        self.chapter("09_recoverability", results("+recoverability/default.csv"), [])
        tuned = [encoder for encoder in words.encoders if encoder not in stems("encoders")]
        compared = [f"{data}/models/{trainer}_scores.csv" for trainer in tuned]
        self.phony["report"] = [*results("choosing.png", "robustness.png", "taxa.png", "k_rules.png"), *compared]
        self.phony["publish"] = ["all", "report", f"{data}/runs/09_recoverability.ipynb"]

    # ---- sweeps

    def _sweep(self):
        words, sweep = self.words, self.words.sweep
        folder = f"{self.data}/sweeps/{sweep}"
        config = load_sweep(sweep)
        encoders = words.sweep_encoders()
        asked = " ".join(encoders)
        points = sweep_points(sweep, encoders)
        done = [self._point(point, parameters, config, encoders) for point, parameters in points.items()]
        report = SWEEP_REPORTS.get(config["notebook"])
        self.phony["sweep"] = [f"{folder}/summary.csv"] if report else done
        if not report:
            return
        kept = words.given.get("encoders") or (words.memory.get("sweeps") or {}).get(sweep, "")
        self.chapter(
            report,
            [f"{folder}/summary.csv", f"{self.figures}/sweep_{sweep}.png", f"{self.figures}/sweep_{sweep}.csv"],
            [f"params/sweeps/{sweep}.yaml", *done],
            [f"sweep={sweep}", f"encoders={asked}"],
            label=sweep,
            options=["-r", f"sweeps.{sweep}={kept}"],
            then=[f"echo {asked} > {folder}/encoders.txt"],
        )

    def _point(self, point, parameters, config, encoders):
        """Add the rule of one point of a sweep; returns what tells that it is done: its notebook, or its scores."""
        words, sweep, notebook = self.words, self.words.sweep, config["notebook"]
        if not is_plain(point):
            raise BadWord(f"params/sweeps/{sweep}.yaml: {point} is no plain name for a point")
        declared = declared_parameters(notebook)
        needs = [f"params/{kind}s/{parameters[kind]}.yaml" for kind in config["configs"]]
        several = parameters.get("encoders", [])
        needs += [f"params/encoders/{name}.yaml" for name in several if name in stems("encoders")]
        own_start = any("start" in config[part] for part in ("fixed", "vary", "grid"))
        start = parameters["start"] if own_start else words.start
        if "trainer" in parameters:
            needs.append(f"{self.data}/metadata.parquet")
        elif "encoder" in parameters:  # a point that is an encoder itself makes embeddings, others need them
            makes_it = parameters["encoder"] == point
            needs += [f"{self.data}/metadata.parquet"] if makes_it else self.embedded([parameters["encoder"]])
        if "clusterer" in parameters:
            needs.append(f"params/clusterers/{parameters['clusterer']}.yaml")
        given, options = [], ["--sweep", sweep, "--encoders", " ".join(encoders)]
        if "start" in declared:
            check_start(start, f"params/sweeps/{sweep}.yaml: start: {start}")
            needs += self.embedded([start])
            given += [f"start={start}", *words.training]
            options += words.to_remember(*(["training"] if own_start else ["start", "training"]))
        if "weights_dir" in declared:
            looking = [start] if "start" in declared else several or [parameters.get("encoder")]
            where, kept = self.weights_for(looking)
            given, options = [*given, *where], [*options, *kept]
        run = f"{self.data}/sweeps/{sweep}/{point}.ipynb"
        self.chapter(notebook, [], needs, given, run=run, own=own_parameters(parameters), options=options)
        if notebook == TRAINING_CHAPTER:
            return self._tuning_scores(point, start, [run], run=f"{self.data}/sweeps/{sweep}/{point}-scores.ipynb")
        return run

    # ---- the makefile

    def reaches(self, target):
        """Whether the goals need a target."""
        makers = {name: rule.needs for rule in self.rules for name in (rule.run, *rule.files)} | self.phony
        seen, pending = set(), list(self.goals)
        while pending:
            name = pending.pop()
            if name not in seen:
                seen.add(name)
                pending += makers.get(name, [])
        return target in seen

    def makefile(self):
        """The text to include."""
        parts = [
            "# Written by plan.py for one call of make.",
            "EQ := =",
            *(f"{name}: {_listed(needs)}" for name, needs in self.phony.items()),
            f".PRECIOUS: {_listed(rule.run for rule in self.rules)}",
            "",
            *map(str, self.rules),
        ]
        return "\n".join(parts)


def write_plan(dataset, text):
    """Keep a makefile under a name that tells its content, so that two calls of make never mix; return the name."""
    path = ROOT / "data" / ".plans" / f"{dataset}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.mk"
    if not path.is_file():
        with atomic_write(path) as temporary:
            temporary.write_text(text)
    for old in sorted(plans_of(dataset), key=lambda p: p.stat().st_mtime_ns, reverse=True)[PLANS_KEPT:]:
        if old != path:
            old.unlink(missing_ok=True)
    return path.relative_to(ROOT)


def plans_of(dataset):
    """Makefiles of earlier calls for a dataset."""
    pattern = re.compile(re.escape(dataset) + r"-[0-9a-f]{12}\.mk")
    return [path for path in (ROOT / "data" / ".plans").glob("*.mk") if pattern.fullmatch(path.name)]


# ------------------------------------------------------------------------------------------------------- clean


def clean(dataset):
    """Remove what the chapters wrote to data/<dataset>/, and folders that are empty then. All else stays; no link is followed.

    BadWord if data/<dataset> is a link itself.
    """
    if not is_plain(dataset):
        raise BadWord(f"DATASET={dataset} should be one plain name: letters, digits, '.', '_' and '-' only")
    folder = ROOT / "data" / dataset
    if folder.is_symlink():
        raise BadWord(f"data/{dataset} is a link to {folder.resolve()}: nothing was removed; remove it by hand")
    for path in plans_of(dataset):
        path.unlink(missing_ok=True)
    if not folder.is_dir():
        return
    if dataset in stems("worlds"):
        for name in ("photos.unfinished", "photos.replaced"):
            if not (folder / name).is_symlink():
                shutil.rmtree(folder / name, ignore_errors=True)

    # a table is a chapter's if the chapter has run, and a map if the encoder is known
    chapters = {path.name[:2] for path in (folder / "runs").glob("[0-9][0-9]_*.ipynb")}
    encoders = {*stems("encoders"), *stems("trainers"), *(path.name for path in (folder / "embeddings").glob("*"))}
    names = next(os.walk(folder))[2]
    for name in listing.made_by_chapters("", names):
        if listing.RESULTS[re.sub(r"^\.\d+-", "", name)] in chapters:
            (folder / name).unlink()
    if is_memory(folder / "config.yaml"):
        (folder / "config.yaml").unlink()
    for top in listing.PLACES:
        if (folder / top).is_symlink():
            continue
        for parent, _, names in os.walk(folder / top, topdown=False):
            place = Path(parent).relative_to(folder).as_posix()
            if not place.startswith("maps/") or Path(parent).name in encoders:
                for name in listing.made_by_chapters(place, names):
                    Path(parent, name).unlink()
            if not any(Path(parent).iterdir()):
                Path(parent).rmdir()
    if not any(folder.iterdir()):
        folder.rmdir()


# -------------------------------------------------------------------------------------------------------- main


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("rules", "words", "clean", "nearest"))
    parser.add_argument("--goals", default="")
    parser.add_argument("words", nargs="*", metavar="NAME=value")
    arguments = parser.parse_intermixed_args()
    given, goals = parse_words(arguments.words), arguments.goals.split()
    try:
        if arguments.command == "nearest":
            name, *known = arguments.words
            print(f"there is no variable {name}; {meant(name, known)}")
        elif arguments.command == "clean":
            clean(given.get("dataset", "demo"))
        elif arguments.command == "words":
            words = Words(given)
            lists = {"ENCODERS": words.encoders, "CLUSTERERS": words.clusterers, "SEEDS": words.seeds}
            print(
                f"DATASET={words.dataset}  START={words.start}",
                *(f'{k}="{" ".join(v)}"' for k, v in lists.items()),
                sep="  ",
            )
        else:
            words = Words(given, goals)
            print(write_plan(words.dataset, Plan(words, goals).makefile()))
    except (ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
