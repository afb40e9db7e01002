"""The report: what it counts, what it advises, and that the page shows names and nothing but names."""

import re
from html import unescape

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import make_world
from PIL import Image

import report


def clusters_of(labels, trust):
    families = [label.split("/")[0] if label else None for label in labels]
    table = pd.DataFrame({"family_cluster": families, "species_cluster": labels, "trust": trust})
    return table.replace({"": None})


def test_reasons_are_counted_by_kind_with_examples():
    rejected = pd.DataFrame(
        {
            "hash_id": ["a", "b", "c", "d", "e"],
            "path": [None, "x/b.jpg", "c.jpg", "d.jpg", "e.jpg"],
            "reason": ["no image file", "truncated: 3 bytes", "truncated: 9 bytes", "truncated", "truncated: 1 byte"],
        }
    )
    found = report.reasons(rejected).to_dict("records")
    assert found[0] == {"reason": "truncated", "count": 4, "examples": "x/b.jpg, c.jpg, d.jpg"}
    assert found[1] == {"reason": "no image file", "count": 1, "examples": "a"}
    assert report.reasons(rejected.head(0)).empty


def test_families_and_clusters_are_counted_without_noise():
    clusters = clusters_of(["A/1", "A/1", "A/2", "B/1", ""], [0.9, 0.7, 0.2, 0.4, 0.1])
    specimens = pd.DataFrame({"family": list("AAABB"), "genus": "g", "species": ["x", "x", "y", None, "z"]})
    one, other = report.families(specimens, clusters).to_dict("records")
    assert (one["family"], one["photographs"], one["clusters"], one["alone"], one["species"]) == ("A", 3, 2, 1, 2)
    assert one["trust"] == pytest.approx(0.6) and (other["family"], other["alone"], other["species"]) == ("B", 1, 0)
    ranked = report.ranked_clusters(clusters)
    assert ranked["cluster"].tolist() == ["A/1"] and ranked["trust"].iloc[0] == pytest.approx(0.8)


def test_advice_fits_what_was_found():
    specimens = pd.DataFrame({"family": [None] * 4, "species": [None] * 4})
    clusters = clusters_of(["A/1", "A/1", "A/2", "A/3"], [0.9, 0.9, 0.1, 0.9])
    said = " ".join(report.advice(specimens, clusters, pd.DataFrame(index=range(4)), [], "control"))
    for part in (
        "control encoder",
        "4 rows or files were rejected",
        "No family is named",
        "67% of the clusters hold a single",
    ):
        assert part in said
    assert (
        "25% of the photographs have a trust below 0.5" in said and "3 largest clusters first: they hold 100%" in said
    )
    named = specimens.assign(family="f", species="s")
    poor = [{"rank": "species", "ami": 0.4, "baseline": 0.5, "n_found": 3, "n_true": 30}]
    said = " ".join(report.advice(named, clusters, pd.DataFrame(), poor))
    assert "no better than the family names alone" in said and "fewer clusters than species (found: 3, named: 30)" in said
    assert "control" not in said and "No family" not in said and "rejected" not in said
    only_genera = [poor[0] | {"rank": "genus"}]
    assert "clusters for" not in " ".join(report.advice(named, clusters, pd.DataFrame(), only_genera))


@pytest.fixture
def dataset(bench, tmp_path):
    """A dataset with one truncated photograph and dangerous names, clustered by its pixels, with scores and trust."""
    make_world(tmp_path)
    table = pd.read_csv(tmp_path / "metadata.csv", dtype="string")
    table["species"] = table["species"].where(table["species"] != table["species"][0], "<script>alert(1)</script>")
    table.to_csv(tmp_path / "metadata.csv", index=False)
    broken = sorted(tmp_path.rglob("*.JPG"))[0]
    broken.write_bytes(broken.read_bytes()[:400])
    bench.run("01", dataset="d", source=str(tmp_path))
    bench.encode("d")
    bench.cluster("d")
    plan = {"encoders": ["pixels"], "clusterers": ["pooled_average"], "seeds": [0], "submit": "pixels/pooled_average"}
    bench.data("d", "config.yaml").write_text(yaml.safe_dump({"plan": plan}))
    bench.run("06", dataset="d", encoders=["pixels"], clusterers=["pooled_average"], seeds=[0], submit=plan["submit"])
    bench.run("16", dataset="d", run=plan["submit"], encoders=["pixels"])
    return bench


def test_the_page_holds_pictures_counts_and_escaped_names_and_loads_nothing(dataset):
    printed, found = dataset.run("23", dataset="d", run="pixels/pooled_average", n_clusters=3, n_photographs=4)
    page = dataset.data("d", "report.html").read_text()
    assert "report.html" in printed and "<script" not in page.lower()
    assert "Photographs: 71. Families (named): 3." in unescape(page) and "Rejected rows or files: 1." in page
    fewest, most = found["found"].attrs["plausible"]
    assert fewest <= found["clusters"]["species_cluster"].nunique() <= most
    assert f"from {fewest} to {most} clusters at the rank of species are plausible" in page
    pictures = re.findall(r'<img src="([^"]+)"', page)
    assert pictures and all(source.startswith("data:image/jpeg;base64,") for source in pictures)
    assert len(pictures) <= 2 * 3 * 4 and not re.findall(r'(?:src|href)="https?:', page)
    assert "control encoder" in page and "truncated" in page
    sizes = found["ranked"].set_index("cluster")["photographs"]
    assert all(f"{name}</strong> · {sizes[name]} photographs" in page for name in found["surest"]["cluster"])
    linked = [dataset.data("d", href) for href in re.findall(r'<a href="([^"]+)"', page)]
    assert all(path.is_file() for path in linked) and "submission.csv" in [path.name for path in linked]


def test_a_photograph_that_is_gone_leaves_its_place(dataset):
    for path in dataset.data("d", "photos").resolve().rglob("*.png"):
        path.unlink()
    dataset.run("23", dataset="d", run="pixels/pooled_average")
    assert '<span class="none">' in dataset.data("d", "report.html").read_text()


def test_pictures_are_small_whatever_the_photograph_was():
    uri = report.picture(Image.fromarray(np.zeros((3000, 4000, 3), np.uint8)))
    assert len(uri) < 2000


def test_without_names_there_are_no_scores():
    table = pd.DataFrame(
        {"encoder": ["a"], "clusterer": ["b"], "rank": ["species"], "metric": ["n_found"], "value": [3.0], "ci_low": [np.nan],
         "ci_high": [np.nan]}
    )  # fmt: skip
    assert report.scores(table, "a/b") == []
