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
# # 7 · DNA barcodes
#
# **The question.** How much of the taxonomy is in a DNA barcode, and does a language model that is pretrained on barcodes find
# more of it than counts of short words?
#
# **In:** `metadata.parquet` with a barcode for every specimen, or for some. Where species are named, they are split: no barcode
# of a held-out species is trained on.
#
# **Out:** `models/<model>.safetensors`, the pretrained model, with its log (`.csv`); `barcode_scores.csv`: scores of all
# encoders on species that training did not see. A figure and a copy of the table are in `figures/<dataset>/`.

# %% tags=["parameters"]
dataset = "demo"
model = "dna_mlm"  # names the output
weights = ""  # a pretrained model, evaluated as it is; empty: pretrain one
dimensions = 64  # of the embedding
steps = 200  # of training
batch_size = 128
learning_rate = 0.001
n_targets = 64  # positions whose hidden tokens are predicted in a step
dropout = 0.3
mutated = 0.3  # share of the visible tokens of a barcode that is exchanged, at most
whitening_power = 0.75  # of the output: chosen on the validation species of coi_barcodes
fine_tuning_steps = 100
test = 0.2  # share of the species that results are reported on, unless the table has partitions
validation = 0.12  # share of the species that settings may be chosen on
most = 8000  # test barcodes that are clustered, at most
published = []  # encoders of barcodes in params/encoders/ that are compared, too, such as barcodebert
weights_dir = ""  # folder with <architecture>.safetensors or .pth of those; empty: the hub
seed = 0

# %% jupyter={"source_hidden": true}
import itertools
import sys
import time

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import skbio
from scipy.cluster.hierarchy import linkage
from sklearn.linear_model import RidgeClassifier
from sklearn.preprocessing import normalize
from tqdm import tqdm

import clustering
import dna
import encoder_configs
import encoders
import plotting
import pretrained
import scoring
import utils

plotting.set_style()
folder, out = utils.dataset_dir(dataset), utils.figures_dir(dataset)
specimens = utils.load_metadata(dataset)
if "barcode" not in specimens:
    raise ValueError(f"{dataset} has no DNA barcodes: give them in a column `barcode` of its table")
specimens = specimens[specimens["barcode"].notna()].reset_index(drop=True)
sequences = specimens["barcode"].tolist()

# %% [markdown]
# ## Split by species
#
# A model is judged on species that it has never seen, as in the study of BIOSCAN-5M (Gharaee et al. 2024). Three quarters of
# the held-out species have another species of their genus in training: only these can be given the right genus. Validation
# species are for choosing settings, test species for reporting. Barcodes without a species name are trained on. The
# partitions of BIOSCAN are used as they are.

# %%
part = dna.own_split(specimens)
if part is None:
    part = dna.split_species(specimens[["genus", "species"]], seed, test, validation)
train, tested = part == "train", np.flatnonzero(part == "test")
genus, species = (utils.lineage(specimens, rank).to_numpy(object, na_value=None) for rank in ("genus", "species"))
if len(set(species[tested])) < 2:
    raise ValueError(f"{dataset} names too few species: a share of {test} of them should be two or more")
if not np.isin(genus[tested], list({name for name in genus[train] if name})).any():
    raise utils.NotApplicable(f"in {dataset} no test species is of a genus that training has seen, so none can be predicted")
specimens.assign(part=part).groupby("part").agg(
    barcodes=("barcode", "size"), distinct=("barcode", "nunique"), species=("species", "nunique"), genera=("genus", "nunique")
)

# %% [markdown]
# ## One position, one meaning
#
# Barcodes of one gene hardly differ in length, but many of them begin late or end early. Every barcode is shifted to where it
# fits the *profile* best: how often each base stands at each position, in barcodes of training species. No gaps are put in.
# Words of three letters in the reading frame, where stop codons are rarest, are the tokens of the model. A barcode of another
# part of the gene does not fit; it is kept, and counted here.

# %%
others = {  # opened here, so that weights that are missing are noticed before anything is trained
    encoder_configs.readable_name(dataset, name): encoders.open_for_barcodes(dataset, name, sequences, weights_dir, seed)
    for name in published
}
if weights:
    network, profile, frame = dna.load_model(pretrained.tuned_file(weights))
else:
    profile = dna.Profile.fit([sequences[row] for row in np.flatnonzero(train)])
codes, fits = profile.register(sequences)
frame = frame if weights else dna.reading_frame(codes[train])
tokens = dna.tokenise(codes, frame)
known = (codes < 4).mean(axis=1)
shares = {"fit badly": (fits < dna.MIN_FIT).mean(), "cover less than half": (known < 0.5).mean(), "mean coverage": known.mean()}
pd.Series(shares, name="share of the barcodes").to_frame().round(3)

# %% [markdown]
# ## Pretraining
#
# Between 30 and 90 % of the tokens of a barcode are hidden, and in half of the barcodes both ends as well. The visible tokens
# are summed into one vector, which a small network mixes. From this vector alone the hidden tokens have to be named. So
# whatever the model learns, the vector holds it. No name of a taxon is read. The vectors of the tokens begin as principal
# components of the letters. Training goes on where it was interrupted.

# %%
if not weights:
    device = encoders.pick_device()
    with tqdm(total=steps, desc="pretraining", unit="step") as bar:
        network, log = dna.pretrain(
            tokens[train], tokens[part == "validation"], dimensions, steps, batch_size, learning_rate, n_targets,
            dropout, mutated, whitening_power, seed, device, folder / "models" / f"{model}.checkpoint", progress=bar.update,
        )  # fmt: skip
    dna.save_model(network, profile, frame, folder / "models" / f"{model}.safetensors", {"dataset": dataset})
    utils.write_table(log.round(6), folder / "models" / f"{model}.csv")
    network, profile, frame = dna.load_model(folder / "models" / f"{model}.safetensors")  # evaluated as stored
    log = log.set_index("step")
    axes = log[["loss", "held_out_loss"]].plot(figsize=(6, 2.8), xlabel="step", ylabel="cross-entropy of hidden tokens (nats)")
    last = log[["accuracy", "held_out_accuracy"]].iloc[-1]
    axes.set_title("Hidden tokens named right: {:.0%} in training, {:.0%} of unseen species".format(*last))
    plt.show()

# %% [markdown]
# ## The encoders that are compared
#
# - **6-mers**: square roots of the counts of all words of six letters. No alignment, no learning.
# - **Registered letters**: the barcode at the positions of the profile, as it is. The cosine similarity of two of them falls
#   with the share of letters in which they differ (the *p-distance*). The profile is all that is learned.
# - **Their principal components**: what the model begins with, whitened like its output. This tells what pretraining adds.
# - **Language model**: after pretraining.
# - Those in `published`, if any. They were pretrained elsewhere, perhaps on barcodes of the test species.
#
# The time is that of one barcode on one core, from the sequence to the vector.

# %%
start = dna.start_model(tokens[train], len(network.centre), seed).eval()
start.fit_outputs(tokens[train], whitening_power)
ENCODERS = {
    "6-mers": dna.kmers,
    "registered letters": lambda s: dna.registered_letters(profile.register(s)[0], codes[train]),
    "their principal components": lambda s: start.embed(dna.tokenise(profile.register(s)[0], frame)),
    "language model": lambda s: network.embed(dna.tokenise(profile.register(s)[0], frame)),
}
for name, model in others.items():
    ENCODERS[name] = lambda s, model=model: utils.pick_layer(next(model.describe([range(len(s))])), "last")
vectors, times = {}, {}
for name, encode in tqdm(ENCODERS.items(), unit="encoder"):
    begun = time.process_time()
    vectors[name] = encode(sequences)
    times[name] = 1000 * (time.process_time() - begun) / len(sequences)
rows = [(name, "time", "barcode", "encoding, ms", value) for name, value in times.items()]
pd.DataFrame({"dimensions": {name: values.shape[1] for name, values in vectors.items()}, "ms per barcode": times}).round(2)

# %% [markdown]
# ## Unseen species: is the nearest neighbour of the same genus?
#
# For every barcode of a test species whose genus training has seen, the nearest neighbour among the training barcodes is looked
# up. Species count equally; the interval comes from 1,000 bootstrap samples of them, and differences are paired. Repeats of one
# barcode cannot help here, because the neighbours are of other species; the second column counts every distinct barcode once.

# %%
asked = tested[np.isin(genus[tested], list({name for name in genus[train] if name}))]
references = np.flatnonzero(train & pd.notna(genus))
once = ~specimens["barcode"].iloc[asked].duplicated().to_numpy()
near = {name: dna.nearest(values[asked], values[references]) for name, values in vectors.items()}
right = {name: genus[references[neighbours]] == genus[asked] for name, neighbours in near.items()}
by_species = pd.DataFrame(right).groupby(species[asked]).mean()
drawn = np.random.default_rng(0).integers(len(by_species), size=(1000, len(by_species)))
found = {}
for name in vectors:
    means = by_species[name].to_numpy()[drawn].mean(axis=1)
    gain = (by_species[name] - by_species["6-mers"]).to_numpy()[drawn].mean(axis=1)
    without_repeats = pd.Series(right[name][once]).groupby(species[asked[once]]).mean().mean()
    found[name] = [by_species[name].mean(), *np.quantile(means, [0.025, 0.975]), right[name].mean(), without_repeats]
    found[name] += [(by_species[name] - by_species["6-mers"]).mean(), *np.quantile(gain, [0.025, 0.975])]
names = ["mean over species", "low", "high", "over barcodes", "distinct", "above 6-mers", "above, low", "above, high"]
unseen = pd.DataFrame(found, index=names).T
rows += [(name, "unseen genus", "genus", column, row[column]) for name, row in unseen.iterrows() for column in unseen]
print(f"{len(by_species)} test species with a genus that training has seen, {len(asked):,} barcodes")
unseen.round(3)

# %% [markdown]
# ## Seen species: a classifier
#
# A fifth of the barcodes of training species is set aside, and a linear classifier learns the names of the species from the
# others: that is supervised. *Fine-tuned*: the whole model learns with the classifier. Pretraining saw these barcodes, without
# their names.

# %%
several = train & (pd.Series(species).groupby(species).transform("size").fillna(0) >= 5).to_numpy()
seen = np.random.default_rng(seed).permutation(np.flatnonzero(several))
aside, learned = seen[: len(seen) // 5], seen[len(seen) // 5 :]
aside = aside[np.isin(species[aside].astype(str), species[learned].astype(str))]


def correct(named):
    """Share of the barcodes set aside that have the right name: mean over species."""
    return pd.Series(named == species[aside]).groupby(species[aside].astype(str)).mean().mean()


accuracy = {}
if len(aside):
    for name in tqdm(["6-mers", "language model"], unit="probe"):
        points = normalize(vectors[name])
        probe = RidgeClassifier().fit(points[learned], species[learned])
        accuracy[name, "linear probe"] = correct(probe.predict(points[aside]))
        accuracy[name, "1-NN"] = correct(species[learned[dna.nearest(points[aside], points[learned])]])
    named = dna.fine_tune(network, tokens[learned], species[learned], tokens[aside], fine_tuning_steps, seed=seed)
    accuracy["language model", "fine-tuned"] = correct(named)
rows += [(name, "seen species", "species", how, value) for (name, how), value in accuracy.items()]
pd.Series(accuracy, name="accuracy, mean over species", dtype=float).unstack().round(3) if accuracy else "too few barcodes"

# %% [markdown]
# ## Zero-shot clustering
#
# The test barcodes are clustered as photographs are: by the default clusterer, with the family names given and withheld, and no
# number is given. *Oracle k* is average linkage cut at the true number of taxa, as in the study of BIOSCAN-5M. AMI is against
# families, genera, species and BINs. Repeats of one barcode are easy to put together and raise the score, so every clustering
# is repeated with distinct barcodes only.

# %%
pool = np.sort(np.random.default_rng(seed).permutation(tested)[:most])
taxa = {rank: utils.lineage(specimens, rank).to_numpy(object, na_value=None) for rank in utils.RANKS}
taxa["bin"] = specimens["bin"].to_numpy(object, na_value=None) if "bin" in specimens else np.full(len(specimens), None)


def amis(labels, inside, ranks):
    """{rank: AMI of cluster labels (len(inside),)} for every rank that has names; the BIN is compared with species."""
    for rank in ranks:
        named = np.array([taxon is not None for taxon in taxa[rank][inside]])
        if named.sum() > 1:
            yield rank, scoring.ami(taxa[rank][inside][named], np.asarray(labels[rank.replace("bin", "species")])[named])


def cluster_scores(name, inside):
    """Rows (setting, rank, AMI or number found) of one encoder on the barcodes `inside`, and the seconds of the clustering."""
    points, family = vectors[name][inside], specimens["family"].iloc[inside]
    for setting, config in (("family given", "pooled_average"), ("family withheld", "images_alone")):
        begun = time.process_time()
        labels = clustering.cluster({"last": points}, family, clustering.Clusterer.named(config), seed)
        yield setting, "barcode", "clustering, ms", 1000 * (time.process_time() - begun) / len(inside)
        yield setting, "species", "clusters found", labels["species"].nunique()
        ranks = [*utils.RANKS[setting == "family given" :], "bin"]  # given families are not found
        yield from ((setting, rank, "ami", value) for rank, value in amis(labels, inside, ranks))
    tree = clustering.LinkageTree(normalize(points), method="average")
    cuts = {rank: tree(max(len({t for t in taxa[rank][inside] if t}), 1)) for rank in utils.RANKS}
    yield from (("oracle k", rank, "ami", value) for rank, value in amis(cuts, inside, utils.RANKS))


# %%
distinct = pool[~specimens["barcode"].iloc[pool].duplicated().to_numpy()]
subsets = {"all": pool, "distinct": distinct}
scores = [
    (name, f"{setting}, {subset}", rank, metric, value)
    for name in tqdm(vectors, desc="clustering", unit="encoder")
    for subset, inside in subsets.items()
    for setting, rank, metric, value in cluster_scores(name, inside)
]
rows += scores
table = pd.DataFrame(rows, columns=["encoder", "setting", "rank", "metric", "value"])
ami = table[table["metric"] == "ami"].pivot_table(index=["setting", "encoder"], columns="rank", values="value", sort=False)
print(f"{len(pool):,} barcodes of {len(set(species[pool]))} unseen species; {len(distinct):,} are distinct")
ami.round(3)

# %% [markdown]
# ## Trees of a small set
#
# One barcode of each of at most 40 test species, of genera that have two or more among them. Neighbour joining (Saitou and
# Nei 1987; scikit-bio) on p-distances is what a taxonomist would draw; average linkage on the vectors of an encoder stands
# beside. The score is the share of families and genera that are clades; trees by neighbour joining are rooted at their
# midpoint.

# %%
first = pd.DataFrame({"row": tested, "genus": genus[tested], "species": species[tested]}).drop_duplicates("species")
first = first[first.groupby("genus")["species"].transform("size") > 1].head(40).reset_index(drop=True)
clades = {}
if len(first) > 3:
    chosen = first["row"].to_numpy()
    ranks = pd.DataFrame({"family": taxa["family"][chosen], "genus": taxa["genus"][chosen]}).astype(str)
    wanted = scoring.taxon_clades(ranks)
    joined = skbio.tree.nj(skbio.DistanceMatrix(dna.p_distances(codes[chosen]), ids=[str(n) for n in range(len(chosen))]))
    sides = [{int(tip.name) for tip in node.tips()} for node in joined.root_at_midpoint().non_tips()]
    clades["p-distance, neighbour joining"] = {sum(1 << tip for tip in side) for side in sides}
    for name, values in vectors.items():
        clades[f"{name}, average linkage"] = scoring.linkage_clades(linkage(normalize(values[chosen]), "average"))
recovered = {name: 1 - scoring.robinson_foulds(found, wanted)[1] for name, found in clades.items()}
table = pd.concat([table, pd.DataFrame([(n, "tree", "all", "clades", v) for n, v in recovered.items()], columns=table.columns)])
for path in (folder, out):
    utils.write_table(table.round(4), path / "barcode_scores.csv")
print(f"{len(first)} species, {len(wanted) if clades else 0} families and genera with several of them")
pd.Series(recovered, name="share that are clades", dtype=float).round(3).to_frame()

# %% [markdown]
# ## The figure

# %% jupyter={"source_hidden": true}
order, colours = list(vectors)[::-1], dict(zip(vectors, itertools.cycle(plotting.PALETTE), strict=False))
figure, axes = plt.subplots(1, 3, figsize=(12, 3.4 + 0.4 * len(others)), sharey=True, width_ratios=(1, 1.2, 1.2))
for y, name in enumerate(order):
    mean, low, high = unseen.loc[name, names[:3]]
    axes[0].errorbar(mean, y, xerr=[[mean - low], [high - mean]], fmt="o", color=colours[name], capsize=3)
axes[0].set(yticks=range(len(order)), yticklabels=order, xlabel="accuracy, mean over species", title="genus of unseen species")
for ax, setting in zip(axes[1:], ("family given", "family withheld"), strict=True):
    for rank, mark in zip(("family", "genus", "species", "bin"), plotting.MARKS, strict=False):
        values = ami.loc[f"{setting}, distinct"].reindex(order)
        if rank in values and values[rank].notna().any():
            ax.plot(values[rank], range(len(order)), linestyle="", marker=mark, color="0.3", label=rank, alpha=0.8)
    ax.set(xlabel="AMI of clusters", title=f"zero-shot clusters, {setting}")
    ax.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=4)
best = unseen["mean over species"].idxmax()
figure.suptitle(
    f"{plotting.dataset_name(dataset)}: genus of unseen species right in {unseen.loc['language model', names[0]]:.0%} with the "
    f"language model, {unseen.loc['6-mers', names[0]]:.0%} with 6-mers",
    y=1.04,
)
plotting.save_figure(figure, out / "barcodes.png")
plt.show()

# %% [markdown]
# ## What we learned

# %%
lm, words, begin = (unseen.loc[name] for name in ("language model", "6-mers", "their principal components"))
at, both = ami["species"].unstack("setting"), ["family given, distinct", "family withheld, distinct"]
plotting.say(
    f"For {lm[names[0]]:.0%} [{lm['low']:.0%}, {lm['high']:.0%}] of the barcodes of an unseen species the language model finds "
    f"the genus by the nearest neighbour, 6-mers for {words[names[0]]:.0%} (difference {lm['above 6-mers']:+.2f} "
    f"[{lm['above, low']:.2f}, {lm['above, high']:.2f}]).",
    f"Principal components of registered letters, with which the model begins, reach {begin[names[0]]:.0%}: "
    f"pretraining adds {lm[names[0]] - begin[names[0]]:+.2f}.",
    "Clusters of distinct barcodes reach a species AMI of {:.3f} with the language model and {:.3f} with 6-mers where families "
    "are given, {:.3f} and {:.3f} where withheld.".format(*at.loc[["language model", "6-mers"], both].to_numpy().T.flat),
    f"Encoding takes {times['language model']:.2f} ms a barcode, 6-mers {times['6-mers']:.2f} ms.",
)

# %% tags=["summary"]
print(
    f"{len(sequences):,} barcodes; genus of unseen species: language model {lm[names[0]]:.3f}, 6-mers {words[names[0]]:.3f}, "
    f"best {best}"
)
