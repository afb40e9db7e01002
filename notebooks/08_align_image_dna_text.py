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
# # 8 · Align image, DNA and taxonomic name
#
# **The question.** Does training with DNA barcodes make the embeddings of *photographs* cluster better by taxonomy, for species
# that were never seen in training? And how well does a photograph find the barcodes of its species?
#
# CLIBD (Gong et al. 2024) trains encoders of image, DNA and name together, so that the three of one specimen come close to each
# other, as in CLIP. This chapter does so on one machine, and compares with a control: barcodes that are shuffled among the
# training specimens. What both gain, the training gains and not the DNA.
#
# **In:** photographs with barcodes, and the config of an image encoder. **Out:** scores and a figure in `figures/<dataset>/`.

# %% tags=["parameters"]
dataset = "demo"
encoder = "specimen_resnet18_double"  # of photographs, from params/encoders/
barcode_encoder = "kmers"
weights_dir = ""  # folder with <architecture>.safetensors or .pth; empty: the hub
n_folds = 3  # parts of the species; each is unseen once
rank = 8  # of the corrections of the network's weights, where these are trained
after = "layer2"  # layers behind this one are corrected
image_size = 96  # pixels of a view
epochs = 15  # without training the network
network_epochs = 5  # with it
batch_size = 128
learning_rate = 1e-3
nameless = 0.5  # share of training specimens whose names stop at the family or genus, as in most collections
seed = 0

# %% jupyter={"source_hidden": true}
import sys
from pathlib import Path

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from tqdm import tqdm

import align
import clustering
import dna
import encoder_configs
import encoders
import plotting
import scoring
import utils

plotting.set_style()
folder, out = utils.dataset_dir(dataset), utils.figures_dir(dataset)
weights_dir = utils.ROOT / Path(weights_dir).expanduser() if weights_dir else ""
metadata = utils.load_metadata(dataset)
if "barcode" not in metadata:
    raise ValueError(f"{dataset} has no DNA barcodes: give them in a column `barcode`")

# %% [markdown]
# ## Specimens
#
# The photographs and barcodes begin as the vectors of frozen encoders. Specimens without a barcode stay: they train what needs
# no barcode.

# %%
specimens = metadata[metadata["path"].notna()]
own_split = dna.own_split(specimens)
if own_split is not None:  # of BIOSCAN: its training specimens, and unseen species of its test
    of_use = np.isin(own_split, ["train", "test"])
    specimens, own_split = specimens[of_use], own_split[of_use]
specimens = specimens.reset_index(drop=True)
with_dna = np.flatnonzero(specimens["barcode"].notna())
taxa = pd.DataFrame({name: utils.lineage(specimens, name) for name in utils.RANKS})
if len(with_dna) < 4 or taxa["species"].nunique() < 2 * n_folds:
    raise ValueError(f"{dataset} has too few photographs with a barcode, or names fewer than {2 * n_folds} species")
source = encoders.dataset_source(dataset, specimens.iloc[with_dna].reset_index(drop=True))
opened = encoders.open_encoder(encoder_configs.build_config(dataset, barcode_encoder), source, seed)
(of_barcodes,) = opened.describe([list(range(len(with_dna)))])
barcodes = np.full((len(specimens), utils.pick_layer(of_barcodes, "last").shape[1]), np.nan, np.float32)
barcodes[with_dna] = utils.pick_layer(of_barcodes, "last")
barcodes /= np.linalg.norm(barcodes, axis=1, keepdims=True)


def fresh_network():
    """The network of the encoder, before any training here, and its transform."""
    backbone, transform, _ = encoders.start_tuning(encoder_configs.build_config(dataset, encoder), weights_dir, seed)
    return encoders.TunedNetwork(backbone, {}, 0), transform


paths = [folder / "photos" / path for path in specimens["path"]]
frozen = align.look(*fresh_network(), paths)
columns = {"photographs": frozen.shape[1], "barcodes": barcodes.shape[1]}
print(f"{len(specimens):,} photographs, {len(with_dna):,} with a barcode; columns: {columns}")

# %% [markdown]
# ## Seen and unseen species
#
# The species are dealt into parts at random; each part is unseen once. Of every seen species with four specimens or more, a
# quarter is kept for queries. In BIOSCAN, the unseen species of its test partition are unseen, in place of the parts. Half of
# the training specimens keep the name of their family or genus only.

# %%
random, named = np.random.default_rng(seed), specimens["species"].notna().to_numpy()
part = pd.Series(random.permutation(taxa["species"].nunique()) % n_folds, np.sort(taxa["species"].dropna().unique()))
fold = taxa["species"].map(part).fillna(-1).to_numpy(int)  # -1: the species is not known, and always trained on
if own_split is not None:
    fold = np.where(own_split == "test", 0, -1)
order = pd.Series(random.permutation(len(specimens)))
place = order.groupby(taxa["species"].fillna("").to_numpy()).rank().to_numpy()
fourth = named & (place % 4 == 0)  # a query if its species is seen
second = place % 2 == 0  # a query, and otherwise a key, if its species is unseen
depth = np.where(random.random(len(specimens)) < nameless, random.integers(1, 3, len(specimens)), 3)
given = specimens[list(utils.RANKS)].where(depth[:, None] > np.arange(3))
folds = sorted(set(fold) - {-1})
pd.DataFrame(
    {
        "species unseen": [taxa["species"][fold == f].nunique() for f in folds],
        "trained on": [int(((fold != f) & ~fourth).sum()) for f in folds],
        "queries of seen species": [int(((fold != f) & fourth).sum()) for f in folds],
        "specimens of unseen species": [int((fold == f).sum()) for f in folds],
    },
    index=pd.Index(folds, name="fold"),
)

# %% [markdown]
# ## Training
#
# - **image + DNA**: the vectors of both are projected into one space. No name is read.
# - **image + shuffled DNA**: the control.
# - **image + DNA + name**: with names of *seen* species, so this is supervised there. Unseen species have no name in training.
# - **low rank**: the network of the photographs is trained, too, by corrections of low rank to its last layers.

# %%
TRAININGS = {  # towers, whether the network is trained, whether barcodes are shuffled
    "image + DNA": (("image", "DNA"), False, False),
    "image + shuffled DNA": (("image", "DNA"), False, True),
    "image + DNA + name": (("image", "DNA", "name"), False, False),
    "image + DNA, low rank": (("image", "DNA"), True, False),
    "image + shuffled DNA, low rank": (("image", "DNA"), True, True),
}
if specimens["family"].isna().all():  # names begin with the family
    del TRAININGS["image + DNA + name"]


def train(f, towers, tuned, shuffled):
    """The model trained for fold f, and the transform of its network."""
    learning = np.flatnonzero((fold != f) & ~fourth)
    own = np.arange(len(specimens))
    own[learning] = random.permutation(learning) if shuffled else learning
    known = align.Specimens(paths, frozen, barcodes[own], specimens["barcode"].to_numpy(object)[own], given)
    settings = align.Settings(
        rank if tuned else 0, after, image_size, network_epochs if tuned else epochs, batch_size, learning_rate
    )
    network, transform = fresh_network() if tuned else (None, None)
    with tqdm(total=settings.epochs * len(learning), desc=f"fold {f}", unit="specimen", leave=False) as bar:
        return align.align(known, learning, towers, settings, network, transform, seed, bar.update), transform


# %%
placed = {}  # {(training, fold): {tower, or rank for its names: vectors in the common space; "network": before the projection}}
in_families = taxa[specimens["family"].notna()]
first_rows = {r: in_families[r].dropna().drop_duplicates().index for r in utils.RANKS}  # a row of every taxon
for name, (towers, tuned, shuffled) in TRAININGS.items():
    for f in folds:
        model, transform = train(f, towers, tuned, shuffled)
        image = align.look(model.network, transform, paths) if tuned else frozen
        placed[name, f] = {"network": image, "image": model.place("image", image), "DNA": model.place("DNA", barcodes)}
        for number, r in enumerate(utils.RANKS if "name" in towers else ()):
            lineages = align.lineages(
                specimens.loc[first_rows[r], list(utils.RANKS[: number + 1])].reindex(columns=utils.RANKS)
            )
            placed[name, f][r] = model.place("name", align.name_vectors([text or "" for text in lineages]))

# %% [markdown]
# ## Retrieval
#
# Is the nearest key of the same taxon? Keys are the training specimens of seen species and half of the specimens of unseen
# ones, if they have names; for names, the names of all taxa. Accuracy is a mean over species, for queries of seen and unseen
# species; the table shows the harmonic mean of both. Frozen encoders cannot compare a photograph with a barcode; their rows are
# references.

# %%
rows = []


def ask(name, task, f, queries, keys, key_taxa):
    """Add the accuracy of a task in fold f; queries (n, d) are of all specimens, `key_taxa` describes the keys (m, d)."""
    for kind, asked in (("seen", (fold != f) & fourth), ("unseen", (fold == f) & second)):
        chosen = np.flatnonzero(asked & named & ~np.isnan(queries).any(axis=1))
        found = key_taxa.iloc[dna.nearest(queries[chosen], keys)].reset_index(drop=True)
        for r in key_taxa:
            right = (found[r] == taxa[r].iloc[chosen].reset_index(drop=True)).fillna(False).astype(float)
            by_species = right.groupby(taxa["species"].iloc[chosen].to_numpy()).mean()
            rows.append((name, task, f, r, kind, by_species.mean(), right.mean()))


# %%
for f in folds:
    references = {"image": frozen, "DNA": barcodes}
    for name, at in [("frozen encoders", references), *((name, placed[name, f]) for name in TRAININGS)]:
        for one, other in (("image", "image"), ("DNA", "DNA"), ("image", "DNA"), ("DNA", "image")):
            if one == other or name != "frozen encoders":
                held = np.flatnonzero(
                    ((fold != f) & ~fourth | (fold == f) & ~second) & named & ~np.isnan(at[other]).any(axis=1)
                )
                ask(name, f"{one} to {other}", f, at[one], at[other][held], taxa.iloc[held])
        for r in [r for r in utils.RANKS if r in at]:
            ask(name, "image to name", f, at["image"], at[r], taxa.loc[first_rows[r], [r]])
retrieved = pd.DataFrame(
    rows, columns=["training", "task", "fold", "rank", "species", "mean_over_species", "mean_over_queries"]
)
utils.write_table(retrieved.round(4), out / "alignment_retrieval.csv")
means = retrieved.groupby(["task", "training", "rank", "species"], sort=False)["mean_over_species"].mean().unstack()
means["harmonic mean"] = [scoring.harmonic_mean(*pair) for pair in means[["seen", "unseen"]].to_numpy()]
means["harmonic mean"].unstack("rank")[list(utils.RANKS)].round(3)

# %% [markdown]
# At the species rank, seen and unseen apart:

# %%
means.xs("species", level="rank").round(3)

# %% [markdown]
# ## Clusters of the photographs of unseen species
#
# All specimens of the unseen species of a fold are clustered by their photographs, with and without their families. *Common
# space* is what the projection gives, *network* what a trained network gives before it. AMI is a mean over folds; intervals are
# a delete-a-group jackknife over species.

# %%
config, labels, numbers = clustering.Clusterer.named(utils.DEFAULT_CLUSTERER), {}, {}


def cluster(points, rows):
    """Species labels of the specimens `rows`: oracle k, and the default clusterer with families given."""
    ready = config.prepare({"last": points[rows]}, config.species_layers)
    found = clustering.cluster_prepared(
        ready, ready, specimens["family"].iloc[rows].reset_index(drop=True), config, seed
    )
    number = taxa["species"].iloc[rows].nunique()
    return {
        "oracle k": clustering.LinkageTree(ready, method="average")(number),
        "family given": scoring.codes(found["species"]),
    }


embeddings = {("frozen encoder", "network"): dict.fromkeys(folds, frozen)}
for name, (_, tuned, _) in TRAININGS.items():
    for space in ("image", "network") if tuned else ("image",):
        embeddings[name, {"image": "common space"}.get(space, space)] = {f: placed[name, f][space] for f in folds}
for (name, space), by_fold in tqdm(embeddings.items(), unit="embedding"):
    for f in folds:
        chosen = np.flatnonzero(fold == f)
        for setting, found in cluster(by_fold[f], chosen).items():
            labels.setdefault((name, space, setting), np.full(len(specimens), -1))[chosen] = found
            numbers.setdefault((name, space, setting), []).append(len(np.unique(found)))

# %% [markdown]
# Gains are over the frozen encoder and, where barcodes were not shuffled, over the control.

# %%
tested = np.flatnonzero(np.isin(fold, folds) & named)
truth = taxa["species"].to_numpy(object)


def mean_ami(rows):
    """AMI of every embedding and setting on the tested specimens `rows`, as a mean over folds."""
    at = tested[rows]
    return {
        key: np.mean([scoring.ami(truth[at[fold[at] == f]], found[at[fold[at] == f]]) for f in folds])
        for key, found in labels.items()
    }


replicates = scoring.jackknife_replicates(mean_ami, scoring.jackknife_groups(taxa["species"].iloc[tested]))
values = scoring.jackknife_interval(replicates)
frozen_of = {key: ("frozen encoder", "network", key[2]) for key in labels}
gains = scoring.jackknife_interval(pd.DataFrame({key: replicates[key] - replicates[frozen_of[key]] for key in labels}))
control_of = {key: (key[0].replace("image + DNA", "image + shuffled DNA"), *key[1:]) for key in labels}
above = {
    key: replicates[key] - replicates[other] for key, other in control_of.items() if other in labels and other != key
}
above = scoring.jackknife_interval(pd.DataFrame(above))
# %%
missing = (np.nan,) * 3
table = pd.DataFrame(
    [
        (*key, sum(numbers[key]), *values[key], *gains[key], *above.get(key, missing))
        for key in labels
    ],
    columns=[
        "training", "embedding", "setting", "clusters", "ami", "ci_low", "ci_high",
        "gain", "gain_low", "gain_high", "above_control", "above_control_low", "above_control_high",
    ],
)  # fmt: skip
table["species"] = taxa["species"].iloc[tested].nunique()
utils.write_table(
    table.assign(image_encoder=encoder, barcode_encoder=barcode_encoder).round(4), out / "alignment_clusters.csv"
)
table.set_index(["setting", "training", "embedding"]).sort_index(level="setting", sort_remaining=False)[
    ["clusters", "ami", "gain", "gain_low", "gain_high", "above_control", "above_control_low", "above_control_high"]
].round(3)

# %% [markdown]
# ## The figure

# %% jupyter={"source_hidden": true}
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), gridspec_kw={"wspace": 0.85})
tasks = means.xs("species", level="rank").drop(index="DNA to DNA", level="task")
tasks = tasks[~tasks.index.get_level_values("training").str.contains("shuffled")]
for number, kind in enumerate(("seen", "unseen")):
    look = {"color": plotting.PALETTE[number], "label": f"{kind} species"}
    left.plot(tasks[kind], range(len(tasks)), plotting.MARKS[number], **look)
left.set(xlabel="accuracy of the species (mean over species)", xlim=(0, 1), title="retrieval")
left.set_yticks(range(len(tasks)), [f"{task} ({name})" for task, name in tasks.index], fontsize=9)
chosen = table[(table["setting"] == "oracle k") & (table["training"] != "frozen encoder")].reset_index(drop=True)
error = np.abs([chosen["gain"] - chosen["gain_low"], chosen["gain_high"] - chosen["gain"]])
for word, colour, mark, name in (("DNA", 0, "o", "with DNA"), ("shuffled", 3, "s", "control: shuffled DNA")):
    at = np.flatnonzero(chosen["training"].str.contains("shuffled") == (word == "shuffled"))
    look = {"color": plotting.PALETTE[colour], "fmt": mark, "capsize": 2, "label": name}
    right.errorbar(chosen["gain"][at], at, xerr=error[:, at], **look)
right.axvline(0, color="0.4", linewidth=1)
right.set(xlabel="gain in species AMI over the frozen encoder", title="clusters of unseen species (oracle k)")
right.set_yticks(range(len(chosen)), chosen["training"] + ":\n" + chosen["embedding"], fontsize=9)
for ax in (left, right):
    ax.invert_yaxis()
    ax.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.4, -0.14), ncols=2)
one = table.set_index(["training", "embedding", "setting"]).loc[("image + DNA", "common space", "oracle k")]
message = f"training with DNA changes the species AMI of unseen species by {one['gain']:+.2f}"
shuffled = f"with shuffled DNA by {one['gain'] - one['above_control']:+.2f}"
figure.suptitle(f"{plotting.dataset_name(dataset)}: {message}, {shuffled}", y=1.02)
plotting.save_figure(figure, out / "alignment.png")
plt.show()

# %% [markdown]
# ## What we learned

# %%
to_dna = means.loc[("image to DNA", "image + DNA", "species")]


def compared(name):
    """A difference with its interval, and whether it is significant."""
    value, low, high = (one[f"{name}{end}"] for end in ("", "_low", "_high"))
    return f"{value:+.2f} [{low:.2f}, {high:.2f}]" + ("" if low > 0 or high < 0 else ", which is not significant")


plotting.say(
    f"Training with DNA (common space, oracle k) changes the species AMI of photographs of unseen species by {compared('gain')}"
    f", to {one['ami']:.2f}. The difference to the control, with shuffled barcodes, is {compared('above_control')}.",
    f"Photographs find a barcode of their species for {to_dna['seen']:.0%} of seen, {to_dna['unseen']:.0%} of unseen species.",
)

# %% tags=["summary"]
print(
    f"{len(specimens):,} specimens, {len(folds)} folds; image to DNA {to_dna['seen']:.2f} seen, {to_dna['unseen']:.2f} unseen; "
    f"AMI of unseen species {one['ami']:.3f} ({one['gain']:+.3f})"
)
