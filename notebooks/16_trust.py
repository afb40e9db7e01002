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
# # 16 · How far to trust each cluster?
#
# **The question.** Some clusters are one species, others are a mixture. Which are which, without any name? An expert who knows
# can start with the clusters that need no work.
#
# *Trust* is the probability that a photograph belongs to the main species of its cluster. It is computed from what can be seen
# without names; where names are known, this chapter checks it.
#
# **In:** clusters of one run, the embedding, and clusters of other encoders if there are any. **Out:** `trust.csv`, the side
# file of the submission: every photograph with its clusters, its trust, and the mean trust of its species cluster. Where
# species have names, also a figure and a table of it.

# %% tags=["parameters"]
dataset = "demo"
run = ""  # encoder/clusterer; empty: the run of submission.csv
encoders = []  # whose clusters may agree; empty: those of the last make
seed = 0
coefficients = "eu_moths"  # in params/trust/: those that were fitted on this dataset
fit = False  # true: also show the coefficients that fit this dataset

# %% jupyter={"source_hidden": true}
import sys

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import display
from sklearn.metrics import roc_auc_score

import clustering
import encoder_configs
import plotting
import trust
import utils

plotting.set_style()
folder = utils.dataset_dir(dataset)
specimens = utils.load_metadata(dataset)
run = run or utils.load_plan(dataset)["submit"]
encoder, clusterer = run.split("/")
clusters = utils.load_clusters(dataset, run, seed, specimens["hash_id"])
labels = clusters["species_cluster"].to_numpy()

# %% [markdown]
# ## What speaks for a photograph
#
# - **Stability**: is it with the same photographs when the method runs again on a random 80 % of them?
# - **Margin**: its silhouette. Is it nearer to its own cluster than to the next?
# - **Agreement**: is it with the same photographs in the clusters of independent encoders, which were trained from other
#   weights? Only if this dataset has been clustered with any.
#
# A logistic regression combines margin and agreement, or stability and margin where there is no independent encoder. Its
# coefficients, in `params/trust/`, were fitted on one dataset only: on any other, trust is a forecast.

# %%
config, points, genus_points = clustering.load_prepared(dataset, run, specimens["hash_id"], seed)
encoders = encoders or utils.load_plan(dataset)["encoders"]
independent = trust.independent_clusters(dataset, run, encoders, seed, specimens["hash_id"])
others = list(independent.values())
rounds = 0 if others and not fit else 10  # agreement takes the place of stability
features = trust.features(points, genus_points, specimens["family"], labels, config, others, rounds)
weights = utils.load_params("trust", coefficients)["several_encoders" if others else "one_encoder"]
clusters["trust"] = trust.predict(features, weights)
clusters["cluster_trust"] = clusters.groupby("species_cluster")["trust"].transform("mean")
kept = ["hash_id", "family_cluster", "genus_cluster", "species_cluster", "trust", "cluster_trust"]
utils.write_table(clusters[kept].round(4), folder / "trust.csv")
print(f"independent encoders: {', '.join(independent) or 'none'}")
by_trust = clusters.groupby("species_cluster").agg(photographs=("trust", "size"), trust=("trust", "mean"))
by_trust.sort_values("trust", ascending=False).head(8).round(2)

# %% [markdown]
# ## Is it right?
#
# Where species have names, a photograph is right if its species is the most common one in its cluster. A photograph alone in
# its cluster is always right, and of no use, so the number of clusters stands beside.

# %%
species = utils.lineage(specimens, "species")
known = species.notna().to_numpy()
checked = species.nunique() > 1
if checked:
    correct = trust.right(labels[known], species[known])
    values, features = clusters.loc[known, "trust"].to_numpy(), features[known]
    bins = trust.reliability(values, correct)
    share, purity = trust.coverage(values, correct)
    auc = roc_auc_score(correct, values) if 0 < correct.mean() < 1 else np.nan
    if fit:
        for columns in (trust.ONE_ENCODER, trust.SEVERAL_ENCODERS)[: 1 + bool(others)]:
            print(trust.fit(features[list(columns)], correct))
    display(bins.round(3))

# %% [markdown]
# The same for whole clusters, sorted by their mean trust: how pure are the most trusted ones?

# %%
if checked:
    named = clusters[known].assign(right=correct)
    whole = named.groupby("species_cluster").agg(trust=("trust", "mean"), right=("right", "mean"), size=("right", "size"))
    whole = whole.sort_values("trust", ascending=False, kind="stable")
    whole["clusters"] = np.arange(1, len(whole) + 1) / len(whole)
    whole["purity"] = (whole["right"] * whole["size"]).cumsum() / whole["size"].cumsum()
    steps = np.arange(0.1, 1.01, 0.1)
    table = pd.DataFrame(
        {
            "share": steps.round(1),
            "photographs_right": [purity[np.searchsorted(share, s - 1e-9)] for s in steps],
            "clusters_pure": [whole["purity"].iloc[np.searchsorted(whole["clusters"], s - 1e-9)] for s in steps],
            "trust_of_tenth": bins["trust"].reindex(range(10)).to_numpy(),
            "right_of_tenth": bins["right"].reindex(range(10)).to_numpy(),
        }
    ).assign(run=f"{encoder}/{clusterer}", auc=auc)
    utils.write_table(table.round(4), utils.figures_dir(dataset) / "trust.csv")
    display(table[["share", "photographs_right", "clusters_pure"]].round(3))

# %% [markdown]
# ## One figure
#
# Left: trust against the share that is right, a tenth of the photographs per mark; a forecast without error is on the diagonal.
# Right: the share that is right among the most trusted photographs, and in the most trusted clusters.

# %% jupyter={"source_hidden": true}
if checked:
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2))
    left.plot([0, 1], [0, 1], color="0.5", linestyle="--", label="a forecast without error")
    left.plot(bins["trust"], bins["right"], marker="o", color=plotting.PALETTE[0], label="a tenth of the photographs")
    left.set(xlabel="mean trust", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1.02), title="is trust a probability?")
    right.plot(share, purity, color=plotting.PALETTE[0], label="photographs")
    right.plot(whole["clusters"], whole["purity"], color=plotting.PALETTE[3], linestyle="-.", label="whole clusters")
    right.axhline(correct.mean(), color="0.5", linestyle="--", label="all photographs")
    right.set(xlabel="share that is trusted most", ylabel="right in these", ylim=(min(0.4, purity.min()), 1.02))
    right.set_title("where to begin")
    for ax in (left, right):
        ax.legend(frameon=False, loc="lower right" if ax is left else "lower left")
    name = encoder_configs.readable_name(dataset, encoder)
    at = purity[np.searchsorted(share, 0.5)]
    title = f"Of the most trusted half of the photographs {at:.0%} are right, of all {correct.mean():.0%}"
    figure.suptitle(f"{title} ({plotting.plain(name, 50)})")
    figure.tight_layout()
    plotting.save_figure(figure, utils.figures_dir(dataset) / "trust.png")
    plt.show()
else:  # species have no names, or not any more
    plotting.remove_figures(utils.figures_dir(dataset), "trust.png", "trust.csv")

# %% [markdown]
# ## What we learned

# %%
if checked:
    sentences = [
        f"Of all photographs {correct.mean():.0%} are of the main species of their cluster; the mean trust is "
        f"{values.mean():.0%}. Of the tenth with the highest trust {purity[np.searchsorted(share, 0.1)]:.0%} are right, of the "
        f"tenth with the lowest {bins['right'].iloc[0]:.0%}.",
    ]
    if np.isfinite(auc):
        sentences.append(f"A right photograph has a higher trust than a wrong one in {auc:.0%} of pairs.")
else:
    sentences = ["No species has a name, so trust cannot be checked here."]
plotting.say(*sentences)

# %% tags=["summary"]
right = f", {correct.mean():.2f} of the photographs right" if checked else ""
print(f"{encoder}/{clusterer}: mean trust {clusters['trust'].mean():.2f}{right}")
