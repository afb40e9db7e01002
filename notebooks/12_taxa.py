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
# # 12 · Where it works and where it breaks
#
# **The question.** Which families, genera and species are found, which are merged and which fall apart, and who is taken for
# whom?
#
# One run is looked at closely: its clusters beside the names, taxon by taxon, and the photographs that ended up with
# strangers. (Photographs are shown in this notebook alone, and in the committed copy only those of the simulated demo.)
#
# **In:** clusters of one run, metadata and photographs. **Out:** `taxa.csv` and `confused.csv`, and one figure
# with copies of both (of the second its top).

# %% tags=["parameters"]
dataset = "demo"
run = ""  # encoder/clusterer; empty: the one that is submitted
seed = 0
n_shown = 6  # clusters, pairs of species, families at either end

# %%
import sys

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import plotting
import scoring
import utils

plotting.set_style()
folder = utils.dataset_dir(dataset)
specimens = utils.load_metadata(dataset)
run = run or utils.load_plan(dataset)["submit"]
clusters = utils.read_table(folder / "clusters" / run / f"seed={seed}.parquet").set_index("hash_id")
taxa = pd.DataFrame({rank: utils.lineage(specimens, rank) for rank in utils.RANKS})
taxa["cluster"] = clusters.loc[specimens["hash_id"], "species_cluster"].to_numpy()
taxa["genus_cluster"] = clusters.loc[specimens["hash_id"], "genus_cluster"].to_numpy()
taxa["path"] = specimens["path"].map(lambda path: folder / "photos" / path)
taxa = taxa.dropna().reset_index(drop=True)
if taxa["species"].nunique() < 2:
    raise ValueError(f"{dataset} has no species names: nothing says who is taken for whom")

# %% [markdown]
# ## Family by family
#
# Agreement inside each family that holds more than one species: AMI of species and genera, how pure clusters are
# (homogeneity), how whole species are (completeness), and the numbers of species, true and found.


# %%
def of_family(group):
    """Scores inside one family."""
    species = scoring.mutual_information(scoring.contingency(group["species"], group["cluster"]))
    genus = scoring.mutual_information(scoring.contingency(group["genus"], group["genus_cluster"]))
    counts = {"photographs": len(group), "species": group["species"].nunique(), "found": group["cluster"].nunique()}
    inside = {name: species[name] for name in ("homogeneity", "completeness")}
    return pd.Series(counts | {"species AMI": species["ami"], "genus AMI": genus["ami"]} | inside)


families = taxa.groupby("family").apply(of_family)
families = families[families["species"] > 1].sort_values("species AMI", ascending=False)
print("best and worst families")
ends = pd.concat([families.head(n_shown), families.tail(n_shown)]) if len(families) > 2 * n_shown else families
ends.round(2)

# %% [markdown]
# ## Species by species
#
# The *home* of a species is the cluster that holds most of its photographs. It is *found* if more than half of the species is
# at home and more than half of the home is of that species; *merged* if the home belongs to others; *split* if the home is
# its own but holds no more than half; *missed* if it is neither together nor at home.

# %%
table = pd.crosstab(taxa["species"], taxa["cluster"])
species = scoring.outcomes(scoring.csr_array(table.to_numpy(float))).set_index(table.index)
species["clusters"] = (table > 0).sum(axis=1)
species = taxa.groupby("species")[["family", "genus"]].first().join(species).reset_index()
utils.write_table(species.round(4), folder / "taxa.csv")
species["outcome"].value_counts().to_frame("species")

# %% [markdown]
# ## Genus by genus
#
# Genera with several species are hard in another way: the species have to be found and to be put together again.

# %%
genera = taxa.groupby("genus").agg(species=("species", "nunique"), photographs=("species", "size"))
homes = scoring.contingency(taxa["genus"], taxa["genus_cluster"])  # rows in the order of the names, as `genera`
genera = genera.join(scoring.outcomes(homes).set_index(genera.index))
several = genera[genera["species"] > 1].sort_values(["together", "pure"], ascending=False)
pd.concat([several.head(n_shown), several.tail(n_shown)]).drop_duplicates().round(2)

# %% [markdown]
# ## Who is taken for whom?
#
# For two species, the chance that a photograph of one and a photograph of the other share a cluster.

# %%
shares = table.div(table.sum(axis=1), axis=0)
confused = pd.DataFrame(np.triu(shares @ shares.T, 1), table.index, table.index).rename_axis(columns="and")
confused = confused.stack().rename("confused").reset_index()
confused = confused[confused["confused"] > 0].sort_values("confused", ascending=False, ignore_index=True)
genus_of = species.set_index("species")["genus"]
same = confused["species"].map(genus_of).to_numpy() == confused["and"].map(genus_of).to_numpy()
confused["same genus"] = np.where(same, "yes", "no")
utils.write_table(confused.round(4), folder / "confused.csv")
print(f"{len(confused):,} pairs of species share a cluster; {same.mean():.0%} of them are of one genus")
confused.head(2 * n_shown).round(2)

# %% [markdown]
# The pairs most often confused, side by side.

# %%
pairs = confused.head(n_shown)
sides = taxa.groupby("species")["path"].apply(list)
lines = {}
for one, other in zip(pairs["species"], pairs["and"], strict=True):
    lines[f"{plotting.plain(one, 58)} | {plotting.plain(other, 58)}"] = sides[one][:4] + sides[other][:4]
plotting.show_photos(plotting.contact_sheet(lines, 8))

# %% [markdown]
# ## Odd ones out
#
# The largest clusters with strangers: first up to four of the species that most of the cluster is, then the strangers.

# %%
majority = taxa["cluster"].map(table.idxmax())
taxa["stranger"] = taxa["species"] != majority
mixed = taxa.groupby("cluster")["stranger"].agg(["sum", "size"])
mixed = mixed[mixed["sum"] > 0].sort_values("size", ascending=False).head(n_shown)
lines = {}
for cluster in mixed.index:
    inside = taxa[taxa["cluster"] == cluster]
    natives, strangers = (inside.loc[inside["stranger"] == odd, "path"].tolist() for odd in (False, True))
    lines[f"{cluster}: {len(natives)} + {len(strangers)} strangers"] = natives[:4] + strangers[:4]
if lines:
    plotting.show_photos(plotting.contact_sheet(lines, 8))

# %% [markdown]
# ## One figure
#
# What became of the species of each family.

# %%
order = list(scoring.OUTCOMES)
outcomes = pd.crosstab(species["family"], species["outcome"]).reindex(columns=order, fill_value=0)
outcomes = outcomes.loc[outcomes.sum(axis=1).sort_values().index[-20:]]
figure, ax = plt.subplots(figsize=(8, 0.35 * len(outcomes) + 1.4))
left = np.zeros(len(outcomes))
for name, colour in zip(order, (plotting.PALETTE[2], plotting.PALETTE[1], plotting.PALETTE[4], plotting.GREY), strict=True):
    ax.barh(range(len(outcomes)), outcomes[name], left=left, color=colour, label=name)
    left += outcomes[name].to_numpy()
ax.set(yticks=range(len(outcomes)), yticklabels=map(plotting.plain, outcomes.index))
ax.set(xlabel="species", title=plotting.plain(run.replace("/", ", ").replace("_", " "), 80))
ax.legend(frameon=False, loc="lower right")
ax.grid(axis="y", visible=False)
figure.tight_layout()
plotting.save_figure(figure, utils.figures_dir(dataset) / "taxa.png")
utils.write_table(species.round(4), utils.figures_dir(dataset) / "taxa.csv")
utils.write_table(confused.head(50).round(4), utils.figures_dir(dataset) / "confused.csv")

# %% tags=["summary"]
counted = species["outcome"].value_counts()
print(f"{run}: " + ", ".join(f"{counted.get(name, 0)} {name}" for name in order) + f" of {len(species)} species")
