"""The plan of make, with a fake execute.py: settings are checked, and exactly the chapters run that have to."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml
from conftest import CLEAN, MAKE, ROOT, Project

import listing
import parameters
import plan
import rules
import settings
import sweeps

FAKE_EXECUTE = '''
"""Replaces execute.py: writes the files of the rule, and a notebook that records its parameters."""

import argparse, json, os, re, sys, time
from datetime import datetime, timezone
from pathlib import Path

import listing, parameters as params, settings, sweeps

parser = argparse.ArgumentParser()
parser.add_argument("run")
parser.add_argument("source", type=Path)
parser.add_argument("output", type=Path)
for option in ("-r", "-f", "-w"):
    parser.add_argument(option, action="append", default=[])
parser.add_argument("--sweep")
parser.add_argument("--encoders")
parser.add_argument("arguments", nargs="*")
given = parser.parse_args()

declared = params.declared_parameters(given.source.stem)
parameters = {}
if given.sweep:
    points = sweeps.sweep_points(given.sweep, given.encoders.split())
    parameters |= sweeps.own_parameters(points[given.output.stem])
for file in given.f:
    parameters |= params.load_yaml(file)
parameters |= params.parse_assignments(given.arguments, declared)
data = Path("data", parameters["dataset"])

running = given.output.with_suffix(".running.ipynb")
running.parent.mkdir(parents=True, exist_ok=True)
running.touch()
began = running.stat().st_mtime_ns  # by the clock of the files, which may be a tick behind time.time_ns()
with open("calls.txt", "a") as calls:
    print(given.output.stem, file=calls)
if given.source.stem == "01_preprocess":
    data.mkdir(parents=True, exist_ok=True)
    photos = data / "photos"
    if parameters["source"]:
        photos.unlink(missing_ok=True)
        photos.symlink_to(Path(parameters["source"]).resolve())
    seen = listing.digest(photos)
for number, target in enumerate(map(Path, given.w)):
    if number == len(given.w) // 2 and given.output.stem in os.environ.get("FAIL", "").split():
        running.rename(given.output.with_suffix(".failed.ipynb"))
        raise SystemExit(f"{given.output.stem} failed on purpose")
    if number == len(given.w) // 2 and given.output.stem in os.environ.get("HANG", "").split():
        Path("hanging").touch()
        time.sleep(60)
    target.parent.mkdir(parents=True, exist_ok=True)
    content = seen if target.name == "photos.seen" else " ".join(given.arguments)
    if target.name.endswith(".yaml"):
        content = "library: tuned"
        target.with_suffix(".made_from").touch()
    target.write_text(content)
noted = {"parameters": parameters, "end_time": datetime.now(timezone.utc).isoformat()}
running.write_text(json.dumps({"cells": [], "metadata": {"papermill": noted}, "nbformat": 4}, indent=1))
os.utime(running, ns=(began, began))
running.rename(given.output)
given.output.with_suffix(".failed.ipynb").unlink(missing_ok=True)
settings.store(parameters["dataset"], given.r, parameters)
'''
SETTINGS = ("DATASET=mine", "ENCODERS=pixels resnet18_double", "CLUSTERERS=pooled_average flat_kmeans", "SEEDS=0 1")


class FakeProject(Project):
    """A project with a fake execute.py."""

    def __init__(self, root):
        super().__init__(root)
        (root / "execute.py").write_text(FAKE_EXECUTE)
        self.photos = root / "my photos"
        for name in ("a.jpg", "deep/b.PNG", "metadata.csv"):
            path = self.photos / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)

    def make(self, *arguments, check=True):
        """Run make; execute.py is fake and runs in a process of its own."""
        return super().make(*arguments, check=check, separate=True)

    def runs(self, *arguments, check=True, **environment):
        """Names of the executed notebooks of one call of make."""
        (self.root / "calls.txt").unlink(missing_ok=True)
        command = [MAKE, f"PYTHON={sys.executable}", *arguments]
        self.done = subprocess.run(command, cwd=self.root, env=CLEAN | environment, capture_output=True, text=True)
        assert not check or self.done.returncode == 0, self.done.stdout + self.done.stderr
        log = self.root / "calls.txt"
        return log.read_text().split() if log.is_file() else []

    def would_run(self, *arguments):
        """Names of the notebooks that make would execute."""
        return re.findall(r"execute.py run \S+ \S*/(\S+).ipynb", self.make("-n", *arguments).stdout)

    def files(self, place="."):
        """{path: (date, size)} of all files below a folder of the project."""
        found = (path for path in (self.root / place).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return {str(p.relative_to(self.root)): (p.stat().st_mtime_ns, p.stat().st_size) for p in found}


@pytest.fixture(scope="module")
def planned_once(tmp_path_factory):
    """A project in which `make all` has run once."""
    project = FakeProject(tmp_path_factory.mktemp("planned"))
    (project.root / "weights").mkdir()
    project.first = project.runs(
        "all", *SETTINGS, f"SOURCE={project.photos}", "WEIGHTS=weights", "SUBMIT=resnet18_double/flat_kmeans"
    )
    return project


@pytest.fixture
def planned(planned_once, tmp_path):
    """A copy of that project for one test."""
    shutil.copytree(planned_once.root, tmp_path / "copy", symlinks=True)
    copy = object.__new__(FakeProject)
    copy.root, copy.photos = tmp_path / "copy", tmp_path / "copy" / "my photos"
    for link in copy.root.glob("data/*/photos"):
        link.unlink()
        link.symlink_to(copy.photos)
    stored = copy.data("mine", "config.yaml")
    stored.write_text(stored.read_text().replace(str(planned_once.root), str(copy.root)))
    run = copy.data("mine", "runs", "01_preprocess.ipynb")
    date = run.stat().st_mtime_ns
    run.write_text(run.read_text().replace(str(planned_once.root), str(copy.root)))
    os.utime(run, ns=(date, date))
    return copy


# ---- runs and reruns --------------------------------------------------------------------------------------------------


def test_second_make_does_nothing_and_settings_are_stored(planned, planned_once):
    assert len(planned_once.first) == len(set(planned_once.first)) == 1 + 2 + 2 + 4 + 1 + 1 + 1 + 1 + 1
    assert planned.runs("all", *SETTINGS) == [] and "Nothing to be done for 'all'" in planned.done.stdout
    stored = yaml.safe_load(planned.data("mine", "config.yaml").read_text())
    assert stored["source"] == str(planned.photos) and stored["weights"] == "weights"
    assert list(stored["plan"].items()) == [
        ("encoders", ["pixels", "resnet18_double"]),
        ("clusterers", ["pooled_average", "flat_kmeans"]),
        ("seeds", [0, 1]),
        ("submit", "resnet18_double/flat_kmeans"),
    ]


def test_touched_config_reruns_its_branch(planned):
    (planned.root / "params" / "clusterers" / "pooled_average.yaml").touch()
    assert sorted(planned.runs("all", *SETTINGS)) == [
        "05_hierarchical_clustering-pixels-pooled_average",
        "05_hierarchical_clustering-resnet18_double-pooled_average",
        "06_evaluate",
        "23_report",
        "99_figures",
    ]
    (planned.root / "params" / "clusterers" / "flat_kmeans.yaml").touch()  # that of the submitted run
    assert {"16_trust", "19_contact_sheets"} < set(planned.runs("all", *SETTINGS))


def test_tuned_encoder_is_trained_and_compared_in_the_report(planned):
    settings = (SETTINGS[0], "ENCODERS=simclr", "CLUSTERERS=pooled_average", "SEEDS=0")
    assert planned.runs("submission", *settings) == [
        "03_supcon_finetune-simclr",
        "02_extract_embeddings-simclr",
        "05_hierarchical_clustering-simclr-pooled_average",
        "06_evaluate",
    ]
    assert planned.would_run("report", *settings, "SUBMIT=simclr/pooled_average") == [
        "04_umap_visualization-simclr",
        "10_choosing_without_labels",
        "11_robustness",
        "12_taxa",
        "24_trees",
        "25_maps",
        "13_how_many",
        "15_stress_test",
        "16_trust",
        "17_naming_effort",
        "18_how_sure",
        "27_what_can_be_read",
        "29_learned_heads",
        "26_what_the_encoder_sees",
        "14_tuned_or_frozen-simclr",
        "20_atlas-simclr",
    ]


def test_heat_maps_are_of_networks_only(planned):
    settings = (SETTINGS[0], "CLUSTERERS=pooled_average", "SEEDS=0")
    for encoders, expected in (("pixels", False), ("pixels resnet18_double", True)):
        steps = planned.would_run("report", *settings, f"ENCODERS={encoders}", "SUBMIT=pixels/pooled_average")
        assert "25_maps" in steps and ("26_what_the_encoder_sees" in steps) == expected


def test_special_characters_in_a_path_are_preserved(planned):
    odd = planned.root / 'it\'s $HOME; "x" #1 & (co)'
    shutil.copytree(planned.photos, odd)
    planned.runs("data/odd/metadata.parquet", "DATASET=odd", f"SOURCE={odd}")
    assert planned.data("odd", "photos").resolve() == odd
    assert planned.runs("data/odd/metadata.parquet", "DATASET=odd") == []


def test_dry_run_and_bad_setting_change_nothing(planned):
    before = {path: what for path, what in planned.files().items() if not path.startswith("data/.plans/")}
    more = (
        "ENCODERS=pixels",
        "SEEDS=7",
        "SUBMIT=pixels/flat_kmeans",
        "WEIGHTS=",
        "CSV=metadata.csv",
        "START=deit_tiny",
    )
    assert "05_hierarchical_clustering-pixels-pooled_average" in planned.would_run("all", *SETTINGS, *more)
    planned.make("all", *SETTINGS, "WEIGHTS=weihgts", check=False)
    after = {path: what for path, what in planned.files().items() if not path.startswith("data/.plans/")}
    assert {p for p in after if after[p] != before.get(p)} <= {"calls.txt"}
    assert planned.runs("all", *SETTINGS) == []


def test_settings_of_a_failed_run_are_not_stored(planned):
    (planned.root / "other").mkdir()
    run = "02_extract_embeddings-resnet18_double"
    assert planned.runs("all", *SETTINGS, "WEIGHTS=other", check=False, FAIL=run) == [run]
    assert yaml.safe_load(planned.data("mine", "config.yaml").read_text())["weights"] == "weights"
    assert planned.runs("all", *SETTINGS) == []  # it failed before it wrote anything

    arguments = (*SETTINGS, "SUBMIT=pixels/pooled_average")
    assert planned.runs("submission", *arguments, check=False, FAIL="06_evaluate") == ["06_evaluate"]
    assert "submit=pixels/pooled_average" in planned.data("mine", "scores.csv").read_text()
    assert planned.runs("submission", *SETTINGS) == [
        "06_evaluate"
    ]  # what it had begun to write is made again, as before
    assert "submit=resnet18_double/flat_kmeans" in planned.data("mine", "scores.csv").read_text()
    assert planned.runs("all", *SETTINGS) == ["23_report", "99_figures"]
    assert planned.runs("all", *SETTINGS) == []


def test_new_weights_rerun_only_encoders_that_read_weights(planned):
    (planned.root / "other").mkdir()
    run = planned.would_run("all", *SETTINGS, "WEIGHTS=other")
    assert "02_extract_embeddings-resnet18_double" in run and "02_extract_embeddings-pixels" not in run


def test_a_file_of_weights_that_was_replaced_reruns_its_encoders(planned):
    (planned.root / "weights" / "resnet18.safetensors").touch()
    run = planned.would_run("all", *SETTINGS)
    assert "02_extract_embeddings-resnet18_double" in run and "02_extract_embeddings-pixels" not in run


def test_published_encoders_of_barcodes_are_compared_in_chapter_07(planned):
    barcodes = ("barcodes", SETTINGS[0], "ENCODERS=kmers hyenadna barcodebert")
    (planned.root / "models").mkdir()
    (planned.root / "models" / "dna_mlm.safetensors").touch()
    planned.runs(*barcodes, "WEIGHTS=weights")
    given = planned.data("mine", "barcode_scores.csv").read_text()
    assert "published=hyenadna barcodebert" in given and "weights_dir=weights" in given
    assert planned.runs(*barcodes) == []  # WEIGHTS is stored
    config = planned.root / "params" / "encoders" / "hyenadna.yaml"
    config.write_text(config.read_text() + "# changed\n")
    assert planned.runs(*barcodes) == ["07_dna_barcodes"]
    assert planned.runs(*barcodes[:2], "ENCODERS=kmers") == ["07_dna_barcodes"]
    assert "published= " in planned.data("mine", "barcode_scores.csv").read_text()


def test_stored_submit_is_ignored_if_it_is_not_among_the_runs(planned):
    assert planned.runs("submission", SETTINGS[0], "ENCODERS=pixels", *SETTINGS[2:]) == ["06_evaluate"]
    assert "submit=pixels/pooled_average" in planned.data("mine", "submission.csv").read_text()
    planned.runs("submission", *SETTINGS)
    assert "submit=resnet18_double/flat_kmeans" in planned.data("mine", "submission.csv").read_text()
    done = planned.make(
        "all", SETTINGS[0], "ENCODERS=pixels", *SETTINGS[2:], "SUBMIT=resnet18_double/flat_kmeans", check=False
    )
    assert done.returncode and "SUBMIT=resnet18_double/flat_kmeans is not one of the runs" in done.stderr


def test_fewer_seeds_reuse_clusters_and_new_seeds_do_not(planned):
    assert planned.would_run("submission", *SETTINGS[:3], "SEEDS=1") == ["06_evaluate"]
    assert sum(run.startswith("05") for run in planned.would_run("submission", *SETTINGS[:3], "SEEDS=0 1 2")) == 4


def test_start_and_training_are_stored_after_success(planned):
    arguments = ("data/mine/models/simclr.yaml", SETTINGS[0])
    more = ("START=resnet18_untrained", "TRAINING=epochs=1 learning_rate=1e-4 freeze='layer 2'")
    planned.runs(*arguments, *more, check=False, FAIL="03_supcon_finetune-simclr")
    assert "start=resnet18_double" in planned.make("-n", *arguments).stdout
    planned.runs(*arguments, *more)
    assert planned.runs(*arguments) == []
    again = planned.make("-n", *arguments, "TRAINING=").stdout
    assert "start=resnet18_untrained" in again and "epochs" not in again


def test_encoders_of_a_sweep_are_stored_separately(planned):
    config = {"notebook": "05_hierarchical_clustering", "names": "setting", "configs": ["clusterer"]}
    config["grid"] = {"encoder": "all", "clusterer": ["pooled_average"]}
    (planned.root / "params" / "sweeps" / "few.yaml").write_text(yaml.safe_dump(config))
    arguments = ("sweep", "SWEEP=few", "DATASET=mine")
    assert len(planned.runs(*arguments, "ENCODERS=pixels resnet18_double")) == 3
    assert planned.runs(*arguments) == []
    assert planned.data("mine", "sweeps", "few", "encoders.txt").read_text().split() == ["pixels", "resnet18_double"]
    assert planned.runs(*arguments, "ENCODERS=pixels") == ["98_sweep_clusters-few"]  # its point has been run before
    assert planned.runs(*arguments) == [] and planned.runs("all", *SETTINGS) == []


def test_new_weights_rerun_only_sweep_points_that_read_weights(planned):
    config = {"notebook": "09_recoverability", "names": "setting", "grid": {"seed": [0, 1]}}
    (planned.root / "params" / "sweeps" / "few.yaml").write_text(yaml.safe_dump(config))
    arguments = ("sweep", "SWEEP=few", "DATASET=none_such")
    for encoders, count in (("pixels scene", 0), ("pixels resnet18_double", 2)):
        planned.runs(*arguments, f"ENCODERS={encoders}")
        points = [run for run in planned.would_run(*arguments, "WEIGHTS=weights") if run.startswith("few__")]
        assert len(points) == count and planned.would_run(*arguments) == []


def test_fused_encoder_depends_on_its_parts(planned):
    config = "library: fused\narchitecture: deit_tiny pixels\nweights: null\nlayers: {both: last}\n"
    (planned.root / "params" / "encoders" / "fused_two.yaml").write_text(config)
    run = planned.runs("data/mine/embeddings/fused_two/_SUCCESS", "DATASET=mine")
    assert run == ["02_extract_embeddings-deit_tiny", "02_extract_embeddings-fused_two"]


# ---- failures, interrupts, lost files ---------------------------------------------------------------------------------


def test_failed_chapter_deletes_nothing_and_runs_again(planned):
    before = planned.files("data/mine") | planned.files("figures")
    (planned.root / "params" / "clusterers" / "pooled_average.yaml").touch()
    planned.runs("all", *SETTINGS, check=False, FAIL="06_evaluate")
    assert planned.done.returncode and set(before) <= set(planned.files("data/mine") | planned.files("figures"))
    assert "06_evaluate" in planned.runs("all", *SETTINGS)
    assert planned.runs("all", *SETTINGS) == []


@pytest.mark.parametrize("run", ["06_evaluate", "99_figures", "01_preprocess"])
def test_interrupt_deletes_nothing(planned, run):
    before = planned.files("data/mine") | planned.files("figures")
    (planned.root / "notebooks" / f"{run}.py").touch()
    command = [MAKE, f"PYTHON={sys.executable}", "all", *SETTINGS]
    make = subprocess.Popen(
        command, cwd=planned.root, env=CLEAN | {"HANG": run}, start_new_session=True, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + 60
    while not (planned.root / "hanging").exists():
        assert time.monotonic() < end and make.poll() is None
        time.sleep(0.02)
    os.killpg(make.pid, signal.SIGINT)
    assert make.wait(30) != 0
    assert set(before) <= set(planned.files("data/mine") | planned.files("figures"))
    assert run in planned.runs("all", *SETTINGS)
    assert planned.runs("all", *SETTINGS) == []


@pytest.mark.parametrize(
    ("lost", "run"),
    [
        ("data/mine/metadata.parquet", "01_preprocess"),
        ("data/mine/rejected.csv", "01_preprocess"),
        ("data/mine/photos.seen", "01_preprocess"),
        ("data/mine/embeddings/pixels/_SUCCESS", "02_extract_embeddings-pixels"),
        ("data/mine/maps/pixels/default.parquet", "04_umap_visualization-pixels"),
        ("data/mine/clusters/pixels/pooled_average/seed=1.parquet", "05_hierarchical_clustering-pixels-pooled_average"),
        (
            "data/mine/runs/05_hierarchical_clustering-pixels-pooled_average.ipynb",
            "05_hierarchical_clustering-pixels-pooled_average",
        ),
        ("data/mine/scores.csv", "06_evaluate"),
        ("figures/mine/scores.png", "99_figures"),
    ],
)
def test_lost_file_is_made_again(planned, lost, run):
    (planned.root / lost).unlink()
    assert planned.runs("all", *SETTINGS)[0] == run
    assert planned.runs("all", *SETTINGS) == []


def test_lost_or_cut_off_shard_is_made_again(planned):
    folder = planned.data("mine", "embeddings", "pixels")
    (folder / "part-00000.parquet").write_text("whole")
    date = (folder / "_SUCCESS").stat().st_mtime_ns
    (folder / "_SUCCESS").write_text("part-00000.parquet 5\n")
    os.utime(folder / "_SUCCESS", ns=(date, date))
    assert planned.would_run("all", *SETTINGS) == []
    (folder / "part-00000.parquet").write_text("who")
    assert planned.would_run("all", *SETTINGS)[0] == "02_extract_embeddings-pixels"
    (folder / "part-00000.parquet").unlink()
    assert planned.would_run("all", *SETTINGS)[0] == "02_extract_embeddings-pixels"


def test_chapters_depend_on_the_clusterers_that_they_read_by_name():
    for notebook, names in (
        ("07_dna_barcodes", "images_alone pooled_average"),
        ("11_robustness", "pooled_average"),
        ("15_stress_test", "images_alone nested_ward nested_ward_silhouette pooled_average"),
        ("01_preprocess", ""),
    ):
        assert rules.clusterers_of(f"notebooks/{notebook}.py") == [f"params/clusterers/{name}.yaml" for name in names.split()]


def test_files_dated_in_the_future_are_put_right(planned):
    future = 9_000_000_000
    config = planned.root / "params" / "clusterers" / "pooled_average.yaml"
    os.utime(config, (future, future))
    assert "06_evaluate" in planned.runs("all", *SETTINGS)
    assert "params/clusterers/pooled_average.yaml was dated in the future" in planned.done.stderr
    assert "lock skew" not in planned.done.stderr and planned.runs("all", *SETTINGS) == []

    run = planned.data("mine", "runs", "06_evaluate.ipynb")  # of a run when the clock was wrong
    for path in (run, planned.data("mine", "scores.csv")):
        os.utime(path, (future, future))
    assert planned.runs("all", *SETTINGS)[0] == "06_evaluate" and planned.runs("all", *SETTINGS) == []
    config.touch()
    assert "06_evaluate" in planned.runs("all", *SETTINGS)


def test_reused_weights_do_not_train_again(planned):
    arguments = ("data/mine/models/simclr.yaml", "DATASET=mine")
    planned.runs(*arguments)
    (planned.root / "params" / "trainers" / "simclr.yaml").touch()
    stand_in = planned.root / "execute.py"
    writing = "    target.write_text(content)"
    stand_in.write_text(
        stand_in.read_text().replace(writing, f'    if target.suffix != ".safetensors":\n    {writing}')
    )
    assert planned.runs(*arguments) == ["03_supcon_finetune-simclr"] and planned.would_run(*arguments) == []


# ---- photographs ------------------------------------------------------------------------------------------------------


def test_changed_photographs_are_read_again(planned):
    arguments = ("data/mine/metadata.parquet", "DATASET=mine")
    photo = planned.photos / "a.jpg"
    assert planned.runs(*arguments) == []
    photo.write_text("overwritten, with an old date")
    os.utime(photo, (1_000_000, 1_000_000))
    assert planned.runs(*arguments) == ["01_preprocess"] and planned.runs(*arguments) == []
    (planned.photos / "later.jpg").write_text("from a camera with a wrong clock")
    os.utime(planned.photos / "later.jpg", (9_000_000_000, 9_000_000_000))
    assert planned.runs(*arguments) == ["01_preprocess"] and planned.runs(*arguments) == []
    photo.rename(planned.photos / "c.jpg")
    assert planned.runs(*arguments) == ["01_preprocess"]
    (planned.photos / "notes.txt").write_text("no photograph")
    (planned.photos / ".hidden.jpg").write_text("nor this")
    assert planned.runs(*arguments) == []


def test_missing_photo_folder_keeps_results(planned):
    planned.photos.rename(planned.root / "unplugged")
    assert planned.runs("all", *SETTINGS) == []


def test_listing_with_unusual_files(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    latin = b"cafe.jpg" if sys.platform == "darwin" else b"caf\xe9.jpg"  # disks of a Mac take UTF-8 only
    for name in (latin, b"b.TIFF", b"table.CSV", b"notes.txt", b".x.jpg"):
        (folder / os.fsdecode(name)).touch()
    (folder / "away").symlink_to(tmp_path)
    (folder / "gone.jpg").symlink_to("nowhere")
    (folder / "folder.jpg").mkdir()
    (folder / "folder.jpg" / "in.webp").touch()
    names = [os.fsencode(path) for path, _ in listing.images_below(folder)]
    assert set(names) == {b"b.TIFF", latin, b"folder.jpg/in.webp", b"gone.jpg", b"table.CSV"}
    assert listing.images_below(tmp_path / "none") == []
    before = listing.digest(folder)
    (folder / "notes.txt").write_text("more")
    assert listing.digest(folder) == before
    (folder / "b.TIFF").write_text("more")
    assert listing.digest(folder) != before


def test_listing_ignores_files_of_chapters(tmp_path, monkeypatch):
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
    (tmp_path / "figures" / "mine" / "scores.png").touch()
    assert [path for path, _ in listing.images_below(tmp_path / "data" / "mine" / "photos")] == sorted(mine)
    assert [path for path, _ in listing.images_below(tmp_path)] == sorted(f"data/mine/{path}" for path in mine)
    assert [path for path, _ in listing.images_below(tmp_path / "data" / "mine" / "models")] == ["c.csv"]


# ---- clean ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("below", ["", "raw", "maps", "models"])
def test_clean_keeps_photographs_and_own_files(planned, below):
    home = planned.data("own", *filter(None, [below]))
    shutil.copytree(planned.photos, home)
    mine = {"notes.txt", "maps/site/plan.png", "maps/site/points.parquet", "models/camera.yaml", "models/beetle.csv"}
    mine |= {"taxa.csv", "runs/notes.ipynb", "clusters/list.csv", "tree.nwk"}
    for name in mine:
        path = planned.data("own", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    before = planned.files("data/own")
    arguments = ("DATASET=own", f"SOURCE={home.relative_to(planned.root)}", *SETTINGS[1:])
    planned.runs("all", *arguments, "TRAINING=epochs=1")
    planned.runs("data/own/models/coarse_to_fine.yaml", *arguments)
    (planned.data("own") / f".{4321}-scores.csv").touch()  # of a killed chapter
    assert len(planned.files("data/own")) > len(before) + 20
    planned.make("clean", "DATASET=own")
    assert planned.files("data/own") == before
    assert planned.data("own", "photos").resolve() == home  # a link stays, as the photographs do
    assert planned.would_run("submission", "DATASET=own", *SETTINGS[1:])[0] == "01_preprocess"


def test_clean_removes_all_results_and_follows_no_link(planned):
    elsewhere = planned.root / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "part-00000.parquet").write_text("kept")
    planned.data("mine", "embeddings", "linked").symlink_to(elsewhere)
    planned.data("mine", "sweeps").symlink_to(elsewhere)
    planned.make("clean", "DATASET=mine")
    assert (elsewhere / "part-00000.parquet").read_text() == "kept"
    left = {str(path.relative_to(planned.data("mine"))) for path in planned.data("mine").rglob("*")}
    assert {path for path in left if not path.startswith("photos")} == {"embeddings", "embeddings/linked", "sweeps"}
    assert (planned.photos / "a.jpg").is_file() and planned.files("figures")
    planned.data("linked").symlink_to(planned.data("mine"))
    done = planned.make("clean", "DATASET=linked", check=False)
    assert done.returncode and "is a link" in done.stderr


def test_clean_removes_an_empty_folder(planned):
    planned.data("mine", "photos").unlink()
    planned.make("clean", "DATASET=mine")
    assert not planned.data("mine").exists()
    planned.make("clean", "DATASET=mine")


def test_foreign_config_file_is_not_read_or_removed(planned):
    planned.data("own").mkdir()
    planned.data("own", "config.yaml").write_text("camera: 7\n")
    done = planned.make("all", "DATASET=own", f"SOURCE={planned.photos}", check=False)
    assert done.returncode and "data/own/config.yaml" in done.stderr and "rename it" in done.stderr
    planned.make("clean", "DATASET=own")
    assert planned.data("own", "config.yaml").is_file()


# ---- bad settings -----------------------------------------------------------------------------------------------------

BAD = (
    ("SEEDS=a b", "SEEDS=a b should be whole numbers"),
    ("SEEDS=-1", "SEEDS=-1 should be whole numbers"),
    ("SEEDS=1.5", "SEEDS=1.5 should be whole numbers"),
    ("SEEDS=0,1,2", "SEEDS=0,1,2 should be whole numbers"),
    ("SEEDS=", "SEEDS= should be whole numbers"),
    ("SEEDS=1 2 1", "contains a seed twice"),
    ("ENCODERS=", "ENCODERS is empty"),
    ("CLUSTERERS=", "CLUSTERERS is empty"),
    ("ENCODERS=pixls", "did you mean pixels?"),
    ("CLUSTERERS=pooled_word", "did you mean pooled_average?"),
    ("SUBMIT=pixels/pooled_word", "did you mean pixels/pooled_average?"),
    ("SOURCE=no/such", "SOURCE=no/such is not a folder"),
    ("SOURCE=~nobody_here/photos", "SOURCE=~nobody_here/photos is not a folder"),
    ("CSV=metadta.csv", "did you mean metadata.csv?"),
    ("CSV=../metadata.csv", "is not a file in"),
    ("WEIGHTS=no/such", "WEIGHTS=no/such is not a folder"),
    ("START=resnet81_double", "did you mean resnet18_double?"),
    ("START=pixels", "START=pixels is not a network"),
    ("TRAINING=epoch=3", "did you mean epochs?"),
    ("TRAINING=epochs=many", "epochs should be a int"),
    ("TRAINING=epochs", "epochs should be name=value"),
    ("TRAINING=views='one", "No closing quotation"),
    ("TRAINING=dataset=demo", "unknown parameter 'dataset'"),
    ("DATASET=../mine", "plain name"),
    ("DATASTE=mine", "there is no variable DATASTE; did you mean DATASET?"),
)


@pytest.mark.parametrize(("setting", "message"), BAD)
def test_bad_setting_stops_before_any_work(planned, setting, message):
    others = [other for other in SETTINGS if other.partition("=")[0] != setting.partition("=")[0]]
    assert planned.runs("all", *others, setting, check=False) == []
    first, *rest = planned.done.stderr.splitlines()
    assert planned.done.returncode and message in first and "Traceback" not in planned.done.stderr
    assert all(line.startswith(("make", "gmake", "Makefile")) for line in rest)


def test_numpy_computes_on_one_core_unless_a_user_says_otherwise(planned):
    without = {name: value for name, value in CLEAN.items() if name != "OPENBLAS_NUM_THREADS"}

    def cores(*arguments, **environment):
        command = [MAKE, f"PYTHON={sys.executable}", "--eval", "show: ; @echo $$OPENBLAS_NUM_THREADS", "show", *arguments]
        return subprocess.check_output(command, cwd=planned.root, env=without | environment, text=True).split()

    assert cores() == ["1"]
    assert cores("OPENBLAS_NUM_THREADS=3") == cores(OPENBLAS_NUM_THREADS="3") == ["3"]


def test_unknown_variable_is_an_error_on_the_command_line_only(planned):
    assert planned.runs("help", DATASTE="mine", VERBOSE="1") == []
    done = planned.make("help", "SEED=1", check=False)
    assert done.returncode and "there is no variable SEED; did you mean SEEDS?" in done.stderr


def test_bad_config_stops_before_any_work(planned):
    path = planned.root / "params" / "clusterers" / "slip.yaml"
    for text, message in (
        ("species_lair: last\n", "unknown parameter 'species_lair'"),
        ("a: [\n", "slip.yaml cannot be read"),
    ):
        path.write_text(text)
        assert planned.runs("all", SETTINGS[0], SETTINGS[1], "CLUSTERERS=slip", check=False) == []
        assert message in planned.done.stderr and "Traceback" not in planned.done.stderr


# ---- imports ----------------------------------------------------------------------------------------------------------


def test_imported_modules_are_found():
    assert set(rules.imported("notebooks/03_supcon_finetune.py")) >= {
        "encoders.py", "files.py", "images.py", "training.py", "utils.py",
    }  # fmt: skip
    assert {"simulation/insects/moths.py", "simulation/__init__.py"} <= set(rules.imported("notebooks/11_robustness.py"))
    assert "training.py" not in rules.imported("notebooks/04_umap_visualization.py")


def test_new_import_becomes_a_prerequisite(planned):
    chapter = planned.root / "notebooks" / "06_evaluate.py"
    chapter.write_text(
        chapter.read_text().replace("\nimport utils\n", "\nimport utils\nfrom extra import (\n    thing,\n)\n")
    )
    (planned.root / "extra.py").write_text("import deeper\nthing = 1\n")
    (planned.root / "deeper.py").write_text("")
    planned.runs("all", *SETTINGS)
    assert planned.runs("all", *SETTINGS) == []
    (planned.root / "deeper.py").touch()
    assert planned.runs("all", *SETTINGS) == ["06_evaluate", "23_report", "99_figures"]


# ---- sweeps -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def params(tmp_path, monkeypatch):
    """Write params/<kind>/<name>.yaml of a project of its own."""
    monkeypatch.setattr(parameters, "ROOT", tmp_path)
    cached = (parameters.config_names, parameters.load_yaml)

    def write(kind, name, text):
        path = tmp_path / "params" / kind / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        for function in cached:
            function.cache_clear()

    yield write
    for function in cached:
        function.cache_clear()


def test_grid_is_a_cartesian_product(params):
    params("sweeps", "s", "notebook: x\nnames: setting\nfixed: {c: 7}\ngrid: {a: [1, 2], b: [0.5, u v]}\n")
    points = sweeps.expand_sweep("s", {"encoder": "pixels", "a": 9})
    assert list(points) == ["s__a-1__b-0.5", "s__a-1__b-u-v", "s__a-2__b-0.5", "s__a-2__b-u-v"]
    assert points["s__a-2__b-0.5"] == {"encoder": "pixels", "c": 7, "a": 2, "b": 0.5, "setting": "s__a-2__b-0.5"}


def test_all_in_a_grid_stands_for_all_encoders(params):
    params("sweeps", "s", "notebook: x\nnames: setting\ngrid: {encoder: all}\n")
    assert list(sweeps.expand_sweep("s", {}, ["pixels", "scene"])) == ["s__encoder-pixels", "s__encoder-scene"]


def test_vary_changes_one_parameter_at_a_time(params):
    config = "notebook: x\nnames: setting\nfixed: {a: 1.0}\nvary: {a: [0, 0.5], b: [3]}\n"
    params("sweeps", "s", config + "grid: {seed: [0, 1]}\n")
    points = sweeps.expand_sweep("s", {"a": 9, "b": 2})
    names = [f"s__{departure}seed-{seed}" for departure in ("", "a-0__", "a-0.5__", "b-3__") for seed in (0, 1)]
    assert list(points) == names
    assert points["s__seed-1"] == {"a": 1.0, "b": 2, "seed": 1, "setting": "s__seed-1"}
    assert points["s__a-0.5__seed-0"] == {"a": 0.5, "b": 2, "seed": 0, "setting": "s__a-0.5__seed-0"}
    assert points["s__b-3__seed-1"] == {"a": 1.0, "b": 3, "seed": 1, "setting": "s__b-3__seed-1"}

    params("sweeps", "s", config)
    assert list(sweeps.expand_sweep("s", {})) == ["s", "s__a-0", "s__a-0.5", "s__b-3"]
    with pytest.raises(ValueError, match="b = 3 in vary of sweep s is the baseline"):
        sweeps.expand_sweep("s", {"b": 3})
    params("sweeps", "s", config + "grid: {b: [1, 2]}\n")
    with pytest.raises(ValueError, match="b is in both vary and grid of sweep s"):
        sweeps.expand_sweep("s", {})


def test_configs_add_their_settings_to_points(params):
    for name, content in (("one", "a: 1\nb: 1\n"), ("two", "a: 2\n")):
        params("trainers", name, content)
    params("sweeps", "s", "notebook: x\nnames: setting\nconfigs: [trainer]\ngrid: {trainer: [one, two]}\n")
    points = sweeps.expand_sweep("s", {"a": 0, "b": 0})
    assert points["s__trainer-one"] == {"a": 1, "b": 1, "trainer": "one", "setting": "s__trainer-one"}
    assert points["s__trainer-two"] == {"a": 2, "b": 0, "trainer": "two", "setting": "s__trainer-two"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: setting\n", "should have a line 'notebook: <name>'"),
        ("notebook: x\nnames: setting\ngrid: {a: 3}\n", "grid should hold lines"),
        ("notebook: x\nnames: setting\nfixed: [3]\n", "fixed should hold lines"),
        ("notebook: x\nnames: setting\nconfigs: [trainer]\n", "no params/trainers/None.yaml"),
    ],
)
def test_malformed_sweep_is_an_error(params, text, message):
    params("sweeps", "s", text)
    with pytest.raises(FileNotFoundError if "None.yaml" in message else ValueError, match=message):
        sweeps.expand_sweep("s", {})


def test_every_shipped_sweep_can_be_planned():
    for sweep in parameters.config_names("sweeps"):
        given = settings.Settings({"sweep": sweep}, ["sweep"])
        assert "summary.csv" in plan.Plan(given, ["sweep"]).makefile()


# ---- start-up ---------------------------------------------------------------------------------------------------------


def test_planning_imports_no_heavy_library():
    code = "import sys, plan; print(*(set(sys.modules) & {'numpy', 'pandas', 'papermill', 'jupytext', 'matplotlib', 'torch'}))"
    assert not subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout.split()


def test_labels_and_csv_replace_each_other(planned):
    assert "01_preprocess" in planned.runs("all", *SETTINGS, "LABELS=folders")
    assert yaml.safe_load(planned.data("mine", "config.yaml").read_text())["labels"] == "folders"
    assert "01_preprocess" not in planned.runs("all", *SETTINGS)
    assert "01_preprocess" in planned.runs("all", *SETTINGS, "CSV=metadata.csv")
    stored = yaml.safe_load(planned.data("mine", "config.yaml").read_text())
    assert stored["csv"] == "metadata.csv" and "labels" not in stored
    for given, reason in (
        (("DATASET=mine", "LABELS=folders", "CSV=metadata.csv"), "LABELS=folders and CSV=metadata.csv cannot both"),
        (("DATASET=mine", "LABELS=folder"), "LABELS=folder should be empty or: folders"),
        (("DATASET=demo", "LABELS=folders"), "is for photographs of your own"),
    ):
        done = planned.make("all", *given, check=False)
        assert done.returncode and reason in done.stderr


def test_a_review_is_applied_shown_and_stored_until_it_is_taken_back(planned):
    review = planned.root / "my reviews" / "review.csv"
    review.parent.mkdir()
    review.write_text("hash_id,cluster,decision,duplicate_of\n")
    shown = ["21_review", "19_contact_sheets", "23_report"]
    assert planned.runs("all", *SETTINGS, f"REVIEW={review}") == shown
    assert f"review={review}" in planned.data("mine", "reviewed.csv").read_text()
    assert "reviewed=True" in planned.data("mine", "previews", "clusters", "index.csv").read_text()
    assert planned.runs("all", *SETTINGS) == [] and "review" in (planned.data("mine", "config.yaml")).read_text()
    review.write_text("hash_id,cluster,decision,duplicate_of\na,F/g1/s1,accepted,\n")
    assert planned.runs("all", *SETTINGS) == shown  # and nothing before it
    assert planned.would_run("atlas", *SETTINGS)[-1] == "20_atlas-resnet18_double"
    review.unlink()
    done = planned.make("all", *SETTINGS, check=False)
    assert "is not a file: give the review.csv that the atlas saved, or REVIEW= for none" in done.stderr
    assert planned.runs("all", *SETTINGS, "REVIEW=") == ["19_contact_sheets", "23_report"]
    assert planned.runs("all", *SETTINGS) == []


def test_another_engine_computes_nothing_again_and_is_given_to_networks_only(planned):
    planned.runs("all", *SETTINGS)
    assert planned.runs("all", *SETTINGS, "ENGINE=ray") == []
    more = [text.replace("ENCODERS=", "ENCODERS=resnet18_untrained ") for text in SETTINGS]
    assert "02_extract_embeddings-resnet18_untrained" in planned.runs("all", *more, "ENGINE=ray")
    done = {path.parent.name: path.read_text() for path in planned.data("mine", "embeddings").glob("*/_SUCCESS")}
    assert {name for name, arguments in done.items() if "engine=ray" in arguments} == {"resnet18_untrained"}
    assert planned.runs("all", *more) == [] and "engine: ray" in planned.data("mine", "config.yaml").read_text()
    done = planned.make("all", *SETTINGS, "ENGINE=spark", check=False)
    assert "ENGINE=spark should be one of: local, ray" in done.stderr
