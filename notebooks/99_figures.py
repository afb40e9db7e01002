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
# # 99 · The figures
#
# **The question.** What did the analysis find? This chapter draws the figures that the README and `docs/` show.
#
# **In:** scores and maps. **Out:** `figures/<dataset>/*.png`, with copies of `scores.csv` and `comparisons.csv` beside them.

# %% tags=["parameters"]
dataset = "demo"
encoders = []  # both empty: as in the last `make all`
clusterers = []

# %% jupyter={"source_hidden": true}
import sys

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import LogLocator, NullLocator

import encoder_configs
import plotting
import scoring
import utils

plotting.set_style()
folder, out = utils.dataset_dir(dataset), utils.figures_dir(dataset)
scores = utils.read_table(folder / "scores.csv")
specimens = utils.load_metadata(dataset)
if not encoders:
    encoders, clusterers, *_ = utils.load_plan(dataset).values()
if absent := ({*encoders} - {*scores["encoder"]}) | ({*clusterers} - {*scores["clusterer"]}):
    raise ValueError(f"scores.csv holds no {', '.join(sorted(absent))}: run make all DATASET={dataset}")

# %%
metric = "ami" if ((scores["metric"] == "ami") & (scores["rank"] == "species")).any() else "silhouette"
metric_label = {"ami": "adjusted mutual information (AMI)", "silhouette": "silhouette (no names known)"}[metric]
short_label = "AMI" if metric == "ami" else metric
OFFSETS = np.linspace(0.3, -0.3, len(encoders)) if len(encoders) > 1 else [0.0]  # encoders side by side on one row
label_of = {encoder: plotting.plain(encoder_configs.readable_name(dataset, encoder), 60) for encoder in encoders}
controls = [encoder for encoder in encoders if encoder_configs.role(dataset, encoder)]
methods = [encoder for encoder in encoders if encoder not in controls]
COLOURS = plotting.PALETTE[:7]  # black and grey are left for references
style = {e: {"color": COLOURS[i % 7], "marker": plotting.MARKS[i % len(plotting.MARKS)]} for i, e in enumerate(methods)}
style |= {e: {"color": "0.35", "marker": "x+12"[i % 4]} for i, e in enumerate(controls)}
BASELINES = {  # start of the name in scores.csv: line style and text
    "baseline_family": ("--", "family-only baseline"),
    "baseline_singletons": ("-.", "singletons baseline"),
    "baseline_random": (":", "random baselines"),
}
ORACLES = {
    "oracle_k_ward_prepared": "oracle k: Ward,\nprepared embedding",
    "oracle_k_ward": "oracle k: Ward,\nplain embedding",
}


def row_label(clusterer):
    """Name of a clusterer for people; an oracle-k reference is called what it is."""
    return ORACLES.get(clusterer, clusterer.replace("_", " "))


# %% [markdown]
# ## Species: every encoder and clusterer
#
# The figure of the README. One row per encoder, one filled mark per clusterer: the mean species AMI over seeds with the mean
# of its 95 % jackknife intervals over species. Hollow marks are oracle-k references, which know the true number of species.
# The dashed line is the family-only baseline. The right margin gives the number of clusters that the first clusterer finds.


# %%
def means(rank, name):
    """Value and interval of one metric at one rank by encoder and clusterer, averaged over seeds."""
    chosen = scores[(scores["rank"] == rank) & (scores["metric"] == name)]
    return chosen.groupby(["encoder", "clusterer"])[["value", "ci_low", "ci_high"]].mean()


def of_encoder(table, encoder):
    """The rows of one encoder by clusterer; none where it has no score at this rank."""
    return table[table.index.get_level_values("encoder") == encoder].droplevel("encoder")


def of_clusterer(table, clusterer):
    """The rows of one clusterer by encoder; missing values where it has no score."""
    return table[table.index.get_level_values("clusterer") == clusterer].droplevel("clusterer").reindex(encoders)


# %% jupyter={"source_hidden": true}
def draw_species(ax):
    """Species AMI of every encoder (rows) and clusterer (marks), with the number of clusters at the right margin."""
    table, places = means("species", metric), -np.arange(len(encoders))
    oracles = [name for name in ORACLES if name in table.index.get_level_values("clusterer")]
    offsets = np.linspace(0.24, -0.24, len(clusterers)) if len(clusterers) > 1 else [0.0]
    looks = [*zip(clusterers, offsets, COLOURS, plotting.MARKS, strict=False)]
    looks += [(name, 0.0, "0.25", mark) for name, mark in zip(oracles, "od", strict=False)]
    for clusterer, offset, colour, mark in looks:
        line = of_clusterer(table, clusterer)
        error = np.abs(line[["ci_low", "ci_high"]].sub(line["value"], axis=0)).T.fillna(0).to_numpy()
        if clusterer in ORACLES:
            hollow = {"linestyle": "", "marker": mark, "color": colour, "markerfacecolor": "none", "markersize": 9}
            ax.plot(line["value"], places, label=row_label(clusterer).replace("\n", " "), **hollow)
        else:
            bars = {"linestyle": "", "elinewidth": 1.2, "marker": mark, "color": colour}
            ax.errorbar(line["value"], places + offset, xerr=error, label=row_label(clusterer), **bars)
    if ("none", "baseline_family") in table.index:
        value = table.loc[("none", "baseline_family"), "value"]
        ax.axvline(value, color="0.45", linestyle="--", zorder=0, label="family-only baseline")
    found = of_clusterer(means("species", "n_found"), clusterers[0])["value"]
    for place, number in zip(places, found, strict=True):
        ax.text(1.02, place, f"{number:,.0f}", transform=ax.get_yaxis_transform(), va="center", fontsize=10)
    ax.set(yticks=places, yticklabels=[label_of[encoder] for encoder in encoders], xlabel=f"species {metric_label}")
    ax.grid(axis="y", visible=False)


# %% jupyter={"source_hidden": true}
figure, ax = plt.subplots(figsize=(8, 0.42 * len(encoders) + 1.2))
draw_species(ax)
true = scores.loc[(scores["rank"] == "species") & (scores["metric"] == "n_true"), "value"]
of_true = f" ({true.iloc[0]:,.0f} true)" if len(true) else ""
heading = f"clusters of\n{row_label(clusterers[0])}{of_true}"
ax.text(1.02, 0.6, heading, transform=ax.get_yaxis_transform(), fontsize=9, va="bottom")
shown = of_clusterer(means("species", metric), clusterers[0])["value"][methods or encoders]
reached = f"up to {shown.max():.2f}" if shown.notna().any() else "cannot be computed"
best = f"species {short_label} {reached} with {row_label(clusterers[0])}"
ax.set_title(f"{plotting.dataset_name(dataset)}: {best}")
figure.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=3, frameon=False, fontsize=10)
plotting.save_figure(figure, out / "species.png")
plt.show()

# %% [markdown]
# ## Genera and species, with all baselines
#
# One row per clusterer, one mark per encoder. Grey marks are controls and references among the encoders. Grey lines are
# baselines, which look at no photograph. The shaded rows are the oracle-k references.


# %% jupyter={"source_hidden": true}
def draw_scores(ax, rank):
    """One panel, a row per clusterer and a mark per encoder; returns the names of its rows from the bottom."""
    table = means(rank, metric)
    found = table.index.get_level_values("clusterer")
    rows = [*clusterers[::-1], *(name for name in ORACLES if name in found)]
    for encoder, offset in zip(encoders, OFFSETS, strict=True):
        line = of_encoder(table, encoder).reindex(rows)
        error = np.abs(line[["ci_low", "ci_high"]].sub(line["value"], axis=0)).T.fillna(0).to_numpy()
        where = np.arange(len(rows)) + offset
        label = label_of[encoder]
        ax.errorbar(line["value"], where, xerr=error, linestyle="", elinewidth=1.2, label=label, **style[encoder])
        oracle = np.array([name in ORACLES for name in rows])
        ax.plot(line["value"][oracle], where[oracle], linestyle="", markerfacecolor="white", **style[encoder])
    for name, value in of_encoder(table, "none")["value"].items():
        dashes = next(line for start, (line, _) in BASELINES.items() if name.startswith(start))
        ax.axvline(value, color="0.45", linestyle=dashes, linewidth=1.3, zorder=0)
    ax.set(yticks=range(len(rows)), yticklabels=map(row_label, rows), title=rank, xlabel=metric_label)
    ax.grid(axis="y", visible=False)
    if table.empty:
        ax.text(0.5, 0.5, f"needs {rank} names", transform=ax.transAxes, ha="center")
    return rows


# %%
def best_of(rank):
    """The best score of the first clusterer at a rank, and that of the family names, in words; empty without names."""
    table = means(rank, metric)["value"]
    if table.empty:
        return ""
    family = table.get(("none", "baseline_family"), np.nan)
    alone = f" (family names alone {family:.2f})" if np.isfinite(family) else ""
    return f"{rank} {short_label} up to {of_clusterer(table, clusterers[0])[methods or encoders].max():.2f}{alone}"


# %%
figure, axes = plt.subplots(
    1, 2, figsize=(10, 1.6 + 0.16 * len(encoders) * (len(clusterers) + 2)), sharex=True, sharey=True
)
for ax, rank in zip(axes, ("genus", "species"), strict=True):
    n_rows = len(draw_scores(ax, rank))
    if n_rows > len(clusterers):
        ax.axhspan(len(clusterers) - 0.5, n_rows - 0.5, color="0.93", zorder=-1)
handles, labels = axes[0].get_legend_handles_labels()
if metric == "ami":
    handles += [plt.Line2D([], [], color="0.45", linestyle=line) for line, _ in BASELINES.values()]
    labels += [text for _, text in BASELINES.values()]
figure.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=3, frameon=False)
best = ", ".join(filter(None, map(best_of, ("genus", "species"))))
figure.suptitle(f"{plotting.dataset_name(dataset)}, {row_label(clusterers[0])}: {best or 'no score'}")
figure.tight_layout()
plotting.save_figure(figure, out / "scores.png")
plt.show()

# %% [markdown]
# ## Why not NMI
#
# The same partitions under NMI, the score of the challenge, and AMI. A baseline that looks at no photograph stands far to the
# right: NMI rewards many small clusters. AMI subtracts the agreement expected by chance, and the singletons fall to 0. The
# family-only baseline keeps what the family name says about the species; a method must rise above it.

# %% jupyter={"source_hidden": true}
if metric == "ami":
    nmi, ami = means("species", "nmi")["value"], means("species", "ami")["value"]
    figure, ax = plt.subplots(figsize=(7, 4.6))
    dots = {"linestyle": "", "markersize": 8}
    for encoder in encoders:
        oracle = nmi.loc[encoder].index.str.startswith("oracle_k")
        for chosen, face, label in (
            (~oracle, style[encoder]["color"], label_of[encoder]),
            (oracle, "white", None),
        ):
            xy = nmi.loc[encoder][chosen], ami.loc[encoder][chosen]
            ax.plot(*xy, markerfacecolor=face, label=label, **dots, **style[encoder])
    ax.plot([], [], marker="o", color="0.3", markerfacecolor="white", label="hollow: oracle-k references", **dots)
    ax.plot(nmi.loc["none"], ami.loc["none"], marker="x", color="0.3", label="baselines: look at no photograph", **dots)
    ax.annotate("every photograph its own species", (nmi["none", "baseline_singletons"], -0.035), ha="right", fontsize=10)
    ax.annotate(
        "family as species",
        (nmi["none", "baseline_family"], ami["none", "baseline_family"]),
        xytext=(0.02, 0.93),
        textcoords="axes fraction",
        fontsize=10,
        arrowprops={"arrowstyle": "-", "color": "0.5", "shrinkB": 5},
    )
    ax.set(
        xlabel="NMI of species clusters (the challenge's score)", ylabel="AMI of species clusters", ylim=(-0.06, None)
    )
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1))
    ax.set_title("One cluster per photograph: NMI {:.2f}, AMI 0".format(nmi["none", "baseline_singletons"]))
    plotting.save_figure(figure, out / "nmi_misleads.png")
    plt.show()

# %% [markdown]
# ## What random labels score
#
# Labels drawn at random inside the given families, in growing number, up to one cluster per photograph. The band holds the
# published scores of the challenge that this project started from. They are from another dataset, but its families are given,
# too.

# %%
LEADERBOARD = (0.726, 0.892)  # NMI, lowest and highest published score of Clustering BioTrove on Kaggle


def random_labels(number, seed):
    """Labels (n,) of about `number` clusters, evenly inside families and in proportion to their size."""
    labels, random = np.empty(len(specimens), object), np.random.default_rng(seed)
    for family, rows in specimens.groupby(specimens["family"].fillna("")).indices.items():
        inside = max(1, round(number * len(rows) / len(specimens)))
        labels[rows] = [f"{family}/{label}" for label in random.permutation(np.arange(len(rows)) % inside)]
    return labels.astype(str)


# %%
if metric == "ami":
    species = utils.lineage(specimens, "species")
    known = species.notna().to_numpy()
    numbers = np.unique(np.geomspace(specimens["family"].nunique() + 1, len(specimens), 20).astype(int))
    blind = [
        scoring.mutual_information(scoring.contingency(species[known], random_labels(number, seed)[known])) | {"number": number}
        for number in numbers
        for seed in range(3)
    ]
    blind = pd.DataFrame(blind).groupby("number").mean()
    figure, ax = plt.subplots(figsize=(7, 4))
    ax.axhspan(*LEADERBOARD, color="0.9", zorder=0)
    ax.annotate("published scores of the challenge (NMI)", (numbers[0], LEADERBOARD[0] + 0.02), fontsize=10)
    for name, colour, mark in (("nmi", plotting.PALETTE[3], "s"), ("ami", plotting.PALETTE[0], "o")):
        ax.plot(blind.index, blind[name], color=colour, marker=mark, label=f"{name.upper()} of random labels")
    ax.axvline(species.nunique(), color="0.3")
    ax.annotate(f" true: {species.nunique()}", (species.nunique(), 0.94), color="0.3", fontsize=11)
    ax.set(xscale="log", xlabel="number of random species clusters", ylabel="score", ylim=(-0.02, 1))
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2)
    ax.set_title(f"Random labels: NMI rises to {blind['nmi'].max():.2f}, AMI falls to {abs(blind['ami'].iloc[-1]):.2f}")
    plotting.save_figure(figure, out / "random_labels.png")
    plt.show()

# %% [markdown]
# ## How many taxa?
#
# The number of clusters found, against the true number where it is known.

# %% jupyter={"source_hidden": true}
figure, axes = plt.subplots(1, 2, figsize=(10, 0.7 * len(clusterers) + 1.6), sharey=True)
places = np.arange(len(clusterers))
for ax, rank in zip(axes, ("genus", "species"), strict=True):
    found = means(rank, "n_found")["value"]
    for encoder, offset in zip(encoders, OFFSETS, strict=True):
        numbers = of_encoder(found, encoder).reindex(clusterers[::-1])
        label = label_of[encoder]
        ax.plot(numbers, places + offset, linestyle="", label=label, **style[encoder])
    for number in scores.loc[(scores["rank"] == rank) & (scores["metric"] == "n_true"), "value"].unique():
        ax.axvline(number, color="0.3")
        ax.annotate(f" true: {number:.0f}", (number, 0.03), xycoords=ax.get_xaxis_transform(), color="0.3", fontsize=11)
    ax.set(xscale="log", xlabel="number of clusters", title=rank)
    ax.set(yticks=places, yticklabels=map(row_label, clusterers[::-1]))
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:.0f}")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.grid(axis="y", visible=False)
handles = axes[0].get_legend_handles_labels()
figure.legend(*handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=3, frameon=False)
times = of_clusterer(means("species", "n_found")["value"], clusterers[0])[methods or encoders]
message = f"{row_label(clusterers[0])} finds {times.min():,.0f} to {times.max():,.0f} clusters"
figure.suptitle(f"{plotting.dataset_name(dataset)}: {message} of species{of_true}")
figure.tight_layout()
plotting.save_figure(figure, out / "n_clusters.png")
plt.show()

# %% [markdown]
# ## Families as photographs
#
# Photographs of a simulated world may be published: some of each of the ten largest families, with the maps of the first
# encoder and of the first control. Chapter 25 puts photographs themselves on a map.

# %% jupyter={"source_hidden": true}
colours = plotting.family_colours(specimens["family"])


def draw_encoder(ax, encoder):
    """The map of an encoder's deepest layer."""
    maps = pd.read_parquet(folder / "maps" / encoder / "default.parquet")
    layer = maps["layer"].iloc[-1]
    xy = maps[maps["layer"] == layer].set_index("hash_id").loc[specimens["hash_id"], ["x", "y"]].to_numpy()
    plotting.draw_map(ax, xy, specimens["family"], colours)
    title = label_of[encoder].replace(" (", "\n(")
    ax.set(title=title if layer in title else f"{title}, {layer}", xlabel="UMAP 1", ylabel="UMAP 2")


# %% jupyter={"source_hidden": true}
if (utils.ROOT / "params" / "worlds" / f"{dataset}.yaml").is_file():
    drawn = specimens.sample(frac=1, random_state=0).groupby("family")["path"]
    families = drawn.size().sort_values(ascending=False).index[:10]
    lines = {name: [folder / "photos" / path for path in drawn.get_group(name)[:6]] for name in families}
    figure = plotting.contact_sheet(lines, columns=6)
    (sheet,) = figure.axes
    for row, family in enumerate(families):
        sheet.add_patch(plt.Rectangle((-0.14, row), 0.1, 1, color=colours.get(family, plotting.GREY), clip_on=False))
    sheet.tick_params(axis="y", pad=12)
    control = next((e for e in encoders if encoder_configs.role(dataset, e).startswith("control")), encoders[0])
    for i, encoder in enumerate(dict.fromkeys([encoders[0], control])):
        draw_encoder(sheet.inset_axes([1.1, 0.53 - 0.53 * i, 0.72, 0.43]), encoder)
    plotting.save_figure(figure, out / "families.jpg")
    plotting.show_photos(figure)

# %% [markdown]
# ## The tables beside the figures
#
# Copies of the scores and comparisons, so that `docs/` and readers have the numbers behind the figures.

# %%
utils.write_table(scores.astype({"seed": "Int64"}), out / "scores.csv")
if metric != "ami":  # species have no names, or not any more
    plotting.remove_figures(out, "nmi_misleads.png", "random_labels.png")
if (folder / "comparisons.csv").is_file():
    utils.write_table(utils.read_table(folder / "comparisons.csv"), out / "comparisons.csv")
else:
    plotting.remove_figures(out, "comparisons.csv")
wanted = ["ami", "ami_within", "nmi"] if metric == "ami" else ["silhouette"]
shown = scores[scores["metric"].isin([*wanted, "n_found"]) & scores["rank"].isin(["genus", "species"])]
shown.pivot_table(index=["encoder", "clusterer"], columns=["rank", "metric"], values="value").round(2)

# %% [markdown]
# ## What we learned

# %%
of_methods = means("species", metric)["value"]
runs = of_methods.index.get_level_values
of_methods = of_methods[runs("encoder").isin(methods or encoders) & runs("clusterer").isin(clusterers)]
sentences = ["No run has a score: a silhouette needs two clusters of several photographs."]
if len(of_methods):
    best = of_methods.idxmax()
    run = f"{row_label(best[1])} on {label_of[best[0]]}"
    sentences = [f"The best run is {run}: species {metric.upper()} {of_methods[best]:.2f}."]
if len(of_methods) and metric == "ami":
    n_found = means("species", "n_found").loc[best, "value"]
    family_only = ami["none", "baseline_family"]
    above = of_methods.groupby("clusterer").max()
    n_true = means("species", "n_true").loc[best, "value"]
    sentences += [
        f"It finds {n_found:,.0f} clusters for {n_true:,.0f} species.",
        f"{(above > family_only).sum()} of {len(above)} clusterers rise above the family-only baseline ({family_only:.2f}) "
        "with at least one encoder.",
        f"One cluster per photograph has an NMI of {nmi['none', 'baseline_singletons']:.2f} and an AMI of 0.",
    ]
plotting.say(*sentences)

# %% tags=["summary"]
print(f"{len(list(out.glob('*.png')))} figures in figures/{dataset}/")
