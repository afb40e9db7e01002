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
# # 28 · How fast, and for how many photographs?
#
# **The question.** How much faster are embeddings and clusters than with what people would use instead? How do time and memory
# grow with a collection?
#
# `make bench` measures both, and this chapter shows the results. Times are compared within one run on one machine. A time alone
# would say more about the machine than about the method.
#
# **In:** `bench/extraction.csv` and `bench/clustering.csv`. **Out:** `speed_of_extraction.csv`,
# `speed_of_clustering.csv` and a figure, `speed.png`.

# %% tags=["parameters"]
dataset = "demo"

# %% jupyter={"source_hidden": true}
import sys

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import plotting
import utils

# %%
plotting.set_style()
folder, figures = utils.dataset_dir(dataset) / "bench", utils.figures_dir(dataset)
extraction, clustering = (utils.read_table(folder / f"{name}.csv") for name in ("extraction", "clustering"))

# %% [markdown]
# ## Embeddings
#
# The same photographs go through all loops, one loop after the other, in several rounds. All use a ResNet-50 with random
# weights, which computes as fast as a trained one.
#
# - *Plain loop*: what one writes first. Full precision, batches of 128, one process.
# - *timm* and *open_clip*: the libraries' own networks and transforms, full precision, and a process for each core that loads
#   photographs.
# - *Network alone*: images that are in memory already, with the precision of chapter 02. No loop around it can be faster.
#
# The table says how many times as fast chapter 02 is.

# %%
rates = extraction.pivot(index=["photographs", "round"], columns="loop", values="images_per_second")
rates = rates.reindex(extraction["photographs"].unique(), level="photographs")
own = {name: "chapter 02 with open_clip" if "open_clip" in name else "chapter 02" for name in rates if "chapter" not in name}
faster = pd.DataFrame({name: rates[chapter] / rates[name] for name, chapter in own.items()})
faster = faster.groupby("photographs", sort=False).median().dropna(axis="columns", how="all")
utils.write_table(faster.round(3).reset_index(), figures / "speed_of_extraction.csv")
faster.round(2).rename(columns="times as fast as {}".format)

# %% [markdown]
# ## Clusters
#
# Simulated embeddings with known species. One has the size of the Kaggle challenge; the others have families of 31 species and
# 279 photographs each, and more and more of them. Every run is a process of its own, so memory is that of the clusterer
# and of the embedding. A clusterer that took more than 25 seconds at one size was not run at the next.

# %%
fastest = clustering.groupby(["collection", "photographs"])["seconds"].transform("min")
table = clustering.assign(times_the_fastest=(clustering["seconds"] / fastest).round(2)).drop(columns="seconds")
utils.write_table(table, figures / "speed_of_clustering.csv")
table.round(2)

# %% [markdown]
# ## One figure
#
# Left: images per second by size of the photographs, as multiples of the plain loop. Centre: time of the clusterers, as
# multiples of the default's at the smallest size. On the dotted line, ten times as many photographs take ten times as long.
# Right: the memory that the process needed at most.

# %%
growing = clustering[clustering["collection"] == "growing"]
first = growing[growing["clusterer"] == utils.DEFAULT_CLUSTERER].nsmallest(1, "photographs")["seconds"].item()
figure, axes = plt.subplots(1, 3, figsize=(11, 4.4))
relative = rates.div(rates["plain loop"], axis="index").groupby("photographs", sort=False).median()
for number, name in enumerate(["network alone", "chapter 02", "timm, its own loop", "plain loop"]):
    mark, colour = plotting.MARKS[number], plotting.PALETTE[number]
    axes[0].plot(relative[name], mark, color=colour, markersize=9, label=name, linestyle=":", linewidth=1)
axes[0].set(xlabel="JPEGs", ylabel="images per second (plain loop = 1)", ylim=(0, None), title="Embeddings")
axes[0].margins(x=0.2)
for number, (name, one) in enumerate(growing.groupby("clusterer", sort=False)):
    style = {"color": plotting.PALETTE[number], "marker": plotting.MARKS[number], "label": name.replace("_", " ")}
    axes[1].loglog(one["photographs"], one["seconds"] / first, **style)
    axes[2].loglog(one["photographs"], one["gigabytes"], **style)
sizes = growing["photographs"].agg(["min", "max"]).to_numpy()
axes[1].loglog(sizes, sizes / sizes[0], ":", color="black", label="in proportion")
axes[1].set(xlabel="photographs", ylabel="time (default, smallest size = 1)", title="Time of clustering")
axes[2].set(xlabel="photographs", ylabel="memory at most (GB)", title="Memory of clustering")
both = growing[growing["clusterer"] == utils.DEFAULT_CLUSTERER].sort_values("photographs")
slope = np.polyfit(np.log(both["photographs"]), np.log(both["seconds"]), 1)[0]
plain, most = faster.loc[faster.index[0], "plain loop"], both.iloc[-1]
clustered = f"the default clusters {most['photographs']:,} photographs"
figure.suptitle(f"Embedding is {plain:.1f} times as fast as the plain loop; {clustered} in {most['gigabytes']:.0f} GB")
figure.tight_layout()
for ax, place in ((axes[0], 0.19), (axes[1], 0.68)):
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", bbox_to_anchor=(place, 0.0), ncols=2, frameon=False)
plotting.save_figure(figure, figures / "speed.png")
plt.show()

# %% [markdown]
# ## What we learned

# %%
gain, alone = faster["plain loop"], 100 * faster["network alone"]
challenge = table[table["collection"] == "challenge"].set_index("clusterer")
default, other = (challenge.loc[name] for name in (utils.DEFAULT_CLUSTERER, "nested_kmeans_30"))
times = default["times_the_fastest"] / other["times_the_fastest"]
plotting.say(
    f"Chapter 02 reaches {gain.min():.1f} to {gain.max():.1f} times the images per second of the plain loop, and "
    f"{alone.min():.0f} to {alone.max():.0f} % of those of the network alone.",
    f"At the size of the challenge the default takes {times:.2f} times as long as nested k-means, with a species AMI of "
    f"{default['species_ami']:.2f} against {other['species_ami']:.2f}.",
    f"Its time grows with the number of photographs to the power {slope:.2f}, where families stay as large. For "
    f"{most['photographs']:,} photographs it needs {most['gigabytes']:.1f} GB.",
)

# %% tags=["summary"]
print(f"{gain.min():.1f} to {gain.max():.1f} times the plain loop; {most['photographs']:,} in {most['gigabytes']:.1f} GB")
