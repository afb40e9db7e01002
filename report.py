"""The report of a dataset: one HTML page that says in plain words what was found, and what to do next.

The page loads nothing. Its text is escaped by Jinja2, and its pictures are inside. The template is atlas/report.html.
"""

import base64
import io
import platform
from importlib.metadata import version
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd

import scoring
import utils
from files import atomic_write

TEMPLATE = Path(__file__).resolve().parent / "atlas" / "report.html"
PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "open_clip_torch",
    "scikit-learn",
    "umap-learn",
    "numpy",
    "pandas",
    "pillow",
)
SIDE = 96  # pixels of a picture's longer side
DOUBTFUL = 0.5  # trust below which a photograph should be looked at
MANY = 0.05  # share of files that were rejected from which the page says so


def picture(image):
    """A PIL image as a data URI: JPEG, SIDE pixels on its longer side."""
    small = image.copy()
    small.thumbnail((SIDE, SIDE))
    stream = io.BytesIO()
    small.convert("RGB").save(stream, "jpeg", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def reasons(rejected):
    """Why rows and files were rejected: DataFrame with reason (up to its first colon), count and the first few that it hit."""
    if rejected.empty:
        return pd.DataFrame(columns=["reason", "count", "examples"])
    table = rejected.astype("string").fillna("")
    name = table["path"].where(table["path"] != "", table["hash_id"])
    kind = table["reason"].str.partition(":")[0]
    found = (
        name.groupby(kind).agg(count="size", examples=lambda names: ", ".join(names[:3])).reset_index(names="reason")
    )
    return found.sort_values(["count", "reason"], ascending=[False, True])


def families(specimens, clusters):
    """One row per family cluster, the largest first: family, photographs, clusters, alone, trust, and species that are known.

    `alone` is the number of clusters of one photograph. Photographs without a cluster are left out.
    """
    table = clusters[["family_cluster", "species_cluster", "trust"]].assign(
        species=utils.lineage(specimens, "species").to_numpy(object)
    )
    table = table[table["species_cluster"].notna()]
    sizes = table.groupby(["family_cluster", "species_cluster"]).size()
    found = table.groupby("family_cluster").agg(
        photographs=("trust", "size"),
        clusters=("species_cluster", "nunique"),
        trust=("trust", "mean"),
        species=("species", "nunique"),
    )
    found["alone"] = (sizes == 1).groupby("family_cluster").sum()
    return found.reset_index(names="family").sort_values(["photographs", "family"], ascending=[False, True])


def ranked_clusters(clusters):
    """Clusters of two photographs or more by falling trust: DataFrame with cluster, photographs and trust."""
    table = clusters[clusters["species_cluster"].notna()].groupby("species_cluster")["trust"].agg(["size", "mean"])
    table = table.reset_index().set_axis(["cluster", "photographs", "trust"], axis=1)
    return table[table["photographs"] > 1].sort_values(
        ["trust", "photographs", "cluster"], ascending=[False, False, True]
    )


def scores(table, run):
    """How a run did where names are known: a list of dicts by rank, finest first; empty without names.

    `table` is scores.csv, `run` is encoder/clusterer. Each has rank, ami, low, high, the AMI of the family-only baseline and of
    the oracle-k reference, the number found and the true one, and the shares of taxa found, merged, split and missed.
    """
    encoder, clusterer = run.split("/")
    means = table.groupby(["encoder", "clusterer", "rank", "metric"])[["value", "ci_low", "ci_high"]].mean()
    found = []
    for rank in ("species", "genus"):
        if (encoder, clusterer, rank, "ami") not in means.index:
            continue

        def value(metric, of=encoder, by=clusterer, rank=rank):
            return float(means["value"].get((of, by, rank, metric), np.nan))

        low, high = means.loc[(encoder, clusterer, rank, "ami"), ["ci_low", "ci_high"]]
        shares = {name: value(f"taxa_{name}") for name in scoring.OUTCOMES}
        found.append(
            {
                "rank": rank,
                "ami": value("ami"),
                "low": low,
                "high": high,
                "n_found": value("n_found"),
                "n_true": value("n_true"),
            }
            | {"baseline": value("ami", "none", "baseline_family"), "oracle": value("ami", encoder, "oracle_k_ward_prepared")}
            | shares
        )
    return found


def advice(specimens, clusters, rejected, found, role=""):
    """What to do next: sentences, the most urgent first. `found` is the result of `scores`, `role` that of the encoder."""
    inside = clusters["species_cluster"].notna()
    sizes = clusters.loc[inside, "species_cluster"].value_counts()
    doubtful = float((clusters.loc[inside, "trust"] < DOUBTFUL).mean()) if inside.any() else 0.0
    alone, said = float((sizes == 1).mean()) if len(sizes) else 0.0, []
    if role == "control":
        said.append("These clusters come from a control encoder. Choose a trained one: ENCODERS=resnet50_double.")
    if len(rejected) > MANY * (len(specimens) + len(rejected)):
        said.append(f"{len(rejected):,} rows or files were rejected. Mend those in rejected.csv and run make again.")
    if specimens["family"].isna().all():
        said.append(
            "No family is named. A column `family` in the CSV helps most: every family then has a tree of its own."
        )
    if found and found[0]["ami"] <= found[0]["baseline"]:
        said.append(
            "The clusters are no better than the family names alone. Another encoder, or tuning, should come first."
        )
    for row in [row for row in found if row["rank"] == "species"]:
        numbers = f"(found: {row['n_found']:,.0f}, named: {row['n_true']:,.0f})"
        if row["n_found"] < row["n_true"] / 1.5:
            said.append(
                f"There are fewer clusters than species {numbers}. Split the merged ones in the atlas, "
                "and compare CLUSTERERS=nested_ward."
            )
        if row["n_found"] > 1.5 * row["n_true"]:
            said.append(f"There are more clusters than species {numbers}. Merge in the atlas what belongs together.")
    if alone > 0.3:
        said.append(
            f"{alone:.0%} of the clusters hold a single photograph. Merge them in the atlas where they belong together."
        )
    if doubtful:
        share = f"{doubtful:.0%} of the photographs have a trust below {DOUBTFUL}"
        said.append(
            f"{share}. Open the atlas (make atlas), begin with the most doubtful clusters, and accept the surest."
        )
    if specimens["species"].isna().all() and len(sizes):
        largest = sizes.head(20).sum() / inside.sum()
        said.append(
            f"Name the {min(20, len(sizes))} largest clusters first: they hold {largest:.0%} of the photographs."
        )
    said.append(
        "Save review.csv from the atlas and run make all REVIEW=review.csv: your decisions stay, the rest is clustered again."
    )
    return said


def versions():
    """Versions of Python and of the libraries that decide the result, one a line."""
    return "\n".join([f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in PACKAGES)])


def write_report(path, **content):
    """Write the page to `path`, whole or not at all; `content` is what the template names."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.from_string(TEMPLATE.read_text()).render(**content)
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
