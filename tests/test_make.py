"""The dependency graph: everything from one command, nothing twice, and no failure that looks like success."""

import os
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
from conftest import CLEAN, Project
from safetensors.torch import save_file
from sklearn.preprocessing import normalize
from torchvision.models import resnet18

import utils

WORDS = ("DATASET=tiny", "ENCODERS=true_traits resnet18_double", "CLUSTERERS=nested_ward nested_kmeans_10", "SEEDS=0 1")
WORLD = {"n_families": 3, "n_genera": 6, "n_species": 12, "n_specimens": 6, "image_size": 64, "seed": 4}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project in which `make all` has run once on a tiny simulated world."""
    project = Project(tmp_path_factory.mktemp("made"))
    (project.root / "params" / "worlds" / "tiny.yaml").write_text(yaml.safe_dump(WORLD))
    torch.manual_seed(0)
    (project.root / "weights").mkdir()
    save_file(resnet18().state_dict(), project.root / "weights" / "resnet18.safetensors")
    # a dozen photographs a family are too few neighbours for nothing else: keep the settings, shrink the pictures
    card = project.root / "params" / "encoders" / "resnet18_double.yaml"
    card.write_text(card.read_text().replace("input_size: 224", "input_size: 64"))
    project.first = project.make("-j2", "all", *WORDS, "WEIGHTS=weights")
    return project


def runs(project):
    return {path.name: path.stat().st_mtime_ns for path in project.data("tiny", "runs").glob("*.ipynb")}


def made_again(project, before):
    return {name for name, date in runs(project).items() if before.get(name) != date}


def test_one_command_leaves_everything(made):
    steps = [line.split(":")[0] for line in made.first.stdout.splitlines() if line.endswith("s)")]
    assert len(steps) == len(set(steps)) == 1 + 1 + 2 + 2 + 4 + 1 + 1
    assert set(runs(made)) == {f"{step}.ipynb" for step in steps}
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
        "scores.csv", "comparisons.csv", "scores.png", "nmi_misleads.png", "random_labels.png", "n_clusters.png", "maps.png",
        "families.jpg", "family_sizes.png", "umap_true_traits.png", "umap_resnet18_double.png", "tree.png", "barcode_gap.png",
    }  # fmt: skip
    for path in made.data("tiny", "runs").glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        assert not [o for c in notebook.cells for o in c.get("outputs", []) if o.output_type == "error"]


def test_the_scores_hold_what_was_asked_for_and_what_is_known(made):
    scores = pd.read_csv(made.data("tiny", "scores.csv"))
    assert list(scores) == ["dataset", "encoder", "clusterer", "seed", "rank", "metric", "value", "ci_low", "ci_high"]
    traits = scores[scores["encoder"] == "true_traits"]
    assert set(traits["clusterer"]) == {
        "nested_ward", "nested_kmeans_10", "oracle_k_ward", "oracle_k_ward_prepared", "ward_dendrogram",
    }  # fmt: skip
    baselines = scores[(scores["encoder"] == "none") & (scores["rank"] == "species")].set_index(["clusterer", "metric"])[
        "value"
    ]
    assert baselines["baseline_singletons", "ami"] == pytest.approx(0, abs=1e-6)
    assert baselines["baseline_singletons", "nmi"] > 0.7 and baselines["baseline_singletons", "n_found"] == 72
    assert set(scores["seed"]) == {0, 1} and set(scores["rank"]) == {*utils.RANKS, "all"}
    # told the traits and the number of species, nothing is left but the variation within species, a quarter of that between
    oracle = traits[traits["clusterer"] == "oracle_k_ward"].set_index(["rank", "metric"])["value"]
    assert oracle["species", "ami"] > 0.9 and oracle["genus", "ami"] > 0.5


def test_the_submission_has_every_id_once(made):
    submission = pd.read_csv(made.data("tiny", "submission.csv"), dtype="string")
    assert list(submission) == ["hash_id", "family_cluster", "genus_cluster", "species_cluster"]
    table = pd.read_csv(made.data("tiny", "photos", "metadata.csv"), dtype="string")
    assert sorted(submission["hash_id"]) == sorted(table["hash_id"].unique()) and len(submission) == 72 + 5


def test_the_mishaps_of_the_simulated_world_are_all_found(made):
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


def test_a_world_that_was_killed_half_way_is_made_again_to_the_same_bytes(made):
    words = [f"{name}={value}" for name, value in WORLD.items()]
    unfinished, photos = made.data("again", "photos.unfinished"), made.data("again", "photos")
    made.run_and_kill("00", "dataset=again", *words, when=lambda: len(list(unfinished.rglob("*.jpg"))) >= 5)
    assert not photos.exists() and not made.data("again", "truth.parquet").exists()

    made.run("00", "dataset=again", *words)
    assert not unfinished.exists()
    files = sorted(path for path in made.data("tiny", "photos").rglob("*") if path.is_file())
    for path in [*files, made.data("tiny", "tree.nwk"), made.data("tiny", "truth.parquet")]:
        assert path.read_bytes() == made.data("again", path.relative_to(made.data("tiny"))).read_bytes()
    assert len(files) == len([path for path in photos.rglob("*") if path.is_file()]) == 72 + 5 + 2


def test_a_world_never_replaces_photographs_of_ones_own(made):
    mine = made.data("mine", "photos", "trip", "one.jpg")
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    failed = made.run("00", "dataset=mine", "n_species=4", "n_genera=3", "n_families=2", check=False)
    assert failed.returncode and "data/mine/photos are not simulated ones" in failed.stderr
    assert mine.read_bytes() == b"mine"


def test_a_second_make_does_nothing_and_says_so(made):
    before = runs(made)
    again = made.make("all", *WORDS)  # the weights are remembered
    assert "Nothing to be done for 'all'" in again.stdout
    assert runs(made) == before


def test_touching_one_card_reruns_its_own_branch(made):
    before = runs(made)
    (made.root / "params" / "clusterers" / "nested_ward.yaml").touch()
    made.make("all", *WORDS)
    assert made_again(made, before) == {
        "05_hierarchical_clustering-true_traits-nested_ward.ipynb",
        "05_hierarchical_clustering-resnet18_double-nested_ward.ipynb",
        "06_evaluate.ipynb",
        "99_figures.ipynb",
    }


def test_a_config_is_an_encoder_like_any_other(made):
    before = runs(made)
    words = [WORDS[0], "ENCODERS=simclr", "CLUSTERERS=nested_ward", "SEEDS=0", "START=resnet18_double"]
    words += ["TRAINING=epochs=1 image_size=32 batch_size=24 precision=float32"]
    clusters = "data/tiny/runs/05_hierarchical_clustering-simclr-nested_ward.ipynb"
    made.make(clusters, *words)
    chapters = ["03_supcon_finetune", "02_extract_embeddings", "05_hierarchical_clustering"]
    ends = ["simclr", "simclr", "simclr-nested_ward"]
    assert made_again(made, before) == {f"{c}-{end}.ipynb" for c, end in zip(chapters, ends, strict=True)}
    layers = list(pd.read_parquet(made.data("tiny", "embeddings", "simclr", "part-00000.parquet")))
    assert layers == ["hash_id", "layer3", "avgpool"]
    assert "is up to date" in made.make(clusters, *words[:4]).stdout  # where it starts and how it trains is remembered
    asked = made.make("-n", clusters, *words[:4], "START=resnet18_untrained").stdout
    assert "03_supcon_finetune" in asked and "start=resnet18_untrained" in asked


def test_a_narrower_run_takes_its_rows_out_of_the_table(made):
    before = runs(made)
    target = str(made.data("tiny", "scores.csv").relative_to(made.root))
    made.make(target, WORDS[0], "ENCODERS=true_traits", "CLUSTERERS=nested_kmeans_10", "SEEDS=0")
    scores = pd.read_csv(made.data("tiny", "scores.csv"))
    assert set(scores["encoder"]) == {"true_traits", "none"} and set(scores["seed"]) == {0}
    methods = {name for name in scores["clusterer"] if not name.startswith(("baseline", "oracle_k", "ward_dendrogram"))}
    assert methods == {"nested_kmeans_10"}
    assert made_again(made, before) == {"06_evaluate.ipynb"}


def test_one_name_may_stand_for_its_group(made):
    listed = made.make("help", "CLUSTERERS=nested_kmeans flat_kmeans nested_kmeans_20").stdout
    assert "nested_kmeans_10 nested_kmeans_20 nested_kmeans_30 flat_kmeans" in listed
    assert listed.count("nested_kmeans_20") == 1


def test_a_new_photograph_is_noticed(made, tmp_path, world):
    source = tmp_path / "photos"
    shutil.copytree(world, source)
    assert "72 photos" in made.make("data/more/metadata.parquet", "DATASET=more", f"SOURCE={source}").stdout
    assert "up to date" in made.make("data/more/metadata.parquet", "DATASET=more").stdout
    shutil.copy(source / "site 0" / "trap-0" / "0000.JPG", source / "new.jpg")
    assert "1 rows or files rejected" in made.make("data/more/metadata.parquet", "DATASET=more").stdout


def test_photographs_in_the_datasets_own_folder_are_safe(made, world):
    home = made.data("home")
    shutil.copytree(world, home)
    mine = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    target, words = "data/home/metadata.parquet", ("DATASET=home", "SOURCE=data/home")
    assert "72 photos" in made.make(target, *words).stdout
    assert "up to date" in made.make(target, "DATASET=home").stdout  # what chapter 01 wrote is no new photograph
    made.make("clean", "DATASET=home")
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == mine


def test_an_interrupt_leaves_the_last_results_and_no_process(made, tmp_path, world):
    shutil.copytree(world, tmp_path / "photos")
    words = ["data/broken_off/metadata.parquet", "DATASET=broken_off"]
    made.make(*words, f"SOURCE={tmp_path / 'photos'}")
    before = {path: path.read_bytes() for path in made.data("broken_off").rglob("*.*") if path.is_file()}
    (tmp_path / "photos" / "site 0" / "trap-0" / "0000.JPG").unlink()
    command = ["make", f"PYTHON={sys.executable}", *words]
    running = made.data("broken_off", "runs", "01_preprocess.running.ipynb")
    process = subprocess.Popen(command, cwd=made.root, env=CLEAN, start_new_session=True, stderr=subprocess.PIPE, text=True)
    while not running.exists():
        assert process.poll() is None
        time.sleep(0.02)
    started = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode and "Traceback" not in said and "was interrupted" in said
    assert not psutil.wait_procs(started, timeout=20)[1]
    assert all(path.read_bytes() == content for path, content in before.items())
    assert "71 photos" in made.make(*words).stdout and "up to date" in made.make(*words).stdout


def test_an_unknown_parameter_stops_the_run_before_any_work(made):
    card = made.root / "params" / "clusterers" / "slip.yaml"
    card.write_text("method: ward\nspecies_lair: last\n")
    failed = made.make("all", WORDS[0], "ENCODERS=true_traits", "CLUSTERERS=slip", "SEEDS=0", check=False)
    assert failed.returncode and "slip.yaml: unknown parameter 'species_lair'" in failed.stderr
    assert not made.data("tiny", "clusters", "true_traits", "slip").exists()
    unknown = made.make("all", WORDS[0], "ENCODERS=resnet_5000", check=False)
    assert unknown.returncode and "no params/encoders/resnet_5000.yaml; did you mean resnet50_" in unknown.stderr


def test_a_failed_notebook_is_run_again_and_takes_nothing_with_it(made):
    chapter = made.root / "notebooks" / "05_hierarchical_clustering.py"
    whole = chapter.read_text()
    fault = '# %% tags=["summary"]\nraise RuntimeError("on purpose")\n'
    run = made.data("tiny", "runs", "05_hierarchical_clustering-true_traits-nested_ward.ipynb")
    words = (str(run.relative_to(made.root)), *WORDS[:1], "ENCODERS=true_traits", "CLUSTERERS=nested_ward", "SEEDS=0")
    last, results = run.read_bytes(), made.data("tiny", "clusters", "true_traits", "nested_ward")
    try:
        chapter.write_text(whole.replace('# %% tags=["summary"]\n', fault))
        for _ in range(2):  # a second attempt must not take what the first left behind for done
            failed = made.make(*words, check=False)
            assert failed.returncode and "RuntimeError: on purpose" in failed.stderr
            assert {path.name for path in results.iterdir()} == {"seed=0.parquet", "seed=1.parquet"}
            assert run.read_bytes() == last and run.with_suffix(".failed.ipynb").is_file()
    finally:
        chapter.write_text(whole)
    assert "05_hierarchical_clustering-true_traits-nested_ward: " in made.make(*words).stdout
    assert run.read_bytes() != last and not run.with_suffix(".failed.ipynb").exists()
    assert "up to date" in made.make(*words).stdout


def test_the_report_tells_what_to_choose_what_it_withstands_and_who_is_taken_for_whom(made):
    done = made.make("report", *WORDS, "SUBMIT=resnet18_double/nested_ward").stdout
    assert all(f"\n{chapter}_" in done for chapter in (10, 11, 12, 13))
    choosing = pd.read_csv(made.data("tiny", "choosing.csv")).set_index("index")
    assert choosing["spearman"].dropna().between(-1, 1).all() and "alignment" in choosing.index
    hard = pd.read_csv(made.data("tiny", "robustness.csv"))
    assert {"blur (pixels of 256)", "background swapped", "share of wrong families"} <= set(hard["perturbation"])
    means = hard[hard["seed"].isna()].set_index(["perturbation", "rank", "severity"]).sort_index()
    wrong = means.loc["share of wrong families", "species"]["ami"]
    assert wrong[0.2] < wrong[0.0]
    scores = pd.read_csv(made.data("tiny", "scores.csv"))
    run = scores[(scores["encoder"] == "resnet18_double") & (scores["clusterer"] == "nested_ward")]
    run = run.groupby(["rank", "metric"])["value"].mean()
    for rank in ("genus", "species"):  # unperturbed, it is what chapters 05 and 06 say, to the last digit
        for perturbation in ("imbalance (power)", "share of wrong families"):
            plain = means.loc[perturbation, rank, 0.0]
            assert plain["ami"] == run[rank, "ami"] and plain["n_found"] == run[rank, "n_found"]
    taxa = pd.read_csv(made.data("tiny", "taxa.csv"))
    assert len(taxa) == 12 and set(taxa["outcome"]) <= {"found", "merged", "split", "missed"}
    numbers = pd.read_csv(made.data("tiny", "numbers.csv"))
    assert {"oracle k", "gap", "stability", "heights", "silhouette"} <= set(numbers["rule"])
    oracle = numbers[(numbers["rule"] == "oracle k") & (numbers["clusters"] == "species") & numbers["half"].isna()]
    assert (oracle["found"] == 12).all()
    recommended = numbers[(numbers["preparation"] == "root, half white") & (numbers["rule"] == "silhouette_excluding_0_to_2")]
    recommended = recommended[(recommended["encoder"] == "resnet18_double") & recommended["half"].isna()]
    recommended = recommended.set_index("clusters")["ami"]
    assert recommended["species"] == run["species", "ami"] and recommended["genus, half"] == run["genus", "ami"]
    few = pd.read_csv(made.data("tiny", "few.csv"))
    assert (few.groupby("left")["photographs"].first()[["2 of each species", "3 of each species"]] == [24, 36]).all()
    assert few["left"].nunique() == 5 and {"silhouette", "silhouette_excluding_0_to_2", "oracle k"} <= set(few["rule"])
    drawn = {path.name for path in (made.root / "figures" / "tiny").iterdir()}
    assert {f"{name}.png" for name in ("choosing", "robustness", "taxa", "numbers")} <= drawn
    assert "Nothing to be done" in made.make("report", *WORDS).stdout


def test_an_encoder_may_be_made_of_several(made):
    card = "library: fused\narchitecture: true_traits resnet18_double\nweights: null\nlayers: {both: last}\n"
    (made.root / "params" / "encoders" / "fused_two.yaml").write_text(card)
    made.make("data/tiny/embeddings/fused_two/_SUCCESS", *WORDS)
    ids = pd.read_parquet(made.data("tiny", "metadata.parquet"))["hash_id"]
    tables = {
        name: pd.concat(map(pd.read_parquet, sorted(made.data("tiny", "embeddings", name).glob("part-*.parquet"))))
        for name in ("fused_two", "true_traits", "resnet18_double")
    }
    both = np.stack(tables["fused_two"]["both"])
    parts = [np.stack(tables[name].iloc[:, -1]) for name in ("true_traits", "resnet18_double")]
    assert tables["fused_two"]["hash_id"].tolist() == ids.tolist()
    assert both == pytest.approx(np.hstack([normalize(part) for part in parts]), abs=1e-6)


def write_sweep(project, name, **card):
    path = project.root / "params" / "sweeps" / f"{name}.yaml"
    path.write_text(yaml.safe_dump(card, sort_keys=False))
    return "sweep", f"SWEEP={name}", WORDS[0], "ENCODERS=true_traits"


def test_a_sweep_of_maps_ends_in_one_figure(made):
    words = write_sweep(made, "maps", notebook="04_umap_visualization", names="setting", grid={"n_neighbors": [4]})
    made.make(*words)
    assert made.data("tiny", "maps", "true_traits", "maps__n_neighbors-4.parquet").is_file()
    assert (made.root / "figures" / "tiny" / "sweep_maps.png").is_file()


def test_a_sweep_runs_its_grid_and_only_its_grid(made):
    card = {
        "notebook": "05_hierarchical_clustering",
        "names": "setting",
        "fixed": {"method": "caps", "seeds": [0]},
    }
    words = write_sweep(made, "few", **card, grid={"max_species": [1, 2]})
    made.make("-j2", *words)
    folder = made.data("tiny", "sweeps", "few")
    points = ["few__max_species-1", "few__max_species-2"]
    assert sorted(path.stem for path in folder.glob("*.ipynb")) == points
    summary = pd.read_csv(folder / "summary.csv")
    table = summary.dropna().pivot(index="max_species", columns="measure", values="value")
    between = summary[summary["max_species"].isna()].set_index(["clusterer", "measure"])["value"]
    assert between["baseline_family", "species AMI"] < between["oracle_k_ward", "species AMI"]
    sizes = pd.read_parquet(made.data("tiny", "metadata.parquet"))["family"].value_counts()
    genera = sizes.clip(upper=10).sum()  # at most ten a family, and never more than there are photographs
    assert table.loc[1, "species clusters"] == table.loc[1, "genus clusters"] == genera
    assert table.loc[2, "species clusters"] > genera and table["species AMI"].between(0, 1).all()
    assert "Nothing to be done for 'sweep'" in made.make(*words).stdout

    date = (folder / f"{points[1]}.ipynb").stat().st_mtime_ns
    made.make(*write_sweep(made, "few", **card, grid={"max_species": [2]}))
    assert set(pd.read_csv(folder / "summary.csv")["max_species"].dropna()) == {2}
    assert (folder / f"{points[1]}.ipynb").stat().st_mtime_ns == date  # the point that stayed was not run again


def test_a_sweep_of_clusterers_sets_all_encoders_beside_a_baseline_and_a_reference(made):
    card = {
        "notebook": "05_hierarchical_clustering",
        "names": "setting",
        "configs": ["clusterer"],
        "fixed": {"seeds": [0]},
    }
    made.make(
        *write_sweep(made, "methods", **card, grid={"encoder": "all", "clusterer": ["images_alone", "flat_hdbscan"]})
    )
    table = pd.read_csv(made.data("tiny", "sweeps", "methods", "summary.csv"))
    ami = table.pivot_table(index="clusterer", columns="measure", values="value")["species AMI"]
    assert set(ami.index) == {"images_alone", "flat_hdbscan", "baseline_family", "oracle_k_ward"}
    assert ami["baseline_family"] < ami["images_alone"] <= 1  # told the traits
    clusters = pd.read_parquet(
        made.data(
            "tiny", "clusters", "true_traits", "methods__encoder-true_traits__clusterer-images_alone", "seed=0.parquet"
        )
    )
    assert clusters["family_cluster"].str.fullmatch(r"f\d+").all()  # no name was read
    assert (made.root / "figures" / "tiny" / "sweep_methods.png").is_file()


def test_a_sweep_of_configs_compares_them_with_what_they_started_from(made):
    brief = {"start": "resnet18_double", "epochs": 1, "image_size": 32, "batch_size": 24, "precision": "float32"}
    words = write_sweep(
        made,
        "configs",
        notebook="03_supcon_finetune",
        names="setting",
        configs=["trainer"],
        fixed=brief,
        grid={"trainer": ["supcon_no_self"], "seed": [3]},
    )
    words += ("START=resnet18_untrained", "TRAINING=")  # the sweep has a start of its own
    made.make(*words)
    folder = made.data("tiny", "sweeps", "configs")
    summary = pd.read_csv(folder / "summary.csv")
    table = summary.dropna()
    baseline = summary[summary["trainer"].isna()]
    assert set(baseline["measure"]) == {"genus AMI", "species AMI"} and baseline["value"].between(0, 1).all()
    assert set(table["trainer"]) == {"supcon_no_self"}
    assert set(table["seed"]) == {3} and set(table["encoder"]) == {"frozen", "tuned", "aligned"}
    figures = made.root / "figures" / "tiny"
    assert (figures / "sweep_configs.png").is_file()
    made.run("99", "dataset=tiny")
    scores = pd.read_csv(figures / "scores.csv")
    reached = scores[(scores["clusterer"] == "sweep_configs") & (scores["encoder"] == "supcon_no_self/avgpool")]
    reached = reached.set_index(["rank", "metric", "seed"])["value"].dropna()
    learnt = table[(table["trainer"] == "supcon_no_self") & (table["encoder"] == "tuned") & (table["layer"] == "avgpool")]
    expected = learnt.set_index("measure")["value"]["species AMI"]
    assert reached[("species", "ami", 3)] == pytest.approx(expected, abs=1e-4)  # tables in figures/ have four decimals
    tuned = made.data("tiny", "models", "configs__trainer-supcon_no_self__seed-3.yaml")
    assert list(yaml.safe_load(tuned.read_text())["layers"]) == ["layer3", "avgpool"]  # the last is the deepest
    card = made.root / "params" / "trainers" / "supcon_no_self.yaml"
    card.touch()
    assert made.make("-n", *words).stdout.count("03_supcon_finetune.py data") == 1
    run = nbformat.read(folder / "configs__trainer-supcon_no_self__seed-3.ipynb", 4)
    (given,) = [cell.source for cell in run.cells if "injected-parameters" in cell.metadata.get("tags", [])]
    assert 'start = "resnet18_double"' in given


def test_bad_words_are_answered(made):
    for words, answer in (
        (("all", "DATASET=../x"), "one plain name"),
        (("all", "DATASET=nothing_here"), "name the folder"),
        (("sweep", "SWEEP=nope", WORDS[0]), "SWEEP=nope should be one of"),
        (("all", "DATASET=nothing_here", "SOURCE=no/such/folder"), "is not a folder"),
        (("submission", *WORDS, "SUBMIT=pixels/nested"), "SUBMIT=pixels/nested is none of the runs"),
        (("all", *WORDS, "SOURCE=photos"), "DATASET=tiny is simulated (params/worlds/tiny.yaml)"),
    ):
        failed = made.make(*words, check=False)
        assert failed.returncode and answer in failed.stderr
    listed = made.make("help").stdout
    assert all(f"make {target} " in listed for target in ("all", "test", "sweep", "submission", "lab", "setup"))
    assert not (made.root / "data" / "demo").exists()  # help computes nothing
