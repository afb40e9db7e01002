# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 23 · The report
#
# **The question.** What was found in these photographs, how far can it be trusted, and what should be done next?
#
# **In:** the clusters and their trust, the scores, and what chapter 01 rejected. **Out:** `data/<dataset>/report.html`, one
# page that opens from disk. It can be sent to somebody; its links to notebooks and figures work inside the project's folder.

# %% tags=["parameters"]
dataset = "demo"
run = ""  # encoder/clusterer; empty: the run of submission.csv
reviewed = False  # true: the clusters of chapter 21
n_clusters = 10  # surest and most doubtful clusters that are shown
n_photographs = 8  # of each
seed = 0

# %% jupyter={"source_hidden": true}
import os
import sys
from urllib.parse import quote

sys.path.insert(0, "..")
import numpy as np
import yaml

import clustering
import encoder_configs
import plotting
import report
import review
import sheets
import utils
from images import thumbnails

folder, figures = utils.dataset_dir(dataset), utils.figures_dir(dataset)
specimens = utils.load_metadata(dataset)
run = run or utils.load_plan(dataset)["submit"]
encoder, clusterer = run.split("/")
_, points, _ = clustering.load_prepared(dataset, run, specimens["hash_id"], seed)
clusters = review.load_current(dataset, specimens["hash_id"], reviewed)
found = utils.load_clusters(dataset, run, seed, specimens["hash_id"])
rejected = utils.read_table(folder / "rejected.csv", dtype="string")
scores_file = folder / "scores.csv"
scored = report.scores(utils.read_table(scores_file), run) if scores_file.is_file() else []

# %% [markdown]
# ## The surest and the most doubtful clusters

# %%
inside = clusters["species_cluster"].notna().to_numpy()
labels, trust = clusters["species_cluster"].fillna("").to_numpy(object), clusters["trust"].to_numpy(float)
odd = sheets.odd_ones(trust) & inside
judged = sheets.verdicts(labels, utils.lineage(specimens, "species"))
ranked = report.ranked_clusters(clusters)
surest = ranked.head(n_clusters)
doubtful = ranked.drop(index=surest.index)[::-1].head(n_clusters)
ranked.head(5)


# %%
def strips(chosen):
    """What the page shows of these clusters. Only the photographs of one of them are in memory."""
    for name, photographs, mean in chosen.itertuples(index=False):
        rows = np.flatnonzero(labels == name)
        rows = rows[sheets.order_members(points[rows], trust[rows], odd[rows])]
        half = n_photographs // 2
        rows = rows if len(rows) <= n_photographs else np.r_[rows[: n_photographs - half], rows[-half:]]
        paths = [folder / "photos" / path for path in specimens["path"].fillna("").iloc[rows]]
        small = thumbnails(paths, specimens["sha256"].iloc[rows], folder / "previews" / "thumbnails")
        sources = [report.picture(image) if image is not None else "" for image in small]
        images = [{"name": name, "source": s} for name, s in zip(specimens["hash_id"].iloc[rows], sources, strict=True)]
        about = " ".join(judged.loc[name, ["verdict", "about"]]).strip()
        yield {"name": name, "photographs": photographs, "trust": mean, "about": about, "images": images}


shown = {"surest": list(strips(surest)), "doubtful": list(strips(doubtful))}

# %% [markdown]
# ## In plain words

# %%
n_families = clusters["family_cluster"].drop_duplicates().ne(clustering.UNKNOWN).sum()
given = "named" if clustering.Clusterer.named(clusterer).use_family and specimens["family"].notna().any() else "found"
summary = (
    f"Photographs: {len(specimens):,}. Families ({given}): {n_families:,}. Clusters at the rank of species: "
    f"{len(set(labels[inside])):,}, of genera: {clusters['genus_cluster'].nunique():,}. "
    f"Rejected rows or files: {len(rejected):,}. "
    f"Half of the photographs have a trust of {np.nanmedian(trust):.2f} or more."
)
advice = report.advice(specimens, clusters, rejected, scored, encoder_configs.role(dataset, encoder))
plotting.say(summary, *advice)

# %% [markdown]
# ## The page

# %%
tables = [
    f"{name}.csv" for name in ("submission", "trust", "rejected", "reported", "scores", "taxa", "referee", "reviewed")
]
runs = [path for path in (folder / "runs").glob("*.ipynb") if not path.name.endswith(".failed.ipynb")]
groups = {
    "Clusters as pictures": [
        folder / f"atlas/{encoder}.html",
        *sorted((folder / "previews/clusters").glob("page-*.jpg")),
    ],
    "Tables": [folder / name for name in tables],
    "Figures": sorted(figures.glob("*.png")),
    "Executed notebooks": sorted(runs),
}
links = [
    {
        "title": title,
        "links": [{"name": p.name, "href": quote(os.path.relpath(p, folder))} for p in paths if p.is_file()],
    }
    for title, paths in groups.items()
]

# %%
report.write_report(
    folder / "report.html",
    title=f"{plotting.dataset_name(dataset)}: what the photographs show",
    summary=summary,
    plausible=None if reviewed else found.attrs.get("plausible"),
    advice=advice,
    families=report.families(specimens, clusters).to_dict("records"),
    scores=scored,
    reasons=report.reasons(rejected).to_dict("records"),
    links=links,
    settings=yaml.safe_dump({"run": run, "reviewed": reviewed} | utils.load_plan(dataset), sort_keys=False),
    versions=report.versions(),
    **shown,
)

# %% [markdown]
# ## What we learned

# %%
plotting.say(
    f"The page shows {len(surest)} sure and {len(doubtful)} doubtful clusters, with a mean trust of "
    f"{surest['trust'].mean():.2f} and {doubtful['trust'].mean():.2f}."
    if len(doubtful)
    else "The page shows every cluster.",
    f"Open `data/{dataset}/report.html` in a browser.",
)

# %% tags=["summary"]
print(f"report.html: {len(ranked):,} clusters of two or more, {(folder / 'report.html').stat().st_size / 1e6:.1f} MB")
