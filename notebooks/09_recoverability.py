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
# # 9 · When is a hierarchy recoverable?
#
# **The question.** How much must the looks of organisms remember of their history, and how much may hide it, before no
# clusterer can find families, genera and species in photographs?
#
# This chapter is one point of an experiment: it simulates a small world with the properties given below, photographs it and
# scores what is found there. The sweep `signal` (`make sweep SWEEP=signal`) changes one property at a time, over several
# worlds, and chapter 98 draws where recovery breaks.
#
# **In:** the properties of the world, and the configs of the encoders that look at it. **Out:** `recoverability/<setting>.csv`
# with `encoder, rank, metric, value`. The photographs are removed when the scores are known.

# %% tags=["parameters"]
dataset = "demo"
setting = "default"  # names the output
encoders = ["true_traits", "pixels"]  # configs in params/encoders/
weights_dir = ""  # folder with <architecture>.safetensors or .pth; empty: the hub
n_families = 6
n_genera = 16
n_species = 48
n_specimens = 6  # photographs per species
pagel_lambda = 1.0  # how much of their common history the traits remember, 0 to 1
within_species = 0.25  # standard deviation of individuals, in units of that between unrelated species
dimorphic = 0.3  # share of species with two morphs, such as sexes
mimicry = 0.0  # share of species that have the colours of a distant one
clutter = 1.0  # disorder around the specimens: 0 is a grey board, 1 natural ground
image_size = 256  # pixels
seed = 0  # of the world, and of random weights

# %%
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, "..")
import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import cophenet
from scipy.spatial.distance import squareform
from sklearn.metrics import adjusted_mutual_info_score
from sklearn.preprocessing import normalize
from tqdm import tqdm

import clustering
import encoder_configs
import plotting
import scoring
import utils
from encoders import Source, open_encoder
from simulation.specimens import photograph_all, simulate

plotting.set_style()
world = simulate(
    n_families, n_genera, n_species, n_specimens, pagel_lambda, within_species, dimorphic, mimicry, clutter, seed
)
specimens, species = world.specimens, world.taxa["species"]

# %% [markdown]
# ## The world
#
# Chapter 00 tells how species, their traits and their photographs come about. Each line shows one species; below each
# other stand species of different families.

# %%
scratch = tempfile.TemporaryDirectory(prefix="recoverability-")  # goes with the kernel, even if a later cell fails
paths = [Path(scratch.name) / f"{name}.jpg" for name in specimens["hash_id"]]
photograph_all(specimens, paths, image_size)
place = pd.Series(paths).groupby(specimens["species"]).agg(list)
shown = world.taxa.groupby("family", sort=False)["species"].first()[:6]
plotting.show_photos(plotting.contact_sheet(place[shown].to_dict(), min(n_specimens, 8), size=90))

# %% [markdown]
# Can you tell what the lines have in common, and can you tell them apart? An encoder that sees pixels has no more to go by.
#
# ## What the encoders make of it
#
# As in chapters 02 and 05, the deepest layer is taken and every vector is scaled to length 1. An encoder of the library
# `truth` looks at no photograph. *true_traits* is told the traits of every specimen, and no photograph tells more. Still it
# need not win everywhere: it weighs all traits alike, and an encoder that weighs the body plan more may come nearer to
# the families, which the simulation gives one body plan each (at a lambda of 1).


# %%
weights_dir = utils.ROOT / Path(weights_dir).expanduser() if weights_dir else ""
source = Source(paths, truth=lambda: specimens, weights_dir=weights_dir)


def describe(encoder):
    """Embedding (n, d) of all specimens by one encoder, each vector of length 1."""
    (layers,) = open_encoder(encoder_configs.build_config(dataset, encoder), source, seed).describe([range(len(paths))])
    return normalize(utils.pick_layer(layers, "last"))


embeddings = {encoder: describe(encoder) for encoder in tqdm(encoders, desc="encoders", unit="encoder")}
scratch.cleanup()
pd.Series({encoder: x.shape[1] for encoder, x in embeddings.items()}, name="dimensions").to_frame()

# %% [markdown]
# ## One tree of all photographs, told the true numbers
#
# No family is given. All photographs of the world go into one Ward tree, and two questions are asked of it.
#
# **Does it hold the taxa?** The tree is cut into as many clusters as there are families, genera and species. Nobody who has
# only photographs knows these numbers; they are told here so that the score speaks of the signal and not of
# the choice of a number. Adjusted mutual information (AMI) is 1 for the true taxa, and 0 on average for labels dealt out at
# random.
#
# **Does it hold the history?** Take three photographs of three species. In the true tree two of the species are more
# closely related; *triplet accuracy* is the share of such triples of which the Ward tree joins these two first. It is 1 for
# the true tree and one in three for a tree that knows nothing, and no cut is needed.


# %%
def score(embedding):
    """{(rank, metric): value} of the Ward tree of (n, d) points, with the true numbers of taxa told."""
    tree = clustering.LinkageTree(embedding)
    found = {rank: tree(world.taxa[rank].nunique()) for rank in utils.RANKS}
    values = {(r, "ami"): adjusted_mutual_info_score(specimens[r], labels) for r, labels in found.items()}
    numbers = pd.Index(species).get_indexer(specimens["species"])
    values["tree", "triplet_accuracy"] = scoring.triplet_accuracy(tree.merges, numbers, squareform(cophenet(world.nodes)))
    return values


# %% [markdown]
# ## A mark to compare with: perfect species, no history
#
# A cluster of whole species says something of genera, however the species came together. So the genus AMI stays above 0
# where species are easy to tell apart but their traits remember nothing. What that alone gives is scored beside the
# encoders, under the name *none*: every species a point of its own, drawn at random, all its specimens on it.

# %%
points = pd.DataFrame(np.random.default_rng([seed, 9]).normal(size=(n_species, 16)), species)
scores = {"none": score(points.loc[specimens["species"]].to_numpy())}
scores |= {encoder: score(embedding) for encoder, embedding in embeddings.items()}
rows = [(encoder, *key, value) for encoder, values in scores.items() for key, value in values.items()]
table = pd.DataFrame(rows, columns=["encoder", "rank", "metric", "value"])
utils.write_table(table.round(6), utils.dataset_dir(dataset) / "recoverability" / f"{setting}.csv")

# %% [markdown]
# ## The table
#
# Read it down the columns. Far below *true_traits*, the signal is there and the encoder does not see it. Near *none* at the
# genus and one in three at the triplets, species may be found but their kinship is not. One world is one throw of the dice:
# how far scores differ between worlds of the same properties, the sweep tells.

# %%
wide = table.pivot(index="encoder", columns=["rank", "metric"], values="value").loc[list(scores)]
wide.rename(index=encoder_configs.readable_name).round(3)

# %% tags=["summary"]
print(
    f"{len(specimens):,} photos of {n_species} species; species AMI and triplet accuracy: "
    + ", ".join(f"{e} {wide.loc[e, ('species', 'ami')]:.2f} {wide['tree'].loc[e].item():.2f}" for e in encoders)
)
