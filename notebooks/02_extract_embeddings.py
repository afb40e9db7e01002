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
# # 2 · From photographs to embeddings
#
# **The question.** How does a network that was trained for another task describe each photograph?
#
# A config in `params/encoders/` defines an *encoder*: library, architecture, weights, the layers to read, and the input
# size. The library provides the architecture, the image transforms and the normalisation.
#
# **In:** `metadata.parquet` and the photographs.
#
# **Out:** `embeddings/<encoder>/part-*.parquet` (shards), each with `hash_id` and one vector per layer, from shallow to deep.
# A shard is written completely or not at all, so an interrupted run continues at the next shard. The file `_SUCCESS` exists
# if all shards are complete.

# %% tags=["parameters"]
dataset = "demo"
encoder = "specimen_resnet18_double"  # names the output; the parameters below are its config
library = "tuned"  # torchvision, timm, open_clip, pixels, tuned (by chapter 03), fused or truth (see below)
architecture = "resnet18"  # fused: the encoders, separated by blanks
weights = "models/specimen_resnet18.safetensors"  # their name in the library; none: random initial weights
layers = {"layer3": "layer3", "avgpool": "avgpool"}  # name in the output: name in the library
input_size = 128  # pixels
mirrored = None  # whether every photograph is averaged with its mirror image; none: as in the config of the encoder
crops = []  # shares of the sides of a photograph around its centre, whose vectors are averaged; empty: the whole one
title = "specimen ResNet-18, two layers"  # name in figures
role = ""  # shown beside the title: control, reference or upper bound
start = ""  # of a tuned encoder: the encoder before tuning
half = None  # of a tuned encoder: the half of the families that it was trained on; none: all
weights_dir = ""  # folder with <architecture>.safetensors or .pth; empty: the hub
precision = "auto"  # auto, float32, bfloat16 or float16
batch_size = None  # photographs at a time; none: 32 on a processor, 256 on a graphics card
shard_size = 512  # photographs per file
engine = "local"  # local, or ray: on all cores, or on the cluster of RAY_ADDRESS (see distributed.py)
seed = 0  # of random weights, and of the sample to which the pixels control is fitted

# %% jupyter={"source_hidden": true}
import hashlib
import json
import sys
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from scipy.stats import mannwhitneyu
from tqdm import tqdm

import distributed
import encoder_configs
import encoders
import images
import parameters
import plotting
import shard_files
import utils

plotting.set_style()
given = {"library": library, "architecture": architecture, "weights": weights, "layers": layers}
given |= {"input_size": input_size, "crops": crops}
given["mirrored"] = encoder_configs.is_mirrored(dataset, encoder) if mirrored is None else mirrored
encoder_configs.check_encoder(dataset, encoder, given | {"role": role})

# %% [markdown]
# ## The encoder
#
# Weights are loaded strictly. A missing or an extra tensor is an error, so no layer keeps random weights by accident. The
# network runs in bfloat16 if the processor or the graphics card supports it natively, and otherwise in float32.
#
# Some encoders use no network. *Pixels* takes principal components of thumbnails. *Fused* concatenates one layer of each of
# several encoders, scaled to length 1. *Truth* reads the true traits of a simulated dataset. *Kmers* counts words in barcodes.

# %%
specimens, folder = utils.load_metadata(dataset), utils.embeddings_dir(dataset, encoder)
if engine not in parameters.ENGINES:
    raise ValueError(f"engine={engine} should be one of: {', '.join(parameters.ENGINES)}")
if role:
    print(f"Role of this encoder: {role}.")
weights_dir = utils.ROOT / Path(weights_dir).expanduser() if weights_dir else ""
source = encoders.dataset_source(dataset, specimens, weights_dir)
dtype = None if precision == "auto" else getattr(torch, precision)
model = encoders.open_encoder(given, source, seed, dtype, batch_size)
print(f"{library} {architecture} on {model.device} in {model.precision}")

# %% [markdown]
# ## Which shards are complete
#
# Every shard stores a fingerprint of its inputs: settings, weights, photographs, code, library versions and type of device.
# A shard with the expected fingerprint is kept. A shard with another fingerprint, or one that cannot be read, is made again.
# If only photographs were added or removed, the vectors of the others are taken from the old shards.

# %% jupyter={"source_hidden": true}
versions = [version(name) for name in ("torch", "torchvision", "timm", "open_clip_torch", "pillow")]
computed = [model.device.type, str(model.precision), batch_size, seed, versions]
settings = [given, list(layers), model.digest, *computed]  # the last layer is the default one, so their order counts
code = [utils.file_digest(module.__file__) for module in (encoders, images)]
content = specimens[["hash_id", "sha256"]].to_numpy().tolist()
positions = [list(range(i, min(i + shard_size, len(specimens)))) for i in range(0, len(specimens), shard_size)]
shards = {folder / f"part-{number:05d}.parquet": rows for number, rows in enumerate(positions)}


# %%
def digest(*inputs):
    """SHA-256 of inputs that JSON can express."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


whole = content if model.depends_on_all else None
same_settings = digest(settings, code, whole)


def fingerprint(rows):
    """Digest of all inputs that determine the content of one shard."""
    return digest(settings, code, [content[i] for i in rows], whole)


def is_done(path, rows):
    """Whether the shard exists with the expected fingerprint."""
    if not path.is_file():
        return False
    try:
        return shard_files.made_from(path).get("fingerprint") == fingerprint(rows)
    except (ValueError, OSError):  # raised by pyarrow for a truncated file
        print(f"{path.name} cannot be read and is made again")
        return False


# %%
folder.mkdir(parents=True, exist_ok=True)
strays = set(folder.glob("part-*.parquet")) - set(shards)
pending = {path: rows for path, rows in shards.items() if not is_done(path, rows)}
known = shard_files.Known(sorted(folder.glob("part-*.parquet")) if pending else [], same_settings)
new = {path: [i for i in rows if content[i] not in known] for path, rows in pending.items()}
if strays or pending:  # otherwise another make may be reading them
    (folder / "_SUCCESS").unlink(missing_ok=True)
for stray in strays:
    stray.unlink()
print(f"{len(shards) - len(pending)} of {len(shards)} shards are complete already")
if known_here := sum(map(len, pending.values())) - sum(map(len, new.values())):
    print(f"Photographs in the others: {known_here:,} known, {sum(map(len, new.values())):,} new")


# %% [markdown]
# ## Extraction
#
# The encoder describes the photographs of all other shards. Each shard is written as soon as it is computed. The engine *ray*
# gives the shards to several processes, on this machine or on others; encoders that look at all photographs stay here.


# %%
def finish(path, described):
    """Write one shard, of which the new photographs were `described`, {layer: (m, d)}."""
    rows = pending[path]
    keys = [content[i] for i in rows]
    about = {"fingerprint": fingerprint(rows), "settings": same_settings, "photographs": json.dumps(keys)}
    shard_files.write(path, specimens["hash_id"].iloc[rows], known.complete(keys, described), about)


for path in [path for path, rows in new.items() if not rows]:
    finish(path, {})
places = [path for path, rows in new.items() if rows]
wanted = [new[path] for path in places]
with utils.all_cores(), tqdm(total=sum(map(len, wanted)), desc=encoder, unit="image") as bar:
    if engine == "ray" and isinstance(model, encoders.NetworkEncoder) and not model.depends_on_all:
        photos = [[source.paths[row] for row in rows] for rows in wanted]
        options = {"weights_dir": weights_dir, "seed": seed, "batch_size": batch_size, "progress": bar.update}
        described = distributed.describe(photos, given, model.device.type, model.precision, **options)
    else:
        described = enumerate(model.describe(wanted, bar.update))
    for number, values in described:
        finish(places[number], values)

# %% [markdown]
# ## Verification
#
# The shards are read back from disk. They must contain every specimen once, in order, with finite numbers in every layer.

# %%
written = [i for path in shards for i in utils.read_table(path, columns=["hash_id"])["hash_id"]]
if written != specimens["hash_id"].tolist():
    raise ValueError(f"{folder} holds {len(written)} rows that are not the {len(specimens)} specimens in order")
embeddings = utils.read_shards(folder, specimens["hash_id"])
broken = [name for name, values in embeddings.items() if not np.isfinite(values).all()]
if broken:
    raise ValueError(f"{encoder} gives infinite or undefined values in {', '.join(broken)}: try precision float32")
with utils.atomic_write(folder / "_SUCCESS") as temporary:  # with the sizes, make notices a shard that is lost or cut off
    temporary.write_text("".join(f"{path.name} {path.stat().st_size}\n" for path in shards))
pd.DataFrame(
    {name: {"dimensions": v.shape[1], "mean norm": np.linalg.norm(v, axis=1).mean()} for name, v in embeddings.items()}
).T

# %% [markdown]
# ## How similar are photographs of one family?
#
# The figure compares the cosine similarity of random pairs of photographs, within families and between families. If the two
# distributions differ, the embedding carries information on families. If they coincide, no clusterer can find families in it.

# %%
random = np.random.default_rng(0)
one, other = random.integers(len(specimens), size=(2, 20000))
one, other = one[one != other], other[one != other]
family = specimens["family"].fillna("").to_numpy()
known, same = (family[one] != "") & (family[other] != ""), family[one] == family[other]
kinds = {"two families": known & ~same, "one family": known & same, "unknown family": ~known}
kinds = {kind: pairs for kind, pairs in kinds.items() if pairs.any()}
cosines = {}
for name, values in embeddings.items():
    unit = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    cosine = np.einsum("ij,ij->i", unit[one], unit[other]).round(6)  # rounding makes identical values equal
    cosines[name] = {kind: cosine[pairs] for kind, pairs in kinds.items()}
means = {name: {kind: cosine.mean() for kind, cosine in found.items()} for name, found in cosines.items()}
pd.DataFrame(means).T.add_prefix("mean cosine, ")

# %% jupyter={"source_hidden": true}
colour_of = {"two families": plotting.GREY, "one family": plotting.PALETTE[0], "unknown family": plotting.PALETTE[1]}
figure, axes = plt.subplots(1, len(cosines), figsize=(4.2 * len(cosines), 2.8), squeeze=False)
for ax, (name, found) in zip(axes[0], cosines.items(), strict=True):
    for kind, cosine in found.items():
        look = {"histtype": "stepfilled", "alpha": 0.7, "color": colour_of[kind]}
        ax.hist(cosine, bins=60, density=True, label=f"{kind}: mean {cosine.mean():.2f}", **look)
    ax.set(title=plotting.plain(name), xlabel="cosine similarity of two photographs", ylabel="density of pairs")
    if kinds:  # a single photograph has no pairs
        ax.legend(frameon=False, fontsize=9)
plt.show()

# %% [markdown]
# ## What we learned

# %%
deepest, found = list(cosines.items())[-1]
sentences = [f"Layer `{deepest}` gives vectors of dimension {embeddings[deepest].shape[1]:,}."]
if {"one family", "two families"} <= set(found):
    within, between = found["one family"], found["two families"]
    higher = mannwhitneyu(within, between).statistic / len(within) / len(between)
    sentences.append(
        f"The mean cosine similarity is {within.mean():z.2f} within families and {between.mean():z.2f} between families."
    )
    sentences.append(
        f"A random pair of one family is more similar than a random pair of two families in {higher:.0%} of cases (50 % "
        f"without information): the embedding {'carries' if higher > 0.55 else 'hardly carries'} information on families."
    )
elif kinds:
    mean = np.concatenate(list(found.values())).mean()
    sentences.append(f"Random pairs have a mean cosine similarity of {mean:z.2f}. Families cannot be compared in this dataset.")
else:
    sentences.append("A single photograph has no pairs to compare.")
plotting.say(*sentences)

# %% tags=["summary"]
sizes = ", ".join(f"{name} ({values.shape[1]})" for name, values in embeddings.items())
print(f"{len(specimens):,} photos x {sizes}, {len(pending)} shards made")
