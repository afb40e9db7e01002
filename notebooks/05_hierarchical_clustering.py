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
# A *clusterer* is described by a config in `params/clusterers/`. Genus and species names are never read here. Family names
# are used where they are known, as in the challenge this analysis comes from; without them families are clusters too.
#
# **In:** embeddings of one encoder. **Out:** `clusters/<encoder>/<clusterer>/seed=<n>.parquet` with `hash_id` and a
# family, genus and species cluster, each species within one genus and each genus within one family; and two columns that
# tell which photographs the method called noise, and which a family border separates from most of their cluster (`split_by_family`).

# %% tags=["parameters"]
dataset = "demo"
encoder = "specimen_resnet18_double"
clusterer = "nested_ward"  # its config is given below: change that, and this with it
setting = ""  # names the output; empty: as the clusterer
method = (
    "ward"  # ward, average, complete, kmeans, minibatch_kmeans, mixture, hdbscan, leiden, evoc; or caps, the study's
)
nested = True  # clusters inside each family, given or found; false: of everything, split where two families meet
k_rule = "silhouette_excluding_0_to_2"  # how many species: also silhouette, gap, stability or heights
min_mean_cluster_size = 1.0  # a prior: photographs of a species on average, or more
species_per_genus = 2.0  # a prior: species of a genus on average; 0: as many genera as the silhouette prefers
min_cluster_size = 5  # hdbscan, leiden, evoc: photographs of the smallest cluster, or neighbours
max_genera = 10  # caps: genera per family
max_species = 10  # caps: species per genus
max_families = 30  # where no family is known
genus_layers = {
    "last": 1.0
}  # layers by name, or the first (shallow) or last (deep) one, and their weights side by side
species_layers = {"last": 1.0}
signed_sqrt = True  # preparation of every layer: signed square root,
pca_components = 256  # principal components (0: as they are),
whitening_power = 0.5  # each divided by its standard deviation to this power,
n_smoothing_neighbors = 0  # and the mean with so many nearest neighbours;
umap_components = 0  # then UMAP to so many dimensions (0: none)
use_family = True  # false withholds the family names from the clusterer
seeds = [0, 1, 2]

# %%
import itertools
import sys

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_mutual_info_score
from tqdm import tqdm

import clustering
import encoder_configs
import plotting
import utils

plotting.set_style()
setting = setting or clusterer
specimens = utils.load_metadata(dataset)[["hash_id", "family"]]
layers = utils.load_embeddings(dataset, encoder, specimens["hash_id"])
config = clustering.Config(**{name: globals()[name] for name in clustering.CONFIG_FIELDS})

# %% [markdown]
# ## Preparing the embedding
#
# The direction of a vector tells what is in the photograph, its length mostly how clearly: all are scaled to length 1. A
# signed square root tames single large features, and half a whitening weighs down the few directions in which all
# photographs differ most, such as light and pose.

# %% [markdown]
# ## Families
#
# Given families are taken as they are; photographs without one form a group of their own. If no family is known (or it is
# withheld), one Ward tree of all photographs is cut where the silhouette is best, at `max_families` or fewer: what is found
# inside such a family is then a branch of the same tree.
#
# ## How many species? A silhouette that forgets
#
# The silhouette (Rousseeuw, 1987) compares each point's distance to its own cluster with that to the nearest other one,
# without a label. But a camera takes the same individual twice, and two such photographs are so alike that the silhouette
# would make a cluster of every pair. So each photograph forgets its nearest neighbour, or its nearest two: a cluster has to be
# close to the *others* in it, too. A species of two photographs has none left then, and is found by a silhouette that forgets
# nothing. So the mean of the three is asked: of a range of numbers, the one where it is best is taken, family by family.
#
# ## How many genera? A prior
#
# Nothing in a tree marks the height at which a genus begins; that is a convention among people. So their number is a
# stated guess: a genus has `species_per_genus` species on average. AMI forgives a factor of two.
#
# **Trees** (Ward, average, complete linkage) are cut at two heights, so genera and species are nested. **k-means** and
# **mixtures** find species first and then cluster their centroids. **HDBSCAN**, **Leiden** and **EVoC** find the number of
# species themselves; photographs that they call noise join the nearest cluster, and are counted. **Caps** is the best
# method of the study this extends: k-means into at most `max_genera` genera per family, and at most `max_species` species
# in each of those; a group smaller than the cap falls into single photographs.

# %% [markdown]
# ## Clusters
#
# All of this is one function, `clustering.cluster`, which every other chapter calls, too. A method that draws no lots gives
# the same clusters for every seed and runs once. A cluster is named by its path (`Noctuidae/g2/s1`), so names are unique over
# the dataset and nesting holds by construction; it is checked all the same.

# %%
found = {}
for seed in tqdm(seeds, unit="seed"):
    if not found or config.uses_seed:
        labels = clustering.cluster(layers, specimens["family"], config, seed)
        clusters = utils.name_clusters(specimens["hash_id"], labels["family"], labels["genus"], labels["species"])
        clusters = clusters.assign(noise=labels["noise"], split_by_family=labels["split_by_family"])
        utils.check_clusters(clusters, specimens["hash_id"])
    utils.write_table(clusters, utils.dataset_dir(dataset) / "clusters" / encoder / setting / f"seed={seed}.parquet")
    found[seed] = clusters.drop(columns="hash_id")
ranks = [f"{rank}_cluster" for rank in utils.RANKS]
counts = pd.DataFrame({f"seed {seed}": clusters[ranks].nunique() for seed, clusters in found.items()})
shares = pd.DataFrame({f"seed {seed}": clusters[["noise", "split_by_family"]].mean() for seed, clusters in found.items()})
pd.concat([counts, shares.round(3)])

# %% [markdown]
# ## How stable are they?
#
# Adjusted mutual information between the clusters of two seeds: 1 when the seed does not matter.

# %%
pairs = list(itertools.combinations(seeds, 2))
stability = {
    rank: np.mean([adjusted_mutual_info_score(found[a][rank], found[b][rank]) for a, b in pairs] or [np.nan])
    for rank in ranks
}
pd.Series(stability, name="mean AMI between seeds").to_frame()

# %% [markdown]
# ## How large are they?

# %%
figure, ax = plt.subplots(figsize=(7, 3.2))
for rank, colour in zip(utils.RANKS, plotting.PALETTE, strict=False):
    sizes = found[seeds[0]][f"{rank}_cluster"].value_counts().to_numpy()
    ax.step(np.arange(1, len(sizes) + 1), sizes, where="mid", color=colour, label=f"{len(sizes):,} {rank} clusters")
ax.set(
    xscale="log",
    yscale="log",
    xlabel="cluster, from the largest",
    ylabel="photographs",
    title=f"{encoder_configs.readable_name(encoder)}, {setting}",
)
ax.legend(frameon=False)
plt.show()

# %% tags=["summary"]
print(
    ", ".join(f"{counts.loc[f'{rank}_cluster'].median():,.0f} {rank} clusters" for rank in utils.RANKS)
    + f" over {len(seeds)} seeds"
)
