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
# **The question.** What does the embedding put side by side?
#
# UMAP (McInnes, Healy and Melville, 2018, arXiv:1802.03426) lays the photographs on a plane so that near neighbours stay
# near. The settings are the same for every encoder: 15 neighbours, minimum distance 0.1, seed 42. Distances across the
# map and the sizes of islands carry no meaning, and another seed gives another picture: `make sweep SWEEP=umap` shows how
# much of it stays.
#
# **In:** embeddings of one encoder. **Out:** `maps/<encoder>/<setting>.parquet` with `hash_id, layer, x, y`.

# %% tags=["parameters"]
dataset = "demo"
encoder = "specimen_resnet18_double"
setting = "default"  # names the output
n_neighbors = 15
min_dist = 0.1
seed = 42

# %%
import sys
import warnings

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.manifold import trustworthiness
from tqdm import tqdm
from umap import UMAP

import encoder_configs
import plotting
import utils

plotting.set_style()
specimens = utils.load_metadata(dataset)
embeddings = utils.load_embeddings(dataset, encoder, specimens["hash_id"])
if n_neighbors < 2:
    raise ValueError(f"a map needs n_neighbors of 2 or more and not {n_neighbors}")
if len(specimens) >= 4 and n_neighbors >= len(specimens):
    n_neighbors = len(specimens) - 1
    print(f"There are only {len(specimens)} photographs: every one is taken for a neighbour of all others.")

# %% [markdown]
# ## One map per layer
#
# A seed makes UMAP run on one core and repeatable on one machine; other machines may still round differently, so the
# coordinates are kept as data. Where there is nothing to lay out, with fewer than four photographs or an embedding in which
# all are alike, they stand in a circle.


# %%
def lay_out(layer, values):
    """Coordinates (n, 2) of embedding vectors (n, d)."""
    few = len(values) < 4
    if few or not np.ptp(values, axis=0).any():
        print(
            f"{layer}: {'only ' * few}{len(values)} photographs{', all alike' * (not few)}; they are drawn in a circle."
        )
        angles = np.linspace(0, 2 * np.pi, len(values), endpoint=False)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    start = "spectral" if len(values) > 10 else "random"  # a spectral start needs more points than dimensions
    return UMAP(n_neighbors=n_neighbors, min_dist=min_dist, random_state=seed, init=start).fit_transform(values)


warnings.filterwarnings("ignore", "n_jobs value .* overridden")  # the price of a seed, paid on purpose
maps = []
for layer, values in tqdm(embeddings.items(), desc=f"UMAP of {encoder}", unit="layer"):
    xy = lay_out(layer, values)
    maps.append(pd.DataFrame({"hash_id": specimens["hash_id"], "layer": layer, "x": xy[:, 0], "y": xy[:, 1]}))
maps = pd.concat(maps, ignore_index=True)
utils.write_table(maps, utils.dataset_dir(dataset) / "maps" / encoder / f"{setting}.parquet")

# %% [markdown]
# ## The maps
#
# The largest families in colour, all others grey.

# %%
colours = plotting.family_colours(specimens["family"])
figure, axes = plt.subplots(1, len(embeddings), figsize=(5 * len(embeddings), 4.6), squeeze=False)
for ax, layer in zip(axes[0], embeddings, strict=True):
    plotting.draw_map(ax, maps.loc[maps["layer"] == layer, ["x", "y"]].to_numpy(), specimens["family"], colours)
    ax.set(title=plotting.plain(f"{encoder_configs.readable_name(encoder)}, {layer}", 80), xlabel="UMAP 1", ylabel="UMAP 2")
plotting.family_legend(figure, specimens["family"], colours)
if setting == "default":  # the points of a sweep are drawn together, by chapter 98
    plotting.save_figure(figure, utils.figures_dir(dataset) / f"umap_{encoder}.png")

# %% [markdown]
# ## How far can the map be trusted?
#
# Trustworthiness (Venna and Kaski, 2001) is 1 when no photograph has a neighbour on the map that is not one of its nearest
# in the embedding. It is taken on at most 2,000 photographs, and left out of fewer than four and of those all alike.

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

# %% tags=["summary"]
told = (
    f" with trustworthiness {trust[layer]:.3f}" if layer in trust else ", drawn in a circle" for layer in embeddings
)
print(", ".join(f"{layer}{text}" for layer, text in zip(embeddings, told, strict=True)))
