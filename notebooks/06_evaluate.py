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
# # 6 · How right are the clusters, and compared to what?
#
# **The question.** Does a method find taxa, or does its score come from something else, such as the number of clusters?
#
# A score means nothing alone. Beside every method stand *floors*, which look at no photograph, and one *ceiling*, which
# is told the answer to the hardest question: how many genera and species each family has.
#
# **In:** clusters and, for the scores that need them, genus and species names. **Out:** `scores.csv`, one row per dataset,
# encoder, clusterer, seed, rank and metric, with a 95 % interval; and `submission.csv` as the Kaggle challenge asks.

# %% tags=["parameters"]
dataset = "demo"
encoders = []  # these four empty: as in the last `make all`
clusterers = []
seeds = []
submit = ""  # encoder/clusterer of the submission; its first seed is taken

# %%
import sys

sys.path.insert(0, "..")
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.preprocessing import normalize
from tqdm import tqdm

import utils

folder = utils.dataset_dir(dataset)
specimens = utils.load_metadata(dataset)
truth = {rank: utils.lineage(specimens, rank) for rank in utils.RANKS}
family = specimens["family"].fillna("(unknown)").to_numpy()
if not encoders:
    encoders, clusterers, seeds, submit = utils.load_plan(dataset).values()
submitted = (*submit.split("/"), seeds[0])
if submitted not in [(encoder, clusterer, seeds[0]) for encoder in encoders for clusterer in clusterers]:
    raise ValueError(f"submit = {submit!r} is none of the runs scored here; it should be <encoder>/<clusterer>")

# %% [markdown]
# ## Which scores can be had
#
# Agreement with taxa can be scored only at ranks whose names are known, on the photographs that carry one. The internal
# indices (silhouette, Calinski-Harabasz, Davies-Bouldin) need no names: they say how compact and how separate clusters
# are in the embedding, which is not the same as being right.

# %%
scored = [rank for rank in utils.RANKS if truth[rank].nunique() > 1]
pd.DataFrame(
    {
        "true taxa": {rank: truth[rank].nunique() for rank in utils.RANKS},
        "agreement (AMI, ARI, NMI, ...)": {rank: "yes" if rank in scored else "needs names" for rank in utils.RANKS},
        "internal indices": "yes",
    }
)

# %% [markdown]
# ## The methods
#
# Every table of clusters that the run names, checked again: each specimen once, species inside genera inside families.

# %%
partitions = {}
for encoder in encoders:
    for clusterer in clusterers:
        for seed in seeds:
            clusters = pd.read_parquet(folder / "clusters" / encoder / clusterer / f"seed={seed}.parquet")
            utils.check_clusters(clusters, specimens["hash_id"])
            partitions[encoder, clusterer, seed] = clusters.set_index("hash_id").loc[specimens["hash_id"]].reset_index()

# %% [markdown]
# ## The floors
#
# **Random nested labels** with the caps of each k-means: every family dealt into genera at random, every genus into
# species. **Singletons**: the family itself as the only genus, and every photograph a species of its own. **Family**: the
# family itself as genus and as species. None of them looks at a photograph, so what they score is what the metric and the
# given family name give away.


# %%
def random_nested(max_genera, max_species, seed):
    """Genus and species labels (n,) dealt at random inside the known families."""
    random = np.random.default_rng(seed)
    return random.integers(max_genera, size=len(family)), random.integers(max_species, size=len(family))


caps = {name: utils.load_params("clusterers", name) for name in clusterers}
caps = sorted({(c["max_genera"], c["max_species"]) for c in caps.values() if "max_genera" in c}) or [(10, 10)]
for seed in seeds:
    for genera, species in caps:
        name = f"floor_random_{genera}x{species}"
        labels = random_nested(genera, species, seed)
        partitions["none", name, seed] = utils.name_clusters(specimens["hash_id"], family, *labels)
nothing, everything = np.zeros(len(family), int), np.arange(len(family))
partitions["none", "floor_singletons", seeds[0]] = utils.name_clusters(
    specimens["hash_id"], family, nothing, everything
)
partitions["none", "floor_family", seeds[0]] = utils.name_clusters(specimens["hash_id"], family, nothing, nothing)


# %% [markdown]
# ## The ceiling
#
# Ward inside each true family, as in `nested_ward`, but cut at the *true* number of genera and species. It reads the labels,
# so it is no method: it tells what the same tree would give if the number of clusters were no question.


# %%
def ward_with_true_numbers(embedding):
    """Genus and species labels (n,) from one Ward tree per family, cut at the true numbers of taxa."""
    genus, species = np.empty((2, len(family)), int)
    for rows in pd.Series(family).groupby(family).indices.values():
        tree = utils.ward_tree(embedding[rows])
        genus[rows] = utils.cut(tree, max(truth["genus"].iloc[rows].nunique(), 1))
        species[rows] = utils.cut(tree, max(truth["species"].iloc[rows].nunique(), 1))
    return genus, species


deepest = {
    e: normalize(utils.pick_layer(utils.load_embeddings(dataset, e, specimens["hash_id"]), "last")) for e in encoders
}
if {"genus", "species"} <= set(scored):
    for encoder in tqdm(encoders, desc="ceilings", unit="encoder"):
        labels = ward_with_true_numbers(deepest[encoder])
        named = utils.name_clusters(specimens["hash_id"], family, *labels)
        partitions[encoder, "ceiling_ward_true_number", seeds[0]] = named


# %% [markdown]
# ## Scores
#
# AMI is the one to read: it is 0 for random labels whatever their number, and 1 for the truth. NMI, homogeneity and
# completeness are not adjusted for chance. *Within families* takes out what the family name alone gives. The interval
# is a delete-a-group jackknife over species: given these clusters, how much does the score depend on which species are
# scored? The clustering is not repeated. `ami_above_family` is the AMI minus that of the family as taxon, on the same
# species each time, so its interval tells whether a method rises above that floor.

# %%
units = truth[scored[-1]].fillna(specimens["hash_id"]) if scored else specimens["hash_id"]


def agreement_with_taxa(rank, found):
    """Agreement of cluster labels (n,) with the known taxa of one rank: {metric: (value, ci_low, ci_high)}."""
    known = np.flatnonzero(truth[rank].notna())
    labels = [column[known] for column in (truth[rank].to_numpy(), found, specimens["family"].to_numpy())]
    return utils.jackknife_interval(lambda rows: utils.agreement(*(c[rows] for c in labels)), units.iloc[known])


def score(rank, found, embedding):
    """All scores of one partition: (rank, metric, value, ci_low, ci_high), intervals missing where there is none."""
    plain = {"n_found": len(np.unique(found))}
    plain |= {"n_true": truth[rank].nunique()} if rank in scored else {}
    plain |= utils.internal_indices(embedding, found) if embedding is not None else {}
    rows = [(rank, name, value, np.nan, np.nan) for name, value in plain.items()]
    if rank in scored:
        rows += [(rank, name, *values) for name, values in agreement_with_taxa(rank, found).items()]
    return rows


# %% [markdown]
# Runs that give the same clusters are scored once: at the family, whoever is given the families, and every seed of a method
# that draws no lots.

# %%
sought, distinct = [], {}
for run, clusters in partitions.items():
    for rank in utils.RANKS:
        found = clusters[f"{rank}_cluster"].to_numpy()
        same = run[0], rank, pd.factorize(found)[0].tobytes()
        distinct[same] = found
        sought.append((run, same))
cores = -1 if len(specimens) > 1000 else 1  # starting processes takes longer than scoring a few photographs
jobs = (delayed(score)(rank, found, deepest.get(encoder)) for (encoder, rank, _), found in distinct.items())
done = Parallel(n_jobs=cores, return_as="generator")(jobs)
done = dict(zip(distinct, tqdm(done, total=len(distinct), desc="scoring", unit="partition"), strict=True))
rows = [(dataset, *run, *row) for run, same in sought for row in done[same]]
names = ["dataset", "encoder", "clusterer", "seed", "rank", "metric", "value", "ci_low", "ci_high"]
scores = pd.DataFrame(rows, columns=names).dropna(subset="value")
utils.write_table(scores.round(6), folder / "scores.csv")

# %% [markdown]
# ## The table
#
# Mean over seeds, by species AMI, or where no species is known by species silhouette. Floors and ceilings are marked
# by their names. Family clusters are the given families wherever family names are used, so they are not scored here.

# %%
at_species = set(scores.loc[scores["rank"] == "species", "metric"])
wanted = [
    name for name in ("ami", "ami_above_family", "ami_within", "nmi", "silhouette", "n_found") if name in at_species
]
mean = scores[scores["metric"].isin(wanted) & (scores["rank"] != "family")]
mean = mean.pivot_table(index=["encoder", "clusterer"], columns=["rank", "metric"], values="value")
mean.sort_values(("species", wanted[0]), ascending=False).round(3)

# %% [markdown]
# ## How many clusters were found?

# %%
counts = scores[scores["metric"].isin(["n_found", "n_true"]) & (scores["rank"] != "family")]
counts.pivot_table(index=["encoder", "clusterer"], columns=["rank", "metric"], values="value").round()

# %% [markdown]
# ## The submission
#
# Every id of the CSV once, with its three clusters. A photograph that was rejected is still asked for, so it stands as a
# cluster of its own.

# %%
rejected = pd.read_csv(folder / "rejected.csv", dtype="string", keep_default_na=False, na_values=[""])
asked = rejected[rejected["hash_id"].notna() & (rejected["reason"] != "no row in the CSV")]
alone = sorted(set(asked["hash_id"]) - set(specimens["hash_id"]))
labels = [f"rejected/{i}" for i in range(1, len(alone) + 1)]
alone = utils.name_clusters(alone, labels, labels, labels)
submission = pd.concat([partitions[submitted], alone]).sort_values("hash_id", ignore_index=True)
utils.check_clusters(submission, [*specimens["hash_id"], *alone["hash_id"]])
utils.write_table(submission, folder / "submission.csv")
submission.head()

# %% tags=["summary"]
methods = scores[(scores["metric"] == wanted[0]) & (scores["rank"] == "species") & scores["clusterer"].isin(clusterers)]
best = methods.groupby(["encoder", "clusterer"])["value"].mean()
print(f"{len(partitions)} partitions scored; best species {wanted[0]} {best.max():.3f} ({' + '.join(best.idxmax())})")
