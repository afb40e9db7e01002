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
# # 95 · What hides a hierarchy?
#
# **The question.** Which property of organisms and photographs makes a taxonomic hierarchy unrecoverable, and how strong must
# it be?
#
# `make sweep SWEEP=signal` runs chapter 09 on many small simulated worlds. One property at a time departs from a baseline
# that is easy on purpose. Every setting is repeated on several worlds. Three other sweeps run the same chapter: `habitat` takes
# photographs where species live, `numbers` crosses photographs per species with imbalance, and `worlds` repeats the demo.
#
# **In:** the scores that chapter 09 left for every world. **Out:** `sweeps/<sweep>/summary.csv`, with the columns of
# `scores.csv` and the varied properties, and one figure with a copy of the table.

# %% tags=["parameters"]
dataset = "demo"
sweep = "signal"
encoders = []  # empty: as in the last `make sweep` of this name

# %% jupyter={"source_hidden": true}
import inspect
import itertools
import sys

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.ticker import LogLocator, NullFormatter

import encoder_configs
import plotting
import scoring
import utils
from simulation import specimens
from sweeps import last_sweep, load_sweep

plotting.set_style()
folder = utils.dataset_dir(dataset)
points, varied = last_sweep(dataset, sweep, encoders)
baseline = next(iter(points.values()))  # the point where no property is changed
properties = [name for name in varied if name != "seed"]

# %% [markdown]
# ## Scores of all worlds
#
# AMI of one Ward tree of all photographs, cut at the true numbers, and the triplet accuracy of the tree: see chapter 09. *None*
# stands for perfect species without any history: what a genus AMI owes to species alone.

# %%
parts = []
for point, parameters in points.items():
    scores = utils.read_table(folder / "recoverability" / f"{point}.csv")
    parts.append(scores.assign(**{name: parameters[name] for name in properties}, seed=parameters["seed"]))
table = pd.concat(parts, ignore_index=True).assign(dataset=dataset, clusterer="oracle_k_ward")
table = table.reindex(columns=[*properties, *utils.SCORE_COLUMNS])
utils.write_table(table.round(6), folder / "sweeps" / sweep / "summary.csv")
names = {f"{rank} ami": f"{rank} AMI" for rank in (*utils.RANKS, "place")} | {"tree triplet_accuracy": "triplet accuracy"}
names |= {"species ami_families_given": "species AMI, families given", "species n_found": "clusters found"}
table["measure"] = (table["rank"] + " " + table["metric"]).replace(names)
table.groupby(["encoder", "measure", *properties], sort=False)["value"].agg(["mean", "std", "count"]).round(3)


# %% [markdown]
# ## The figure
#
# The dotted line is the baseline. Curves are means over worlds, bars 95 % intervals (Student's t). The worlds of one seed are
# the same but for the varied property, so curves differ less by chance than the bars suggest. The grey line is chance: 0 for
# AMI, one in three for triplets. Where families are given, the default clusterer finds the number of clusters; for photographs
# per species it stands below the curves.


# %% jupyter={"source_hidden": true}
CHANCE = {"genus AMI": 0, "species AMI": 0, "triplet accuracy": 1 / 3, "place AMI": 0, "species AMI, families given": 0}
LABELS = {
    "pagel_lambda": "Pagel's lambda",
    "within_species": "individual variation (SD)",
    "mimicry": "share of mimics",
    "habitat": "share of photographs in the habitat",
    "n_specimens": "photographs of the commonest species",
    "imbalance": "power of the imbalance",
    "seed": "world (seed)",
}
TITLES = {
    "habitat": "Do clusters follow places instead of species?",
    "numbers": "How many photographs of a species are needed?",
    "worlds": "Five worlds like the demo:",
}
REFERENCES = ("family_names", "none")
HERE = ("genus AMI", "species AMI", "triplet accuracy")
GIVEN = "species AMI, families given"
MEASURES = {"habitat": ("species AMI", "place AMI"), "n_specimens": (GIVEN,), "seed": (GIVEN, "clusters found")}  # by property
measures = MEASURES.get((properties or ["seed"])[0], HERE)
seen = [encoder for encoder in table["encoder"].unique() if encoder not in REFERENCES]
methods = [encoder for encoder in seen if not encoder_configs.role(dataset, encoder)] or seen
who = encoder_configs.readable_name(dataset, methods[0]).split(",")[0] if len(methods) == 1 else "mean"


# %% jupyter={"source_hidden": true}
def around_baseline(name):
    """The rows in which every property but one has its baseline value."""
    others = [other for other in properties if other != name]
    return table[(table[others] == [baseline[other] for other in others]).all(axis=1)]


def panels():
    """Title, rows, property along the axis, and changes to the baseline of every column of the figure."""
    if len(properties) == 2 and not load_sweep(sweep)["vary"]:
        name, other = properties
        return [(f"{LABELS.get(other, other)}: {v:g}", table[table[other] == v], name, {other: v}) for v in varied[other]]
    return [("", around_baseline(name), name, {}) for name in properties or ["seed"]]


# %% jupyter={"source_hidden": true}
def curve_styles():
    """{encoder: how its curve is drawn}; references come last, in grey."""
    looks = zip(seen, itertools.cycle(plotting.PALETTE), itertools.cycle(plotting.MARKS), strict=False)
    styles = {e: {"color": c, "marker": m, "label": encoder_configs.readable_name(dataset, e)} for e, c, m in looks}
    styles["family_names"] = {"color": "0.45", "linestyle": ":", "label": "family names alone"}
    styles["none"] = {"color": "0.45", "linestyle": "--", "elinewidth": 0, "label": "perfect species, no history"}
    return styles


# %% jupyter={"source_hidden": true}
def draw_panel(ax, rows, name, styles):
    """Curves of one measure over one property: mean and 95 % interval over worlds."""
    # so that bars do not cover each other
    beside = 0.0 if name == "n_specimens" else 0.015 * (rows[name].max() - rows[name].min())
    if name == "seed":  # worlds have no order: marks without a line, at even distances
        beside, styles = 0.04, {encoder: {"linestyle": ""} | style for encoder, style in styles.items()}
    for place, (encoder, style) in enumerate(styles.items(), -(len(styles) // 2)):
        own = rows[rows["encoder"] == encoder]
        if own.empty:  # a reference without this measure
            continue
        values = scoring.mean_interval(own.set_index(name)["value"], name).sort_index()
        half = values["ci_high"] - values["mean"]
        looks = {"linewidth": 1.2, "elinewidth": 1, "markersize": 5} | style
        at = values.index if name != "seed" else pd.RangeIndex(len(values))
        ax.errorbar(at + place * beside, values["mean"], half, **looks)


# %% jupyter={"source_hidden": true}
def draw_column(place, title, rows, name):
    """All measures of one column of the figure."""
    for ax, measure in zip(axes[:, place], measures, strict=True):
        if name in load_sweep(sweep)["vary"]:
            ax.axvline(baseline[name], color=plotting.GREY, linestyle=":", label="baseline")
        if measure in CHANCE:
            ax.axhline(CHANCE[measure], color=plotting.GREY, linewidth=3, label="chance")
            ax.set_ylim(CHANCE[measure] - 0.12, 1.04)
        else:
            ax.axhline(baseline["n_species"], color=plotting.GREY, linewidth=3, label="true number of species")
            ax.set_yscale("log")
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.yaxis.set_major_formatter("{x:g}")
            ax.yaxis.set_minor_formatter(NullFormatter())
        if name == "n_specimens":
            ax.set_xscale("log")
            ax.margins(x=0.1)
        draw_panel(ax, rows[rows["measure"] == measure], name, curve_styles())
        if name in ("n_specimens", "seed"):  # few values, all of them named
            at = varied[name] if name == "n_specimens" else range(len(varied[name]))
            ax.set_xticks(at, varied[name])
            ax.xaxis.set_minor_formatter(NullFormatter())
        ylabel = measure.replace(", ", ",\n") if place == 0 else ""
        ax.set(ylabel=ylabel, xlabel=LABELS.get(name, name) if ax in axes[-1] and not illustrated else "")
    axes[0, place].set_title(title, fontsize=9)


# %% jupyter={"source_hidden": true}
def write_numbers(ax, rows, name):
    """Below an axis: how many clusters the encoders that are neither control nor reference have on average."""
    found = rows[(rows["measure"] == "clusters found") & rows["encoder"].isin(methods)].groupby(name)["value"].mean()
    below = {"textcoords": "offset points", "ha": "center", "va": "top", "fontsize": 8}
    for value, number in found.items():
        ax.annotate(f"{number:.0f}", (value, 0), (0, -5), xycoords=ax.get_xaxis_transform(), **below)
    ax.set_xlabel(f"clusters of {who}, for {baseline['n_species']} species", labelpad=14, fontsize=8)


# %% [markdown]
# Below the axis of some properties are photographs from the worlds that were scored, so that its values can be seen: three
# species of the largest family, or three individuals of its first species. No species has a second morph there. For photographs
# per species these are the commonest, a middling and the rarest species, and how many photographs each has.

# %% jupyter={"source_hidden": true}
EXAMPLES = {
    "pagel_lambda": "three species\nof one family",
    "within_species": "three individuals\nof one species",
    "habitat": "three individuals\nof one species",
    "n_specimens": "commonest, middling\nand rarest species",
}
SIZE = 150  # pixels of a photograph below an axis
PATCH = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "boxstyle": "square,pad=0.15"}  # behind what is written on it


def examples(name, changes):
    """Three photographs (PIL) from the first world with the `changes` to the baseline, and what is written on each."""
    of_world = inspect.signature(specimens.simulate).parameters
    parameters = {key: setting for key, setting in (baseline | changes).items() if key in of_world}
    world = specimens.simulate(**parameters | {"dimorphic": 0.0})
    rows, texts = world.specimens, [""] * 3
    if name == "n_specimens":
        counts = rows["species"].value_counts()  # from the commonest species on
        shown = counts.iloc[[0, len(counts) // 2, -1]]
        rows, texts = rows.drop_duplicates("species").set_index("species").loc[shown.index], [f"× {n}" for n in shown]
    else:
        rows = rows[rows["family"] == world.taxa["family"].value_counts().idxmax()]
        same = rows["species"] == rows["species"].iloc[0]
        rows = rows.drop_duplicates("species") if name == "pagel_lambda" else rows[same]
    return zip((specimens.picture(row, SIZE) for row in rows[:3].to_dict("records")), texts, strict=True)


# %% jupyter={"source_hidden": true}
def draw_examples(ax, name, changes, label):
    """Photographs below the axis of a property, three at each of its values, in worlds with further `changes`."""
    for value in varied[name]:
        for row, (photograph, text) in enumerate(examples(name, changes | {name: value})):
            ax.add_artist(AnnotationBbox(OffsetImage(photograph, zoom=0.22), (value, row), frameon=False, pad=0))
            if text:
                ax.text(value, row + 0.42, text, ha="center", va="bottom", fontsize=6.5, bbox=PATCH, zorder=5)
    ax.set(ylim=(2.5, -0.5), yticks=[], xticks=varied[name])
    ax.set_xlabel(label, fontsize=10)
    ax.set_ylabel(EXAMPLES[name], fontsize=9)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)


# %% jupyter={"source_hidden": true}
columns = panels()
width, height = (2.2, 1.8) if len(columns) > 2 else (3.6 if len(columns) == 2 else 7, 2.2)
illustrated = columns[0][2] in EXAMPLES and len({name for *_, name, _ in columns}) == 1
heights = [height] * len(measures) + [2.2] * illustrated
size = (width * len(columns) + 0.6, sum(heights) + 0.6)
message = TITLES.get(sweep, "What hides a hierarchy in simulated worlds")
if sweep in TITLES:
    rows = table[(table["measure"] == measures[0]) & table["encoder"].isin(methods)]
    mean = rows.groupby(properties or "seed")["value"].mean()
    message += f"\n{who}: {measures[0]} from {mean.min():.2f} to {mean.max():.2f}"

# %% jupyter={"source_hidden": true}
figure, grid = plt.subplots(
    len(heights), len(columns), figsize=size, height_ratios=heights, sharex="col", sharey="row", squeeze=False
)
axes = grid[: len(measures)]
for place, (title, rows, name, changes) in enumerate(columns):
    draw_column(place, title, rows, name)
    if illustrated:
        draw_examples(grid[-1, place], name, changes, LABELS[name])
        if place:
            grid[-1, place].set_ylabel("")
    if name == "n_specimens":
        write_numbers(axes[-1, place], rows, name)
figure.suptitle(message)
figure.tight_layout()
key = {label: mark for ax in axes[:, -1] for mark, label in zip(*ax.get_legend_handles_labels(), strict=True)}
below = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.02), "ncols": 2 if len(columns) < 3 else 3, "frameon": False}
figure.legend(key.values(), key, **below)
plotting.save_figure(figure, utils.figures_dir(dataset) / f"sweep_{sweep}.png")
written = table.drop(columns="measure").round({"value": 4})
utils.write_table(written, utils.figures_dir(dataset) / f"sweep_{sweep}.csv")
plt.show()

# %% [markdown]
# ## In short
#
# The figure of the README: two properties, each with the measure it acts on. The title gives the encoders that are neither
# control nor reference.

# %% jupyter={"source_hidden": true}
SHORT = {"pagel_lambda": ("genus AMI", "how much traits keep of their history (lambda)"),
         "within_species": ("species AMI", "variation within species (SD)")}  # fmt: skip
if shown := {name: SHORT[name] for name in SHORT if name in properties}:
    size = (4.6 * len(shown), 5.4)
    figure, axes = plt.subplots(2, len(shown), figsize=size, height_ratios=(5, 4), sharex="col", squeeze=False)
    for ax, below, (name, (measure, label)) in zip(*axes, shown.items(), strict=True):
        rows = around_baseline(name)
        draw_panel(ax, rows[rows["measure"] == measure], name, curve_styles())
        of_methods = rows[(rows["measure"] == measure) & rows["encoder"].isin(methods)].groupby(name)["value"].mean()
        ends = of_methods.sort_index().iloc[[0, -1]]  # in the order of the axis
        title = f"{who}: {measure} {ends.iloc[0]:.2f} to {ends.iloc[1]:.2f}"
        ax.set(ylabel=measure, ylim=(-0.05, 1.04), title=title)
        draw_examples(below, name, {}, label)
    figure.suptitle("When is a hierarchy recoverable?")
    figure.tight_layout()
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=2, frameon=False)
    plotting.save_figure(figure, utils.figures_dir(dataset) / f"sweep_{sweep}_short.png")
    plt.show()

# %% [markdown]
# ## What we learned

# %%
sentences = []
usual = "species AMI" if "species AMI" in measures else measures[0]
for title, rows, name, _ in columns:
    shown = SHORT[name][0] if name in SHORT else usual
    rows = rows[(rows["measure"] == shown) & rows["encoder"].isin(seen if name == "seed" else methods)]
    mean = rows.groupby(["encoder", name])["value"].mean().unstack()
    first = baseline[name] if baseline[name] in mean else mean.columns[0]
    last = mean.columns[-1] if mean.columns[0] == first else mean.columns[0]
    change = (mean[last] - mean[first]).abs().idxmax()
    what = f"{LABELS.get(name, name)} from {first:g} to {last:g}" + (f" ({title})" if title else "")
    most = encoder_configs.readable_name(dataset, change)
    sentences.append(f"{what}: {shown} of {most} {mean.loc[change, first]:.2f} to {mean.loc[change, last]:.2f}.")
if not properties:  # worlds that differ in the seed only
    names = {encoder: encoder_configs.readable_name(dataset, encoder) for encoder in seen}
    sentences = [
        f"{names[e]}: {shown} {mean.loc[e].mean():.2f}, from {mean.loc[e].min():.2f} to {mean.loc[e].max():.2f}." for e in seen
    ]
plotting.say(*sentences)

# %% tags=["summary"]
print(f"{len(points)} worlds, drawn in sweep_{sweep}.png")
