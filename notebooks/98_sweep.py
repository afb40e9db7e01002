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
# A sweep (`params/sweeps/<sweep>.yaml`) runs one chapter at every point of a grid, or with one parameter at a time departing
# from a baseline. This chapter reads what each point left behind, by the names in the sweep and not by what lies in the
# folder: a point that was taken out of the sweep is gone.
#
# **In:** the maps, clusters or scores of every point. **Out:** `sweeps/<sweep>/summary.csv`, tidy, and one small-multiples
# figure with a copy of the table beside it.

# %% tags=["parameters"]
dataset = "demo"
sweep = "umap"
encoders = []  # empty: as in the last `make sweep` of this name

# %%
import itertools
import sys

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import seaborn as sns
from sklearn.manifold import trustworthiness
from sklearn.metrics import adjusted_mutual_info_score
from sklearn.preprocessing import normalize

import clustering
import encoder_configs
import plotting
import scoring
import utils
from execute import sweep_points

plotting.set_style()
folder = utils.dataset_dir(dataset)
card = utils.load_params("sweeps", sweep)
if not encoders:
    encoders = (folder / "sweeps" / sweep / "encoders.txt").read_text().split()
points = sweep_points(sweep, encoders)
knobs = list(card.get("vary", {}))
grid = {name: list(dict.fromkeys(point[name] for point in points.values())) for name in card.get("grid", {})}
baseline = next(iter(points.values()))  # where `vary` departs from
axes_names = [*knobs, *grid]

# %% [markdown]
# ## One row per point and measure
#
# A map is judged by its trustworthiness (no labels needed), a clustering by its AMI at each rank whose names are known and
# by the number of clusters. What chapter 09 left are scores already. Of any other chapter the duration is told.


# %%
def tidy(parameters, values):
    """{measure: value} of a point as a table."""
    return pd.DataFrame(values.items(), columns=["measure", "value"]).assign(encoder=parameters.get("encoder", "none"))


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
    return tidy(
        parameters,
        {
            f"trustworthiness of {name}": trustworthiness(values[rows], maps[name][rows], n_neighbors=near)
            for name, values in layers.items()
        },
    )


# %%
def measure_clusters(point, parameters):
    """AMI at every known rank and the number of clusters of a point's clusterer, mean over its seeds."""
    values = []
    for seed in parameters["seeds"]:
        path = folder / "clusters" / parameters["encoder"] / point / f"seed={seed}.parquet"
        clusters = utils.read_table(path).set_index("hash_id").loc[specimens["hash_id"]]
        for rank in ("genus", "species"):
            true, found = utils.lineage(specimens, rank), clusters[f"{rank}_cluster"]
            known = true.notna().to_numpy()
            values.append({f"{rank} clusters": found.nunique()})
            if known.any():
                values.append({f"{rank} AMI": adjusted_mutual_info_score(true[known], found[known])})
    return tidy(parameters, pd.DataFrame(values).mean()).assign(clusterer=parameters["clusterer"])


# %%
def references():
    """What needs no clusterer: the family itself as taxon, and Ward in every family with the true numbers, by encoder."""
    taxa = pd.DataFrame({rank: utils.lineage(specimens, rank) for rank in ("genus", "species")})
    family = specimens["family"].fillna(clustering.UNKNOWN).to_numpy(object)
    found = {("baseline_family", "none"): dict.fromkeys(taxa, family)}
    for encoder in dict.fromkeys(parameters["encoder"] for parameters in points.values()):
        points_of = utils.pick_layer(utils.load_embeddings(dataset, encoder, specimens["hash_id"]), "last")
        found["oracle_k_ward", encoder] = clustering.oracle_k(normalize(points_of), family, taxa)
    rows = [
        (*name, f"{rank} AMI", adjusted_mutual_info_score(taxa[rank][known], np.asarray(labels[rank])[known]))
        for name, labels in found.items()
        for rank in taxa
        if (known := taxa[rank].notna().to_numpy()).any()
    ]
    return pd.DataFrame(rows, columns=["clusterer", "encoder", "measure", "value"])


# %%
def measure_duration(point, parameters):
    """Seconds that the executed notebook took, as papermill noted them."""
    notebook = nbformat.read(folder / "sweeps" / sweep / f"{point}.ipynb", as_version=4)
    return tidy(parameters, {"seconds": notebook.metadata.papermill.duration})


def measure_recovery(point, parameters):
    """The scores that chapter 09 gave to each encoder, and to "none", its baseline."""
    scores = utils.read_table(folder / "recoverability" / f"{point}.csv")
    names = scores["rank"].str.cat(scores["metric"].replace("ami", "AMI").str.replace("_", " "), " ")
    return scores[["encoder", "value"]].assign(measure=names.str.removeprefix("tree "))


# %%
kinds = {
    "04_umap_visualization": measure_map,
    "05_hierarchical_clustering": measure_clusters,
    "09_recoverability": measure_recovery,
}
measure = kinds.get(card["notebook"], measure_duration)
if measure in (measure_map, measure_clusters):
    specimens = utils.load_metadata(dataset)
parts = [
    measure(point, parameters).assign(**{axis: parameters[axis] for axis in axes_names})
    for point, parameters in points.items()
]
table = pd.concat(parts, ignore_index=True)
written, about = table, ["encoder"]
if measure is measure_clusters:
    bounds, about = references(), ["encoder", "clusterer"]
    written = pd.concat([table, bounds], ignore_index=True).convert_dtypes(convert_floating=False)
written = written[list(dict.fromkeys([*axes_names, *about, "measure", "value"]))]
utils.write_table(written, folder / "sweeps" / sweep / "summary.csv")
shown = dict.fromkeys(["encoder", "measure", *(knobs or axes_names[:2])])
table.groupby(list(shown), sort=False)["value"].agg(["mean", "std", "count"]).round(4)


# %% [markdown]
# ## One figure
#
# Maps stand in a grid, the first two parameters down and across and the others at their first value, with the mean and
# standard deviation of their trustworthiness over those others. Clusterings are drawn as curves, each the mean over the
# encoders, beside the baseline that takes the family itself as taxon and the oracle-k reference, Ward on plain embeddings with
# the true numbers; clusterers by name as marks, beside the same two.
#
# Where one parameter at a time is varied, each has a column, with the baseline dotted. The curves are means over the grid
# (the seeds) and their bars 95 % intervals by Student's t. The worlds are the same at every value but for what is varied and
# the texture of the ground, so a curve as a whole is steadier than its bars, which tell how much worlds differ. The grey line
# is chance: 0 for AMI, one in three for triplets. The dashed one stands for perfect species without any history: what a genus
# AMI owes to species alone. Who finds the species may be compared with it; below it stands also whoever does not find them.


# %%
def draw_maps():
    """Small multiples of the deepest layer's map over the first two axes of the grid."""
    down, across = axes_names[:2] if len(axes_names) > 1 else (None, axes_names[0])
    lines, columns = grid.get(down, [None]), grid[across]
    colours = plotting.family_colours(specimens["family"])
    size = (2.6 * len(columns), 2.7 * len(lines))
    figure, axes = plt.subplots(len(lines), len(columns), figsize=size, squeeze=False)
    for point, parameters in points.items():
        if any(parameters[axis] != grid[axis][0] for axis in axes_names[2:]):
            continue
        line, column = lines.index(parameters.get(down)), columns.index(parameters[across])
        layer, xy = list(load_map(point, parameters).items())[-1]
        here = (table[axes_names[:2]] == [parameters[axis] for axis in axes_names[:2]]).all(axis=1)
        trust = table.loc[here & (table["measure"] == f"trustworthiness of {layer}"), "value"]
        ax = axes[line, column]
        plotting.draw_map(ax, xy, specimens["family"], colours)
        ax.set_title(f"trust {trust.mean():.3f}" + (f" ± {trust.std():.3f}" if len(trust) > 1 else ""), fontsize=9)
        ax.set_xlabel(f"{across} = {columns[column]}" if line == len(lines) - 1 else "")
        ax.set_ylabel(f"{down} = {lines[line]}" if down and column == 0 else "")
    plotting.family_legend(figure, specimens["family"], colours)
    return figure


# %%
REFERENCES = {"baseline_family": ("baseline: the family", "--"), "oracle_k_ward": ("oracle k", ":")}


def draw_curves():
    """Every measure against the first axis of the grid, one curve per value of the second and the third; mean over others."""
    hue, style = ([name for name in axes_names[1:] if name != "encoder"] + [None, None])[:2]
    palette = sns.color_palette(plotting.PALETTE, table[hue].nunique()) if hue else None
    curves = sns.relplot(
        table,
        x=axes_names[0],
        y="value",
        hue=hue,
        style=style,
        palette=palette,
        col="measure",
        col_wrap=2,
        kind="line",
        marker="o",
        errorbar=None,
        height=2.8,
        aspect=1.3,
        facet_kws={"sharey": False},
    )
    lines = bounds.groupby(["clusterer", "measure"])["value"].mean() if measure is measure_clusters else pd.Series()
    for (name, panel), value in lines.items():
        ax, (kind, dashes) = curves.axes_dict[panel], REFERENCES[name]
        ax.axhline(value, color="0.45", linestyle=dashes)
        ax.text(1, value, kind, color="0.35", ha="right", va="bottom", transform=ax.get_yaxis_transform())
    return curves.set_titles("{col_name}").set_ylabels("").figure


# %%
def draw_dots():
    """AMI of every clusterer, the best on top, with a mark per encoder."""
    ami = written[written["measure"].str.endswith("AMI")]
    measures = sorted(ami["measure"].unique())
    value = ami.pivot_table(index="clusterer", columns=["measure", "encoder"], values="value")
    rows = value.drop(index="baseline_family")
    rows = rows.loc[rows[measures[-1]].mean(axis=1).sort_values().index]
    size = (1 + 4.5 * len(measures), 0.33 * len(rows) + 1.6)
    figure, axes = plt.subplots(1, len(measures), figsize=size, sharey=True, squeeze=False)
    for ax, measure in zip(axes[0], measures, strict=True):
        baseline_ami = value.loc["baseline_family", (measure, "none")]
        ax.axvline(baseline_ami, color="0.45", linestyle="--", label="baseline: the family itself as taxon")
        for encoder, colour, mark in zip(grid["encoder"], plotting.PALETTE, "osD^vPX*", strict=False):
            places, values = np.arange(len(rows)), rows[measure, encoder]
            oracle = rows.index.str.startswith("oracle")
            looks = {"linestyle": "", "marker": mark, "color": colour}
            ax.plot(values[~oracle], places[~oracle], **looks, label=encoder_configs.readable_name(encoder))
            ax.plot(values[oracle], places[oracle], markerfacecolor="white", **looks)
        ax.set(xlabel=measure, yticks=range(len(rows)), yticklabels=[name.replace("_", " ") for name in rows.index])
    figure.tight_layout()
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=3, frameon=False)
    return figure


# %%
CHANCE = {"genus AMI": 0, "species AMI": 0, "triplet accuracy": 1 / 3}
LABELS = {
    "pagel_lambda": "Pagel's lambda",
    "within_species": "individual variation (SD)",
    "mimicry": "share of mimics",
}


def around_baseline(knob):
    """The rows where every varied parameter but one has its baseline value."""
    others = [name for name in knobs if name != knob]
    return table[(table[others] == [baseline[name] for name in others]).all(axis=1)]


# %%
def curve_styles():
    """{encoder: how its curve is drawn}; the baseline of chapter 09 goes last, and without a colour."""
    seen = sorted(table["encoder"].unique(), key="none".__eq__)
    looks = zip(seen, itertools.cycle(plotting.PALETTE), itertools.cycle("osD^vPX*"), strict=False)
    styles = {name: {"color": c, "marker": m, "label": encoder_configs.readable_name(name)} for name, c, m in looks}
    if measure is measure_recovery:
        styles["none"] = {"color": "0.45", "linestyle": "--", "elinewidth": 0, "label": "perfect species, no history"}
    return styles


def draw_panel(ax, rows, knob, styles):
    """Curves of one measure over one parameter: mean and 95 % interval over the grid, by Student's t."""
    beside = 0.015 * (rows[knob].max() - rows[knob].min())  # so that bars do not cover each other
    for place, (encoder, style) in enumerate(styles.items(), -(len(styles) // 2)):
        values = scoring.mean_interval(rows[rows["encoder"] == encoder].set_index(knob)["value"], knob).sort_index()
        half = values["ci_high"] - values["mean"]
        looks = {"linewidth": 1.2, "elinewidth": 1, "markersize": 5} | style
        ax.errorbar(values.index + place * beside, values["mean"], half, **looks)


# %%
def draw_knobs():
    """Every measure (down) against every varied parameter (across), one curve per encoder."""
    measures = [name for name in CHANCE if name in set(table["measure"])] or list(table["measure"].unique())
    size = (2.2 * len(knobs) + 0.4, 1.8 * len(measures) + 0.4)
    figure, axes = plt.subplots(len(measures), len(knobs), figsize=size, sharex="col", sharey="row", squeeze=False)
    for (line, name), (column, knob) in itertools.product(enumerate(measures), enumerate(knobs)):
        ax, rows = axes[line, column], around_baseline(knob)
        ax.axvline(baseline[knob], color=plotting.GREY, linestyle=":", label="baseline")
        if name in CHANCE:
            ax.axhline(CHANCE[name], color=plotting.GREY, linewidth=3, label="chance")
            ax.set_ylim(CHANCE[name] - 0.12, 1.04)
        draw_panel(ax, rows[rows["measure"] == name], knob, curve_styles())
        ax.set(ylabel=name if column == 0 else "", xlabel=LABELS.get(knob, knob) if ax in axes[-1] else "")
    figure.tight_layout()
    handles, labels = axes[0, -1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=3, frameon=False)
    return figure


by_name = "clusterer" in grid and table["measure"].str.endswith("AMI").any()  # without names there is nothing between
draw = draw_knobs if knobs else draw_maps if measure is measure_map else draw_dots if by_name else draw_curves
figure = draw()
plotting.save_figure(figure, utils.figures_dir(dataset) / f"sweep_{sweep}.png")
utils.write_table(written.round({"value": 4}), utils.figures_dir(dataset) / f"sweep_{sweep}.csv")

# %% tags=["summary"]
print(f"{len(points)} points of {card['notebook']}, drawn in sweep_{sweep}.png")
