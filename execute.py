"""Run one chapter with papermill and strict checks; the Makefile calls this.

    python execute.py run notebooks/04_umap_visualization.py 04.ipynb dataset=eu_moths seed=1 -f settings.yaml
    python execute.py run notebooks/09_recoverability.py signal__seed-0.ipynb --sweep signal --encoders "pixels scene"
    python execute.py publish notebooks/04_umap_visualization.py=data/demo/runs/04_umap_visualization-pixels.ipynb

papermill alone only warns of a misspelt parameter and leaves its output behind after a failure. Here an unknown parameter or
one of a wrong type stops the run before any work, and the executed notebook gets its name only after success. A successful
run stores the settings that later calls of make need not repeat in data/<dataset>/config.yaml.
"""

import contextlib
import os
import signal
import sys

UNDO = contextlib.ExitStack()  # what an interrupt has to take back


def end_at_once(signal_number, frame):
    """Take back what was begun and end: an exception would pass through libraries that print tracebacks of their own."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    UNDO.close()
    os._exit(128 + signal_number)


ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
if __name__ == "__main__":
    for number in ENDING:
        signal.signal(number, end_at_once)  # before the imports, which take a second

import argparse
import fcntl
import itertools
import shutil
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
import psutil
import yaml
from jupyter_client.kernelspec import NoSuchKernel
from nbclient.exceptions import DeadKernelError
from traitlets.config import Config

from files import atomic_write, one_line
from parameters import check_parameters, literal_assignments, load_yaml, parse_assignments
from rules import last_run
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


def run(source, output, files, assignments, stored=(), writes=()):
    """Execute the percent-format notebook `source` into `output`; SystemExit with the reason if anything fails.

    Parameters come from YAML `files` and "name=value" `assignments`; `stored` settings are stored after success. If a chapter
    does not apply to the dataset, the files that it `writes` are removed: those of an earlier run were of other data. The
    output gets the date of the start of the run, so that make sees what changed during the run as newer. If another process
    runs the same chapter, this one waits, and takes over its result if it had the same parameters.
    """
    began = time.time_ns()
    notebook = jupytext.read(source)
    declared = declared_parameters(notebook)
    parameters = {}
    for file in files:
        parameters |= check_parameters(load_yaml(file), declared, file)
    parameters |= check_parameters(parse_assignments(assignments, declared), declared, "command line")

    executed, failed = (output.with_suffix(f".{state}.ipynb") for state in ("running", "failed"))
    try:
        with tempfile.TemporaryDirectory() as scratch, claim(executed):
            started = time.time_ns()
            if output.is_file() and output.stat().st_ctime_ns > began and last_run(output)[0] == parameters:
                executed.unlink()
                print(f"{output.stem}: another make has run it", flush=True)
                return
            with undone_if_interrupted(output, executed, failed, scratch):
                bars = source.stem in LONG or not in_parallel()
                left_out = execute(notebook, executed, parameters, scratch, bars)
                for path in writes if left_out else ():
                    (ROOT / path).unlink(missing_ok=True)
                os.utime(executed, ns=(began, began))
                if stored:
                    store(parameters["dataset"], stored, parameters)
                os.replace(executed, output)
            failed.unlink(missing_ok=True)
    except (papermill.PapermillExecutionError, OSError, RuntimeError, NoSuchKernel) as error:
        in_cell = isinstance(error, papermill.PapermillExecutionError)
        reason = f"{error.ename}: {error.evalue}" if in_cell else error
        if isinstance(error, DeadKernelError):
            reason = "the kernel died, perhaps for want of memory"
        raise SystemExit(f"{output.stem} failed: {one_line(reason)}{f' (see {failed})' if in_cell else ''}") from None
    print(f"{output.stem}: {left_out or summary(output)} ({(time.time_ns() - started) / 1e9:.0f} s{progress()})", flush=True)


def progress():
    """Which chapter of how many this was, and about how long the others take; empty if make does not say (in STEPS).

    A file has one byte per finished chapter. Chapters differ, so no time is given before a quarter of them is done.
    """
    total, start = map(int, (os.environ.get("STEPS") or "0 0").split())
    if total < 2:
        return ""
    counted = Path("data", ".plans", f"steps-{start}-{total}")  # beside the plan; make runs in the project's folder
    with counted.open("ab") as stream:
        stream.write(b".")
        done = stream.tell()
    if done >= total:
        counted.unlink(missing_ok=True)
    left = (time.time() - start) / done * (total - done) / 60
    return f"; {done} of {total}" + (f", about {max(left, 1):.0f} min left" if total / 4 <= done < total else "")


def in_parallel():
    """Whether make may run other chapters at the same time (-j)."""
    return "--jobserver" in os.environ.get("MAKEFLAGS", "").split(" -- ")[0]


LONG = ("02_extract_embeddings", "03_supcon_finetune")  # their bars are shown also beside other chapters (utils.all_cores)


def execute(notebook, executed, parameters, scratch, bars):
    """Execute a notebook with papermill in a kernel of its own; PapermillExecutionError if a cell fails.

    With `bars`, a terminal shows the progress bars of its cells. A chapter that does not apply to the dataset
    (`utils.NotApplicable`) has not failed: then the reason is returned, a sentence.
    """
    chapter = f"{scratch}/chapter.ipynb"
    jupytext.write(notebook, chapter)
    # by socket files of this run alone: the kernel listens on no network port, and all files go with the folder
    reached = {"transport": "ipc", "ip": f"{scratch}/kernel", "connection_file": f"{scratch}/kernel.json"}
    try:
        papermill.execute_notebook(
            chapter,
            str(executed),
            parameters,
            kernel_name="python3",
            cwd=ROOT / "notebooks",
            progress_bar=False,
            stderr_file=sys.stderr if bars and sys.stderr.isatty() else None,
            config=Config({"KernelManager": reached}),
            # it is interrupted before it is shut down, and would sometimes call that an error
            extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
        )
    except papermill.PapermillExecutionError as error:
        if error.ename != "NotApplicable":
            raise
        return f"does not apply: {one_line(error.evalue)}"
    return None


@contextlib.contextmanager
def claim(running):
    """Hold the file `running` of one chapter, so that a second make waits.

    papermill writes into the file, and it is renamed in the end, but it stays the same file, with its lock.
    """
    stream = None
    while stream is None:
        running.parent.mkdir(parents=True, exist_ok=True)
        stream = running.open("a")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{running.name.split('.')[0]} waits: another make runs it", file=sys.stderr, flush=True)
            fcntl.flock(stream, fcntl.LOCK_EX)
        if not running.is_file() or not os.path.samestat(os.fstat(stream.fileno()), running.stat()):
            stream.close()  # the other run has renamed it
            stream = None
    with stream:
        yield


@contextlib.contextmanager
def undone_if_interrupted(output, executed, failed, scratch):
    """Let the next make see that a run has failed or was interrupted, and let no process of an interrupted one go on."""

    def take_back():
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.kill()
        mark()
        shutil.rmtree(scratch, ignore_errors=True)
        os.write(2, f"{output.stem} was interrupted\n".encode())

    def mark():
        with contextlib.suppress(OSError):  # without permission it stays as it is, which means the same to make
            os.replace(executed, failed)

    UNDO.callback(take_back)
    try:
        yield
    except BaseException:
        mark()
        raise
    finally:
        UNDO.pop_all()


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
    chapter.add_argument("-w", dest="writes", action="append", default=[], help="a file that the chapter writes")
    chapter.add_argument("--sweep", help="the sweep whose point the output is named after")
    chapter.add_argument("--encoders", type=str.split, default=[], help="of the sweep, with blanks between")
    chapter.add_argument("assignments", nargs="*", metavar="name=value")
    shown = commands.add_parser("publish", help="keep the outputs of runs in the notebooks")
    shown.add_argument("pairs", nargs="+", metavar="script=run")
    arguments = parser.parse_args()
    if len(tempfile.gettempdir()) > 60:  # the kernel, and the processes that load photographs, have sockets there
        os.environ["TMPDIR"] = tempfile.tempdir = "/tmp"
    try:
        if arguments.command == "publish":
            publish(arguments.pairs)
        else:
            if arguments.sweep:
                point = arguments.output.with_suffix(".yaml")
                write_point(arguments.sweep, arguments.encoders, point)
                arguments.files.append(point)
            run(arguments.source, arguments.output, arguments.files, arguments.assignments, arguments.stored, arguments.writes)
    except (ValueError, OSError) as error:
        raise SystemExit(f"error: {one_line(error)}") from None


if __name__ == "__main__":
    main()
