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
# # 12 · Results for every taxon
#
# **The question.** Which families, genera and species does the clustering find, which ones does it merge or split, and which
# species does it confuse?
#
# This chapter compares the clusters of one run with the taxon names, taxon by taxon. It also shows photographs that share a
# cluster with another species. (Photographs are shown only in the notebook. The committed copy shows those of the simulated
# demo.)
#
# **In:** clusters of one run, metadata and photographs. **Out:** `taxa.csv` with a row per species, `confused.csv` with a row
# per pair of species, and a figure. `figures/<dataset>/` gets a copy of `taxa.csv` and the first 50 rows of `confused.csv`.

# %% tags=["parameters"]
dataset = "demo"
run = ""  # encoder/clusterer; empty: the run of submission.csv
seed = 0
n_shown = 6  # number of clusters, of pairs of species, and of best and worst taxa to show

# %% jupyter={"source_hidden": true}
import sys

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.sparse import triu

import encoder_configs
import plotting
import scoring
import utils

plotting.set_style()
folder, figures = utils.dataset_dir(dataset), utils.figures_dir(dataset)
specimens = utils.load_metadata(dataset)
run = run or utils.load_plan(dataset)["submit"]
clusters = utils.load_clusters(dataset, run, seed, specimens["hash_id"])
taxa, known = utils.named_taxa(specimens)
taxa["cluster"], taxa["genus_cluster"] = clusters["species_cluster"], clusters["genus_cluster"]
pictured = specimens["path"].notna().all()  # a dataset of barcodes has no photographs
taxa["path"] = [folder / "photos" / path if pictured else "" for path in specimens["path"]]
taxa = taxa[known].reset_index(drop=True)
print(f"{known.sum():,} of {len(known):,} photographs have a name at every rank; the others are left out")

# %% [markdown]
# ## Family by family
#
# The table shows the best and the worst families of those that hold more than one species. AMI compares clusters with species
# and with genera. Homogeneity is 1 if every cluster holds one species. Completeness is 1 if every species lies in one cluster.
# *Clusters* is the number of clusters.


# %%
def of_family(group):
    """Scores inside one family."""
    species = scoring.mutual_information(scoring.contingency(group["species"], group["cluster"]))
    genus = scoring.mutual_information(scoring.contingency(group["genus"], group["genus_cluster"]))
    counts = {"photographs": len(group), "species": group["species"].nunique(), "clusters": group["cluster"].nunique()}
    inside = {name: species[name] for name in ("homogeneity", "completeness")}
    return pd.Series(counts | {"species AMI": species["ami"], "genus AMI": genus["ami"]} | inside)


families = taxa.groupby("family").apply(of_family)
families = families[families["species"] > 1].sort_values("species AMI", ascending=False)
ends = pd.concat([families.head(n_shown), families.tail(n_shown)]) if len(families) > 2 * n_shown else families
ends.round(2)

# %% [markdown]
# ## Species by species
#
# The main cluster of a species is the one with most of its photographs. A species is
#
# - *found* if more than half of the species is in its main cluster, and more than half of this cluster is the species,
# - *merged* if only the first is true: the main cluster belongs to other species,
# - *split* if only the second is true: the species lies in several clusters,
# - *missed* if neither is true.

# %%
species_code, names = pd.factorize(taxa["species"], sort=True)
cluster_code, _ = pd.factorize(taxa["cluster"])
table = scoring.contingency(species_code, cluster_code)  # sparse (species, clusters)
outcomes = scoring.outcomes(table).set_index(names).assign(clusters=table.count_nonzero(axis=1))
species = taxa.groupby("species")[["family", "genus"]].first().join(outcomes).reset_index()
for path in (folder, figures):
    utils.write_table(species.round(4), path / "taxa.csv")
counted = species["outcome"].value_counts().reindex(scoring.OUTCOMES, fill_value=0)
counted.to_frame("species")

# %% [markdown]
# ## Genus by genus
#
# The table shows the same for the best and the worst genera with several species. Their main cluster is a cluster at the rank
# of genus.

# %%
genera = taxa.groupby("genus").agg(species=("species", "nunique"), photographs=("species", "size"))
genus_table = scoring.contingency(taxa["genus"], taxa["genus_cluster"])  # rows in the order of `genera`
genera = genera.join(scoring.outcomes(genus_table).set_index(genera.index))
several = genera[genera["species"] > 1].sort_values(["together", "pure"], ascending=False)
pd.concat([several.head(n_shown), several.tail(n_shown)]).drop_duplicates().round(2)

# %% [markdown]
# ## Which species are confused?
#
# *Confused* is the probability that a random photograph of one species and a random photograph of the other share a cluster.
# The table shows the pairs of species with the highest values.

# %%
shares = table.multiply(1 / table.sum(axis=1)[:, None]).tocsr()
pairs = triu(shares @ shares.T, 1, format="coo")  # only pairs of species that share a cluster
order = np.lexsort((pairs.col, pairs.row, -pairs.data.round(4)))
one, other = pairs.row[order], pairs.col[order]
confused = pd.DataFrame({"species": names[one], "and": names[other], "confused": pairs.data[order].round(4)})
genus = species["genus"].to_numpy()
same = genus[one] == genus[other]
confused["same genus"] = np.where(same, "yes", "no")
utils.write_table(confused, folder / "confused.csv")
utils.write_table(confused.head(50), figures / "confused.csv")
confused.head(2 * n_shown).round(2)

# %% [markdown]
# The most confused pairs, side by side:

# %% jupyter={"source_hidden": true}
paths = taxa.groupby("species")["path"].apply(list)
lines = {}
for left, right in confused.head(n_shown)[["species", "and"]].itertuples(index=False):
    lines[f"{plotting.plain(left, 58)} | {plotting.plain(right, 58)}"] = paths[left][:4] + paths[right][:4]
if pictured:
    plotting.show_photos(plotting.contact_sheet(lines, 8))

# %% [markdown]
# ## Outliers
#
# The main species of a cluster is the one with most photographs in it. All other photographs of the cluster are outliers. The
# figure shows the largest clusters with outliers: up to four photographs of the main species, then up to four outliers.

# %%
main_species = np.ravel(table.argmax(axis=0))  # of every cluster
taxa["outlier"] = species_code != main_species[cluster_code]
mixed = taxa.groupby("cluster")["outlier"].agg(["sum", "size"])
mixed = mixed[mixed["sum"] > 0].sort_values("size", ascending=False, kind="stable").head(n_shown)
lines = {}
for cluster in mixed.index:
    inside = taxa[taxa["cluster"] == cluster]
    main, outliers = (inside.loc[inside["outlier"] == which, "path"].tolist() for which in (False, True))
    lines[f"{cluster}: {len(main)} + {len(outliers)} outliers"] = main[:4] + outliers[:4]
if lines and pictured:
    plotting.show_photos(plotting.contact_sheet(lines, 8))

# %% [markdown]
# ## All families in one figure
#
# The figure counts the outcomes of the species of each family, for the families with most species.

# %% jupyter={"source_hidden": true}
counts = pd.crosstab(species["family"], species["outcome"]).reindex(columns=list(scoring.OUTCOMES), fill_value=0)
counts = counts.loc[counts.sum(axis=1).sort_values().index[-20:]]
figure, ax = plt.subplots(figsize=(8, 0.35 * len(counts) + 1.4))
left = np.zeros(len(counts))
for outcome in counts:
    ax.barh(range(len(counts)), counts[outcome], left=left, color=plotting.OUTCOME_COLOURS[outcome], label=outcome)
    left += counts[outcome].to_numpy()
ax.set(yticks=range(len(counts)), yticklabels=map(plotting.plain, counts.index), xlabel="number of species")
encoder, clusterer = run.split("/")
name = plotting.plain(encoder_configs.readable_name(dataset, encoder), 40)
ax.set_title(f"{counted['found']:,} of {len(species):,} species found ({name}; {clusterer.replace('_', ' ')})")
ax.legend(frameon=False, loc="lower right")
ax.grid(axis="y", visible=False)
figure.tight_layout()
plotting.save_figure(figure, figures / "taxa.png")

# %% [markdown]
# ## What we learned

# %%
share = counted / len(species)
failures = counted.drop("found")
meaning = dict(zip(failures.index, ("clusters are too coarse", "clusters are too fine", "species are mixed"), strict=True))
sentences = [
    f"Of {len(species):,} species, {share['found']:.0%} are found, {share['merged']:.0%} merged, {share['split']:.0%} split "
    f"and {share['missed']:.0%} missed."
]
if failures.any():
    sentences.append(f"The most common failure is *{failures.idxmax()}*: {meaning[failures.idxmax()]}.")
if len(confused):
    sentences.append(f"{same.mean():.0%} of the {len(same):,} pairs of species that share a cluster are of one genus.")
    family = species["family"].to_numpy()
    cousins = (family[one] == family[other]) & ~same
    in_genus, in_family = ((n * (n - 1) / 2).sum() for n in (species[rank].value_counts() for rank in ("genus", "family")))
    if 0 < in_genus < in_family:
        sentences.append(
            f"Two species of one genus share a cluster in {same.sum() / in_genus:.0%} of cases, two species of different "
            f"genera of a family in {cousins.sum() / (in_family - in_genus):.0%}."
        )
plotting.say(*sentences)

# %% tags=["summary"]
print(f"{run}: " + ", ".join(f"{n} {name}" for name, n in counted.items()) + f" of {len(species)} species")
