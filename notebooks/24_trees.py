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
# # 24 · The tree that was found, beside the taxonomy
#
# **The question.** Do species of one genus stand together on the tree of the clusters?
#
# A cluster at the rank of species is a leaf. Clusters of one family are joined into a tree by average linkage of their centres.
# The taxonomy of the family stands beside it, and lines connect what shares photographs: a *tanglegram*. Both sides are rotated
# until few lines cross, which changes neither of them. Genus and species names are used for this comparison only.
#
# **In:** clusters of one run, its embedding, metadata and photographs. **Out:** `trees.csv` with a row per family, pictures of
# all families in `previews/trees/`, and for a simulated world the figure of one family.

# %% tags=["parameters"]
dataset = "demo"
run = ""  # encoder/clusterer; empty: the run of submission.csv
seed = 0
family = ""  # the family in the figure; empty: the one with most clusters that fits

# %% jupyter={"source_hidden": true}
import sys

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.sparse import csr_array

import clustering
import encoder_configs
import plotting
import scoring
import trees
import utils
from images import thumbnails

plotting.set_style()
folder, figures = utils.dataset_dir(dataset), utils.figures_dir(dataset)
specimens = utils.load_metadata(dataset)
ids = specimens["hash_id"]
run = run or utils.load_plan(dataset)["submit"]
_, points, _ = clustering.load_prepared(dataset, run, ids, seed)
taxa, known = utils.named_taxa(specimens)
taxa["cluster"] = utils.load_clusters(dataset, run, seed, ids)["species_cluster"].to_numpy(object)

# %% [markdown]
# ## Genera on the tree
#
# A species stands at its main cluster, the one with most of its photographs. A genus of two or more species is a *clade* if the
# smallest branch of the tree with all of its species holds no species of another genus; families of one genus do not count.
# *By chance* is the mean number of clades when the species of a family are put at random on the leaves that they have.
# *Crossing* is the share of pairs of lines that cross: 0 in perfect agreement, 0.5 in a random order before rotation.


# %%
def compared(rows):
    """The tree of one family and its species: linkage, contingency table, genera of the species, medoids of the clusters."""
    merges, names, medoids = trees.cluster_tree(points[rows], taxa["cluster"].to_numpy(object)[rows])
    code, found = pd.factorize(taxa["species"].iloc[rows], sort=True)
    cluster = pd.Categorical(taxa["cluster"].iloc[rows], categories=names).codes
    shared = scoring.contingency(cluster, code).toarray()
    about = taxa.iloc[rows].groupby("species")[["genus"]].first().loc[found].reset_index()
    return merges, shared, about, rows[medoids]


families = taxa[known].groupby("family").indices
comparisons = {name: compared(np.flatnonzero(known)[rows]) for name, rows in families.items()}
results = []
for name, (merges, shared, about, _) in comparisons.items():
    k, m = shared.shape
    homes, genera = shared.argmax(axis=0), about["genus"].to_numpy()
    monophyletic = trees.clades(merges, k, homes, genera)
    _, clusters, species = trees.untangle(merges, shared, genera)
    chance = trees.clades_by_chance(merges, k, homes, genera, seed=seed)
    counted = {"genera": len(monophyletic), "clades": sum(monophyletic.values()), "by_chance": chance}
    crossing = trees.crossing(shared[np.ix_(clusters, species)])
    results.append({"family": name, "species": m, "clusters": k, **counted, "crossing": crossing})
results = pd.DataFrame(results)
for place in (folder, figures):
    utils.write_table(results.round(4), place / "trees.csv")
results.sort_values("species", ascending=False).head(12).round(2)

# %% [markdown]
# ## One family
#
# Every leaf shows the photograph in the middle of its cluster. Numbers in brackets count photographs. A line is the thicker,
# the larger the share of its species.


# %%
def drawn(name):
    """The figure of one family."""
    merges, shared, about, medoids = comparisons[name]
    paths = [folder / "photos" / path for path in specimens["path"].fillna("").iloc[medoids]]
    pictures = thumbnails(paths, specimens["sha256"].iloc[medoids], folder / "previews" / "thumbnails")
    row = results.set_index("family").loc[name]
    outcome = scoring.outcomes(csr_array(shared.T))["outcome"]
    title = f"{plotting.plain(name)}: {(outcome == 'found').sum()} of {row['species']:.0f} species found"
    title += f", {row['clades']:.0f} of {row['genera']:.0f} genera with several species are clades" if row["genera"] else ""
    return trees.draw(title, merges, shared, about, list(pictures))


sizes = results.set_index("family")[["species", "clusters"]].max(axis=1)
fitting = results[(sizes.to_numpy() <= 24) & (results["clusters"] > 1)]
shown = family or (fitting if len(fitting) else results).sort_values(["clusters", "species"])["family"].iloc[-1]
figure = drawn(shown)
if (folder / "truth.parquet").is_file():  # photographs of others are not published
    plotting.save_figure(figure, figures / "trees.png")
plotting.show_photos(figure)

# %% [markdown]
# ## All families
#
# One picture per family, in `previews/trees/`, if it has at most 150 clusters and species.

# %%
out = folder / "previews" / "trees"
for old in out.glob("page-*.png"):
    old.unlink()
pages = [name for name in results["family"] if sizes[name] <= trees.LARGEST]
for number, name in enumerate(pages, 1):
    plotting.save_figure(drawn(name), out / f"page-{number:04d}.png")
    plt.close("all")

# %% [markdown]
# ## What we learned

# %%
genera, clades, chance = (results[column].sum() for column in ("genera", "clades", "by_chance"))
encoder = encoder_configs.readable_name(dataset, run.split("/")[0])
found = f"With {encoder}, {clades} of {genera} genera with several species are clades of the tree of clusters; "
plotting.say(f"{found}by chance {chance:.1f} would be." if genera else "No genus has several species.")

# %% tags=["summary"]
print(f"trees of {len(results)} families, {clades} of {genera} genera are clades, {chance:.1f} by chance")
