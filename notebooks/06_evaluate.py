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
# A score needs comparison. Beside every method stand *baselines*, which look at no photograph, and *oracle-k references*, which
# are given the true number of genera and species of each family.
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

# %% jupyter={"source_hidden": true}
import itertools
import sys

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import display
from joblib import Parallel, delayed
from scipy.cluster.hierarchy import linkage
from sklearn.preprocessing import normalize
from tqdm import tqdm

import clustering
import encoder_configs
import plotting
import scoring
import utils

plotting.set_style()
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
# ## Which scores are possible
#
# Agreement with taxa can be scored at ranks with two names or more, on the photographs with a name. Internal indices
# (silhouette, Calinski-Harabasz, Davies-Bouldin) need no names. They measure how compact and separate clusters are in the
# embedding, not whether they are right.

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
# Every cluster table of this run is read and checked: each specimen once, species nested in genera, genera in families.

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
# - **Random**: every family is divided into genera at random and every genus into species, as many as the caps of each k-means.
# - **Singletons**: the family is the only genus, and every photograph is a species.
# - **Family-only**: the family is the only genus and the only species.
#
# None of them looks at a photograph. Their score is what the metric and the family name alone give.


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
# Ward inside each true family, cut at the *true* number of genera and species: on the plain embedding, and on the embedding as
# the default clusterer prepares it. They read the labels, so they are not methods: they show what a tree gives when the number
# is known. They are not upper bounds: another number, or another linkage, may have a higher AMI.

# %%
deepest, prepared = {}, {}
for encoder in encoders:
    deepest[encoder] = normalize(utils.load_layer(dataset, encoder, specimens["hash_id"]))
    _, prepared[encoder], _ = clustering.load_prepared(dataset, f"{encoder}/{utils.DEFAULT_CLUSTERER}", specimens["hash_id"])
counted = pd.DataFrame({rank: truth[rank] for rank in ("genus", "species") if rank in scored})
for encoder in tqdm(encoders if len(counted.columns) else [], desc="oracle k", unit="encoder"):
    for name, points in (("oracle_k_ward", deepest), ("oracle_k_ward_prepared", prepared)):
        labels = clustering.oracle_k(points[encoder], family, counted)
        table = pd.DataFrame({f"{rank}_cluster": values for rank, values in labels.items()})
        partitions[encoder, name, seeds[0]] = table.assign(hash_id=specimens["hash_id"], family_cluster=family)


# %% [markdown]
# ## Scores of partitions
#
# AMI is 0 on average for random labels, whatever their number, and 1 for the true taxa. ARI is adjusted for chance, too; NMI,
# homogeneity, completeness, Hungarian accuracy and BCubed are not. *Within families* removes what the family name alone gives.
# `ami_above_family` is the AMI minus that of the family-only baseline.
#
# AMI hardly depends on the number of clusters: twice the true number may score the same as half of it. So the number found
# stands beside it, and the shares of taxa that were *found* (most of the taxon in one cluster, and most of that cluster of
# this taxon), *merged* with others, *split*, or *missed*. Where some names are missing, the number found is that of clusters
# with a named photograph.
#
# The interval is a delete-a-group jackknife over species. It tells how much the score of these clusters depends on which
# species are scored; the clustering is not repeated.

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


# %%
def score(rank, found, indices):
    """All scores of one partition: (rank, metric, value, ci_low, ci_high), and its AMI without each group of species."""
    counted = found[truth[rank].notna()] if rank in scored else found  # what the true number can be compared with
    plain = {"n_found": len(np.unique(counted))} | indices
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
# Equal partitions are scored once: given families, and the seeds of deterministic methods.

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
# How well does a dendrogram of the prepared embedding agree with the taxonomy, without any cut? Trees are Ward's, on a fixed
# sample of at most 5,000 photographs.
#
# - *Dendrogram purity*: how pure is the smallest branch around two photographs of one taxon?
# - *Cophenetic correlation*: do heights in the tree agree with taxonomic distances?
# - *Triplet accuracy*: of three photographs, are the two closest relatives joined first? Chance is one in three.
# - *Robinson-Foulds*: which clades does a tree of the species' centroids share with the taxonomy, and on a simulated world with
#   the true tree?

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
# ## Which methods are significantly worse than the best?
#
# All methods are scored on the same species, so two AMIs may differ significantly although their own intervals overlap. Every
# method is therefore compared with the best one, species group by species group, over the mean of its seeds.
#
# Which method is truly best is unknown: the winner among many runs is partly lucky. These are multiple comparisons with the
# best (Hsu 1996), adjusted for the number of pairs: all intervals of a rank hold at once. Oracle-k references and encoders with
# a role (upper bounds, references, controls) cannot be the best. Where `significant` is false, the method may be as good as
# the best.

# %%
replicates = {}
for (encoder, clusterer, _), same in sought:
    if same[1] in ("genus", "species") and done[same][1] is not None:
        replicates.setdefault((same[1], encoder, clusterer), []).append(done[same][1])
replicates = pd.DataFrame({key: sum(columns) / len(columns) for key, columns in replicates.items()})


def compare(table):
    """Difference of every method (columns of AMI replicates) to the best one, with its interval."""
    methods = [name for name in table if name[1] in clusterers]
    fair = [name for name in methods if not encoder_configs.role(dataset, name[0])]
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
# Mean over seeds, sorted by species AMI, or by species silhouette where no species has a name. *Spread over seeds* is the
# largest difference between two seeds. Names say which rows are baselines and oracle-k references. Family clusters are not
# shown: they are the given families wherever family names are used.

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
# Every id of the CSV once, with its three clusters. The challenge also asks for photographs that were rejected: each is a
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

# %% [markdown]
# ## Two pictures
#
# AMI against the number found: good runs are high and near the line of the true number. And what became of the species in the
# best runs.

# %% jupyter={"source_hidden": true}
of_species = mean["species"]
methods = of_species[of_species.index.get_level_values("clusterer").isin(clusterers)]
fair = methods[[not encoder_configs.role(dataset, encoder) for encoder, _ in methods.index]]
best = (methods if fair.empty else fair)[wanted[0]].idxmax()
named = {encoder: plotting.plain(encoder_configs.readable_name(dataset, encoder), 60) for encoder in encoders}
if wanted[0] == "ami":
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4 + 0.1 * len(encoders)))
    looks = zip(itertools.cycle(plotting.PALETTE), itertools.cycle(plotting.MARKS), strict=True)
    for encoder, (colour, mark) in zip(encoders, looks, strict=False):
        runs = methods.loc[encoder]
        left.plot(runs["n_found"], runs["ami"], linestyle="", marker=mark, color=colour, label=named[encoder])
    left.axvline(methods["n_true"].iloc[0], color="0.3", label="true number of species")
    left.axhline(of_species.loc[("none", "baseline_family"), "ami"], color="0.45", linestyle="--", label="family-only baseline")
    left.set(xscale="log", xlabel="species clusters", ylabel="species AMI", title="score against the number of clusters")
    shown = methods.sort_values("ami").tail(8)
    edges = np.zeros(len(shown))
    for kind, colour in plotting.OUTCOME_COLOURS.items():
        right.barh(range(len(shown)), shown[f"taxa_{kind}"], left=edges, color=colour, label=kind)
        edges += shown[f"taxa_{kind}"].to_numpy()
    right.set(yticks=range(len(shown)), xlabel="share of species", xlim=(0, 1), title="the best runs, species by species")
    labels = [f"{named[encoder]}\n{clusterer.replace('_', ' ')}" for encoder, clusterer in shown.index]
    right.set_yticklabels(labels, fontsize=8)
    for ax, columns in ((left, 2), (right, 4)):
        ax.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=columns)
    figure.tight_layout()
    plt.show()

# %% [markdown]
# ## What we learned

# %%
run = methods.loc[best]
if wanted[0] == "ami":
    family_only = of_species.loc[("none", "baseline_family"), "ami"]
    oracle = of_species.loc[(best[0], "oracle_k_ward_prepared"), "ami"]
    sentences = [
        f"The best run is {best[1]} on {best[0]}: species AMI {run['ami']:.2f}, against {family_only:.2f} of the family-only "
        f"baseline and {oracle:.2f} of the oracle-k reference on the same embedding.",
        f"It has {run['n_found']:,.0f} clusters for {run['n_true']:,.0f} species: {run['taxa_found']:.0%} of them are found, "
        f"{run['taxa_merged']:.0%} merged, {run['taxa_split']:.0%} split and {run['taxa_missed']:.0%} missed.",
    ]
    compared = comparisons[(comparisons["rank"] == "species") & comparisons["clusterer"].isin(clusterers)]
    alike = ~compared["significant"] & (compared["encoder"] + " + " + compared["clusterer"] != compared["best"])
    sentences.append(f"{alike.sum()} of the other {len(methods) - 1} runs are not significantly different from it.")
else:
    sentences = ["No species has a name, so agreement cannot be scored."]
    if wanted[0] == "silhouette":
        found = f"{run['n_found']:,.0f} species clusters"
        sentences.append(f"By silhouette the best run is {best[1]} on {best[0]}, with {found}.")
    else:
        sentences.append("A silhouette compares clusters, and no run found two clusters of several photographs.")
plotting.say(*sentences)

# %% tags=["summary"]
of_true = f" of {run['n_true']:.0f}" if "n_true" in run else ""
score = f"species {wanted[0]} {run[wanted[0]]:.3f}" if wanted[0] != "n_found" else "run"
print(f"{len(partitions)} partitions scored; best {score} ({' + '.join(best)}, {run['n_found']:.0f} clusters{of_true})")
