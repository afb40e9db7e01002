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
# # 13 · How many clusters, when nobody tells?
#
# **The question.** Of several ways to prepare an embedding and to choose the number of species and genera without labels,
# which should be the default, and is that more than luck on the taxa it was chosen on?
#
# Every pair of a preparation and a rule clusters every family with one and the same Ward tree. Families are dealt into two
# halves; the pair that is best on one half is reported on the other, both ways. So what is reported was not chosen by what it
# is scored on.
#
# **In:** embeddings of several encoders, and taxon names, for scores alone. **Out:** `numbers.csv` and one figure with a copy
# of that table, `halves.csv` with what was chosen and reported, and `few.csv` with what is left where photographs are few.

# %% tags=["parameters"]
dataset = "demo"
encoders = ["specimen_resnet18_double"]

# %%
import sys

sys.path.insert(0, "..")
import itertools

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
taxa = pd.DataFrame({rank: utils.lineage(specimens, rank) for rank in utils.RANKS})
known = taxa.notna().all(axis=1).to_numpy()
specimens, taxa = specimens[known].reset_index(drop=True), taxa[known].reset_index(drop=True)
if taxa["family"].nunique() < 2:
    raise ValueError(f"{dataset} names no species of two families: nothing says what a number is worth")
half = sampling.family_halves(taxa["family"]).to_numpy()
groups = list(taxa.groupby("family").indices.values())

# %% [markdown]
# ## What is compared
#
# **Preparations**: as it came (scaled to length 1), signed square root, half and full whitening, and a mean with neighbours.
#
# **Rules for species**: the silhouette, the one that forgets one or two nearest neighbours, the *forgetful* one, which is the
# mean of these three, the gap statistic, stability under resampling, and the largest gap between heights of the tree. *Oracle
# k* is the true number, a reference and no rule.
#
# **Rules for genera**: half as many as species, as many, or what the silhouette of the species' centroids prefers.

# %%
PREPARATIONS = {
    "as it came": {"signed_sqrt": False, "pca_components": 0},
    "root": {"pca_components": 0},
    "root, half white": {},
    "root, white": {"pca_components": 128, "whitening_power": 1.0},
    "root, half white, neighbours": {"n_smoothing_neighbors": 3},
}
GENERA = {"half": 2.0, "as many": 1.0, "silhouette": 0.0}


def of_family(points, names, rule):
    """{column: labels (n,)} of one family by one rule: species, and genera by every rule for them."""
    if rule == "oracle k":
        tree = clustering.LinkageTree(points)
        return {"species": tree(names["species"].nunique()), "genus, oracle k": tree(names["genus"].nunique())}
    species, tree, _ = clustering.cluster_species(points, "ward", rule)
    genera = {
        f"genus, {name}": clustering.group_genera(species, tree, points, species_per_genus=per_genus)
        for name, per_genus in GENERA.items()
    }
    return genera | {"species": species}


# %%
deepest = {e: utils.pick_layer(utils.load_embeddings(dataset, e, specimens["hash_id"]), "last") for e in encoders}


def of_setting(encoder, embedding, preparation, rule):
    """One row per half and column of clusters of an embedding (n, d): AMI and the number of clusters."""
    points = clustering.prepare(embedding, **PREPARATIONS[preparation])
    labels = pd.DataFrame(index=taxa.index)
    for number, rows in enumerate(groups):
        for name, found in of_family(points[rows], taxa.iloc[rows], rule).items():
            labels.loc[rows, name] = [f"{number}/{label}" for label in found]
    measured = []
    for (name, found), part in itertools.product(labels.items(), (0, 1, None)):
        here = np.ones(len(taxa), bool) if part is None else half == part
        table = scoring.contingency(taxa.loc[here, name.split(",")[0]], found[here])
        row = {"encoder": encoder, "preparation": preparation, "rule": rule, "clusters": name, "half": part}
        measured.append(row | {"ami": scoring.mutual_information(table)["ami"], "found": table.shape[1]})
    return measured


# %%
settings = list(itertools.product(encoders, PREPARATIONS, [*clustering.RULES, "oracle k"]))
done = Parallel(n_jobs=-1, return_as="generator")(delayed(of_setting)(e, deepest[e], *setting) for e, *setting in settings)
table = pd.DataFrame(itertools.chain.from_iterable(tqdm(done, total=len(settings), unit="setting")))
utils.write_table(table.round(6), folder / "numbers.csv")

# %% [markdown]
# ## All settings
#
# Species AMI over all families, mean over encoders; the last column is the oracle-k reference.

# %%
whole = table[table["half"].isna()]
mean = whole.pivot_table(index=["clusters", "preparation"], columns="rule", values="ami", sort=False)
mean.loc["species"].round(3)

# %% [markdown]
# How many species that finds, over the true number. AMI alone does not tell 0.5 from 2.

# %%
counts = whole[whole["clusters"] == "species"].pivot_table(
    index="preparation", columns="rule", values="found", sort=False
)
(counts / taxa["species"].nunique()).round(2)

# %% [markdown]
# Genera: the rule for species across, and the one for genera down.

# %%
mean.drop("species").round(3)

# %% [markdown]
# ## Chosen on one half, reported on the other
#
# For every encoder: the setting with the best mean of species and genus AMI on one half of the families, and its AMI on the
# other; beside it the recommended setting (root, half white; neighbour-excluding silhouette; half as many genera), the usual one (as it
# came; silhouette), the oracle-k reference as it came, and the baseline that takes the family itself as taxon, all on that
# other half.


# %%
def chosen(encoder, part):
    """AMI on the half `part` of what is best on the other half, of two fixed settings and of the oracle-k reference."""
    rows = table[(table["encoder"] == encoder)].set_index(["preparation", "rule", "clusters", "half"])["ami"]
    here, there = (rows.xs(side, level="half").unstack("clusters") for side in (part, 1 - part))
    free = there.drop("oracle k", level="rule")
    sums = {name: free["species"] + free[f"genus, {name}"] for name in GENERA}
    preparation, rule, genera = pd.DataFrame(sums).stack().idxmax()
    fixed = ("root, half white", "silhouette_excluding_0_to_2"), ("as it came", "silhouette"), ("as it came", "oracle k")
    columns = (genera, "half", "silhouette", "oracle k")
    names = (f"chosen on the other half ({preparation}; {rule}; {genera})", "recommended", "usual", "oracle k")
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
    yield {"encoder": encoder, "half": part, "setting": "baseline, the family", "what": "baseline"} | family


halves = pd.DataFrame(itertools.chain.from_iterable(chosen(e, part) for e in encoders for part in (0, 1)))
print("\n".join(halves.loc[halves["setting"].str.startswith("chosen"), "what"].unique()))
halves.pivot_table(index="encoder", columns="setting", values=["species", "genus"], sort=False).round(3)

# %% [markdown]
# ## Where photographs are few
#
# A rule that forgets neighbours needs some to be left. So the silhouettes meet samples of every species, and one in which few
# species are common and most are rare (Zipf's law, as in chapter 11), all with the recommended preparation. Species AMI, mean
# over encoders and two draws; the oracle-k references have the true numbers, on the prepared embedding and as it came.

# %%
each = taxa["species"].value_counts()
LEFT = {"all photographs": lambda seed: each.to_dict()}
LEFT |= {f"{n} of each species": lambda seed, n=n: dict.fromkeys(each.index, n) for n in (5, 3, 2)}
LEFT |= {"uneven (Zipf, power 0.5)": lambda seed: sampling.uneven_sizes(each, 0.5, seed)}
SILHOUETTES = [rule for rule in clustering.RULES if "silhouette" in rule]


def of_sample(encoder, embedding, left, seed):
    """One row per rule, oracle-k reference and baseline: species AMI on what is left."""
    rows = sampling.sample_of_each(taxa["species"], LEFT[left](seed), seed)
    names, embedding = taxa.iloc[rows], embedding[rows]
    family, species = names["family"].to_numpy(), names[["species"]]
    points, plain = clustering.prepare(embedding), clustering.prepare(embedding, **PREPARATIONS["as it came"])
    configs = {rule: clustering.Config.named("nested_ward", k_rule=rule) for rule in SILHOUETTES}
    found = {rule: clustering.cluster({"last": embedding}, family, config) for rule, config in configs.items()}
    found["oracle k"] = clustering.oracle_k(points, family, species)
    found["oracle k, as it came"] = clustering.oracle_k(plain, family, species)
    found["baseline, the family"] = {"species": family}
    tables = {rule: scoring.contingency(species["species"], labels["species"]) for rule, labels in found.items()}
    here = {"encoder": encoder, "left": left, "photographs": len(rows), "seed": seed}
    return [here | {"rule": r, "ami": scoring.mutual_information(table)["ami"]} for r, table in tables.items()]


# %%
samples = [(encoder, left, seed) for encoder in encoders for left in LEFT for seed in (0, 1)]
done = Parallel(n_jobs=-1, return_as="generator")(delayed(of_sample)(e, deepest[e], *sample) for e, *sample in samples)
few = pd.DataFrame(itertools.chain.from_iterable(tqdm(done, total=len(samples), unit="sample")))
utils.write_table(few.round(6), folder / "few.csv")
few.pivot_table(index="left", columns="rule", values="ami", sort=False).round(3)

# %% [markdown]
# ## One figure

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 1.6 + 0.5 * len(encoders)), sharey=True)
kinds = list(dict.fromkeys(halves["setting"]))
for ax, rank in zip(axes, ("genus", "species"), strict=True):
    for number, (kind, mark) in enumerate(zip(kinds, "osD^X", strict=True)):
        part = halves[halves["setting"] == kind]
        places = -part["encoder"].map(encoders.index) + 0.18 - 0.12 * number
        face = "white" if kind.startswith("oracle") else plotting.PALETTE[number]
        ax.plot(part[rank], places, mark, color=plotting.PALETTE[number], markerfacecolor=face, label=kind)
    labels = [encoder_configs.readable_name(encoder) for encoder in encoders]
    ax.set(xlabel=f"{rank} AMI, a mark per half of families", yticks=-np.arange(len(encoders)), yticklabels=labels)
    ax.grid(axis="y", visible=False)
handles = axes[0].get_legend_handles_labels()
figure.tight_layout()
figure.legend(*handles, loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=4, frameon=False)
plotting.save_figure(figure, utils.figures_dir(dataset) / "numbers.png")
utils.write_table(table.round(4), utils.figures_dir(dataset) / "numbers.csv")
utils.write_table(halves.round(4), utils.figures_dir(dataset) / "halves.csv")
utils.write_table(few.round(4), utils.figures_dir(dataset) / "few.csv")

# %% tags=["summary"]
best = mean.loc["species"].drop(columns="oracle k").stack()
print(f"{len(settings)} settings; best species AMI {best.max():.3f} ({'; '.join(best.idxmax())})")
