"""`make all` on samples of three real datasets, and, if slow tests are asked for, `make report` on one of them.

EU Moths: about a dozen photographs per species. Reef fish: a few species have most of the pictures, and five have no genus and
species. Leaf scans: grey, and most families have one species. Skipped where the data for development are absent.
"""

import shutil

import pandas as pd
import pytest
from conftest import SHARED, Project, write_csv

import clustering

SETTINGS = ("ENCODERS=resnet18_double", "CLUSTERERS=pooled_average", "SEEDS=0")


def sample(dataset, folder):
    """Copy 33 to 40 photographs of a dataset into a folder, with their CSV; return its rows."""
    source = SHARED / "data" / dataset
    if not (source / "metadata.csv").is_file():
        pytest.skip(f"the photographs of {dataset} are not on this machine")
    rows = pd.read_csv(source / "metadata.csv", dtype="string")
    if dataset == "reef_fish":  # keeps the proportions of the species
        rows = rows[(rows.index % 32 == 0) | rows["species"].isna()]
    else:  # few photographs of some species, of one or two in a family
        species = rows.groupby("family")["species"].unique().explode().groupby(level=0).head(2)
        n_species, n_photos = {"eu_moths": (4, 9), "leaf_scans": (10, 4)}[dataset]
        rows = rows[rows["species"].isin(species[:n_species])].groupby("species").head(n_photos)
    folder.mkdir()
    for name in rows["hash_id"]:
        shutil.copyfile(source / "images" / f"{name}.jpg", folder / f"{name}.jpg")
    write_csv(folder, rows.fillna("")[["hash_id", "family", "genus", "species"]].to_numpy().tolist())
    return rows


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project whose encoder reads photographs at half the size, which takes a quarter of the time.

    Its reports have three of the simulated situations, and the least and the greatest severity of perturbations: test_make has
    all of them.
    """
    project = Project(tmp_path_factory.mktemp("real"))
    for name, before, after in (
        ("params/encoders/resnet18_double.yaml", "input_size: 224", "input_size: 112"),
        ("notebooks/15_stress_test.py", "each = taxa", "SIMULATED = dict(list(SIMULATED.items())[:3])\neach = taxa"),
        (
            "notebooks/11_robustness.py",
            "from perturbations import PERTURBATIONS, perturbed\n",
            "from perturbations import PERTURBATIONS, perturbed\n"
            "PERTURBATIONS = {name: (change, (s[0], s[-1])) for name, (change, s) in PERTURBATIONS.items()}\n",
        ),
    ):
        text = (project.root / name).read_text()
        assert before in text
        (project.root / name).write_text(text.replace(before, after, 1))
    return project


@pytest.mark.parametrize(
    ("dataset", "reported"),
    [
        ("eu_moths", False),
        ("reef_fish", False),
        ("leaf_scans", False),
        pytest.param("reef_fish", True, marks=pytest.mark.slow),  # test_make has the report of a simulated dataset
    ],
)
def test_make_all_and_report(dataset, reported, project, tmp_path, shared_weights):
    rows = sample(dataset, tmp_path / "photographs")
    settings = (f"DATASET={dataset}", *SETTINGS)
    project.make("all", *settings, f"SOURCE={tmp_path / 'photographs'}", f"WEIGHTS={shared_weights}")
    scores = pd.read_csv(project.data(dataset, "scores.csv"))
    best = scores[(scores["encoder"] == "resnet18_double") & (scores["clusterer"] == "pooled_average")]
    best = best.set_index(["rank", "metric"])["value"]
    assert best["species", "n_true"] == rows["species"].nunique() and best["species", "ami"] > 0.3
    shares = [best["species", f"taxa_{kind}"] for kind in ("found", "merged", "split", "missed")]
    assert sum(shares) == pytest.approx(1, abs=1e-5)
    submission = pd.read_csv(project.data(dataset, "submission.csv"), dtype="string")
    assert sorted(submission["hash_id"]) == sorted(rows["hash_id"])

    if not reported:
        return
    project.make("report", *settings)
    table = pd.read_csv(project.data(dataset, "k_rules.csv"))
    assert set(table["rule"]) == {*clustering.RULES, "common height", "common height, Ward", "oracle k"}
    oracle = table[(table["rule"] == "oracle k") & (table["clusters"] == "species") & table["half"].isna()]
    found = oracle.set_index("preparation")["found"]  # whitening and smoothing may give equal distances, which no cut separates
    assert found["plain"] == rows["species"].nunique() and (found <= rows["species"].nunique()).all()
    assert len(pd.read_csv(project.data(dataset, "taxa.csv"))) == rows["species"].nunique()
    for goal in ("all", "report"):
        assert f"Nothing to be done for '{goal}'" in project.make(goal, *settings).stdout
