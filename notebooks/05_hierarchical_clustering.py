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
# # 5 · From an embedding to families, genera and species
#
# **The question.** Which photographs belong together, at three levels, and how many groups are there?
#
# A config in `params/clusterers/` describes a *clusterer*. Genus and species names are never read here. Family names are used
# where they are known, as in the challenge that this analysis comes from; without them families are clusters, too.
#
# **In:** the embedding of one encoder. **Out:** `clusters/<encoder>/<clusterer>/seed=<n>.parquet` with `hash_id` and a family,
# genus and species cluster. Every species cluster lies in one genus cluster and every genus cluster in one family. Two more
# columns mark what the method called noise (`noise`) and what a family border separates from most of its cluster
# (`split_by_family`).

# %% tags=["parameters"]
dataset = "demo"
encoder = "specimen_resnet18_double"
clusterer = "pooled_average"  # its config is given below: change that, and this with it
setting = ""  # names the output; empty: as the clusterer
method = "average"  # ward, average, complete, kmeans, minibatch_kmeans, mixture, hdbscan, leiden, evoc or caps
nested = True  # clusters inside each family, given or found; false: of all photographs, then split at family borders
k_rule = "common_height"  # how many species; family by family: silhouette, gap, stability, heights, ...
min_mean_cluster_size = 1.0  # a prior: photographs per species on average, at least
species_per_genus = 1.5  # a prior: species per genus on average; 0: as many genera as the silhouette prefers
min_cluster_size = 5  # hdbscan, leiden, evoc: photographs of the smallest cluster, or neighbours
max_genera = 10  # caps: genera per family
max_species = 10  # caps: species per genus
max_families = 30  # where no family is known
genus_layers = {"last": 1.0}  # layers by name, or "first" (shallow) or "last" (deep), with their weights
species_layers = {"last": 1.0}
signed_sqrt = True  # preparation of every layer: signed square root,
pca_components = 256  # principal components (0: no PCA),
whitening_power = 0.5  # each divided by its standard deviation to this power,
n_smoothing_neighbors = 0  # mean with so many nearest neighbours,
umap_components = 0  # UMAP to so many dimensions (0: no map)
use_family = True  # false withholds the family names from the clusterer
seeds = [0, 1, 2]

# %% jupyter={"source_hidden": true}
import itertools
import sys

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from tqdm import tqdm

import clustering
import encoder_configs
import plotting
import scoring
import utils

plotting.set_style()
setting = setting or clusterer
folder = utils.dataset_dir(dataset)
specimens = utils.load_metadata(dataset)[["hash_id", "path", "family"]]
layers = utils.load_embeddings(dataset, encoder, specimens["hash_id"])
config = clustering.Clusterer.of(**{name: globals()[name] for name in clustering.SETTINGS})

# %% [markdown]
# ## Prepare the embedding
#
# The direction of a vector describes the photograph; its length mostly says how strongly the network responds. So every vector
# is scaled to length 1. A signed square root limits single large features. Half whitening reduces the few directions in which
# photographs differ most, such as light and pose.
#
# ## Families
#
# Given families are used as they are; photographs without one form a group of their own. If no family is known, or
# `use_family` is false, one Ward tree of all photographs is cut where its silhouette is best, into `max_families` or fewer.
# With a common height (below), species are then found in one tree of all photographs (if they are not more than 20,000), and a
# genus goes into the family of most of it.
#
# ## How many species?
#
# The silhouette (Rousseeuw, 1987) compares the distance of a photograph to its own cluster with that to the nearest other
# cluster. It needs no labels. Two things mislead it in collections of photographs.
#
# - **Several photographs of one individual** are so similar that the silhouette makes a cluster of each such pair. So the three
#   nearest neighbours of every photograph are excluded: it must be close to *other* members of its cluster. Where clusters are
#   too small for that, fewer are excluded.
# - **A single family** holds little evidence, and may hold a single species. But a species is about as wide in one family as in
#   the next. So all trees are cut at *one common height*: the largest whose silhouette, over all families together, is about as
#   good as the best. Clusters of other families count as neighbours, so a family may stay one cluster.
#
# Photographs that are strangers in their family, by their nearest neighbours, are left out when the height is chosen: most of
# them have a wrong family name. Clusters too small for the silhouette to judge join their nearest neighbour, unless they lie
# far away. Where no cut gives clusters large enough, families stay whole. This is the rule `common_height`, the default for
# trees (`clustering.common_cut`). The other rules choose a number for every family by itself.
#
# If the clusters found hold twelve photographs or more on average, every photograph is then averaged with a few nearest
# neighbours of its family, and everything is clustered again (`clustering.cut_families`). What differs by chance averages out,
# such as pose and light, so species overlap less.
#
# The silhouette does not always have one clear maximum. Numbers of clusters whose silhouettes are at most two and a half
# standard errors below the best are called *plausible*; chapter 15 tests how often the true number is one of them.
#
# ## How many genera?
#
# No height in a tree marks where a genus begins: genera are a convention. So their number is a stated prior,
# `species_per_genus` species per genus on average.
#
# ## The methods
#
# - **Trees** (average, Ward, complete linkage) are cut at two heights, so species are nested in genera.
# - **k-means** and **mixtures** find species first; the centroids of the species are then clustered into genera.
# - **HDBSCAN**, **Leiden** and **EVoC** find the number of species themselves. What they call noise joins the nearest cluster
#   and is counted.
# - **Caps** is the best method of the study that this project extends: k-means into `max_genera` genera per family, then into
#   `max_species` species per genus. A group smaller than the cap falls apart into single photographs.
#
# ## Clusters
#
# All of this is one function, `clustering.cluster`, which every other chapter calls, too; here the embedding is prepared once
# for all seeds, and kept on disk for later chapters. A deterministic method gives the same clusters for every seed and runs
# once. A cluster is named by its path (`Noctuidae/g2/s1`), so names are unique and nested by construction; it is checked all
# the same.

# %%
place = utils.embeddings_dir(dataset, encoder)
found, prepared = {}, config.prepare_both(layers, seeds[0], place)
for seed in tqdm(seeds, unit="seed"):
    if found and config.umap_components:
        prepared = config.prepare_both(layers, seed, place)
    if not found or config.uses_seed:
        labels = clustering.cluster_prepared(*prepared, specimens["family"], config, seed)
        clusters = utils.name_clusters(specimens["hash_id"], labels["family"], labels["genus"], labels["species"])
        clusters = clusters.assign(noise=labels["noise"], split_by_family=labels["split_by_family"])
        clusters.attrs = labels.attrs  # plausible numbers, which the table keeps
        utils.check_clusters(clusters, specimens["hash_id"])
    utils.write_table(clusters, folder / "clusters" / encoder / setting / f"seed={seed}.parquet")
    found[seed] = clusters.drop(columns="hash_id")
ranks = [f"{rank}_cluster" for rank in utils.RANKS]
counts = pd.DataFrame({f"seed {seed}": clusters[ranks].nunique() for seed, clusters in found.items()})
shares = pd.DataFrame({f"seed {seed}": clusters[["noise", "split_by_family"]].mean() for seed, clusters in found.items()})
pd.concat([counts, shares.round(3)])

# %% [markdown]
# ## Stability
#
# Adjusted mutual information between the clusters of two seeds: 1 if the seed does not matter.

# %%
pairs = list(itertools.combinations(seeds, 2))
stability = {rank: np.mean([scoring.ami(found[a][rank], found[b][rank]) for a, b in pairs] or [np.nan]) for rank in ranks}
pd.Series(stability, name="mean AMI between seeds").to_frame()

# %% [markdown]
# ## Cluster sizes

# %% jupyter={"source_hidden": true}
figure, ax = plt.subplots(figsize=(7, 3.2))
for rank, colour in zip(utils.RANKS, plotting.PALETTE, strict=False):
    sizes = found[seeds[0]][f"{rank}_cluster"].value_counts().to_numpy()
    ax.step(np.arange(1, len(sizes) + 1), sizes, where="mid", color=colour, label=f"{len(sizes):,} {rank} clusters")
ax.set(
    xscale="log",
    yscale="log",
    xlabel="cluster, from the largest",
    ylabel="photographs",
    title=f"{encoder_configs.readable_name(dataset, encoder)}, {setting}",
)
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# ## The dendrogram of one family
#
# Ward's tree of one family of middle size, down to at most 24 branches. Each branch shows its most central photograph and the
# number of photographs in it. Colours are the species clusters that were found; where the method is Ward, they are whole
# branches of this tree.

# %% jupyter={"source_hidden": true}
first = found[seeds[0]]
in_family = first.groupby("family_cluster")["species_cluster"].agg(["size", "nunique"])
several = in_family[(in_family["size"] > 2) & (in_family["nunique"] > 1)]["size"].sort_values()
several = several if specimens["path"].notna().all() else several[:0]  # a dataset of barcodes has no photographs
for family in several.index[len(several) // 2 :][:1]:
    rows = np.flatnonzero(first["family_cluster"] == family)
    points = prepared[0][rows]
    photographs = [folder / "photos" / path for path in specimens["path"].iloc[rows]]
    clusters = first["species_cluster"].iloc[rows]
    figure = plotting.photo_dendrogram(clustering.LinkageTree(points).merges, points, photographs, clusters)
    figure.suptitle(f"{plotting.plain(family)}: {len(rows)} photographs in {clusters.nunique()} species clusters")
    plotting.show_photos(figure)

# %% [markdown]
# ## What we learned

# %%
medians = {rank: counts.loc[f"{rank}_cluster"].median() for rank in utils.RANKS}
sizes = first["species_cluster"].value_counts()
sentences = [
    f"{len(specimens):,} photographs fall into {medians['species']:,.0f} species clusters, {medians['genus']:,.0f} genus "
    f"clusters and {medians['family']:,.0f} families (median over seeds).",
    f"The median species cluster holds {sizes.median():g} photographs; {(sizes == 1).mean():.0%} hold a single one.",
]
plausible = labels.attrs["plausible"]
if plausible:
    sentences.append(f"From {plausible[0]:,} to {plausible[1]:,} species clusters are plausible.")
if config.uses_seed and len(seeds) > 1:
    sentences.append(f"Two seeds agree with an AMI of {stability['species_cluster']:.2f} at species.")
else:
    sentences.append("The seed does not matter." if not config.uses_seed else "One seed was run.")
plotting.say(*sentences)

# %% tags=["summary"]
print(", ".join(f"{medians[rank]:,.0f} {rank} clusters" for rank in utils.RANKS) + f" over {len(seeds)} seeds")
