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
# # 10 · Choosing without labels
#
# **The question.** Somebody with photographs and no names has several encoders and clusterers, and can look at internal
# indices only. Which of these predicts the score that names would have given?
#
# Every run of an encoder, a clusterer and a seed has its species AMI, which nobody would know, and indices that anybody can
# compute. The rank correlation between the two says how far choosing by an index would be choosing well.
#
# **In:** `scores.csv`, clusters, embeddings and maps. **Out:** `choosing.csv` and one figure with a copy of that table.

# %% tags=["parameters"]
dataset = "demo"
rank = "species"
encoders = []  # these three empty: as in the last `make all`
clusterers = []
seeds = []
weights_dir = ""  # folder with <architecture>.safetensors or .pth; empty: the hub

# %%
import sys
from pathlib import Path

sys.path.insert(0, "..")
import functools
import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import ImageOps
from scipy.spatial.distance import pdist
from sklearn.preprocessing import normalize
from tqdm import tqdm

import clustering
import encoder_configs
import plotting
import scoring
import utils
from encoders import image_embedder
from images import load_rgb

plotting.set_style()
folder = utils.dataset_dir(dataset)
weights_dir = utils.ROOT / Path(weights_dir).expanduser() if weights_dir else ""


# %%
specimens = utils.load_metadata(dataset)
if not encoders:
    encoders, clusterers, seeds, _ = utils.load_plan(dataset).values()
scores = utils.read_table(folder / "scores.csv")
if not ((scores["rank"] == rank) & (scores["metric"] == "ami")).any():
    raise ValueError(f"{dataset} has no {rank} names: nothing says which index chose well")

# %% [markdown]
# ## The indices
#
# **Silhouette**, **Calinski-Harabasz** and **Davies-Bouldin** ask how compact and how far apart clusters are; here in the
# embedding as it came, and on its UMAP map. The **neighbour-excluding silhouette** is the one that chapter 05 goes by, in the prepared
# embedding. **Consensus** asks no geometry: it is the mean AMI between these clusters and those of runs of *independent*
# encoders, because what several ways of seeing agree on is less likely to be one's own invention. Two encoders that read the
# same weights are one witness: `resnet50_single` and `resnet50_double` share their deepest layer, a tuned network shares most
# of what it began from, and a fused one is its parts. So every lineage has one vote, no run is compared with its own lineage,
# and a fused encoder has no vote where its parts have theirs. **Stability** is the mean AMI between the seeds of a run.
# **Alignment** and **uniformity** (Wang and Isola, 2020) look at the encoder alone: how close a photograph lies to its
# mirrored and cropped self, and how evenly all fill the sphere. All are turned so that higher should be better.


# %%
def uniformity(points, sample=2000):
    """Minus the logarithm of the mean Gaussian potential of pairs of (n, d) unit vectors."""
    rows = np.random.default_rng(0).permutation(len(points))[:sample]
    return -np.log(np.exp(-2 * pdist(points[rows], "sqeuclidean")).mean())


def alignment(encoder, points, n=300):
    """Minus the mean squared distance of `n` photographs to themselves, mirrored and cropped; missing if it sees none."""
    look = image_embedder(dataset, encoder, weights_dir)
    if look is None:
        return np.nan
    rows = np.sort(np.random.default_rng(0).permutation(len(points))[:n])
    pictures = [load_rgb(folder / "photos" / path) for path in specimens["path"].iloc[rows]]
    others = [ImageOps.mirror(ImageOps.crop(picture, round(0.1 * min(picture.size)))) for picture in pictures]
    return -((normalize(look(others)) - points[rows]) ** 2).sum(axis=1).mean()


# %%
def geometry(space, points, partitions):
    """Indices in a space of several partitions, labels (n,), of points (n, d): DataFrame, a row for each."""
    found = scoring.internal_indices(points, partitions)
    found["davies_bouldin"] *= -1
    return found.rename(columns=lambda name: f"{name.replace('_', '-')}, {space}")


def map_of(encoder):
    """UMAP coordinates (n, 2) of the deepest layer."""
    maps = utils.read_table(folder / "maps" / encoder / "default.parquet")
    last = maps[maps["layer"] == maps["layer"].iloc[-1]].set_index("hash_id")
    return last.loc[specimens["hash_id"], ["x", "y"]].to_numpy()


partitions = {}
for encoder, clusterer, seed in itertools.product(encoders, clusterers, seeds):
    clusters = utils.read_table(folder / "clusters" / encoder / clusterer / f"seed={seed}.parquet")
    labels = clusters.set_index("hash_id").loc[specimens["hash_id"], f"{rank}_cluster"]
    partitions[encoder, clusterer, seed] = pd.factorize(labels)[0]

# %%
rows = []
for encoder in tqdm(encoders, unit="encoder"):
    points = normalize(utils.pick_layer(utils.load_embeddings(dataset, encoder, specimens["hash_id"]), "last"))
    prepared, places = clustering.prepare(points), map_of(encoder)
    own = {run: labels for run, labels in partitions.items() if run[0] == encoder}
    indices = pd.concat([geometry(*space, list(own.values())) for space in (("embedding", points), ("map", places))], axis=1)
    indices["neighbour-excluding silhouette"] = scoring.silhouettes(list(own.values()), prepared, clustering.EXCLUDED)
    indices["uniformity"], indices["alignment"] = uniformity(points), alignment(encoder, points)
    rows.append(indices.set_axis(pd.MultiIndex.from_tuples(own, names=["encoder", "clusterer", "seed"])))
table = pd.concat(rows)


# %% [markdown]
# AMI between all pairs of runs, for consensus and stability. The contingency table of two runs is small, so this is quick.


# %%
@functools.cache
def between(one, other):
    """AMI between the clusters of two runs."""
    return scoring.mutual_information(scoring.contingency(partitions[one], partitions[other]))["ami"]


def mean_agreement(run, others):
    """Mean AMI between the clusters of a run and those of others; missing if there are none."""
    return np.mean([between(*sorted((run, other))) for other in others] or [np.nan])


lineages = {encoder: encoder_configs.encoder_lineage(dataset, encoder) for encoder in encoders}
single = set().union(*(lineage for lineage in lineages.values() if len(lineage) == 1))
voters = {lineage for lineage in lineages.values() if len(lineage) == 1 or not lineage <= single}


def consensus(run):
    """Mean over independent lineages of the mean AMI with their runs of the same seed; missing if there is none."""
    votes = [
        mean_agreement(run, [other for other in runs if lineages[other[0]] == lineage and other[2] == run[2]])
        for lineage in sorted(voters, key=sorted)
        if lineage.isdisjoint(lineages[run[0]])
    ]
    return np.mean(votes or [np.nan])


# %%
runs = list(partitions)
for run in tqdm(runs, unit="run"):
    siblings = [other for other in runs if other[:2] == run[:2] and other != run]
    table.loc[run, ["consensus", "stability"]] = consensus(run), mean_agreement(run, siblings)
known = scores[(scores["rank"] == rank) & (scores["metric"] == "ami")].set_index(["encoder", "clusterer", "seed"])
table["ami"] = known["value"].reindex(table.index)

# %% [markdown]
# ## Which index would have chosen well?
#
# Spearman's rank correlation of every index with the AMI. Runs of one lineage that give the same clusters are one run. Those of
# one lineage hang together, so the 95 % interval is a bootstrap over lineages: would another set of networks tell the same?
# *Chosen* is the AMI of the run that the index likes best (the mean where it likes several equally), beside the best there was.


# %%
table["lineage"] = [" + ".join(sorted(lineages[encoder])) for encoder, _, _ in table.index]
same = pd.Series([(table.loc[run, "lineage"], partitions[run].tobytes()) for run in runs], table.index)
table = table[~same.duplicated()]


# %%
def correlations(frame):
    """Spearman's correlation of every index with the AMI, each over the rows that have both."""
    return frame.drop(columns="lineage").corr("spearman")["ami"].drop("ami")


def resampled(frame, times=1000, seed=0):
    """The rows of as many lineages as there are, drawn with replacement, again and again."""
    groups = [group for _, group in frame.groupby("lineage")]
    random = np.random.default_rng(seed)
    for _ in range(times):
        yield pd.concat([groups[i] for i in random.integers(len(groups), size=len(groups))])


drawn = pd.DataFrame([correlations(frame) for frame in resampled(table)])
choosing = pd.DataFrame(
    {
        "spearman": correlations(table),
        "ci_low": drawn.quantile(0.025),
        "ci_high": drawn.quantile(0.975),
        "chosen_ami": {name: table.loc[table[name] == table[name].max(), "ami"].mean() for name in drawn},
    }
)
choosing = choosing.rename_axis("index").sort_values("spearman", ascending=False).reset_index()
utils.write_table(choosing.round(4), folder / "choosing.csv")
print(f"best of all {len(table)} different runs of {table['lineage'].nunique()} lineages: {table['ami'].max():.3f}")
choosing.round(3)

# %% [markdown]
# ## One figure

# %%
figure, ax = plt.subplots(figsize=(8, 0.4 * len(choosing) + 1.2))
places = -np.arange(len(choosing))
error = np.abs(choosing[["ci_low", "ci_high"]].sub(choosing["spearman"], axis=0)).T.fillna(0).to_numpy()
ax.errorbar(choosing["spearman"], places, xerr=error, linestyle="", marker="o", color=plotting.PALETTE[0])
ax.axvline(0, color="0.3")
ax.set(xlabel=f"rank correlation with {rank} AMI over {len(table)} runs", yticks=places, yticklabels=choosing["index"])
ax.grid(axis="y", visible=False)
figure.tight_layout()
plotting.save_figure(figure, utils.figures_dir(dataset) / "choosing.png")
utils.write_table(choosing.round(4), utils.figures_dir(dataset) / "choosing.csv")

# %% tags=["summary"]
best = choosing.iloc[0]
print(f"{len(table)} runs; the best index is {best['index']} ({best['spearman']:.2f})")
