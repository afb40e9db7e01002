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
# # 97 · Which way of tuning helps?
#
# **The question.** Which trainer makes a better encoder than the frozen one it started from, and does that hold over seeds?
#
# A sweep of chapter 03 trains every trainer with several seeds (`make sweep SWEEP=trainers`), and chapter 14 scores every
# network beside the frozen encoder. Here they are compared, seed by seed.
#
# **In:** `models/<point>_scores.csv` of every point of the sweep. **Out:** `sweeps/<sweep>/summary.csv`, with the columns of
# `scores.csv` and the varied parameters, and one figure with a copy of the table.

# %% tags=["parameters"]
dataset = "demo"
sweep = "trainers"
encoders = []  # not used: a trainer starts from one encoder

# %% jupyter={"source_hidden": true}
import sys

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import ttest_1samp

import plotting
import sampling
import scoring
import utils
from sweeps import sweep_points

plotting.set_style()
folder = utils.dataset_dir(dataset)

# %% [markdown]
# ## Scores of every network

# %%
varied = [name for name in utils.load_params("sweeps", sweep)["grid"] if name != "seed"]
parts = []
for point, parameters in sweep_points(sweep, ["none"]).items():
    scores = utils.read_table(folder / "models" / f"{point}_scores.csv").assign(seed=parameters["seed"])
    parts.append(scores.assign(**{name: parameters[name] for name in varied}))

# %% [markdown]
# The family-only baseline takes the family itself as genus and as species of the photographs that are scored.

# %%
specimens = utils.load_metadata(dataset)
side = sampling.family_halves(specimens["family"])
scored_on = [specimens[side == half] for half in (0, 1)] if "half" in varied else [specimens]


def family_only(rank, rows):
    """AMI of the family itself as taxon of `rank`."""
    true = utils.lineage(rows, rank)
    return scoring.ami(true.dropna(), rows["family"].fillna("")[true.notna()])


baseline = {rank: np.mean([family_only(rank, rows) for rows in scored_on]) for rank in ("species", "genus")}
rows = [{"clusterer": "baseline_family", "rank": rank, "metric": "ami", "value": value} for rank, value in baseline.items()]
table = pd.concat([*parts, pd.DataFrame(rows).assign(dataset=dataset, encoder="none")], ignore_index=True)
columns = [*dict.fromkeys([*varied, "network", "layer", *utils.SCORE_COLUMNS])]
table = table.reindex(columns=columns).astype({"seed": "Int64"})
utils.write_table(table.round(6), folder / "sweeps" / sweep / "summary.csv")

# %% [markdown]
# ## Tuned against frozen
#
# The gain is taken seed by seed on the deepest layer, and its 95 % interval is Student's t over seeds: would another run of the
# same trainer give the same? The intervals of chapter 06 answer another question, how much depends on the species at hand.
#
# Many trainers and measures are compared, so some intervals exclude 0 by chance. The p-values of all gains in the table are
# therefore adjusted together (Holm, 1979); `significant` means below 0.05 after that. With three seeds only gains far larger
# than their spread pass.

# %%
frozen, tuned, gain = scoring.tuning_gains(table)
deepest = frozen.index.get_level_values("layer")[-1]
gains = gain.xs(deepest, level="layer")
gained = scoring.mean_interval(gains, ["measure", "trainer"]).sort_index()
by_seed = gains.groupby(["measure", "trainer"])
gained["p_adjusted"] = scoring.holm(by_seed.agg(lambda values: ttest_1samp(values, 0).pvalue).reindex(gained.index).fillna(1))
gained["significant"] = gained["p_adjusted"] < 0.05
gained.round(3)

# %% [markdown]
# ## Does the choice of the epoch matter?
#
# *Tuned* is the network after the last epoch, *aligned* the one after the epoch with the best alignment + uniformity. Mean
# gain in AMI of both:

# %%
aligned = scoring.tuning_gains(table, "aligned")[2].xs(deepest, level="layer")
both = pd.DataFrame({"last epoch": gains, "aligned epoch": aligned}).groupby(["measure", "trainer"]).mean()
both.loc[["genus AMI", "species AMI"]].round(3)

# %% [markdown]
# ## Heads, shallow layers and the backbone
#
# The gain of every layer. A projection head drops what its objective does not ask for; the backbone below it may keep it.

# %%
by_layer = gain.groupby(["measure", "trainer", "layer"], sort=False).mean().unstack()
by_layer.round(3)

# %% [markdown]
# ## One figure
#
# Top: clusters found without genus or species names. Middle: the oracle-k reference, Ward trees cut at the true numbers.
# Bottom: classifiers that learn species names. Solid line: the frozen encoder; dashed: the family-only baseline. Bars are 95 %
# intervals over seeds, each by itself.

# %% jupyter={"source_hidden": true}
LAYERS = {"avgpool": "o", "layer3": "s", "head_avgpool": "D", "head_layer3": "^"}
PANELS = ["species AMI", "genus AMI", "species AMI, oracle k", "genus AMI, oracle k", *scoring.SUPERVISED]
trainers = list(dict.fromkeys(table["trainer"].dropna()))
shown = [name for name in LAYERS if name in set(tuned.index.get_level_values("layer"))]
titles = [utils.load_params("trainers", trainer).get("title", trainer) for trainer in trainers]


def draw_panel(ax, measure):
    """One measure: a row per trainer, a mark per layer, the frozen encoder as a line."""
    ax.axvline(frozen.xs((deepest, measure), level=("layer", "measure")).mean(), color="0.3", label=f"frozen, {deepest}")
    if (rank := measure.split(" AMI")[0]) in baseline:
        ax.axvline(baseline[rank], color="0.45", linestyle="--", label="family-only baseline")
    for number, layer in enumerate(shown):
        values = scoring.mean_interval(tuned.xs((layer, measure), level=("layer", "measure")), "trainer").reindex(trainers)
        error = np.abs(values[["ci_low", "ci_high"]].sub(values["mean"], axis=0)).T.fillna(0).to_numpy()
        where = -np.arange(len(trainers)) + 0.24 - 0.16 * number
        looks = {"marker": LAYERS[layer], "color": plotting.PALETTE[number], "linestyle": "", "markersize": 6}
        ax.errorbar(values["mean"], where, xerr=error, elinewidth=1, label=f"tuned, {layer}", **looks)
    ax.set(yticks=-np.arange(len(trainers)), yticklabels=titles, ylim=(0.5 - len(trainers), 0.5), xlabel=measure)
    ax.grid(axis="y", visible=False)


# %% jupyter={"source_hidden": true}
figure, axes = plt.subplots(3, 2, figsize=(10, 2 + 1.5 * len(trainers)), sharey=True)
for ax, measure in zip(axes.flat, PANELS, strict=True):
    draw_panel(ax, measure)
handles = axes[0, 0].get_legend_handles_labels()
changes = by_layer.loc["species AMI", deepest].sort_values()
named = dict(zip(trainers, titles, strict=True))
ends = (f"{changes.iloc[place]:+.2f} by {named[changes.index[place]]}" for place in (0, -1))
figure.suptitle(f"{plotting.dataset_name(dataset)}, species AMI of tuned networks over the frozen one:\n{', '.join(ends)}")
figure.tight_layout()
figure.legend(*handles, loc="upper center", bbox_to_anchor=(0.5, 0.01), ncols=3, frameon=False)
plotting.save_figure(figure, utils.figures_dir(dataset) / f"sweep_{sweep}.png")
utils.write_table(table.round({"value": 4}), utils.figures_dir(dataset) / f"sweep_{sweep}.csv")
plt.show()

# %% [markdown]
# ## What we learned

# %%
species = gained.loc["species AMI"].sort_values("mean")
best = species.iloc[-1]
n_significant = int(gained.loc[["species AMI", "genus AMI"], "significant"].sum())
plotting.say(
    f"The largest gain in species AMI is {best['mean']:+.2f} (`{best.name}`), "
    f"{'significant' if best['significant'] else 'not significant'} over seeds; "
    f"the smallest is {species['mean'].iloc[0]:+.2f} (`{species.index[0]}`).",
    f"{n_significant} of {2 * len(trainers)} gains in species and genus AMI are significant.",
    f"The frozen encoder starts at {frozen.xs((deepest, 'species AMI'), level=('layer', 'measure')).mean():.2f}, "
    f"the family-only baseline has {baseline['species']:.2f}.",
)

# %% tags=["summary"]
print(f"{len(parts)} runs; largest gain in species AMI {best['mean']:+.3f} ({best.name})")
