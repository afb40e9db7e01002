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
# # 4 · A map of the photographs
#
# **The question.** Which photographs does the embedding place close to each other?
#
# UMAP (McInnes, Healy and Melville, 2018, arXiv:1802.03426) projects the embedding to two dimensions and keeps near
# neighbours near. The settings are the same for every encoder: 15 neighbours, minimum distance 0.1, seed 42. Distances
# across the map and sizes of groups have no meaning. Another seed gives another map: `make sweep SWEEP=umap` shows how much
# maps differ (chapter 96).
#
# **In:** embeddings of one encoder. **Out:** `maps/<encoder>/<setting>.parquet` with `hash_id, layer, x, y`.

# %% tags=["parameters"]
dataset = "demo"
encoder = "specimen_resnet18_double"
setting = "default"  # names the output
n_neighbors = 15
min_dist = 0.1
seed = 42

# %% jupyter={"source_hidden": true}
import sys
import warnings

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.manifold import trustworthiness
from tqdm import tqdm

import encoder_configs
import plotting
import utils
from umap_compiled import UMAP

plotting.set_style()
specimens = utils.load_metadata(dataset)
embeddings = utils.whole_layers(utils.load_embeddings(dataset, encoder, specimens["hash_id"]))
if n_neighbors < 2:
    raise ValueError(f"a map needs n_neighbors of 2 or more and not {n_neighbors}")
if len(specimens) >= 4 and n_neighbors >= len(specimens):
    n_neighbors = len(specimens) - 1
    print(f"There are only {len(specimens)} photographs: each one counts as a neighbour of all others.")

# %% [markdown]
# ## One map per layer
#
# With a seed, UMAP runs on one core and gives the same map again on the same machine. Other machines may round differently,
# so the coordinates are stored. UMAP needs at least four photographs that are not all identical. Otherwise the photographs
# are drawn in a circle.


# %%
def lay_out(layer, values):
    """Coordinates (n, 2) of embedding vectors (n, d)."""
    few = len(values) < 4
    if few or not np.ptp(values, axis=0).any():
        reason = f"only {len(values)} photographs" if few else f"{len(values)} photographs, all alike"
        print(f"{layer}: {reason}; they are drawn in a circle.")
        angles = np.linspace(0, 2 * np.pi, len(values), endpoint=False)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    start = "spectral" if len(values) > 10 else "random"  # a spectral start needs more points than dimensions
    return UMAP(n_neighbors=n_neighbors, min_dist=min_dist, random_state=seed, init=start).fit_transform(values)


warnings.filterwarnings("ignore", "n_jobs value .* overridden")  # expected: UMAP with a seed runs on one core
maps = []
for layer, values in tqdm(embeddings.items(), desc=f"UMAP of {encoder}", unit="layer"):
    xy = lay_out(layer, values)
    maps.append(pd.DataFrame({"hash_id": specimens["hash_id"], "layer": layer, "x": xy[:, 0], "y": xy[:, 1]}))
maps = pd.concat(maps, ignore_index=True)
utils.write_table(maps, utils.dataset_dir(dataset) / "maps" / encoder / f"{setting}.parquet")

# %% [markdown]
# ## How reliable are the maps?
#
# Trustworthiness (Venna and Kaski, 2001) is 1 if all near neighbours on the map are also near neighbours in the embedding.
# It is computed on at most 2,000 photographs, and only for layers that UMAP has mapped.

# %%
rows = np.sort(np.random.default_rng(0).permutation(len(specimens))[:2000])
trust = {
    layer: trustworthiness(
        values[rows],
        maps.loc[maps["layer"] == layer, ["x", "y"]].to_numpy()[rows],
        n_neighbors=min(15, len(rows) // 2 - 1),
    )
    for layer, values in embeddings.items()
    if len(rows) >= 4 and np.ptp(values, axis=0).any()
}
pd.Series(trust, name="trustworthiness", dtype=float).to_frame()

# %% [markdown]
# ## The maps
#
# The largest families are coloured, all others are grey. A family with a group of its own on the map is easy to separate in
# the embedding.

# %% jupyter={"source_hidden": true}
colours = plotting.family_colours(specimens["family"])
encoder_name = plotting.plain(encoder_configs.readable_name(dataset, encoder), 60)
figure, axes = plt.subplots(1, len(embeddings), figsize=(5 * len(embeddings), 4.6), squeeze=False)
for ax, layer in zip(axes[0], embeddings, strict=True):
    plotting.draw_map(ax, maps.loc[maps["layer"] == layer, ["x", "y"]].to_numpy(), specimens["family"], colours)
    reliability = f"trustworthiness {trust[layer]:.2f}" if layer in trust else "drawn in a circle"
    ax.set(title=f"{plotting.plain(layer)}: {reliability}", xlabel="UMAP 1", ylabel="UMAP 2")
figure.suptitle(f"{plotting.dataset_name(dataset)}: UMAP of {encoder_name}")
plotting.family_legend(figure, specimens["family"], colours)
if setting == "default":  # chapter 96 draws the maps of a sweep
    plotting.save_figure(figure, utils.figures_dir(dataset) / f"umap_{encoder}.png")

# %% [markdown]
# ## What we learned

# %%
if trust:
    worst = min(trust, key=trust.get)
    listed = ", ".join(f"{value:.2f} for layer `{layer}`" for layer, value in trust.items())
    meaning = (
        "What is near on the maps is seldom far apart in the embedding."
        if trust[worst] >= 0.9
        else f"Many neighbours on the map of `{worst}` are not near in the embedding, so this map must be read with care."
    )
    plotting.say(f"Trustworthiness is {listed}.", meaning, "Chapter 05 clusters the embedding and not these maps.")
else:
    plotting.say("UMAP mapped no layer, because there are fewer than four photographs or all of them are identical.")

# %% tags=["summary"]
reliabilities = (
    f" with trustworthiness {trust[layer]:.3f}" if layer in trust else ", drawn in a circle" for layer in embeddings
)
print(", ".join(f"{layer}{text}" for layer, text in zip(embeddings, reliabilities, strict=True)))
