"""Run one chapter with papermill, strictly: what the Makefile calls.

    python execute.py run notebooks/04_umap_visualization.py 04.ipynb dataset=eu_moths seed=1 -f settings.yaml
    python execute.py sweep umap sweeps/umap --encoder pixels --data data/eu_moths

papermill alone only warns of a misspelt parameter and leaves its output behind after a failure. Here an unknown or
ill-typed parameter stops the run before any work, and the executed notebook appears under its name only when it is whole.
"""

import argparse
import ast
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")  # the kernel of this environment, not one of the user's others
os.environ.setdefault("PYTHONWARNINGS", "ignore:IProgress not found")  # bars are drawn as text here, and meant to be

import jupytext
import papermill
import yaml
from nbclient.exceptions import DeadKernelError
from traitlets.config import Config

ROOT = Path(__file__).resolve().parent


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


def write_sweep(sweep, folder, encoder, data):
    """Write one YAML per point of a sweep and points.mk, which tells Make of them; untouched points keep their date."""
    # imported here: a plain run need not wait for the scientific libraries behind utils
    from utils import expand_sweep, load_params, whole_or_absent

    notebook = load_params("sweeps", sweep)["notebook"]
    declared = declared_parameters(jupytext.read(ROOT / "notebooks" / f"{notebook}.py"))
    points = expand_sweep(sweep, {"encoder": encoder} if "encoder" in declared else {})
    for point, parameters in points.items():
        path, text = folder / f"{point}.yaml", yaml.safe_dump(parameters)
        if not path.is_file() or path.read_text() != text:
            with whole_or_absent(path) as temporary:
                temporary.write_text(text)
    lines = [f"SWEEP_POINTS := {' '.join(points)}"]
    for point, parameters in points.items():  # a point that is an encoder itself makes embeddings, others may need them
        encoder = parameters.get("encoder", point)
        upstream = "metadata.parquet" if encoder == point else f"embeddings/{encoder}/_SUCCESS"
        lines.append(f"{folder}/{point}.ipynb: {data}/{upstream}")
    with whole_or_absent(folder / "points.mk") as temporary:
        temporary.write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    chapter = commands.add_parser("run", help="execute one notebook")
    chapter.add_argument("source", type=Path)
    chapter.add_argument("output", type=Path)
    chapter.add_argument("-f", dest="files", action="append", default=[], help="YAML file of parameters")
    chapter.add_argument("assignments", nargs="*", metavar="name=value")
    grid = commands.add_parser("sweep", help="write the points of a sweep")
    grid.add_argument("sweep")
    grid.add_argument("folder", type=Path)
    grid.add_argument("--encoder", required=True)
    grid.add_argument("--data", required=True, type=Path)
    arguments = parser.parse_args()
    try:
        if arguments.command == "run":
            run(arguments.source, arguments.output, arguments.files, arguments.assignments)
        else:
            write_sweep(arguments.sweep, arguments.folder, arguments.encoder, arguments.data)
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
