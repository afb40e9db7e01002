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
# One encoder and the recommended clusterer meet one perturbation at a time, in growing severity. Nothing is tuned to it.
#
# **In:** photographs, embeddings and taxon names (to make some perturbations, and to score). **Out:** `robustness.csv` and one
# figure with a copy of that table.

# %% tags=["parameters"]
dataset = "demo"
encoder = "specimen_resnet18_double"
weights_dir = ""  # folder with <architecture>.safetensors or .pth; empty: the hub
n_photos = 500  # at most so many are embedded again for every severity of a corruption: whole species, drawn at random
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
import plotting
import sampling
import scoring
import utils
from images import load_rgb
from simulation.specimens import picture

plotting.set_style()
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
# AMI of genera and species found by the recommended clusterer, as chapter 05 runs it, with the number of clusters; beside them
# a baseline, the family as it was given, and an oracle-k reference, the same trees cut at the true numbers. The interval is the
# jackknife over species. Where a perturbation is drawn by lot, it is the interval of the mean over seeds: without each group of
# species, the mean is taken anew.

# %%
CONFIG = clustering.Config.named("nested_ward")


def ami_of(true, labels):
    """AMI of labels (n,) of any kind."""
    return scoring.mutual_information(scoring.contingency(scoring.codes(true), scoring.codes(labels)))["ami"]


def measure(rows, points, groups, family=None):
    """{rank: (replicates of AMI, baseline, oracle k; found, true)} of the photographs `rows` with embedding `points` (n, d).

    `groups` (n,) are those of the jackknife.
    """
    true, layers = taxa.iloc[rows], {"last": points}
    family = true["family"].to_numpy() if family is None else family
    found = clustering.cluster(layers, family, CONFIG)
    oracle = clustering.oracle_k(CONFIG.prepare(layers, CONFIG.species_layers), family, true[["genus", "species"]])
    measured = {}
    for rank in oracle:
        labels = {"ami": found[rank].to_numpy(), "baseline": family, "oracle_k": oracle[rank]}
        names = true[rank].to_numpy()

        def amis(part, names=names, labels=labels):
            return {name: ami_of(names[part], column[part]) for name, column in labels.items()}

        counts = {"n_found": found[rank].nunique(), "n_true": true[rank].nunique()}
        measured[rank] = scoring.jackknife_replicates(amis, groups), counts
    return measured


# %%
table = []


def note(perturbation, severity, seeds, measured):
    """Keep what was measured under one severity, with each of the seeds: a row for each, and one for their mean."""
    here = {"perturbation": perturbation, "severity": severity}
    for rank in measured[0]:
        replicates, counts = zip(*(of_seed[rank] for of_seed in measured), strict=True)
        for seed, values, counted in zip(seeds, replicates, counts, strict=True):
            table.append(here | {"rank": rank, "seed": seed} | values.iloc[0].to_dict() | counted)
        mean = sum(replicates) / len(replicates)
        _, low, high = scoring.jackknife_interval(mean)["ami"]
        means = mean.iloc[0].to_dict() | pd.DataFrame(counts).mean().to_dict()
        table.append(here | {"rank": rank, "seed": None} | means | {"ci_low": low, "ci_high": high})


# %% [markdown]
# ## Fewer photographs
#
# A sample of every species, down to two photographs.

# %%
species = taxa["species"].to_numpy()
each = pd.Series(species).value_counts()
groups = scoring.jackknife_groups(species)


def note_samples(perturbation, severity, sizes):
    """Measure samples of every species, of `sizes(seed)` photographs, one for each seed."""
    drawn = [sampling.sample_of_each(species, sizes(seed), seed) for seed in seeds]
    note(perturbation, severity, seeds, [measure(rows, embedding[rows], groups[rows]) for rows in drawn])


for size in tqdm([n for n in (2, 3, 5, 8, 12, 20) if n <= each.median()], desc="fewer photographs"):
    note_samples("photographs per species", size, lambda seed, size=size: dict.fromkeys(each.index, size))

# %% [markdown]
# ## Unevenly spread
#
# In life few species are common and many are rare. Species keep a share of their photographs that falls with a power of
# their place in a random order (Zipf's law): 0 leaves all, at 1 the tenth species has a tenth.

# %%
for power in tqdm((0.0, 0.25, 0.5, 1.0), desc="imbalance"):
    note_samples("imbalance (power)", power, lambda seed, power=power: sampling.uneven_sizes(each, power, seed))

# %% [markdown]
# ## Wrong family names
#
# A share of the photographs is filed under another family, drawn at random. They can no longer join their own kind.

# %%
families = np.unique(taxa["family"])
everyone = np.arange(len(taxa))


def misfiled(share, seed):
    """Family names (n,), a share of them wrong."""
    random = np.random.default_rng(seed)
    order, shift = random.permutation(len(taxa)), random.integers(1, len(families), len(taxa))
    code, wrong = np.searchsorted(families, taxa["family"]), order[: round(share * len(taxa))]
    code[wrong] = (code[wrong] + shift[wrong]) % len(families)
    return families[code]


for share in tqdm((0.0, 0.05, 0.1, 0.2) if len(families) > 1 else (), desc="wrong families"):
    measured = [measure(everyone, embedding, groups, misfiled(share, seed)) for seed in seeds]
    note("share of wrong families", share, seeds, measured)

# %% [markdown]
# ## Worse photographs
#
# Blur, noise, compression, cropping and darkness, in growing severity, on whole species drawn at random. The first severity is
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
look = encoders.image_embedder(dataset, encoder, weights_dir)
if look is None:
    raise ValueError(f"{encoder} looks at no photograph: nothing can be worse for it. Choose another with SUBMIT=")
few = scoring.jackknife_groups(species[rows])
several = [(name, change, severity) for name, (change, values) in CORRUPTIONS.items() for severity in values]
for name, change, severity in tqdm(several, desc="corruptions"):
    unchanged = severity == CORRUPTIONS[name][1][0]
    points = embedding[rows] if unchanged else look([change(load_rgb(path), severity) for path in paths])
    note(name, severity, [0], [measure(rows, points, few)])

# %%
if (folder / "truth.parquet").is_file():
    truth = utils.load_truth(dataset, specimens["hash_id"])
    ground = [f"scene_{name}" for name in ("ground", "relief", "things", "light", "exposure", "warmth")]
    size = load_rgb(paths[0]).width
    note("background swapped", 0.0, [0], [measure(rows, embedding[rows], few)])
    measured = []
    for seed in tqdm(seeds, desc="backgrounds", unit="seed"):
        lots = truth.iloc[rows].copy()
        lots[ground] = lots[ground].sample(frac=1, random_state=seed).to_numpy()
        lots["scene_seed"] += 1 + seed
        drawn = Parallel(n_jobs=-1)(delayed(picture)(row, size) for row in lots.to_dict("records"))
        measured.append(measure(rows, look(drawn), few))
    note("background swapped", 1.0, seeds, measured)

# %% [markdown]
# ## All perturbations
#
# Each against the AMI without it (the leftmost mark). Bands are 95 % intervals over species; dashed is the baseline, dotted the
# oracle-k reference.

# %%
table = pd.DataFrame(table).astype({"seed": "Int64"})
columns = ["perturbation", "severity", "rank", "seed", "ami", "ci_low", "ci_high", "baseline", "oracle_k", "n_found", "n_true"]
table = table[columns]
utils.write_table(table.round(6), folder / "robustness.csv")
mean = table[table["seed"].isna()]
mean.pivot_table(index=["perturbation", "severity"], columns="rank", values=["ami", "n_found", "n_true"], sort=False).round(3)


# %%
def draw_perturbation(ax, perturbation, part):
    """AMI against severity, a line and a band per rank; severities are equally far apart, from none to much."""
    severities = list(dict.fromkeys(part["severity"]))
    severities = severities[::-1] if perturbation == "photographs per species" else severities
    places = range(len(severities))
    for colour, (rank, lines) in zip(plotting.PALETTE, part.groupby("rank"), strict=False):
        lines = lines.set_index("severity").loc[severities]
        ax.fill_between(places, lines["ci_low"], lines["ci_high"], color=colour, alpha=0.2, linewidth=0)
        ax.plot(places, lines["ami"], marker="o", color=colour, label=rank)
        ax.plot(places, lines["baseline"], linestyle="--", linewidth=1, color=colour, label=f"{rank}, family baseline")
        ax.plot(places, lines["oracle_k"], linestyle=":", linewidth=1, color=colour, label=f"{rank}, oracle k")
    ax.set(xticks=places, xticklabels=[f"{value:g}" for value in severities], xlabel=perturbation, ylim=(0, 1))


names = list(dict.fromkeys(mean["perturbation"]))
figure, axes = plt.subplots(-(-len(names) // 3), 3, figsize=(10, 2.6 * -(-len(names) // 3)), sharey=True, squeeze=False)
for ax in axes.flat[len(names) :]:
    ax.remove()
for ax, name in zip(axes.flat, names, strict=False):
    draw_perturbation(ax, name, mean[mean["perturbation"] == name])
for ax in axes[:, 0]:
    ax.set_ylabel("AMI")
handles = axes.flat[0].get_legend_handles_labels()
figure.suptitle(f"{plotting.plain(dataset)}: what is left under growing perturbation ({plotting.plain(encoder)}, nested Ward)")
figure.tight_layout()
figure.legend(*handles, loc="upper center", bbox_to_anchor=(0.5, 0.01), ncols=2, frameon=False)
plotting.save_figure(figure, utils.figures_dir(dataset) / "robustness.png")
utils.write_table(table.round(4), utils.figures_dir(dataset) / "robustness.csv")

# %% tags=["summary"]
print(f"{len(names)} perturbations, {len(mean) // 2} severities, on {encoder}")
