"""`make all` and `make report` on a small simulated world: every result is there, nothing runs twice, failures are reported."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import nbformat
import numpy as np
import pandas as pd
import psutil
import pytest
import torch
import yaml
from conftest import CLEAN, MAKE, Project
from safetensors.torch import save_file
from sklearn.preprocessing import normalize
from torchvision.models import resnet18

import clustering
import utils

WORLD = {"n_families": 3, "n_genera": 6, "n_species": 12, "n_specimens": 6, "imbalance": 0.0, "repeats": 0.0, "image_size": 64}
WORLD |= {"seed": 4}
SETTINGS = (
    "DATASET=tiny",
    "ENCODERS=true_traits resnet18_double",
    "CLUSTERERS=pooled_average nested_kmeans_10",
    "SEEDS=0 1",
)


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """A project in which `make -j2 submission` has run with kernels: one encoder, two clusterers, one seed."""
    project = Project(tmp_path_factory.mktemp("made"))
    (project.root / "params" / "worlds" / "tiny.yaml").write_text(yaml.safe_dump(WORLD))
    torch.manual_seed(0)
    (project.root / "weights").mkdir()
    save_file(resnet18().state_dict(), project.root / "weights" / "resnet18.safetensors")
    config = project.root / "params" / "encoders" / "resnet18_double.yaml"
    config.write_text(config.read_text().replace("input_size: 224", "input_size: 64"))
    settings = (SETTINGS[0], "ENCODERS=resnet18_double", SETTINGS[2], "SEEDS=0", "WEIGHTS=weights")
    project.first = project.make("-j2", "submission", *settings, separate=True)
    return project


@pytest.fixture(scope="module")
def made(started):
    """That project after `make all` with two encoders and two seeds."""
    started.second = started.make("all", *SETTINGS)
    return started


def steps(done):
    """Names of the notebooks that one call of make has run, in their order."""
    return [line.split(":")[0] for line in done.stdout.splitlines() if re.search(r" \(\d+ s(; .*)?\)$", line)]


def runs(project):
    return {path.stem: path.stat().st_mtime_ns for path in project.data("tiny", "runs").glob("*.ipynb")}


def changed(project, before):
    return {name for name, date in runs(project).items() if before.get(name) != date}


# ---- make all ----------------------------------------------------------------------------------------------------


def test_every_chapter_says_which_of_how_many_it_was(made):
    for done in (made.first, made.second):
        n = len(steps(done))
        counted = re.findall(r" s; (\d+) of (\d+)(, about \d+ min left)?\)", done.stdout)
        assert n > 1 and sorted(int(k) for k, _, _ in counted) == list(range(1, n + 1))
        assert {int(total) for _, total, _ in counted} == {n}
        assert all(bool(left) == (n / 4 <= int(k) < n) for k, _, left in counted)
    assert not list((made.root / "data" / ".plans").glob("steps-*"))


def test_make_all_runs_every_chapter_once(made):
    assert sorted(steps(made.first)) == [
        "00_simulate_specimens",
        "01_preprocess",
        "02_extract_embeddings-resnet18_double",
        "05_hierarchical_clustering-resnet18_double-nested_kmeans_10",
        "05_hierarchical_clustering-resnet18_double-pooled_average",
        "06_evaluate",
    ]
    assert len(steps(made.second)) == len(set(steps(made.second))) == 1 + 4 + 1 + 2 + 1 + 1 + 1 + 1
    assert set(runs(made)) == {*steps(made.first), *steps(made.second)}
    for path in made.data("tiny", "runs").glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        assert not [o for c in notebook.cells for o in c.get("outputs", []) if o.output_type == "error"]


def test_make_all_writes_all_results(made):
    for name in (
        "rejected.csv",
        "reported.csv",
        "previews/families.jpg",
        "maps/true_traits/default.parquet",
        "tree.nwk",
    ):
        assert made.data("tiny", name).is_file()
    drawn = {path.name for path in (made.root / "figures" / "tiny").iterdir()}
    assert drawn == {
        "scores.csv", "comparisons.csv", "scores.png", "nmi_misleads.png", "random_labels.png", "n_clusters.png",
        "families.jpg", "family_sizes.png", "umap_true_traits.png", "umap_resnet18_double.png", "tree.png", "barcode_gap.png",
        "specimens.jpg", "species.png", "trust.csv", "trust.png", "clusters.jpg", "vector",
    }  # fmt: skip
    in_vectors = {path.stem for path in (made.root / "figures" / "tiny" / "vector").iterdir()}
    assert in_vectors == {name.removesuffix(".png") for name in drawn if name.endswith(".png")}


def test_second_make_does_nothing(made):
    before = runs(made)
    again = made.make("all", *SETTINGS)  # WEIGHTS is stored
    assert "Nothing to be done for 'all'" in again.stdout
    assert runs(made) == before


def test_a_review_is_honoured_and_nothing_else_runs_again(made):
    before, trusted = runs(made), pd.read_csv(made.data("tiny", "trust.csv"), dtype={"hash_id": "string"})
    first = trusted["species_cluster"].iloc[0]
    inside = trusted["hash_id"][trusted["species_cluster"] == first]
    rows = pd.DataFrame({"hash_id": inside, "cluster": first, "decision": "accepted", "duplicate_of": ""})
    review = made.root / "review.csv"
    rows.assign(scientificName="Agrotis segetum", taxonRank="species").to_csv(review, index=False)
    done = made.make("all", *SETTINGS, "REVIEW=review.csv")
    assert steps(done) == ["21_review", "19_contact_sheets", "23_report"] and changed(made, before) == set(steps(done))
    found = pd.read_csv(made.data("tiny", "reviewed.csv"), dtype={"hash_id": "string"}).set_index("hash_id")
    assert set(found.index[found["species_cluster"] == first]) == set(inside)
    assert (found.loc[inside, "scientificName"] == "Agrotis segetum").all() and found.loc[inside, "trust"].between(0, 1).all()
    assert len(found) == len(trusted)
    done = made.make("atlas", *SETTINGS)
    assert steps(done) == ["20_atlas-true_traits"]
    assert "Agrotis segetum" in made.data("tiny", "atlas", "true_traits.html").read_text()
    made.make("all", "atlas", *SETTINGS, "REVIEW=")
    assert "Agrotis segetum" not in made.data("tiny", "atlas", "true_traits.html").read_text()


def test_scores_of_methods_and_references(made):
    scores = pd.read_csv(made.data("tiny", "scores.csv"))
    assert list(scores) == list(utils.SCORE_COLUMNS)
    traits = scores[scores["encoder"] == "true_traits"]
    assert set(traits["clusterer"]) == {
        "pooled_average", "nested_kmeans_10", "oracle_k_ward", "oracle_k_ward_prepared", "ward_dendrogram",
    }  # fmt: skip
    baselines = scores[(scores["encoder"] == "none") & (scores["rank"] == "species")]
    baselines = baselines.set_index(["clusterer", "metric"])["value"]
    assert baselines["baseline_singletons", "ami"] == pytest.approx(0, abs=1e-6)
    assert baselines["baseline_singletons", "nmi"] > 0.7 and baselines["baseline_singletons", "n_found"] == 72
    assert set(scores["seed"]) == {0, 1} and set(scores["rank"]) == {*utils.RANKS, "all"}
    # with the true traits and the true number of species, only the variation within species is left
    oracle = traits[traits["clusterer"] == "oracle_k_ward"].set_index(["rank", "metric"])["value"]
    assert oracle["species", "ami"] > 0.9 and oracle["genus", "ami"] > 0.5


def test_submission_has_every_id_once(made):
    submission = pd.read_csv(made.data("tiny", "submission.csv"), dtype="string")
    assert list(submission) == ["hash_id", "family_cluster", "genus_cluster", "species_cluster"]
    table = pd.read_csv(made.data("tiny", "photos", "metadata.csv"), dtype="string")
    assert sorted(submission["hash_id"]) == sorted(table["hash_id"].unique()) and len(submission) == 72 + 5


def test_errors_in_the_simulated_data_are_found(made):
    rejected = pd.read_csv(made.data("tiny", "rejected.csv"))
    reasons = rejected.groupby("hash_id")["reason"].agg(" ".join)
    for name, reason in (
        ("broken-off", "truncated"),
        ("empty", "empty file"),
        ("text", "unreadable"),
        ("lost", "no image file"),
        ("nobody", "no row"),
        ("twofold", "contradicts another row"),
    ):
        assert reason in reasons[name]
    assert rejected["reason"].str.contains("repeats an earlier row").sum() == 1 and len(rejected) == 8


def test_killed_simulation_is_repeated_with_the_same_files(made):
    parameters = ["dataset=again", *(f"{name}={value}" for name, value in WORLD.items())]
    unfinished, photos = made.data("again", "photos.unfinished"), made.data("again", "photos")
    made.run_and_kill("00", *parameters, when=lambda: len(list(unfinished.rglob("*.jpg"))) >= 5)
    assert not photos.exists() and not made.data("again", "truth.parquet").exists()

    made.run("00", *parameters)
    assert not unfinished.exists()
    files = sorted(path for path in made.data("tiny", "photos").rglob("*") if path.is_file())
    for path in [*files, made.data("tiny", "tree.nwk"), made.data("tiny", "truth.parquet")]:
        assert path.read_bytes() == made.data("again", path.relative_to(made.data("tiny"))).read_bytes()
    assert len(files) == len([path for path in photos.rglob("*") if path.is_file()]) == 72 + 5 + 2


def test_simulation_never_replaces_own_photographs(made):
    mine = made.data("mine", "photos", "trip", "one.jpg")
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    failed = made.run("00", "dataset=mine", "n_species=4", "n_genera=3", "n_families=2", check=False)
    assert failed.returncode and "data/mine/photos are not simulated ones" in failed.stderr
    assert mine.read_bytes() == b"mine"


def test_fused_encoder_joins_its_parts(made):
    config = "library: fused\narchitecture: true_traits resnet18_double\nweights: null\nlayers: {both: last}\n"
    (made.root / "params" / "encoders" / "fused_two.yaml").write_text(config)
    made.make("data/tiny/embeddings/fused_two/_SUCCESS", *SETTINGS)
    ids = pd.read_parquet(made.data("tiny", "metadata.parquet"))["hash_id"]
    tables = {
        name: pd.concat(map(pd.read_parquet, sorted(made.data("tiny", "embeddings", name).glob("part-*.parquet"))))
        for name in ("fused_two", "true_traits", "resnet18_double")
    }
    assert tables["fused_two"]["hash_id"].tolist() == ids.tolist()
    assert list(tables["fused_two"]) == ["hash_id", "both:true_traits", "both:resnet18_double"]
    for name in ("true_traits", "resnet18_double"):
        part = np.stack(tables["fused_two"][f"both:{name}"])
        assert part == pytest.approx(normalize(np.stack(tables[name].iloc[:, -1])), abs=1e-6)


# ---- make report -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report(made):
    """The project after `make report`, and {rank, metric: mean over seeds} of the run that the report is about."""
    made.report = made.make("report", *SETTINGS, "SUBMIT=resnet18_double/pooled_average")
    scores = pd.read_csv(made.data("tiny", "scores.csv"))
    run = scores[(scores["encoder"] == "resnet18_double") & (scores["clusterer"] == "pooled_average")]
    return made, run.groupby(["rank", "metric"])["value"].mean()


def test_report_runs_once_and_draws_its_figures(report):
    made, _ = report
    assert {step[:2] for step in steps(made.report)} >= {"10", "11", "12", "13", "15", "17", "18", "26"}
    drawn = {path.name for path in (made.root / "figures" / "tiny").iterdir()}
    assert {f"{name}.png" for name in ("choosing", "robustness", "taxa", "k_rules")} <= drawn
    assert {f"{name}.png" for name in ("stress", "trust", "effort", "ami_by_k", "heads", "heatmaps")} <= drawn
    assert "heat_on_photographs.jpg" in drawn
    assert "Nothing to be done" in made.make("report", *SETTINGS).stdout


def test_report_of_indices_and_taxa(report):
    made, _ = report
    choosing = pd.read_csv(made.data("tiny", "choosing.csv")).set_index("index")
    assert choosing["spearman"].dropna().between(-1, 1).all() and "alignment" in choosing.index
    taxa = pd.read_csv(made.data("tiny", "taxa.csv"))
    assert len(taxa) == 12 and set(taxa["outcome"]) <= {"found", "merged", "split", "missed"}


def test_report_of_robustness_starts_from_the_scores(report):
    made, run = report
    table = pd.read_csv(made.data("tiny", "robustness.csv"))
    assert {"blur (pixels of 256)", "background swapped", "share of wrong families"} <= set(table["perturbation"])
    ward = table[(table["clusterer"] == "pooled_average") & table["seed"].isna()]
    means = ward.set_index(["perturbation", "rank", "severity", "metric"])["value"].sort_index()
    assert (
        means["share of wrong families", "species", 0.2, "ami"]
        < means["share of wrong families", "species", 0.0, "ami"]
    )
    for rank in ("genus", "species"):  # severity 0 repeats chapters 05 and 06 to the last digit
        for perturbation in ("imbalance (power)", "share of wrong families"):
            for metric in ("ami", "n_found"):
                assert means[perturbation, rank, 0.0, metric] == run[rank, metric]


def test_report_of_rules_for_the_number_of_clusters(report):
    made, run = report
    table = pd.read_csv(made.data("tiny", "k_rules.csv"))
    assert set(table["rule"]) == {*clustering.RULES, "common height", "common height, Ward", "oracle k"}
    whole = table[table["half"].isna()]
    assert (whole[(whole["rule"] == "oracle k") & (whole["clusters"] == "species")]["found"] == 12).all()
    default = whole[
        (whole["preparation"] == "signed sqrt, half whitened") & (whole["rule"] == "common height")
    ]
    ami = default[default["encoder"] == "resnet18_double"].set_index("clusters")["ami"]
    assert ami["species"] == run["species", "ami"] and ami["genus, 1.5 species per genus"] == run["genus", "ami"]

    figures = made.root / "figures" / "tiny"
    assert set(pd.read_csv(figures / "held_out_families.csv")["half"]) == {0, 1}
    stress = pd.read_csv(figures / "stress.csv")
    assert stress.groupby("embedding")["situation"].nunique().to_dict()["simulated"] == 18
    samples = stress[stress["embedding"] == "tiny"].groupby("situation")[["photographs", "true"]].first()
    assert samples.loc["2 of each species"].tolist() == [24, 12] and samples.loc["all photographs", "true"] == 12
    alone = stress[stress["situation"] == "one family at a time"]
    assert alone["draw"].nunique() > 1 and (alone["photographs"] >= 10).all() and (alone["true"] > 1).all()
    assert (stress[stress["rule"] == "oracle k"]["found"] <= stress[stress["rule"] == "oracle k"]["true"]).all()


def test_report_of_effort_and_of_intervals(report):
    made, run = report
    figures = made.root / "figures" / "tiny"
    effort = pd.read_csv(figures / "effort.csv").set_index(["strategy", "goal"])["decisions"]
    n = len(pd.read_parquet(made.data("tiny", "metadata.parquet")))
    assert effort["one by one", 0.95] == np.ceil(0.95 * n) and (effort <= 2 * n).all()
    sure = pd.read_csv(figures / "how_sure.csv").set_index("encoder")
    assert sure.loc["resnet18_double", "ami"] == pytest.approx(run["species", "ami"], abs=1e-4)
    assert (sure["ami_low_genus"] <= sure["ami"]).all() and sure["subsamples"].between(-0.1, 1).all()


# ---- changes and failures ----------------------------------------------------------------------------------------


def test_unknown_parameter_stops_the_run_before_any_work(made):
    config = made.root / "params" / "clusterers" / "slip.yaml"
    config.write_text("method: ward\nspecies_lair: last\n")
    failed = made.make("all", SETTINGS[0], "ENCODERS=true_traits", "CLUSTERERS=slip", "SEEDS=0", check=False)
    assert failed.returncode and "slip.yaml: unknown parameter 'species_lair'" in failed.stderr
    assert not made.data("tiny", "clusters", "true_traits", "slip").exists()
    unknown = made.make("all", SETTINGS[0], "ENCODERS=resnet_5000", check=False)
    assert unknown.returncode and "no params/encoders/resnet_5000.yaml; did you mean resnet50_" in unknown.stderr


def test_failed_notebook_keeps_results_and_runs_again(made):
    chapter = made.root / "notebooks" / "05_hierarchical_clustering.py"
    whole, dates = chapter.read_text(), chapter.stat()
    fault = '# %% tags=["summary"]\nraise RuntimeError("on purpose")\n'
    run = made.data("tiny", "runs", "05_hierarchical_clustering-true_traits-pooled_average.ipynb")
    arguments = [str(run.relative_to(made.root)), SETTINGS[0]]
    arguments += ["ENCODERS=true_traits", "CLUSTERERS=pooled_average", "SEEDS=0"]
    last, results = run.read_bytes(), made.data("tiny", "clusters", "true_traits", "pooled_average")
    try:
        chapter.write_text(whole.replace('# %% tags=["summary"]\n', fault))
        for _ in range(2):  # the second time, the files of the first failed run exist
            failed = made.make(*arguments, check=False)
            assert failed.returncode and "RuntimeError: on purpose" in failed.stderr
            assert {path.name for path in results.iterdir()} == {"seed=0.parquet", "seed=1.parquet"}
            assert run.read_bytes() == last and run.with_suffix(".failed.ipynb").is_file()
    finally:
        chapter.write_text(whole)
        os.utime(chapter, ns=(dates.st_atime_ns, dates.st_mtime_ns))  # no other run depends on this change
    assert steps(made.make(*arguments)) == [run.stem]
    assert run.read_bytes() != last and not run.with_suffix(".failed.ipynb").exists()
    assert "up to date" in made.make(*arguments).stdout


def test_run_with_fewer_methods_removes_their_rows(made):
    before = runs(made)
    target = str(made.data("tiny", "scores.csv").relative_to(made.root))
    made.make(target, SETTINGS[0], "ENCODERS=true_traits", "CLUSTERERS=nested_kmeans_10", "SEEDS=0")
    scores = pd.read_csv(made.data("tiny", "scores.csv"))
    assert set(scores["encoder"]) == {"true_traits", "none"} and set(scores["seed"]) == {0}
    methods = {name for name in scores["clusterer"] if not name.startswith(("baseline", "oracle_k", "ward_dendrogram"))}
    assert methods == {"nested_kmeans_10"}
    assert changed(made, before) == {"06_evaluate"}


def test_photographs_in_the_folder_of_the_dataset(made, world):
    home = made.data("home")
    shutil.copytree(world, home)
    target, settings = "data/home/metadata.parquet", ("DATASET=home", "SOURCE=data/home")
    assert "72 photographs" in made.make(target, *settings).stdout
    assert "up to date" in made.make(target, "DATASET=home").stdout  # files of chapter 01 are not new photographs
    shutil.copy(home / "site 0" / "trap-0" / "0000.JPG", home / "new.jpg")
    assert "1 rows or files rejected" in made.make(target, "DATASET=home").stdout
    (home / "new.jpg").unlink()
    made.make("clean", "DATASET=home")
    left = {path.relative_to(home): path.read_bytes() for path in home.rglob("*") if path.is_file()}
    assert left == {path.relative_to(world): path.read_bytes() for path in world.rglob("*") if path.is_file()}


def test_interrupt_keeps_results_and_leaves_no_process(made, tmp_path, world):
    shutil.copytree(world, tmp_path / "photos")
    arguments = ["data/broken_off/metadata.parquet", "DATASET=broken_off"]
    made.make(*arguments, f"SOURCE={tmp_path / 'photos'}")
    before = {path: path.read_bytes() for path in made.data("broken_off").rglob("*.*") if path.is_file()}
    (tmp_path / "photos" / "site 0" / "trap-0" / "0000.JPG").unlink()
    command = [MAKE, f"PYTHON={sys.executable}", *arguments]
    running = made.data("broken_off", "runs", "01_preprocess.running.ipynb")
    process = subprocess.Popen(
        command, cwd=made.root, env=CLEAN, start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    while not running.exists():
        assert process.poll() is None
        time.sleep(0.02)
    started = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    _, message = process.communicate(timeout=60)
    assert process.returncode and "Traceback" not in message and "was interrupted" in message
    assert not psutil.wait_procs(started, timeout=20)[1]
    assert all(path.read_bytes() == content for path, content in before.items())
    assert "71 photographs" in made.make(*arguments).stdout and "up to date" in made.make(*arguments).stdout


def test_bad_settings_are_reported(made):
    for arguments, message in (
        (("all", "DATASET=../x"), "one plain name"),
        (("all", "DATASET=nothing_here"), "name the folder"),
        (("sweep", "SWEEP=nope", SETTINGS[0]), "SWEEP=nope should be one of"),
        (("all", "DATASET=nothing_here", "SOURCE=no/such/folder"), "is not a folder"),
        (("submission", *SETTINGS, "SUBMIT=pixels/nested"), "SUBMIT=pixels/nested is not one of the runs"),
        (("all", *SETTINGS, "SOURCE=photos"), "DATASET=tiny is simulated (params/worlds/tiny.yaml)"),
    ):
        failed = made.make(*arguments, check=False)
        assert failed.returncode and message in failed.stderr


def test_help_lists_targets_and_settings(made):
    listed = made.make("help", "CLUSTERERS=nested_kmeans flat_kmeans nested_kmeans_20").stdout
    assert all(f"make {target} " in listed for target in ("all", "test", "sweep", "submission", "lab", "setup"))
    assert "nested_kmeans_10 nested_kmeans_20 nested_kmeans_30 flat_kmeans" in listed  # a name may stand for a group
    assert listed.count("nested_kmeans_20") == 1
    assert not (made.root / "data" / "demo").exists()
