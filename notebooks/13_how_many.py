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
# # 13 · How many clusters?
#
# **The question.** There are several ways to prepare an embedding, and several rules that choose the number of species and
# genera without labels. Which combination should be the default, and does it also win on taxa that it was not chosen on?
#
# Every combination clusters every family. Families are divided into two halves: what is best on one half is reported on the
# other, both ways, so no setting is reported on the data that chose it. Chapter 15 tests the same rules on collections of other
# shapes.
#
# **In:** embeddings of several encoders; taxon names, for scores only. **Out:** `k_rules.csv` (every combination) and one
# figure with a copy of that table, and `held_out_families.csv` (chosen on one half, reported on the other).

# %% tags=["parameters"]
dataset = "demo"
encoders = ["specimen_resnet18_double"]

# %% jupyter={"source_hidden": true}
import itertools
import sys

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

import clustering
import encoder_configs
import plotting
import sampling
import scoring
import utils

plotting.set_style()
folder = utils.dataset_dir(dataset)
specimens = utils.load_metadata(dataset)
taxa, known = utils.named_taxa(specimens)
specimens, taxa = specimens[known].reset_index(drop=True), taxa[known].reset_index(drop=True)
if taxa["family"].nunique() < 2:
    raise utils.NotApplicable("settings are chosen on half of the families and scored on the others, and there is one family")
print(f"{known.sum():,} of {len(known):,} photographs have a name at every rank; the others are left out")
methods = [encoder for encoder in encoders if not encoder_configs.role(dataset, encoder)] or encoders
half = sampling.family_halves(taxa["family"]).to_numpy()
groups = list(taxa.groupby("family").indices.values())

# %% [markdown]
# ## What is compared
#
# - **Preparations**: plain (scaled to length 1), signed square root, half and full whitening, and smoothing with neighbours.
# - **Rules for the number of species.** For all families together: one *common height*, on trees by average linkage (the
#   default) or by Ward. Family by family, on Ward trees: the silhouette; the same with one or two nearest neighbours excluded;
#   the mean of these three; the gap statistic; stability under resampling; the largest gap between heights of the tree. *Oracle
#   k* is the true number on Ward trees: a reference, not a rule.
# - **Rules for the number of genera**: one genus for 1.5 species, for 1, for 2, or what the silhouette of the species'
#   centroids prefers.

# %%
PREPARATIONS = {
    "plain": {"signed_sqrt": False, "pca_components": 0},
    "signed sqrt": {"pca_components": 0},
    "signed sqrt, half whitened": {},
    "signed sqrt, whitened": {"pca_components": 128, "whitening_power": 1.0},
    "signed sqrt, half whitened, smoothed": {"n_smoothing_neighbors": 3},
}
GENERA = {"1.5 species per genus": 1.5, "1": 1.0, "2": 2.0, "silhouette": 0.0}
DEFAULT, WARD = "common height", "common height, Ward"
RULES = [DEFAULT, WARD, *clustering.RULES, "oracle k"]


def of_family(tree, points, names, rule, species):
    """{column: labels (n,)} of the points (n, d) of one family by one rule: species, and genera by every rule for them."""
    if rule == "oracle k":
        return {"species": tree(names["species"].nunique()), "genus, oracle k": tree(names["genus"].nunique())}
    if species is None:
        species = clustering.cluster_species(points, "ward", rule)[0]
    genera = {
        f"genus, {name}": clustering.group_genera(species, tree, points, tree.method, species_per_genus=per_genus)
        for name, per_genus in GENERA.items()
    }
    return genera | {"species": species}


# %%
deepest = {e: utils.load_embeddings(dataset, e, specimens["hash_id"], "last") for e in encoders}


def of_setting(encoder, layers, preparation, rule):
    """One row per half and column of clusters of an embedding's last layer: AMI and the number of clusters."""
    points, _ = clustering.Clusterer.of(**PREPARATIONS[preparation]).prepare_both(layers)
    method, cut = "average" if rule == DEFAULT else "ward", None
    if rule in (DEFAULT, WARD):
        trees, (cut, *_) = clustering.cut_families(groups, points, method)
    else:
        trees = clustering.trees_of(groups, points, method)
    labels = pd.DataFrame(index=taxa.index)
    for number, (rows, tree) in enumerate(trees):
        for name, found in of_family(tree, points[rows], taxa.iloc[rows], rule, None if cut is None else cut[rows]).items():
            labels.loc[rows, name] = [f"{number}/{label}" for label in found]
    measured = []
    for (name, found), part in itertools.product(labels.items(), (0, 1, None)):
        here = np.ones(len(taxa), bool) if part is None else half == part
        table = scoring.contingency(taxa.loc[here, name.split(",")[0]], found[here])
        row = {"encoder": encoder, "preparation": preparation, "rule": rule, "clusters": name, "half": part}
        measured.append(row | {"ami": scoring.mutual_information(table)["ami"], "found": table.shape[1]})
    return measured


# %%
settings = list(itertools.product(encoders, PREPARATIONS, RULES))
done = Parallel(n_jobs=-1, return_as="generator")(delayed(of_setting)(e, deepest[e], *setting) for e, *setting in settings)
table = pd.DataFrame(itertools.chain.from_iterable(tqdm(done, total=len(settings), unit="setting")))
utils.write_table(table.round(6), folder / "k_rules.csv")

# %% [markdown]
# ## All settings
#
# Species AMI over all families, mean over encoders; the last column is the oracle-k reference. In the tables of this chapter
# controls and references do not count; `k_rules.csv` holds them, too.

# %%
whole = table[table["half"].isna() & table["encoder"].isin(methods)]
mean = whole.pivot_table(index=["clusters", "preparation"], columns="rule", values="ami", sort=False)
mean.loc["species"].round(3)

# %% [markdown]
# The number of species found, divided by the true number. AMI alone does not show the difference between 0.5 and 2.

# %%
counts = whole[whole["clusters"] == "species"].pivot_table(
    index="preparation", columns="rule", values="found", sort=False
)
(counts / taxa["species"].nunique()).round(2)

# %% [markdown]
# Genus AMI: rules for species across, rules for genera down.

# %%
mean.drop("species").round(3)

# %% [markdown]
# ## Chosen on one half, reported on the other
#
# For every encoder, the setting with the best mean of species and genus AMI on one half of the families, scored on the other
# half. Beside it, on that same half: the default (signed square root, half whitened; common height; one genus for 1.5
# species), the plain silhouette (silhouette on the plain embedding), the oracle-k reference on the plain embedding, and the
# family-only baseline.


# %%
def chosen(encoder, part):
    """AMI on the half `part` of what is best on the other half, of two fixed settings and of the oracle-k reference."""
    rows = table[(table["encoder"] == encoder)].set_index(["preparation", "rule", "clusters", "half"])["ami"]
    here, there = (rows.xs(side, level="half").unstack("clusters") for side in (part, 1 - part))
    free = there.drop("oracle k", level="rule")
    sums = {name: free["species"] + free[f"genus, {name}"] for name in GENERA}
    preparation, rule, genera = pd.DataFrame(sums).stack().idxmax()
    fixed = ("signed sqrt, half whitened", DEFAULT), ("plain", "silhouette"), ("plain", "oracle k")
    columns = (genera, next(iter(GENERA)), "silhouette", "oracle k")
    names = (f"chosen on the other half ({preparation}; {rule}; {genera})", "default", "plain silhouette", "oracle k")
    for name, setting, genus in zip(names, [(preparation, rule), *fixed], columns, strict=True):
        kind = name.split(" (")[0]
        values = here.loc[setting, ["species", f"genus, {genus}"]].to_numpy()
        yield {
            "encoder": encoder,
            "half": part,
            "setting": kind,
            "what": name,
            "species": values[0],
            "genus": values[1],
        }
    names = taxa[half == part]
    tables = {rank: scoring.contingency(names[rank], names["family"]) for rank in ("species", "genus")}
    family = {rank: scoring.mutual_information(shared)["ami"] for rank, shared in tables.items()}
    yield {"encoder": encoder, "half": part, "setting": "family-only baseline", "what": "baseline"} | family


halves = pd.DataFrame(itertools.chain.from_iterable(chosen(e, part) for e in encoders for part in (0, 1)))
print("\n".join(halves.loc[halves["setting"].str.startswith("chosen"), "what"].unique()))
halves.pivot_table(index="encoder", columns="setting", values=["species", "genus"], sort=False).round(3)

# %% [markdown]
# ## One figure
#
# A mark per half of the families: what was chosen on the other half, the default, the plain silhouette, and the two references.

# %% jupyter={"source_hidden": true}
figure, axes = plt.subplots(1, 2, figsize=(10, 1.6 + 0.5 * len(encoders)), sharey=True)
kinds = list(dict.fromkeys(halves["setting"]))
labels = [encoder_configs.readable_name(dataset, encoder) for encoder in encoders]
for ax, rank in zip(axes, ("genus", "species"), strict=True):
    for number, (kind, mark) in enumerate(zip(kinds, "osD^X", strict=True)):
        part = halves[halves["setting"] == kind]
        places = -part["encoder"].map(encoders.index) + 0.18 - 0.12 * number
        face = "white" if kind.startswith("oracle") else plotting.PALETTE[number]
        ax.plot(part[rank], places, mark, color=plotting.PALETTE[number], markerfacecolor=face, label=kind)
    ax.set(xlabel=f"{rank} AMI", yticks=-np.arange(len(encoders)), yticklabels=labels)
    ax.grid(axis="y", visible=False)
handles = axes[0].get_legend_handles_labels()
held_out = halves[halves["encoder"].isin(methods)].groupby("setting", sort=False)["species"].mean()
scored = ", ".join(f"{kind} {value:.2f}" for kind, value in held_out.iloc[:3].items())
figure.suptitle(f"{plotting.dataset_name(dataset)}, halves of the families, species AMI: {scored}")
figure.tight_layout()
figure.legend(*handles, loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=3, frameon=False)
plotting.save_figure(figure, utils.figures_dir(dataset) / "k_rules.png")
for name, result in {"k_rules": table, "held_out_families": halves}.items():
    utils.write_table(result.round(4), utils.figures_dir(dataset) / f"{name}.csv")
plt.show()

# %% [markdown]
# ## What we learned

# %%
default = whole[(whole["rule"] == DEFAULT) & (whole["preparation"] == "signed sqrt, half whitened")]
number = default[default["clusters"] == "species"]["found"].mean()
plotting.say(
    f"Chosen on one half of the families, settings reach a mean species AMI of {held_out['chosen on the other half']:.2f} on "
    f"the other half; the default has {held_out['default']:.2f}, the plain silhouette {held_out['plain silhouette']:.2f} and "
    f"the oracle-k reference {held_out['oracle k']:.2f}.",
    f"The default finds {number / taxa['species'].nunique():.1f} times the true number of species.",
    f"These are means over {len(methods)} encoders; controls and references do not count.",
)

# %% tags=["summary"]
best = mean.loc["species"].drop(columns="oracle k").stack()
print(f"{len(settings)} settings; best species AMI {best.max():.3f} ({'; '.join(best.idxmax())})")
