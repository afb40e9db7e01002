"""Strict execution of chapters: parameters are checked, runs are recorded, outputs are published, nothing is left half done."""

import contextlib
import errno
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jupytext
import nbformat
import psutil
import pytest
from conftest import CLEAN, ROOT

import execute
import rules
from files import one_line

HEADER = (ROOT / "notebooks" / "01_preprocess.py").read_text().partition("# %% [markdown]")[0]


def test_types_of_parameters_are_checked():
    known = {"n": 15, "x": 0.1, "name": "a", "on": True, "many": [1], "any": None}
    fine = {"n": 3, "x": 1, "name": "b", "on": False, "many": [], "any": "thing"}
    assert execute.check_parameters(fine, known, "config") == fine
    for wrong in ({"n": 0.5}, {"n": True}, {"x": "1"}, {"name": 3}, {"on": 1}, {"many": "1 2"}):
        with pytest.raises(ValueError, match=f"config: {next(iter(wrong))} should be a"):
            execute.check_parameters(wrong, known, "config")
    with pytest.raises(ValueError, match="unknown parameter 'm'; the notebook knows n, x"):
        execute.check_parameters({"m": 1}, known, "config")


def test_arguments_get_the_type_of_the_default():
    known = {"n": 15, "name": "a", "encoders": ["x"], "seeds": [0], "rate": 0.1}
    arguments = ["n=3", "name=123", "encoders=a 1 c", "seeds=0 1 2", "rate=1e-4"]
    assert execute.parse_assignments(arguments, known) == {
        "n": 3,
        "name": "123",
        "encoders": ["a", "1", "c"],
        "seeds": [0, 1, 2],
        "rate": 1e-4,
    }


def test_notebook_without_parameters_cell_is_not_run(tmp_path):
    (tmp_path / "x.py").write_text("# %%\na = 1\n")
    with pytest.raises(ValueError, match="0 cells tagged"):
        execute.run(tmp_path / "x.py", tmp_path / "x.ipynb", [], [])


def test_publish_keeps_the_outputs_of_runs_or_changes_nothing(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(
            HEADER + '# %% tags=["parameters"]\na = 1\n\n# %%\nimport sys\n\nprint(a, file=sys.stderr)\na\n'
        )
        execute.run(tmp_path / f"{name}.py", tmp_path / "runs" / f"{name}.ipynb", [], ["a=2"])
    pairs = [f"{tmp_path / name}.py={tmp_path / 'runs' / name}.ipynb" for name in ("one", "two")]
    execute.publish(pairs)
    cells = nbformat.read(tmp_path / "one.ipynb", as_version=4).cells
    assert [c.execution_count for c in cells] == [1, 2] and cells[0].source == "a = 1"
    assert [o.output_type for o in cells[1].outputs] == ["execute_result"]  # and not stderr
    assert cells[1].outputs[0].data["text/plain"] == "2"

    before = (tmp_path / "one.ipynb").read_bytes()
    (tmp_path / "one.py").write_text((tmp_path / "one.py").read_text() + "\n# %%\nb = 3\n")
    execute.run(tmp_path / "one.py", tmp_path / "runs" / "one.ipynb", [], [])
    (tmp_path / "two.py").write_text((tmp_path / "two.py").read_text().replace("a = 1", "a = 9"))
    with pytest.raises(ValueError, match=r"made by another version of .*two\.py: run it again"):
        execute.publish(pairs)
    assert (tmp_path / "one.ipynb").read_bytes() == before


def test_failed_run_is_kept_beside_the_last_good_one(tmp_path):
    chapter, run = tmp_path / "one.py", tmp_path / "one.ipynb"
    cells = HEADER + '# %% tags=["parameters"]\na = 1\n\n# %% tags=["summary"]\nprint("a is", 2 / a)\n'
    chapter.write_text(cells)
    execute.run(chapter, run, [], ["a=2"])
    assert execute.summary(run) == "a is 1.0"
    before = run.read_bytes()
    with pytest.raises(SystemExit, match=r"one failed: ZeroDivisionError: division by zero \(see .*one.failed.ipynb\)$"):
        execute.run(chapter, run, [], ["a=0"])
    assert run.read_bytes() == before and not run.with_suffix(".running.ipynb").exists()
    failed = jupytext.read(run.with_suffix(".failed.ipynb"))
    assert [output.ename for output in failed.cells[-1].outputs] == ["ZeroDivisionError"]
    execute.run(chapter, run, [], [])
    assert not run.with_suffix(".failed.ipynb").exists()


def test_a_chapter_that_does_not_apply_says_why_and_is_done(tmp_path, capsys):
    chapter, run = tmp_path / "one.py", tmp_path / "one.ipynb"
    cells = '# %% tags=["parameters"]\na = 1\n\n# %%\nimport sys\n\nsys.path.insert(0, "..")\nimport utils\n\n'
    chapter.write_text(f'{HEADER}{cells}raise utils.NotApplicable("there is one family")\n')
    execute.run(chapter, run, [], [])
    assert capsys.readouterr().out.startswith("one: does not apply: there is one family (")
    assert run.is_file() and not run.with_suffix(".failed.ipynb").exists() and rules.last_run(run)[0] == {}
    (tmp_path / "one.csv").write_text("of a table with names")
    execute.run(chapter, run, [], ["a=2"], writes=[str(tmp_path / "one.csv"), str(tmp_path / "one.png")])
    assert not (tmp_path / "one.csv").exists()


def test_killed_kernel_is_reported(tmp_path):
    chapter = tmp_path / "one.py"
    fatal = "import os, signal\n\nos.kill(os.getpid(), signal.SIGKILL)\n"
    chapter.write_text(HEADER + f'# %% tags=["parameters"]\na = 1\n\n# %%\n{fatal}')
    with pytest.raises(SystemExit, match="one failed: the kernel died, perhaps for want of memory"):
        execute.run(chapter, tmp_path / "one.ipynb", [], [])
    assert (tmp_path / "one.failed.ipynb").is_file() and not (tmp_path / "one.ipynb").exists()


# ---- faults of the machine -------------------------------------------------------------------------------------------


@pytest.fixture
def chapter(tmp_path):
    """A chapter that waits `seconds`, and the command that runs it as make does."""
    path = tmp_path / "one.py"
    path.write_text(f'{HEADER}# %% tags=["parameters"]\nseconds = 0.0\n\n# %%\nimport time\n\ntime.sleep(seconds)\n')
    return [sys.executable, str(ROOT / "execute.py"), "run", str(path), str(tmp_path / "runs" / "one.ipynb")]


def left(folder):
    return sorted(path.name for path in (folder / "runs").iterdir())


def test_full_disk_and_read_only_folder_are_one_line_and_the_next_run_goes_through(chapter, tmp_path):
    def at_most_two_kilobytes():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))

    done = subprocess.run(chapter, preexec_fn=at_most_two_kilobytes, env=CLEAN, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == (
        "one failed: File too large: raise the limit on the size of files (ulimit -f), then run make again\n"
    )
    execute.run(tmp_path / "one.py", tmp_path / "runs" / "one.ipynb", [], [])
    assert left(tmp_path) == ["one.ipynb"]


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "one failed: No space left on device: free some space on the disk, then run make again"),
        (errno.EROFS, "one failed: Read-only file system: make it writable, or work on a copy of the project"),
        (errno.EIO, "one failed: Input/output error: the disk may be damaged; check it, then run make again"),
    ],
)
@pytest.mark.parametrize("moment", ["before", "while saving", "at the end"])
def test_errors_of_the_disk_are_one_line_whenever_they_happen(tmp_path, monkeypatch, number, message, moment):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    (tmp_path / "one.py").write_text(HEADER + '# %% tags=["parameters"]\na = 1\ndataset = "d"\n')
    patched = {
        "before": (execute.jupytext, "write"),
        "while saving": (execute.papermill, "execute_notebook"),
        "at the end": (execute, "store"),
    }
    monkeypatch.setattr(execute.papermill, "execute_notebook", lambda *_, **__: None)
    monkeypatch.setattr(*patched[moment], fail)
    with pytest.raises(SystemExit) as caught:
        execute.run(tmp_path / "one.py", tmp_path / "runs" / "one.ipynb", [], ["dataset=d"], ["source=x"])
    assert caught.value.code == message
    assert left(tmp_path) == ["one.failed.ipynb"]  # from which make sees that it has to run again


def test_message_of_any_error_is_one_line_of_moderate_length():
    assert one_line(OSError(errno.EACCES, "Permission denied", "a.csv")) == (
        "Permission denied: 'a.csv': change its permissions, then run make again"
    )
    assert one_line("[Errno 2] No such file or directory") == "No such file or directory"
    assert one_line("a\n  b\t c") == "a b c" and len(one_line("word " * 9999)) == 1000


def is_kernel(process):
    with contextlib.suppress(psutil.Error):  # it may have just ended
        return "ipykernel_launcher" in process.cmdline()
    return False


@pytest.fixture
def short_folder():
    """A folder whose path is short enough for the sockets of a kernel."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupt_prints_one_line_and_ends_the_kernel_and_its_processes(chapter, tmp_path, number, short_folder):
    started = subprocess.Popen(
        [*chapter, "seconds=60"],
        env=CLEAN | {"TMPDIR": str(short_folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    children = []
    end = time.monotonic() + 60
    while not any(map(is_kernel, children)):
        assert started.poll() is None and time.monotonic() < end
        children = psutil.Process(started.pid).children(recursive=True)
    time.sleep({signal.SIGINT: 0, signal.SIGTERM: 0.3, signal.SIGHUP: 0.8}[number])
    started.send_signal(number)
    printed, message = started.communicate(timeout=30)
    assert (started.returncode, printed, message) == (128 + number, "", "one was interrupted\n")
    assert not psutil.wait_procs(children, timeout=10)[1]
    assert left(tmp_path) == ["one.failed.ipynb"] and not list(short_folder.iterdir())


def test_interrupt_before_anything_has_begun_prints_nothing(chapter, tmp_path):
    started = subprocess.Popen(chapter, env=CLEAN, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(0.25)
    started.send_signal(signal.SIGINT)
    assert started.communicate(timeout=30) == ("", "") and started.returncode != 0
    assert not (tmp_path / "runs").exists()


def test_second_run_of_a_chapter_waits_and_takes_over_the_result(chapter, tmp_path):
    first = subprocess.Popen([*chapter, "seconds=3"], env=CLEAN, stdout=subprocess.PIPE, text=True)
    running, run = tmp_path / "runs" / "one.running.ipynb", tmp_path / "runs" / "one.ipynb"
    while not running.exists():
        assert first.poll() is None
        time.sleep(0.02)
    same = subprocess.run([*chapter, "seconds=3"], env=CLEAN, capture_output=True, text=True)
    assert same.stderr == "one waits: another make runs it\n" and same.stdout == "one: another make has run it\n"
    assert first.wait() == 0 and left(tmp_path) == ["one.ipynb"]

    first = subprocess.Popen([*chapter, "seconds=3"], env=CLEAN, stdout=subprocess.PIPE, text=True)
    while not running.exists():
        assert first.poll() is None
        time.sleep(0.02)
    other = subprocess.run([*chapter, "seconds=0.5"], env=CLEAN, capture_output=True, text=True)
    assert other.stderr == "one waits: another make runs it\n" and other.stdout.startswith("one: done")
    assert rules.last_run(run)[0] == {"seconds": 0.5} and first.wait() == 0


def test_config_that_is_no_mapping_is_refused_in_one_line(chapter, tmp_path):
    for text, message in (("a: [", "cannot be read as YAML"), ("- a\n", "should hold lines of 'name: value'")):
        (config := tmp_path / f"{len(text)}.yaml").write_text(text)
        with pytest.raises(ValueError, match=f"{config.name} {message}"):
            execute.run(tmp_path / "one.py", tmp_path / "runs" / "one.ipynb", [str(config)], [])
    assert not (tmp_path / "runs").exists()
