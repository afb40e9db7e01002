"""A miniature of the files of BIOSCAN-5M, from the folder that its package reads to the metadata and chapter 07."""

import sys

import numpy as np
import pandas as pd
import pytest
from bioscan_dataset import BIOSCAN5M
from conftest import draw_specimens
from safetensors.torch import save_file
from test_dna_networks import checkpoint

import bioscan
from simulation import evolution

SPLITS = ("pretrain", "train", "train", "train", "val", "test", "key_unseen", "val_unseen", "test_unseen", "test_unseen")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The folder that the package would download to: 100 specimens of 20 species in 10 genera, with images and metadata."""
    root = tmp_path_factory.mktemp("bioscan")
    table = evolution.barcodes(evolution.birth_death_tree(20, 0), [5] * 20, 0)
    number = np.arange(len(table))
    species = number // 5
    rows = pd.DataFrame(
        {
            "processid": [f"MINI{n:03d}-26" for n in number], "sampleid": number, "taxon": "x", "phylum": "Arthropoda",
            "class": "Insecta", "order": "Diptera", "family": "Minidae", "subfamily": "", "genus": species % 10,
            "species": species, "dna_bin": species, "dna_barcode": table["nucleotides"], "country": "Costa Rica",
            "province_state": "", "coord-lat": 9.5, "coord-lon": -84.0, "image_measurement_value": 1000.0,
            "area_fraction": 0.5, "scale_factor": 1.0, "inferred_ranks": 0, "index_bioscan_1M_insect": "",
            "split": [SPLITS[s // 10 * 7 + s % 3] if s >= 10 else SPLITS[s % 4] for s in species], "chunk": "0",
        }
    )  # fmt: skip
    rows["genus"] = "G" + rows["genus"].astype(str)
    rows["species"] = rows["genus"] + " s" + rows["species"].astype(str)
    rows["dna_bin"] = "BOLD:" + rows["dna_bin"].astype(str)
    rows.loc[rows["split"] == "pretrain", ["genus", "species"]] = ""
    rows.loc[~rows["split"].isin(["pretrain", "train"]), "chunk"] = ""
    path = root / BIOSCAN5M.base_folder / BIOSCAN5M.meta["filename"]
    path.parent.mkdir(parents=True)
    rows.to_csv(path, index=False)
    images = draw_specimens(len(rows))
    for row, image in zip(rows.to_dict("records"), images, strict=True):
        place = root / "bioscan5m" / "images" / "cropped_256" / row["split"] / row["chunk"]
        place.mkdir(parents=True, exist_ok=True)
        image.save(place / f"{row['processid']}.jpg")
    return root


def write(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["bioscan.py", *map(str, arguments)])
    bioscan.main()


def test_photographs_and_barcodes_become_a_dataset(root, bench, monkeypatch, capsys):
    write(monkeypatch, root, "--split", "train+unseen")
    folder = root / "bioscan5m" / "images" / "cropped_256"
    assert f"make all DATASET=bioscan5m SOURCE={folder}" in capsys.readouterr().out
    bench.run("01", dataset="b", source=str(folder))
    kept = pd.read_parquet(bench.data("b", "metadata.parquet"))
    assert set(kept["partition"]) == {"train", "val_unseen", "test_unseen"} and kept["barcode"].notna().all()
    assert kept["path"].str.contains("train/0/MINI").sum() == (kept["partition"] == "train").sum()
    assert {"country", "latitude", "longitude", "size", "bin"} <= set(kept) and set(kept["family"]) == {"Minidae"}
    rejected = pd.read_csv(bench.data("b", "rejected.csv"))
    assert (rejected["reason"] == "no row in the CSV").all() and len(rejected) + len(kept) == 100


def test_barcodes_alone_keep_the_partitions_of_bioscan(root, bench, monkeypatch):
    write(monkeypatch, root, "--barcodes")
    bench.run("01", dataset="b", source=str(root / "bioscan5m" / "barcodes"))
    kept = pd.read_parquet(bench.data("b", "metadata.parquet"))
    assert len(kept) == 100 and kept["path"].isna().all() and kept["species"].isna().any()
    save_file(checkpoint("hyenadna"), root / "hyenadna.safetensors")
    short = {"steps": 2, "dimensions": 8, "batch_size": 16, "fine_tuning_steps": 2}
    _, found = bench.run("07", dataset="b", published=["hyenadna"], weights_dir=str(root), **short)
    assert found["vectors"]["HyenaDNA"].shape == (100, 16)  # a small network with random weights
    scores = pd.read_csv(bench.data("b", "barcode_scores.csv"))
    assert set(scores["metric"][scores["encoder"] == "HyenaDNA"]) >= {"encoding, ms", "mean over species", "ami"}
    parts = pd.Series(found["part"]).groupby(kept["partition"]).unique().map(list).to_dict()
    assert parts["pretrain"] == parts["train"] == ["train"] and parts["test_unseen"] == ["test"]
    assert parts["val_unseen"] == ["validation"]
    unseen = set(kept["species"][kept["partition"] == "test_unseen"])
    assert not unseen & set(kept["species"][found["part"] == "train"])


def test_chapter_08_keeps_the_unseen_species_of_bioscan_out_of_training(root, bench, monkeypatch):
    write(monkeypatch, root, "--split", "all")
    bench.run("01", dataset="b", source=str(root / "bioscan5m" / "images" / "cropped_256"))
    short = {"epochs": 1, "network_epochs": 1, "image_size": 32, "batch_size": 8, "after": "layer3"}
    _, found = bench.run("08", dataset="b", encoder="resnet18_untrained", **short)
    specimens, learning = found["specimens"], (found["fold"] != 0) & ~found["fourth"]
    assert set(specimens["partition"]) == {"pretrain", "train", "test_unseen"} and found["folds"] == [0]
    assert set(specimens["partition"][learning]) == {"pretrain", "train"}
    assert not set(specimens["species"][learning].dropna()) & set(specimens["species"][found["fold"] == 0])


def test_what_is_missing_is_said(root, tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match=r"error: .*metadata\.csv is missing: add --download"):
        write(monkeypatch, tmp_path)
    with pytest.raises(SystemExit, match="error: Invalid split name 'unsee'"):
        write(monkeypatch, root, "--split", "unsee")
