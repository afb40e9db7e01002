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
# # 97 · What tuning is worth
#
# **The question.** Which way of learning from the photographs at hand makes a better encoder than the frozen one it
# started from, and is it more than luck?
#
# A sweep of chapter 03 runs every trainer with several seeds. Frozen and tuned encoders were clustered by one and the same
# method there; here they are compared, seed by seed.
#
# **In:** `models/<point>_scores.csv` of every point of the sweep. **Out:** `sweeps/<sweep>/summary.csv`, tidy, and one
# figure with a copy of the table beside it.

# %% tags=["parameters"]
dataset = "demo"
sweep = "trainers"
encoders = []  # plays no part: a trainer starts from one encoder

# %%
import sys

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import ttest_1samp
from sklearn.metrics import adjusted_mutual_info_score

import plotting
import sampling
import scoring
import utils
from execute import sweep_points

plotting.set_style()
folder = utils.dataset_dir(dataset)

# %% [markdown]
# ## One row per point, layer and measure
#
# A trainer is called by its config.

# %%
varied = list(utils.load_params("sweeps", sweep)["grid"])
parts = [
    utils.read_table(folder / "models" / f"{point}_scores.csv").assign(**{axis: parameters[axis] for axis in varied})
    for point, parameters in sweep_points(sweep, ["none"]).items()
]
table = pd.concat(parts, ignore_index=True)[[*varied, "encoder", "layer", "measure", "value"]]

# %% [markdown]
# ## Tuned against frozen
#
# The difference is taken seed by seed, on the deepest layer of the backbone, and its 95 % interval is Student's t over
# seeds: would another run of the same trainer give the same? (How much hangs on the species at hand, the intervals of chapter
# 06 tell.) So many trainers and measures are looked at that some intervals miss 0 by luck. So the p-values of all gains in
# the table are adjusted together (Holm, 1979), and only a gain that is `significant` after that has been shown. Few seeds show
# little: with three, only gains far larger than their spread pass.

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
# ## Does it hang on the epoch that is kept?
#
# The tuned network is the one after the last epoch. *Aligned* is the one after the epoch with the best alignment + uniformity,
# SimCLR's own aim. Mean gain in AMI by either.

# %%
aligned = scoring.tuning_gains(table, "aligned")[2].xs(deepest, level="layer")
both = pd.DataFrame({"last epoch": gains, "aligned epoch": aligned}).groupby(["measure", "trainer"]).mean()
both.loc[["genus AMI", "species AMI"]].round(3)

# %% [markdown]
# ## A baseline
#
# The family itself as genus and as species, on the photographs that are scored: what a clusterer gets that only repeats the
# name it was given.

# %%
specimens = utils.load_metadata(dataset)
side = sampling.family_halves(specimens["family"])
scored_on = [specimens[side == half] for half in (0, 1)] if "half" in varied else [specimens]


def family_as(rank, rows):
    """AMI of the family itself as taxon of `rank`."""
    true = utils.lineage(rows, rank)
    return adjusted_mutual_info_score(true.dropna(), rows["family"].fillna("")[true.notna()])


baseline = {f"{rank} AMI": np.mean([family_as(rank, rows) for rows in scored_on]) for rank in ("species", "genus")}
baseline_rows = pd.DataFrame(baseline.items(), columns=["measure", "value"]).assign(encoder="baseline_family")
table = pd.concat([table, baseline_rows], ignore_index=True).convert_dtypes(convert_floating=False)
utils.write_table(table, folder / "sweeps" / sweep / "summary.csv")
baseline_rows.round(3)

# %% [markdown]
# ## Heads, shallow layers and the backbone
#
# The same gain for every layer. A head is trained to forget what its contrast does not ask for; what it forgets, the
# backbone may keep.

# %%
by_layer = gain.groupby(["measure", "trainer", "layer"], sort=False).mean().unstack()
by_layer.round(3)

# %% [markdown]
# ## One figure
#
# Above, clusters that no name below the family was told to; in the middle, the same trees cut at the true number of taxa (the
# oracle-k reference); below, classifiers that are told species names. The line is the frozen encoder, the dashed one the
# baseline. Bars are 95 % intervals over seeds, each for itself.

# %%
LOOKS = {"avgpool": "o", "layer3": "s", "head_avgpool": "D", "head_layer3": "^"}
CLUSTERS = [f"{rank} AMI{oracle}" for oracle in ("", ", oracle k") for rank in ("species", "genus")]
PANELS = [*CLUSTERS, "species kNN, supervised", "species linear probe, supervised"]
trainers = list(dict.fromkeys(table["trainer"].dropna()))
shown = [name for name in LOOKS if name in set(tuned.index.get_level_values("layer"))]


def draw_panel(ax, measure):
    """One measure: a row per trainer, a mark per layer, the frozen encoder as a line."""
    ax.axvline(frozen.xs((deepest, measure), level=("layer", "measure")).mean(), color="0.3", label="frozen, avgpool")
    if (clusters := measure.removesuffix(", oracle k")) in baseline:
        ax.axvline(baseline[clusters], color="0.45", linestyle="--", label="baseline: the family itself as taxon")
    for number, layer in enumerate(shown):
        values = scoring.mean_interval(tuned.xs((layer, measure), level=("layer", "measure")), "trainer").reindex(trainers)
        error = np.abs(values[["ci_low", "ci_high"]].sub(values["mean"], axis=0)).T.fillna(0).to_numpy()
        where = -np.arange(len(trainers)) + 0.24 - 0.16 * number
        looks = {"marker": LOOKS[layer], "color": plotting.PALETTE[number], "linestyle": "", "markersize": 6}
        ax.errorbar(values["mean"], where, xerr=error, elinewidth=1, label=f"tuned, {layer}", **looks)
    ax.set(yticks=-np.arange(len(trainers)), yticklabels=trainers, ylim=(0.5 - len(trainers), 0.5), xlabel=measure)
    ax.grid(axis="y", visible=False)


# %%
figure, axes = plt.subplots(3, 2, figsize=(10, 2 + 1.5 * len(trainers)), sharey=True)
for ax, measure in zip(axes.flat, PANELS, strict=True):
    draw_panel(ax, measure)
handles = axes[0, 0].get_legend_handles_labels()
figure.tight_layout()
figure.legend(*handles, loc="upper center", bbox_to_anchor=(0.5, 0.01), ncols=3, frameon=False)
plotting.save_figure(figure, utils.figures_dir(dataset) / f"sweep_{sweep}.png")
utils.write_table(table.round({"value": 4}), utils.figures_dir(dataset) / f"sweep_{sweep}.csv")

# %% tags=["summary"]
best = gained.loc["species AMI"].sort_values("mean").iloc[-1]
shown = "significant" if best["significant"] else "not significant"
print(f"{len(parts)} runs; largest gain in species AMI {best['mean']:+.3f} ({best.name}), {shown} over seeds")
