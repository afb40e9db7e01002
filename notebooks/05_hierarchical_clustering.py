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
# # 5 · Families, genera and species, found
#
# **The question.** How do the photographs fall into genera, and each genus into species, when nobody says how many?
#
# A *clusterer* is described by a card in `params/clusterers/`. Genus and species names are never read here. Family names
# are used where they are known, as in the challenge this analysis comes from; without them families are clusters too.
#
# **In:** embeddings of one encoder. **Out:** `clusters/<encoder>/<clusterer>/seed=<n>.parquet` with `hash_id` and a
# family, genus and species cluster, each species within one genus and each genus within one family.

# %% tags=["parameters"]
dataset = "demo"
encoder = "specimen_resnet18_double"
clusterer = "nested_ward"  # names the output; its card is given below: change that, and this with it
method = "nested_ward"  # nested_ward, nested_kmeans or flat_kmeans
max_genera = 10  # nested_kmeans: genera per family
max_species = 10  # nested_kmeans: species per genus
max_clusters = 1000  # flat_kmeans: species over the whole dataset
max_families = 30  # where no family is known
genus_layer = "first"  # a layer by name, or the first (shallow) or last (deep) one
species_layer = "last"
use_family = True  # false withholds the family names from the clusterer
seeds = [0, 1, 2]

# %%
import sys

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_mutual_info_score
from sklearn.preprocessing import normalize
from tqdm import tqdm

import utils

utils.set_style()
specimens = utils.load_metadata(dataset)[["hash_id", "family"]]
layers = utils.load_embeddings(dataset, encoder, specimens["hash_id"])
for_genus = normalize(utils.pick_layer(layers, genus_layer))
for_species = normalize(utils.pick_layer(layers, species_layer))

# %% [markdown]
# Every vector is scaled to length 1: its direction tells what is in the photograph, its length mostly how clearly.
#
# ## How many clusters? The silhouette
#
# The silhouette (Rousseeuw, 1987) compares each point's distance to its own cluster with that to the nearest other one. It
# needs no labels. Of a range of candidate numbers, the one with the best mean silhouette is taken.


# %%
def kmeans(points, k, seed):
    """k-means labels of (n, d) points; never more clusters than points."""
    k = min(k, len(points))
    return KMeans(k, random_state=seed).fit_predict(points) if k > 1 else np.zeros(len(points), int)


# %% [markdown]
# ## Families
#
# Given families are taken as they are; photographs without one form a group of their own. If no family is known (or it is
# withheld), families are k-means clusters, as many as the silhouette prefers.


# %%
def families(seed):
    """Family label (n,) of every photograph: the given name, or a cluster."""
    if use_family and specimens["family"].notna().any():
        return specimens["family"].fillna("(unknown)").to_numpy()
    ks = range(2, min(max_families, len(for_species) - 1) + 1)
    labels = utils.best_partition((kmeans(for_species, k, seed) for k in ks), for_species)
    return np.char.add("f", (pd.factorize(labels)[0] + 1).astype(str)).astype(object)


# %% [markdown]
# ## Three methods
#
# **Nested Ward.** Inside a family, one Ward tree of its photographs, cut at two heights. The lower cut (species) is where
# the photographs' silhouette is best. The upper cut (genus) is where the silhouette of those species' centroids is best:
# there, species are the points and genera the clusters. Cuts of one tree are nested.


# %%
def nested_ward(family, seed):
    """Genus and species labels (n,), by one tree per family; the seed plays no part."""
    genus, species = np.empty((2, len(family)), int)
    groups = pd.Series(family).groupby(family).indices
    for rows in tqdm(groups.values(), desc="families", unit="family"):
        genus[rows], species[rows] = utils.cut_twice(for_species[rows])
    return family, genus, species


# %% [markdown]
# **Nested k-means.** The best method of the study this extends: inside a family, k-means into at most `max_genera` genera;
# inside each of those, k-means into at most `max_species` species. A group smaller than the cap falls into single photos.
#
# **Flat k-means.** One k-means over all photographs for the species, with the number that the silhouette prefers; then
# one over the species' centroids for the genera. It runs on the 50 leading principal components, which keeps a search over
# many numbers affordable. Where families are known, what straddles two of them is split.


# %%
def nested_kmeans(family, seed):
    """Genus and species labels (n,), by k-means inside families and then inside genera."""
    genus, species = np.empty((2, len(family)), int)
    for rows in tqdm(pd.Series(family).groupby(family).indices.values(), desc="families", unit="family"):
        genus[rows] = kmeans(for_genus[rows], max_genera, seed)
        for label in np.unique(genus[rows]):
            inside = rows[genus[rows] == label]
            species[inside] = kmeans(for_species[inside], max_species, seed)
    return family, genus, species


def flat_kmeans(family, seed):
    """Genus and species labels (n,), by k-means over everything at once."""

    def best(points, desc):
        points = PCA(min(50, *points.shape), random_state=seed).fit_transform(points)
        ks = tqdm(utils.candidates(min(max_clusters, len(points) - 1), 20), desc=desc, unit="k")
        return pd.factorize(utils.best_partition((kmeans(points, k, seed) for k in ks), points))[0]

    species = best(for_species, "species")
    centroids = np.stack([for_genus[species == s].mean(0) for s in range(species.max() + 1)])
    return family, best(centroids, "genera")[species], species


# %% [markdown]
# ## Clusters
#
# A cluster is named by its path (`Noctuidae/g2/s1`), so names are unique over the dataset and nesting holds by construction;
# it is checked all the same.

# %%
methods = {"nested_ward": nested_ward, "nested_kmeans": nested_kmeans, "flat_kmeans": flat_kmeans}
if method not in methods:
    raise ValueError(f"method {method!r} is not one of {', '.join(methods)}")
found = {}
for seed in seeds:
    clusters = utils.name_clusters(specimens["hash_id"], *methods[method](families(seed), seed))
    utils.check_clusters(clusters, specimens["hash_id"])
    utils.write_table(clusters, utils.dataset_dir(dataset) / "clusters" / encoder / clusterer / f"seed={seed}.parquet")
    found[seed] = clusters.drop(columns="hash_id")
counts = pd.DataFrame({f"seed {seed}": clusters.nunique() for seed, clusters in found.items()})
counts

# %% [markdown]
# ## How steady are they?
#
# Adjusted mutual information between the clusters of two seeds: 1 when the seed does not matter.

# %%
steadiness = {
    rank: np.mean(
        [
            adjusted_mutual_info_score(found[a][f"{rank}_cluster"], found[b][f"{rank}_cluster"])
            for i, a in enumerate(seeds)
            for b in seeds[i + 1 :]
        ]
        or [np.nan]
    )
    for rank in utils.RANKS
}
pd.Series(steadiness, name="mean AMI between seeds").to_frame()

# %% [markdown]
# ## How large are they?

# %%
figure, ax = plt.subplots(figsize=(7, 3.2))
for rank, colour in zip(utils.RANKS, utils.PALETTE, strict=False):
    sizes = found[seeds[0]][f"{rank}_cluster"].value_counts().to_numpy()
    ax.step(np.arange(1, len(sizes) + 1), sizes, where="mid", color=colour, label=f"{len(sizes):,} {rank} clusters")
ax.set(
    xscale="log",
    yscale="log",
    xlabel="cluster, from the largest",
    ylabel="photographs",
    title=f"{utils.encoder_label(encoder)}, {clusterer}",
)
ax.legend(frameon=False)
plt.show()

# %% tags=["summary"]
print(
    ", ".join(f"{counts.loc[f'{rank}_cluster'].median():,.0f} {rank} clusters" for rank in utils.RANKS)
    + f" over {len(seeds)} seeds"
)
