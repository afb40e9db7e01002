"""Barcodes as referee of image clusters, and clusters of image, DNA and both."""

import numpy as np
import pandas as pd
import pytest
from conftest import make_world

import scoring
from simulation import evolution


def test_verdicts_on_cases_worked_out_by_hand():
    def said(found, referee):
        return scoring.verdicts(list(found), list(referee)).tolist()

    assert said("aabb", "xxyy") == ["agrees"] * 4
    assert said("aaaaa", "xxxyy") == ["agrees"] * 3 + ["merged"] * 2
    assert said("aaabb", "xxxxx") == ["agrees"] * 3 + ["split"] * 2
    # a photograph among those of another species, whose relatives are elsewhere
    assert said("aaabbb", "xxxyyx") == ["agrees"] * 5 + ["misplaced"]


def test_verdicts_do_not_depend_on_names_and_order():
    random = np.random.default_rng(0)
    found, referee, order = random.integers(4, size=80), random.integers(5, size=80), random.permutation(80)
    expected = scoring.verdicts(found, referee)
    assert set(expected) <= set(scoring.VERDICTS)
    sizes = pd.crosstab(found, referee)
    if not (sizes.apply(lambda row: (row == row.max()).sum(), axis=1) > 1).any():
        assert (scoring.verdicts(found[order], referee[order]) == expected[order]).all()
    assert (scoring.verdicts(found, found) == "agrees").all()


@pytest.fixture
def dataset(bench, tmp_path):
    """Photographs of 12 species with barcodes, embedded and clustered by their pixels; the folder and its table."""
    make_world(tmp_path)
    table = pd.read_csv(tmp_path / "metadata.csv", dtype="string")
    table["barcode"] = evolution.barcodes(evolution.birth_death_tree(12, 0), [6] * 12, 0)["nucleotides"]
    table.to_csv(tmp_path / "metadata.csv", index=False)
    bench.run("01", dataset="d", source=str(tmp_path))
    bench.encode("d")
    bench.cluster("d")
    return table


def test_every_specimen_gets_a_verdict_and_dna_finds_the_species(bench, dataset):
    printed, _ = bench.run("22", dataset="d", run="pixels/pooled_average")
    referee = pd.read_csv(bench.data("d", "referee.csv"), dtype="string")
    assert sorted(referee["hash_id"]) == sorted(dataset["hash_id"]) and set(referee["verdict"]) <= set(scoring.VERDICTS)
    expected = scoring.verdicts(referee["image_cluster"], referee["barcode_cluster"])
    assert (referee["verdict"] == "agrees").sum() == pytest.approx((expected == "agrees").sum(), abs=2)  # ties
    scores = pd.read_csv(bench.root / "figures" / "d" / "image_and_dna.csv").set_index(["input", "setting", "rank"])["ami"]
    assert scores["DNA", "oracle k", "species"] > 0.9 > scores["image", "oracle k", "species"]
    assert ("image", "family given", "family") not in scores.index and "72 specimens with both" in printed


def test_borrowed_barcodes_are_of_the_same_species(bench, dataset):
    for name, keep in (("lender", dataset["species"].unique()[:5]), ("stranger", [])):
        table = dataset.drop(columns="barcode").assign(barcode=dataset["barcode"])
        table = table[table["species"].isin(keep)] if len(keep) else table.assign(species=table["species"] + "x")
        bench.data(f"{name}-source").mkdir(parents=True)
        table.assign(hash_id="L" + table["hash_id"]).to_csv(bench.data(f"{name}-source", "a.csv"), index=False)
        bench.run("01", dataset=name, source=str(bench.data(f"{name}-source")))
    _, found = bench.run("22", dataset="d", run="pixels/pooled_average", barcodes_from="lender")
    pairs, lent = found["specimens"], dataset.set_index("barcode")["species"]
    assert pairs["species"].nunique() == 5 and len(pairs) == 30
    lent = lent[~lent.index.duplicated()]
    assert (pairs["barcode"].map(lent) == pairs["species"]).all()
    with pytest.raises(ValueError, match="d and stranger have no species in common"):
        bench.run("22", dataset="d", run="pixels/pooled_average", barcodes_from="stranger")


def test_without_barcodes_it_says_what_to_do(bench, tmp_path):
    make_world(tmp_path, 3, 3, 3, 2)
    bench.run("01", dataset="d", source=str(tmp_path))
    for chapter in ("22", "07"):
        with pytest.raises(ValueError, match="d has no DNA barcodes: give them in a column `barcode`"):
            bench.run(chapter, dataset="d", **({"run": "a/b"} if chapter == "22" else {}))
