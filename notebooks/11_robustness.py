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
# # 11 · Robustness
#
# **The question.** How much of the hierarchy is still found when photographs are worse, fewer, unevenly spread over species, or
# filed under the wrong family?
#
# One perturbation at a time, in growing severity, meets one encoder and the default clusterer. Nothing is tuned to it.
#
# **In:** photographs, embeddings and taxon names (to make some perturbations, and to score). **Out:** `robustness.csv`, with
# the columns of `scores.csv` and the perturbation with its severity, and one figure with a copy of that table.

# %% tags=["parameters"]
dataset = "demo"
encoder = "specimen_resnet18_double"
weights_dir = ""  # folder with <architecture>.safetensors or .pth; empty: the hub
n_photos = 500  # photographs that are embedded again for every severity, at most: whole species, drawn at random
seeds = [0, 1, 2]

# %% jupyter={"source_hidden": true}
import functools
import sys
from pathlib import Path

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from tqdm import tqdm

import clustering
import encoder_configs
import encoders
import plotting
import sampling
import scoring
import utils
from perturbations import PERTURBATIONS, perturbed
from simulation.specimens import picture

plotting.set_style()
folder = utils.dataset_dir(dataset)
specimens = utils.load_metadata(dataset)
taxa, known = utils.named_taxa(specimens, least=3)
print(f"{known.sum():,} of {len(known):,} photographs have a name at every rank; the others are left out")
specimens, taxa = specimens[known].reset_index(drop=True), taxa[known].reset_index(drop=True)
embedding = utils.load_layer(dataset, encoder, specimens["hash_id"])

# %% [markdown]
# ## What is measured
#
# AMI of the genera and species that the default clusterer finds, as chapter 05 runs it, and the numbers of clusters, taxa and
# photographs. Beside it stand the family-only baseline and the oracle-k reference: Ward trees of the same prepared embedding,
# cut at the true numbers.
#
# The interval is a jackknife over species. Where a perturbation is random, it is repeated for every seed (noise is drawn once),
# and the interval is that of the mean over seeds: the mean is computed again without each group of species.

# %%
CONFIG = clustering.Clusterer.named(utils.DEFAULT_CLUSTERER)
REFERENCES = ("baseline_family", "oracle_k_ward_prepared")


def measure(rows, points, groups, family=None):
    """{rank: (replicates of the AMI by method, numbers)} of the photographs `rows` with embedding `points` (n, d).

    `groups` (n,) are those of the jackknife. `family` (n,) are family names, by default the true ones.
    """
    true, layers = taxa.iloc[rows], {"last": points}
    family = true["family"].to_numpy() if family is None else family
    found = clustering.cluster(layers, family, CONFIG)
    oracle = clustering.oracle_k(CONFIG.prepare(layers, CONFIG.species_layers), family, true[["genus", "species"]])
    measured = {}
    for rank in oracle:
        labels = dict(zip((utils.DEFAULT_CLUSTERER, *REFERENCES), (found[rank], family, oracle[rank]), strict=True))
        labels = {name: scoring.codes(column) for name, column in labels.items()}
        names = scoring.codes(true[rank])

        def amis(part, names=names, labels=labels):
            return {name: scoring.ami(names[part], column[part]) for name, column in labels.items()}

        counts = {"n_found": found[rank].nunique(), "n_true": true[rank].nunique(), "n_photographs": len(rows)}
        measured[rank] = scoring.jackknife_replicates(amis, groups), counts
    return measured


# %%
table = []


def record(perturbation, severity, seeds, measured):
    """Add what was measured at one severity: rows for every seed, and for the mean over seeds (without a seed)."""
    for rank in measured[0]:
        replicates, counts = zip(*(of_seed[rank] for of_seed in measured), strict=True)
        runs = [*zip(seeds, replicates, counts, strict=True)]
        runs.append((None, sum(replicates) / len(replicates), pd.DataFrame(counts).mean().to_dict()))
        for seed, values, counted in runs:
            about = {"perturbation": perturbation, "severity": severity, "seed": seed, "rank": rank}
            intervals = scoring.jackknife_interval(values)
            for name, (value, low, high) in intervals.items():
                row = {"clusterer": name, "metric": "ami", "value": value, "ci_low": low, "ci_high": high}
                table.append(about | row)
            for name, value in counted.items():
                table.append(about | {"clusterer": utils.DEFAULT_CLUSTERER, "metric": name, "value": value})


# %% [markdown]
# ## Fewer photographs
#
# A sample of every species, down to two photographs.

# %%
species = taxa["species"].to_numpy()
each = pd.Series(species).value_counts()
groups = scoring.jackknife_groups(species)


def record_samples(perturbation, severity, sizes):
    """Measure samples of every species, of `sizes(seed)` photographs, one for each seed."""
    drawn = [sampling.sample_of_each(species, sizes(seed), seed) for seed in seeds]
    record(perturbation, severity, seeds, [measure(rows, embedding[rows], groups[rows]) for rows in drawn])


for size in tqdm([n for n in (2, 3, 5, 8, 12, 20) if n <= each.median()], desc="fewer photographs"):
    record_samples("photographs per species", size, lambda seed, size=size: dict.fromkeys(each.index, size))

# %% [markdown]
# ## Uneven species
#
# In nature few species are common and many are rare. The share of photographs that a species keeps falls with a power of its
# place in a random order (Zipf's law): power 0 keeps all; at power 1 the tenth species keeps a tenth. So the collection gets
# smaller, too, and family names alone score lower on it: compare with that baseline.

# %%
for power in tqdm((0.0, 0.25, 0.5, 1.0), desc="imbalance"):
    record_samples("imbalance (power)", power, lambda seed, power=power: sampling.uneven_sizes(each, power, seed))

# %% [markdown]
# ## Wrong family names
#
# A share of the photographs gets the name of another family, drawn at random. The clusterer can no longer put them with their
# own species.

# %%
families = np.unique(taxa["family"])
everyone = np.arange(len(taxa))


def with_wrong_families(share, seed):
    """Family names (n,), a share of them wrong."""
    random = np.random.default_rng(seed)
    order, shift = random.permutation(len(taxa)), random.integers(1, len(families), len(taxa))
    code, wrong = np.searchsorted(families, taxa["family"]), order[: round(share * len(taxa))]
    code[wrong] = (code[wrong] + shift[wrong]) % len(families)
    return families[code]


for share in tqdm((0.0, 0.05, 0.1, 0.2) if len(families) > 1 else (), desc="wrong families"):
    measured = [measure(everyone, embedding, groups, with_wrong_families(share, seed)) for seed in seeds]
    record("share of wrong families", share, seeds, measured)

# %% [markdown]
# ## Worse photographs
#
# Blur, noise, JPEG compression, cropping and darkness, on whole species drawn at random. The first severity is none: the
# photographs as they are. Every photograph is opened when the encoder needs it, so large ones do not fill the memory.

# %%
shuffled = np.random.default_rng(0).permutation(each.index.to_numpy())
enough = shuffled[np.cumsum(each[shuffled]) <= max(n_photos, each.max() * 3)]
rows = np.flatnonzero(np.isin(species, enough))
drawn, some_groups = specimens.iloc[rows], scoring.jackknife_groups(species[rows])
weights_dir = utils.ROOT / Path(weights_dir).expanduser() if weights_dir else ""
source = encoders.dataset_source(dataset, utils.load_metadata(dataset), weights_dir)
model = encoders.open_encoder(encoder_configs.build_config(dataset, encoder), source)
if not model.sees_photographs:
    raise ValueError(f"{encoder} looks at no photograph: nothing can be worse for it. Choose another with SUBMIT=")
several = [(name, severity) for name, (_, severities) in PERTURBATIONS.items() for severity in severities]
for name, severity in tqdm(several, desc="perturbations"):
    if severity == PERTURBATIONS[name][1][0]:
        points = embedding[rows]
    else:
        paths = [folder / "photos" / path for path in drawn["path"]]
        points = model.describe_new([functools.partial(perturbed, path, name, severity) for path in paths])
    record(name, severity, [0], [measure(rows, points, some_groups)])

# %% [markdown]
# On a simulated world the background can be changed, too: the same specimen is drawn again before the background of another.

# %%
if (folder / "truth.parquet").is_file():
    truth = utils.load_truth(dataset, drawn["hash_id"])
    background = [f"scene_{name}" for name in ("place", "relief", "things", "light", "elevation", "exposure", "warmth")]
    record("background swapped", 0.0, [0], [measure(rows, embedding[rows], some_groups)])
    measured = []
    for seed in tqdm(seeds, desc="backgrounds", unit="seed"):
        swapped = truth.copy()
        swapped[background] = swapped[background].sample(frac=1, random_state=seed).to_numpy()
        swapped["scene_seed"] += 1 + seed
        pictures = [functools.partial(picture, row, int(drawn["width"].iloc[0])) for row in swapped.to_dict("records")]
        measured.append(measure(rows, model.describe_new(pictures), some_groups))
    record("background swapped", 1.0, seeds, measured)

# %% [markdown]
# ## All perturbations
#
# AMI and the numbers of clusters, taxa and photographs, mean over seeds.

# %%
table = pd.DataFrame(table).assign(dataset=dataset, encoder=encoder).astype({"seed": "Int64"})
table = table[["perturbation", "severity", *utils.SCORE_COLUMNS]]
utils.write_table(table.round(6), folder / "robustness.csv")
mean = table[table["seed"].isna()]
wide = mean.assign(method=mean["clusterer"] + " " + mean["metric"])
order = wide[["perturbation", "severity"]].drop_duplicates()
wide = wide.pivot(index=["perturbation", "severity"], columns=["rank", "method"], values="value")
wide.loc[pd.MultiIndex.from_frame(order)].round(2)

# %% [markdown]
# The leftmost mark of each panel is the AMI without the perturbation; of *photographs per species*, that of the largest sample.
# Bands are 95 % intervals over species.

# %% jupyter={"source_hidden": true}
LINES = {
    utils.DEFAULT_CLUSTERER: ("", {"marker": "o"}),
    "baseline_family": (", family-only baseline", {"linestyle": "--", "linewidth": 1}),
    "oracle_k_ward_prepared": (", oracle-k reference", {"linestyle": ":", "linewidth": 1.5}),
}


def draw_perturbation(ax, perturbation, part):
    """AMI against severity, lines and a band per rank; severities are equally far apart, from none to strong."""
    severities = list(dict.fromkeys(part["severity"]))
    severities = severities[::-1] if perturbation == "photographs per species" else severities
    places = range(len(severities))
    for colour, (rank, of_rank) in zip(plotting.PALETTE, part.groupby("rank"), strict=False):
        for clusterer, (text, looks) in LINES.items():
            line = of_rank[of_rank["clusterer"] == clusterer].set_index("severity").loc[severities]
            ax.plot(places, line["value"], color=colour, label=f"{rank}{text}", **looks)
            if clusterer == utils.DEFAULT_CLUSTERER:
                ax.fill_between(places, line["ci_low"], line["ci_high"], color=colour, alpha=0.2, linewidth=0)
    ax.set(xticks=places, xticklabels=[f"{value:g}" for value in severities], xlabel=perturbation, ylim=(0, 1))


# %% jupyter={"source_hidden": true}
ami = mean[mean["metric"] == "ami"]
of_species = ami[(ami["rank"] == "species") & (ami["clusterer"] == utils.DEFAULT_CLUSTERER)].set_index("perturbation")
others = of_species.drop("photographs per species", errors="ignore")["value"].groupby(level=0, sort=False)
loss = pd.DataFrame({"none": others.first(), "worst": others.apply(lambda values: values.iloc[1:].min())})
loss = loss.loc[(loss["none"] - loss["worst"]).sort_values(ascending=False).index]
names = list(dict.fromkeys(ami["perturbation"]))
figure, axes = plt.subplots(-(-len(names) // 3), 3, figsize=(10, 2.6 * -(-len(names) // 3)), sharey=True, squeeze=False)
for ax in axes.flat[len(names) :]:
    ax.remove()
for ax, name in zip(axes.flat, names, strict=False):
    draw_perturbation(ax, name, ami[ami["perturbation"] == name])
for ax in axes[:, 0]:
    ax.set_ylabel("AMI")
handles = axes.flat[0].get_legend_handles_labels()
shown = plotting.plain(encoder_configs.readable_name(dataset, encoder), 60)
hardest = f"{loss.index[0]} costs most (species AMI {loss['none'].iloc[0]:.2f} to {loss['worst'].iloc[0]:.2f})"
figure.suptitle(f"{plotting.dataset_name(dataset)}, {shown}: {hardest}")
figure.tight_layout()
figure.legend(*handles, loc="upper center", bbox_to_anchor=(0.5, 0.01), ncols=2, frameon=False)
plotting.save_figure(figure, utils.figures_dir(dataset) / "robustness.png")
utils.write_table(table.round(4), utils.figures_dir(dataset) / "robustness.csv")
plt.show()

# %% [markdown]
# ## What we learned

# %%
sampled = of_species[of_species.index == "photographs per species"].set_index("severity")["value"]
text = [f"{name} (species AMI {row['none']:.2f} to {row['worst']:.2f})" for name, row in loss.iterrows()]
sentences = [f"Of the other perturbations, {text[0]} costs most and {text[-1]} least."]
if len(sampled) > 1:
    lowest, most = sampled.idxmin(), sampled.index.max()
    sentences.insert(0, f"With {most:g} photographs per species the species AMI is {sampled[most]:.2f}.")
    sentences.insert(1, f"Of smaller samples, {lowest:g} give the least: {sampled[lowest]:.2f}." if lowest < most else "")
plotting.say(*sentences)

# %% tags=["summary"]
print(f"{len(names)} perturbations, {mean.groupby('perturbation')['severity'].nunique().sum()} severities, on {encoder}")
