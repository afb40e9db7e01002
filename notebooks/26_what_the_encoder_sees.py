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
# # 26 · What the encoder looks at
#
# **The question.** Does an encoder look at the organism, or at what is around it? And does a heat map show what matters for the
# embedding?
#
# A heat map lies over a photograph: *activation* is the mean over channels of the absolute activation of a layer, *EigenCAM*
# the first principal component of its channels over positions (Muhammad and Yeasin 2020). Neither needs names. Such pictures
# persuade easily, so two numbers go with them. They could show that the pictures mean little. An encoder that averages several
# crops is looked at with the whole photograph only.
#
# **In:** photographs, encoders that see them through a network, and the embedding of a run, which says what photographs are
# shown. Species names group the photographs for intervals only. **Out:** `heatmaps.csv`, a figure without photographs, and heat
# on photographs in `previews/`; for a simulated world also among the figures.

# %% tags=["parameters"]
dataset = "demo"
encoders = [""]  # empty: those of the plan; encoders that are no network on photographs are left out
run = ""  # encoder/clusterer; empty: the run of submission.csv
seed = 0
weights_dir = ""  # folder with <architecture>.safetensors or .pth; empty: the hub
n_photographs = 40  # measured at most, drawn at random
n_shown = 5  # photographs in the figure: one of each of so many families

# %% jupyter={"source_hidden": true}
import sys
import textwrap
from pathlib import Path

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from PIL import Image
from tqdm import tqdm

import clustering
import encoder_configs
import heatmaps
import plotting
import scoring
import trees
import utils
from encoders import load_photo, network_of, pick_device
from simulation.specimens import outline

plotting.set_style()
folder, figures = utils.dataset_dir(dataset), utils.figures_dir(dataset)
weights_dir = utils.ROOT / Path(weights_dir).expanduser() if weights_dir else ""
encoders = [name for name in encoders if name] or utils.load_plan(dataset)["encoders"]
run = run or utils.load_plan(dataset)["submit"]
specimens = utils.load_metadata(dataset)
if specimens["path"].isna().any():
    raise utils.NotApplicable(f"{dataset} has specimens without a photograph: there is nothing to look at")

# %% [markdown]
# ## Which photographs, which encoders
#
# Numbers are means over a random sample. The photographs shown are the medoids of the largest families: of each family the one
# with the largest summed cosine to the others, in the embedding of the run.

# %%
_, points, _ = clustering.load_prepared(dataset, run, specimens["hash_id"], seed)
families = specimens["family"].fillna(clustering.UNKNOWN).to_numpy(object)
largest = pd.Series(families).value_counts().sort_index().sort_values(ascending=False, kind="stable").index[:n_shown]
rows = np.flatnonzero(np.isin(families, largest))
_, names, medoids = trees.cluster_tree(points[rows], families[rows])
shown = dict(zip(names, rows[medoids], strict=True))
shown = {name: shown[name] for name in largest}
sample = np.sort(np.random.default_rng(seed).permutation(len(specimens))[:n_photographs])
chosen = specimens.iloc[[*sample, *shown.values()]]
simulated = (folder / "truth.parquet").is_file()
truth = utils.load_truth(dataset, chosen["hash_id"]).to_dict("records") if simulated else []
# photographs of one species are alike, so the jackknife leaves out species; where there is no name, photographs
units = utils.lineage(specimens, "species").fillna(specimens["hash_id"]).iloc[sample]
groups = scoring.jackknife_groups(units)
configs = {encoder: encoder_configs.build_config(dataset, encoder) for encoder in encoders}
networks = [encoder for encoder in encoders if configs[encoder]["library"] in heatmaps.LIBRARIES]

# %% [markdown]
# ## Measures
#
# - *Where the heat lies.* Share of the heat in a part of the picture, beside the area of that part. The part is the central
#   half, because most specimens are in the middle, and in a simulated world the organism, whose place is known. Heat that is
#   spread evenly has the share of the area.
# - *Occlusion.* The hottest fifth of the picture gets the picture's mean colour; the embedding moves by a cosine distance. It
#   is compared with hiding a random connected fifth, and with the fifth that is hottest in another photograph. The second
#   control tells whether a map belongs to its photograph, or only says that the middle matters.
#
# Intervals are 95 % jackknife intervals over species.


# %%
def looked_at(encoder):
    """Measures {(layer, kind): {measure: (n,)}} and mean heat of the sample, and what a figure needs of the others."""
    network = network_of(configs[encoder], weights_dir)
    images = torch.stack([network.transform(load_photo(folder / "photos" / path)) for path in chosen["path"]])
    pictures, size, n = heatmaps.seen(network.transform, images), images.shape[-1], len(sample)
    places = {"central half": heatmaps.central_half(size)}
    if simulated:  # the mask is cut as the photograph is
        drawn = [outline(row, width) for row, width in zip(truth, chosen["width"], strict=True)]
        masks = torch.stack([network.transform(Image.merge("RGB", [mask] * 3)) for mask in drawn])
        places["organism"] = heatmaps.seen(network.transform, masks).mean(3) > 0.5
    device = pick_device()
    module, images = network.network.to(device), images.to(device)
    inside = {place: masks[:n] if masks.ndim == 3 else masks for place, masks in places.items()}
    found, heats = heatmaps.worth(module, images[:n], inside, seed)
    others = heatmaps.heat_maps(module, images[n:])
    outlines = places["organism"][n:] if simulated else None
    return found, {name: heat.mean(axis=0) for name, heat in heats.items()}, (pictures[n:], others, outlines)


# %%
table, mean_heat, looks, twins = [], {}, {}, {}
skipped = [f"{encoder} is no network on photographs" for encoder in encoders if encoder not in networks]
for encoder in tqdm(networks, unit="encoder", disable=None):
    try:
        found, heat, look = looked_at(encoder)
    except heatmaps.NoSpatialMaps as error:
        skipped.append(f"{encoder}: {error}")
        continue
    twin = twins.setdefault(b"".join(one.tobytes() for one in heat.values()), encoder)
    if twin != encoder:
        skipped.append(f"{encoder} is the network of {twin}")
        continue
    mean_heat[encoder], looks[encoder] = heat, look
    for (layer, kind), measures in found.items():
        without = scoring.jackknife_replicates(lambda kept, m=measures: heatmaps.summary(m, kept), groups)
        for measure, (value, low, high) in scoring.jackknife_interval(without).items():
            bounds = {"measure": measure, "value": value, "ci_low": low, "ci_high": high}
            table.append({"encoder": encoder, "layer": layer, "map": kind, **bounds})
if not table:
    raise utils.NotApplicable(f"none of {', '.join(encoders)} sees photographs through a network: name another with ENCODERS=")
table = pd.DataFrame(table)
for place in (folder, figures):
    utils.write_table(table.round(4), place / "heatmaps.csv")
if skipped:
    plotting.say(f"Left out: {'; '.join(skipped)}.")
value = table.set_index(["encoder", "layer", "map", "measure"])[["value", "ci_low", "ci_high"]].sort_index()
part, where = ("organism", "on the organism") if simulated else ("central half", "in the central half")
shares = [f"area, {part}", f"heat, {part}", "hottest over random", "another over random", "hottest above another"]
value["value"].unstack("measure")[shares].loc[list(looks)].round(3)

# %% [markdown]
# ## Heat on photographs
#
# The encoder of the run, and another: the next one with other layers, such as a vision transformer beside a ResNet, or else
# the next one. Every map has its own scale. White lines go round the organism where it is known.

# %%
label_of = {encoder: encoder_configs.readable_name(dataset, encoder) for encoder in looks}
first = run.split("/")[0] if run.split("/")[0] in looks else next(iter(looks))
rest = [encoder for encoder in looks if encoder != first]
unlike = [encoder for encoder in rest if set(mean_heat[encoder]) != set(mean_heat[first])]
pair = [first, *(unlike or rest)[:1]]
layers = {encoder: list(dict.fromkeys(layer for layer, _ in mean_heat[encoder])) for encoder in looks}
deep = value["value"].loc[first, layers[first][-1], "activation"]
message = f"{plotting.dataset_name(dataset)}: {deep[f'heat, {part}']:.0%} of the heat lies {where}, "
message += f"which is {deep[f'area, {part}']:.0%} of the picture;\nhiding the hottest fifth moves the embedding "
message += f"{deep['hottest over random']:.1f} times as far as hiding a random fifth ({label_of[first]})"


def columns(encoder):
    """What the figure shows of an encoder: photographs, activation of both layers and EigenCAM of the deeper one, outlines."""
    pictures, heats, outlines = looks[encoder]
    wanted = [*((layer, "activation") for layer in layers[encoder]), (layers[encoder][-1], "EigenCAM")]
    titles = {name: name[0] if name[1] == "activation" else f"{name[0]}, EigenCAM" for name in wanted}
    return pictures, {title: heats[name] for name, title in titles.items()}, outlines


figure = heatmaps.draw(message, list(shown), {label_of[encoder]: columns(encoder) for encoder in pair})
plotting.save_figure(figure, folder / "previews" / "heat_on_photographs.jpg")
if simulated:  # photographs of others are not published
    plotting.save_figure(figure, figures / "heat_on_photographs.jpg")
plotting.show_photos(figure)

# %% [markdown]
# ## What the maps are worth
#
# Left: the share of the heat; the grey line is the area. Right: how far the embedding moves, relative to hiding a random
# fifth. Below: the mean heat of the deepest layer over the sample.


# %%
KINDS = {"activation": ("o", -0.16), "EigenCAM": ("D", 0.16)}  # mark, and place on the line of the layer
SHOWN = {f"heat, {part}": 0, "hottest over random": 1, "another over random": 1}  # panel of a measure


def draw_measures(axes, encoder, at, colour):
    """The lines of one encoder in both panels, a line per layer, from `at` downwards; marks with the interval over species."""
    for number, layer in enumerate(layers[encoder]):
        for kind, (mark, offset) in KINDS.items():
            for measure, panel in SHOWN.items():
                (middle, low, high), y = value.loc[encoder, layer, kind, measure], at + number + offset
                if measure == "another over random":
                    axes[panel].plot(middle, y, mark, color=colour, markerfacecolor="white", markersize=6)
                    continue
                axes[panel].plot([low, high], [y, y], color=colour, linewidth=1.5, zorder=2)
                axes[panel].plot(middle, y, mark, color=colour, markersize=6, zorder=3)
        area = value.loc[(encoder, layer, "activation", f"area, {part}"), "value"]
        axes[0].plot([area, area], [at + number - 0.5, at + number + 0.5], color="0.5", linewidth=2, zorder=1)
    name = textwrap.fill(plotting.plain(label_of[encoder], 60), 24)
    axes[1].text(1.02, at + 0.5, name, color=colour, va="center", transform=axes[1].get_yaxis_transform())


def mark_key(axes):
    """What the marks mean, below the panels."""
    ways = [(kind, mark, "0.3") for kind, (mark, _) in KINDS.items()]
    ways += [(f"{kind}, hottest fifth of another photograph", mark, "white") for kind, (mark, _) in KINDS.items()]
    marks = [plt.Line2D([], [], color="0.3", linestyle="", marker=mark, markerfacecolor=face) for _, mark, face in ways]
    axes[0].figure.legend(marks, [name for name, *_ in ways], loc="outside lower center", ncols=2, frameon=False)


# %%
lines = [layer for encoder in looks for layer in layers[encoder]]
heights = (0.42 * len(lines) + 1.5, 2.7)
figure = plt.figure(figsize=(11, sum(heights) + 0.6), layout="constrained")
upper, lower = figure.subfigures(2, 1, height_ratios=heights)
axes = upper.subplots(1, 2, sharey=True)
for number, encoder in enumerate(looks):
    draw_measures(axes, encoder, 2 * number, plotting.PALETTE[number % len(plotting.PALETTE)])
axes[0].set(yticks=range(len(lines)), yticklabels=lines, ylim=(len(lines) - 0.4, -0.6), xlim=(0, 1))
axes[0].set_xlabel(f"share of the heat {where}")
axes[1].axvline(1, color="0.5", linewidth=2, zorder=1)
axes[1].set_xlabel("how far the embedding moves (a random fifth = 1)")
mark_key(axes)
panels = lower.subplots(1, len(looks), squeeze=False)
for ax, encoder in zip(panels.flat, looks, strict=True):
    ax.imshow(mean_heat[encoder][layers[encoder][-1], "activation"], cmap=heatmaps.COLOURS, vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])
    ax.set_title(f"{textwrap.fill(plotting.plain(label_of[encoder], 60), 24)}\n{layers[encoder][-1]}")
heatmaps.colour_key(lower, panels)
figure.suptitle(message)
plotting.save_figure(figure, figures / "heatmaps.png")
plt.show()

# %% [markdown]
# ## What we learned

# %%
of_maps = value.xs("hottest above another", level="measure")
beyond, n_maps = (of_maps["ci_low"] > 0).sum(), len(of_maps)
low, high = value.loc[(first, layers[first][-1], "activation", f"heat above area, {part}"), ["ci_low", "ci_high"]]
compared = "more than its area" if low > 0 else "less than its area" if high < 0 else "not significantly other than its area"
plotting.say(
    f"With {label_of[first]}, the {part} has {deep[f'heat, {part}']:.0%} of the heat of {layers[first][-1]} on "
    f"{deep[f'area, {part}']:.0%} of the area: {compared}. Hiding the hottest fifth moves the embedding "
    f"{deep['hottest over random']:.1f} times as far as hiding a random fifth, hiding what is hottest in another photograph "
    f"{deep['another over random']:.1f} times.",
    f"For {beyond} of {n_maps} maps the hottest place of the photograph matters more than that of another (each at 95 %).",
)

# %% tags=["summary"]
heat, area = (f"{deep[f'{measure}, {part}']:.0%}" for measure in ("heat", "area"))
print(f"networks: {len(looks)}; {len(sample)} photographs, {heat} of the heat on {area} of the area")
