"""Run one chapter with papermill and strict checks; the Makefile calls this.

    python execute.py run notebooks/04_umap_visualization.py 04.ipynb dataset=eu_moths seed=1 -f settings.yaml
    python execute.py run notebooks/09_recoverability.py signal__seed-0.ipynb --sweep signal --encoders "pixels scene"
    python execute.py publish notebooks/04_umap_visualization.py=data/demo/runs/04_umap_visualization-pixels.ipynb

papermill alone only warns of a misspelt parameter and leaves its output behind after a failure. Here an unknown parameter or
one of a wrong type stops the run before any work, and the executed notebook gets its name only after success. A successful
run stores the settings that later calls of make need not repeat in data/<dataset>/config.yaml.
"""

import argparse
import itertools
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")  # the kernel of this environment, not one of the user's others
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait leave the cores to those that load photographs
os.environ.setdefault("PYTHONWARNINGS", "ignore:IProgress not found")  # bars are drawn as text here, and meant to be
sys.modules["rfc3987_syntax"] = (
    None  # jsonschema would compile a grammar of web addresses at every start, for most of a second
)

import jupytext
import papermill
import yaml
from nbclient.exceptions import DeadKernelError
from traitlets.config import Config

from files import atomic_write
from parameters import check_parameters, literal_assignments, parse_assignments
from settings import store
from sweeps import own_parameters, sweep_points

ROOT = Path(__file__).resolve().parent


def declared_parameters(notebook):
    """{name: default} of the cell tagged "parameters"; ValueError if there is none."""
    cells = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    if len(cells) != 1:
        raise ValueError(f"the notebook has {len(cells)} cells tagged 'parameters', not 1")
    return literal_assignments(cells[0].source)


def write_point(sweep, encoders, path):
    """Write the parameters of the point of a sweep that `path` is named after; ValueError if there is no such point."""
    points = sweep_points(sweep, encoders)
    if path.stem not in points:
        raise ValueError(f"sweep {sweep} has no point {path.stem}")
    with atomic_write(path) as temporary:
        temporary.write_text(yaml.safe_dump(own_parameters(points[path.stem]), sort_keys=False))  # layers have an order


def run(source, output, files, assignments, stored=()):
    """Execute the percent-format notebook `source` into `output`; SystemExit with the reason if anything fails.

    Parameters come from YAML `files` and "name=value" `assignments`; `stored` settings are stored after success. The output
    gets the date of the start of the run, so that make sees what changed during the run as newer.
    """
    began = time.time_ns()
    notebook = jupytext.read(source)
    declared = declared_parameters(notebook)
    parameters = {}
    for file in files:
        parameters |= check_parameters(yaml.safe_load(Path(file).read_text()) or {}, declared, file)
    parameters |= check_parameters(parse_assignments(assignments, declared), declared, "command line")

    # progress bars of chapters that make runs in parallel would overwrite each other
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
        except KeyboardInterrupt:
            os.replace(executed, failed)
            raise SystemExit(f"{output.stem} was interrupted") from None
    os.utime(executed, ns=(began, began))
    os.replace(executed, output)
    failed.unlink(missing_ok=True)
    if stored:
        store(parameters["dataset"], stored, parameters)
    print(f"{output.stem}: {summary(output)} ({(time.time_ns() - began) / 1e9:.0f} s)", flush=True)


def summary(output):
    """What the cell tagged "summary" printed: one line with the result of the chapter."""
    cells = [c for c in jupytext.read(output).cells if "summary" in c.metadata.get("tags", [])]
    return " ".join(text for cell in cells for o in cell.outputs for text in o.get("text", "").split()) or "done"


def with_outputs(script, run):
    """A chapter as a notebook with the outputs of one of its runs, for readers who do not run it.

    Progress bars and warnings are left out. ValueError if the chapter has changed since the run.
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
    """For every "script=run", write the .ipynb beside the script with the outputs of that run: all of them or none."""
    pairs = [tuple(map(Path, pair.split("=", 1))) for pair in pairs]
    for script, chapter in [(script, with_outputs(script, run)) for script, run in pairs]:
        notebook = script.with_suffix(".ipynb")
        if notebook.is_file():
            chapter.metadata = jupytext.read(notebook).metadata  # as `make pair` wrote it, so that only cells change
        jupytext.write(chapter, notebook)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    chapter = commands.add_parser("run", help="execute one notebook")
    chapter.add_argument("source", type=Path)
    chapter.add_argument("output", type=Path)
    chapter.add_argument("-f", dest="files", action="append", default=[], help="YAML file of parameters")
    chapter.add_argument("-r", dest="stored", action="append", default=[], help="name=text for later calls of make")
    chapter.add_argument("--sweep", help="the sweep whose point the output is named after")
    chapter.add_argument("--encoders", type=str.split, default=[], help="of the sweep, with blanks between")
    chapter.add_argument("assignments", nargs="*", metavar="name=value")
    shown = commands.add_parser("publish", help="keep the outputs of runs in the notebooks")
    shown.add_argument("pairs", nargs="+", metavar="script=run")
    arguments = parser.parse_args()
    try:
        if arguments.command == "publish":
            publish(arguments.pairs)
        else:
            if arguments.sweep:
                point = arguments.output.with_suffix(".yaml")
                write_point(arguments.sweep, arguments.encoders, point)
                arguments.files.append(point)
            run(arguments.source, arguments.output, arguments.files, arguments.assignments, arguments.stored)
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
