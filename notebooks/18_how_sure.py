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
# # 18 · How sure are the scores?
#
# **The question.** One AMI can mislead in three ways. It may hardly depend on the number of clusters, so that a wrong number
# looks as good as the right one. Its interval in chapter 06 leaves out species only, but a sample of other genera, or of other
# photographs, might give another result. And "as good as oracle k" needs a test of equality, not the lack of a difference.
#
# **In:** embeddings, and names of taxa. **Out:** `how_sure.csv`, a row per encoder, and a figure of the AMI against the
# number of clusters.

# %% tags=["parameters"]
dataset = "demo"
encoders = []  # empty: those of the last make
n_subsamples = 10
share = 0.8  # of the photographs in a subsample
margin = 0.02  # differences of AMI up to this are taken as equal

# %% jupyter={"source_hidden": true}
import sys

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.metrics import adjusted_mutual_info_score

import clustering
import encoder_configs
import plotting
import scoring
import utils

plotting.set_style()
encoders = encoders or utils.load_plan(dataset)["encoders"]
specimens = utils.load_metadata(dataset)
names, known = utils.named_taxa(specimens)
family, species = specimens["family"].fillna(clustering.UNKNOWN).to_numpy(object), scoring.codes(names["species"][known])
config = clustering.Clusterer.named(utils.DEFAULT_CLUSTERER)
prepared = {}
for encoder in encoders:
    layers = utils.load_embeddings(dataset, encoder, specimens["hash_id"])
    prepared[encoder] = config.prepare_both(layers)

# %% [markdown]
# ## The score of every number of clusters
#
# The trees of the default are cut at one common height after the other. Where the curve is flat, the AMI says little about the
# number. *n / c* are Ward trees cut into one cluster per c photographs of each family: they know the families and nothing else
# about the number. *Plausible* are the numbers whose silhouettes are at most two and a half standard errors below the best.

# %%
PER_CLUSTER = (5, 10, 20, 40)


def curve(encoder):
    """Number of clusters and species AMI of all cuts, the default, oracle k and n / c, over photographs with names; their
    labels; plausible numbers, over all photographs."""
    points, genus_points = prepared[encoder]
    groups = list(pd.Series(family).groupby(family).indices.values())
    trees = clustering.trees_of(groups, points, config.method)
    partitions = {("cut", i): cut for i, cut in enumerate(clustering.cuts_at_common_heights(trees, len(points)))}
    found = clustering.cluster_prepared(points, genus_points, family, config)
    partitions["default", 0] = found["species"].to_numpy()
    partitions["oracle k", 0] = clustering.oracle_k(points, family, names[["species"]])["species"]
    ward = clustering.trees_of(groups, points, "ward")
    for c in PER_CLUSTER:
        labels = np.empty(len(points), int)
        for number, (rows, tree) in enumerate(ward):
            labels[rows] = tree(max(1, round(len(rows) / c))) + number * len(points)
        partitions["n / c", c] = labels
    partitions = {key: labels[known] for key, labels in partitions.items()}
    scored = [(*key, len(np.unique(labels)), scoring.ami(species, labels)) for key, labels in partitions.items()]
    table = pd.DataFrame(scored, columns=["kind", "c", "found", "ami"]).assign(encoder=encoder)
    return table, partitions, found.attrs["plausible"]


done = dict(zip(encoders, Parallel(n_jobs=-1)(delayed(curve)(encoder) for encoder in encoders), strict=True))
curves = pd.concat([table for table, *_ in done.values()])
marks = curves[curves["kind"] != "cut"].assign(what=lambda t: t["kind"].where(t["c"] == 0, "n / " + t["c"].astype(str)))
marks.pivot_table(index="encoder", columns="what", values="ami", sort=False).round(3)

# %% [markdown]
# ## Three intervals, and a test of equality
#
# - over **species** and over **genera**: a delete-a-group jackknife; the clusters stay as they are;
# - over **subsamples**: the clustering is repeated on random 80 % of the photographs, and the table has the mean and the
#   standard deviation of the AMI; fewer photographs per species may lower it;
# - **default minus oracle k**: two one-sided tests at 5 % (Schuirmann 1987, J. Pharmacokinetics and Biopharmaceutics
#   15:657-680). The two are *equivalent* if the 90 % interval of the difference, over species, lies within the margin.


# %%
def subsampled(encoder, seed):
    """AMI of the default on a random subsample."""
    rows = np.sort(np.random.default_rng(seed).permutation(len(family))[: int(share * len(family))])
    points, genus_points = prepared[encoder]
    found = clustering.cluster_prepared(points[rows], genus_points[rows], family[rows], config)["species"]
    named = known[rows]
    return scoring.ami(names["species"].to_numpy(object)[rows[named]], found[named])


# %%
def sureness(encoder):
    """One row of the table."""
    _, partitions, (fewest, most) = done[encoder]
    default, oracle = partitions["default", 0], partitions["oracle k", 0]
    row = {"encoder": encoder, "found": len(np.unique(default)), "true": len(np.unique(species))}
    row |= {"fewest": fewest, "most": most}
    for rank in ("species", "genus"):
        groups = scoring.jackknife_groups(names[rank][known])

        def both(rows):
            one, other = scoring.ami(species[rows], default[rows]), scoring.ami(species[rows], oracle[rows])
            return {"ami": one, "difference": one - other}

        replicates = scoring.jackknife_replicates(both, groups)
        for name, level in (("ami", 0.95), ("difference", 0.9)):
            value, low, high = scoring.jackknife_interval(replicates, level)[name]
            row |= {name: value, f"{name}_low_{rank}": low, f"{name}_high_{rank}": high}
    row["equivalent"] = -margin < row["difference_low_species"] and row["difference_high_species"] < margin
    row["ami_max"] = adjusted_mutual_info_score(species, default, average_method="max")
    repeated = [subsampled(encoder, seed) for seed in range(n_subsamples)]
    return row | {"subsamples": np.mean(repeated), "subsamples_sd": np.std(repeated, ddof=1)}


table = pd.DataFrame(Parallel(n_jobs=-1)(delayed(sureness)(encoder) for encoder in encoders))
table.insert(0, "dataset", dataset)
utils.write_table(table.round(4), utils.figures_dir(dataset) / "how_sure.csv")
table.drop(columns="dataset").set_index("encoder").T.round(3)

# %% [markdown]
# ## One figure

# %% jupyter={"source_hidden": true}
fair = [encoder for encoder in encoders if not encoder_configs.role(dataset, encoder)][:4] or encoders[:1]
first_line = curves[(curves["encoder"] == fair[0]) & (curves["kind"] == "cut")]
good = (first_line["ami"] >= first_line["ami"].max() - margin).to_numpy()
runs = np.cumsum(np.diff(good, prepend=False))  # cuts between two that are worse have one number
near = first_line.loc[good & (runs == runs[first_line["ami"].argmax()]), "found"]
figure, ax = plt.subplots(figsize=(9, 4.8))
for number, encoder in enumerate(fair):
    part, colour = curves[curves["encoder"] == encoder], plotting.PALETTE[number]
    line, name = part[part["kind"] == "cut"], plotting.plain(encoder_configs.readable_name(dataset, encoder), 50)
    ax.plot(line["found"], line["ami"], color=colour, linestyle=("-", "--", "-.", ":")[number], label=name)
    for kind, mark, face in (("default", "o", colour), ("oracle k", "D", "white"), ("n / c", "x", colour)):
        at = part[part["kind"] == kind]
        ax.plot(at["found"], at["ami"], mark, color=colour, markerfacecolor=face, markersize=8)
    plausible = line[line["found"].between(*done[encoder][2])]
    ax.plot(plausible["found"], plausible["ami"], color=colour, linewidth=6, alpha=0.3, solid_capstyle="butt")
ax.plot([], [], color="0.3", linewidth=6, alpha=0.3, label="plausible numbers")
for kind, mark, face in (("chosen by the default", "o", "0.3"), ("oracle k", "D", "white"), ("n / 5, 10, 20, 40", "x", "0.3")):
    ax.plot([], [], mark, color="0.3", markerfacecolor=face, markersize=8, label=kind)
ax.axvline(len(np.unique(species)), color="0.3", linewidth=1, label="true number of species")
ax.set(xscale="log", xlabel="species clusters", ylabel="species AMI")
flat = f"cuts into {near.min():,} to {near.max():,} clusters have a species AMI within {margin} of the best cut"
named = plotting.plain(encoder_configs.readable_name(dataset, fair[0]), 50)
ax.set_title(f"{plotting.dataset_name(dataset)}: {flat}\n({named})")
ax.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
figure.tight_layout()
plotting.save_figure(figure, utils.figures_dir(dataset) / "ami_by_k.png")
plt.show()

# %% [markdown]
# ## What we learned

# %%
rows = table.set_index("encoder").loc[fair]
first = rows.iloc[0]
holds = (rows["fewest"] <= rows["true"]) & (rows["true"] <= rows["most"])
wide = rows["ami_high_genus"] - rows["ami_low_genus"], rows["ami_high_species"] - rows["ami_low_species"]
plotting.say(
    f"With {encoder_configs.readable_name(dataset, fair[0])}, all {len(near)} cuts into {near.min():,} to {near.max():,} "
    f"clusters have a species AMI within {margin} of the best cut ({first_line['ami'].max():.2f}). The default finds "
    f"{first['found']:,} ({first['true']:,} are true), with an AMI of {first['ami']:.2f}. It is not on the curve, because "
    "small clusters are joined after the cut.",
    f"From {first['fewest']:,} to {first['most']:,} clusters are plausible. "
    + (f"With {holds.sum()} of {len(rows)} encoders the true number is among the plausible ones." if known.all() else ""),
    f"The default is equivalent to oracle k with {rows['equivalent'].sum()} of {len(rows)} encoders; its AMI differs "
    f"by {rows['difference'].min():+.3f} to {rows['difference'].max():+.3f}.",
    f"On subsamples of {share:.0%} the AMI has a standard deviation of {rows['subsamples_sd'].mean():.3f}.",
    f"Intervals over genera are {(wide[0] / wide[1]).mean():.1f} times as wide as those over species."
    if wide[0].notna().all()
    else "There are too few genera for intervals over them.",
)

# %% tags=["summary"]
over_genera = f" [{first['ami_low_genus']:.3f}, {first['ami_high_genus']:.3f}] over genera" if wide[0].notna().all() else ""
print(f"{len(encoders)} encoders; {fair[0]}: AMI {first['ami']:.3f}{over_genera}, {first['difference']:+.3f} to oracle k")
