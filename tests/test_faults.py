"""Faults of users, of their files and of the machine: each is one line that names what is wrong, or the right result."""

import io
import os
import shutil
from contextlib import redirect_stderr, redirect_stdout

import in_process
import pytest
import yaml
from conftest import ROOT
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

import parameters
import plan
from settings import STORED_HEADER

TIMES = int(os.environ.get("FAULTS", "1"))  # FAULTS=20 tries 20 times as many cases, other ones at every call


def fuzz(examples):
    """Settings of hypothesis for so many made-up examples."""
    return settings(
        max_examples=examples * TIMES,
        derandomize=TIMES == 1,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


# --------------------------------------------------------------------------------------------------- YAML files

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
BAD_YAML = {
    BOMB: "alias",
    "a: " + "[" * 50_000 + "]" * 50_000: "levels inside each other",
    "- " * 5_000 + "a": "levels inside each other",
    "library: pixels\nlibrary: timm\n": "'library' is given twice, again in line 2",
    "!!python/object/apply:os.system [touch sprung]": "could not determine a constructor",
    "a: !!python/object/apply:os.system [touch sprung]": "could not determine a constructor",
    "a: !!bool x": "KeyError",
    "a: 2024-99-99": "month must be in 1..12",
    "a: [": "expected",
    "? [a]\n: b": "unhashable key",
    "a: 1\n---\nb: 2": "single document",
    "a: \0": "control characters",
    "- a\n- b": "should hold lines of 'name: value', but holds ['a', 'b']",
    "just text": "should hold lines of 'name: value', but holds 'just text'",
    "\t a: b": "cannot start any token",
}


@pytest.mark.parametrize("text", BAD_YAML, ids=range(len(BAD_YAML)))
def test_yaml_that_is_no_plain_mapping_is_refused_with_its_reason(in_tmp, text):
    (in_tmp / "x.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"^x\.yaml ") as caught:
        parameters.load_yaml("x.yaml")
    assert BAD_YAML[text] in str(caught.value) and len(str(caught.value)) < 500 and "\n" not in str(caught.value)
    assert not (in_tmp / "sprung").exists()


def test_yaml_in_another_encoding_is_refused_and_a_byte_order_mark_is_not(in_tmp):
    (in_tmp / "x.yaml").write_bytes("title: Zygænidæ".encode("latin-1"))
    with pytest.raises(ValueError, match=r"x\.yaml cannot be read as YAML: 'utf-8' codec"):
        parameters.load_yaml("x.yaml")
    (in_tmp / "y.yaml").write_text("title: Zygænidæ", encoding="utf-8-sig")
    assert parameters.load_yaml("y.yaml") == {"title": "Zygænidæ"}


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """A project with a dataset, a tuned encoder and a sweep, in which make can be planned in this process."""
    root = tmp_path_factory.mktemp("planned")
    for name in ("notebooks", "params", "simulation"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("*.ipynb", "__pycache__"))
    for path in ROOT.glob("*.py"):
        shutil.copy(path, root)
    for name in ("photos", "models"):
        (root / "data" / "mine" / name).mkdir(parents=True)
    (root / "data" / "mine" / "photos" / "metadata.csv").write_text("hash_id\na\n")
    (root / "params" / "datasets" / "mine.yaml").write_text("seeds: 0\n")
    grid = {"encoder": ["pixels"], "clusterer": ["pooled_average"], "k_rule": ["silhouette"]}
    sweep = {"notebook": "05_hierarchical_clustering", "names": "setting", "configs": ["clusterer"], "grid": grid}
    (root / "params" / "sweeps" / "s.yaml").write_text(yaml.safe_dump(sweep))
    return root


FUZZED = (
    "params/encoders/pixels.yaml", "params/encoders/fused_imagenet.yaml", "params/clusterers/pooled_average.yaml",
    "params/datasets/mine.yaml", "params/sweeps/s.yaml", "params/trainers/simclr.yaml", "data/mine/config.yaml",
    "data/mine/models/simclr.yaml",
)  # fmt: skip
NAMES = (
    "library", "architecture", "weights", "layers", "input_size", "encoders", "clusterers", "seeds", "start", "training",
    "notebook", "names", "fixed", "vary", "grid", "configs", "plan", "sweeps", "source", "submit", "method", "epochs", "x",
)  # fmt: skip
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 9)
    | st.sampled_from(["fused", "pixels", "../x", "05_hierarchical_clustering", "a b", "", "all", "\n", "$(touch x)", 1e400])
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=4,
)


def plan_of(root, *given):
    """Exit status, output and errors of plan.py, run in this process."""
    arguments = ["plan.py", "rules", "--goals", "all sweep", "DATASET=mine", "SWEEP=s", *given]
    out, err, status = io.StringIO(), io.StringIO(), 0
    with in_process.project_root(root) as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr("sys.argv", arguments)
        try:
            plan.main()
        except SystemExit as end:
            status = end.code
    return status, out.getvalue(), err.getvalue()


def test_plan_of_the_fuzzed_project_is_sound(planned):
    assert plan_of(planned, "ENCODERS=pixels fused_imagenet simclr")[0] == 0


@pytest.mark.parametrize("path", FUZZED)
def test_any_config_is_planned_or_refused_in_one_line(planned, path):
    file = planned / path
    before = file.read_bytes() if file.exists() else None
    header = STORED_HEADER if path.endswith("config.yaml") else ""
    whole = yaml.safe_load(before) if before else {}

    @fuzz(30)
    @given(st.dictionaries(st.sampled_from([*whole, *whole, *NAMES]), VALUES, min_size=1, max_size=2))
    def check(changed):
        file.write_text(header + yaml.safe_dump(whole | changed))
        status, out, err = plan_of(planned, "ENCODERS=pixels fused_imagenet simclr")
        assert (status, out, len(err.splitlines())) == (1, "", 1) or (status == 0 and err == ""), err
        assert len(err) < 1200

    try:
        check()
    finally:
        file.unlink()
        if before is not None:
            file.write_bytes(before)
