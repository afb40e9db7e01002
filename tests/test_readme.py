"""README's numbers are those of the runs, its figures exist, and none of them shows a photograph of somebody else's."""

import re

import pandas as pd
from conftest import ROOT

README = (ROOT / "README.md").read_text()


def mean_scores(dataset):
    """Mean over seeds of value, ci_low and ci_high by (encoder, clusterer, rank, metric)."""
    scores = pd.read_csv(ROOT / "figures" / dataset / "scores.csv")
    return scores.groupby(["encoder", "clusterer", "rank", "metric"])[["value", "ci_low", "ci_high"]].mean()


def score_table(dataset):
    """README's table, of one trained encoder, the pixels and what needs no encoder, by species AMI."""
    mean = mean_scores(dataset)
    lines = [
        "| encoder | clusterer | genus AMI | above family | species AMI | above family | species NMI | species clusters |",
        "|---|---|---|---|---|---|---|---|",
    ]
    runs = (
        mean.xs(("species", "ami"), level=("rank", "metric"))["value"].sort_values(ascending=False, kind="stable").index
    )
    for run in [run for run in runs if run[0] in ("none", "resnet50_double", "pixels")]:
        cells = []
        for rank in ("genus", "species"):
            above, low, high = mean.loc[(*run, rank, "ami_above_family")]
            cells.append(f"{mean.loc[(*run, rank, 'ami'), 'value']:.2f}")
            cells.append("0" if run[1] == "floor_family" else f"{above:+.2f} [{low:.2f}, {high:.2f}]")
        cells.append(f"{mean.loc[(*run, 'species', 'nmi'), 'value']:.2f}")
        cells.append(f"{mean.loc[(*run, 'species', 'n_found'), 'value']:,.0f}")
        lines.append(f"| {run[0]} | {run[1].replace('_', ' ')} | {' | '.join(cells)} |".replace("-0.00", "0.00"))
    return "\n".join(lines)


def test_the_table_is_that_of_the_scores():
    table = score_table("eu_moths")
    assert table in README, f"the table in README should be\n\n{table}"


def test_the_findings_hold_in_the_scores():
    """What README says in words, sentence by sentence."""
    mean = mean_scores("eu_moths")
    trained, controls = ["resnet50_double", "resnet50_single", "resnet18_double"], ["resnet50_untrained", "pixels"]

    def score(clusterer, rank, metric, column="value"):
        """One value per encoder."""
        return mean.xs((clusterer, rank, metric), level=("clusterer", "rank", "metric"))[column]

    methods = ["nested_ward", "flat_kmeans", "nested_kmeans_10", "nested_kmeans_20", "nested_kmeans_30"]
    singletons = {metric: score("floor_singletons", "species", metric).item() for metric in ("nmi", "ami")}
    assert all((score(name, "species", "nmi") < singletons["nmi"]).all() for name in methods[1:])
    assert abs(singletons["ami"]) < 1e-6
    assert all((score(name, "species", "ami_above_family", "ci_high") < 0).all() for name in methods[2:])
    assert (score("nested_ward", "species", "ami_above_family", "ci_low")[trained] > 0).all()
    assert (score("nested_ward", "species", "n_found")[trained] / 200).between(3, 4).all()
    above = {column: score("nested_ward", "genus", "ami_above_family", column) for column in ("value", "ci_low")}
    assert (above["ci_low"][[*trained, "deit_tiny"]] > 0).all() and (above["value"] < 0.05).all()
    assert all((score(name, "genus", "ami_above_family", "ci_low") <= 0).all() for name in methods[1:])
    assert score("ceiling_ward_true_number", "genus", "ami_above_family")[trained].between(0.09, 0.11).all()
    ward = {column: score("nested_ward", "species", "ami", column) for column in ("value", "ci_low", "ci_high")}
    assert ward["ci_low"]["resnet50_double"] < ward["value"]["resnet18_double"] < ward["ci_high"]["resnet50_double"]
    assert ward["ci_low"]["resnet50_untrained"] < ward["value"]["pixels"] < ward["ci_high"]["pixels"]
    assert (score("nested_ward", "species", "ami_above_family")[controls] < 0).all()


def test_every_figure_is_there_and_has_a_text_for_those_who_cannot_see_it():
    figures = re.findall(r"!\[([^]]*)\]\(([^)]+)\)", README)
    assert len(figures) >= 4
    for text, path in figures:
        assert len(text) > 40, f"{path} needs an alt text"
        assert (ROOT / path).is_file()


def test_every_file_named_in_a_link_is_there():
    links = [path for path in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in path]
    assert links and all((ROOT / path).exists() for path in links)


def test_every_figure_committed_is_written_by_a_notebook():
    """The names that save_figure is given in the notebooks are the only pictures in figures/.

    They are plots; only of simulated worlds is there a picture with photographs, as JPEG.
    """
    sources = "\n".join(path.read_text() for path in (ROOT / "notebooks").glob("*.py"))
    written = re.findall(r'(?:figures_dir\(dataset\)|out|figures) / f?"([^"]+\.(?:png|jpg))"', sources)
    patterns = [re.sub(r"\\\{\w+\\\}", r"\\w+", re.escape(name)) for name in written]
    for picture in (ROOT / "figures").glob("*/*"):
        assert re.fullmatch(r"scores\.csv|sweep_\w+\.csv", picture.name) or any(
            re.fullmatch(p, picture.name) for p in patterns
        ), picture
        assert picture.suffix != ".jpg" or (ROOT / "params" / "worlds" / f"{picture.parent.name}.yaml").is_file()
