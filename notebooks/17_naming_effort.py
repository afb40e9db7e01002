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
# # 17 · What do clusters save an expert?
#
# **The question.** Someone has photographs and wants names. How many decisions must an expert make until 80, 90 or 95 % of the
# photographs carry the right name: with clusters, and without?
#
# The expert is simulated by the true names. One decision is one act: to name a photograph, to name a cluster, or to split one
# in two. The expert makes no mistakes, and looking costs nothing.
#
# **In:** `trust.csv` of chapter 16, the embedding, and species names. **Out:** a figure and `effort.csv`, a table of the
# decisions that each strategy needs.

# %% tags=["parameters"]
dataset = "demo"
run = ""  # encoder/clusterer; empty: the run of submission.csv
seeds = [0, 1, 2]  # orders in which photographs are named
n_groups = 10  # of species, for the intervals

# %% jupyter={"source_hidden": true}
import sys

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from joblib import Parallel, delayed

import clustering
import effort
import encoder_configs
import plotting
import review
import scoring
import utils

plotting.set_style()
run = run or utils.load_plan(dataset)["submit"]
encoder, clusterer = run.split("/")
specimens = utils.load_metadata(dataset)
species = utils.lineage(specimens, "species")
known = species.notna().to_numpy()
if species.nunique() < 2:
    raise utils.NotApplicable(f"{dataset} has fewer than two species with a name: no expert can be simulated")
trusted = review.load_current(dataset, specimens["hash_id"])
_, points, _ = clustering.load_prepared(dataset, run, specimens["hash_id"])
points = points[known]
labels, trust = (trusted.loc[known, name].to_numpy() for name in ("species_cluster", "trust"))
family, species = specimens.loc[known, "family"].fillna(clustering.UNKNOWN).to_numpy(object), species[known].to_numpy(object)

# %% [markdown]
# ## Four strategies
#
# - **One by one**: every photograph is named.
# - **Nearest neighbours**: photographs are named in random order; every other one takes the name of the nearest named
#   photograph of its family. Mean over orders.
# - **Clusters**: a cluster takes the name of its most common species, the largest and most trusted first. When all have a name,
#   photographs are checked one by one, the least trusted first; a check of a right one costs a decision, too.
# - **Clusters, mixed ones split**: a cluster in which no species has two thirds is split in two along its dendrogram instead.

# %%
STRATEGIES = ("one by one", "nearest neighbours", "clusters", "clusters, mixed ones split")
GOALS = (0.8, 0.9, 0.95)


def curves(rows):
    """{strategy: share right after 0, 1, 2, ... decisions} for the photographs `rows`."""
    several = [effort.propagated(points[rows], family[rows], species[rows], seed) for seed in seeds]
    given = points[rows], labels[rows], species[rows], trust[rows]
    results = effort.one_by_one(species[rows]), np.mean(several, axis=0), effort.by_cluster(*given)
    return dict(zip(STRATEGIES, (*results, effort.by_cluster(*given, split_below=2 / 3)), strict=True))


def decisions(rows):
    """Decisions per photograph until each goal, by strategy and goal."""
    found = curves(rows)
    return {(name, goal): effort.decisions_until(found[name], goal) / len(rows) for name in STRATEGIES for goal in GOALS}


# %% [markdown]
# The interval is a delete-a-group jackknife over species: would another choice of species give the same?

# %%
groups = scoring.jackknife_groups(species, n_groups)
everything = np.arange(len(species))
without = [np.flatnonzero(groups != group) for group in np.unique(groups)] if len(np.unique(groups)) >= 3 else []
replicates = pd.DataFrame(Parallel(n_jobs=-1)(delayed(decisions)(rows) for rows in [everything, *without]))
intervals = scoring.jackknife_interval(replicates)
table = pd.DataFrame(
    [(name, goal, *(part * len(species) for part in intervals[name, goal])) for name, goal in intervals],
    columns=["strategy", "goal", "decisions", "ci_low", "ci_high"],
)
table["ci_low"] = table["ci_low"].clip(lower=0)
table["photographs_per_decision"] = table["goal"] * len(species) / table["decisions"]
table = table.assign(run=run, photographs=len(species), species=len(set(species)))
utils.write_table(table.round(2), utils.figures_dir(dataset) / "effort.csv")
table.pivot_table(index="strategy", columns="goal", values="decisions", sort=False).round(0)

# %% [markdown]
# ## One figure

# %% jupyter={"source_hidden": true}
found = curves(everything)
best = min(STRATEGIES, key=lambda name: (intervals[name, 0.9][0], STRATEGIES.index(name)))
figure, ax = plt.subplots(figsize=(8, 4.6))
for number, (name, style) in enumerate(zip(STRATEGIES, (":", "--", "-", "-."), strict=True)):
    shares = found[name]
    ax.plot(np.arange(len(shares)), shares, style, color=plotting.PALETTE[(7, 1, 0, 3)[number]], label=name, linewidth=2)
for goal in GOALS:
    ax.axhline(goal, color="0.85", zorder=0)
ax.set(xscale="symlog", xlim=(1, len(species)), ylim=(0, 1.02), xlabel="decisions of the expert (logarithmic)")
ax.set_ylabel("photographs with the right name")
ax.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
per = 0.9 / intervals[best, 0.9][0]
ax.set_title(
    f"{plotting.dataset_name(dataset)}: 90 % of {len(species):,} photographs named with "
    f"{intervals[best, 0.9][0] * len(species):,.0f} decisions, {per:.1f} photographs each"
)
figure.tight_layout()
plotting.save_figure(figure, utils.figures_dir(dataset) / "effort.png")
plt.show()

# %% [markdown]
# ## What we learned

# %%
needed = table.set_index(["strategy", "goal"])["decisions"]
plotting.say(
    f"For 90 % of the photographs, naming them one by one takes {needed['one by one', 0.9]:,.0f} decisions, propagation to "
    f"nearest neighbours {needed['nearest neighbours', 0.9]:,.0f}, clusters {needed['clusters', 0.9]:,.0f}, and clusters of "
    f"which mixed ones are split {needed['clusters, mixed ones split', 0.9]:,.0f} "
    f"({encoder_configs.readable_name(dataset, encoder)}).",
    f"The least for 95 % is {needed.xs(0.95, level='goal').min():,.0f} decisions ({needed.xs(0.95, level='goal').idxmin()}).",
)

# %% tags=["summary"]
print(f"{run}: 90 % of {len(species):,} photographs with {needed[best, 0.9]:,.0f} decisions ({best})")
