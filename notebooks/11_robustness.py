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
# # 11 · What the clusters withstand
#
# **The question.** How much of the hierarchy is left when photographs are worse, fewer, unevenly spread over species, or
# filed under the wrong family?
#
# One encoder and the recommended clusterer meet one hardship at a time, in growing doses. Nothing is tuned to it.
#
# **In:** photographs, embeddings and taxon names (to make some hardships, and to score). **Out:** `robustness.csv` and one
# figure with a copy of that table.

# %% tags=["parameters"]
dataset = "demo"
encoder = "specimen_resnet18_double"
weights_dir = ""  # folder with <architecture>.safetensors or .pth; empty: the hub
n_photos = 500  # at most so many are embedded again for every dose of a corruption: whole species, drawn at random
seeds = [0, 1, 2]

# %%
import io
import sys
from pathlib import Path

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from PIL import Image, ImageEnhance, ImageFilter
from tqdm import tqdm

import clustering
import encoders
import scoring
import utils
from images import load_rgb
from simulation.specimens import picture

utils.set_style()
folder = utils.dataset_dir(dataset)
specimens = utils.load_metadata(dataset)
taxa = pd.DataFrame({rank: utils.lineage(specimens, rank) for rank in utils.RANKS})
known = taxa.notna().all(axis=1).to_numpy()
if taxa[known]["species"].nunique() < 3:
    raise ValueError(f"{dataset} has no species names: nothing says what is left of the hierarchy")
specimens, taxa = specimens[known].reset_index(drop=True), taxa[known].reset_index(drop=True)
embedding = utils.pick_layer(utils.load_embeddings(dataset, encoder, specimens["hash_id"]), "last")

# %% [markdown]
# ## What is measured
#
# AMI of genera and species found by nested Ward, as chapter 05 recommends it. The interval is the jackknife over species.
# Where a hardship is drawn by lot, the mean over seeds is shown. Beside it stand a floor, the family as it was given, and a
# ceiling, the same trees cut at the true numbers.


# %%
def ami_of(true, labels):
    """AMI of labels (n,) of any kind."""
    return scoring.mutual_information(scoring.contingency(scoring.codes(true), scoring.codes(labels)))["ami"]


# %%
def scores(rows, points, family=None):
    """[{rank, ami, ci_low, ci_high, floor, ceiling}] of the photographs `rows` with embedding `points` (n, d)."""
    true, prepared = taxa.iloc[rows], clustering.prepare(points)
    family = true["family"].to_numpy() if family is None else family
    found = clustering.nested_ward(prepared, family)
    told = clustering.with_true_numbers(prepared, family, true[["genus", "species"]])
    measured = []
    for rank in found:
        names, labels = true[rank].to_numpy(), found[rank]
        without = scoring.left_out(lambda part, n=names, m=labels: {"ami": ami_of(n[part], m[part])}, true["species"])
        value, low, high = scoring.jackknife_interval(without)["ami"]
        measured.append({"rank": rank, "ami": value, "ci_low": low, "ci_high": high})
        measured[-1] |= {"floor": ami_of(names, family), "ceiling": ami_of(names, told[rank])}
    return measured


table = []


def note(hardship, dose, seed, measured):
    """Keep what was measured under one dose of a hardship."""
    table.extend({"hardship": hardship, "dose": dose, "seed": seed} | row for row in measured)


# %% [markdown]
# ## Fewer photographs
#
# A sample of every species, down to two photographs.

# %%
species = taxa["species"].to_numpy()
each = pd.Series(species).value_counts()
for seed in tqdm(seeds, desc="fewer photographs", unit="seed"):
    for size in [n for n in (2, 3, 5, 8, 12, 20) if n <= each.median()]:
        rows = utils.sample_of_each(species, dict.fromkeys(each.index, size), seed)
        note("photographs per species", size, seed, scores(rows, embedding[rows]))

# %% [markdown]
# ## Unevenly spread
#
# In life few species are common and many are rare. Species keep a share of their photographs that falls with a power of
# their place in a random order (Zipf's law): 0 leaves all, at 1 the tenth species has a tenth.

# %%
for seed in tqdm(seeds, desc="imbalance", unit="seed"):
    for power in (0.0, 0.25, 0.5, 1.0):
        rows = utils.sample_of_each(species, utils.uneven_sizes(each, power, seed), seed)
        note("imbalance (power)", power, seed, scores(rows, embedding[rows]))

# %% [markdown]
# ## Wrong family names
#
# A share of the photographs is filed under another family, drawn at random. They can no longer join their own kind.

# %%
families = np.unique(taxa["family"])
everyone = np.arange(len(taxa))
for seed in tqdm(seeds, desc="wrong families", unit="seed"):
    random = np.random.default_rng(seed)
    order, shift = random.permutation(len(taxa)), random.integers(1, max(2, len(families)), len(taxa))
    for share in (0.0, 0.05, 0.1, 0.2) if len(families) > 1 else ():
        code = np.searchsorted(families, taxa["family"])
        wrong = order[: round(share * len(taxa))]
        code[wrong] = (code[wrong] + shift[wrong]) % len(families)
        note("share of wrong families", share, seed, scores(everyone, embedding, families[code]))

# %% [markdown]
# ## Worse photographs
#
# Blur, noise, compression, cropping and darkness, in growing doses, on whole species drawn at random. The first dose is
# none: the photographs as they are. On a simulated world the ground can be changed, too: the same organism, laid before
# another one's background.


# %%
def noisy(image, deviation):
    """Gaussian noise of so many grey levels; the picture itself seeds it."""
    values = np.asarray(image, float)
    random = np.random.default_rng(int(values.sum()))
    return Image.fromarray(np.clip(values + random.normal(0, deviation, values.shape), 0, 255).astype(np.uint8))


def compressed(image, quality):
    """Through a JPEG of this quality."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def cropped(image, share):
    """The middle, with this share of width and height."""
    width, height = image.size
    left, top = (1 - share) * width / 2, (1 - share) * height / 2
    return image.crop((round(left), round(top), round(width - left), round(height - top)))


def blurred(image, pixels):
    """Gaussian blur, its radius in pixels of a shorter side of 256."""
    return image.filter(ImageFilter.GaussianBlur(pixels * min(image.size) / 256))


# %%
CORRUPTIONS = {
    "blur (pixels of 256)": (blurred, (0, 2, 4, 8)),
    "noise (grey levels)": (noisy, (0, 15, 30, 60)),
    "JPEG (quality)": (compressed, (100, 30, 15, 5)),
    "crop (share of side)": (cropped, (1.0, 0.8, 0.6, 0.4)),
    "brightness (factor)": (
        lambda image, factor: ImageEnhance.Brightness(image).enhance(factor),
        (1.0, 0.6, 0.35, 0.2),
    ),
}

# %%
shuffled = np.random.default_rng(0).permutation(each.index.to_numpy())
enough = shuffled[np.cumsum(each[shuffled]) <= max(n_photos, each.max() * 3)]
rows = np.flatnonzero(np.isin(species, enough))
paths = [folder / "photos" / path for path in specimens["path"].iloc[rows]]
weights_dir = utils.ROOT / Path(weights_dir).expanduser() if weights_dir else ""
look = encoders.looker(dataset, encoder, weights_dir)
if look is None:
    raise ValueError(f"{encoder} looks at no photograph: nothing can be worse for it. Choose another with SUBMIT=")
doses = [(name, change, dose) for name, (change, several) in CORRUPTIONS.items() for dose in several]
for name, change, dose in tqdm(doses, desc="corruptions", unit="dose"):
    unchanged = dose == CORRUPTIONS[name][1][0]
    points = embedding[rows] if unchanged else look([change(load_rgb(path), dose) for path in paths])
    note(name, dose, 0, scores(rows, points))

# %%
if (folder / "truth.parquet").is_file():
    truth = utils.load_truth(dataset, specimens["hash_id"])
    ground = [f"scene_{name}" for name in ("ground", "relief", "things", "light", "exposure", "warmth")]
    size = load_rgb(paths[0]).width
    note("background swapped", 0.0, 0, scores(rows, embedding[rows]))
    for seed in tqdm(seeds, desc="backgrounds", unit="seed"):
        lots = truth.iloc[rows].copy()
        lots[ground] = lots[ground].sample(frac=1, random_state=seed).to_numpy()
        lots["scene_seed"] += 1 + seed
        drawn = Parallel(n_jobs=-1)(delayed(picture)(row, size) for row in lots.to_dict("records"))
        note("background swapped", 1.0, seed, scores(rows, look(drawn)))

# %% [markdown]
# ## All hardships
#
# Each against the AMI without it (the leftmost mark). Bands are 95 % intervals over species, of the mean over seeds; dashed is
# the floor, dotted the ceiling.

# %%
table = pd.DataFrame(table)
utils.write_table(table.round(6), folder / "robustness.csv")
table.pivot_table(index=["hardship", "dose"], columns="rank", values="ami", sort=False).round(3)


# %%
def draw_hardship(ax, hardship, part):
    """AMI against dose, a line and a band per rank; doses are equally far apart, from none to much."""
    doses = list(dict.fromkeys(part["dose"]))
    doses = doses[::-1] if hardship == "photographs per species" else doses
    for colour, (rank, lines) in zip(utils.PALETTE, part.groupby("rank"), strict=False):
        mean = lines.groupby("dose")[["ami", "ci_low", "ci_high", "floor", "ceiling"]].mean().loc[doses]
        ax.fill_between(range(len(doses)), mean["ci_low"], mean["ci_high"], color=colour, alpha=0.2, linewidth=0)
        ax.plot(range(len(doses)), mean["ami"], marker="o", color=colour, label=rank)
        ax.plot(range(len(doses)), mean["floor"], linestyle="--", linewidth=1, color=colour)
        ax.plot(range(len(doses)), mean["ceiling"], linestyle=":", linewidth=1, color=colour)
    ax.set(xticks=range(len(doses)), xticklabels=[f"{dose:g}" for dose in doses], xlabel=hardship, ylim=(0, 1))


hardships = list(dict.fromkeys(table["hardship"]))
figure, axes = plt.subplots(-(-len(hardships) // 3), 3, figsize=(10, 2.6 * -(-len(hardships) // 3)), sharey=True)
for ax in axes.flat[len(hardships) :]:
    ax.remove()
for ax, hardship in zip(axes.flat, hardships, strict=False):
    draw_hardship(ax, hardship, table[table["hardship"] == hardship])
for ax in axes[:, 0]:
    ax.set_ylabel("AMI")
axes.flat[0].legend(frameon=False)
figure.tight_layout()
utils.save_figure(figure, utils.figures_dir(dataset) / "robustness.png")
utils.write_table(table.round(4), utils.figures_dir(dataset) / "robustness.csv")

# %% tags=["summary"]
print(f"{len(hardships)} hardships, {table.groupby('hardship')['dose'].nunique().sum()} doses, on {encoder}")
