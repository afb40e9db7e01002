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
# **The question.** How much phylogenetic signal is needed, and how much variation is tolerable, to recover families, genera
# and species from photographs?
#
# This chapter is one point of an experiment. It simulates a small world with the properties given below, photographs it, and
# scores the clusters found in the photographs. The sweep `signal` (`make sweep SWEEP=signal`) changes one property at a time
# and repeats each point with several worlds. Chapter 95 shows at which values recovery fails.
#
# **In:** properties of the world, and configs of encoders. **Out:** `recoverability/<setting>.csv` with
# `encoder, rank, metric, value`. The photographs are temporary files.

# %% tags=["parameters"]
dataset = "demo"
setting = "default"  # names the output
encoders = ["true_traits", "pixels"]  # configs in params/encoders/
clusterer = "pooled_average"  # the default: config in params/clusterers/
weights_dir = ""  # folder with <architecture>.safetensors or .pth; empty: the hub
n_families = 14
n_genera = 24
n_species = 48
n_specimens = 6  # photographs per species, or of the commonest species
pagel_lambda = 1.0  # phylogenetic signal of the traits, from 0 (species independent) to 1 (Brownian motion on the tree)
within_species = 0.1  # standard deviation of individuals, in units of the standard deviation of unrelated species
dimorphic = 0.15  # share of species with two morphs
mimicry = 0.0  # share of species with the colours of a species of another family
clutter = 1.0  # complexity of the background: 0 is a grey board, 1 is natural ground
imbalance = 0.0  # power with which photographs per species fall; 0: all species have equally many
habitat = 0.0  # share of photographs taken in the habitat of the species; the others are taken anywhere
image_size = 144  # pixels
seed = 0  # of the world, and of random weights

# %% jupyter={"source_hidden": true}
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

# %% [markdown]
# ## The simulated world
#
# Chapter 00 explains how species, traits and photographs are simulated. Each line below shows one species, and each species
# is of another family. Compare the photographs within a line and between lines: an encoder that reads photographs has only
# this information.

# %%
world = simulate(
    n_families, n_genera, n_species, n_specimens, pagel_lambda, within_species, dimorphic, mimicry, clutter, seed,
    imbalance=imbalance, habitat=habitat,
)  # fmt: skip
specimens, species = world.specimens, world.taxa["species"]
scratch = tempfile.TemporaryDirectory(prefix="recoverability-")  # removed with the kernel, even if a later cell fails
paths = [Path(scratch.name) / f"{name}.jpg" for name in specimens["hash_id"]]
photograph_all(specimens, paths, image_size)
place = pd.Series(paths).groupby(specimens["species"]).agg(list)
shown = world.taxa.groupby("family", sort=False)["species"].first()[:6]
plotting.show_photos(plotting.contact_sheet(place[shown].to_dict(), min(n_specimens, 8), size=90))

# %% [markdown]
# ## Embeddings
#
# As in chapters 02 and 05, the deepest layer is used and every vector is scaled to length 1.
#
# Encoders of the library `truth` read no photograph. *True traits* reads the traits of every specimen, and a photograph
# contains no more information than these. It is the reference for the other encoders. It need not be the best at every rank,
# because it gives all traits the same weight. All species of a family have one form (at a lambda of 1), so an encoder that
# gives more weight to the form may find families better.


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
# ## Scores
#
# No family is given at first. All photographs of the world form one Ward tree, which is scored in three ways.
#
# **Taxa.** The tree is cut into the true numbers of families, genera and species (oracle k). These numbers are not known for
# real photographs. They are used here so that the score measures the embedding and not the choice of k. Adjusted mutual
# information (AMI) is 1 for the true taxa and 0 on average for random labels.
#
# **Phylogeny.** Of three species, two are more closely related in the true tree. *Triplet accuracy* is the share of triples
# of photographs for which the Ward tree joins these two species first. It is 1 for the true tree and 1/3 for a random tree,
# and it needs no cut.
#
# **Places.** The AMI of the species clusters with the places where the photographs were taken (leaf, bark, drawer and so on).
# It is above 0 if clusters are places rather than species, or if species live in certain places.
#
# With the families given, the default clusterer finds species without knowing their number. Its AMI stands beside that of the
# family names alone, and the number of clusters beside the true number.


# %%
def score(embedding):
    """{(rank, metric): value} of the Ward tree of (n, d) points, cut at the true numbers of taxa."""
    tree = clustering.LinkageTree(embedding)
    found = {rank: tree(world.taxa[rank].nunique()) for rank in utils.RANKS}
    values = {(r, "ami"): adjusted_mutual_info_score(specimens[r], labels) for r, labels in found.items()}
    numbers = pd.Index(species).get_indexer(specimens["species"])
    values["tree", "triplet_accuracy"] = scoring.triplet_accuracy(tree.merges, numbers, squareform(cophenet(world.nodes)))
    values["place", "ami"] = adjusted_mutual_info_score(specimens["scene_place"], found["species"])
    default = clustering.cluster({"": embedding}, specimens["family"], clustering.Clusterer.named(clusterer), seed)
    values["species", "ami_families_given"] = adjusted_mutual_info_score(specimens["species"], default["species"])
    values["species", "n_found"] = default["species"].nunique()
    return values


# %% [markdown]
# ## Baseline: perfect species without phylogenetic signal
#
# Clusters that consist of whole species agree with genera to some degree, even if species are grouped at random. So the genus
# AMI is above 0 if species are easy to separate but their traits carry no phylogenetic signal. The baseline *none* measures
# this effect: every species is one random point, and all specimens of the species lie on it.

# %%
points = pd.DataFrame(np.random.default_rng([seed, 9]).normal(size=(n_species, 16)), species)
scores = {"none": score(points.loc[specimens["species"]].to_numpy())}
scores |= {encoder: score(embedding) for encoder, embedding in embeddings.items()}
by_name = adjusted_mutual_info_score(specimens["species"], specimens["family"])
scores["family_names"] = {("species", "ami_families_given"): by_name, ("species", "n_found"): n_families}
rows = [(encoder, *key, value) for encoder, values in scores.items() for key, value in values.items()]
table = pd.DataFrame(rows, columns=["encoder", "rank", "metric", "value"])
utils.write_table(table.round(6), utils.dataset_dir(dataset) / "recoverability" / f"{setting}.csv")

# %% [markdown]
# ## The scores
#
# Compare encoders within a column. An encoder far below *true traits* misses information that the traits contain. With a
# genus AMI near *none* and a triplet accuracy near 1/3, species may be found but their relationships are not.

# %%
wide = table.pivot(index="encoder", columns=["rank", "metric"], values="value").loc[list(scores)]
names = {encoder: encoder_configs.readable_name(dataset, encoder) for encoder in encoders}
wide.rename(index=names).round(3)

# %% [markdown]
# ## What we learned

# %%
sentences = []
if encoders:
    species_ami, genus_ami = (wide.loc[encoders, (rank, "ami")] for rank in ("species", "genus"))
    best, baseline = species_ami.idxmax(), wide.loc["none", ("genus", "ami")]
    accuracy = wide.loc[encoders, ("tree", "triplet_accuracy")].dropna()
    sentences.append(f"Of {len(encoders)} encoders, {names[best]} has the highest species AMI ({species_ami[best]:.2f}).")
    sentences.append(
        f"The genus AMI of {(genus_ami > baseline).sum()} of them is above that of perfect species without phylogenetic "
        f"signal ({baseline:.2f})."
    )
    if len(accuracy):
        sentences.append(f"Triplet accuracy is {accuracy.min():.2f} to {accuracy.max():.2f}; a random tree has 0.33.")
sentences.append("This is one world. The sweep `signal` shows how much scores differ between worlds of the same properties.")
plotting.say(*sentences)

# %% tags=["summary"]
print(
    f"{len(specimens):,} photos of {n_species} species; species AMI and triplet accuracy: "
    + ", ".join(f"{e} {wide.loc[e, ('species', 'ami')]:.2f} {wide['tree'].loc[e].item():.2f}" for e in encoders)
)
