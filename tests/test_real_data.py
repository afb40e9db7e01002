"""Samples of three real datasets, each unlike the others, through every chapter of `make all` and `make report`.

EU Moths: about a dozen photographs per species. Reef fish: a few species hold most pictures, some pictures have no genus and
species. Leaf scans: grey, and most families hold one species. Skipped where the data for development are absent.
"""

import shutil

import pandas as pd
import pytest
from conftest import SHARED, write_csv

import clustering

RUN = {"encoders": ["resnet18_double", "pixels"], "clusterers": ["nested_ward"], "seeds": [0]}


def sample(dataset, folder, n=70):
    """Copy about `n` photographs of a dataset into a folder, with their CSV; return its rows."""
    source = SHARED / "data" / dataset
    if not (source / "metadata.csv").is_file():
        pytest.skip(f"the photographs of {dataset} are not on this machine")
    rows = pd.read_csv(source / "metadata.csv", dtype="string")
    if dataset == "eu_moths":  # whole species
        rows = rows[rows["family"].isin(rows["family"].value_counts().index[3:])].head(n)
    else:
        rows = rows[(rows.index % (len(rows) // n) == 0) | rows["species"].isna()]
    folder.mkdir()
    for name in rows["hash_id"]:
        shutil.copyfile(source / "images" / f"{name}.jpg", folder / f"{name}.jpg")
    write_csv(folder, rows.fillna("")[["hash_id", "family", "genus", "species"]].to_numpy().tolist())
    return rows


@pytest.mark.parametrize("dataset", ["eu_moths", "reef_fish", "leaf_scans"])
def test_every_chapter_takes_it(dataset, bench, tmp_path, shared_weights):
    rows = sample(dataset, tmp_path / "photographs")
    bench.run("01", dataset=dataset, source=str(tmp_path / "photographs"))
    for encoder in RUN["encoders"]:
        bench.encode(dataset, encoder, weights_dir=str(shared_weights))
        bench.run("04", dataset=dataset, encoder=encoder)
        for clusterer in RUN["clusterers"]:
            bench.cluster(dataset, clusterer, encoder)
    bench.run("06", dataset=dataset, submit="resnet18_double/nested_ward", **RUN)
    bench.run("99", dataset=dataset, encoders=RUN["encoders"], clusterers=RUN["clusterers"])
    scores = pd.read_csv(bench.data(dataset, "scores.csv"))
    best = scores[(scores["encoder"] == "resnet18_double") & (scores["clusterer"] == "nested_ward")]
    best = best.set_index(["rank", "metric"])["value"]
    assert best["species", "n_true"] == rows["species"].nunique() and best["species", "ami"] > 0.3
    shares = [best["species", f"taxa_{kind}"] for kind in ("found", "merged", "split", "missed")]
    assert sum(shares) == pytest.approx(1, abs=1e-5)
    submission = pd.read_csv(bench.data(dataset, "submission.csv"), dtype="string")
    assert sorted(submission["hash_id"]) == sorted(rows["hash_id"])

    bench.run("10", dataset=dataset, weights_dir=str(shared_weights), **RUN)
    bench.run("11", dataset=dataset, encoder="resnet18_double", weights_dir=str(shared_weights), n_photos=30, seeds=[0])
    bench.run("12", dataset=dataset, run="resnet18_double/nested_ward")
    bench.run("13", dataset=dataset, encoders=["resnet18_double"])
    numbers = pd.read_csv(bench.data(dataset, "numbers.csv"))
    oracle = numbers[(numbers["rule"] == "oracle k") & numbers["half"].isna()].set_index("clusters")["found"]
    assert (oracle["species"] == rows["species"].nunique()).all()
    assert set(numbers["rule"]) == {*clustering.RULES, "oracle k"}
