"""The tree of the clusters of a family beside its taxonomy: rotated until few lines cross, judged by clades, and drawn."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from PIL import ImageOps
from scipy.cluster.hierarchy import dendrogram, leaves_list
from scipy.sparse import csr_array

import plotting
import scoring
from clustering import LinkageTree

LARGEST = 150  # clusters or species that fit on one page


def cluster_tree(points, labels):
    """SciPy's linkage of the centres of clusters by average linkage, the names of the clusters (k,), and their medoids (k,).

    `points` (n, d) have length 1, `labels` (n,) name their clusters. A medoid is the row with the largest summed cosine to its
    cluster.
    """
    codes, names = pd.factorize(np.asarray(labels, object), sort=True)
    rows = [np.flatnonzero(codes == code) for code in range(len(names))]
    sums = np.array([points[inside].sum(axis=0) for inside in rows])
    medoids = np.array([inside[np.argmax(points[inside] @ total)] for inside, total in zip(rows, sums, strict=True)])
    centres = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return LinkageTree(centres, method="average").merges, names, medoids


def rotate(merges, place):
    """The same linkage, drawn so that at every node the branch with the smaller mean `place` (k,) of its leaves comes first."""
    members = plotting.members_of(merges, len(place))
    rotated = merges.copy()
    for node, (left, right) in enumerate(merges[:, :2].astype(int)):
        if np.mean(place[members[left]]) > np.mean(place[members[right]]):
            rotated[node, :2] = right, left
    return rotated


def crossing(shared):
    """Share of the pairs of lines that cross: `shared` (k, m) counts the lines from row i on the left to row j on the right.

    Pairs that begin or end in the same row are left out. 0 if nothing crosses, 0.5 on average in a random order.
    """
    below = shared[::-1].cumsum(axis=0)[::-1] - shared  # lines from later rows
    crossed = (shared * (below.cumsum(axis=1) - below)).sum()
    sums = (shared.sum(axis=axis) for axis in (0, 1))
    apart = (shared.sum() ** 2 - sum((one**2).sum() for one in sums) + (shared**2).sum()) / 2
    return float(crossed / apart) if apart else 0.0


def untangle(merges, shared, groups, rounds=20):
    """Orders in which few lines cross: a rotated linkage of the k clusters, and an order of the m species.

    `shared` (k, m) counts photographs in both, `groups` (m,) are the genera, which stay together. Both sides are sorted in turn
    by the mean place of what they are connected with, and the best state is kept.
    """
    k, m = shared.shape
    species, best = np.lexsort((np.arange(m), pd.factorize(groups, sort=True)[0])), None
    for _ in range(rounds):
        place = np.argsort(species)
        merges = rotate(merges, shared @ place / shared.sum(axis=1)) if k > 1 else merges
        clusters = leaves_list(merges) if k > 1 else np.zeros(1, int)
        found = crossing(shared[np.ix_(clusters, species)])
        if best is None or found < best[0]:
            best = found, merges, clusters, species
        mean = np.argsort(clusters) @ shared / shared.sum(axis=0)
        of_group = pd.Series(mean).groupby(np.asarray(groups)).transform("mean").to_numpy()
        species = np.lexsort((np.arange(m), mean, pd.factorize(groups, sort=True)[0], of_group))
    return best[1:]


def clades(merges, k, homes, groups):
    """Whether each group of two or more species is a clade of the tree: {group: bool}; empty if there is only one group.

    `homes` (m,) are the leaves of the species, their main clusters, and `groups` (m,) their genera. A group is a clade if the
    smallest branch with all of its species holds no species of another group.
    """
    homes, groups, members = np.asarray(homes), np.asarray(groups), [set(m) for m in plotting.members_of(merges, k)]
    found = {}
    for group in pd.unique(groups):
        own = groups == group
        if 2 <= own.sum() < len(own):
            smallest = min((leaves for leaves in members if leaves.issuperset(homes[own])), key=len)
            found[group] = not any(home in smallest for home in homes[~own])
    return found


def clades_by_chance(merges, k, homes, groups, draws=200, seed=0):
    """Mean number of groups that are clades if the species are put at random on the leaves that they have now."""
    random = np.random.default_rng(seed)
    return float(np.mean([sum(clades(merges, k, random.permutation(homes), groups).values()) for _ in range(draws)]))


def draw(title, merges, shared, taxa, photographs):
    """Figure of the tree of clusters, left, and the species in their genera, right; lines connect what shares photographs.

    `shared` (k, m) counts photographs, `taxa` (m rows) has genus and species, `photographs` (k PIL images or None) stand at the
    leaves. Lines have the colour of what became of their species.
    """
    merges, clusters, species = untangle(merges, shared, taxa["genus"])
    k, m = shared.shape
    outcomes = scoring.outcomes(csr_array(shared.T))["outcome"]
    tall = max(k, m)
    figure, ax = plt.subplots(figsize=(11, 0.42 * tall + 1.3))
    at_cluster, at_species = ((np.argsort(order) + 0.5) * tall / len(order) for order in (clusters, species))
    if k > 1:
        drawn = dendrogram(merges, no_plot=True)
        top = merges[-1, 2] or 1.0
        for heights, places in zip(drawn["dcoord"], drawn["icoord"], strict=True):
            ax.plot(1 - np.array(heights) / top, np.array(places) / 10 * tall / k, color="0.35", linewidth=1)
    for cluster, photograph in enumerate(photographs):
        if photograph is not None:
            image = OffsetImage(np.asarray(ImageOps.fit(photograph, (96, 96))), zoom=0.27)
            ax.add_artist(AnnotationBbox(image, (1.07, at_cluster[cluster]), frameon=False, pad=0))
    for cluster, one in np.argwhere(shared):
        share = shared[cluster, one] / shared[:, one].sum()
        colour = plotting.OUTCOME_COLOURS[outcomes[one]]
        ends = [at_cluster[cluster], at_species[one]]
        ax.plot([1.14, 1.98], ends, color=colour, linewidth=0.5 + 4 * share, solid_capstyle="butt")
    for one, name in enumerate(taxa["species"]):
        text = f"{plotting.plain(name.rpartition(' > ')[2])} ({shared[:, one].sum():.0f})"
        ax.text(2.0, at_species[one], text, va="center", fontsize=9, style="italic")
    for genus, rows in pd.Series(at_species).groupby(taxa["genus"].to_numpy()):
        ax.plot([2.78, 2.78], [rows.min() - 0.35, rows.max() + 0.35], color="0.35", linewidth=2)
        ax.text(2.81, rows.mean(), plotting.plain(genus.rpartition(" > ")[2]), va="center", fontsize=9)
    ax.set(xlim=(-0.02, 3.2), ylim=(tall, 0))
    ax.axis("off")
    ax.set_title(title, loc="left")
    keys = [Line2D([], [], color=plotting.OUTCOME_COLOURS[kind], linewidth=4, label=kind) for kind in scoring.OUTCOMES]
    ax.legend(handles=keys, loc="upper left", bbox_to_anchor=(0, 0), ncols=4, frameon=False)
    return figure

