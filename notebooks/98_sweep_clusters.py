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
# # 98 · Which clusterer, and which settings?
#
# **The question.** What do the clusterer and its settings decide, compared with what the encoder decides?
#
# A sweep of chapter 05 clusters with every point of its grid (`make sweep SWEEP=clusterers`, `preparation` or `caps`). This
# chapter scores the clusters and draws them beside the same two references.
#
# **In:** the clusters of all points, and genus and species names where they are known. **Out:** `sweeps/<sweep>/summary.csv`,
# with the columns of `scores.csv` and the varied parameters, and one figure with a copy of the table.

# %% tags=["parameters"]
dataset = "demo"
sweep = "clusterers"
encoders = []  # empty: as in the last `make sweep` of this name

# %% jupyter={"source_hidden": true}
import sys

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from sklearn.preprocessing import normalize

import clustering
import encoder_configs
import plotting
import scoring
import utils
from sweeps import last_sweep

plotting.set_style()
folder = utils.dataset_dir(dataset)
specimens = utils.load_metadata(dataset)
taxa = pd.DataFrame({rank: utils.lineage(specimens, rank) for rank in ("genus", "species")})
known = {rank: taxa[rank].notna().to_numpy() for rank in taxa}
points, varied = last_sweep(dataset, sweep, encoders)
used = list(dict.fromkeys(parameters["encoder"] for parameters in points.values()))

# %% [markdown]
# ## Scores of every point
#
# AMI at every rank with names, and the number of clusters, for every seed. A seed that gives the same clusters is scored again:
# the spread over seeds is a result, too.


# %%
def score(labels, rank):
    """{metric: value} of cluster labels (n,) at one rank."""
    if not known[rank].any():
        return {"n_found": len(np.unique(labels))}
    labels = np.asarray(labels)[known[rank]]
    return {"n_found": len(np.unique(labels)), "ami": scoring.ami(taxa[rank][known[rank]], labels)}


table = []
for point, parameters in points.items():
    about = {name: parameters[name] for name in varied} | {name: parameters[name] for name in ("encoder", "clusterer")}
    for seed in parameters["seeds"]:
        path = folder / "clusters" / parameters["encoder"] / point / f"seed={seed}.parquet"
        clusters = utils.read_table(path).set_index("hash_id").loc[specimens["hash_id"]]
        for rank in taxa:
            values = score(clusters[f"{rank}_cluster"].to_numpy(), rank)
            table += [about | {"seed": seed, "rank": rank, "metric": m, "value": v} for m, v in values.items()]

# %% [markdown]
# Two references need no clusterer: the family-only baseline, which takes the family itself as genus and species, and the
# oracle-k reference, Ward on plain embeddings with the true numbers.

# %%
family = specimens["family"].fillna(clustering.UNKNOWN).to_numpy(object)
references = {("baseline_family", "none"): dict.fromkeys(taxa, family)}
for encoder in used if any(rows.any() for rows in known.values()) else []:
    plain = normalize(utils.load_layer(dataset, encoder, specimens["hash_id"]))
    references["oracle_k_ward", encoder] = clustering.oracle_k(plain, family, taxa)
for (clusterer, encoder), labels in references.items():
    for rank in taxa:
        values = score(labels[rank], rank)
        about = {"encoder": encoder, "clusterer": clusterer, "rank": rank}
        table += [about | {"metric": m, "value": v} for m, v in values.items()]
table = pd.DataFrame(table).assign(dataset=dataset)
table = table.reindex(columns=[*dict.fromkeys([*varied, *utils.SCORE_COLUMNS])]).astype({"seed": "Int64"})
utils.write_table(table.round(6), folder / "sweeps" / sweep / "summary.csv")
shown = table[table["metric"] == ("ami" if (table["metric"] == "ami").any() else "n_found")]
settings = list(dict.fromkeys(["clusterer", *(name for name in varied if name != "encoder")]))
wide = shown.pivot_table(index=settings, columns=["rank", "encoder"], values="value", sort=False, dropna=False)
wide.dropna(how="all").round(3)

# %% [markdown]
# ## One figure
#
# Clusterers by name are marks, one per encoder, the best on top; hollow marks are the oracle-k reference. Settings with a
# number are curves over the first varied parameter, each the mean over encoders.

# %% jupyter={"source_hidden": true}
def draw_clusterers():
    """AMI of every clusterer, the best on top, with a mark per encoder."""
    ami = table[table["metric"] == "ami"].pivot_table(index="clusterer", columns=["rank", "encoder"], values="value")
    rows = ami.drop(index="baseline_family")
    rows = rows.loc[rows["species"].mean(axis=1).sort_values().index]
    figure, axes = plt.subplots(1, 2, figsize=(10, 0.33 * len(rows) + 1.6), sharey=True, squeeze=False)
    oracle = rows.index.str.startswith("oracle")
    for ax, rank in zip(axes[0], ("genus", "species"), strict=True):
        ax.axvline(ami.loc["baseline_family", (rank, "none")], color="0.45", linestyle="--", label="family-only baseline")
        for encoder, colour, mark in zip(used, plotting.PALETTE, plotting.MARKS, strict=False):
            places, values = np.arange(len(rows)), rows[rank, encoder]
            looks = {"linestyle": "", "marker": mark, "color": colour}
            ax.plot(values[~oracle], places[~oracle], **looks, label=encoder_configs.readable_name(dataset, encoder))
            ax.plot(values[oracle], places[oracle], markerfacecolor="white", **looks)
        ax.set(xlabel=f"{rank} AMI", yticks=range(len(rows)), yticklabels=[name.replace("_", " ") for name in rows.index])
    figure.tight_layout()
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=3, frameon=False)
    return figure


# %% jupyter={"source_hidden": true}
def draw_settings():
    """Every measure against the first varied parameter, one curve per value of the second and the third; mean over others."""
    panels = table.assign(measure=table["rank"] + " " + table["metric"].replace({"ami": "AMI", "n_found": "clusters"}))
    first, hue, style = ([name for name in varied if name not in ("encoder", "seed")] + [None, None])[:3]
    curves = sns.relplot(
        panels.dropna(subset=first),
        x=first,
        y="value",
        hue=hue,
        style=style,
        palette=sns.color_palette(plotting.PALETTE, panels[hue].nunique()) if hue else None,
        col="measure",
        col_wrap=2,
        kind="line",
        marker="o",
        errorbar=None,
        height=2.8,
        aspect=1.3,
        facet_kws={"sharey": False},
    )
    lines = panels[(panels["metric"] == "ami") & panels["clusterer"].isin(LINES)]
    for (clusterer, panel), value in lines.groupby(["clusterer", "measure"])["value"].mean().items():
        ax, (text, dashes) = curves.axes_dict[panel], LINES[clusterer]
        ax.axhline(value, color="0.45", linestyle=dashes)
        ax.text(1, value, text, color="0.35", ha="right", va="bottom", transform=ax.get_yaxis_transform())
    return curves.set_titles("{col_name}").set_ylabels("").figure


LINES = {"baseline_family": ("family-only baseline", "--"), "oracle_k_ward": ("oracle k", ":")}

# %%
by_name = "clusterer" in varied and (table["metric"] == "ami").any()
figure = draw_clusterers() if by_name else draw_settings()
species = shown[(shown["rank"] == "species") & ~shown["clusterer"].isin(LINES)]
by_setting = species.groupby(settings)["value"].mean()
by_encoder = species.groupby("encoder")["value"].mean()
what = "species AMI" if (table["metric"] == "ami").any() else "number of species clusters"
best = " ".join(map(str, np.atleast_1d(by_setting.idxmax())))
title = f"{plotting.dataset_name(dataset)}: {what} {by_setting.min():.2f} to {by_setting.max():.2f} ({best})"
figure.suptitle(title.replace("_", " "), y=1.02)
plotting.save_figure(figure, utils.figures_dir(dataset) / f"sweep_{sweep}.png")
utils.write_table(table.round({"value": 4}), utils.figures_dir(dataset) / f"sweep_{sweep}.csv")
plt.show()

# %% [markdown]
# ## What we learned

# %%
sentences = [
    f"Over {len(by_setting)} settings the mean {what} lies between {by_setting.min():.2f} and {by_setting.max():.2f} ({best}).",
]
if settings == ["clusterer"] and utils.DEFAULT_CLUSTERER in by_setting:
    place = int(by_setting.rank(ascending=False, method="min")[utils.DEFAULT_CLUSTERER])
    sentences.append(f"The default has {by_setting[utils.DEFAULT_CLUSTERER]:.2f}, number {place} of {len(by_setting)}.")
if len(by_encoder) == 1:
    sentences.append("One encoder was run, so these clusters do not tell what it decides.")
if len(by_encoder) > 1:
    sentences.append(
        f"Over {len(by_encoder)} encoders it lies between {by_encoder.min():.2f} and {by_encoder.max():.2f}: the "
        f"{'encoder' if np.ptp(by_encoder) > np.ptp(by_setting) else 'clusterer'} decides more here."
    )
plotting.say(*sentences)

# %% tags=["summary"]
print(f"{len(points)} clusterings, drawn in sweep_{sweep}.png")
