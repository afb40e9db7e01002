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
# # 19 · Clusters as pictures
#
# **The question.** What is in the clusters? A table does not show it, photographs do.
#
# Every family has a contact sheet, with one strip per cluster. The most central photograph (the medoid) comes first, then the
# most trusted ones. Last are the odd ones out: a frame marks the tenth of all photographs that is trusted least.
# Clusters with the highest trust are on top.
#
# **In:** the clusters and their trust (chapter 16; or chapter 21, if a person reviewed them), and the embedding. **Out:**
# `previews/clusters/` with the pages as JPEG and a list of them, `index.csv`. Pages of a simulated world may be published: its
# figure is `clusters.jpg`.

# %% tags=["parameters"]
dataset = "demo"
run = ""  # encoder/clusterer whose clusters these are; empty: the run of submission.csv
reviewed = False  # true: the clusters of chapter 21
seed = 0

# %% jupyter={"source_hidden": true}
import sys

sys.path.insert(0, "..")
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

import clustering
import plotting
import review
import sheets
import utils

plotting.set_style()
folder = utils.dataset_dir(dataset)
specimens = utils.load_metadata(dataset)
run = run or utils.load_plan(dataset)["submit"]
_, points, _ = clustering.load_prepared(dataset, run, specimens["hash_id"], seed)
clusters = review.load_current(dataset, specimens["hash_id"], reviewed)

# %% [markdown]
# ## Pure, split and merged clusters
#
# Where species have names, a cluster is *merged* if fewer than nine in ten of its named photographs are of one species.
# Otherwise it is *pure* if it has most photographs of this species, and *split* if most are elsewhere. Without names nothing is
# marked. (Chapter 12 uses these words for species, not for clusters.)

# %%
inside = clusters["species_cluster"].notna().to_numpy()  # noise has no cluster
labels = clusters["species_cluster"].fillna("noise").to_numpy(object)
judged = sheets.verdicts(labels, utils.lineage(specimens, "species"))
trust = clusters["trust"].to_numpy(float)
odd = sheets.odd_ones(trust) & inside
sizes = pd.Series(labels[inside]).value_counts()
judged.loc[sizes.index[sizes > 1], "verdict"].replace("", "no name").value_counts().rename("clusters of two or more").to_frame()

# %% [markdown]
# ## The pages
#
# One page holds up to 14 clusters of one family. Every core draws a page and holds the photographs of that page only. Their
# thumbnails are made once and kept in `previews/thumbnails/`; the atlas of chapter 20 uses them, too.


# %%
out = folder / "previews" / "clusters"
index, drawings, pages, files = [], [], {}, specimens[["path", "sha256"]]
families = clusters["family_cluster"].to_numpy(object)
for family, rows in pd.Series(np.flatnonzero(inside)).groupby(families[inside]):
    pages[family] = sheets.strips_of(rows.to_numpy(), labels, points, trust, odd, judged)
    total = -(-len(pages[family]) // sheets.STRIPS)
    for number in range(1, total + 1):
        strips = pages[family][(number - 1) * sheets.STRIPS : number * sheets.STRIPS]
        name = f"page-{len(drawings) + 1:04d}.jpg"
        where = f", page {number} of {total}" if total > 1 else ""
        count = f"{sum(len(strip.rows) for strip in strips):,} photographs in {len(strips)} strips"
        title = f"{plotting.printable(family)}{where}: {count}, most trusted clusters first"
        shown = files.loc[np.concatenate([sheets.shown(strip, odd) for strip in strips])]
        drawings.append(delayed(sheets.write_page)(out / name, title, strips, odd, shown, folder))
        about = {"page": name, "family": family}
        index += [about | {"strip": s.name, "photographs": len(s.rows), "trust": s.trust, "verdict": s.verdict} for s in strips]
drawn = Parallel(n_jobs=-1, return_as="generator")(drawings)
for _ in tqdm(drawn, total=len(drawings), unit="page"):
    pass
for old in out.glob("page-*.jpg"):  # of a run with more pages
    if old.name not in {one["page"] for one in index}:
        old.unlink()
index = pd.DataFrame(index)
utils.write_table(index.round(4), out / "index.csv")

# %% [markdown]
# ## One family
#
# The most trusted clusters of the family with the most clusters.

# %%
most = max(pages, key=lambda family: len(pages[family]))
strips = pages[most][:8]
title = f"{plotting.printable(most)}, the {len(strips)} most trusted clusters"
marked = pd.Series([strip.verdict for strip in strips if strip.verdict]).value_counts()
if len(marked):
    counted = ", ".join(f"{marked[kind]} {kind}" for kind in ("pure", "split", "merged") if kind in marked)
    title = f"{title}: {counted}; odd ones out are last and framed"
page = sheets.draw_page(title, strips, sheets.photographs_of(strips, odd, files, folder), odd)
if (folder / "truth.parquet").is_file():  # a simulated world
    sheets.save_page(page, utils.figures_dir(dataset) / "clusters.jpg")
plotting.show_photos(page)

# %% [markdown]
# ## What we learned

# %%
counted = index[index["strip"] != sheets.ALONE]["verdict"].replace("", "no name").value_counts()
plotting.say(
    f"{len(sizes):,} clusters of {len(pages):,} families are on {index['page'].nunique():,} pages; "
    f"{(sizes == 1).sum():,} of them hold a single photograph.",
    f"Of those with two or more, {counted.get('pure', 0)} are pure, {counted.get('split', 0)} split and "
    f"{counted.get('merged', 0)} merged." if judged["verdict"].any() else "No species has a name, so no cluster is marked.",
)

# %% tags=["summary"]
kinds = ", ".join(f"{n} {kind}" for kind, n in counted.items())
print(f"{index['page'].nunique():,} pages of {len(sizes):,} clusters; {kinds}")
