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
# # 3 · Tuning an encoder on the photographs at hand
#
# **The question.** Can a network learn from these photographs, and from no more than their family names, to separate genera and
# species?
#
# A frozen encoder was trained for another task. Here training goes on: with pairs of views of one photograph (no labels),
# with family names (given), with both, or by reconstructing the photograph. A config in `params/trainers/` describes a
# trainer; it starts from an encoder of `params/encoders/`, pretrained or random.
#
# **In:** `metadata.parquet`, the photographs, and the weights of the encoder to start from.
#
# **Out:** `models/<setting>.safetensors` (weights after the last epoch, half precision), `.yaml` (its config: from here on it
# is an encoder like any other) and `.csv` (the log, one row per epoch). Genus and species names are not read, unless
# `label_rank` asks for them; chapter 14 scores the result.

# %% tags=["parameters"]
dataset = "demo"
trainer = "simclr"  # config in params/trainers/, given below: change that, and this with it
setting = ""  # names the output; empty: as the trainer
title = "SimCLR"  # its name in figures
start = "specimen_resnet18_double"  # config in params/encoders/ of the encoder to start from
weights_dir = ""  # folder with <architecture>.safetensors or .pth; empty: the hub
label_rank = "family"  # whose names are the labels, where the config asks for any
half = None  # 0 or 1: train on this half of the families, score on the other
layers = {"layer3": "layer3", "avgpool": "avgpool"}  # what the tuned encoder hands on; head_<layer> are its heads
input_size = None  # pixels that the tuned encoder takes; none: as the one it started from
weight_labels = 0.0  # supervised contrast: photographs of one label attract each other
weight_views = 1.0  # self-supervised contrast: two views of one photograph attract each other
weight_neighbors = 0.0  # soft labels: similar photographs of one label attract each other
weight_pixels = 0.0  # autoencoder: the photograph is reconstructed from the deepest layer
temperature_labels = 0.1
temperature_views = 0.2
temperature_neighbors = 0.1
views = "two"  # "one" or "two" random views of a photograph; "layers": the plain photograph in two layers
include_self = False  # the supervised contrast counts every sample among its own positives
samples_per_class = 0  # photographs of one label in a batch; 0: batches are random
batch_size = 128
gradient_accumulation = 1  # batches per step; contrasts stay within a batch
epochs = 10
warmup = 1.0  # epochs of linear warm-up, before the cosine
learning_rate = 3e-4
weight_decay = 1e-4
freeze = ""  # the backbone is frozen up to and with this layer
freeze_batchnorm = True
head_size = 128
image_size = 128  # pixels of a view
min_crop_scale = 0.3  # smallest share of the photograph that a view shows
colour = 0.2  # how far brightness, contrast and saturation may change
rotation = 15.0  # degrees that a view may be turned
precision = "auto"  # auto, float32, bfloat16 or float16
seed = 0

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
import yaml
from IPython.display import display

import encoders
import images
import plotting
import sampling
import training
import utils

plotting.set_style()
setting = setting or trainer
models = utils.dataset_dir(dataset) / "models"
metadata = utils.load_metadata(dataset)
config = training.TrainingConfig(**{name: globals()[name] for name in training.TrainingConfig.__dataclass_fields__})

# %% [markdown]
# ## The training photographs
#
# All photographs, or those of half of the families; chapter 14 then scores the other half, which the network has never seen.
# Families are assigned to halves by falling size, so the halves are alike.

# %%
side = sampling.family_halves(metadata["family"])
learning = metadata if half is None else metadata[side == half]
taxa = utils.lineage(learning, label_rank)
names = taxa.dropna().sort_values().unique()
labels = pd.Index(names).get_indexer(taxa)  # -1: no name
reads_labels = config.weight_labels or config.weight_neighbors
if reads_labels and len(names) < 2:
    raise ValueError(f"{trainer} learns from {label_rank} names, and {dataset} has {len(names)}: at least 2 are needed")
paths = [utils.dataset_dir(dataset) / "photos" / path for path in learning["path"]]
labelled = f"with {len(names)} {label_rank} labels" if reads_labels else "without labels"
print(f"training on {len(learning):,} of {len(metadata):,} photographs, {labelled}")

# %% [markdown]
# ## The network
#
# The backbone is that of another encoder. Every layer that it gives gets a small projection head. The contrastive losses act
# on the heads, and the heads learn most of the invariances. So embeddings come from the backbone, unless a config names a head.

# %%
start_config = utils.load_params("encoders", start)
weights_dir = utils.ROOT / Path(weights_dir).expanduser() if weights_dir else ""
device = encoders.pick_device()
dtype = encoders.pick_precision(device) if precision == "auto" else getattr(torch, precision)
backbone, transform, backbone_config = encoders.start_tuning(start_config, weights_dir, seed)
model = training.Trainer(backbone, transform, paths, labels, config, device, dtype, seed)
counts = {
    part: f"{sum(p.numel() for p in module.parameters() if p.requires_grad):,}"
    for part, module in (
        ("backbone", model.network.backbone),
        ("heads", model.network.heads),
        ("decoder", model.decoder),
    )
}
pd.DataFrame({"trainable parameters": counts})

# %% [markdown]
# ## The input
#
# Each column shows one photograph as the network sees it. With two random views the network learns what they share; with labels
# also what one label shares. The title is the label, where one is used.

# %%
shown = np.random.default_rng(seed).permutation(len(paths))[:4].tolist()
((seen, _),) = model.load([shown], model.views, 0)
figure, axes = plt.subplots(1, len(shown), figsize=(1.5 * len(shown), 1.4 * seen.shape[1] + 0.3), squeeze=False)
for ax, pictures, row in zip(axes[0], seen, shown, strict=True):
    ax.imshow(torch.cat(list(pictures.cpu()), 1).permute(1, 2, 0))
    ax.set(title=names[labels[row]] if reads_labels and labels[row] >= 0 else "", xticks=[], yticks=[])
plotting.show_photos(figure)

# %% [markdown]
# ## Training
#
# The curves show the loss, the learning rate, and three quality measures that need no label. *Alignment* is the distance
# between two views of one photograph, *uniformity* measures crowding (both: lower is better), *silhouette* the separation of
# clusters in a Ward tree.
#
# The network after the last epoch is kept. Choosing the epoch with the best alignment + uniformity would favour SimCLR, which
# minimises that sum; the network of that epoch is kept beside it (`.aligned.safetensors`) and reported by chapter 14.
#
# A checkpoint is written after every epoch. A run that was killed goes on from there, to the same result. What was trained
# before on the same photographs, by the same trainer and code, is reused (except for an autoencoder, whose decoder is not
# kept).


# %% jupyter={"source_hidden": true}
def draw_log(log):
    """Loss, learning rate and quality by epoch."""
    log = pd.DataFrame(log).set_index("epoch")
    figure, axes = plt.subplots(1, 3, figsize=(10, 2.6))
    for ax, columns in zip(axes, (["loss"], ["learning_rate"], training.QUALITIES), strict=True):
        for name in columns:
            ax.plot(log[name], marker="o", label=name.replace("_", " "))
        ax.set(xlabel="epoch")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.legend(frameon=False)
    figure.tight_layout()
    plt.close(figure)
    return figure


# %%
versions = [version(name) for name in ("torch", "torchvision", "timm", "pytorch-metric-learning", "pillow")]
code = [utils.file_digest(module.__file__) for module in (encoders, images, training)]
start_state = {name: value.cpu().double().sum().item() for name, value in backbone.state_dict().items()}
learnt_from = learning[["hash_id", "sha256"]].assign(label=labels).to_numpy().tolist()
of_start = [backbone_config, list(backbone_config["layers"]), start_state]  # the order of layers says which is the deepest
decisive = [vars(config), of_start, learnt_from, code, versions, device.type, str(dtype), seed]
fingerprint = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()

curves = display(
    draw_log([{"epoch": 0} | dict.fromkeys(["loss", "learning_rate", *training.QUALITIES])]), display_id=True
)
checkpoint, weights_file = models / f"{setting}.checkpoint", models / f"{setting}.safetensors"
aligned_file, log_file, made_from = (models / f"{setting}{end}" for end in (".aligned.safetensors", ".csv", ".made_from"))
complete = all(file.is_file() for file in (weights_file, aligned_file, log_file, made_from))
if complete and made_from.read_text() == fingerprint and not config.weight_pixels:
    model.log = pd.read_csv(log_file).to_dict("records")
    curves.update(draw_log(model.log))
else:
    made_from.unlink(missing_ok=True)
    with utils.all_cores():
        training.tune(model, checkpoint, fingerprint, lambda log: curves.update(draw_log(log)))
    encoders.save_tuned(model.network.state_dict(), backbone_config, weights_file)
    encoders.save_tuned(model.aligned, backbone_config, aligned_file)
    utils.write_table(pd.DataFrame(model.log), log_file)
    with utils.atomic_write(made_from) as temporary:
        temporary.write_text(fingerprint)
checkpoint.unlink(missing_ok=True)  # a run that was killed here has left it
aligned = training.aligned_epoch(model.log)
print(f"kept: epoch {len(model.log)}, the last; alignment + uniformity would have kept epoch {aligned}")

# %% [markdown]
# ## Reconstructions
#
# For an autoencoder only: photographs above, and below what the decoder reconstructs from their embedding.

# %% jupyter={"source_hidden": true}
if config.weight_pixels:
    ((seen, _),) = model.load(
        [list(range(0, len(paths), max(1, len(paths) // 8)))[:8]], [training.PlainView(config)], 0
    )
    above, below = (torch.cat(list(p), 2).permute(1, 2, 0) for p in model.reconstructed(seen))
    figure, axes = plt.subplots(2, 1, figsize=(10, 2.7))
    for ax, pictures in zip(axes, (above, below), strict=True):
        ax.imshow(pictures)
        ax.set_axis_off()
    figure.tight_layout()
    plotting.show_photos(figure)

# %% [markdown]
# ## The config
#
# A config says how to read the weights, and which encoder the tuning started from. With its name among `ENCODERS`, the tuned
# network goes through chapters 02 to 06 like any other encoder.

# %%
built = {
    "library": "tuned",
    "architecture": backbone_config["architecture"],
    "weights": str(weights_file.relative_to(utils.ROOT)),
    "layers": layers,
    "input_size": input_size or start_config["input_size"],
    "mirrored": start_config.get("mirrored", False),
    "crops": start_config.get("crops", []),
}
about = {"title": title or setting, "start": start, "half": half}
if reads_labels and label_rank != "family":
    about["role"] = f"upper bound: trained on {label_rank} names"
with utils.atomic_write(models / f"{setting}.yaml") as temporary:
    temporary.write_text(yaml.safe_dump(about | built, sort_keys=False))

# %% [markdown]
# ## What we learned

# %%
log = pd.DataFrame(model.log)
first, last = log.iloc[0], log.iloc[-1]
plotting.say(
    f"The loss went from {first['loss']:.2f} to {last['loss']:.2f} in {len(log)} epochs on {len(learning):,} photographs, "
    f"{labelled}.",
    f"Alignment changed from {first['alignment']:.2f} to {last['alignment']:.2f}, uniformity from {first['uniformity']:.2f} to "
    f"{last['uniformity']:.2f} and the silhouette from {first['silhouette']:.2f} to {last['silhouette']:.2f}.",
    "Whether genera and species are separated better, chapter 14 tells.",
)

# %% tags=["summary"]
print(f"{setting}: {len(model.log)} epochs on {len(learning):,} photographs, loss {model.log[-1]['loss']:.3f}")
