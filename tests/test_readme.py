"""README's numbers are those of the runs, its figures exist, and none of them is a photograph."""

import re

import pandas as pd
from conftest import ROOT

README = (ROOT / "README.md").read_text()


def score_table(dataset):
    """README's table: mean over seeds and interval of the scores in figures/<dataset>/scores.csv, by species AMI."""
    scores = pd.read_csv(ROOT / "figures" / dataset / "scores.csv")
    mean = scores.groupby(["encoder", "clusterer", "rank", "metric"])[["value", "ci_low", "ci_high"]].mean()
    lines = [
        "| encoder | clusterer | genus AMI | species AMI | species AMI within families | species NMI | species clusters |",
        "|---|---|---|---|---|---|---|",
    ]

    def cell(*key, interval=False):
        row = mean.loc[key]
        text = f"{row['value'] + 0:.2f}"
        return f"{text} [{row['ci_low']:.2f}, {row['ci_high']:.2f}]" if interval else text

    runs = (
        mean.xs(("species", "ami"), level=("rank", "metric"))["value"].sort_values(ascending=False, kind="stable").index
    )
    for run in [run for run in runs if run[0] in ("none", "resnet50_double", "pixels")]:
        cells = [
            cell(*run, "genus", "ami", interval=True),
            cell(*run, "species", "ami", interval=True),
            cell(*run, "species", "ami_within"),
            cell(*run, "species", "nmi"),
            f"{mean.loc[(*run, 'species', 'n_found'), 'value']:,.0f}",
        ]
        lines.append(f"| {run[0]} | {run[1].replace('_', ' ')} | {' | '.join(cells)} |".replace("-0.00", "0.00"))
    return "\n".join(lines)


def test_the_table_is_that_of_the_scores():
    table = score_table("eu_moths")
    assert table in README, f"the table in README should be\n\n{table}"


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
    """The names that save_figure is given in the notebooks are the only pictures in figures/: plots, no photographs."""
    sources = "\n".join(path.read_text() for path in (ROOT / "notebooks").glob("*.py"))
    written = re.findall(r'(?:figures_dir\(dataset\)|out) / f?"([^"]+\.png)"', sources)
    patterns = [re.sub(r"\\\{\w+\\\}", r"\\w+", re.escape(name)) for name in written]
    for picture in (ROOT / "figures").rglob("*.png"):
        assert any(re.fullmatch(pattern, picture.name) for pattern in patterns), picture
