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
# # 98 · What a sweep shows
#
# **The question.** How much of a result is the data, and how much the settings?
#
# A sweep (`params/sweeps/<sweep>.yaml`) runs one chapter at every point of a grid. This chapter reads what each point left
# behind, by the names in the sweep and not by what lies in the folder: a point that was taken out of the grid is gone.
#
# **In:** the maps or clusters of every point. **Out:** `sweeps/<sweep>/summary.csv`, tidy, and one small-multiples figure.

# %% tags=["parameters"]
dataset = "eu_moths"
sweep = "umap"
encoder = "resnet50_double"  # where the sweep names none

# %%
import sys

sys.path.insert(0, "..")
import jupytext
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import seaborn as sns
from sklearn.manifold import trustworthiness
from sklearn.metrics import adjusted_mutual_info_score

import utils
from execute import declared_parameters

utils.set_style()
folder = utils.dataset_dir(dataset)
specimens = utils.load_metadata(dataset)
card = utils.load_params("sweeps", sweep)
declared = declared_parameters(jupytext.read(utils.ROOT / "notebooks" / f"{card['notebook']}.py"))
points = utils.expand_sweep(sweep, declared | ({"encoder": encoder} if "encoder" in declared else {}))
axes_names = list(card["grid"])

# %% [markdown]
# ## One row per point and measure
#
# A map is judged by its trustworthiness (no labels needed), a clustering by its AMI at each rank whose names are known and
# by the number of clusters. Of any other chapter the duration is told.


# %%
def load_map(point, parameters):
    """{layer: (n, 2) coordinates} in the order of the specimens."""
    table = pd.read_parquet(folder / "maps" / parameters["encoder"] / f"{point}.parquet")
    return {
        name: part.set_index("hash_id").loc[specimens["hash_id"], ["x", "y"]].to_numpy()
        for name, part in table.groupby("layer", sort=False)
    }


def measure_map(point, parameters):
    """Trustworthiness of every layer's map, on at most 2,000 photographs."""
    layers = utils.load_embeddings(dataset, parameters["encoder"], specimens["hash_id"])
    maps = load_map(point, parameters)
    rows = np.sort(np.random.default_rng(0).permutation(len(specimens))[:2000])
    near = min(15, len(rows) // 2 - 1)
    return {
        f"trustworthiness of {name}": trustworthiness(values[rows], maps[name][rows], n_neighbors=near)
        for name, values in layers.items()
    }


# %%
def measure_clusters(point, parameters):
    """AMI at every known rank and the number of clusters, mean over the point's seeds."""
    values = []
    for seed in parameters["seeds"]:
        path = folder / "clusters" / parameters["encoder"] / point / f"seed={seed}.parquet"
        clusters = pd.read_parquet(path).set_index("hash_id").loc[specimens["hash_id"]]
        for rank in ("genus", "species"):
            true, found = utils.lineage(specimens, rank), clusters[f"{rank}_cluster"]
            known = true.notna().to_numpy()
            values.append({f"{rank} clusters": found.nunique()})
            if known.any():
                values.append({f"{rank} AMI": adjusted_mutual_info_score(true[known], found[known])})
    return pd.DataFrame(values).mean().to_dict()


def measure_duration(point, parameters):
    """Seconds that the executed notebook took, as papermill noted them."""
    notebook = nbformat.read(folder / "sweeps" / sweep / f"{point}.ipynb", as_version=4)
    return {"seconds": notebook.metadata.papermill.duration}


kinds = {"04_umap_visualization": measure_map, "05_hierarchical_clustering": measure_clusters}

# %%
measure = kinds.get(card["notebook"], measure_duration)
table = pd.DataFrame(
    [
        {**{axis: parameters[axis] for axis in axes_names}, "measure": name, "value": value}
        for point, parameters in points.items()
        for name, value in measure(point, parameters).items()
    ]
)
utils.write_table(table, folder / "sweeps" / sweep / "summary.csv")
table.groupby(["measure", *axes_names[:2]], sort=False)["value"].agg(["mean", "std", "count"]).round(4)


# %% [markdown]
# ## One figure
#
# Maps stand in a grid, the first two parameters down and across and the others at their first value, with the mean and
# standard deviation of their trustworthiness over those others. Clusterings are drawn as curves, with the standard
# deviation over the parameters not shown.


# %%
def draw_maps():
    """Small multiples of the deepest layer's map over the first two axes of the grid."""
    down, across = axes_names[:2] if len(axes_names) > 1 else (None, axes_names[0])
    lines, columns = card["grid"].get(down, [None]), card["grid"][across]
    colours = utils.family_colours(specimens["family"])
    size = (2.6 * len(columns), 2.7 * len(lines))
    figure, axes = plt.subplots(len(lines), len(columns), figsize=size, squeeze=False)
    for point, parameters in points.items():
        if any(parameters[axis] != card["grid"][axis][0] for axis in axes_names[2:]):
            continue
        line, column = lines.index(parameters.get(down)), columns.index(parameters[across])
        layer, xy = list(load_map(point, parameters).items())[-1]
        here = (table[axes_names[:2]] == [parameters[axis] for axis in axes_names[:2]]).all(axis=1)
        trust = table.loc[here & (table["measure"] == f"trustworthiness of {layer}"), "value"]
        ax = axes[line, column]
        utils.draw_map(ax, xy, specimens["family"], colours)
        ax.set_title(f"trust {trust.mean():.3f}" + (f" ± {trust.std():.3f}" if len(trust) > 1 else ""), fontsize=9)
        ax.set_xlabel(f"{across} = {columns[column]}" if line == len(lines) - 1 else "")
        ax.set_ylabel(f"{down} = {lines[line]}" if down and column == 0 else "")
    utils.family_legend(figure, specimens["family"], colours)
    return figure


# %%
def draw_curves():
    """Every measure against the first axis of the grid, one curve per value of the second."""
    hue = axes_names[1] if len(axes_names) > 1 else None
    palette = sns.color_palette(utils.PALETTE, table[hue].nunique()) if hue else None
    grid = sns.relplot(
        table,
        x=axes_names[0],
        y="value",
        hue=hue,
        palette=palette,
        col="measure",
        col_wrap=2,
        kind="line",
        marker="o",
        errorbar="sd",
        height=2.8,
        aspect=1.3,
        facet_kws={"sharey": False},
    )
    return grid.set_titles("{col_name}").figure


figure = draw_maps() if measure is measure_map else draw_curves()
utils.save_figure(figure, utils.figures_dir(dataset) / f"sweep_{sweep}.png")

# %% tags=["summary"]
print(f"{len(points)} points of {card['notebook']}, drawn in sweep_{sweep}.png")
