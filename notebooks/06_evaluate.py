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
# A score means nothing alone. Beside every method stand *baselines*, which look at no photograph, and *oracle-k references*,
# which are given the answer to the hardest question: how many genera and species each family has.
#
# **In:** clusters and, for the scores that need them, genus and species names. **Out:** `scores.csv`, one row per dataset,
# encoder, clusterer, seed, rank and metric, with a 95 % interval; `comparisons.csv`, every method against the best; and
# `submission.csv` as the Kaggle challenge asks.

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
import encoder_configs
import scoring
import utils

folder = utils.dataset_dir(dataset)
specimens = utils.load_metadata(dataset)
truth = {rank: utils.lineage(specimens, rank) for rank in utils.RANKS}
family = specimens["family"].fillna(clustering.UNKNOWN).to_numpy()
if not encoders:
    encoders, clusterers, seeds, submit = utils.load_plan(dataset).values()
submitted = (*submit.split("/"), seeds[0])
if submitted not in [(encoder, clusterer, seeds[0]) for encoder in encoders for clusterer in clusterers]:
    raise ValueError(f"submit = {submit!r} is none of the runs scored here; it should be <encoder>/<clusterer>")

# %% [markdown]
# ## Which scores can be had
#
# Agreement with taxa can be scored only at ranks with two names or more, on the photographs that carry one. The internal
# indices (silhouette, Calinski-Harabasz, Davies-Bouldin) need no names: they say how compact and how separate clusters
# are in the embedding, which is not the same as being right.

# %%
scored = [rank for rank in utils.RANKS if truth[rank].nunique() > 1]
pd.DataFrame(
    {
        "true taxa": {rank: truth[rank].nunique() for rank in utils.RANKS},
        "photographs with a name": {rank: truth[rank].notna().sum() for rank in utils.RANKS},
        "agreement (AMI, ARI, NMI, ...)": {rank: "yes" if rank in scored else "needs two names" for rank in utils.RANKS},
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
            clusters = utils.read_table(folder / "clusters" / encoder / clusterer / f"seed={seed}.parquet")
            utils.check_clusters(clusters, specimens["hash_id"])
            partitions[encoder, clusterer, seed] = clusters.set_index("hash_id").loc[specimens["hash_id"]].reset_index()

# %% [markdown]
# ## The baselines
#
# **Random nested labels** with the caps of each k-means: every family dealt into genera at random, every genus into
# species. **Singletons**: the family itself as the only genus, and every photograph a species of its own. **Family**: the
# family itself as genus and as species. None of them looks at a photograph, so what they score is what the metric and the
# given family name give away.


# %%
def baseline(genus, species):
    """Cluster table of genus and species labels (n,) inside the given families."""
    return utils.name_clusters(specimens["hash_id"], family, genus, species)


caps = {name: utils.load_params("clusterers", name) for name in clusterers}
caps = sorted({(c["max_genera"], c["max_species"]) for c in caps.values() if "max_genera" in c}) or [(10, 10)]
for seed in seeds:
    for max_genera, max_species in caps:
        random, name = np.random.default_rng(seed), f"baseline_random_{max_genera}x{max_species}"
        labels = [random.integers(most, size=len(family)) for most in (max_genera, max_species)]
        partitions["none", name, seed] = baseline(*labels)
nothing, everything = np.zeros(len(family), int), np.arange(len(family))
partitions["none", "baseline_singletons", seeds[0]] = baseline(nothing, everything)
partitions["none", "baseline_family", seeds[0]] = baseline(nothing, nothing)


# %% [markdown]
# ## The oracle-k references
#
# Ward inside each true family, cut at the *true* number of genera and species: on the plain embedding, and on the one that
# the recommended clusterer prepares. They read the labels, so they are no methods: they tell what the same tree would give
# if the number of clusters were no question. They are no upper bound either, as AMI may be higher at another number.

# %%
deepest = {
    e: normalize(utils.pick_layer(utils.load_embeddings(dataset, e, specimens["hash_id"]), "last")) for e in encoders
}
prepared = {e: clustering.prepare(points) for e, points in deepest.items()}
counted = pd.DataFrame({rank: truth[rank] for rank in ("genus", "species") if rank in scored})
for encoder in tqdm(encoders if len(counted.columns) else [], desc="oracle k", unit="encoder"):
    for name, points in (("oracle_k_ward", deepest), ("oracle_k_ward_prepared", prepared)):
        labels = clustering.oracle_k(points[encoder], family, counted)
        table = pd.DataFrame({f"{rank}_cluster": values for rank, values in labels.items()})
        partitions[encoder, name, seeds[0]] = table.assign(hash_id=specimens["hash_id"], family_cluster=family)


# %% [markdown]
# ## Scores of partitions
#
# AMI is 0 for random labels whatever their number, and 1 for the truth; ARI is adjusted for chance, too. NMI, homogeneity,
# completeness, Hungarian accuracy and BCubed are not. *Within families* takes out what the family name alone gives.
# `ami_above_family` is the AMI minus that of the family as taxon, on the same species each time.
#
# AMI forgives a wrong number of clusters: twice as many as there are species may score the same as half as many. So read it
# beside the number found, and beside what became of the taxa: the shares that were *found* (most of the taxon in one cluster,
# and most of that cluster of this taxon), *merged* with others, *split*, or *missed*.
#
# The interval is a delete-a-group jackknife over species: given these clusters, how much does the score depend on which
# species are scored? The clustering is not repeated.

# %%
units = truth[scored[-1]].fillna(specimens["hash_id"]) if scored else specimens["hash_id"]


def agreement_with_taxa(rank, found):
    """Agreement of cluster labels (n,) with the known taxa of one rank, with and without each group of species."""
    known = np.flatnonzero(truth[rank].notna())
    labels = [column[known] for column in (truth[rank].to_numpy(), found, specimens["family"].to_numpy())]
    groups = scoring.jackknife_groups(units.iloc[known])
    return scoring.jackknife_replicates(lambda rows: scoring.agreement(*(c[rows] for c in labels)), groups)


def taxa_by_outcome(rank, found):
    """{taxa_found, taxa_merged, ...: share of the known taxa of one rank}."""
    known = truth[rank].notna().to_numpy()
    kinds = scoring.outcomes(scoring.contingency(scoring.codes(truth[rank][known]), found[known]))["outcome"]
    return {f"taxa_{kind}": (kinds == kind).mean() for kind in scoring.OUTCOMES}


def score(rank, found, indices):
    """All scores of one partition: (rank, metric, value, ci_low, ci_high), and its AMI without each group of species."""
    plain = {"n_found": len(np.unique(found))} | indices
    plain |= {"n_true": truth[rank].nunique()} | taxa_by_outcome(rank, found) if rank in scored else {}
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
    for rank in [rank for rank in utils.RANKS if f"{rank}_cluster" in clusters]:
        found = scoring.codes(clusters[f"{rank}_cluster"])
        same = run[0], rank, found.tobytes()
        distinct[same] = found
        sought.append((run, same))
indices = {}
for encoder, points in tqdm(deepest.items(), desc="internal indices", unit="encoder"):
    own = [same for same in distinct if same[0] == encoder]
    values = scoring.internal_indices(points, [distinct[same] for same in own]).to_dict("records")
    indices |= dict(zip(own, values, strict=True))
cores = -1 if len(specimens) > 1000 else 1  # starting processes takes longer than scoring a few photographs
jobs = (delayed(score)(same[1], found, indices.get(same, {})) for same, found in distinct.items())
done = Parallel(n_jobs=cores, return_as="generator")(jobs)
done = dict(zip(distinct, tqdm(done, total=len(distinct), desc="scoring", unit="partition"), strict=True))
rows = [(dataset, *run, *row) for run, same in sought for row in done[same][0]]
for (encoder, clusterer, seed), clusters in partitions.items():
    shares = clusters[[name for name in ("noise", "split_by_family") if name in clusters]].mean()
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
known = np.flatnonzero(pd.DataFrame(truth).notna().all(axis=1))
if set(scored) == set(utils.RANKS) and pd.DataFrame(truth).iloc[known].nunique().min() > 1:
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
# So every method is compared with the best one, species group by species group, over the mean of its seeds. Which one is truly
# best is not known: the winner of many runs owes its place partly to luck. These are multiple comparisons with the best (Hsu
# 1996), adjusted for the number of methods: all intervals hold at once. (No oracle-k reference can be the best method, and no
# encoder that was told more than the photographs.) Where `significant` is false, the method may be as good as the best.

# %%
replicates = {}
for (encoder, clusterer, _), same in sought:
    if same[1] in ("genus", "species") and done[same][1] is not None:
        replicates.setdefault((same[1], encoder, clusterer), []).append(done[same][1])
replicates = pd.DataFrame({key: sum(columns) / len(columns) for key, columns in replicates.items()})


def compare(table):
    """Difference of every method (columns of AMI replicates) to the best one, with its interval."""
    methods = [name for name in table if name[1] in clusterers]
    fair = [name for name in methods if encoder_configs.readable_name(name[0]) == name[0]]  # told nothing but the photographs
    differences = scoring.differences_to_best(table, fair or methods).rename(columns={"value": "ami"})
    numbers = differences.select_dtypes("number").round(6) + 0.0  # before sorting, so that equals stay in order; no -0
    differences = differences.assign(**numbers, best=" + ".join(table.loc[0, fair or methods].idxmax()))
    return differences.sort_values("ami", ascending=False, kind="stable")


(folder / "comparisons.csv").unlink(missing_ok=True)
if len(replicates.columns):
    # where names are missing, ranks may differ in how many groups of species there were to leave out
    comparisons = pd.concat({rank: compare(replicates[rank].dropna()) for rank in replicates.columns.unique(0)})
    comparisons = comparisons.rename_axis(["rank", "encoder", "clusterer"]).reset_index()
    utils.write_table(comparisons, folder / "comparisons.csv")
    shown = comparisons[comparisons["rank"] == "species"].drop(columns=["rank", "best"])
    display(shown.head(12).round(3))

# %% [markdown]
# ## The table
#
# Mean over seeds, by species AMI, or where no species is known by species silhouette; *spread* is the largest difference of
# that between two seeds. Baselines and oracle-k references are marked by their names. Family clusters are the given families
# wherever family names are used, so they are not scored here.

# %%
at_species = set(scores.loc[scores["rank"] == "species", "metric"])
sortable = [name for name in ("ami", "silhouette", "n_found") if name in at_species]
wanted = [*sortable[:1], "ami_above_family", "ami_within", "nmi", "n_found", "n_true"]
wanted += [f"taxa_{kind}" for kind in scoring.OUTCOMES]
mean = scores[scores["metric"].isin(wanted) & scores["rank"].isin(["genus", "species"])]
mean = mean.pivot_table(index=["encoder", "clusterer"], columns=["rank", "metric"], values="value")
of_seeds = scores[(scores["metric"] == wanted[0]) & (scores["rank"] == "species")].groupby(["encoder", "clusterer"])
mean["species", "spread over seeds"] = of_seeds["value"].agg(np.ptp)
mean = mean.sort_values(("species", wanted[0]), ascending=False)
mean[[(rank, name) for rank in ("genus", "species") for name in wanted if (rank, name) in mean]].round(3)

# %% [markdown]
# ## The submission
#
# Every id of the CSV once, with its three clusters. A photograph that was rejected is still asked for, so it stands as a
# cluster of its own.

# %%
rejected = utils.read_table(folder / "rejected.csv", dtype="string", keep_default_na=False, na_values=[""])
asked = rejected[rejected["hash_id"].notna() & (rejected["reason"] != "no row in the CSV")]
alone = sorted(set(asked["hash_id"]) - set(specimens["hash_id"]))
prefix = max(["rejected", *(name for name in family if name.startswith("rejected"))], key=len) + "/"  # no family's own
labels = [f"{prefix}{i}" for i in range(1, len(alone) + 1)]
alone = utils.name_clusters(alone, labels, labels, labels)
submission = pd.concat([partitions[submitted][alone.columns], alone]).sort_values("hash_id", ignore_index=True)
utils.check_clusters(submission, [*specimens["hash_id"], *alone["hash_id"]])
utils.write_table(submission, folder / "submission.csv")
submission.head()

# %% tags=["summary"]
methods = mean.loc[mean.index.get_level_values("clusterer").isin(clusterers), "species"]
best = methods[wanted[0]].idxmax()
of_true = f" of {methods.loc[best, 'n_true']:.0f}" if "n_true" in methods else ""
print(
    f"{len(partitions)} partitions scored; best species {wanted[0]} {methods.loc[best, wanted[0]]:.3f} "
    f"({' + '.join(best)}, {methods.loc[best, 'n_found']:.0f} clusters{of_true})"
)
