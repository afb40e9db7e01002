"""Chapters run on their own, on data that is messy, partly labelled or interrupted."""

import shutil

import pandas as pd
import pytest
import torch
from conftest import draw_specimens, make_world, write_csv
from PIL import Image
from safetensors.torch import save_file
from torchvision.models import resnet18

import utils


def metadata(project, dataset):
    return pd.read_parquet(project.data(dataset, "metadata.parquet"))


# ------------------------------------------------------------------------------------------------- 01_preprocess


@pytest.fixture(scope="module")
def messy(project, tmp_path_factory):
    """A field folder with every kind of fault, run through chapter 01; returns (kept, rejected, reported)."""
    folder = tmp_path_factory.mktemp("field") / "trip é 2"
    make_world(folder, families=2, genera=2, species=3, photos=2)  # 0000 ... 0005
    deep = folder / "a" / "b" / "c"
    deep.mkdir(parents=True)
    names = (
        "deep.TIFF",
        "twin1.png",
        "amb.png",
        "same.png",
        "stray.png",
        "cut.png",
        "dup.png",
        "conflict.png",
        "007.bmp",
    )
    *drawn, other, outside = draw_specimens(len(names) + 2)
    for name, image in zip(names, drawn, strict=True):
        image.save(deep / name)
    shutil.copy(deep / "twin1.png", folder / "twin2.png")
    shutil.copy(deep / "same.png", folder / "same.png")
    other.save(folder / "amb.jpg")
    (deep / "cut.png").write_bytes((deep / "cut.png").read_bytes()[:-400])
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("no image")
    Image.new("1", (20000, 6000)).save(folder / "bomb.png")  # 120 megapixels in a few kilobytes
    (folder / "outside.jpg").symlink_to(tmp_path_factory.mktemp("elsewhere") / "secret.jpg")
    outside.save((folder / "outside.jpg").readlink())
    (folder / "notes.txt").write_text("ignored")
    names = ["deep", "twin1", "twin2", "amb", "same", "cut", "empty", "text", "bomb", "outside", "absent", "007"]
    rows = [[f"000{n}", " F0 ", "Morus ", "Morus alba"] for n in range(3)] + [
        [f"000{n}", "F1", "Morus", ""] for n in (3, 4, 5)
    ]
    rows += [[name, "F0", "", "  "] for name in names]
    rows += [
        ["dup", "F0", "", ""],
        ["dup", "F0", "", ""],
        ["conflict", "F0", "", ""],
        ["conflict", "F1", "", ""],
        ["", "F0", "", ""],
    ]
    write_csv(folder, rows)
    done = project.run("01", "dataset=messy", f"source={folder}")
    tables = [pd.read_csv(project.data("messy", f"{name}.csv"), dtype="string") for name in ("rejected", "reported")]
    return metadata(project, "messy").set_index("hash_id"), *tables, rows, done.stdout


class TestMessyFolder:
    def test_every_row_is_either_kept_or_rejected_and_stray_files_are_named(self, messy):
        kept, rejected, _, rows, _ = messy
        files_only = rejected["reason"].str.contains("no row in the CSV|copy of another file")
        # an ambiguous row is listed once per file, with one reason
        rejected_rows = rejected[~files_only].drop_duplicates(["hash_id", "reason"])
        assert len(kept) + len(rejected_rows) == len(rows)
        assert sorted(kept.index) == [
            "0000",
            "0001",
            "0002",
            "0003",
            "0004",
            "0005",
            "007",
            "deep",
            "dup",
            "same",
            "twin1",
            "twin2",
        ]
        assert rejected.set_index("hash_id").loc["stray", "path"] == "a/b/c/stray.png"

    @pytest.mark.parametrize(
        ("name", "reason"),
        [("cut", "truncated"), ("empty", "empty file"), ("text", "unreadable"), ("bomb", "oversized: 20000 x 6000"),
         ("outside", "leaves the folder"), ("absent", "no image file"), ("dup", "repeats an earlier row"),
         ("conflict", "contradicts another row"), ("amb", "ambiguous.*a/b/c/amb.png, amb.jpg")],
    )  # fmt: skip
    def test_each_fault_has_its_reason(self, messy, name, reason):
        _, rejected, *_ = messy
        assert rejected.loc[rejected["hash_id"] == name, "reason"].str.contains(reason, regex=True).any()

    def test_a_blank_id_names_its_row(self, messy):
        _, rejected, _, rows, _ = messy
        assert f"no hash_id in row {len(rows) + 1}" in rejected["reason"].tolist()

    def test_names_are_trimmed_and_blanks_are_unknown(self, messy):
        kept, *_ = messy
        assert kept.loc["0000", ["family", "genus", "species"]].tolist() == ["F0", "Morus", "Morus alba"]
        assert kept.loc["deep", ["genus", "species"]].isna().all()

    def test_twins_and_homonyms_are_kept_and_reported(self, messy):
        kept, _, reported, *_ = messy
        notes = reported.groupby("hash_id")["note"].agg(" ".join)
        assert notes["twin1"] == notes["twin2"] == "identical photographs: twin1, twin2"
        assert "genus Morus stands under F0 and F1" in notes["0000"]
        assert utils.lineage(kept, "genus").nunique() == 2

    def test_the_step_says_what_it_did(self, messy):
        *_, stdout = messy
        assert stdout.startswith("01: 12 photos of 2 families, 2 genera and 1 species kept, 14 rows or files rejected")


def test_a_csv_without_ids_or_without_matches_stops_with_the_remedy(project, tmp_path):
    draw_specimens(1)[0].save(tmp_path / "a.png")
    assert (
        "holds no single CSV: put one there"
        in project.run("01", "dataset=bad", f"source={tmp_path}", check=False).stderr
    )
    (tmp_path / "metadata.csv").write_bytes("hash_id,family\na,Zygænidæ\n".encode("latin-1"))
    message = project.run("01", "dataset=bad", f"source={tmp_path}", check=False).stderr
    assert "metadata.csv cannot be read" in message and "UTF-8" in message
    write_csv(tmp_path, [["a", "F"]], ("photo", "family"))
    message = project.run("01", "dataset=bad", f"source={tmp_path}", check=False).stderr
    assert "no column 'hash_id' but photo, family" in message and "metadata.csv" in message and "rename" in message
    write_csv(tmp_path, [["b", "F"]], ("hash_id", "family"))
    message = project.run("01", "dataset=bad", f"source={tmp_path}", check=False).stderr
    assert "such as a.png" in message and "such as b" in message and "Name each image" in message
    assert not project.data("bad", "metadata.parquet").exists()


# ----------------------------------------------------------------------------------------- 02_extract_embeddings


def test_a_killed_extraction_goes_on_at_the_next_shard(project, tmp_path):
    make_world(tmp_path / "photos", photos=10)
    save_file(resnet18().state_dict(), tmp_path / "resnet18.safetensors")
    project.run("01", "dataset=killed", f"source={tmp_path / 'photos'}")
    card = ["dataset=killed", f"weights_dir={tmp_path}", "shard_size=8", "batch_size=4", "input_size=96", "-f"]
    card += [str(project.root / "params/encoders/resnet18_double.yaml")]
    folder = project.data("killed", "embeddings", "broken_off")

    def three_shards():
        return len(list(folder.glob("part-*.parquet"))) >= 3

    executed = project.root / "out" / "02.ipynb"
    executed.unlink(missing_ok=True)  # of another test
    project.run_and_kill("02", "encoder=broken_off", *card, when=three_shards)
    done = {path.name: path.stat().st_mtime_ns for path in folder.glob("part-*.parquet")}
    assert 3 <= len(done) < 15 and not (folder / "_SUCCESS").exists()
    assert not executed.exists()

    resumed = project.run("02", "encoder=broken_off", *card)
    assert f"{15 - len(done)} shards made" in resumed.stdout
    assert all((folder / name).stat().st_mtime_ns == date for name, date in done.items())
    project.run("02", "encoder=whole", *card)
    for path in sorted(project.data("killed", "embeddings", "whole").glob("part-*.parquet")):
        assert path.read_bytes() == (folder / path.name).read_bytes()

    # other weights are other embeddings: nothing that was made from the old ones is kept
    torch.manual_seed(9)
    save_file(resnet18().state_dict(), tmp_path / "resnet18.safetensors")
    assert "15 shards made" in project.run("02", "encoder=whole", *card).stdout


# -------------------------------------------------------------- 05_hierarchical_clustering and 06_evaluate, part labels


METHODS = ("nested_ward", "nested_kmeans_10", "flat_kmeans")


def cluster(project, dataset, method):
    """Run chapter 05 with the card of this name and two seeds; return the first seed's file."""
    card = str(project.root / f"params/clusterers/{method}.yaml")
    project.run("05", f"dataset={dataset}", "encoder=pixels", f"clusterer={method}", "seeds=0 1", "-f", card)
    return project.data(dataset, "clusters", "pixels", method, "seed=0.parquet")


@pytest.fixture(scope="module")
def partly(project, tmp_path_factory):
    """One world with all names, with families only and with none, each with its pixels clustered in every way."""
    folder = tmp_path_factory.mktemp("partly")
    rows = make_world(folder)
    rows.append(["absent", rows[0][1], "", ""])
    for dataset, known in (("families_only", 2), ("nameless", 1)):
        write_csv(folder, [row[:known] for row in rows], ("hash_id", "family")[:known], name=f"{dataset}.csv")
        project.run("01", f"dataset={dataset}", f"source={folder}", f"csv={dataset}.csv")
        project.run(
            "02", f"dataset={dataset}", "encoder=pixels", "-f", str(project.root / "params/encoders/pixels.yaml")
        )
        for method in METHODS:
            cluster(project, dataset, method)
    shutil.copytree(project.data("families_only"), project.data("named"), symlinks=True)
    names = pd.DataFrame(rows, columns=["hash_id", *utils.RANKS]).set_index("hash_id")
    known = metadata(project, "named")
    known[["genus", "species"]] = names.loc[known["hash_id"], ["genus", "species"]].to_numpy()
    utils.write_table(known, project.data("named", "metadata.parquet"))
    for method in METHODS:
        cluster(project, "named", method)
    return project


@pytest.mark.parametrize("dataset", ["families_only", "nameless"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_works_with_and_without_families(partly, dataset, method):
    known = metadata(partly, dataset)
    clusters = pd.read_parquet(partly.data(dataset, "clusters", "pixels", method, "seed=0.parquet"))
    utils.check_clusters(clusters, known["hash_id"])
    if dataset == "families_only":
        assert clusters["family_cluster"].tolist() == known["family"].tolist()
    else:
        assert clusters["family_cluster"].nunique() > 1


@pytest.mark.parametrize("method", METHODS)
def test_no_method_reads_genus_or_species_names(partly, method):
    paths = [partly.data(d, "clusters", "pixels", method, "seed=0.parquet") for d in ("named", "families_only")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_caps_are_reached_and_the_same_seed_gives_the_same_bytes(partly):
    path = partly.data("families_only", "clusters", "pixels", "nested_kmeans_10", "seed=0.parquet")
    clusters, before = pd.read_parquet(path), path.read_bytes()
    families = clusters.groupby("family_cluster")["genus_cluster"].agg(["size", "nunique"])
    assert (families["nunique"] == families["size"].clip(upper=10)).all()
    cluster(partly, "families_only", "nested_kmeans_10")
    assert path.read_bytes() == before


@pytest.mark.parametrize(("dataset", "scored"), [("families_only", {"family"}), ("nameless", set())])
def test_without_names_the_internal_indices_remain(partly, dataset, scored):
    words = (f"dataset={dataset}", "encoders=pixels", "clusterers=nested_ward", "seeds=0", "submit=pixels/nested_ward")
    partly.run("06", *words)
    scores = pd.read_csv(partly.data(dataset, "scores.csv"))
    assert set(scores.loc[scores["metric"] == "ami", "rank"]) == scored
    assert set(scores.loc[scores["metric"] == "silhouette", "rank"]) == set(utils.RANKS)
    assert not scores["clusterer"].str.startswith("ceiling").any()
    submission = pd.read_csv(partly.data(dataset, "submission.csv"), dtype="string")
    assert submission["hash_id"].tolist() == [*(f"{n:04d}" for n in range(72)), "absent"]  # what was rejected, too
    assert submission.iloc[-1, 1:].str.startswith("rejected/1").all()


@pytest.mark.parametrize(
    ("chapter", "word"), [("11", "encoder=pixels"), ("12", "run=pixels/nested_ward"), ("13", "encoders=pixels")]
)
def test_what_needs_names_says_so(partly, chapter, word):
    failed = partly.run(chapter, "dataset=families_only", word, check=False)
    assert failed.returncode and "families_only" in failed.stderr and "nothing says" in failed.stderr


def test_a_bad_setting_stops_with_what_was_expected(partly):
    few = partly.run("04", "dataset=nameless", "encoder=pixels", "n_neighbors=1", check=False)
    assert few.returncode and "a map needs n_neighbors of 2 or more" in few.stderr
    layer = partly.run("05", "dataset=nameless", "encoder=pixels", "genus_layers={layer9: 1.0}", check=False)
    assert layer.returncode and "no layer 'layer9'" in layer.stderr
