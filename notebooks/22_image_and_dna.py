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
# # 22 · Image and DNA
#
# **The question.** How well do photographs, DNA barcodes, and both together recover the taxonomy? And where do barcodes
# contradict the clusters of photographs?
#
# **In:** photographs with barcodes, the embedding of one image encoder, and the clusters of one run. Without barcodes of its
# own, a dataset may borrow those of another: a photograph then gets a random barcode of its *species*, not of its specimen.
#
# **Out:** `referee.csv`: every specimen with its image cluster, its barcode cluster, its BIN, and whether these agree. A
# figure and a table of scores are in `figures/<dataset>/`.

# %% tags=["parameters"]
dataset = "demo"
run = ""  # encoder/clusterer of the image clusters; empty: the run of submission.csv
barcode_encoder = "kmers"
barcodes_from = ""  # another dataset, whose barcodes are paired by species
seed = 0

# %% jupyter={"source_hidden": true}
import sys

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.preprocessing import StandardScaler, normalize
from tqdm import tqdm

import clustering
import encoder_configs
import encoders
import plotting
import scoring
import utils

plotting.set_style()
folder, out = utils.dataset_dir(dataset), utils.figures_dir(dataset)
encoder, clusterer = (run or utils.load_plan(dataset)["submit"]).split("/")
specimens = utils.load_metadata(dataset)

# %% [markdown]
# ## Specimens with both
#
# Barcodes that are borrowed are dealt out at random within a species, and come twice only where there are too few. Such pairs
# are of one species and of two animals: what they share is the species, and nothing that varies between its members.

# %%
if barcodes_from:
    lent = utils.load_metadata(barcodes_from).dropna(subset=["species", "barcode"])
    lent = lent.sample(frac=1, random_state=seed).groupby("species")
    specimens = specimens[specimens["species"].isin(list(lent.groups))].reset_index(drop=True)
    if specimens.empty:
        raise ValueError(f"{dataset} and {barcodes_from} have no species in common: choose another dataset of barcodes")
    place = specimens.groupby("species").cumcount()
    dealt = [pool.iloc[n % len(pool)] for pool, n in zip(map(lent.get_group, specimens["species"]), place, strict=True)]
    specimens = specimens.assign(**{name: [row.get(name) for row in dealt] for name in ("barcode", "bin")})
elif "barcode" not in specimens:
    raise ValueError(f"{dataset} has no DNA barcodes: give them in a column `barcode`, or name another dataset, barcodes_from=")
specimens = specimens[specimens["barcode"].notna() & specimens["path"].notna()].reset_index(drop=True)
if len(specimens) < 4:
    raise ValueError(f"{dataset} has {len(specimens)} specimens with a photograph and a barcode: 4 or more are needed")
taxa = {rank: utils.lineage(specimens, rank) for rank in utils.RANKS}
scored = [rank for rank, names in taxa.items() if names.nunique() > 1]
print(
    f"{len(specimens):,} specimens, {specimens['barcode'].nunique():,} different barcodes, "
    + ", ".join(f"{names.nunique()} {rank} names" for rank, names in taxa.items())
)

# %% [markdown]
# ## Each alone, and two ways to put both together
#
# - **Image** and **DNA** alone: each embedding is prepared as always.
# - **z-scored**: every column of both embeddings is divided by its standard deviation, and both are put side by side, as in the
#   study of BIOSCAN-5M. The embedding with more columns weighs more.
# - **Both prepared**: each is first prepared by itself (length 1, half whitened), so both weigh alike.

# %%
config = clustering.Clusterer.named(utils.DEFAULT_CLUSTERER)
source = encoders.dataset_source(dataset, specimens)
opened = encoders.open_encoder(encoder_configs.build_config(dataset, barcode_encoder), source, seed)
(of_barcodes,) = opened.describe([list(range(len(specimens)))])
image = utils.load_layer(dataset, encoder, specimens["hash_id"])
barcode = utils.pick_layer(of_barcodes, "last")
side_by_side = np.hstack([StandardScaler().fit_transform(values) for values in (image, barcode)])
alone = {"image": image, "DNA": barcode, "both, z-scored": side_by_side}
prepared = {name: config.prepare({"last": values}, config.species_layers) for name, values in alone.items()}
prepared["both, prepared"] = normalize(np.hstack([prepared["image"], prepared["DNA"]]))
pd.Series({name: points.shape[1] for name, points in prepared.items()}, name="dimensions after preparation").to_frame()

# %% [markdown]
# ## Zero-shot clusters
#
# No name of a genus or species is read. *Oracle k* is average linkage of all specimens, cut at the true number. Intervals are a
# delete-a-group jackknife over species.

# %%
families, rows, clusters = specimens["family"], [], {}
units = taxa["species"].fillna(specimens["hash_id"]) if "species" in scored else specimens["hash_id"]


def score(rank, labels):
    """AMI with its interval, of labels (n,) against the known names of a rank."""
    known = np.flatnonzero(taxa[rank].notna())
    truth, found = taxa[rank].to_numpy(object)[known], np.asarray(labels)[known]
    groups = scoring.jackknife_groups(units.iloc[known])
    replicates = scoring.jackknife_replicates(lambda r: {"ami": scoring.ami(truth[r], found[r])}, groups)
    return scoring.jackknife_interval(replicates)["ami"]


for name, points in tqdm(prepared.items(), unit="modality"):
    for setting, kind in (("family given", "pooled_average"), ("family withheld", "images_alone")):
        labels = clustering.cluster_prepared(points, points, families, clustering.Clusterer.named(kind), seed)
        clusters[name, setting] = labels["species"].to_numpy()
        ranks = [rank for rank in scored if not (rank == "family" and setting == "family given")]
        rows += [(name, setting, rank, *score(rank, labels[rank]), labels[rank].nunique()) for rank in ranks]
    tree = clustering.LinkageTree(points, method="average")
    rows += [(name, "oracle k", rank, *score(rank, tree(taxa[rank].nunique())), taxa[rank].nunique()) for rank in scored]
scores = pd.DataFrame(rows, columns=["input", "setting", "rank", "ami", "ci_low", "ci_high", "clusters"])
utils.write_table(scores.assign(image_encoder=encoder, barcode_encoder=barcode_encoder).round(4), out / "image_and_dna.csv")
scores.pivot_table(index=["setting", "input"], columns="rank", values="ami", sort=False).round(3)

# %% [markdown]
# ## The figure

# %% jupyter={"source_hidden": true}
settings = ("family withheld", "family given")
figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True, width_ratios=(3, 2))
for ax, setting in zip(axes, settings, strict=True):
    part = scores[scores["setting"] == setting]
    ranks = [rank for rank in utils.RANKS if rank in set(part["rank"])]
    for number, name in enumerate(prepared):
        at = part[part["input"] == name].set_index("rank").reindex(ranks)
        x = np.arange(len(ranks)) + 0.16 * (number - 1.5)
        error = np.abs([at["ami"] - at["ci_low"], at["ci_high"] - at["ami"]])
        look = {"fmt": plotting.MARKS[number], "color": plotting.PALETTE[number], "capsize": 2}
        ax.errorbar(x, at["ami"], yerr=error, label=name, **look)
    ax.set(xticks=range(len(ranks)), xticklabels=ranks, title=f"zero-shot clusters, {setting}")
axes[0].set_ylabel("AMI")
axes[0].legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.85, -0.12), ncols=4)
finest = scored[-1] if scored else ""
of_finest = scores[(scores["setting"] == settings[1]) & (scores["rank"] == finest)].set_index("input")["ami"]
message = "clusters of image, DNA and both"
if len(of_finest):
    alone = " and ".join(f"{of_finest[name]:.2f} from {name}" for name in ("image", "DNA"))
    together = " or ".join(f"{value:.2f}" for value in of_finest.iloc[2:])
    message = f"{finest} AMI {alone} alone, {together} from both, where families are given"
figure.suptitle(f"{plotting.dataset_name(dataset)}: {message}", y=1.03)
plotting.save_figure(figure, out / "image_and_dna.png")
plt.show()

# %% [markdown]
# ## Barcodes as referee
#
# Every image cluster of the run is compared with the clusters of the barcodes, specimen by specimen. A specimen *agrees* if
# its two clusters are each other's main clusters. It is *merged* if most of its image cluster has other barcodes, although
# most of its barcode relatives are here; *split* if its image cluster is a lesser part of its barcode cluster; *misplaced* if
# its barcode relatives are elsewhere, and those around it have other barcodes. A misplaced specimen deserves a look: the
# photograph misleads, or the samples were mixed up. Barcodes err, too: species that separated late share them. (Chapter 12 uses
# some of these words for species.)

# %%
table = utils.read_table(folder / "clusters" / encoder / clusterer / f"seed={seed}.parquet").set_index("hash_id")
image_cluster = table.loc[specimens["hash_id"], "species_cluster"].to_numpy(object)
verdict = scoring.verdicts(image_cluster, clusters["DNA", "family given"])
referee = specimens[["hash_id", "path", *utils.RANKS]].assign(
    image_cluster=image_cluster,
    barcode_cluster=[f"b{number + 1}" for number in scoring.codes(clusters["DNA", "family given"])],
    bin=specimens.get("bin", pd.NA),
    verdict=verdict,
)
order = referee["verdict"].map({name: number for number, name in enumerate(scoring.VERDICTS[::-1])})
referee = referee.assign(order=order).sort_values(["order", "image_cluster", "hash_id"]).drop(columns="order")
utils.write_table(referee, folder / "referee.csv")
referee.head(8)

# %% [markdown]
# By image cluster: the clusters with most contradictions, how many barcode clusters they hold, and their largest one. Where
# names are known, the last table says how often each verdict goes with the wrong species (another than the main one of the
# cluster).

# %%
by_cluster = referee.groupby("image_cluster").agg(
    specimens=("verdict", "size"),
    agree=("verdict", lambda v: (v == "agrees").mean()),
    barcode_clusters=("barcode_cluster", "nunique"),
    main_barcode_cluster=("barcode_cluster", lambda b: b.value_counts().index[0]),
    BINs=("bin", "nunique"),
)
contradicted = by_cluster.assign(n=by_cluster["specimens"] * (1 - by_cluster["agree"])).sort_values("n", ascending=False)
contradicted.drop(columns="n").head(8).round(2)

# %%
counts = referee["verdict"].value_counts().reindex(scoring.VERDICTS, fill_value=0)
summary = pd.DataFrame({"specimens": counts, "share": counts / len(referee)})
taxon = utils.lineage(referee, "species")
known = referee.assign(taxon=taxon)[taxon.notna()]
if known["taxon"].nunique() > 1:
    main = known.groupby("image_cluster")["taxon"].agg(lambda names: names.value_counts().index[0])
    wrong = known["taxon"] != known["image_cluster"].map(main)
    summary["not the main species of the image cluster"] = wrong.groupby(known["verdict"]).mean()
summary.round(3)

# %% [markdown]
# ## What we learned

# %%
sentences = [
    f"Barcodes and the image clusters of {encoder}/{clusterer} agree on {summary.loc['agrees', 'share']:.0%} of "
    f"{len(referee):,} specimens; {counts['merged']:,} merged, {counts['split']:,} split, {counts['misplaced']:,} misplaced."
]
if len(of_finest):
    sentences.append(
        f"Where families are given, the {finest} AMI is {of_finest['image']:.2f} from images, {of_finest['DNA']:.2f} from DNA, "
        f"{of_finest['both, z-scored']:.2f} from both z-scored and {of_finest['both, prepared']:.2f} from both prepared."
    )
if barcodes_from:
    sentences.append("Barcodes are paired with photographs by species, so DNA and both look better here than with real pairs.")
plotting.say(*sentences)

# %% tags=["summary"]
print(
    f"{len(specimens):,} specimens with both; {summary.loc['agrees', 'share']:.2f} agree; {finest} AMI "
    + ", ".join(f"{name} {value:.3f}" for name, value in of_finest.items())
)
