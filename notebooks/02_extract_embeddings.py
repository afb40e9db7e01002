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
# **The question.** How does a network that was trained for something else describe each organism?
#
# An *encoder* is described by a config in `params/encoders/`: library, architecture, weights, the layers to read, and the
# input size. The library brings the architecture, the image transforms and the normalisation.
#
# **In:** `metadata.parquet` and the photographs.
#
# **Out:** `embeddings/<encoder>/part-*.parquet`, each with `hash_id` and one vector per layer, shallow before deep. A shard
# is written whole or not at all, so a run that was killed goes on at the next shard. `_SUCCESS` says that all are there.

# %% tags=["parameters"]
dataset = "demo"
encoder = "specimen_resnet18_double"  # names the output; the config of this name is given below
library = "tuned"  # torchvision, timm, open_clip, pixels, tuned (by chapter 03), fused (of others) or truth (see below)
architecture = "resnet18"  # fused: the encoders, with blanks between
weights = "models/specimen_resnet18.safetensors"  # the library's name for them; none keeps the random initial weights
layers = {"layer3": "layer3", "avgpool": "avgpool"}  # name here: where the library finds it
input_size = 128  # pixels
title = "specimen ResNet-18, two layers"  # its name in figures
role = ""  # said beside it in figures: control, reference or upper bound
start = ""  # of a tuned encoder: the encoder that its tuning began from
weights_dir = ""  # folder with <architecture>.safetensors or .pth; empty: the hub
precision = "auto"  # auto, float32, bfloat16 or float16
batch_size = 32
shard_size = 512  # photographs per file
seed = 0  # of random weights and of the sample that the pixels control is fitted to

# %%
import hashlib
import json
import sys
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tqdm import tqdm

import encoder_configs
import encoders
import images
import plotting
import utils

plotting.set_style()
given = {"library": library, "architecture": architecture, "weights": weights, "layers": layers}
encoder_configs.check_encoder(dataset, encoder, given | {"input_size": input_size, "role": role})
specimens = utils.load_metadata(dataset)
folder = utils.dataset_dir(dataset) / "embeddings" / encoder

# %% [markdown]
# ## The encoder
#
# Weights are loaded strictly: a file with a missing or an extra tensor is an error, not a partly random network. The
# arithmetic runs in bfloat16 where the processor or the graphics card computes it natively, and in float32 elsewhere.
#
# Two libraries need no network. *Fused* sets a layer of several encoders side by side, each scaled to length 1. *Truth* reads
# columns of the table that a simulated world was drawn from.

# %%
if role:
    print(f"Role of this encoder: {role}.")
weights_dir = utils.ROOT / Path(weights_dir).expanduser() if weights_dir else ""
source = encoders.dataset_source(dataset, specimens, weights_dir)
dtype = None if precision == "auto" else getattr(torch, precision)
model = encoders.open_encoder(given | {"input_size": input_size}, source, seed, dtype, batch_size)
print(f"{library} {architecture} on {model.device} in {model.precision}")

# %% [markdown]
# ## What is done already
#
# Every shard carries a fingerprint of what it was made from: the settings, the weights, the photographs, the code, the
# libraries and the kind of device. A shard with the right fingerprint is kept; any other, and one that cannot be read, is
# made again.

# %%
versions = [version(name) for name in ("torch", "torchvision", "timm", "open_clip_torch", "pillow")]
computed = [model.device.type, str(model.precision), batch_size, seed, versions]
settings = [library, architecture, weights, layers, input_size, model.digest, *computed]
code = [utils.file_digest(module.__file__) for module in (encoders, images)]
content = specimens[["hash_id", "sha256"]].to_numpy().tolist()
positions = [list(range(i, min(i + shard_size, len(specimens)))) for i in range(0, len(specimens), shard_size)]
shards = {folder / f"part-{number:05d}.parquet": rows for number, rows in enumerate(positions)}


def fingerprint(rows):
    """SHA-256 of everything that decides the content of one shard."""
    whole = content if model.depends_on_all else None
    made_from = json.dumps([settings, code, [content[i] for i in rows], whole], sort_keys=True)
    return hashlib.sha256(made_from.encode()).hexdigest()


def is_done(path, rows):
    """Whether the shard exists, with the right fingerprint."""
    if not path.is_file():
        return False
    try:
        made_from = (pq.read_schema(path).metadata or {}).get(b"fingerprint")
    except (ValueError, OSError):  # of pyarrow, for a file that was cut off
        print(f"{path.name} cannot be read and is made again")
        return False
    return made_from == fingerprint(rows).encode()


# %%
folder.mkdir(parents=True, exist_ok=True)
(folder / "_SUCCESS").unlink(missing_ok=True)
for stray in set(folder.glob("part-*.parquet")) - set(shards):
    stray.unlink()
pending = {path: rows for path, rows in shards.items() if not is_done(path, rows)}
print(f"{len(shards) - len(pending)} of {len(shards)} shards are there already")


# %% [markdown]
# ## Extraction


# %%
def write_shard(path, rows, values):
    """Write one shard: hash_id and one fixed-size list column per layer."""
    columns = {"hash_id": pa.array(specimens["hash_id"].iloc[rows], pa.string())}
    for name, vectors in values.items():
        flat = pa.array(vectors.ravel(), pa.float32())
        columns[name] = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    table = pa.table(columns).replace_schema_metadata({"fingerprint": fingerprint(rows)})
    with utils.atomic_write(path) as temporary:
        pq.write_table(table, temporary)


with tqdm(total=sum(map(len, pending.values())), desc=encoder, unit="image") as bar:
    described = model.describe(list(pending.values()), bar.update)
    for (path, rows), values in zip(pending.items(), described, strict=True):
        write_shard(path, rows, values)

# %% [markdown]
# ## Verification
#
# Read back from disk: every specimen once, in order, with finite numbers in every layer.

# %%
written = [i for path in shards for i in utils.read_table(path, columns=["hash_id"])["hash_id"]]
if written != specimens["hash_id"].tolist():
    raise ValueError(f"{folder} holds {len(written)} rows that are not the {len(specimens)} specimens in order")
embeddings = utils.read_shards(folder, specimens["hash_id"])
broken = [name for name, values in embeddings.items() if not np.isfinite(values).all()]
if broken:
    raise ValueError(f"{encoder} gives infinite or undefined values in {', '.join(broken)}: try precision float32")
(folder / "_SUCCESS").touch()
pd.DataFrame(
    {name: {"dimensions": v.shape[1], "mean norm": np.linalg.norm(v, axis=1).mean()} for name, v in embeddings.items()}
).T

# %% [markdown]
# ## How alike are photographs of one family?
#
# Cosine similarity of random pairs, within a family and across families. Where the two curves part, the embedding knows
# something about families; where they coincide, no clusterer will find them.

# %%
random = np.random.default_rng(0)
one, other = random.integers(len(specimens), size=(2, 20000))
one, other = one[one != other], other[one != other]
family = specimens["family"].fillna("").to_numpy()
same = (family[one] == family[other]) & (family[one] != "")
figure, axes = plt.subplots(1, len(embeddings), figsize=(4.2 * len(embeddings), 2.8), squeeze=False)
for ax, (name, values) in zip(axes[0], embeddings.items(), strict=True):
    unit = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    cosine = np.einsum("ij,ij->i", unit[one], unit[other]).round(6)  # equal ones differ in the last digits
    for label, pairs, colour in (("two families", ~same, plotting.GREY), ("one family", same, plotting.PALETTE[0])):
        if pairs.any():
            ax.hist(cosine[pairs], bins=60, density=True, histtype="stepfilled", alpha=0.7, color=colour, label=label)
    ax.set(title=plotting.plain(name), xlabel="cosine similarity of two photographs", ylabel="density of pairs")
if len(one):  # a single photograph has no pairs
    axes[0, 0].legend(frameon=False)
plt.show()

# %% tags=["summary"]
sizes = ", ".join(f"{name} ({values.shape[1]})" for name, values in embeddings.items())
print(f"{len(specimens):,} photos x {sizes}, {len(pending)} shards made")
