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
from IPython.display import display
from joblib import Parallel, delayed
from scipy.cluster.hierarchy import linkage
from sklearn.preprocessing import normalize
from tqdm import tqdm

import clustering
import scoring
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
# ## The ceilings
#
# Ward inside each true family, cut at the *true* number of genera and species: on the plain embedding, and on the one that
# the recommended clusterer prepares. They read the labels, so they are no methods: they tell what the same tree would give
# if the number of clusters were no question.

# %%
deepest = {
    e: normalize(utils.pick_layer(utils.load_embeddings(dataset, e, specimens["hash_id"]), "last")) for e in encoders
}
prepared = {e: clustering.prepare(points) for e, points in deepest.items()}
if {"genus", "species"} <= set(scored):
    for encoder in tqdm(encoders, desc="ceilings", unit="encoder"):
        for name, points in (("ceiling_ward_true_number", deepest), ("ceiling_prepared_true_number", prepared)):
            labels = clustering.with_true_numbers(points[encoder], family, pd.DataFrame(truth)[["genus", "species"]])
            partitions[encoder, name, seeds[0]] = utils.name_clusters(specimens["hash_id"], family, *labels.values())


# %% [markdown]
# ## Scores of partitions
#
# AMI is the one to read: it is 0 for random labels whatever their number, and 1 for the truth; ARI is adjusted for chance,
# too. NMI, homogeneity, completeness, Hungarian accuracy and BCubed are not. *Within families* takes out what the family
# name alone gives. `ami_above_family` is the AMI minus that of the family as taxon, on the same species each time.
#
# The interval is a delete-a-group jackknife over species: given these clusters, how much does the score depend on which
# species are scored? The clustering is not repeated.

# %%
units = truth[scored[-1]].fillna(specimens["hash_id"]) if scored else specimens["hash_id"]


def agreement_with_taxa(rank, found):
    """Agreement of cluster labels (n,) with the known taxa of one rank, with and without each group of species."""
    known = np.flatnonzero(truth[rank].notna())
    labels = [column[known] for column in (truth[rank].to_numpy(), found, specimens["family"].to_numpy())]
    return scoring.left_out(lambda rows: scoring.agreement(*(c[rows] for c in labels)), units.iloc[known])


def score(rank, found, embedding):
    """All scores of one partition: (rank, metric, value, ci_low, ci_high), and its AMI without each group of species."""
    plain = {"n_found": len(np.unique(found))}
    plain |= {"n_true": truth[rank].nunique()} if rank in scored else {}
    plain |= scoring.internal_indices(embedding, found) if embedding is not None else {}
    if set(scored) == set(utils.RANKS):
        plain["taxonomic_distance"] = scoring.taxonomic_distance_within(found, pd.DataFrame(truth))
    rows = [(rank, name, value, np.nan, np.nan) for name, value in plain.items()]
    if rank not in scored:
        return rows, None
    without = agreement_with_taxa(rank, found)
    rows += [(rank, name, *values) for name, values in scoring.jackknife_interval(without).items()]
    return rows, without["ami"]


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
rows = [(dataset, *run, *row) for run, same in sought for row in done[same][0]]
for (encoder, clusterer, seed), clusters in partitions.items():
    shares = clusters.drop(columns=["hash_id", *(f"{rank}_cluster" for rank in utils.RANKS)]).mean()
    rows += [(dataset, encoder, clusterer, seed, "all", name, value, np.nan, np.nan) for name, value in shares.items()]

# %% [markdown]
# ## Scores of hierarchies
#
# Without any cut, how well does a dendrogram of the prepared embedding tell the taxonomy? *Dendrogram purity* asks how
# pure the smallest branch around two photographs of one taxon is; *cophenetic correlation* compares heights with
# taxonomic distances; *triplet accuracy* asks which two of three photographs are joined first (a guess is right once in
# three). *Robinson-Foulds* compares a tree of the species' centroids with the taxonomy, clade by clade, and on a simulated
# world with the true tree. The trees are Ward's, on a fixed sample where there are more than 5,000 photographs.

# %%
TREE = "ward_dendrogram"
if set(scored) == set(utils.RANKS):
    known = np.flatnonzero(pd.DataFrame(truth).notna().all(axis=1))
    rows_of_tree = np.sort(np.random.default_rng(0).permutation(known)[:5000])
    taxa = pd.DataFrame(truth).iloc[rows_of_tree].reset_index(drop=True)
    species = taxa.drop_duplicates("species").reset_index(drop=True)
    number = pd.Index(species["species"]).get_indexer(taxa["species"])
    known_clades = {"taxonomy": scoring.taxon_clades(species[["family", "genus"]])}
    if (folder / "tree.nwk").is_file():
        known_clades["true_tree"] = scoring.newick_clades(
            folder / "tree.nwk", species["species"].str.split(" > ").str[-1]
        )
    for encoder, points in tqdm(prepared.items(), desc="dendrograms", unit="encoder"):
        points = points[rows_of_tree]
        values = scoring.dendrogram_scores(linkage(points, "ward"), taxa, number)
        centroids = pd.DataFrame(points).groupby(number).mean().to_numpy()
        of_centroids = scoring.linkage_clades(linkage(centroids, "ward")) if len(species) > 1 else set()
        for against, clades in known_clades.items():
            distance, missed = scoring.robinson_foulds(of_centroids, clades)
            values |= {f"robinson_foulds_{against}": distance, f"clades_missed_{against}": missed}
        rows += [(dataset, encoder, TREE, seeds[0], "all", *item, np.nan, np.nan) for item in values.items()]

names = ["dataset", "encoder", "clusterer", "seed", "rank", "metric", "value", "ci_low", "ci_high"]
scores = pd.DataFrame(rows, columns=names).dropna(subset="value")
scores[names[6:]] = scores[names[6:]].round(6) + 0.0  # there is no -0
utils.write_table(scores, folder / "scores.csv")

# %% [markdown]
# ## Which method is better, and is it sure?
#
# Two AMIs whose own intervals overlap may differ surely all the same, because both methods are scored on the same species.
# So every method is compared with the one of the best mean, species group by species group, over the mean of its seeds. (No
# ceiling is a method, and no encoder that was told more than the photographs.) Where the interval of the difference contains 0,
# the table says *not told apart*.

# %%
left_out = {}
for (encoder, clusterer, _), same in sought:
    if same[1] in ("genus", "species") and done[same][1] is not None:
        left_out.setdefault((same[1], encoder, clusterer), []).append(done[same][1])
left_out = pd.DataFrame({key: sum(columns) / len(columns) for key, columns in left_out.items()})


def behind_the_best(table):
    """How far each method (columns) is behind the best one: difference of AMI with its interval."""
    methods = [name for name in table if name[1] in clusterers]
    fair = [name for name in methods if utils.encoder_label(name[0]) == name[0]]  # told nothing but the photographs
    best = table.loc[0, fair or methods].idxmax()
    differences = scoring.jackknife_interval(table.sub(table[best], axis=0))
    differences = pd.DataFrame(differences, index=["difference", "ci_low", "ci_high"]).T
    differences.insert(0, "ami", table.loc[0])
    differences = differences.round(6) + 0.0  # before sorting, so that equals stay in order
    return differences.assign(best=" + ".join(best)).sort_values("ami", ascending=False, kind="stable")


(folder / "comparisons.csv").unlink(missing_ok=True)
if len(left_out.columns):
    comparisons = pd.concat({rank: behind_the_best(left_out[rank]) for rank in left_out.columns.unique(0)})
    comparisons = comparisons.rename_axis(["rank", "encoder", "clusterer"]).reset_index()
    told = (comparisons["ci_low"] > 0) | (comparisons["ci_high"] < 0)
    comparisons["told_apart"] = np.where(told, "yes", "not told apart")
    utils.write_table(comparisons, folder / "comparisons.csv")
    shown = comparisons[comparisons["rank"] == "species"].drop(columns=["rank", "best"])
    display(shown.head(12).round(3))

# %% [markdown]
# ## The table
#
# Mean over seeds, by species AMI, or where no species is known by species silhouette; *spread* is the largest difference of
# that between two seeds. Floors and ceilings are marked by their names. Family clusters are the given families wherever
# family names are used, so they are not scored here.

# %%
at_species = set(scores.loc[scores["rank"] == "species", "metric"])
wanted = [
    name for name in ("ami", "ami_above_family", "ami_within", "nmi", "silhouette", "n_found") if name in at_species
]
mean = scores[scores["metric"].isin(wanted) & scores["rank"].isin(["genus", "species"])]
mean = mean.pivot_table(index=["encoder", "clusterer"], columns=["rank", "metric"], values="value")
of_seeds = scores[(scores["metric"] == wanted[0]) & (scores["rank"] == "species")].groupby(["encoder", "clusterer"])
mean["species", "spread over seeds"] = of_seeds["value"].agg(np.ptp)
mean.sort_values(("species", wanted[0]), ascending=False).round(3)

# %% [markdown]
# ## How many clusters were found?

# %%
counts = scores[scores["metric"].isin(["n_found", "n_true"]) & scores["rank"].isin(["genus", "species"])]
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
submission = pd.concat([partitions[submitted][alone.columns], alone]).sort_values("hash_id", ignore_index=True)
utils.check_clusters(submission, [*specimens["hash_id"], *alone["hash_id"]])
utils.write_table(submission, folder / "submission.csv")
submission.head()

# %% tags=["summary"]
methods = scores[(scores["metric"] == wanted[0]) & (scores["rank"] == "species") & scores["clusterer"].isin(clusterers)]
best = methods.groupby(["encoder", "clusterer"])["value"].mean()
print(f"{len(partitions)} partitions scored; best species {wanted[0]} {best.max():.3f} ({' + '.join(best.idxmax())})")
