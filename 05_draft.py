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
method = "ward"  # ward, average, complete, kmeans, minibatch_kmeans, mixture, hdbscan, leiden, evoc; or caps, the study's
nested = True  # families first, and clusters inside each; false: clusters of everything, split where two families meet
number = "forgetful_silhouette"  # how many species: silhouette, forgetful_silhouette, gap, stability or heights
per_cluster = 1  # a prior: photographs that a species has on average, or more
species_per_genus = 2.0  # a prior: species that a genus has on average; 0: as the silhouette finds
smallest = 5  # hdbscan, leiden, evoc: photographs of the smallest cluster, or neighbours
max_genera = 10  # caps: genera per family
max_species = 10  # caps: species per genus
max_families = 30  # where no family is known
genus_layers = {"last": 1.0}  # layers by name, or the first (shallow) or last (deep) one, and their weights side by side
species_layers = {"last": 1.0}
root = True  # preparation of the embedding: signed square root,
components = 256  # principal components (0: as it is),
whiten = 0.5  # each divided by its standard deviation to this power,
neighbours = 0  # and the mean with so many nearest neighbours
use_family = True  # false withholds the family names from the clusterer
seeds = [0, 1, 2]

# %%
import sys

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_mutual_info_score
from tqdm import tqdm

import clustering
import utils

utils.set_style()
specimens = utils.load_metadata(dataset)[["hash_id", "family"]]
layers = utils.load_embeddings(dataset, encoder, specimens["hash_id"])
methods = [*clustering.BY_NUMBER, *clustering.BY_DENSITY, "caps"]
if method not in methods:
    raise ValueError(f"method {method!r} is not one of {', '.join(methods)}")
if number not in clustering.RULES or (number == "heights" and not issubclass(clustering.tree_of(method), clustering.Tree)):
    raise ValueError(f"number {number!r} is not one of {', '.join(clustering.RULES)}, or heights without a tree")

# %% [markdown]
# ## Preparing the embedding
#
# The direction of a vector tells what is in the photograph, its length mostly how clearly: all are scaled to length 1. A
# signed square root tames single large features. Whitening, half of it, weighs down the few directions in which all
# photographs differ most, such as light and pose.


# %%
def prepared(weights):
    """Prepared layers side by side (n, d), each with its weight."""
    parts = [
        weight * clustering.prepare(utils.pick_layer(layers, layer), root, components, whiten, neighbours)
        for layer, weight in weights.items()
    ]
    return np.hstack(parts)


for_species = prepared(species_layers)
for_genus = for_species if genus_layers == species_layers else prepared(genus_layers)

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
