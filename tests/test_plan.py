"""The plan of make, with a stand-in for the chapters: every word is checked, nothing is lost, nothing is missed."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml
from conftest import CLEAN, ROOT, Project

import listing
import plan

STAND_IN = '''
"""Stands in for execute.py: writes what the rule promises, and a notebook that tells what it was given."""

import argparse, json, os, re, sys, time
from datetime import datetime, timezone
from pathlib import Path

import listing, plan

parser = argparse.ArgumentParser()
parser.add_argument("run")
parser.add_argument("source", type=Path)
parser.add_argument("output", type=Path)
for option in ("-r", "-f"):
    parser.add_argument(option, action="append", default=[])
parser.add_argument("--sweep")
parser.add_argument("--encoders")
parser.add_argument("words", nargs="*")
given = parser.parse_args()

declared = plan.declared_parameters(given.source.stem)
parameters = {}
if given.sweep:
    points = plan.sweep_points(given.sweep, given.encoders.split())
    parameters |= plan.own_parameters(points[given.output.stem])
for file in given.f:
    parameters |= plan.load_config(file)
parameters |= plan.parse_assignments(given.words, declared)
data = Path("data", parameters["dataset"])

began = time.time_ns()
running = given.output.with_suffix(".running.ipynb")
running.parent.mkdir(parents=True, exist_ok=True)
running.touch()
newest = max(Path("data/.plans").glob("*.mk"), key=lambda path: path.stat().st_mtime_ns)
files = []
for line in newest.read_text().replace("$(EQ)", "=").replace("\\\\\\n", "").splitlines():
    if line.endswith(f": {given.output} ;"):
        files = line.partition(":")[0].split()
with open("calls.txt", "a") as calls:
    print(given.output.stem, file=calls)
if given.source.stem == "01_preprocess":
    data.mkdir(parents=True, exist_ok=True)
    photos = data / "photos"
    if parameters["source"]:
        photos.unlink(missing_ok=True)
        photos.symlink_to(Path(parameters["source"]).resolve())
    seen = listing.digest(photos)
for number, target in enumerate(map(Path, files)):
    if number == len(files) // 2 and given.output.stem in os.environ.get("FAIL", "").split():
        running.rename(given.output.with_suffix(".failed.ipynb"))
        raise SystemExit(f"{given.output.stem} failed on purpose")
    if number == len(files) // 2 and given.output.stem in os.environ.get("HANG", "").split():
        Path("hanging").touch()
        time.sleep(60)
    target.parent.mkdir(parents=True, exist_ok=True)
    content = seen if target.name == "photos.seen" else " ".join(given.words)
    if target.name.endswith(".yaml"):
        content = "library: tuned"
        target.with_suffix(".made_from").touch()
    target.write_text(content)
noted = {"parameters": parameters, "end_time": datetime.now(timezone.utc).isoformat()}
running.write_text(json.dumps({"cells": [], "metadata": {"papermill": noted}, "nbformat": 4}, indent=1))
os.utime(running, ns=(began, began))
running.rename(given.output)
given.output.with_suffix(".failed.ipynb").unlink(missing_ok=True)
plan.remember(parameters["dataset"], given.r, parameters)
'''
WORDS = ("DATASET=mine", "ENCODERS=pixels resnet18_double", "CLUSTERERS=nested_ward flat_kmeans", "SEEDS=0 1")


class Stage(Project):
    """A project whose chapters are stood in for."""

    def __init__(self, root):
        super().__init__(root)
        (root / "execute.py").write_text(STAND_IN)
        self.photos = root / "my photos"
        for name in ("a.jpg", "deep/b.PNG", "metadata.csv"):
            path = self.photos / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)

    def calls(self, *words, check=True, **environment):
        """The chapters that one make runs, by the names of their executed notebooks."""
        (self.root / "calls.txt").unlink(missing_ok=True)
        command = ["make", f"PYTHON={sys.executable}", *words]
        self.done = subprocess.run(command, cwd=self.root, env=CLEAN | environment, capture_output=True, text=True)
        assert not check or self.done.returncode == 0, self.done.stdout + self.done.stderr
        log = self.root / "calls.txt"
        return log.read_text().split() if log.is_file() else []

    def planned(self, *words):
        """The chapters that make would run."""
        return re.findall(r"execute.py run \S+ \S*/(\S+).ipynb", self.make("-n", *words).stdout)

    def files(self, place="."):
        """{path: (date, size)} of all files below a folder of the project."""
        found = (path for path in (self.root / place).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return {str(p.relative_to(self.root)): (p.stat().st_mtime_ns, p.stat().st_size) for p in found}


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A project in which `make all` has been played once."""
    stage = Stage(tmp_path_factory.mktemp("played"))
    (stage.root / "weights").mkdir()
    stage.first = stage.calls(
        "all", *WORDS, f"SOURCE={stage.photos}", "WEIGHTS=weights", "SUBMIT=resnet18_double/flat_kmeans"
    )
    return stage


@pytest.fixture
def stage(played, tmp_path):
    """A copy of it, for one test."""
    shutil.copytree(played.root, tmp_path / "stage", symlinks=True)
    copy = object.__new__(Stage)
    copy.root, copy.photos = tmp_path / "stage", tmp_path / "stage" / "my photos"
    for link in copy.root.glob("data/*/photos"):
        link.unlink()
        link.symlink_to(copy.photos)
    memory = copy.data("mine", "config.yaml")
    memory.write_text(memory.read_text().replace(str(played.root), str(copy.root)))
    run = copy.data("mine", "runs", "01_preprocess.ipynb")
    date = run.stat().st_mtime_ns
    run.write_text(run.read_text().replace(str(played.root), str(copy.root)))
    os.utime(run, ns=(date, date))
    return copy


# ------------------------------------------------------------------------------------------------- the usual way


def test_all_is_made_once_and_words_need_not_be_repeated(stage, played):
    assert len(played.first) == len(set(played.first)) == 1 + 2 + 2 + 4 + 1 + 1
    assert stage.calls("all", *WORDS) == [] and "Nothing to be done for 'all'" in stage.done.stdout
    memory = yaml.safe_load(stage.data("mine", "config.yaml").read_text())
    assert memory["source"] == str(stage.photos) and memory["weights"] == "weights"
    assert list(memory["plan"].items()) == [
        ("encoders", ["pixels", "resnet18_double"]),
        ("clusterers", ["nested_ward", "flat_kmeans"]),
        ("seeds", [0, 1]),
        ("submit", "resnet18_double/flat_kmeans"),
    ]


def test_words_with_signs_reach_the_chapter_as_they_are(stage):
    odd = stage.root / 'it\'s $HOME; "x" #1 & (co)'
    shutil.copytree(stage.photos, odd)
    stage.calls("data/odd/metadata.parquet", "DATASET=odd", f"SOURCE={odd}")
    assert stage.data("odd", "photos").resolve() == odd
    assert stage.calls("data/odd/metadata.parquet", "DATASET=odd") == []


def test_a_dry_run_and_a_mistyped_word_change_nothing(stage):
    before = {path: what for path, what in stage.files().items() if not path.startswith("data/.plans/")}
    more = (
        "ENCODERS=pixels",
        "SEEDS=7",
        "SUBMIT=pixels/flat_kmeans",
        "WEIGHTS=",
        "CSV=metadata.csv",
        "START=deit_tiny",
    )
    assert "05_hierarchical_clustering-pixels-nested_ward" in stage.planned("all", *WORDS, *more)
    stage.make("all", *WORDS, "WEIGHTS=weihgts", check=False)
    after = {path: what for path, what in stage.files().items() if not path.startswith("data/.plans/")}
    assert {p for p in after if after[p] != before.get(p)} <= {"calls.txt"}
    assert stage.calls("all", *WORDS) == []


def test_a_word_that_failed_is_not_remembered(stage):
    (stage.root / "other").mkdir()
    run = "02_extract_embeddings-resnet18_double"
    assert stage.calls("all", *WORDS, "WEIGHTS=other", check=False, FAIL=run) == [run]
    assert yaml.safe_load(stage.data("mine", "config.yaml").read_text())["weights"] == "weights"
    assert stage.calls("all", *WORDS) == []  # it failed before it wrote anything

    words = (*WORDS, "SUBMIT=pixels/nested_ward")
    assert stage.calls("submission", *words, check=False, FAIL="06_evaluate") == ["06_evaluate"]
    assert "submit=pixels/nested_ward" in stage.data("mine", "scores.csv").read_text()
    assert stage.calls("submission", *WORDS) == ["06_evaluate"]  # what it had begun to write is made again, as before
    assert "submit=resnet18_double/flat_kmeans" in stage.data("mine", "scores.csv").read_text()
    assert stage.calls("all", *WORDS) == ["99_figures"] and stage.calls("all", *WORDS) == []


def test_only_encoders_that_read_weights_follow_them(stage):
    (stage.root / "other").mkdir()
    run = stage.planned("all", *WORDS, "WEIGHTS=other")
    assert "02_extract_embeddings-resnet18_double" in run and "02_extract_embeddings-pixels" not in run


def test_a_remembered_submission_gives_way_in_a_narrower_run(stage):
    assert stage.calls("submission", WORDS[0], "ENCODERS=pixels", *WORDS[2:]) == ["06_evaluate"]
    assert "submit=pixels/nested_ward" in stage.data("mine", "submission.csv").read_text()
    stage.calls("submission", *WORDS)
    assert "submit=resnet18_double/flat_kmeans" in stage.data("mine", "submission.csv").read_text()
    answer = stage.make(
        "all", WORDS[0], "ENCODERS=pixels", *WORDS[2:], "SUBMIT=resnet18_double/flat_kmeans", check=False
    )
    assert answer.returncode and "SUBMIT=resnet18_double/flat_kmeans is none of the runs" in answer.stderr


def test_fewer_seeds_need_no_new_clusters_and_others_do(stage):
    assert stage.planned("submission", *WORDS[:3], "SEEDS=1") == ["06_evaluate"]
    assert sum(run.startswith("05") for run in stage.planned("submission", *WORDS[:3], "SEEDS=0 1 2")) == 4


def test_start_and_training_are_kept_once_a_training_succeeded_with_them(stage):
    words = ("data/mine/models/simclr.yaml", WORDS[0])
    more = ("START=resnet18_untrained", "TRAINING=epochs=1 learning_rate=1e-4 freeze='layer 2'")
    stage.calls(*words, *more, check=False, FAIL="03_supcon_finetune-simclr")
    assert "start=resnet18_double" in stage.make("-n", *words).stdout
    stage.calls(*words, *more)
    assert stage.calls(*words) == []
    again = stage.make("-n", *words, "TRAINING=").stdout
    assert "start=resnet18_untrained" in again and "epochs" not in again


def test_a_sweep_keeps_its_encoders_to_itself(stage):
    config = {"notebook": "05_hierarchical_clustering", "names": "setting", "configs": ["clusterer"]}
    config["grid"] = {"encoder": "all", "clusterer": ["nested_ward"]}
    (stage.root / "params" / "sweeps" / "few.yaml").write_text(yaml.safe_dump(config))
    words = ("sweep", "SWEEP=few", "DATASET=mine")
    assert len(stage.calls(*words, "ENCODERS=pixels resnet18_double")) == 3
    assert stage.calls(*words) == []
    assert stage.data("mine", "sweeps", "few", "encoders.txt").read_text().split() == ["pixels", "resnet18_double"]
    assert stage.calls(*words, "ENCODERS=pixels") == ["98_sweep-few"]  # its point was there
    assert stage.calls(*words) == [] and stage.calls("all", *WORDS) == ["99_figures"]  # which shows the sweeps' tables


def test_points_follow_weights_where_an_encoder_reads_them(stage):
    config = {"notebook": "09_recoverability", "names": "setting", "grid": {"seed": [0, 1]}}
    (stage.root / "params" / "sweeps" / "few.yaml").write_text(yaml.safe_dump(config))
    words = ("sweep", "SWEEP=few", "DATASET=none_such")
    for encoders, count in (("pixels scene", 0), ("pixels resnet18_double", 2)):
        stage.calls(*words, f"ENCODERS={encoders}")
        points = [run for run in stage.planned(*words, "WEIGHTS=weights") if run.startswith("few__")]
        assert len(points) == count and stage.planned(*words) == []


def test_a_fused_encoder_waits_for_its_parts(stage):
    config = "library: fused\narchitecture: deit_tiny pixels\nweights: null\nlayers: {both: last}\n"
    (stage.root / "params" / "encoders" / "fused_two.yaml").write_text(config)
    run = stage.calls("data/mine/embeddings/fused_two/_SUCCESS", "DATASET=mine")
    assert run == ["02_extract_embeddings-deit_tiny", "02_extract_embeddings-fused_two"]


# ------------------------------------------------------------------------------- failures, interrupts, lost files


def test_a_failed_chapter_takes_nothing_with_it_and_is_run_again(stage):
    before = stage.files("data/mine") | stage.files("figures")
    (stage.root / "params" / "clusterers" / "nested_ward.yaml").touch()
    stage.calls("all", *WORDS, check=False, FAIL="06_evaluate")
    assert stage.done.returncode and set(before) <= set(stage.files("data/mine") | stage.files("figures"))
    assert "06_evaluate" in stage.calls("all", *WORDS)
    assert stage.calls("all", *WORDS) == []


@pytest.mark.parametrize("run", ["06_evaluate", "99_figures", "01_preprocess"])
def test_an_interrupt_takes_nothing_either(stage, run):
    before = stage.files("data/mine") | stage.files("figures")
    (stage.root / "notebooks" / f"{run}.py").touch()
    command = ["make", f"PYTHON={sys.executable}", "all", *WORDS]
    make = subprocess.Popen(
        command, cwd=stage.root, env=CLEAN | {"HANG": run}, start_new_session=True, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + 60
    while not (stage.root / "hanging").exists():
        assert time.monotonic() < end and make.poll() is None
        time.sleep(0.02)
    os.killpg(make.pid, signal.SIGINT)
    assert make.wait(30) != 0
    assert set(before) <= set(stage.files("data/mine") | stage.files("figures"))
    assert run in stage.calls("all", *WORDS)
    assert stage.calls("all", *WORDS) == []


@pytest.mark.parametrize(
    ("lost", "run"),
    [
        ("data/mine/metadata.parquet", "01_preprocess"),
        ("data/mine/rejected.csv", "01_preprocess"),
        ("data/mine/photos.seen", "01_preprocess"),
        ("data/mine/embeddings/pixels/_SUCCESS", "02_extract_embeddings-pixels"),
        ("data/mine/maps/pixels/default.parquet", "04_umap_visualization-pixels"),
        ("data/mine/clusters/pixels/nested_ward/seed=1.parquet", "05_hierarchical_clustering-pixels-nested_ward"),
        (
            "data/mine/runs/05_hierarchical_clustering-pixels-nested_ward.ipynb",
            "05_hierarchical_clustering-pixels-nested_ward",
        ),
        ("data/mine/scores.csv", "06_evaluate"),
        ("figures/mine/maps.png", "99_figures"),
    ],
)
def test_whatever_is_lost_is_made_again(stage, lost, run):
    (stage.root / lost).unlink()
    assert stage.calls("all", *WORDS)[0] == run
    assert stage.calls("all", *WORDS) == []


def test_weights_that_were_kept_do_not_make_it_train_for_ever(stage):
    words = ("data/mine/models/simclr.yaml", "DATASET=mine")
    stage.calls(*words)
    (stage.root / "params" / "trainers" / "simclr.yaml").touch()
    stand_in = stage.root / "execute.py"
    writing = "    target.write_text(content)"
    stand_in.write_text(
        stand_in.read_text().replace(writing, f'    if target.suffix != ".safetensors":\n    {writing}')
    )
    assert stage.calls(*words) == ["03_supcon_finetune-simclr"] and stage.planned(*words) == []


# ------------------------------------------------------------------------------------------------- photographs


def test_every_change_of_the_photographs_is_noticed(stage):
    words = ("data/mine/metadata.parquet", "DATASET=mine")
    photo = stage.photos / "a.jpg"
    assert stage.calls(*words) == []
    photo.write_text("overwritten, with an old date")
    os.utime(photo, (1_000_000, 1_000_000))
    assert stage.calls(*words) == ["01_preprocess"] and stage.calls(*words) == []
    (stage.photos / "later.jpg").write_text("from a camera with a wrong clock")
    os.utime(stage.photos / "later.jpg", (9_000_000_000, 9_000_000_000))
    assert stage.calls(*words) == ["01_preprocess"] and stage.calls(*words) == []
    photo.rename(stage.photos / "c.jpg")
    assert stage.calls(*words) == ["01_preprocess"]
    (stage.photos / "notes.txt").write_text("no photograph")
    (stage.photos / ".hidden.jpg").write_text("nor this")
    assert stage.calls(*words) == []


def test_results_outlive_photographs_that_are_out_of_reach(stage):
    stage.photos.rename(stage.root / "unplugged")
    assert stage.calls("all", *WORDS) == []


def test_the_listing_takes_what_a_disk_may_hold(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in (b"caf\xe9.jpg", b"b.TIFF", b"table.CSV", b"notes.txt", b".x.jpg"):
        (folder / os.fsdecode(name)).touch()
    (folder / "away").symlink_to(tmp_path)
    (folder / "gone.jpg").symlink_to("nowhere")
    (folder / "folder.jpg").mkdir()
    (folder / "folder.jpg" / "in.webp").touch()
    names = [os.fsencode(path) for path, _ in listing.images_below(folder)]
    assert set(names) == {b"b.TIFF", b"caf\xe9.jpg", b"folder.jpg/in.webp", b"gone.jpg", b"table.CSV"}
    assert listing.images_below(tmp_path / "none") == []
    before = listing.digest(folder)
    (folder / "notes.txt").write_text("more")
    assert listing.digest(folder) == before
    (folder / "b.TIFF").write_text("more")
    assert listing.digest(folder) != before


def test_the_listing_leaves_out_what_the_chapters_wrote(tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "ROOT", tmp_path)
    mine = ["raw/a.jpg", "maps/b.jpg", "models/c.csv", "previews/d.jpg", "metadata.csv"]
    theirs = [
        "scores.csv",
        "previews/families.jpg",
        "models/simclr.csv",
        "models/simclr_scores.csv",
        "sweeps/umap/summary.csv",
    ]
    for name in (*mine, *theirs, "models/simclr.made_from"):
        path = tmp_path / "data" / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "data" / "mine" / "photos").symlink_to(tmp_path / "data" / "mine")
    (tmp_path / "figures" / "mine").mkdir(parents=True)
    (tmp_path / "figures" / "mine" / "maps.png").touch()
    assert [path for path, _ in listing.images_below(tmp_path / "data" / "mine" / "photos")] == sorted(mine)
    assert [path for path, _ in listing.images_below(tmp_path)] == sorted(f"data/mine/{path}" for path in mine)
    assert [path for path, _ in listing.images_below(tmp_path / "data" / "mine" / "models")] == ["c.csv"]


# ---------------------------------------------------------------------------------------------------------- clean


@pytest.mark.parametrize("below", ["", "raw", "maps", "models"])
def test_clean_leaves_photographs_wherever_they_lie(stage, below):
    home = stage.data("own", *filter(None, [below]))
    shutil.copytree(stage.photos, home)
    mine = {"notes.txt", "maps/site/plan.png", "maps/site/points.parquet", "models/camera.yaml", "models/beetle.csv"}
    mine |= {"taxa.csv", "runs/notes.ipynb", "clusters/list.csv", "tree.nwk"}
    for name in mine:
        path = stage.data("own", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    before = stage.files("data/own")
    words = ("DATASET=own", f"SOURCE={home.relative_to(stage.root)}", *WORDS[1:])
    stage.calls("all", *words, "TRAINING=epochs=1")
    stage.calls("data/own/models/coarse_to_fine.yaml", *words)
    (stage.data("own") / f".{4321}-scores.csv").touch()  # of a killed chapter
    assert len(stage.files("data/own")) > len(before) + 20
    stage.make("clean", "DATASET=own")
    assert stage.files("data/own") == before
    assert stage.data("own", "photos").resolve() == home  # a link stays, as the photographs do
    assert stage.planned("submission", "DATASET=own", *WORDS[1:])[0] == "01_preprocess"


def test_clean_leaves_nothing_of_the_chapters_and_follows_no_link(stage):
    elsewhere = stage.root / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "part-00000.parquet").write_text("kept")
    stage.data("mine", "embeddings", "linked").symlink_to(elsewhere)
    stage.data("mine", "sweeps").symlink_to(elsewhere)
    stage.make("clean", "DATASET=mine")
    assert (elsewhere / "part-00000.parquet").read_text() == "kept"
    left = {str(path.relative_to(stage.data("mine"))) for path in stage.data("mine").rglob("*")}
    assert {path for path in left if not path.startswith("photos")} == {"embeddings", "embeddings/linked", "sweeps"}
    assert (stage.photos / "a.jpg").is_file() and stage.files("figures")
    stage.data("linked").symlink_to(stage.data("mine"))
    answer = stage.make("clean", "DATASET=linked", check=False)
    assert answer.returncode and "is a link" in answer.stderr


def test_clean_takes_the_folder_too_where_nothing_is_left(stage):
    stage.data("mine", "photos").unlink()
    stage.make("clean", "DATASET=mine")
    assert not stage.data("mine").exists()
    stage.make("clean", "DATASET=mine")


def test_a_config_of_ones_own_is_neither_read_nor_removed(stage):
    stage.data("own").mkdir()
    stage.data("own", "config.yaml").write_text("camera: 7\n")
    answer = stage.make("all", "DATASET=own", f"SOURCE={stage.photos}", check=False)
    assert answer.returncode and "data/own/config.yaml" in answer.stderr and "rename it" in answer.stderr
    stage.make("clean", "DATASET=own")
    assert stage.data("own", "config.yaml").is_file()


# ----------------------------------------------------------------------------------------------------- bad words

BAD = (
    ("SEEDS=a b", "SEEDS=a b should be whole numbers"),
    ("SEEDS=-1", "SEEDS=-1 should be whole numbers"),
    ("SEEDS=1.5", "SEEDS=1.5 should be whole numbers"),
    ("SEEDS=0,1,2", "SEEDS=0,1,2 should be whole numbers"),
    ("SEEDS=", "SEEDS= should be whole numbers"),
    ("SEEDS=1 2 1", "names a seed twice"),
    ("ENCODERS=", "ENCODERS is empty"),
    ("CLUSTERERS=", "CLUSTERERS is empty"),
    ("ENCODERS=pixls", "did you mean pixels?"),
    ("CLUSTERERS=nested_word", "did you mean nested_ward?"),
    ("SUBMIT=pixels/nested_word", "did you mean pixels/nested_ward?"),
    ("SOURCE=no/such", "SOURCE=no/such is not a folder"),
    ("CSV=metadta.csv", "did you mean metadata.csv?"),
    ("CSV=../metadata.csv", "is no file in"),
    ("WEIGHTS=no/such", "WEIGHTS=no/such is not a folder"),
    ("START=resnet81_double", "did you mean resnet18_double?"),
    ("START=pixels", "START=pixels is no network"),
    ("TRAINING=epoch=3", "did you mean epochs?"),
    ("TRAINING=epochs=many", "epochs should be a int"),
    ("TRAINING=epochs", "epochs should be name=value"),
    ("TRAINING=views='one", "No closing quotation"),
    ("TRAINING=dataset=demo", "unknown parameter 'dataset'"),
    ("DATASET=../mine", "plain name"),
    ("DATASTE=mine", "there is no variable DATASTE; did you mean DATASET?"),
)


@pytest.mark.parametrize(("word", "answer"), BAD)
def test_a_bad_word_is_answered_before_any_work(stage, word, answer):
    words = [one for one in WORDS if one.partition("=")[0] != word.partition("=")[0]]
    assert stage.calls("all", *words, word, check=False) == []
    first, *noise = stage.done.stderr.splitlines()
    assert stage.done.returncode and answer in first and "Traceback" not in stage.done.stderr
    assert all(line.startswith(("make", "Makefile")) for line in noise)


def test_unknown_variables_are_asked_of_the_command_line_only(stage):
    assert stage.calls("help", DATASTE="mine", VERBOSE="1") == []
    answer = stage.make("help", "SEED=1", check=False)
    assert answer.returncode and "there is no variable SEED; did you mean SEEDS?" in answer.stderr


def test_a_bad_config_is_answered_before_any_work(stage):
    path = stage.root / "params" / "clusterers" / "slip.yaml"
    for text, answer in (
        ("species_lair: last\n", "unknown parameter 'species_lair'"),
        ("a: [\n", "slip.yaml cannot be read"),
    ):
        path.write_text(text)
        assert stage.calls("all", WORDS[0], WORDS[1], "CLUSTERERS=slip", check=False) == []
        assert answer in stage.done.stderr and "Traceback" not in stage.done.stderr


# ------------------------------------------------------------------------------------------------------- imports


def test_rules_follow_the_modules_that_chapters_import():
    assert set(plan.imported("notebooks/03_supcon_finetune.py")) >= {
        "clustering.py", "encoders.py", "images.py", "scoring.py", "training.py", "utils.py",
    }  # fmt: skip
    assert {"simulation/organisms.py", "simulation/__init__.py"} <= set(plan.imported("notebooks/11_robustness.py"))
    assert "training.py" not in plan.imported("notebooks/04_umap_visualization.py")


def test_a_new_import_of_a_chapter_becomes_a_prerequisite(stage):
    chapter = stage.root / "notebooks" / "06_evaluate.py"
    chapter.write_text(
        chapter.read_text().replace("\nimport utils\n", "\nimport utils\nfrom extra import (\n    thing,\n)\n")
    )
    (stage.root / "extra.py").write_text("import deeper\nthing = 1\n")
    (stage.root / "deeper.py").write_text("")
    stage.calls("all", *WORDS)
    assert stage.calls("all", *WORDS) == []
    (stage.root / "deeper.py").touch()
    assert stage.calls("all", *WORDS) == ["06_evaluate", "99_figures"]


# -------------------------------------------------------------------------------------------------------- sweeps


@pytest.fixture
def params(tmp_path, monkeypatch):
    """Write params/<kind>/<name>.yaml of a project of its own."""
    monkeypatch.setattr(plan, "ROOT", tmp_path)
    cached = (plan.stems, plan.load_config)

    def write(kind, name, text):
        path = tmp_path / "params" / kind / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        for function in cached:
            function.cache_clear()

    yield write
    for function in cached:
        function.cache_clear()


def test_a_sweep_is_the_product_of_its_grid(params):
    params("sweeps", "s", "notebook: x\nnames: setting\nfixed: {c: 7}\ngrid: {a: [1, 2], b: [0.5, u v]}\n")
    points = plan.expand_sweep("s", {"encoder": "pixels", "a": 9})
    assert list(points) == ["s__a-1__b-0.5", "s__a-1__b-u-v", "s__a-2__b-0.5", "s__a-2__b-u-v"]
    assert points["s__a-2__b-0.5"] == {"encoder": "pixels", "c": 7, "a": 2, "b": 0.5, "setting": "s__a-2__b-0.5"}


def test_all_in_a_grid_are_all_encoders(params):
    params("sweeps", "s", "notebook: x\nnames: setting\ngrid: {encoder: all}\n")
    assert list(plan.expand_sweep("s", {}, ["pixels", "scene"])) == ["s__encoder-pixels", "s__encoder-scene"]


def test_a_sweep_may_vary_one_parameter_at_a_time_around_a_baseline(params):
    config = "notebook: x\nnames: setting\nfixed: {a: 1.0}\nvary: {a: [0, 0.5], b: [3]}\n"
    params("sweeps", "s", config + "grid: {seed: [0, 1]}\n")
    points = plan.expand_sweep("s", {"a": 9, "b": 2})
    names = [f"s__{departure}seed-{seed}" for departure in ("", "a-0__", "a-0.5__", "b-3__") for seed in (0, 1)]
    assert list(points) == names
    assert points["s__seed-1"] == {"a": 1.0, "b": 2, "seed": 1, "setting": "s__seed-1"}
    assert points["s__a-0.5__seed-0"] == {"a": 0.5, "b": 2, "seed": 0, "setting": "s__a-0.5__seed-0"}
    assert points["s__b-3__seed-1"] == {"a": 1.0, "b": 3, "seed": 1, "setting": "s__b-3__seed-1"}

    params("sweeps", "s", config)
    assert list(plan.expand_sweep("s", {})) == ["s", "s__a-0", "s__a-0.5", "s__b-3"]
    with pytest.raises(ValueError, match="b = 3 in vary of sweep s is the baseline itself"):
        plan.expand_sweep("s", {"b": 3})
    params("sweeps", "s", config + "grid: {b: [1, 2]}\n")
    with pytest.raises(ValueError, match="b stands in vary and in grid of sweep s"):
        plan.expand_sweep("s", {})


def test_a_sweep_may_bring_whole_configs(params):
    for name, content in (("one", "a: 1\nb: 1\n"), ("two", "a: 2\n")):
        params("trainers", name, content)
    params("sweeps", "s", "notebook: x\nnames: setting\nconfigs: [trainer]\ngrid: {trainer: [one, two]}\n")
    points = plan.expand_sweep("s", {"a": 0, "b": 0})
    assert points["s__trainer-one"] == {"a": 1, "b": 1, "trainer": "one", "setting": "s__trainer-one"}
    assert points["s__trainer-two"] == {"a": 2, "b": 0, "trainer": "two", "setting": "s__trainer-two"}


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("names: setting\n", "should have a line 'notebook: <name>'"),
        ("notebook: x\nnames: setting\ngrid: {a: 3}\n", "grid should hold lines"),
        ("notebook: x\nnames: setting\nfixed: [3]\n", "fixed should hold lines"),
        ("notebook: x\nnames: setting\nconfigs: [trainer]\n", "no params/trainers/None.yaml"),
    ],
)
def test_a_sweep_of_another_form_is_answered(params, text, answer):
    params("sweeps", "s", text)
    with pytest.raises(ValueError, match=answer):
        plan.expand_sweep("s", {})


def test_every_sweep_that_ships_can_be_planned():
    for sweep in plan.stems("sweeps"):
        words = plan.Words({"sweep": sweep}, ["sweep"])
        assert "summary.csv" in plan.Plan(words, ["sweep"]).makefile()


# ------------------------------------------------------------------------------------------------------------ time


def test_planning_waits_for_no_library():
    code = "import sys, plan; print(*(set(sys.modules) & {'numpy', 'pandas', 'papermill', 'jupytext', 'matplotlib', 'torch'}))"
    assert not subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout.split()
