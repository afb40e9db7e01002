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
# # 25 · What a map says about an encoder
#
# **The question.** Encoders are often chosen by a look at a map: the one whose groups stand apart is taken. Do these encoders
# give better species?
#
# Every encoder is mapped with PCA, t-SNE and UMAP. The silhouette of the families on a map measures how far they stand apart;
# it is compared with the species AMI of the clusters. Genus and species names are used for this comparison only.
#
# **In:** embeddings, `scores.csv` and photographs. **Out:** `map_quality.csv` with a row per encoder, map and seed, a figure,
# and for a simulated world a map of photographs.

# %% tags=["parameters"]
dataset = "demo"
encoders = [""]  # empty: those of the plan
clusterer = ""  # whose species AMI is compared; empty: that of submission.csv
seeds = [0, 1]
n_photographs = 600  # mapped at most, drawn at random
perplexity = 30.0  # of t-SNE
n_neighbors = 15  # of UMAP, and of trustworthiness

# %% jupyter={"source_hidden": true}
import sys
import warnings

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, trustworthiness
from sklearn.metrics import silhouette_score
from tqdm import tqdm

import encoder_configs
import plotting
import utils
from images import thumbnails
from umap_compiled import UMAP

# %%
plotting.set_style()
folder, figures = utils.dataset_dir(dataset), utils.figures_dir(dataset)
plan = utils.load_plan(dataset)
encoders = [name for name in encoders if name] or plan["encoders"]
encoders = [name for name in encoders if not encoder_configs.role(dataset, name).startswith(("upper bound", "reference"))]
clusterer = clusterer or plan["submit"].split("/")[1]
everything = utils.load_metadata(dataset)
rows = np.sort(np.random.default_rng(0).permutation(len(everything))[:n_photographs])
specimens = everything.iloc[rows].reset_index(drop=True)
families = specimens["family"].to_numpy(object)
known = pd.notna(families)
scores = utils.read_table(folder / "scores.csv").query("rank == 'species' and metric == 'ami' and clusterer == @clusterer")
ami = scores.groupby("encoder")["value"].mean()
if len(specimens) < 20 or pd.Series(families).nunique() < 2 or ami.empty:
    raise utils.NotApplicable(f"{dataset} needs 20 photographs, two families and species names to compare maps with scores")

# %% [markdown]
# ## Maps
#
# PCA shows the two directions of most variation and is the same for every seed. t-SNE and UMAP arrange near neighbours, and
# depend on a seed. *Trustworthiness* is 1 if all near neighbours on the map are near in the embedding (Venna and Kaski 2001).


# %%
def map_of(kind, values, seed):
    """Coordinates (n, 2) of embedding vectors (n, d)."""
    if kind == "PCA":
        return PCA(2, random_state=0).fit_transform(values)
    if kind == "t-SNE":
        return TSNE(perplexity=min(perplexity, (len(values) - 1) / 3), random_state=seed).fit_transform(values)
    return UMAP(n_neighbors=min(n_neighbors, len(values) - 1), random_state=seed).fit_transform(values)


warnings.filterwarnings("ignore", "n_jobs value .* overridden")  # expected: UMAP with a seed runs on one core
quality, maps, mapped = [], {}, set()
for encoder in tqdm(encoders, unit="encoder", disable=None):
    values = utils.load_layer(dataset, encoder, specimens["hash_id"])
    if values.tobytes() in mapped or not np.ptp(values, axis=0).any():
        continue  # another choice of layers with the same last one; photographs that are all alike have no map
    mapped.add(values.tobytes())
    for kind, seed in [("PCA", seeds[0]), *((kind, seed) for kind in ("t-SNE", "UMAP") for seed in seeds)]:
        xy = maps[encoder, kind, seed] = map_of(kind, values, seed)
        near = trustworthiness(values, xy, n_neighbors=min(n_neighbors, len(xy) // 2 - 1))
        apart = silhouette_score(xy[known], families[known])
        quality.append({"encoder": encoder, "map": kind, "seed": seed, "trustworthiness": near, "silhouette": apart})
quality = pd.DataFrame(quality).assign(species_ami=lambda table: table["encoder"].map(ami))
for place in (folder, figures):
    utils.write_table(quality.round(4), place / "map_quality.csv")
quality.groupby("map")[["trustworthiness", "silhouette"]].agg(["mean", "min", "max"]).round(2)

# %% [markdown]
# ## Looking separated, and being separated
#
# One mark per encoder; bars show the smallest and the largest silhouette of the seeds. *ρ* is the rank correlation over five
# or more encoders, controls and networks that read the same weights among them.

# %%
label_of = {encoder: encoder_configs.readable_name(dataset, encoder) for encoder in encoders}
mean = quality.groupby(["map", "encoder"])[["silhouette", "trustworthiness", "species_ami"]].mean()
rho = {
    kind: spearmanr(table["silhouette"], table["species_ami"])[0] if len(table) >= 5 else np.nan
    for kind, table in mean.groupby("map")
}
rhos = [value for value in rho.values() if np.isfinite(value)] or [0.0, 1.0]  # of few encoders either may be true
tells = "tells" if min(rhos) > 0.5 else "hardly tells" if np.abs(rhos).max() < 0.5 else "may or may not tell"
message = f"how far families stand apart on a map {tells} how well species are found"
figure, axes = plt.subplots(1, 3, figsize=(11, 4.2), sharey=True)
for ax, kind in zip(axes, ("PCA", "t-SNE", "UMAP"), strict=True):
    for number, encoder in enumerate(dict.fromkeys(quality["encoder"])):
        one = quality[(quality["map"] == kind) & (quality["encoder"] == encoder)]
        colour = plotting.PALETTE[number % 8]
        at = one["species_ami"].iloc[0]
        ax.plot([one["silhouette"].min(), one["silhouette"].max()], [at, at], color=colour, linewidth=2)
        mark = plotting.MARKS[number % len(plotting.MARKS)]
        ax.plot(one["silhouette"].mean(), at, mark, color=colour, markersize=8, label=plotting.plain(label_of[encoder], 60))
    near = mean.loc[kind, "trustworthiness"]
    correlated = f": ρ = {rho[kind]:.2f}" if np.isfinite(rho[kind]) else ""
    ax.set(title=f"{kind}{correlated}\ntrustworthiness {near.min():.2f} to {near.max():.2f}")
    ax.set_xlabel("silhouette of families")
axes[0].set_ylabel("species AMI")
figure.suptitle(f"{plotting.dataset_name(dataset)}: {message}")
handles, labels = axes[0].get_legend_handles_labels()
figure.tight_layout()
figure.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=3, frameon=False)
plotting.save_figure(figure, figures / "map_quality.png")
plt.show()

# %% [markdown]
# ## Three maps of one encoder
#
# The encoder of the submission, the largest families in colour.

# %%
shown = plan["submit"].split("/")[0]
shown = shown if (shown, "PCA", seeds[0]) in maps else next(iter(maps))[0]
colours = plotting.family_colours(specimens["family"])
figure, axes = plt.subplots(1, 3, figsize=(11, 4))
for ax, kind in zip(axes, ("PCA", "t-SNE", "UMAP"), strict=True):
    plotting.draw_map(ax, maps[shown, kind, seeds[0]], specimens["family"], colours)
    ax.set(title=f"{kind}: trustworthiness {mean.loc[(kind, shown), 'trustworthiness']:.2f}")
figure.suptitle(plotting.plain(label_of[shown], 60))
figure.tight_layout()
plotting.family_legend(figure, specimens["family"], colours)
plt.show()

# %% [markdown]
# ## One map of photographs
#
# Photographs at their places on the t-SNE map, as far as they do not overlap, framed in the colours of their families.

# %%
xy = maps[shown, "t-SNE", seeds[0]]
place = (xy - xy.min(axis=0)) / np.ptp(xy, axis=0)
taken, free = set(), []
for row in np.random.default_rng(0).permutation(len(place)):
    cell = tuple(np.minimum(place[row] * (28, 18), (27, 17)).astype(int))
    if cell not in taken and pd.notna(specimens["path"].iloc[row]):
        taken.add(cell)
        free.append((row, cell))
paths = [folder / "photos" / specimens["path"].iloc[row] for row, _ in free]
pictures = thumbnails(paths, specimens["sha256"].iloc[[row for row, _ in free]], folder / "previews" / "thumbnails")
figure, ax = plt.subplots(figsize=(11, 7.1))
for (row, (x, y)), picture in zip(free, pictures, strict=True):
    if picture is not None:
        ax.imshow(picture, extent=(x + 0.05, x + 0.95, y + 0.05, y + 0.95), aspect="auto")
    colour = colours.get(families[row], plotting.GREY)
    ax.add_patch(plt.Rectangle((x + 0.05, y + 0.05), 0.9, 0.9, fill=False, edgecolor=colour, linewidth=2))
ax.set(xlim=(0, 28), ylim=(0, 18), xticks=[], yticks=[], title=f"t-SNE of {plotting.plain(label_of[shown], 60)}")
if (folder / "truth.parquet").is_file():  # photographs of others are not published
    plotting.save_figure(figure, figures / "map_of_photographs.jpg")
plotting.show_photos(figure)

# %% [markdown]
# ## What we learned

# %%
best = {kind: mean.loc[kind, "silhouette"].idxmax() for kind in ("PCA", "t-SNE", "UMAP")}
behind = {kind: mean["species_ami"].max() - ami[encoder] for kind, encoder in best.items()}
n_encoders, correlated = len(mean.loc["PCA"]), ", ".join(f"{value:.2f} on {kind}" for kind, value in rho.items())
plotting.say(
    f"Over {n_encoders} encoders, the rank correlation of separated families with species AMI is {correlated}."
    if n_encoders >= 5
    else "Too few encoders were mapped for a correlation.",
    f"The encoder whose families look most separated on UMAP is {label_of[best['UMAP']]}; its species AMI is "
    f"{behind['UMAP']:.2f} below the best.",
)

# %% tags=["summary"]
separated = mean.loc["UMAP", "silhouette"]
print(f"{n_encoders} encoders; silhouette of families on UMAP {separated.min():.2f} to {separated.max():.2f}")
