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
# # 96 · How much of a map is the data, and how much the settings?
#
# **The question.** UMAP has settings and a seed. Which of the things that a map seems to show stay when they change?
#
# `make sweep SWEEP=umap` draws the map of one encoder for every point of `params/sweeps/umap.yaml`. Here the maps stand side by
# side.
#
# **In:** the maps of all points, and the embedding. **Out:** `sweeps/<sweep>/summary.csv`, with the columns of `scores.csv` and
# the varied parameters, and one figure with a copy of the table.

# %% tags=["parameters"]
dataset = "demo"
sweep = "umap"
encoders = []  # empty: as in the last `make sweep` of this name

# %% jupyter={"source_hidden": true}
import sys

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.spatial.distance import pdist
from sklearn.manifold import trustworthiness
from tqdm import tqdm

import plotting
import utils
from sweeps import last_sweep

plotting.set_style()
folder = utils.dataset_dir(dataset)
specimens = utils.load_metadata(dataset)
points, varied = last_sweep(dataset, sweep, encoders)

# %% [markdown]
# ## How faithful is each map?
#
# Trustworthiness (Venna and Kaski, 2001) is 1 when every neighbour on the map is a near neighbour in the embedding. It is taken
# on at most 2,000 photographs.


# %%
def map_of(point, parameters):
    """{layer: (n, 2) coordinates} in the order of the specimens."""
    table = utils.read_table(folder / "maps" / parameters["encoder"] / f"{point}.parquet")
    return {
        layer: part.set_index("hash_id").loc[specimens["hash_id"], ["x", "y"]].to_numpy()
        for layer, part in table.groupby("layer", sort=False)
    }


rows = np.sort(np.random.default_rng(0).permutation(len(specimens))[:2000])
near = min(15, len(rows) // 2 - 1)
maps = {point: map_of(point, parameters) for point, parameters in points.items()}
table = []
for point, parameters in tqdm(points.items(), unit="map"):
    layers = utils.whole_layers(utils.load_embeddings(dataset, parameters["encoder"], specimens["hash_id"]))
    about = {name: parameters[name] for name in varied} | {"encoder": parameters["encoder"], "seed": parameters["seed"]}
    for layer, values in layers.items():
        trust = trustworthiness(values[rows], maps[point][layer][rows], n_neighbors=near)
        table.append(about | {"layer": layer, "metric": "trustworthiness", "value": trust})
table = pd.DataFrame(table).assign(dataset=dataset)
summary = table.reindex(columns=[*dict.fromkeys([*varied, "layer", *utils.SCORE_COLUMNS])])
utils.write_table(summary.round(6), folder / "sweeps" / sweep / "summary.csv")
shown = [name for name in varied if name != "seed"]
table.groupby(["encoder", "layer", *shown], sort=False)["value"].agg(["mean", "std", "count"]).round(4)

# %% [markdown]
# ## The maps side by side
#
# The deepest layer under the first two parameters, down and across; the others stay at their first value. The title of each map
# gives its trustworthiness, mean and standard deviation over the others.

# %% jupyter={"source_hidden": true}
LABELS = {"n_neighbors": "neighbours", "min_dist": "smallest distance", "seed": "seed"}
deepest = table["layer"].iloc[-1]
across = shown[-1] if shown else "seed"
down = shown[0] if len(shown) > 1 else None
fixed = {name: values[0] for name, values in varied.items() if name not in (down, across)}
lines, columns = varied.get(down, [None]), varied.get(across) or [next(iter(points.values()))[across]]
colours = plotting.family_colours(specimens["family"])
size = (2.6 * len(columns), 2.7 * len(lines))
figure, axes = plt.subplots(len(lines), len(columns), figsize=size, squeeze=False)
for point, parameters in points.items():
    if any(parameters[name] != value for name, value in fixed.items()):
        continue
    line, column = lines.index(parameters.get(down)), columns.index(parameters[across])
    here = (table["layer"] == deepest) & (table[across] == parameters[across])
    here &= table[down] == parameters[down] if down else True
    trust, ax = table.loc[here, "value"], axes[line, column]
    plotting.draw_map(ax, maps[point][deepest], specimens["family"], colours)
    ax.set_title(f"{trust.mean():.3f}" + (f" ± {trust.std():.3f}" if len(trust) > 1 else ""), fontsize=9)
    ax.set_xlabel(f"{LABELS.get(across, across)} {columns[column]}" if line == len(lines) - 1 else "")
    ax.set_ylabel(f"{LABELS.get(down, down)} {lines[line]}" if down and column == 0 else "")
of_deepest = table[table["layer"] == deepest]
settings = of_deepest.groupby(shown)["value"].mean() if shown else of_deepest["value"]
title = f"{plotting.dataset_name(dataset)}: trustworthiness {settings.min():.2f} to {settings.max():.2f} over UMAP settings"
figure.suptitle(title, y=0.95)
plotting.family_legend(figure, specimens["family"], colours)
plotting.save_figure(figure, utils.figures_dir(dataset) / f"sweep_{sweep}.png")
utils.write_table(summary.round({"value": 4}), utils.figures_dir(dataset) / f"sweep_{sweep}.csv")
plt.show()

# %% [markdown]
# ## Are families as far apart on every map?
#
# Spearman's rank correlation of the distances between family centres, for every two of the maps. It is 1 if the maps agree on
# which families are near each other.

# %%
centres = [pdist(pd.DataFrame(each[deepest]).groupby(specimens["family"]).mean()) for each in maps.values()]
likeness = pd.DataFrame(centres).T.corr("spearman").to_numpy()[np.triu_indices(len(centres), 1)].mean()
comparable = len(centres) > 1 and specimens["family"].nunique() > 3  # two maps, and more than one distance to rank
number = len(centres) * (len(centres) - 1) // 2
print(f"{likeness:.2f}, mean over {number} pairs of maps" if comparable else "Too few maps or families for a comparison.")

# %% [markdown]
# ## What we learned

# %%
sentences = [f"Trustworthiness lies between {settings.min():.3f} and {settings.max():.3f} over the settings."]
if "seed" in varied and shown:
    spread = of_deepest.groupby(shown)["value"].std().mean()
    sentences.append(f"Another seed changes it by {spread:.3f} (standard deviation).")
if comparable:
    sentences.append(
        f"Distances between the centres of families on two of these maps have a mean rank correlation of {likeness:.2f} "
        "(1: the maps agree)."
    )
plotting.say(*sentences)

# %% tags=["summary"]
print(f"{len(points)} maps, drawn in sweep_{sweep}.png")
