"""Strict execution of chapters: parameters are checked, runs are recorded, outputs are published."""

import jupytext
import nbformat
import pytest
from conftest import ROOT

import execute

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
    with pytest.raises(SystemExit, match=r"one failed: ZeroDivisionError: division by zero\n  see .*one.failed.ipynb"):
        execute.run(chapter, run, [], ["a=0"])
    assert run.read_bytes() == before and not run.with_suffix(".running.ipynb").exists()
    failed = jupytext.read(run.with_suffix(".failed.ipynb"))
    assert [output.ename for output in failed.cells[-1].outputs] == ["ZeroDivisionError"]
    execute.run(chapter, run, [], [])
    assert not run.with_suffix(".failed.ipynb").exists()


def test_killed_kernel_is_reported(tmp_path):
    chapter = tmp_path / "one.py"
    fatal = "import os, signal\n\nos.kill(os.getpid(), signal.SIGKILL)\n"
    chapter.write_text(HEADER + f'# %% tags=["parameters"]\na = 1\n\n# %%\n{fatal}')
    with pytest.raises(SystemExit, match="one failed: the kernel died, perhaps for want of memory"):
        execute.run(chapter, tmp_path / "one.ipynb", [], [])
    assert (tmp_path / "one.failed.ipynb").is_file() and not (tmp_path / "one.ipynb").exists()
