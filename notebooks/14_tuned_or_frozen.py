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
# # 14 · Does tuning help?
#
# **The question.** Does the network that chapter 03 tuned give better clusters than the frozen encoder it started from?
#
# Chapter 03 trains and reads no genus or species name. This chapter reads the weights back and scores them, layer by layer,
# beside the frozen encoder. Where the network learned from half of the families, the other half is scored.
#
# **In:** weights and config of one tuned network in `models/`, the embeddings of the encoder it started from, and genus and
# species names. **Out:** `models/<setting>_scores.csv`: the columns of `scores.csv`, the network and the layer.

# %% tags=["parameters"]
dataset = "demo"
setting = "simclr"  # the tuned network in data/<dataset>/models/

# %% jupyter={"source_hidden": true}
import sys

sys.path.insert(0, "..")
import numpy as np
import pandas as pd
import yaml

import clustering
import encoders
import plotting
import probes
import sampling
import scoring
import utils

# %% jupyter={"source_hidden": true}
models = utils.dataset_dir(dataset) / "models"
metadata = utils.load_metadata(dataset)
config_file = models / f"{setting}.yaml"
if not config_file.is_file():
    raise FileNotFoundError(f"{config_file.relative_to(utils.ROOT)} is missing: run chapter 03 with setting = {setting!r}")
tuned = yaml.safe_load(config_file.read_text())
side = sampling.family_halves(metadata["family"])
scored_on = metadata if tuned["half"] is None else metadata[side == 1 - tuned["half"]]
taxa = pd.DataFrame({rank: utils.lineage(scored_on, rank).reset_index(drop=True) for rank in ("genus", "species")})
if not taxa.notna().any().all():
    raise utils.NotApplicable(f"{dataset} has no genus and species names: nothing to compare the clusters with")
print(f"scored on {len(scored_on):,} of {len(metadata):,} photographs")

# %% [markdown]
# ## What is measured
#
# **Clusters without genus or species names**: AMI of the default clusterer, as chapter 05 runs it.
#
# **Oracle-k reference**: Ward trees of the same prepared embedding, cut at the true numbers.
#
# **Supervised references**: two classifiers that learn from species names, by cross-validation: the five nearest neighbours,
# and a linear probe (ridge regression, whose penalty leave-one-out chooses). They count species with five photographs or more.

# %%
CONFIG = clustering.Clusterer.named(utils.DEFAULT_CLUSTERER)


def clustering_scores(points):
    """Rows (clusterer, rank, metric, value) of the default clusterer on (n, d) points, and of the oracle-k reference."""
    found = clustering.cluster({"last": points}, scored_on["family"], CONFIG)
    oracle = clustering.oracle_k(CONFIG.prepare({"last": points}, CONFIG.species_layers), found["family"], taxa)
    for rank in taxa:
        known = taxa[rank].notna().to_numpy()
        for clusterer, labels in ((utils.DEFAULT_CLUSTERER, found[rank].to_numpy()), ("oracle_k_ward_prepared", oracle[rank])):
            yield clusterer, rank, "ami", scoring.ami(taxa[rank][known], labels[known])
            yield clusterer, rank, "n_found", len(np.unique(labels[known]))


def supervised_scores(points):
    """Rows (clusterer, rank, metric, value) of two classifiers that learn names of species."""
    for name, accuracy in probes.accuracies(points, taxa["species"]).items():
        yield f"supervised_{name}", "species", "accuracy", accuracy


# %% [markdown]
# ## Frozen and tuned
#
# *Tuned* is the network after the last epoch. *Aligned* is the one after the epoch with the best alignment + uniformity, which
# is SimCLR's own objective: choosing by it would favour that trainer, so it is reported and not used.

# %%
weights = {"tuned": models / f"{setting}.safetensors", "aligned": models / f"{setting}.aligned.safetensors"}
compared = {"frozen": utils.load_embeddings(dataset, tuned["start"], scored_on["hash_id"])}
source = encoders.dataset_source(dataset, scored_on)
for name, file in weights.items():
    layers = {layer: layer for layer in encoders.tuned_layers(file)}
    config = {"library": "tuned", "architecture": tuned["architecture"], "input_size": tuned["input_size"]}
    config |= {name: tuned.get(name) for name in ("mirrored", "crops")}
    config |= {"weights": str(file.relative_to(utils.ROOT)), "layers": layers}
    (compared[name],) = encoders.open_encoder(config, source).describe([list(range(len(scored_on)))])

# %%
rows = [
    (network, layer, *row)
    for network, layers in compared.items()
    for layer, points in layers.items()
    for row in [*clustering_scores(points), *supervised_scores(points)]
]
scores = pd.DataFrame(rows, columns=["network", "layer", "clusterer", "rank", "metric", "value"])
scores["encoder"] = np.where(scores["network"] == "frozen", tuned["start"], setting)
scores = scores.assign(dataset=dataset).reindex(columns=["network", "layer", *utils.SCORE_COLUMNS])
utils.write_table(scores.round(6), models / f"{setting}_scores.csv")
table = scores.pivot_table(index=["network", "layer"], columns=["rank", "clusterer", "metric"], values="value", sort=False)
table.round(3)

# %% [markdown]
# ## What we learned

# %%
found = table["species", utils.DEFAULT_CLUSTERER]
last = list(compared["frozen"])[-1]
frozen, after = (found.loc[(network, last)] for network in ("frozen", "tuned"))
best = found["ami"].idxmax()
plotting.say(
    f"On the deepest layer the frozen encoder has a species AMI of {frozen['ami']:.2f} ({frozen['n_found']:.0f} clusters for "
    f"{taxa['species'].nunique()} species), the tuned one {after['ami']:.2f} ({after['n_found']:.0f} clusters).",
    f"The best layer is {best[1]} of the {best[0]} network ({found.loc[best, 'ami']:.2f}).",
    "This is one training run. The sweep `trainers` repeats it with several seeds (chapter 97).",
)

# %% tags=["summary"]
print(f"{setting}: species AMI {after['ami']:.3f}, frozen {frozen['ami']:.3f}")
