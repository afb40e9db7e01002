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
# # 29 · Can more be learned from frozen embeddings?
#
# **The question.** Deep clustering trains a *head* on the embeddings of a frozen network, without labels. Other methods learn a
# *map* of the embedding from photographs that are near each other. Neither needs a graphics card. Do they find species better
# than the trees of chapter 05?
#
# **In:** embeddings, and names of taxa. **Out:** `heads.csv`, with a row per method, and a figure.

# %% tags=["parameters"]
dataset = "demo"
encoders = []  # empty: the first of the last make
n_photographs = 3000  # at most; of more, a random sample
seeds = [0, 1]

# %% jupyter={"source_hidden": true}
import sys
import textwrap

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from scipy.spatial.distance import squareform
from tqdm import tqdm

import clustering
import encoder_configs
import heads
import plotting
import scoring
import utils

plotting.set_style()
encoders = encoders or utils.load_plan(dataset)["encoders"][:1]
specimens = utils.load_metadata(dataset)
names, known = utils.named_taxa(specimens)
rows = np.sort(np.random.default_rng(0).permutation(np.flatnonzero(known))[:n_photographs])
names = names.iloc[rows].reset_index(drop=True)
family, species = names["family"].to_numpy(object), scoring.codes(names["species"])
groups = list(names.groupby("family").indices.values())
config = clustering.Clusterer.named(utils.DEFAULT_CLUSTERER)

# %% jupyter={"source_hidden": true}
spaces, points = {}, {}
for encoder in encoders:
    layers = utils.load_embeddings(dataset, encoder, specimens["hash_id"])
    layers = {name: values[rows] for name, values in layers.items()}
    spaces[encoder] = [clustering.prepare(values) for values in layers.values()]
    points[encoder], _ = config.prepare_both(layers)

# %% [markdown]
# ## The same number of clusters for all
#
# Every method gets the number of clusters of every family: the number that the default finds there, or the true one. So methods
# differ only in which photographs they put together. What was given the true numbers is a reference, named *oracle k*.
#
# - **average**, **Ward**: trees. At the numbers of the default, *average* gives nearly its clusters.
# - **k-means**.
# - **TEMI** (Adaloglou et al. 2023): a photograph and its nearest neighbours should be in one cluster, and clusters should be
#   about equally large.
# - **TURTLE** (Gadetsky et al. 2024): the labels that linear classifiers learn best in several embeddings. Here these are the
#   layers of the network, or the parts of a fused encoder.
#
# How long and at which rate the heads are trained was chosen after results on three real datasets had been seen, which favours
# them.

# %%
METHODS = {
    "average": lambda values, parts, k, seed: clustering.LinkageTree(values, method="average")(k),
    "Ward": lambda values, parts, k, seed: clustering.LinkageTree(values)(k),
    "k-means": lambda values, parts, k, seed: clustering.FlatClusterer(values, seed)(k),
    "TEMI": lambda values, parts, k, seed: heads.temi(values, k, seed),
    "TURTLE": lambda values, parts, k, seed: heads.turtle(parts, k, seed),
}
TREES = ("average", "Ward")
MAPS = {
    "as prepared": lambda values, seed: values,
    "neighbours whitened": lambda values, seed: heads.whiten_neighbors(values, groups),
    "contrast in families": lambda values, seed: heads.contrast_neighbors(values, groups, seed=seed),
    "contrast with all": lambda values, seed: heads.contrast_neighbors(values, groups, within=False, seed=seed),
}


# %%
def numbers_of(labels):
    """Clusters of every family."""
    return [len(np.unique(labels[members])) for members in groups]


def divide(method, encoder, numbers, seed):
    """Labels (n,) of all families, each divided into its number of clusters."""
    torch.set_num_threads(1)
    labels = np.empty(len(species), int)
    for at, (members, k) in enumerate(zip(groups, numbers, strict=True)):
        parts = [values[members] for values in spaces[encoder]]
        found = METHODS[method](points[encoder][members], parts, k, seed) if k > 1 else np.zeros(len(members), int)
        labels[members] = found + at * len(species)
    return labels


def default_clusters(values):
    """Species labels (n,) of the default."""
    return clustering.cluster_prepared(values, values, family, config)["species"].to_numpy()


# %%
given = {("oracle k", encoder): numbers_of(species) for encoder in encoders}
given |= {("found", encoder): numbers_of(default_clusters(points[encoder])) for encoder in encoders}
jobs = [(m, e, n, s) for n, e in given for m in METHODS for s in (seeds[:1] if m in TREES else seeds)]
tasks = (delayed(divide)(m, e, given[n, e], s) for m, e, n, s in jobs)
divided = {}
for (method, encoder, numbers, _), labels in zip(
    jobs, Parallel(n_jobs=-1, return_as="generator")(tqdm(tasks, "methods", len(jobs), disable=None)), strict=True
):
    divided.setdefault(("head", encoder, method, numbers), []).append(labels)

# %% [markdown]
# ## Maps of the embedding
#
# - **neighbours whitened**: the differences between a photograph and its nearest neighbours in the family, mostly of pose and
#   light, become equally large in all directions. The settings were chosen after results on the same three datasets.
# - **contrast in families**: a linear map that draws neighbours together and all other photographs of the family apart.
# - **contrast with all**: the same, and photographs of other families are pushed away, too.
#
# The default clusters every map, and Ward trees are cut at the true numbers.

# %%
triplets = {}
first = np.unique(species, return_index=True)[1]
taxonomy = squareform(scoring.taxonomic_distances(names.iloc[first]))
for encoder in encoders:
    for name, transform in tqdm(MAPS.items(), "maps", disable=None):
        mapped = [transform(points[encoder], seed) for seed in seeds]
        divided["map", encoder, name, "found"] = [default_clusters(values) for values in mapped]
        oracles = [clustering.oracle_k(values, family, names[["species"]])["species"] for values in mapped]
        divided["map", encoder, name, "oracle k"] = oracles
        trees = [clustering.LinkageTree(values).merges for values in mapped]
        triplets[encoder, name] = np.mean([scoring.triplet_accuracy(tree, species, taxonomy) for tree in trees])

# %% [markdown]
# ## Scores
#
# The difference is to Ward at the same numbers, or to the same clusterer on the embedding as prepared. Its 95 % interval leaves
# out species (a delete-a-group jackknife). *Triplets* is kinship: the share of triples of species that one Ward tree of all
# photographs joins as the taxonomy does. One in three is chance.


# %%
def compare(key):
    """One row of the table: mean over seeds."""
    part, encoder, name, numbers = key
    partitions, others = divided[key], divided[part, encoder, "Ward" if part == "head" else "as prepared", numbers]

    def both(rows):
        one, other = ([scoring.ami(species[rows], labels[rows]) for labels in each] for each in (partitions, others))
        return {"ami": np.mean(one), "difference": np.mean(one) - np.mean(other)}

    replicates = scoring.jackknife_replicates(both, scoring.jackknife_groups(names["species"]))
    row = dict(zip(("part", "encoder", "method", "numbers"), key, strict=True))
    row |= {"clusters": np.mean([len(np.unique(labels)) for labels in partitions]), "species": species.max() + 1}
    for measure in ("ami", "difference"):
        value, low, high = scoring.jackknife_interval(replicates)[measure]
        row |= {measure: value, f"{measure}_low": low, f"{measure}_high": high}
    found = [(scoring.outcomes(scoring.contingency(species, labels))["outcome"] == "found").mean() for labels in partitions]
    return row | {"found": np.mean(found), "triplets": triplets.get((encoder, name), np.nan)}


table = pd.DataFrame(Parallel(n_jobs=-1)(delayed(compare)(key) for key in divided))
table.insert(0, "dataset", dataset)
utils.write_table(table.round(4), utils.figures_dir(dataset) / "heads.csv")
table.drop(columns=["dataset", "species"]).set_index(["part", "encoder", "method", "numbers"]).round(3)

# %% [markdown]
# ## One figure

# %% jupyter={"source_hidden": true}
figure, axes = plt.subplots(len(encoders), 2, figsize=(9, 1 + 2.9 * len(encoders)), squeeze=False, sharex="row")
for line, encoder in zip(axes, encoders, strict=True):
    for ax, part, listed, colour in zip(line, ("head", "map"), (METHODS, MAPS), plotting.PALETTE, strict=False):
        for numbers, mark, face in (("found", "o", colour), ("oracle k", "D", "white")):
            at = table[(table["part"] == part) & (table["encoder"] == encoder) & (table["numbers"] == numbers)]
            places = [list(listed).index(method) + (0.2 if numbers == "found" else -0.2) for method in at["method"]]
            error = np.clip([at["ami"] - at["ami_low"], at["ami_high"] - at["ami"]], 0, None)
            label = {"found": "number found by the default", "oracle k": "true number (oracle k)"}[numbers]
            style = {"color": colour, "markerfacecolor": face, "markersize": 7, "label": label}
            ax.errorbar(at["ami"], places, xerr=error, fmt=mark, **style)
            for place, k in zip(places, at["clusters"], strict=True):
                ax.text(1.02, place, f"{k:,.0f}", transform=ax.get_yaxis_transform(), va="center", fontsize=8, color="0.3")
        ax.set_yticks(range(len(listed)), list(listed))
        ax.invert_yaxis()
        what = {"head": "clusterers, same numbers", "map": "maps, then default or Ward"}[part]
        name = textwrap.fill(plotting.plain(encoder_configs.readable_name(dataset, encoder), 60), 32)
        ax.set_title(f"{name}\n{what}", fontsize=10)
        ax.set_xlabel("species AMI")
title = f"{plotting.dataset_name(dataset)}: heads and maps that are learned on frozen embeddings"
figure.suptitle(f"{title}\nright margin: clusters, for {species.max() + 1:,} species", fontsize=11)
figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="lower center", ncols=2, frameon=False, fontsize=9)
figure.tight_layout(rect=(0, 0.08 / len(encoders), 1, 1))
plotting.save_figure(figure, utils.figures_dir(dataset) / "heads.png")
plt.show()

# %% [markdown]
# ## What we learned

# %%
sentences = []
AGAINST = {"head": "Ward trees", "map": "the embedding as prepared"}
AT = {"oracle k": "at the true numbers", "found": "with the numbers found"}
for part, numbers in (("head", "oracle k"), ("map", "oracle k"), ("map", "found")):
    for row in table[(table["part"] == part) & (table["numbers"] == numbers)].itertuples():
        if row.method not in (*TREES, "as prepared"):
            change = f"{row.difference:+.2f} [{row.difference_low:+.2f}, {row.difference_high:+.2f}]"
            where = f"{AT[numbers]} ({row.encoder})"
            sentences.append(f"{row.method} differs from {AGAINST[part]} by {change} species AMI {where}.")
most = table[(table["part"] == "map") & (table["numbers"] == "found")].sort_values("clusters").iloc[-1]
number = f"{most['clusters']:,.0f} for {most['species']:,} species"
sentences.append(f"After the map *{most['method']}* the default finds most clusters: {number}.")
plotting.say(*sentences)

# %% tags=["summary"]
default = table[(table["method"] == "average") & (table["numbers"] == "found")].iloc[0]
best = table[table["numbers"] == "found"].sort_values("ami").iloc[-1]
print(f"{len(table)} results; default: AMI {default['ami']:.3f}; best at numbers found: {best['method']} {best['ami']:.3f}")
