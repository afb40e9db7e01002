"""The experiment on recoverability, end to end at tiny scale: one point, the sweep around it, and its figure."""

import itertools

import jupytext
import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT, Project, Workbench
from sklearn.metrics import adjusted_mutual_info_score

import execute
import utils

TINY = {"n_families": 2, "n_genera": 4, "n_species": 9, "n_specimens": 6, "image_size": 64}
ALIKE = {"within_species": 0.0, "dimorphic": 0.0}  # no two specimens of a species differ
WORDS = ("sweep", "SWEEP=few", "DATASET=none_such", "ENCODERS=true_traits scene pixels")


def write_sweep(project, lambdas):
    sweep = {
        "notebook": "09_recoverability",
        "names": "setting",
        "fixed": TINY | ALIKE,
        "vary": {"pagel_lambda": lambdas},
        "grid": {"seed": [3]},
    }
    (project.root / "params" / "sweeps" / "few.yaml").write_text(yaml.safe_dump(sweep, sort_keys=False))


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A project in which a small sweep has run, where there is no dataset at all."""
    project = Project(tmp_path_factory.mktemp("swept"))
    write_sweep(project, [0.0])
    (project.root / "tmp").mkdir()
    project.make(*WORDS, f"TMPDIR={project.root / 'tmp'}")
    return project


def summary(project):
    return pd.read_csv(project.data("none_such", "sweeps", "few", "summary.csv"))


def test_specimens_all_alike_are_separated_by_their_traits_and_never_by_the_scene(swept):
    scores = pd.read_csv(swept.data("none_such", "recoverability", "few__seed-3.csv"))
    assert list(scores) == ["encoder", "rank", "metric", "value"]
    assert scores["encoder"].unique().tolist() == ["none", "true_traits", "scene", "pixels", "family_names"]
    values = scores.set_index(["encoder", "rank", "metric"])["value"]
    assert values["true_traits", "species", "ami"] == values["none", "species", "ami"] == pytest.approx(1)
    assert values["true_traits", "genus", "ami"] > values["none", "genus", "ami"] > 0
    assert values["true_traits", "tree", "triplet_accuracy"] > 0.5
    random = np.random.default_rng(0)
    truth = np.repeat(np.arange(9), 6)
    chance = [adjusted_mutual_info_score(truth, random.integers(9, size=54)) for _ in range(200)]
    assert abs(values["scene", "species", "ami"]) < 4 * np.std(chance)
    assert values["family_names", "species", "n_found"] == 2
    assert 0 < values["family_names", "species", "ami_families_given"] < values["none", "species", "ami_families_given"]
    assert abs(values["none", "place", "ami"]) < 0.2  # photographs are taken anywhere


def test_a_sweep_needs_no_dataset_and_ends_in_one_figure(swept):
    assert not swept.data("none_such", "metadata.parquet").exists()
    assert (swept.root / "figures" / "none_such" / "sweep_few.png").is_file()
    table = summary(swept)
    assert list(table) == ["pagel_lambda", *utils.SCORE_COLUMNS]
    assert set(table["metric"]) == {"ami", "triplet_accuracy", "ami_families_given", "n_found"}
    assert set(table["rank"]) == {*utils.RANKS, "tree", "place"}
    assert len(table) == 2 * (4 * 7 + 2) and set(table["pagel_lambda"]) == {0.0, 1.0}


def test_three_photographs_of_its_world_stand_below_every_value(swept):
    _, made = Workbench(swept.root).run("95", dataset="none_such", sweep="few", encoders=["true_traits", "scene", "pixels"])
    below = made["axes"][1, 0]  # of the short figure
    places = sorted(photograph.xy for photograph in below.artists)
    assert places == [(value, row) for value in (0.0, 1.0) for row in range(3)]
    pictures = [np.asarray(photograph.offsetbox.get_data()) for photograph in below.artists]
    assert all((one != other).any() for one, other in itertools.combinations(pictures, 2))


def test_two_crossed_properties_are_drawn_side_by_side(swept):
    grid = {"n_specimens": [3, 6], "imbalance": [0.0, 1.0], "seed": [3]}
    sweep = {"notebook": "09_recoverability", "names": "setting", "fixed": TINY | {"n_specimens": 6}, "grid": grid}
    (swept.root / "params" / "sweeps" / "crossed.yaml").write_text(yaml.safe_dump(sweep, sort_keys=False))
    swept.make("sweep", "SWEEP=crossed", "DATASET=none_such", "ENCODERS=true_traits")
    table = pd.read_csv(swept.root / "figures" / "none_such" / "sweep_crossed.csv")
    found = table[(table["encoder"] == "true_traits") & (table["metric"] == "n_found")]
    assert found[["n_specimens", "imbalance"]].drop_duplicates().shape == (4, 2)
    assert (swept.root / "figures" / "none_such" / "sweep_crossed.png").is_file()


def test_the_photographs_are_gone_when_they_are_scored(swept):
    assert not [path for path in swept.root.rglob("*.jpg") if path.is_file()]


def test_what_was_taken_out_of_a_sweep_leaves_no_row_and_what_stays_is_not_run_again(swept):
    assert "Nothing to be done for 'sweep'" in swept.make(*WORDS).stdout
    write_sweep(swept, [])
    done = swept.make(*WORDS).stdout
    assert done.count("\n") == 1 and done.startswith("95_sweep_recoverability-few: 1 worlds")
    assert set(summary(swept)["pagel_lambda"]) == {1.0}


@pytest.mark.parametrize(
    "word",
    ["ENCODERS=scene", "images.py", "simulation/insects/moths.py", "params/encoders/scene.yaml"],
)
def test_points_follow_encoders_and_code_and_need_no_photographs(swept, word):
    write_sweep(swept, [0.0])
    for path in swept.data("none_such", "sweeps", "few").glob("few__*.ipynb"):
        path.touch()
    (swept.root / "figures" / "none_such" / "sweep_few.png").touch()
    swept.data("none_such", "sweeps", "few", "summary.csv").touch()
    swept.data("none_such", "runs", "95_sweep_recoverability-few.ipynb").touch()
    assert "Nothing to be done" in swept.make("-n", *WORDS).stdout
    if "=" in word:
        words = [*(w for w in WORDS if w.partition("=")[0] != word.partition("=")[0]), word]
    else:
        words = WORDS
        (swept.root / word).touch()
    dry = swept.make("-n", *words).stdout
    assert all(f"{point}.ipynb" in dry for point in ("few__seed-3", "few__pagel_lambda-0.0__seed-3"))
    assert "02_extract_embeddings.py" not in dry and "01_preprocess.py" not in dry


def test_every_point_of_the_shipped_sweep_fits_its_chapter():
    declared = execute.declared_parameters(jupytext.read(ROOT / "notebooks" / "09_recoverability.py"))
    for point, parameters in execute.sweep_points("signal", ["pixels"]).items():
        execute.check_parameters(parameters, declared, point)
