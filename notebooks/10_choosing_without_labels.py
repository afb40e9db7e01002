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
# **The question.** Somebody has photographs without names, several encoders and several clusterers. Only internal indices can
# be computed. Which of them predicts the score that names would have given?
#
# Every run of an encoder, a clusterer and a seed has a species AMI, which needs names, and indices, which do not. The rank
# correlation between the two tells whether choosing by an index would have chosen well.
#
# **In:** `scores.csv`, clusters, embeddings and maps. **Out:** `choosing.csv` and one figure with a copy of that table.

# %% tags=["parameters"]
dataset = "demo"
rank = "species"
encoders = []  # these three empty: as in the last `make all`
clusterers = []
seeds = []
weights_dir = ""  # folder with <architecture>.safetensors or .pth; empty: the hub

# %% jupyter={"source_hidden": true}
import functools
import itertools
import sys
from pathlib import Path

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.spatial.distance import pdist
from sklearn.preprocessing import normalize
from tqdm import tqdm

import clustering
import encoder_configs
import encoders as encoder_library
import plotting
import scoring
import utils
from perturbations import mirrored_crop

plotting.set_style()
folder = utils.dataset_dir(dataset)
weights_dir = utils.ROOT / Path(weights_dir).expanduser() if weights_dir else ""


# %%
specimens = utils.load_metadata(dataset)
if not encoders:
    encoders, clusterers, seeds, _ = utils.load_plan(dataset).values()
scores = utils.read_table(folder / "scores.csv")
if not ((scores["rank"] == rank) & (scores["metric"] == "ami")).any():
    raise utils.NotApplicable(f"{dataset} has no {rank} names: no score to compare the indices with")

# %% [markdown]
# ## The indices
#
# All are turned so that higher should be better.
#
# - **Silhouette**, **Calinski-Harabasz** and **Davies-Bouldin** measure how compact and how separate clusters are: in the plain
#   embedding, and on its UMAP map.
# - **Neighbour-excluding silhouette** is the mean silhouette with 0 to 3 nearest neighbours excluded, in the prepared
#   embedding.
# - **Consensus** is the mean AMI between the clusters of a run and those of *independent* encoders. What several encoders agree
#   on is less likely to come from one of them.
# - **Stability** is the mean AMI between the seeds of a run. It is missing where a clusterer gives the same clusters with every
#   seed: it is stable by construction.
# - **Alignment** and **uniformity** (Wang and Isola, 2020) describe the encoder alone: how close a photograph lies to its
#   mirrored and cropped view, and how evenly photographs cover the sphere.
#
# Two encoders that read the same weights are not independent: `resnet50_single` and `resnet50_double` share their deepest
# layer, a tuned network shares most of what it started from, and a fused encoder consists of its parts. So every lineage of
# weights has one vote in the consensus, a run is never compared with its own lineage, and a fused encoder has no vote where
# its parts have one.


# %%
def uniformity(points, sample=2000):
    """Minus the logarithm of the mean Gaussian potential of pairs of (n, d) unit vectors."""
    rows = np.random.default_rng(0).permutation(len(points))[:sample]
    return -np.log(np.exp(-2 * pdist(points[rows], "sqeuclidean")).mean())


def alignment(encoder, points, n=300):
    """Minus the mean squared distance of `n` photographs to a mirrored and cropped view; missing where none is looked at."""
    source = encoder_library.dataset_source(dataset, specimens, weights_dir)
    model = encoder_library.open_encoder(encoder_configs.build_config(dataset, encoder), source)
    if not model.sees_photographs:
        return np.nan
    rows = np.sort(np.random.default_rng(0).permutation(len(points))[:n])
    views = [functools.partial(mirrored_crop, folder / "photos" / path) for path in specimens["path"].iloc[rows]]
    return -((normalize(model.describe_new(views)) - points[rows]) ** 2).sum(axis=1).mean()


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
    clusters = utils.load_clusters(dataset, f"{encoder}/{clusterer}", seed, specimens["hash_id"])
    partitions[encoder, clusterer, seed] = scoring.codes(clusters[f"{rank}_cluster"])

# %%
rows = []
for encoder in tqdm(encoders, unit="encoder"):
    points, places = normalize(utils.load_layer(dataset, encoder, specimens["hash_id"])), map_of(encoder)
    _, prepared, _ = clustering.load_prepared(dataset, f"{encoder}/{utils.DEFAULT_CLUSTERER}", specimens["hash_id"])
    own = {run: labels for run, labels in partitions.items() if run[0] == encoder}
    indices = pd.concat([geometry(*space, list(own.values())) for space in (("embedding", points), ("map", places))], axis=1)
    indices["neighbour-excluding silhouette"] = scoring.silhouettes(list(own.values()), prepared, clustering.EXCLUDED)
    indices["uniformity"], indices["alignment"] = uniformity(points), alignment(encoder, points)
    rows.append(indices.set_axis(pd.MultiIndex.from_tuples(own, names=["encoder", "clusterer", "seed"])))
table = pd.concat(rows)


# %% [markdown]
# AMI between all pairs of runs, for consensus and stability.


# %%
@functools.cache
def between(one, other):
    """AMI between the clusters of two runs."""
    return scoring.ami(partitions[one], partitions[other])


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
    same_always = all((partitions[run] == partitions[other]).all() for other in siblings)
    table.loc[run, ["consensus", "stability"]] = consensus(run), np.nan if same_always else mean_agreement(run, siblings)
known = scores[(scores["rank"] == rank) & (scores["metric"] == "ami")].set_index(["encoder", "clusterer", "seed"])
table["ami"] = known["value"].reindex(table.index)

# %% [markdown]
# ## Which index would have chosen well?
#
# Spearman's rank correlation of every index with the AMI. Nobody would choose a control, and a reference has seen what others
# have not; so their encoders vote in the consensus, but have no runs here. Equal clusters of one lineage count once.
#
# Runs of one lineage are not independent, so the 95 % interval is a bootstrap over lineages: would another set of networks give
# the same? Fewer than four lineages say too little about others; then there is no interval. *Chosen* is the AMI of the run with
# the best index (the mean where several are equal).

# %%
table["lineage"] = [" + ".join(sorted(lineages[encoder])) for encoder, _, _ in table.index]
independent = {" + ".join(sorted(lineage)) for lineage in voters}
same = pd.Series([(table.loc[run, "lineage"], partitions[run].tobytes()) for run in runs], table.index)
roles = pd.Series([bool(encoder_configs.role(dataset, encoder)) for encoder, _, _ in runs], table.index)
table = table[~same.duplicated() & (~roles | roles.all())]


# %%
def correlations(frame):
    """Spearman's correlation of every index with the AMI, each over the rows that have both; missing if they are few."""
    return frame.drop(columns="lineage").corr("spearman", min_periods=3)["ami"].drop("ami")


def resampled(frame, times=1000, seed=0):
    """The rows of as many independent lineages as there are, drawn with replacement, again and again; none if they are few."""
    groups = [group for name, group in frame.groupby("lineage") if name in independent]
    random = np.random.default_rng(seed)
    for _ in range(times if len(groups) >= 4 else 0):
        yield pd.concat([groups[i] for i in random.integers(len(groups), size=len(groups))])


spearman = correlations(table)
drawn = pd.DataFrame([correlations(frame) for frame in resampled(table)], columns=spearman.index, dtype=float)
choosing = pd.DataFrame(
    {
        "spearman": spearman,
        "ci_low": drawn.quantile(0.025),
        "ci_high": drawn.quantile(0.975),
        "chosen_ami": {name: table.loc[table[name] == table[name].max(), "ami"].mean() for name in drawn},
    }
)
choosing = choosing.rename_axis("index").sort_values("spearman", ascending=False).reset_index()
utils.write_table(choosing.round(4), folder / "choosing.csv")
number = table.loc[table["lineage"].isin(independent), "lineage"].nunique()
print(f"{len(table)} different runs, number of lineages: {number}; the best run has an AMI of {table['ami'].max():.3f}")
choosing.round(3)

# %% [markdown]
# ## One figure

# %% jupyter={"source_hidden": true}
figure, ax = plt.subplots(figsize=(8, 0.4 * len(choosing) + 1.2))
places = -np.arange(len(choosing))
error = np.abs(choosing[["ci_low", "ci_high"]].sub(choosing["spearman"], axis=0)).T.fillna(0).to_numpy()
ax.errorbar(choosing["spearman"], places, xerr=error, linestyle="", marker="o", color=plotting.PALETTE[0])
ax.axvline(0, color="0.3")
ax.set(xlabel=f"rank correlation with {rank} AMI over the runs that have the index")
ax.set(yticks=places, yticklabels=choosing["index"])
ax.grid(axis="y", visible=False)
best = choosing.iloc[0]
few = pd.isna(best["spearman"])
finding = "too few different runs to compare indices" if few else f"{best['index']} predicts the {rank} AMI best"
ax.set_title(f"{plotting.dataset_name(dataset)}: {finding}")
figure.tight_layout()
plotting.save_figure(figure, utils.figures_dir(dataset) / "choosing.png")
utils.write_table(choosing.round(4), utils.figures_dir(dataset) / "choosing.csv")
plt.show()

# %% [markdown]
# ## What we learned

# %%
usual = choosing.set_index("index").loc["silhouette, embedding"]
sentences = [
    f"There are too few different runs to say which index predicts the {rank} AMI."
    if few
    else f"The best predictor is {best['index']}: rank correlation {best['spearman']:.2f}. The run it chooses has a {rank} AMI "
    f"of {best['chosen_ami']:.2f}; the best of all {len(table)} runs has {table['ami'].max():.2f}.",
    f"The plain silhouette correlates with {usual['spearman']:.2f} and chooses {usual['chosen_ami']:.2f}.",
]
baseline = scores[(scores["rank"] == rank) & (scores["metric"] == "ami") & (scores["clusterer"] == "baseline_family")]
if np.isclose(best["chosen_ami"], baseline["value"]).any():
    sentences.insert(1, "That is the AMI of the family names alone: the encoders agree most where nothing is divided.")
if drawn.empty:
    sentences.append("Fewer than four lineages do not tell whether other networks would give the same.")
else:
    sure = choosing[(choosing["ci_low"] > 0)]
    sentences.append(f"{len(sure)} of {len(choosing)} indices have an interval above 0 over {number} independent lineages.")
plotting.say(*sentences)

# %% tags=["summary"]
print(f"{len(table)} runs; " + ("too few" if few else f"the best index is {best['index']} ({best['spearman']:.2f})"))
