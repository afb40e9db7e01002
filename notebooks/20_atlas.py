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
# # 20 · An atlas in one file
#
# **The question.** What is where? People look before they read, and then want to correct what is wrong.
#
# The atlas is one HTML file that opens from disk, without a network. A map, a tree of clusters and the photographs follow each
# other. Clusters can be accepted, split, merged, grown and named, and the decisions saved as `review.csv`
# ([docs/atlas.md](../docs/atlas.md)).
#
# **In:** clusters of one run and their trust (or the clusters of chapter 21, if a person reviewed them before), the map and the
# embedding of its encoder. **Out:** `atlas/<encoder>.html`; if the thumbnails need more than 50 MB, they are in
# `atlas/<encoder>.page-<n>.js` beside it.

# %% tags=["parameters"]
dataset = "demo"
run = ""  # encoder/clusterer; empty: the run of submission.csv
seed = 0
trusted = True  # false: chapter 16 was about another run, so trust is not known
reviewed = False  # true: the clusters of chapter 21

# %% jupyter={"source_hidden": true}
import sys

sys.path.insert(0, "..")
import numpy as np
from tqdm import tqdm

import atlas
import clustering
import encoder_configs
import plotting
import review
import trust
import utils
from images import thumbnails

folder = utils.dataset_dir(dataset)
specimens = utils.load_metadata(dataset)
ids = specimens["hash_id"]
run = run or utils.load_plan(dataset)["submit"]
encoder, clusterer = run.split("/")
config, points, _ = clustering.load_prepared(dataset, run, ids, seed)

# %% [markdown]
# ## The clusters
#
# Clusters, trust and, after a review, decisions and names. Where species have names, a photograph is right if its species is
# the most common one in its cluster.

# %%
if reviewed or trusted:
    clusters = review.load_current(dataset, ids, reviewed)
else:
    clusters = utils.load_clusters(dataset, run, seed, ids).assign(trust=np.nan)
clusters = clusters.reindex(columns=[*clusters, *(name for name in review.COLUMNS if name not in clusters)])
table = specimens[["hash_id", "path", *utils.RANKS]].copy()
columns = [*review.CLUSTERS, "trust", "decision", "duplicate_of"]
table[columns] = clusters[columns]
named = clusters["scientificName"].where(clusters["taxonRank"] == "species")
table["given_family"], table["given_genus"], table["given_species"] = clusters["family"], clusters["genus"], named
known = (utils.lineage(table, "species").notna() & table["species_cluster"].notna()).to_numpy()
table["right"] = -1
if known.any():
    species = utils.lineage(table, "species").to_numpy(object)[known]
    table.loc[known, "right"] = trust.right(table["species_cluster"].to_numpy(object)[known], species).astype(int)
table["right"].map({1: "right", 0: "wrong", -1: "no name"}).value_counts().to_frame()

# %% [markdown]
# ## The file
#
# Photographs are in the order of the trees: those that are alike stand together, on the tree, among the thumbnails and in the
# file. Thumbnails are the ones of chapter 19.

# %%
maps = utils.read_table(folder / "maps" / encoder / "default.parquet")
layer = utils.layer_name(list(maps["layer"].unique()), "last")
xy = maps[maps["layer"] == layer].set_index("hash_id").loc[ids, ["x", "y"]].to_numpy()
title = f"{dataset}: {encoder_configs.readable_name(dataset, encoder)}, {clusterer.replace('_', ' ')}"
method = config.method if config.method in clustering.TREES else "average"
data, rows = atlas.contents(dataset, title, table, xy, points, method)
paths = [folder / "photos" / path for path in table["path"].fillna("").iloc[rows]]  # a barcode alone has no photograph
small = thumbnails(paths, specimens["sha256"].iloc[rows], folder / "previews" / "thumbnails")
written = atlas.write_atlas(folder / "atlas" / f"{encoder}.html", data, tqdm(small, total=len(rows), unit="thumbnail"))
megabytes = [path.stat().st_size / 1e6 for path in written]

# %% [markdown]
# ## What we learned

# %%
beside = f", and {len(written) - 1} pages of thumbnails beside it with {sum(megabytes[1:]):.0f} MB" if len(written) > 1 else ""
plotting.say(
    f"The atlas shows {len(table):,} photographs in {table['species_cluster'].nunique():,} clusters. It is one file of "
    f"{megabytes[0]:.1f} MB{beside}: open `data/{dataset}/atlas/{encoder}.html` in a browser.",
)

# %% tags=["summary"]
print(f"atlas/{encoder}.html: {len(table):,} photographs, {sum(megabytes):.1f} MB, files: {len(written)}")
