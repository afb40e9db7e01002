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
# species names. **Out:** `models/<setting>_scores.csv` with a row per encoder, layer and measure.

# %% tags=["parameters"]
dataset = "demo"
setting = "simclr"  # the tuned network in data/<dataset>/models/

# %%
import sys

sys.path.insert(0, "..")
import pandas as pd
import yaml
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import adjusted_mutual_info_score
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import normalize

import clustering
import encoders
import plotting
import sampling
import utils

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
    raise ValueError(f"{dataset} has no genus and species names: nothing to compare the clusters with")
print(f"scored on {len(scored_on):,} of {len(metadata):,} photographs")

# %% [markdown]
# ## What is measured
#
# **Clusters without genus or species names**: AMI of the recommended clusterer, as chapter 05 runs it.
#
# **Oracle-k reference**: the same trees, cut at the true numbers.
#
# **Supervised references**: two classifiers that learn from species names, by cross-validation: the five nearest neighbours,
# and a linear probe (ridge regression). They count species with five photographs or more.

# %%
CONFIG = clustering.Config.named("nested_ward")


def clustering_scores(points, taxa, family):
    """{measure: AMI} of the recommended clusterer on (n, d) points at genus and species, and of the oracle-k reference."""
    found = clustering.cluster({"last": points}, family, CONFIG)
    oracle = clustering.oracle_k(CONFIG.prepare({"last": points}, CONFIG.species_layers), found["family"], taxa)
    scores = {}
    for rank in taxa:
        known = taxa[rank].notna().to_numpy()
        for name, labels in (("AMI", found[rank].to_numpy()), ("AMI, oracle k", oracle[rank])):
            scores[f"{rank} {name}"] = adjusted_mutual_info_score(taxa[rank][known], labels[known])
    return scores


def supervised_scores(points, species):
    """{measure: accuracy} of two classifiers that learn species names; empty where fewer than two species are large enough."""
    enough = (species.groupby(species).transform("size") >= 5).to_numpy()
    if species[enough].nunique() < 2:
        return {}
    classifiers = {"kNN": KNeighborsClassifier(5), "linear probe": RidgeClassifier()}
    labelled = points[enough], species[enough]
    return {f"species {name}, supervised": cross_val_score(c, *labelled, cv=5).mean() for name, c in classifiers.items()}


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
    config |= {"weights": str(file.relative_to(utils.ROOT)), "layers": layers}
    (compared[name],) = encoders.open_encoder(config, source).describe([list(range(len(scored_on)))])

# %%
rows = []
for name, layer, points in [(name, *item) for name, found in compared.items() for item in found.items()]:
    values = clustering_scores(points, taxa, scored_on["family"]) | supervised_scores(normalize(points), taxa["species"])
    rows += [(name, layer, *item) for item in values.items()]
scores = pd.DataFrame(rows, columns=["encoder", "layer", "measure", "value"])
utils.write_table(scores.round(6), models / f"{setting}_scores.csv")
table = scores.pivot_table(index=["encoder", "layer"], columns="measure", values="value", sort=False)
table.round(3)

# %% [markdown]
# ## What we learned

# %%
last = list(compared["frozen"])[-1]
frozen, after = (table.loc[(name, last), "species AMI"] for name in ("frozen", "tuned"))
best = table["species AMI"].idxmax()
plotting.say(
    f"On the deepest layer the frozen encoder reaches a species AMI of {frozen:.2f} and the tuned one {after:.2f} "
    f"({after - frozen:+.2f}).",
    f"The best layer is {best[1]} of the {best[0]} network ({table.loc[best, 'species AMI']:.2f}).",
    "This is one training run. The sweep `trainers` repeats it with several seeds (chapter 97).",
)

# %% tags=["summary"]
print(f"{setting}: species AMI {after:.3f}, frozen {frozen:.3f}")
