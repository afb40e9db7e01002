"""`make sweep` and training through make, on a small simulated world."""

import nbformat
import pandas as pd
import pytest
import yaml
from conftest import Project

WORLD = {"n_families": 3, "n_genera": 6, "n_species": 12, "n_specimens": 6, "imbalance": 0.0, "repeats": 0.0, "image_size": 48}
WORLD |= {"seed": 4}
BRIEF = {"epochs": 1, "image_size": 32, "batch_size": 24, "precision": "float32"}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with a small world, and encoders that read small photographs."""
    project = Project(tmp_path_factory.mktemp("sweeps"))
    (project.root / "params" / "worlds" / "tiny.yaml").write_text(yaml.safe_dump(WORLD))
    config = project.root / "params" / "encoders" / "resnet18_untrained.yaml"
    config.write_text(config.read_text().replace("input_size: 224", "input_size: 48"))
    return project


def write_sweep(project, name, **config):
    """Write params/sweeps/<name>.yaml; return the arguments of make that run it."""
    path = project.root / "params" / "sweeps" / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config | {"names": "setting"}, sort_keys=False))
    return "sweep", f"SWEEP={name}", "DATASET=tiny", "ENCODERS=true_traits"


def summary(project, sweep):
    return pd.read_csv(project.data("tiny", "sweeps", sweep, "summary.csv"))


def is_drawn(project, sweep):
    return (project.root / "figures" / "tiny" / f"sweep_{sweep}.png").is_file()


def test_sweep_of_maps(project):
    grid = {"n_neighbors": [4, 8]}
    project.make(*write_sweep(project, "maps", notebook="04_umap_visualization", grid=grid))
    assert project.data("tiny", "maps", "true_traits", "maps__n_neighbors-4.parquet").is_file()
    table = summary(project, "maps")
    assert set(table["metric"]) == {"trustworthiness"} and set(table["n_neighbors"]) == {4, 8}
    assert is_drawn(project, "maps")


def test_sweep_runs_its_grid_once(project):
    config = {"notebook": "05_hierarchical_clustering", "fixed": {"method": "caps", "seeds": [0]}}
    arguments = write_sweep(project, "caps", **config, grid={"max_species": [1, 2]})
    project.make("-j2", *arguments)
    folder = project.data("tiny", "sweeps", "caps")
    points = ["caps__max_species-1", "caps__max_species-2"]
    assert sorted(path.stem for path in folder.glob("*.ipynb")) == points

    table = summary(project, "caps")
    references = table[table["max_species"].isna() & (table["metric"] == "ami")].set_index(["clusterer", "rank"])[
        "value"
    ]
    assert references["baseline_family", "species"] < references["oracle_k_ward", "species"]
    values = table.dropna(subset="max_species").pivot(index="max_species", columns=["rank", "metric"], values="value")
    sizes = pd.read_parquet(project.data("tiny", "metadata.parquet"))["family"].value_counts()
    genera = sizes.clip(upper=10).sum()  # at most ten in a family, and not more than there are photographs
    assert values.loc[1, ("species", "n_found")] == values.loc[1, ("genus", "n_found")] == genera
    assert values.loc[2, ("species", "n_found")] > genera and values["species", "ami"].between(0, 1).all()
    assert "Nothing to be done for 'sweep'" in project.make(*arguments).stdout

    date = (folder / f"{points[1]}.ipynb").stat().st_mtime_ns
    project.make(*write_sweep(project, "caps", **config, grid={"max_species": [2]}))
    assert set(summary(project, "caps")["max_species"].dropna()) == {2}
    assert (
        folder / f"{points[1]}.ipynb"
    ).stat().st_mtime_ns == date  # the point is in both grids and was not run again


def test_sweep_of_clusterers_has_a_baseline_and_a_reference(project):
    config = {"notebook": "05_hierarchical_clustering", "configs": ["clusterer"], "fixed": {"seeds": [0]}}
    grid = {"encoder": "all", "clusterer": ["images_alone", "flat_hdbscan"]}
    project.make(*write_sweep(project, "methods", **config, grid=grid))
    table = summary(project, "methods")
    ami = table[(table["rank"] == "species") & (table["metric"] == "ami")].set_index("clusterer")["value"]
    assert set(ami.index) == {"images_alone", "flat_hdbscan", "baseline_family", "oracle_k_ward"}
    assert ami["baseline_family"] < ami["images_alone"] <= 1  # from the true traits
    point = "methods__encoder-true_traits__clusterer-images_alone"
    clusters = pd.read_parquet(project.data("tiny", "clusters", "true_traits", point, "seed=0.parquet"))
    assert clusters["family_cluster"].str.fullmatch(r"f\d+").all()  # no family name was read
    assert is_drawn(project, "methods")


def test_sweep_of_simulated_worlds(project):
    world = {"n_families": 2, "n_genera": 4, "n_species": 8, "n_specimens": 3, "image_size": 48}
    config = {"notebook": "09_recoverability", "fixed": world, "vary": {"clutter": [0.5]}, "grid": {"seed": [0]}}
    project.make(*write_sweep(project, "clutter", **config))
    table = summary(project, "clutter")
    assert set(table["clutter"]) == {0.5, 1.0} and set(table["encoder"]) == {"none", "family_names", "true_traits"}
    assert {"ami", "triplet_accuracy"} <= set(table["metric"])
    assert is_drawn(project, "clutter")


def test_sweep_of_trainers_compares_with_the_frozen_encoder(project):
    arguments = write_sweep(
        project,
        "trainers_and_seeds",
        notebook="03_supcon_finetune",
        configs=["trainer"],
        fixed={"start": "resnet18_untrained", **BRIEF},
        grid={"trainer": ["supcon_no_self"], "seed": [3]},
    )
    arguments += ("START=resnet18_double", "TRAINING=")  # the sweep sets the start itself
    project.make(*arguments)
    point = "trainers_and_seeds__trainer-supcon_no_self__seed-3"
    table = summary(project, "trainers_and_seeds")
    tuned = table.dropna(subset="trainer")
    assert set(tuned["trainer"]) == {"supcon_no_self"} and set(tuned["seed"]) == {3}
    assert set(tuned["network"]) == {"frozen", "tuned", "aligned"}
    baseline = table[table["clusterer"] == "baseline_family"]
    assert set(baseline["rank"]) == {"genus", "species"} and baseline["value"].between(0, 1).all()
    assert is_drawn(project, "trainers_and_seeds")

    scores = pd.read_csv(project.data("tiny", "models", f"{point}_scores.csv"))
    assert sorted(tuned["value"].dropna()) == pytest.approx(sorted(scores["value"].dropna()))
    config = yaml.safe_load(project.data("tiny", "models", f"{point}.yaml").read_text())
    assert list(config["layers"]) == ["layer3", "avgpool"]  # from shallow to deep
    run = nbformat.read(project.data("tiny", "sweeps", "trainers_and_seeds", f"{point}.ipynb"), 4)
    (given,) = [cell.source for cell in run.cells if "injected-parameters" in cell.metadata.get("tags", [])]
    assert 'start = "resnet18_untrained"' in given

    (project.root / "params" / "trainers" / "supcon_no_self.yaml").touch()
    assert project.make("-n", *arguments).stdout.count("03_supcon_finetune.py data") == 1


def test_tuned_network_is_an_encoder(project):
    training = " ".join(f"{name}={value}" for name, value in BRIEF.items())
    settings = ["DATASET=tiny", "ENCODERS=simclr", "CLUSTERERS=pooled_average", "SEEDS=0"]
    clusters = "data/tiny/runs/05_hierarchical_clustering-simclr-pooled_average.ipynb"
    project.make(clusters, *settings, "START=resnet18_untrained", f"TRAINING={training}")
    runs = {path.stem for path in project.data("tiny", "runs").glob("*-simclr*.ipynb")}
    assert runs == {
        "03_supcon_finetune-simclr",
        "02_extract_embeddings-simclr",
        "05_hierarchical_clustering-simclr-pooled_average",
    }
    layers = list(pd.read_parquet(project.data("tiny", "embeddings", "simclr", "part-00000.parquet")))
    assert layers == ["hash_id", "layer3", "avgpool"]
    assert "is up to date" in project.make(clusters, *settings).stdout  # START and TRAINING are stored
    again = project.make("-n", clusters, *settings, "START=resnet18_double").stdout
    assert "03_supcon_finetune" in again and "start=resnet18_double" in again

    scores = "data/tiny/models/simclr_scores.csv"
    project.make(scores, *settings)
    table = pd.read_csv(project.root / scores)
    assert set(table["network"]) == {"frozen", "tuned", "aligned"} and set(table["rank"]) == {"genus", "species"}
