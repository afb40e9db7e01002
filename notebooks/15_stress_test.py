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
# # 15 · Does the number of clusters hold elsewhere?
#
# **The question.** A rule for the number of species that is good on one collection may fail on the next: one with two
# photographs per species, or two hundred; with one species per family; with a few common species and many rare ones; with
# several photographs of each individual; or with nothing to find. Which rule holds in all of them?
#
# Two kinds of test answer it. *Simulated embeddings* have a known truth and one difficulty each. *Samples of this dataset* have
# the shape of real embeddings. All rules see the same points.
#
# **In:** one embedding, and taxon names for sampling and scores. **Out:** `stress.csv`, a table with a row per situation, draw
# and rule, and a figure with a copy of it.

# %% tags=["parameters"]
dataset = "demo"
encoder = "specimen_resnet18_double"
draws = [0, 1]

# %% jupyter={"source_hidden": true}
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
from simulation.embeddings import EmbeddingConfig, draw_embedding

plotting.set_style()
specimens = utils.load_metadata(dataset)
taxa, known = utils.named_taxa(specimens)
embedding = utils.load_embeddings(dataset, encoder, specimens["hash_id"], "last")
embedding = {name: values[known] for name, values in embedding.items()}
taxa = taxa[known].reset_index(drop=True)

# %% [markdown]
# ## The rules
#
# - **common height**: one height for the trees of all families, by average linkage (the default) or by Ward;
# - **for each family by itself**, on Ward trees: the mean of the silhouettes that exclude 0, 1 and 2 neighbours, the plain
#   silhouette, the gap statistic, stability under resampling, and the largest gap between heights of the tree;
# - **common height, no family names**: one height for one tree of all photographs, as `images_alone` clusters.
#
# The common height also gives *plausible* numbers of clusters: those whose silhouettes are at most two and a half standard
# errors below the best. Is the true number one of them?
#
# All rules read the embedding as the default prepares it. *Silhouette, plain embedding* is what is usually done. *Oracle k* is
# given the true number, for Ward trees of the plain embedding, as is usual: a reference, not a rule.

# %%
RULES = {
    "common height": clustering.Clusterer.named(utils.DEFAULT_CLUSTERER),
    "common height, Ward": clustering.Clusterer.of(method="ward"),
    "silhouette excluding 0 to 2": clustering.Clusterer.named("nested_ward"),
    "silhouette": clustering.Clusterer.of(method="ward", k_rule="silhouette"),
    "gap": clustering.Clusterer.of(method="ward", k_rule="gap"),
    "stability": clustering.Clusterer.of(method="ward", k_rule="stability"),
    "heights": clustering.Clusterer.of(method="ward", k_rule="heights"),
    "silhouette, plain embedding": clustering.Clusterer.named("nested_ward_silhouette"),
    "common height, no family names": clustering.Clusterer.named("images_alone"),
}
ORACLE = "oracle k"


# %%
def by_all_rules(layers, names):
    """One row per rule, and for oracle k: true, found and plausible numbers of species, and species AMI, of an embedding."""
    prepared, _ = RULES["common height"].prepare_both(layers)
    plain, _ = RULES["silhouette, plain embedding"].prepare_both(layers)
    family, species = names["family"].to_numpy(object), names["species"].to_numpy(object)
    found, plausible = {ORACLE: clustering.oracle_k(plain, family, names[["species"]])["species"]}, {}
    for rule, config in RULES.items():
        these = plain if rule.endswith("plain embedding") else prepared
        clusters = clustering.cluster_prepared(these, these, family, config)
        found[rule], plausible[rule] = clusters["species"], clusters.attrs["plausible"]
    measured = {rule: scoring.contingency(scoring.codes(species), scoring.codes(labels)) for rule, labels in found.items()}
    return [
        {
            "photographs": len(names),
            "rule": rule,
            "true": len(set(species)),
            "found": shared.shape[1],
            "ami": scoring.mutual_information(shared)["ami"],
        }
        | dict(zip(("fewest", "most"), plausible.get(rule) or (), strict=False))
        for rule, shared in measured.items()
    ]


# %% [markdown]
# ## Situations
#
# The simulated embeddings have 32 species in seven families of 1 to 12 species, with 20 photographs each, if nothing else is
# said. Two situations are hard on purpose: genera of three species, where the genus is the more distinct group, and families
# that lie far apart. In samples of this dataset, its largest families and species are also clustered alone, one after the
# other.

# %%
SIMULATED = {
    "2 photographs per species": {"photographs": 2},
    "5 per species": {"photographs": 5},
    "20 per species": {},
    "60 per species": {"photographs": 60},
    "200 per species": {"photographs": 200, "families": (1, 2, 3, 4)},
    "uneven (Zipf, power 0.5)": {"photographs": 60, "power": 0.5},
    "very uneven (Zipf, power 1)": {"photographs": 100, "power": 1.0},
    "one species per family": {"families": (1,) * 30},
    "a single family of 2 species": {"families": (2,), "photographs": 60},
    "a single family of 4": {"families": (4,), "photographs": 60},
    "a single family": {"families": (40,)},
    "a single family, 3 per species": {"families": (40,), "photographs": 3},
    "a single species": {"families": (1,), "photographs": 300},
    "two photographs per individual": {"burst": 2},
    "three photographs per individual": {"burst": 3, "photographs": 30},
    "nothing to find": {"separation": 0.0},
    "genera of three species": {"species_per_genus": 3.0},
    "families far apart": {"family_separation": 3.0},
}

# %%
each = taxa["species"].value_counts()
SAMPLES = {"all photographs": lambda seed: each.to_dict()}
SAMPLES |= {
    f"{n} of each species": lambda seed, n=n: dict.fromkeys(each.index, n) for n in (20, 10, 5, 3, 2) if n < each.median()
}
SAMPLES["uneven (Zipf, power 0.5)"] = lambda seed: sampling.uneven_sizes(each, 0.5, seed)
SAMPLES["very uneven (Zipf, power 1)"] = lambda seed: sampling.uneven_sizes(each, 1.0, seed)
FAMILIES = {"every species its own family": taxa["species"], "all in one family": pd.Series("all", taxa.index, dtype=object)}


def largest(rank, most=12, least=10):
    """Rows of each of the largest taxa of a rank that have so many photographs; of families those with several species."""
    groups = [rows for _, rows in taxa.groupby(rank, sort=False) if len(rows) >= least]
    several = [rows.index.to_numpy() for rows in groups if rank == "species" or rows["species"].nunique() > 1]
    return sorted(several, key=len, reverse=True)[:most]


ALONE = {"one family at a time": largest("family"), "one species at a time": largest("species")}


# %%
def of_situation(kind, situation, draw):
    """The rows of `by_all_rules` for one draw of a situation."""
    if kind == "simulated":
        points, names = draw_embedding(EmbeddingConfig(**SIMULATED[situation]), draw)
        layers = {"last": points}
        if situation == "nothing to find":
            names = names.assign(species=names["family"])  # without structure, a family is all that can be found
    else:
        sizes = SAMPLES.get(situation, SAMPLES["all photographs"])(draw)
        rows = ALONE[situation][draw] if situation in ALONE else sampling.sample_of_each(taxa["species"], sizes, draw)
        layers, names = {name: values[rows] for name, values in embedding.items()}, taxa.iloc[rows]
        if situation in FAMILIES:
            names = names.assign(family=FAMILIES[situation].iloc[rows])
    here = {"embedding": kind, "situation": situation, "draw": draw}
    return [here | row for row in by_all_rules(layers, names)]


# %%
fixed = {"all photographs", *FAMILIES}  # the same in every draw
jobs = [("simulated", situation, draw) for situation in SIMULATED for draw in draws]
jobs += [(dataset, name, draw) for name in [*SAMPLES, *FAMILIES] for draw in (draws[:1] if name in fixed else draws)]
jobs += [(dataset, name, number) for name, taken in ALONE.items() for number in range(len(taken))]
done = Parallel(n_jobs=-1, return_as="generator")(delayed(of_situation)(*job) for job in jobs)
table = pd.DataFrame([row for rows in tqdm(done, total=len(jobs), unit="situation") for row in rows])
for path in (utils.dataset_dir(dataset), utils.figures_dir(dataset)):
    utils.write_table(table.round(4), path / "stress.csv")

# %% [markdown]
# ## Numbers found
#
# Number of clusters divided by the number of species, mean (geometric) over draws.

# %%
table["ratio"] = table["found"] / table["true"]
shown = ["embedding", "situation"]
ratios = np.exp(np.log(table.set_index([*shown, "rule"])["ratio"]).groupby(level=[0, 1, 2], sort=False).mean()).unstack()
ratios = ratios.loc[:, [*RULES]].loc[list(dict.fromkeys(table[shown].itertuples(index=False, name=None)))]
off = np.exp(np.abs(np.log(table.set_index([*shown, "rule"])["ratio"])).groupby(level=[0, 1, 2], sort=False).mean()).unstack()
off = off.loc[ratios.index, [*RULES]]  # 1: right; 2: twice or half the true number, on average over draws
ratios.round(2)

# %% [markdown]
# Species AMI. Where there is one species only, the AMI is 1 for one cluster and 0 for more.

# %%
amis = table.pivot_table(index=shown, columns="rule", values="ami", sort=False)[[*RULES, ORACLE]]
amis.round(2)

# %% [markdown]
# The plausible numbers of the default, divided by the number of species, and whether they hold it.

# %%
ranges = table[table["rule"] == "common height"].set_index(shown)
ranges = ranges[["fewest", "most"]].div(ranges["true"], axis=0).assign(
    holds=(ranges["fewest"] <= ranges["true"]) & (ranges["true"] <= ranges["most"])
)
bars = ranges.groupby(level=[0, 1], sort=False).agg({"fewest": "min", "most": "max", "holds": "mean"}).loc[ratios.index]
bars.round(2)

# %% [markdown]
# ## One figure
#
# One row per situation and one mark per rule. The line is the true number; the grey band is within a factor of 1.5 of it. A
# blue bar spans the plausible numbers of the default.

# %% jupyter={"source_hidden": true}
parts = [("simulated", "simulated embeddings"), (dataset, f"samples of {plotting.dataset_name(dataset)}")]
rows = [len(ratios.loc[kind]) for kind, _ in parts]
figure, axes = plt.subplots(1, 2, figsize=(12, 0.42 * max(rows) + 1.8), sharex=True)
for ax, (kind, title) in zip(axes, parts, strict=True):
    values = ratios.loc[kind]
    ax.axvspan(1 / 1.5, 1.5, color="0.92", zorder=0)
    ax.axvline(1, color="0.3", linewidth=1)
    at = bars.loc[kind]
    ax.barh(-np.arange(len(at)), at["most"] - at["fewest"], 0.5, at["fewest"], color=plotting.PALETTE[0], alpha=0.25, zorder=1)
    ax.patches[-1].set_label("plausible numbers, default")
    for number, rule in reversed(list(enumerate(RULES))):
        default = rule == "common height"
        colour, size = [*plotting.PALETTE, "0.5"][number], 9 if default else 7
        face = colour if default else "none"
        label = f"{rule}, average linkage (default)" if default else rule
        ax.plot(values[rule], -np.arange(len(values)), plotting.MARKS[number], color=colour, label=label)
        ax.lines[-1].set(markerfacecolor=face, markersize=size, zorder=4 if default else 3)
    ax.set(xscale="log", yticks=-np.arange(len(values)), xlabel="clusters found / species", title=title)
    ax.set_yticklabels(values.index)
handles, labels = axes[0].get_legend_handles_labels()
near = (off <= 1.5).sum()  # situations in the grey band
shown = {"the default": "common height", "its rule on Ward trees": "common height, Ward"}
shown |= {"the plain silhouette": "silhouette, plain embedding"}
counts = ", ".join(f"{name} in {near[rule]}" for name, rule in shown.items())
figure.suptitle(f"Within a factor of 1.5 of the number of species, of {len(ratios)} situations: {counts}")
figure.tight_layout()
figure.legend(handles[::-1], labels[::-1], loc="upper center", bbox_to_anchor=(0.5, 0.01), ncols=4, frameon=False)
plotting.save_figure(figure, utils.figures_dir(dataset) / "stress.png")
plt.show()

# %% [markdown]
# ## What we learned

# %%
within = (off <= 1.5).groupby(level=0, sort=False).sum()
hits = {kind: ", ".join(f"{n} ({rule.replace(',', ' with')})" for rule, n in within.loc[kind].items()) for kind, _ in parts}
worst = off["common height"]
gain = amis["common height"] - amis["silhouette, plain embedding"]
plotting.say(
    f"Within a factor of 1.5 of the true number, of {rows[0]} simulated situations: {hits['simulated']}.",
    f"Of {rows[1]} samples of this dataset with {encoder_configs.readable_name(dataset, encoder)}: {hits[dataset]}.",
    f"The plausible numbers of the default hold the true one in {ranges.loc['simulated', 'holds'].mean():.0%} of the simulated "
    f"embeddings and {ranges.loc[dataset, 'holds'].mean():.0%} of the samples. They span a factor of "
    f"{(ranges['most'] / ranges['fewest']).median():.1f} (median).",
    f"The default is furthest from the truth at *{worst.idxmax()[1]}* (a factor of {worst.max():.1f}; "
    f"{'simulated' if worst.idxmax()[0] == 'simulated' else 'this dataset'}).",
    f"Its species AMI differs from that of the plain silhouette by {gain.loc[dataset].min():+.2f} to "
    f"{gain.loc[dataset].max():+.2f} on this dataset, and by {gain.loc['simulated'].min():+.2f} to "
    f"{gain.loc['simulated'].max():+.2f} on simulated embeddings.",
)

# %% tags=["summary"]
print(
    f"{len(ratios)} situations; within a factor of 1.5: common height {near['common height']}, "
    f"plain silhouette {near['silhouette, plain embedding']}"
)
