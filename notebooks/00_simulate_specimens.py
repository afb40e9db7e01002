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
# # 0 · Simulate photographs of insects with a known history
#
# **The question.** What do photographs of insects look like when their phylogeny, their traits and the conditions of every
# photograph are known?
#
# No dataset of real photographs comes with this information, so this chapter simulates it. Species evolve on a phylogenetic
# tree, and their traits evolve along its branches. Individuals vary around the mean of their species. They are photographed
# under conditions that do not depend on the insect. The later chapters treat the result like any other folder of photographs.
#
# **In:** a config in `params/worlds/`, named like the dataset. **Out:** `photos/` with images in nested folders and a
# `metadata.csv`, as a user would provide them. `tree.nwk` and `truth.parquet` hold the true tree and traits, which a user
# does not have.

# %% tags=["parameters"]
dataset = "demo"
n_families = 18
n_genera = 50
n_species = 120
n_specimens = 60  # photographs per species, or of the commonest species
pagel_lambda = 0.6  # phylogenetic signal of the traits, from 0 (species independent) to 1 (Brownian motion on the tree)
within_species = 0.1  # standard deviation of individuals, in units of the standard deviation of unrelated species
dimorphic = 0.15  # share of species with two morphs
mimicry = 0.1  # share of species with the colours of a species of another family
clutter = 1.0  # complexity of the background: 0 is a grey board, 1 is natural ground
orders = []  # names of orders; if empty, all that the numbers of species and families allow
imbalance = 0.5  # power with which photographs per species fall; 0: all species have equally many
repeats = 0.15  # share of photographs that show an individual which was photographed before
habitat = 0.0  # share of photographs taken in the habitat of the species; the others are taken anywhere
image_size = 224  # pixels
seed = 23

# %% jupyter={"source_hidden": true}
import shutil
import sys

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection
from scipy.spatial.distance import pdist, squareform

import plotting
import utils
from simulation import evolution, specimens

plotting.set_style()
folder, figures = utils.dataset_dir(dataset), utils.figures_dir(dataset)
photos, unfinished, replaced = (folder / name for name in ("photos", "photos.unfinished", "photos.replaced"))
if photos.is_symlink() or (photos.exists() and not (photos / ".simulated").is_file()):
    raise FileExistsError(f"data/{dataset}/photos are not simulated ones: give the simulated dataset another name")

# %% [markdown]
# ## The phylogenetic tree
#
# The oldest splits, those between orders of insects, are given: they are those that genomes tell (Misof et al. 2014). Within
# an order, lineages split and go extinct at constant rates (a birth-death process) until the required number of species is
# alive. The tree is then cut at two ages into genera and families. Every taxon is therefore a clade. Some taxa hold many
# species and others hold one, as in nature. The table shows the size of every family.

# %%
world = specimens.simulate(
    n_families, n_genera, n_species, n_specimens, pagel_lambda, within_species, dimorphic, mimicry, clutter, seed, orders,
    imbalance, repeats, habitat,
)  # fmt: skip
measured = list(specimens.MEASURED)
world.taxa.groupby("family")[["genus", "species"]].nunique().sort_values("species", ascending=False).T

# %% jupyter={"source_hidden": true}
heights, parents = evolution.node_heights(world.nodes), evolution.node_parents(world.nodes)


def draw_tree(ax, colours):
    """Draw the tree with the root on the left. `colours` (2n - 1) are those of the branches above the nodes."""
    place = np.arange(len(heights), dtype=float)
    for i, (left, right) in enumerate(world.nodes[:, :2].astype(int), n_species):
        place[i] = (place[left] + place[right]) / 2
    lines = [
        [(-heights[parent], place[parent]), (-heights[parent], place[node]), (-heights[node], place[node])]
        for node, parent in enumerate(parents)
    ]
    ax.add_collection(LineCollection(lines, colors=colours[:-1], linewidths=1.2, capstyle="round"))
    ax.set(xlim=(-1.02, 0.01), ylim=(n_species, -1), xlabel="time before present (age of the root = 1)", yticks=[])
    ax.xaxis.set_major_formatter(lambda x, _: f"{abs(x):.1f}")
    ax.grid(visible=False)


def cut_age(n):
    """Age at which `n` lineages with living descendants exist. A cut at this age gives `n` taxa."""
    ages = np.append(np.sort(heights)[::-1], 0)
    return (ages[n - 2] + ages[n - 1]) / 2 if n > 1 else 1.0


# %% [markdown]
# The largest families are coloured. The dashed lines mark the two ages at which the tree is cut.

# %% jupyter={"source_hidden": true}
family_of = world.taxa["family"].tolist()
for left, right in world.nodes[:, :2].astype(int):  # an ancestor belongs to a family if all of its descendants do
    family_of.append(family_of[left] if family_of[left] == family_of[right] else None)
colours = plotting.family_colours(world.taxa["family"])
figure, ax = plt.subplots(figsize=(8, 8))
draw_tree(ax, [colours.get(family, plotting.GREY) if family else "0.3" for family in family_of])
for text, n in (("families", n_families), ("genera", n_genera)):
    ax.axvline(-cut_age(n), color="0.3", linestyle="--", linewidth=1)
    ax.annotate(f"{n} {text}", (-cut_age(n), -1), rotation=90, va="top", ha="right", fontsize=9, color="0.3")
at = -np.inf
for family, rows in world.taxa.groupby("family", sort=False).indices.items():
    forms = ", ".join(world.species["form"][rows].unique())
    at = max(rows.mean(), at + 0.022 * n_species)  # names do not overlap
    ax.text(0.015, at, f"{family} ({forms})", va="center", fontsize=9)
ax.set_title(f"{plotting.dataset_name(dataset)}: {n_species} species in {n_genera} genera and {n_families} families")
plotting.save_figure(figure, figures / "tree.png")

# %% [markdown]
# ## Traits evolve along the tree
#
# Continuous traits (proportions, venation, texture, hue) follow Brownian motion. Along every branch a trait changes by a
# random step with a variance equal to the length of the branch. Discrete characters (form, pattern, mark, margin, sculpture)
# follow an Mk model: they change between states at constant rates. Every order has a body plan of its own, in four forms:
# wasps, bees, ichneumons and sawflies are forms of one plan. Forms change until families separate, so the species of a family
# share one. Two families may have the same form.
#
# Pagel's lambda sets the phylogenetic signal. At 0 the species of an order are independent: close relatives are as different
# as other species, and one family holds several forms.
#
# The figure shows one trait of each kind on the branches of the tree.

# %% jupyter={"source_hidden": true}
figure, axes = plt.subplots(1, 2, figsize=(9, 6.5))
lengths = world.history["elongation"]
scale = plt.Normalize(-np.abs(lengths).max(), np.abs(lengths).max())
draw_tree(axes[0], plt.cm.cividis(scale(lengths)))
strip = axes[0].inset_axes([0.15, -0.17, 0.7, 0.025])
figure.colorbar(plt.cm.ScalarMappable(scale, "cividis"), strip, orientation="horizontal", label="elongation")
states = dict(zip(world.species["pattern"].unique(), plotting.PALETTE, strict=False))
draw_tree(axes[1], [states.get(pattern, plotting.GREY) for pattern in world.history["pattern"]])
marks = [plt.Line2D([], [], color=colour, linewidth=3) for colour in states.values()]
axes[1].legend(marks, states, ncols=3, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.1))
axes[0].set_title("a continuous trait: elongation")
axes[1].set_title("a discrete character: pattern")
plt.show()

# %% [markdown]
# Theory predicts how different two species are. Per trait, the expected squared difference is lambda times the length of
# the path between them on the tree, plus 2 (1 - lambda). The mean of the simulated pairs should lie close to this line.
# Single pairs scatter around it.

# %%
distances, _ = evolution.patristic_distances(world.tree)
paths = squareform(distances, checks=False)
differences = pdist(world.history[measured][:n_species], "sqeuclidean") / len(measured)
binned = pd.DataFrame({"path": paths, "difference": differences}).groupby(pd.cut(paths, 12), observed=True).mean()
figure, ax = plt.subplots(figsize=(7, 3.6))
ax.scatter(paths, differences, s=3, color=plotting.GREY, linewidths=0, rasterized=True, label="pair of species")
ax.plot(binned["path"], binned["difference"], "o", color=plotting.PALETTE[0], label="mean of pairs")
ax.plot([0, 2], [2 * (1 - pagel_lambda), 2], color="0.3", label="expected")
ax.set(xlabel="path length on the tree (age of the root = 1)", ylabel="squared difference per trait", ylim=(0, None))
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# ## Photographs of individuals
#
# Individuals differ from the mean of their species, males from females, and worn individuals are paler. Some species have two
# morphs. Some species are mimics: they have the colours of their model, a species of another family. Place, pose, light, blur
# and clutter are random and independent of the insect, unless `habitat` says otherwise. Some individuals are photographed more
# than once. The folders stand for sites and seasons of an invented survey and carry no information on the taxon.

# %%
SITES = ("beechwood", "dunes", "fen", "heath", "orchard", "quarry")
rng = np.random.default_rng([seed, 2])
rows = world.specimens
sites = rng.choice(SITES, len(rows)) + "/" + rng.choice(["spring", "summer", "autumn"], len(rows))
names = (pd.Series(sites, dtype="string") + "/" + rows["hash_id"] + ".jpg").tolist()
shutil.rmtree(unfinished, ignore_errors=True)
specimens.photograph_all(rows, [unfinished / name for name in names], image_size)


# %% jupyter={"source_hidden": true}
def show(taxa, columns=10, file=None):
    """Show photographs of some species, one line per species, and keep the figure if a file is given."""
    if not len(taxa):
        print("This world has none.")
        return
    place, looks = pd.Series(names, rows.index), world.species["form"].set_axis(world.taxa["species"])
    photographs = {taxon: [unfinished / p for p in place[rows["species"] == taxon][:columns]] for taxon in taxa}
    lines = {f"{taxon} ({looks[taxon]})": paths for taxon, paths in photographs.items()}
    figure = plotting.contact_sheet(lines, columns)
    if file:
        plotting.save_figure(figure, file)
    plotting.show_photos(figure)


# %% [markdown]
# Two species with two morphs each:

# %%
morphs = rows.groupby("species", sort=False)["morph"].nunique()
show(morphs.index[morphs == 2][:2])

# %% [markdown]
# Species of the largest genus:

# %%
members = world.taxa.groupby("genus", sort=False)["species"]
show(members.get_group(members.size().idxmax())[:6])

# %% [markdown]
# One species of each form:

# %%
forms = world.species.drop_duplicates("form").index
show(world.taxa["species"][forms], 8, file=figures / "specimens.jpg")

# %% [markdown]
# Mimics, each below its model. The model is a species of another family:

# %%
mimics = world.species["mimics"].dropna()
show([name for row, model in mimics[:3].items() for name in (model, world.taxa["species"][row])])

# %% [markdown]
# ## DNA barcodes
#
# Each specimen has a barcode of 658 base pairs like those of the mitochondrial gene COI. Its ancestry follows the coalescent
# within the species tree. It mutates codon by codon and never contains a stop codon. The *barcode gap* separates the
# differences within species from those between species of one genus. As in real barcodes, some pairs lie on the wrong side
# of the gap. In a large world about 2,000 specimens are compared.

# %%
MOST = 2000  # specimens that are compared, of the first species; pairs of many more would not fit into the memory
number = rows["species"].factorize()[0]
compared = rows[number <= number[:MOST].max()]
letters = np.array([list(barcode.encode()) for barcode in compared["barcode"]], np.uint8)
apart = 100 * pdist(letters, "hamming")
one, other = np.triu_indices(len(compared), 1)
codes = {rank: pd.factorize(compared[rank])[0] for rank in utils.RANKS}
same = {rank: code[one] == code[other] for rank, code in codes.items()}
kinds = {
    "within species": same["species"],
    "within genus": same["genus"] & ~same["species"],
    "within family": same["family"] & ~same["genus"],
    "between families": ~same["family"],
}
kinds = {kind: pairs for kind, pairs in kinds.items() if pairs.any()}
gap = pd.DataFrame(
    {kind: {"below 2 %": (apart[p] < 2).mean(), "above 3 %": (apart[p] > 3).mean()} for kind, p in kinds.items()}
)
gap.T.map("{:.1%}".format)

# %% jupyter={"source_hidden": true}
figure, axes = plt.subplots(len(kinds), 1, figsize=(7, 5), sharex=True, squeeze=False)
for ax, (title, pairs), colour in zip(axes[:, 0], kinds.items(), plotting.PALETTE, strict=False):
    ax.hist(apart[pairs], bins=np.arange(-0.5, 170, 2) / 6.58, density=True, color=colour)
    ax.set(yticks=[], ylabel="")
    ax.set_title(f"{title}: median {np.median(apart[pairs]):.1f} %", loc="left", fontsize=10)
figure.suptitle(f"{plotting.dataset_name(dataset)}: differences between barcodes grow from rank to rank")
axes[-1, 0].set_xlabel("difference between the barcodes of two specimens (% of sites)")
figure.tight_layout()
plotting.save_figure(figure, figures / "barcode_gap.png")

# %% [markdown]
# ## Errors as in field data
#
# The table is written beside the photographs. It gets the errors of real tables: a truncated image, an empty file, a text
# file with the extension of an image, a row without an image, an image without a row, a repeated row, and two rows that
# contradict each other. Chapter 01 has to find them. The folder gets its final name when everything in it is complete.


# %%
def add_errors(table):
    """Add faulty files, and return the table (hash_id, family, genus, species, barcode) with faulty rows."""
    site, whole = unfinished / SITES[0], (unfinished / names[0]).read_bytes()
    site.mkdir(exist_ok=True)  # a very small dataset may have no photograph of this site
    faulty = {
        "broken-off": whole[: len(whole) // 2],
        "empty": b"",
        "text": b"no image\n",
        "nobody": whole,
        "twofold": whole,
    }
    for stem, content in faulty.items():
        (site / f"{stem}.jpg").write_bytes(content)
    ids = ["broken-off", "empty", "text", "lost", "twofold"]
    wrong = table.iloc[np.arange(len(ids)) % len(table)].assign(hash_id=ids)
    return pd.concat([table, wrong, table.iloc[:1], table.iloc[-1:].assign(hash_id="twofold")])


columns = ["hash_id", *utils.RANKS, "barcode"]
utils.write_table(add_errors(rows[columns].sort_values("hash_id")), unfinished / "metadata.csv")
(unfinished / ".simulated").touch()  # allows the next run to replace the folder
shutil.rmtree(replaced, ignore_errors=True)
if photos.is_dir():
    photos.rename(replaced)
unfinished.rename(photos)
shutil.rmtree(replaced, ignore_errors=True)
with utils.atomic_write(folder / "tree.nwk") as temporary:
    world.tree.write(path=str(temporary), schema="newick", suppress_rooting=True)
utils.write_table(rows.drop(columns="barcode"), folder / "truth.parquet")

# %% [markdown]
# ## What we learned

# %%
sizes = world.taxa["family"].value_counts()
sentences = [
    f"The world has {n_species} species in {n_genera} genera and {n_families} families; the largest family holds "
    f"{sizes.max() / n_species:.0%} of the species."
]
family, genus = (world.taxa[rank].to_numpy() for rank in ("family", "genus"))
first, second = np.triu_indices(n_species, 1)
related, unrelated = differences[genus[first] == genus[second]], differences[family[first] != family[second]]
if len(related) and len(unrelated):
    relatives = "more" if related.mean() < unrelated.mean() else "not more"
    sentences.append(
        f"The squared difference per trait is {related.mean():.2f} between species of one genus and {unrelated.mean():.2f} "
        f"between species of two families, so close relatives are {relatives} similar than unrelated species."
    )
if "within genus" in kinds:
    difference = apart[kinds["within genus"]]
    close = (difference < 2).sum()
    sentences.append(
        f"{close:,} of {len(difference):,} pairs of barcodes from two species of one genus differ at less than 2 % of the "
        f"sites, so a threshold of 2 % {'does not separate' if close else 'separates'} all species."
    )
plotting.say(*sentences)

# %% tags=["summary"]
print(
    f"{len(rows):,} photos of {n_species} species, {n_genera} genera and {n_families} families, barcodes "
    + ", ".join(f"{np.median(apart[pairs]):.1f} % apart {kind}" for kind, pairs in kinds.items())
)
