"""Run one chapter with papermill, strictly: what the Makefile calls.

    python execute.py run notebooks/04_umap_visualization.py 04.ipynb dataset=eu_moths seed=1 -f settings.yaml
    python execute.py sweep umap sweeps/umap --encoders pixels --data data/eu_moths

papermill alone only warns of a misspelt parameter and leaves its output behind after a failure. Here an unknown or
ill-typed parameter stops the run before any work, and the executed notebook appears under its name only when it is whole.
"""

import argparse
import ast
import itertools
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")  # the kernel of this environment, not one of the user's others
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait leave the cores to those that load photographs
os.environ.setdefault("PYTHONWARNINGS", "ignore:IProgress not found")  # bars are drawn as text here, and meant to be
sys.modules["rfc3987_syntax"] = None  # jsonschema would compile a grammar of web addresses at every start, for most of a second

import jupytext
import papermill
import yaml
from nbclient.exceptions import DeadKernelError
from traitlets.config import Config

ROOT = Path(__file__).resolve().parent
GIVEN_BY_MAKE = ("dataset", "weights_dir", "start")  # on the command line of every point of a sweep


def declared_parameters(notebook):
    """{name: default} of the cell tagged "parameters"; ValueError if there is none."""
    cells = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    if len(cells) != 1:
        raise ValueError(f"the notebook has {len(cells)} cells tagged 'parameters', not 1")
    assignments = [node for node in ast.parse(cells[0].source).body if isinstance(node, ast.Assign)]
    return {node.targets[0].id: ast.literal_eval(node.value) for node in assignments}


def check_parameters(given, declared, source):
    """Return `given` if every name is declared and every value has the type of its default; ValueError otherwise.

    A default of None takes anything, an int will do for a float, and None will do for everything.
    """
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
            parsed[name] = [item if as_text else yaml.safe_load(item) for item in text.split()]
        else:
            parsed[name] = text if isinstance(default, str) else yaml.safe_load(text)
    return parsed


def run(source, output, files, assignments):
    """Execute the percent-format notebook `source` into `output`; SystemExit with the reason if anything fails."""
    notebook = jupytext.read(source)
    declared = declared_parameters(notebook)
    parameters = {}
    for file in files:
        parameters |= check_parameters(yaml.safe_load(Path(file).read_text()) or {}, declared, file)
    parameters |= check_parameters(parse_assignments(assignments, declared), declared, "command line")

    began = time.monotonic()
    # bars of chapters that make runs side by side would overwrite each other
    alone = "--jobserver" not in os.environ.get("MAKEFLAGS", "").split(" -- ")[0]
    failed = output.with_suffix(".failed.ipynb")
    with tempfile.TemporaryDirectory() as scratch:
        chapter, executed = f"{scratch}/chapter.ipynb", output.with_suffix(".running.ipynb")
        jupytext.write(notebook, chapter)
        executed.parent.mkdir(parents=True, exist_ok=True)
        try:
            papermill.execute_notebook(
                chapter,
                str(executed),
                parameters,
                kernel_name="python3",
                cwd=ROOT / "notebooks",
                progress_bar=False,
                stderr_file=sys.stderr if alone and sys.stderr.isatty() else None,  # progress bars, as they move
                # the kernel is reached by socket files of this run alone, and listens on no network port
                config=Config({"KernelManager": {"transport": "ipc", "ip": f"{scratch}/kernel"}}),
                # it is interrupted before it is shut down, and would sometimes call that an error
                extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
            )
        except (papermill.PapermillExecutionError, DeadKernelError) as error:
            os.replace(executed, failed)
            died = "the kernel died, perhaps for want of memory"
            reason = died if isinstance(error, DeadKernelError) else f"{error.ename}: {error.evalue}"
            raise SystemExit(f"{output.stem} failed: {reason}\n  see {failed}") from None
    os.replace(executed, output)
    failed.unlink(missing_ok=True)
    print(f"{output.stem}: {summary(output)} ({time.monotonic() - began:.0f} s)", flush=True)


def summary(output):
    """What the cell tagged "summary" printed: one line that says what the chapter did."""
    cells = [c for c in jupytext.read(output).cells if "summary" in c.metadata.get("tags", [])]
    return " ".join(text for cell in cells for o in cell.outputs for text in o.get("text", "").split()) or "done"


def with_outputs(script, run):
    """A chapter as a notebook with the outputs of one of its runs, so that it reads well where it is only browsed.

    Progress bars and warnings stay behind. ValueError if the chapter has changed since the run.
    """
    chapter = jupytext.read(script)
    executed = [c for c in jupytext.read(run).cells if "injected-parameters" not in c.metadata.get("tags", [])]
    if [c.source for c in executed] != [c.source for c in chapter.cells]:
        raise ValueError(f"{run} was made by another version of {script}: run it again")
    counts = itertools.count(1)
    for number, (cell, done) in enumerate(zip(chapter.cells, executed, strict=True)):
        cell.id = f"cell-{number}"
        if cell.cell_type == "code":
            cell.execution_count = next(counts)
            cell.outputs = [output for output in done.outputs if output.get("name") != "stderr"]
            for output in cell.outputs:
                if "execution_count" in output:
                    output.execution_count = cell.execution_count
    return chapter


def publish(pairs):
    """Write the .ipynb beside every script of "script=run" pairs, with the outputs of that run: all of them or none."""
    pairs = [tuple(map(Path, pair.split("=", 1))) for pair in pairs]
    for script, chapter in [(script, with_outputs(script, run)) for script, run in pairs]:
        jupytext.write(chapter, script.with_suffix(".ipynb"))


def sweep_points(sweep, encoders):
    """{point: all parameters of its chapter}. A chapter that looks through one encoder gets the first, others all."""
    # imported here: a plain run need not wait for the scientific libraries behind utils
    from utils import expand_sweep, load_params

    notebook = load_params("sweeps", sweep)["notebook"]
    declared = declared_parameters(jupytext.read(ROOT / "notebooks" / f"{notebook}.py"))
    asked = {"encoder": encoders[0], "encoders": encoders}
    return expand_sweep(sweep, declared | {name: asked[name] for name in asked if name in declared}, encoders)


def write_sweep(sweep, folder, encoders, data):
    """Write one YAML per point of a sweep and points.mk, which tells Make of them; untouched points keep their date."""
    from utils import whole_or_absent

    points = sweep_points(sweep, encoders)
    for point, parameters in points.items():
        own = {name: value for name, value in parameters.items() if name not in GIVEN_BY_MAKE}
        path, text = folder / f"{point}.yaml", yaml.safe_dump(own, sort_keys=False)  # layers have an order
        if not path.is_file() or path.read_text() != text:
            with whole_or_absent(path) as temporary:
                temporary.write_text(text)
    lines = [f"SWEEP_POINTS := {' '.join(points)}"]
    lines += [f"{folder}/{p}.ipynb: {' '.join(upstream(p, parameters, data))}" for p, parameters in points.items()]
    with whole_or_absent(folder / "points.mk") as temporary:
        temporary.write_text("\n".join(lines) + "\n")


def upstream(point, parameters, data):
    """Files beside its own code and parameters that a point needs. A chapter of several encoders makes its own world."""
    cards = [f"params/encoders/{encoder}.yaml" for encoder in parameters.get("encoders", [])]
    if "trainer" in parameters:
        return [f"{data}/metadata.parquet", f"params/trainers/{parameters['trainer']}.yaml"]
    if "encoder" not in parameters:
        return cards
    if "clusterer" in parameters:
        cards.append(f"params/clusterers/{parameters['clusterer']}.yaml")
    encoder = parameters["encoder"]  # a point that is an encoder itself makes embeddings, others need them
    return [*cards, f"{data}/metadata.parquet" if encoder == point else f"{data}/embeddings/{encoder}/_SUCCESS"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    chapter = commands.add_parser("run", help="execute one notebook")
    chapter.add_argument("source", type=Path)
    chapter.add_argument("output", type=Path)
    chapter.add_argument("-f", dest="files", action="append", default=[], help="YAML file of parameters")
    chapter.add_argument("assignments", nargs="*", metavar="name=value")
    shown = commands.add_parser("publish", help="keep the outputs of runs in the notebooks")
    shown.add_argument("pairs", nargs="+", metavar="script=run")
    grid = commands.add_parser("sweep", help="write the points of a sweep")
    grid.add_argument("sweep")
    grid.add_argument("folder", type=Path)
    grid.add_argument("--encoders", nargs="+", required=True)
    grid.add_argument("--data", required=True, type=Path)
    arguments = parser.parse_args()
    try:
        if arguments.command == "run":
            run(arguments.source, arguments.output, arguments.files, arguments.assignments)
        elif arguments.command == "publish":
            publish(arguments.pairs)
        else:
            write_sweep(arguments.sweep, arguments.folder, arguments.encoders, arguments.data)
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
