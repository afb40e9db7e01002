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
# # 0 · A world whose history is known
#
# **The question.** What would photographs look like if we knew everything about the organisms on them: their tree, their
# traits, and what is only light and background?
#
# No real dataset tells that. Here a branch of life is simulated: species split on a tree, their traits evolve along it,
# individuals vary, and each is photographed once under conditions that have nothing to do with what it is. The rest of the
# analysis treats the result like anybody's folder of pictures.
#
# **In:** a config of `params/worlds/`, named like the dataset. **Out:** `photos/`, with images in nested folders and a
# `metadata.csv`, as a user would bring them; and what no user has, `tree.nwk` and `truth.parquet`.

# %% tags=["parameters"]
dataset = "demo"
n_families = 10
n_genera = 40
n_species = 120
n_specimens = 10  # photographs per species
pagel_lambda = 1.0  # how much of their common history the traits remember, 0 to 1
within_species = 0.25  # standard deviation of individuals, in units of that between unrelated species
dimorphic = 0.3  # share of species with two morphs, such as sexes
mimicry = 0.1  # share of species that have the colours of a distant one
clutter = 1.0  # disorder around the specimens: 0 is a grey board, 1 natural ground
image_size = 256  # pixels
seed = 25

# %%
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
from simulation.organisms import CHARACTERS, COLOUR_TRAITS, SHAPE_TRAITS

plotting.set_style()
folder, figures = utils.dataset_dir(dataset), utils.figures_dir(dataset)
photos, unfinished, replaced = (folder / name for name in ("photos", "photos.unfinished", "photos.replaced"))
if photos.is_symlink() or (photos.exists() and not (photos / ".simulated").is_file()):
    raise FileExistsError(f"data/{dataset}/photos are not simulated ones: call the simulated world otherwise")
world = specimens.simulate(
    n_families, n_genera, n_species, n_specimens, pagel_lambda, within_species, dimorphic, mimicry, clutter, seed
)
world.taxa.groupby("family")[["genus", "species"]].nunique().sort_values("species", ascending=False).T

# %% [markdown]
# ## The tree
#
# Lineages split and die at constant rates (a birth-death process) until there are enough species. Cutting the tree at two
# depths makes genera and families: every taxon is a clade, and some are large while others hold one species, as in life.

# %%
heights, parents = evolution.node_heights(world.nodes), evolution.node_parents(world.nodes)


def draw_tree(ax, colours):
    """Draw the tree, root to the left, the branch that leads to each node (2n - 1) in its colour."""
    place = np.arange(len(heights), dtype=float)
    for i, (left, right) in enumerate(world.nodes[:, :2].astype(int), n_species):
        place[i] = (place[left] + place[right]) / 2
    lines = [
        [(-heights[parent], place[parent]), (-heights[parent], place[node]), (-heights[node], place[node])]
        for node, parent in enumerate(parents)
    ]
    ax.add_collection(LineCollection(lines, colors=colours[:-1], linewidths=1.2, capstyle="round"))
    ax.set(xlim=(-1.02, 0.01), ylim=(n_species, -1), xlabel="time before today (age of the root)", yticks=[])
    ax.xaxis.set_major_formatter(lambda x, _: f"{abs(x):.1f}")
    ax.grid(visible=False)


def cut_age(n):
    """Age at which `n` lineages lived whose descendants are alive: where the tree is cut into `n` taxa."""
    ages = np.append(np.sort(heights)[::-1], 0)
    return (ages[n - 2] + ages[n - 1]) / 2 if n > 1 else 1.0


# %%
family_of = world.taxa["family"].tolist()
for left, right in world.nodes[:, :2].astype(int):  # an ancestor belongs to a family if all it led to does
    family_of.append(family_of[left] if family_of[left] == family_of[right] else None)
colours = plotting.family_colours(world.taxa["family"])
figure, ax = plt.subplots(figsize=(8, 8))
draw_tree(ax, [colours.get(family, plotting.GREY) if family else "0.3" for family in family_of])
for text, n in (("families", n_families), ("genera", n_genera)):
    ax.axvline(-cut_age(n), color="0.3", linestyle="--", linewidth=1)
    ax.annotate(f"{n} {text}", (-cut_age(n), -1), rotation=90, va="top", ha="right", fontsize=9, color="0.3")
for family, rows in world.taxa.groupby("family", sort=False).indices.items():
    plans = ", ".join(world.species["body_plan"][rows].unique())
    ax.text(0.015, rows.mean(), f"{family} ({plans})", va="center", fontsize=9)
ax.set_title(f"{n_species} species, {n_genera} genera and {n_families} families of {plotting.plain(dataset)}")
plotting.save_figure(figure, figures / "tree.png")

# %% [markdown]
# ## Traits evolve along it
#
# Measurable traits (proportions, curvature, veins, hue) wander as in Brownian motion: every branch adds a random step with
# a variance as large as the branch is long. Characters (body plan, pattern, margin, appendages) jump between states at
# constant rates, an Mk model. Body plans are settled early, at the age at which the tree is cut into families: families
# are easy on purpose. Pagel's lambda says how much of the common history is kept: at 0, relatives are as unlike as
# strangers, and families mix body plans.

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 6.5))
lengths = world.history["elongation"]
scale = plt.Normalize(-np.abs(lengths).max(), np.abs(lengths).max())
draw_tree(axes[0], plt.cm.cividis(scale(lengths)))
strip = axes[0].inset_axes([0.15, -0.17, 0.7, 0.025])
figure.colorbar(plt.cm.ScalarMappable(scale, "cividis"), strip, orientation="horizontal", label="elongation")
states = dict(zip(CHARACTERS["body_plan"], plotting.PALETTE, strict=False))
draw_tree(axes[1], [states[plan] for plan in world.history["body_plan"]])
marks = [plt.Line2D([], [], color=colour, linewidth=3) for colour in states.values()]
axes[1].legend(marks, states, ncols=3, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.1))
axes[0].set_title("a measurable trait")
axes[1].set_title("a character: body plan")
plt.show()

# %% [markdown]
# Theory says how alike two species should be: per trait, the square of their difference is on average as large as the
# path between them on the tree is long (times lambda, plus what lambda takes away). The simulated traits follow it, each
# pair of species with its own luck.

# %%
distances, _ = evolution.patristic_distances(world.tree)
paths = squareform(distances, checks=False)
measured = world.history[[*SHAPE_TRAITS, *COLOUR_TRAITS]].to_numpy()[:n_species]
differences = pdist(measured, "sqeuclidean") / measured.shape[1]
figure, ax = plt.subplots(figsize=(7, 3.6))
ax.scatter(paths, differences, s=3, color=plotting.GREY, linewidths=0, rasterized=True, label="two species")
bins = pd.cut(paths, 12)
middle = pd.Series(paths).groupby(bins, observed=True).mean()
ax.plot(
    middle, pd.Series(differences).groupby(bins, observed=True).mean(), "o", color=plotting.PALETTE[0], label="their mean"
)
ax.plot([0, 2], [2 * (1 - pagel_lambda), 2], color="0.3", label="theory")
ax.set(xlabel="path on the tree (ages of the root)", ylabel="squared difference per trait", ylim=(0, None))
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# ## Everyone is photographed once
#
# Individuals differ from the mean of their species; some species have two morphs; a few look like a species of another
# family, their model. Ground, pose, light, blur and clutter are drawn without a look at the organism. Folders are the sites
# of a made-up survey and tell nothing either.

# %%
SITES = ("beechwood", "dunes", "fen", "heath", "orchard", "quarry")
rng = np.random.default_rng([seed, 2])
rows = world.specimens
sites = rng.choice(SITES, len(rows)) + "/" + rng.choice(["spring", "summer", "autumn"], len(rows))
names = (pd.Series(sites, dtype="string") + "/" + rows["hash_id"] + ".jpg").tolist()
shutil.rmtree(unfinished, ignore_errors=True)
specimens.photograph_all(rows, [unfinished / name for name in names], image_size)


# %%
def show(taxa, columns=10):
    """Photographs of some species, one line each."""
    if not len(taxa):
        print("There is none in this world.")
        return
    place = pd.Series(names, rows.index)
    lines = {taxon: [unfinished / p for p in place[rows["species"] == taxon][:columns]] for taxon in taxa}
    plotting.show_photos(plotting.contact_sheet(lines, columns))


morphs = rows.groupby("species", sort=False)["morph"].nunique()
show(morphs.index[morphs == 2][:2])

# %% [markdown]
# Above: species with two morphs, among all the light and ground. Below: the species of one genus.

# %%
members = world.taxa.groupby("genus", sort=False)["species"]
show(members.get_group(members.size().idxmax())[:6])

# %% [markdown]
# One species from each family:

# %%
show(world.taxa.groupby("family", sort=False)["species"].first())

# %% [markdown]
# Mimics, each below its model, a species of another family with the same body plan:

# %%
mimics = world.species["mimics"].dropna()
show([name for row, model in mimics[:3].items() for name in (model, world.taxa["species"][row])])

# %% [markdown]
# ## Barcodes
#
# Each specimen carries 658 base pairs like those of the mitochondrial gene COI, traced back by the coalescent within the
# same species tree and mutated codon by codon, never into a stop. Between what differs within a species and what differs
# between species of one genus lies the *barcode gap*; some pairs sit on its wrong side, as in life.

# %%
letters = np.array([list(barcode.encode()) for barcode in rows["barcode"]], np.uint8)
apart = 100 * pdist(letters, "hamming")
one, other = np.triu_indices(len(rows), 1)
codes = {rank: pd.factorize(rows[rank])[0] for rank in utils.RANKS}
same = {rank: code[one] == code[other] for rank, code in codes.items()}
kinds = {
    "within species": same["species"],
    "within genus": same["genus"] & ~same["species"],
    "within family": same["family"] & ~same["genus"],
    "between families": ~same["family"],
}
figure, axes = plt.subplots(len(kinds), 1, figsize=(7, 5), sharex=True)
for ax, (kind, pairs), colour in zip(axes, kinds.items(), plotting.PALETTE, strict=False):
    ax.hist(apart[pairs], bins=np.arange(-0.5, 170, 2) / 6.58, density=True, color=colour)
    ax.set(yticks=[], ylabel="")
    ax.set_title(f"{kind}: median {np.median(apart[pairs]):.1f} %", loc="left", fontsize=10)
axes[-1].set_xlabel("difference between the barcodes of two specimens (% of sites)")
figure.tight_layout()
plotting.save_figure(figure, figures / "barcode_gap.png")

# %%
gap = pd.DataFrame(
    {kind: {"below 2 %": (apart[p] < 2).mean(), "above 3 %": (apart[p] > 3).mean()} for kind, p in kinds.items()}
)
gap.T.map("{:.1%}".format)

# %% [markdown]
# ## As it comes from the field
#
# The table goes beside the photographs, with the mishaps of every real one: a download that broke off, an empty file, a
# text that calls itself an image, rows without image, an image without row, a row twice, two rows that contradict each
# other. Chapter 01 has to find them.


# %%
def spoil(table):
    """Add broken files, and return the table (hash_id, family, genus, species, barcode) with rows that go wrong."""
    whole = (unfinished / names[0]).read_bytes()
    strays = {
        "broken-off": whole[: len(whole) // 2],
        "empty": b"",
        "text": b"no image\n",
        "nobody": whole,
        "twofold": whole,
    }
    for stem, content in strays.items():
        (unfinished / SITES[0] / f"{stem}.jpg").write_bytes(content)
    wrong = table.iloc[:5].assign(hash_id=["broken-off", "empty", "text", "lost", "twofold"])
    return pd.concat([table, wrong, table.iloc[:1], table.iloc[-1:].assign(hash_id="twofold")])


columns = ["hash_id", *utils.RANKS, "barcode"]
utils.write_table(spoil(rows[columns].sort_values("hash_id")), unfinished / "metadata.csv")
(unfinished / ".simulated").touch()  # so that the next run may replace them
shutil.rmtree(replaced, ignore_errors=True)
if photos.is_dir():
    photos.rename(replaced)
unfinished.rename(photos)
shutil.rmtree(replaced, ignore_errors=True)
with utils.atomic_write(folder / "tree.nwk") as temporary:
    world.tree.write(path=str(temporary), schema="newick", suppress_rooting=True)
utils.write_table(rows.drop(columns="barcode"), folder / "truth.parquet")

# %% tags=["summary"]
print(
    f"{len(rows):,} photos of {n_species} species, {n_genera} genera and {n_families} families, "
    f"barcodes {gap.loc['below 2 %', 'within species']:.0%} below 2 % within species and "
    f"{gap.loc['above 3 %', 'within genus']:.0%} above 3 % within genera"
)
