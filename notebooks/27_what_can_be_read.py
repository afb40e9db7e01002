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
# # 27 · What can be read from an embedding
#
# **The question.** If a species is not found, is it missing from the embedding, or did the clusterer miss it? And what does an
# encoder see of an organism: its shape, its pattern, or only its colour?
#
# Two references answer, both with labels that no clusterer may use. *Linear classifier:* it is trained on the species names of
# half of the photographs and predicts the species of the other half. It reads all layers of an embedding side by side, clusters
# come from the deepest. *Traits:* in a simulated world, a linear model predicts the true traits of species that it was not
# trained on.
#
# **In:** embeddings, the clusters of a run, species names for scoring, for a simulated world also its traits. **Out:**
# `probes.csv` and a figure.

# %% tags=["parameters"]
dataset = "demo"
encoders = [""]  # empty: those of the plan
run = ""  # encoder/clusterer; empty: the run of submission.csv
seed = 0
n_photographs = 4000  # at most, drawn at random

# %% jupyter={"source_hidden": true}
import sys
import textwrap

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.preprocessing import normalize
from tqdm import tqdm

import clustering
import encoder_configs
import plotting
import probes
import scoring
import utils

plotting.set_style()
folder, figures = utils.dataset_dir(dataset), utils.figures_dir(dataset)
plan = utils.load_plan(dataset)
encoders = [name for name in encoders if name] or plan["encoders"]
first, clusterer = (run or plan["submit"]).split("/")
encoders = [first, *(encoder for encoder in encoders if encoder != first)]
encoders = [name for name in encoders if encoder_configs.build_config(dataset, name)["library"] != "truth"]
specimens = utils.load_metadata(dataset)
rows = np.sort(np.random.default_rng(seed).permutation(len(specimens))[:n_photographs])
chosen, ids = specimens.iloc[rows], specimens["hash_id"]
simulated = (folder / "truth.parquet").is_file()
truth = utils.load_truth(dataset, chosen["hash_id"]) if simulated else None

# %% [markdown]
# ## A classifier that knows the names of half of the photographs
#
# The classifier is ridge regression, its strength chosen by leave-one-out. Like the clusterer it knows the family, and chooses
# among the species of this family. Photographs of one individual stay in one half. Species of which there is only one
# individual are left out; so the AMI of the clusters is computed for the same photographs.

# %%
species = utils.lineage(specimens, "species").iloc[rows].to_numpy(object)
families = chosen["family"].fillna(clustering.UNKNOWN).to_numpy(object)
half = probes.halves(species, truth["individual"] if simulated else chosen["hash_id"], seed)
eligible = np.flatnonzero(half >= 0)
if not len(eligible):
    raise utils.NotApplicable(f"no species of {dataset} has two photographs with a name: nothing can be classified")
orders = truth["trait_order"].to_numpy()[eligible] if simulated else np.full(len(eligible), "")


def species_scores(encoder, points):
    """[(part, measure, value, low, high)]: AMI of the clusters, AMI and accuracy of the classifier.

    Part is "species", for all photographs, or an order of a simulated world.
    """
    found = utils.load_clusters(dataset, f"{encoder}/{clusterer}", seed, ids)["species_cluster"].to_numpy()[rows][eligible]
    predicted, true = probes.classify(points, species, families, half)[eligible], species[eligible]

    def measures(kept):
        clusters, reference = (scoring.ami(true[kept], labels[kept]) for labels in (found, predicted))
        gap, accuracy = reference - clusters, np.mean(predicted[kept] == true[kept])
        return {"clusters": clusters, "linear classifier": reference, "difference": gap, "accuracy": accuracy}

    lines = []
    for part in ("species", *np.unique(orders[orders != ""])):
        inside = np.flatnonzero(orders == part) if part != "species" else np.arange(len(true))
        groups = scoring.jackknife_groups(true[inside])
        replicates = scoring.jackknife_replicates(lambda kept, i=inside: measures(i[kept]), groups)
        lines += [(part, name, *bounds) for name, bounds in scoring.jackknife_interval(replicates).items()]
    return lines


# %% [markdown]
# ## Traits of species never seen
#
# The model is trained on four fifths of the species and predicts the traits of the others. R² of a number and Cohen's kappa of
# a word are 1 if the prediction is right, and 0 if the model does no better than a guess. Most traits differ between families,
# so a part of them can be predicted from kinship alone. *Background* is where the photograph was taken.

# %%
KINDS = {"background": "scene_place"}
if simulated:
    KINDS |= {name.removeprefix("trait_").replace("_", " "): name for name in truth if name.startswith("trait_")}


def traits(points):
    """{trait: agreement of what is predicted with what is true}."""
    true = truth[list(KINDS.values())].set_axis(list(KINDS), axis=1)
    predicted = probes.predict_traits(points, true, species)
    return {name: probes.agreement(true[name].to_numpy(), predicted[name].to_numpy()) for name in KINDS}


# %%
table = []
for encoder in tqdm(encoders, unit="encoder", disable=None):
    layers = utils.load_embeddings(dataset, encoder, chosen["hash_id"])
    points = np.hstack([normalize(values) for values in layers.values()])
    table += [(encoder, *line) for line in species_scores(encoder, points)]
    if simulated:
        table += [(encoder, "trait", name, value, np.nan, np.nan) for name, value in traits(points).items()]
table = pd.DataFrame(table, columns=["encoder", "part", "measure", "value", "ci_low", "ci_high"])
for place in (folder, figures):
    utils.write_table(table.round(4), place / "probes.csv")
value = table.set_index(["part", "encoder", "measure"])[["value", "ci_low", "ci_high"]].sort_index()
label_of = {encoder: encoder_configs.readable_name(dataset, encoder) for encoder in encoders}
wide = value["value"].drop(index="trait", errors="ignore").unstack("measure")
wide.loc[[(part, encoder) for part in wide.index.unique("part") for encoder in encoders]].rename(index=label_of).round(3)

# %% [markdown]
# ## The figure
#
# Left: the AMI of the clusters (hollow) and of the classifier (filled), with 95 % jackknife intervals over species. Right: how
# well traits are predicted; values below -0.1 are drawn at the edge.

# %%
MOST = 4  # encoders in the right panel: the one of the run, and the next three


def draw_species(ax):
    """One line per encoder: its clusters, and the classifier."""
    for number, encoder in enumerate(encoders):
        for measure, face in (("clusters", "white"), ("linear classifier", "0.2")):
            middle, low, high = value.loc["species", encoder, measure]
            ax.plot([low, high], [number, number], color="0.2", linewidth=1.2, zorder=1)
            ax.plot(middle, number, "o", color="0.2", markerfacecolor=face, label=measure if not number else None)
    names = [textwrap.fill(plotting.plain(label_of[encoder], 60), 30) for encoder in encoders]
    ax.set(yticks=range(len(encoders)), yticklabels=names, ylim=(len(encoders) - 0.4, -0.6), xlim=(None, 1.02))
    ax.set_xlabel("species AMI")
    ax.set_title("species", fontsize=11)
    ax.set(box_aspect=0.8, anchor="N")
    ax.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.4, -0.2), ncols=2)


def draw_traits(ax):
    """One line per trait, the best predicted by the first encoder on top; a mark per encoder."""
    order = value.loc[("trait", encoders[0]), "value"].sort_values(ascending=False).index
    for number, encoder in enumerate(encoders[:MOST]):
        read = value.loc[("trait", encoder), "value"].loc[order].clip(-0.1)
        mark, colour = plotting.MARKS[number % len(plotting.MARKS)], plotting.PALETTE[number]
        ax.plot(read, range(len(order)), mark, color=colour, markersize=6, label=plotting.plain(label_of[encoder], 40))
    ax.axvline(0, color="0.6", linewidth=1, zorder=0)
    ax.set(yticks=range(len(order)), yticklabels=order, ylim=(len(order) - 0.4, -0.6), xlim=(-0.13, 1.02))
    ax.set_xlabel("R² of numbers, kappa of words")
    ax.set_title("traits of species never seen", fontsize=11)
    ax.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.4, -0.07), ncols=1)


# %%
clusters, reference = value.loc["species"].loc[first].loc[["clusters", "linear classifier"], "value"]
message = f"{plotting.dataset_name(dataset)}: species AMI {clusters:.2f} by clustering, {reference:.2f} by a linear classifier "
message += f"trained on half of the names\n({label_of[first]})"
panels, height = (2, 8.5) if simulated else (1, 0.5 * len(encoders) + 2)
figure, axes = plt.subplots(1, panels, figsize=(5.5 * panels, height), squeeze=False, layout="constrained")
draw_species(axes[0, 0])
if simulated:
    draw_traits(axes[0, 1])
figure.suptitle(message)
plotting.save_figure(figure, figures / "probes.png")
plt.show()

# %% [markdown]
# ## What we learned

# %%
difference, low, high = value.loc["species", first, "difference"]
certain = "significantly more" if low > 0 else "not significantly more"
sentences = [
    f"With {label_of[first]}, a classifier that knows the species of half of the photographs is right for "
    f"{value.loc[('species', first, 'accuracy'), 'value']:.0%} of the others. Its AMI is {reference:.2f}, "
    f"{difference:+.2f} [{low:.2f}, {high:.2f}] compared with the clusters: {certain} is in the embedding than these find in "
    "its deepest layer."
]
if simulated:
    read = value.loc[("trait", first), "value"].sort_values(ascending=False)
    sentences.append(
        f"It predicts {', '.join(read.index[:3])} best ({read.iloc[0]:.2f}, {read.iloc[1]:.2f}, {read.iloc[2]:.2f}) and "
        f"{', '.join(read.index[-3:])} worst ({', '.join(f'{one:.2f}' for one in read.iloc[-3:])})."
    )
plotting.say(*sentences)

# %% tags=["summary"]
right = value.loc[("species", first, "accuracy"), "value"]
print(f"{len(encoders)} encoders; with half of the names, {first} classifies {right:.0%} of the others, AMI {reference:.2f}")
