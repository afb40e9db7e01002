"""From embeddings to a hierarchy: preparing vectors, cutting them into clusters, and choosing how many there are.

`cluster(layers, families, clusterer)` is the one way through: every chapter that clusters calls it. No genus or species name is
read here but by `oracle_k`, the reference that is given the true numbers. The algorithms are those of SciPy, fastcluster,
scikit-learn, hdbscan, igraph and EVoC; what stands here joins them into nested clusters.
"""

import functools
import hashlib
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import MISSING, dataclass, field, fields
from importlib.metadata import version
from random import Random
from typing import NamedTuple

import fastcluster
import numpy as np
import pandas as pd
from hdbscan import HDBSCAN
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import cdist, pdist
from sklearn.cluster import BisectingKMeans, KMeans, MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors, kneighbors_graph
from sklearn.preprocessing import normalize

import scoring
import utils
from files import atomic_write
from parameters import suggestion

# --------------------------------------------------------------------------------------------------- preparation


def prepare(
    points, signed_sqrt=True, pca_components=256, whitening_power=0.5, n_smoothing_neighbors=0, umap_components=0, seed=0
):
    """Vectors of length 1 from an embedding (n, d): (n, at most d) of them.

    `signed_sqrt` takes the signed square root of every value, which limits the influence of single large features
    (Perronnin, Sanchez and Mensink 2010, ECCV). `pca_components` keeps that many principal components (0: no PCA), each
    divided by its standard deviation to the power `whitening_power`: 0 leaves them as they are, 1 gives all the same variance
    (Jegou and Chum 2012, ECCV). `n_smoothing_neighbors` replaces every vector by the mean of itself and that many nearest
    neighbours. `umap_components` maps the vectors with UMAP (0: no map); these keep their lengths, because distances on a
    map are Euclidean. Points that are all alike stay so. Of many points the vectors are float32, which takes half the
    memory and time.
    """
    dtype = np.float64 if len(points) <= scoring.FEW else np.float32
    points = np.array(points, dtype)  # one copy, which is changed in place
    parts = np.array_split(points, -(-points.size // 2**20))  # views that fit into the cache of a processor
    for part in parts:
        part[:] = normalize(part)
    if _all_alike(points):
        return points
    if signed_sqrt:
        for part in parts:
            part[:] = normalize(np.copysign(np.sqrt(np.abs(part)), part), copy=False)
    pca_components = min(pca_components, len(points) - 1, points.shape[1])
    if pca_components > 0:
        wide = points.shape[1] > max(len(points), 2048)  # a large covariance of few points takes long
        solver = "full" if wide else "covariance_eigh"  # both are exact
        pca = PCA(pca_components, svd_solver=solver).fit(points)
        scale = np.maximum(pca.explained_variance_, pca.explained_variance_[0] * 1e-9) ** (-whitening_power / 2)
        points = pca.transform(points)
        points = normalize(np.multiply(points, scale, out=points), copy=False)
    if n_smoothing_neighbors:
        points = smoothed(points, n_smoothing_neighbors)
    if umap_components and len(points) > umap_components + 2:  # of fewer points UMAP makes no map
        from umap_compiled import UMAP  # takes seconds to load

        points = UMAP(n_components=umap_components, min_dist=0.0, random_state=seed, n_jobs=1).fit_transform(points)
    return points


def smoothed(points, n_neighbors, apart=np.inf):
    """Every point (n, d) as the mean of itself and that many nearest neighbours; if all have one length, they keep it.

    A neighbour is left out if it is farther away than `apart` times the median distance of the last neighbours.
    """
    away, near = NearestNeighbors(n_neighbors=min(n_neighbors + 1, len(points))).fit(points).kneighbors(points)
    counted = (away <= apart * np.median(away[:, -1])).astype(points.dtype)
    counted[:, 0] = 1  # the point itself
    means = np.einsum("ij,ijk->ik", counted / counted.sum(axis=1, keepdims=True), points[near])
    lengths = np.linalg.norm(points, axis=1)
    return normalize(means) * lengths[0] if np.allclose(lengths, lengths[0]) else means


def _all_alike(points):
    """Whether all points (n, d), or labels (n,), are the same."""
    return bool((points == points[:1]).all())


# ---------------------------------------------------------------------------------------------------- algorithms


MAX_PAIRWISE = 20_000  # points of one tree that needs the distances of all pairs


class LinkageTree:
    """A dendrogram of (n, d) points as SciPy's linkage; called with a number, it is cut into at most that many clusters.

    Cuts of one tree are nested in each other. Ward (1963), Hierarchical grouping to optimize an objective function, JASA
    58:236-244, average linkage (Sokal and Michener 1958, University of Kansas Science Bulletin 38:1409-1438), or another of
    SciPy's methods. That needs the distances of all pairs in memory; beyond MAX_PAIRWISE points Ward's tree is computed from
    the vectors, which gives the same tree with little memory and takes longer (Muellner 2013, fastcluster, J. Statistical
    Software 53:9). Only `oracle_k` asks for so large a tree: clusterers divide such a family first.
    """

    def __init__(self, points, seed=0, method="ward"):
        self.n, self.method = len(points), method
        if len(points) < 2:
            self.merges = np.empty((0, 4))
        elif method == "ward" and len(points) > MAX_PAIRWISE:
            self.merges = fastcluster.linkage_vector(points, method)
        elif len(points) > 2000:  # matrix products are many times faster, and not exact for identical photographs
            self.merges = fastcluster.linkage(scoring.quick_pairs(points), method, preserve_input=False)
        else:
            self.merges = linkage(points, method)

    def __call__(self, k):
        return fcluster(self.merges, k, "maxclust") if len(self.merges) else np.ones(1, int)

    def after(self, numbers):
        """Labels (m, n) after so many of the merges, from the lowest on: one row for each of the numbers (m,).

        Where every branch is a run of leaves, a cluster begins at a leaf that is joined with the one before it later. The
        numbers of the clusters are those of SciPy's fcluster, which needs a call for every cut.
        """
        order, joined = self._order
        begins = np.ones((len(numbers), len(order)), bool)
        begins[:, 1:] = joined >= np.asarray(numbers)[:, None]
        labels = np.empty(begins.shape, np.int32)
        labels[:, order] = begins.cumsum(axis=1)
        return labels

    @functools.cached_property
    def _order(self):
        """The leaves (n,) so that every branch is a run of them, and which merge (n - 1,) joins each with the next."""
        n = self.n
        first, last = list(range(n)), list(range(n))  # leaves of every node
        following, joined = [0] * n, np.zeros(n, int)
        for merge, (left, right) in enumerate(self.merges[:, :2].astype(int).tolist()):
            if left < n <= right:  # fcluster, too, comes to branches before it comes to single leaves
                left, right = right, left
            following[last[left]], joined[last[left]] = first[right], merge
            first.append(first[left])
            last.append(last[right])
        order = [first[-1]]
        for _ in range(n - 1):
            order.append(following[order[-1]])
        return np.array(order), joined[order[:-1]]


def trees_of(groups, points, method):
    """Pairs of the rows of a group and the LinkageTree of `points[rows]`, for a list of groups.

    Two at a time, the largest first: fastcluster and matrix products let another thread run. More would need more memory.
    """
    largest_first = np.argsort([-len(rows) for rows in groups])
    with ThreadPoolExecutor(2) as pool:
        built = pool.map(lambda i: LinkageTree(points[groups[i]], method=method), largest_first)
        trees = dict(zip(largest_first, built, strict=True))
    return [(rows, trees[i]) for i, rows in enumerate(groups)]


class FlatClusterer:
    """A scikit-learn estimator of clusters or mixtures on (n, d) points; called with a number, it fits that many clusters."""

    def __init__(self, points, seed=0, estimator=KMeans, **options):
        self.points = np.asarray(points, np.float64)  # of float32, k-means warns of invalid values where there are none
        self.estimator, self.options = estimator, options | {"random_state": seed}

    def __call__(self, k):
        k = min(k, len(self.points))
        return self.estimator(k, **self.options).fit_predict(self.points) if k > 1 else np.zeros(len(self.points), int)


BY_NUMBER = {
    "ward": LinkageTree,
    "average": functools.partial(LinkageTree, method="average"),
    "complete": functools.partial(LinkageTree, method="complete"),
    "kmeans": FlatClusterer,
    "minibatch_kmeans": functools.partial(FlatClusterer, estimator=MiniBatchKMeans),
    "mixture": functools.partial(FlatClusterer, estimator=GaussianMixture, covariance_type="spherical"),
}
TREES = ("ward", "average", "complete")


def _hdbscan(points, seed, min_cluster_size):
    """Campello, Moulavi and Sander (2013), PAKDD 160-172."""
    return HDBSCAN(min_cluster_size=min_cluster_size, min_samples=1).fit_predict(points)


def _leiden(points, seed, min_cluster_size):
    """Traag, Waltman and van Eck (2019), Scientific Reports 9:5233, on a graph of nearest neighbours."""
    import igraph  # takes time to load

    graph = kneighbors_graph(points, min(min_cluster_size, len(points) - 1))
    edges = igraph.Graph.Weighted_Adjacency(graph.maximum(graph.T), mode="undirected")
    igraph.set_random_number_generator(Random(seed))  # igraph has one generator for the whole process
    found = edges.community_leiden("modularity", weights="weight", n_iterations=-1)
    igraph.set_random_number_generator(None)
    return np.array(found.membership)


def _evoc(points, seed, min_cluster_size):
    """The finest layer of EVoC, Embedding Vector Oriented Clustering (github.com/TutteInstitute/evoc)."""
    from evoc import EVoC  # takes seconds to load

    found = EVoC(base_min_cluster_size=min_cluster_size, random_state=seed).fit(points.astype(np.float32))
    return found.cluster_layers_[0]


BY_DENSITY = {"hdbscan": _hdbscan, "leiden": _leiden, "evoc": _evoc}


def by_density(name, points, seed=0, min_cluster_size=5):
    """Labels (n,) of a method that finds the number of clusters itself, and which rows (n,) it called noise.

    `min_cluster_size` is the size of the smallest cluster, or the number of neighbours in Leiden's graph. Noise is not dropped:
    every such row joins the cluster of the nearest row that has one. Too few points for the method are one cluster.
    """
    if len(points) <= 2 * min_cluster_size:
        return np.zeros(len(points), int), np.zeros(len(points), bool)
    labels = np.asarray(BY_DENSITY[name](points, seed, min_cluster_size))
    noise = labels < 0
    if noise.all():
        return np.zeros(len(points), int), noise
    if noise.any():
        labels[noise] = labels[~noise][scoring.nearest(points[noise], points[~noise])[:, 0]]
    return labels, noise


# ------------------------------------------------------------------------------------------------------- how many


def candidates(largest, n=80):
    """About `n` cluster numbers from 2 to `largest`, evenly spaced in ratio; all of them if there are fewer."""
    if largest <= n:
        return np.arange(2, largest + 1)
    return np.unique(np.geomspace(2, largest, n).astype(int))


# Several photographs of one individual are nearest neighbours, and a silhouette that counts all neighbours makes a cluster of
# them. Excluding the nearest neighbours prevents that, but leaves a species with few photographs nothing to be compared with.
# So rules try several numbers.
EXCLUDED = (0, 1, 2, 3)
NEEDED = (1.75, 3, 4.5, 6)  # points of a cluster, on average, for a silhouette that excludes so many neighbours


def _silhouette(algorithm, points, numbers, seed, n_excluded=(0,)):
    partition = algorithm(points, seed)
    return numbers[np.argmax(scoring.silhouettes([partition(k) for k in numbers], points, n_excluded))]


def _gap(algorithm, points, numbers, seed, references=5):
    """Tibshirani, Walther and Hastie (2001), JRSS B 63:411-423: against points spread evenly along the principal axes.

    The one rule here that may find a single cluster.
    """
    numbers = numbers[numbers <= len(points) // 2]  # the dispersion of single points is 0, its logarithm nothing
    numbers = np.concatenate([[1], numbers])
    scores = PCA(svd_solver="full").fit_transform(points)
    random = np.random.default_rng(seed)
    spread = [random.uniform(scores.min(0), scores.max(0), scores.shape) for _ in range(references)]

    def logs(values):
        partition = algorithm(values, seed)
        return np.log([scoring.about_means(values, scoring.codes(partition(k)))[0].sum() for k in numbers])

    chance = np.array([logs(values) for values in spread])
    gaps, error = chance.mean(0) - logs(scores), chance.std(0) * np.sqrt(1 + 1 / references)
    enough = np.flatnonzero(gaps[:-1] >= gaps[1:] - error[1:])  # the smallest number that the next one does not beat
    return numbers[enough[0] if len(enough) else -1]


def _stability(algorithm, points, numbers, seed, rounds=5, share=0.8):
    """Ben-Hur, Elisseeff and Guyon (2002), PSB 7:6-17: the most clusters into which two samples fall alike (here: AMI)."""
    numbers = numbers[numbers <= max(2, len(points) // 2)]  # single points agree always
    random, agreed = np.random.default_rng(seed), np.zeros(len(numbers))
    for _ in range(rounds):
        size = int(np.ceil(share * len(points)))  # two samples of three points and more have some in common
        samples = [np.sort(random.permutation(len(points))[:size]) for _ in range(2)]
        partitions = [algorithm(points[rows], seed) for rows in samples]
        _, *both = np.intersect1d(*samples, return_indices=True)
        for i, k in enumerate(numbers):
            labels = [partition(k)[rows] for partition, rows in zip(partitions, both, strict=True)]
            agreed[i] += scoring.ami(*labels)
    return numbers[agreed >= agreed.max() - 1e-9].max()


def _heights(algorithm, points, numbers, seed):
    """The largest ratio between the heights of two merges that follow each other in a tree, up to the largest number.

    Between the two lies a cut into one more cluster than there are merges above it. A ratio is of one number only, so all
    numbers up to the largest are looked at and not a range of them.
    """
    heights = np.maximum(algorithm(points, seed).merges[::-1, 2], np.finfo(float).tiny)[: numbers[-1]]
    return np.argmax(heights[:-1] / heights[1:]) + 2 if len(heights) > 1 else 1


RULES = {
    "silhouette": _silhouette,
    "silhouette_excluding_1": functools.partial(_silhouette, n_excluded=(1,)),
    "silhouette_excluding_2": functools.partial(_silhouette, n_excluded=(2,)),
    "silhouette_excluding_0_to_2": functools.partial(_silhouette, n_excluded=EXCLUDED[:3]),
    "gap": _gap,
    "stability": _stability,
    "heights": _heights,
}


COMMON = "common_height"  # the rule that looks at all families at once
ERRORS = 0.7  # standard errors: a silhouette that is this far below the best, or less, is taken to be as good
PLAUSIBLE = 2.5  # standard errors: a number of clusters is plausible if its silhouette is this far below the best, or less
GAIN = 0.04  # of a silhouette: how much higher it is than that of whole families, or of a cloud in the place of a single one
MANY = 20  # points of a family, on average
CLOUDS = 100_000  # points that are compared with clouds, at most, if one family does not hold more
STRUCTURE = 0.05  # of a silhouette: how much higher it is than that of clouds in the place of several families
SMOOTHED = 5  # neighbours that a photograph is averaged with, at most ...
PER_NEIGHBOR = 4  # ... and photographs that a cluster needs for each of them, on average
ALIKE = 2  # neighbours whose means are too similar to be compared with
ERRORS_OF_MEANS = 1.5  # instead of ERRORS, for such means where families are given
APART = 1.5  # times a usual distance: what is farther away shows another species
DRAWS = 6  # clouds in the place of a single family ...
DEVIATIONS = 3  # ... and standard deviations of their silhouettes


class Cut(NamedTuple):
    """Labels (n,), and from how few to how many clusters are plausible."""

    labels: np.ndarray
    fewest: int
    most: int


def common_cut(trees, points, min_mean_cluster_size=1.0, given=True, originals=None):
    """The `Cut` of the trees of all families at one common height, the one that the silhouette of all points prefers.

    `trees` are pairs of rows and the LinkageTree of `points[rows]`; together they hold all `points` (n, d). A species is about
    as wide in one family as in the next, so a single height needs less evidence than a number for every family. Clusters of
    other families count as neighbours: a family may be one cluster. Clusters hold `min_mean_cluster_size` points or more on
    average.

    - Of the heights whose silhouette is about as good as the best, the largest is taken: it may be ERRORS standard errors of
      the difference below (`_errors_below_best`), after the one-standard-error rule (Breiman, Friedman, Olshen and Stone 1984,
      Classification and Regression Trees, ch. 3.4.3).
    - Several photographs of one individual are nearest neighbours, so the silhouette excludes the three nearest ones. That
      leaves small clusters nothing to be compared with: where the clusters that are found hold on average less than six points,
      two are excluded, then one, then none, with fewer points needed each time (NEEDED). If clusters are too small for that,
      nothing was found, and the families stay whole.
    - Where species have few photographs, the silhouette that excludes three finds only large clusters of several species, or
      whole families. So where families are divided in three at most on average, the gain over whole families is looked at. If
      it is less than half of GAIN, and one that excludes fewer neighbours gains GAIN or more and four times as much, the cut
      that gains most is taken.
    - Whole families can also win because they lie far apart, whatever is in them. So if no cut gains that much, the cuts are
      compared with clouds of the same shape without clusters, one per family. If the silhouette of the cut found is not clearly
      higher than theirs (by half of STRUCTURE), the finer cut is taken that is highest above them, if it is by STRUCTURE.
      Three, two, then one neighbour are excluded; the first number with such a cut decides.
    - Where species have about three photographs, groups of several species can look good. So if the cut found is less than
      STRUCTURE above clouds, the first cut is taken that excludes fewer neighbours, is that far above them, and twice as far as
      the cut found. A cut that excludes no neighbour must be twice STRUCTURE above clouds.
    - Photographs that are alike by chance can win, where nothing else is to be found. So families of MANY points stay whole if
      the silhouette is not higher than that of clouds. (Clouds of fewer points have about as many dimensions as points.)
    - A cut that excludes neighbours and gains twice GAIN is clearly higher than clouds, so it is not compared with them.
    - A single family has no neighbours; its silhouettes are compared with those of such a cloud. It is divided only if they are
      higher by half of GAIN, or by GAIN if no neighbour is excluded, or beyond chance (`_beyond_chance`). Points of one length
      lie on a sphere, so this cloud is laid on it, too: off the sphere a cloud has a higher silhouette than two to four clear
      species. (For several families the thresholds above were found with clouds as drawn; on the sphere they leave families of
      the moths whole too often.)
    - Clusters too small for this silhouette join their nearest neighbour (`join_small`).
    - A photograph whose family name is wrong is a cluster of its own amid those of its species, to which it is near: no cut
      looks good there. So points that are strangers in their family have no part in the silhouettes (`_at_home`).

    If the families are not `given` but were found as clusters, they may well be whole, and no name is wrong: of several such
    families, the first cut is taken, and no photograph is left out.

    If the points are means of neighbours, see `cut_families`, `originals` (n, d) are the points before. Such means share
    neighbours, so ALIKE more of them are excluded. Averaging makes groups inside a species more distinct, too, so with given
    families the largest height may be farther below the best (ERRORS_OF_MEANS). Small clusters join others by the distances
    of the `originals`: the means of a cluster lie so close to each other that any other point would seem far away.
    """
    partitions = cuts_at_common_heights(trees, len(points), min_mean_cluster_size)
    rows = _at_home(trees, points) if given else np.arange(len(points))
    excluded = EXCLUDED if originals is None else [n + ALIKE for n in EXCLUDED]
    values = scoring.silhouette_values([labels[rows] for labels in partitions], points[rows], excluded)
    means, scored = values.mean(axis=2), rows[scoring.sampled_rows(len(rows))]
    below = _errors_below_best(values, [labels[scored] for labels in partitions])
    counts = np.array([len(np.unique(labels)) for labels in partitions])
    large = len(points) > np.outer(counts, NEEDED)
    errors = ERRORS_OF_MEANS if given and originals is not None else ERRORS
    found = [((below[:, e] <= errors).argmax(), e) for e in reversed(EXCLUDED)]
    found = [cut for cut in found if large[cut]]
    if not found:
        return Cut(partitions[0], counts[0], counts[-1])

    def above_clouds(seed=0):
        return _above_clouds(means, partitions, trees, points, min_mean_cluster_size, excluded, seed)

    if len(trees) == 1:
        above = above_clouds()
        weaker = (each for each in found if each[1] and above[each] >= GAIN / 2)
        chosen, n_excluded = _clear(found, above) or next(weaker, None) or _beyond_chance(found, above, above_clouds)
    elif given:
        hardly_divided, gains = counts[found[0][0]] <= 3 * len(trees), means - means[0]
        cut = _clear(found, gains) if hardly_divided else found[0]
        if cut is None or not cut[1] or gains[cut] < 2 * GAIN:
            above = above_clouds()
            cut = _of_few(cut or _finer(found[0], above, large), found, above)
            cut = cut if len(points) < MANY * len(trees) or above[cut] > 0 else (0, 0)
        chosen, n_excluded = cut
    else:
        chosen, n_excluded = found[0]
    measured = points if originals is None else originals
    labels = join_small(partitions[chosen], trees, measured, n_excluded + 1) if chosen else partitions[0]
    plausible = [*counts[below[:, n_excluded] <= PLAUSIBLE], len(np.unique(labels))]
    return Cut(labels, min(plausible), max(plausible))


def cut_families(groups, points, method, min_mean_cluster_size=1.0, given=True):
    """The trees of all `points` (n, d), one for the rows of each group, and the `Cut` of them: see `common_cut`.

    If clusters are large, every point becomes the mean of itself and some neighbours of its group (SMOOTHED at most, and one
    for PER_NEIGHBOR points of a cluster on average, none of them far away), and everything is clustered again. What differs by
    chance averages out, so species overlap less. The plausible numbers are those of both.
    """
    trees = trees_of(groups, points, method)
    cut = common_cut(trees, points, min_mean_cluster_size, given)
    number = len(np.unique(cut.labels))
    n_neighbors = min(SMOOTHED, len(points) // (PER_NEIGHBOR * number))
    if number == len(groups) or n_neighbors < 3:  # nothing was found, or so few neighbours that little changes
        return trees, cut
    means = points.copy()
    for rows in groups:
        means[rows] = smoothed(points[rows], n_neighbors, APART)
    trees = trees_of(groups, means, method)
    labels, fewest, most = common_cut(trees, means, min_mean_cluster_size, given, originals=points)
    return trees, Cut(labels, min(fewest, cut.fewest), max(most, cut.most))


def _errors_below_best(values, partitions):
    """How many standard errors the mean silhouette of each cut is below the best: (cuts, numbers of excluded neighbours).

    `values` (cuts, numbers, n) are silhouettes, and `partitions` the cuts, labels (n,). The error is that of the difference to
    the best cut. Photographs in one cluster have similar silhouettes, so the clusters of the best cut are the independent
    units, not photographs.
    """
    below = np.zeros(values.shape[:2])
    for number in range(values.shape[1]):
        best = values[:, number].mean(axis=1).argmax()
        differences = values[best, number] - values[:, number]
        mean = differences.mean(axis=1)
        unit = np.unique(partitions[best], return_inverse=True)[1]
        order = np.argsort(unit, kind="stable")
        starts = np.searchsorted(unit[order], np.arange(unit.max() + 1))
        sums = np.add.reduceat((differences - mean[:, None])[:, order], starts, axis=1)
        error = np.sqrt((sums**2).sum(axis=1)) / len(unit)
        below[:, number] = np.divide(mean, error, out=np.where(mean > 0, np.inf, 0.0), where=error > 0)
    return below


def _clear(found, gains):
    """One of the cuts `found`, (index, n_excluded): the first, or if its gain is too low the one with the highest, or None."""
    first, best = found[0], max(found, key=gains.__getitem__)
    if gains[first] >= (GAIN / 2 if first[1] else GAIN):
        return first
    return best if gains[best] >= max(GAIN, 4 * gains[first]) else None


def _beyond_chance(found, above, above_clouds):
    """The first of the cuts `found` of a single family that clouds hardly ever reach, or (0, 0): no division.

    `above` is how much higher its silhouettes are than those of one cloud, and `above_clouds(seed)` the same for another. Their
    mean must be a fifth of GAIN and DEVIATIONS standard deviations, as in a test against one normal distribution (Liu, Hayes,
    Nobel and Marron 2008, J. Am. Stat. Assoc. 103:1281-1293). Neighbours must be excluded.
    """
    draws = np.array([above, *(above_clouds(seed) for seed in range(1, DRAWS))])
    mean, deviation = draws.mean(axis=0), draws.std(axis=0, ddof=1)
    beyond = (mean >= GAIN / 5) & (mean >= DEVIATIONS * deviation)
    return next((cut for cut in found if cut[1] and beyond[cut]), (0, 0))


def _finer(cut, above, large):
    """The finer of the `large` cuts that is highest `above` clouds (cuts, numbers), if `cut` is not clearly above and it is."""
    if above[cut] >= STRUCTURE / 2:
        return cut
    above = np.where(large, above, -1)
    above[: cut[0]] = -1
    highest = ((above[:, e].argmax(), e) for e in reversed(EXCLUDED) if e and above[:, e].max() >= STRUCTURE)
    return next(highest, cut)


def _of_few(cut, found, above):
    """The first of the cuts `found` that excludes fewer neighbours and is clearly `above` clouds, if `cut` is not."""
    own = above[cut] if cut[0] else 0
    if own >= STRUCTURE:
        return cut
    least = {e: max(STRUCTURE if e else 2 * STRUCTURE, 2 * own) for e in EXCLUDED}
    return next((one for one in found if one[0] and one[1] < cut[1] and above[one] >= least[one[1]]), cut)


def _at_home(trees, points, n_neighbors=5, sample=5000):
    """Rows of the points that have two of their own family among their five nearest neighbours.

    `trees` and `points` as in `common_cut`. All rows if these are fewer than three quarters: then the families are not where
    the neighbours are, and a stranger is no exception. Neighbours come from a random `sample` of more points than that.
    """
    n, everyone = len(points), np.arange(len(points))
    if len(trees) == 1 or n <= n_neighbors:
        return everyone
    family = np.empty(n, int)
    for number, (rows, _) in enumerate(trees):
        family[rows] = number
    drawn = np.random.default_rng(0).permutation(n)[:sample]
    near = drawn[scoring.nearest(points, points[drawn], n_neighbors + 1)]
    itself = near == everyone[:, None]
    itself[~itself.any(axis=1), -1] = True  # a point that was not drawn has one neighbour too many
    near = near[~itself].reshape(n, n_neighbors)
    rows = np.flatnonzero((family[near] == family[:, None]).sum(axis=1) >= 2)
    return rows if len(rows) >= 0.75 * n else everyone


def cuts_at_common_heights(trees, n, min_mean_cluster_size=1.0):
    """Labels (n,) of all trees (see `common_cut`) cut at one height after the other, from whole families to small clusters."""
    return _cuts_below(trees, n, _numbers_of_merges(trees, n, min_mean_cluster_size))


def _numbers_of_merges(trees, n, min_mean_cluster_size):
    """How many merges of all trees lie above each of the cuts that are tried: ascending from 0."""
    merges = sum(len(tree.merges) for _, tree in trees)
    most = int(n / min_mean_cluster_size) - len(trees)
    numbers = np.concatenate([[0, 1], candidates(min(most, merges - 1))])
    return np.unique(numbers[(numbers < max(merges, 1)) & (numbers <= max(most, 0))])


def _cuts_below(trees, n, numbers):
    """Labels (n,) of all trees, cut below as many of their highest merges as each of the `numbers` says."""
    merges = np.sort(np.concatenate([tree.merges[:, 2] for _, tree in trees]))[::-1]
    cuts = np.concatenate([[np.inf], (merges[1:] + merges[:-1]) / 2])  # cuts[j] lies below the j highest merges
    return _labels_at_all(trees, cuts[numbers], n)


def _above_clouds(means, partitions, trees, points, min_mean_cluster_size, excluded, seed=0):
    """How much higher the mean silhouettes `means` of the cuts are than those of clouds: (cuts, len(excluded)).

    Of more than CLOUDS points, some families drawn at random stand for all, cut into their share of the clusters.
    """
    numbers = _numbers_of_merges(trees, len(points), min_mean_cluster_size)
    families = [members for members, _ in trees]
    if len(points) > CLOUDS:
        order = np.random.default_rng(0).permutation(len(families))
        fit = np.cumsum([len(families[i]) for i in order]) <= CLOUDS
        drawn = [families[i] for i in order[: max(fit.sum(), 1)]]
        ends, rows = np.cumsum([len(members) for members in drawn]), np.concatenate(drawn)
        numbers = numbers * (len(rows) - len(drawn)) // (len(points) - len(families))
        points, families = points[rows], np.split(np.arange(len(rows)), ends[:-1])
        means = scoring.silhouette_values([labels[rows] for labels in partitions], points, excluded).mean(axis=2)
    return means - _silhouettes_of_clouds(families, numbers, points, trees[0][1].method, excluded, seed)


def _silhouettes_of_clouds(families, numbers, points, method, excluded, seed=0):
    """Mean silhouettes (cuts, len(excluded)) of random points: for every family a normal cloud with its mean and covariance.

    The trees of the clouds are cut below as many merges as each of the `numbers` says.
    """
    random, clouds = np.random.default_rng(seed), np.empty_like(points)
    for members in families:
        clouds[members] = _normal_cloud(points[members], random)
    lengths = np.linalg.norm(points, axis=1)
    if len(families) == 1 and np.allclose(lengths, lengths[0]):
        clouds = normalize(clouds) * lengths[0]
    again = trees_of(families, clouds, method)
    partitions = _cuts_below(again, len(points), numbers)
    counted = _at_home(again, clouds)
    partitions = [labels[counted] for labels in partitions]
    return scoring.silhouette_values(partitions, clouds[counted], excluded, sample=1000).mean(axis=2)  # means need fewer


def _normal_cloud(points, random):
    """As many points (n, d) from the normal distribution with the mean and covariance of `points` (n, d)."""
    if len(points) == 1:
        return points.copy()
    mean = points.mean(axis=0)
    # R of X = QR has the covariance of X as R'R: normal numbers times R need no decomposition of the covariance itself
    root = np.linalg.qr(points - mean, mode="r") / np.sqrt(len(points) - 1)
    return mean + random.normal(size=(len(points), len(root))) @ root


def _labels_at_all(trees, heights, n):
    """Labels (n,) of all trees (see `common_cut`) cut at each height, unique over the trees: a list of arrays."""
    labels, used = np.empty((len(heights), n), np.int32), np.zeros(len(heights), np.int32)
    for rows, tree in trees:
        below = np.searchsorted(tree.merges[:, 2], heights, side="right")  # merges
        labels[:, rows] = tree.after(below) + used[:, None]
        used += (len(rows) - below).astype(np.int32)
    return list(labels)


def join_small(labels, trees, points, smallest):
    """Labels (n,) in which clusters of fewer than `smallest` points have joined that of the nearest point in a larger one.

    A small cluster stays if it is plainly another species: if its mean distance to the larger one is more than APART times
    the mean distance within that. So does a family (one of the `trees`) in which all clusters are small.
    """
    joined, sizes = labels.copy(), np.bincount(labels)[labels]
    for rows, _ in trees:
        small, large = rows[sizes[rows] < smallest], rows[sizes[rows] >= smallest]
        if not len(small) or not len(large):
            continue
        nearest = scoring.nearest(points[small], points[large])[:, 0]
        guest, host_of = labels[small], pd.Series(labels[large[nearest]])
        members = pd.Series(large).groupby(labels[large]).indices
        for host, its in host_of.groupby(host_of).indices.items():
            hosts = points[large[members[host][:200]]]
            cluster, size = np.unique(guest[its], return_inverse=True, return_counts=True)[1:]
            away = np.bincount(cluster, cdist(points[small[its]], hosts).mean(axis=1)) / size
            joined[small[its[away[cluster] <= APART * pdist(hosts).mean()]]] = host
    return joined


# ------------------------------------------------------------------------------------------------------ hierarchy


def _check(name, value):
    """ValueError if a setting of a clusterer that is a number, or weights of layers, can mean nothing."""
    default = SETTINGS[name]
    numbers = [*value.values()] if isinstance(value, dict) else [value]
    if isinstance(default, dict) and not (isinstance(value, dict) and value):
        raise ValueError(f"{name} = {value!r} should be layers with their weights, such as {default}")
    if isinstance(default, (dict, int, float)) and not isinstance(default, bool):
        least = 1 if name.startswith("max_") else 0
        if not all(isinstance(number, (int, float)) and least <= number < np.inf for number in numbers):
            raise ValueError(f"{name} = {value!r}: a number from {least} is needed")


@dataclass(frozen=True)
class Clusterer:
    """How to cluster: what a file in params/clusterers/ may set. These settings are those of all methods.

    A subclass has the options of its methods and `cut`. ValueError if an option or its value does not fit.
    """

    method: str = "average"  # one of CLUSTERERS
    nested: bool = True  # clusters inside each family; false: of everything, split where two families meet
    use_family: bool = True  # false withholds the family names
    max_families: int = 30  # where no family is known
    genus_layers: dict = field(default_factory=lambda: {"last": 1.0})  # layers by name, "first" or "last", and their weights
    species_layers: dict = field(default_factory=lambda: {"last": 1.0})
    signed_sqrt: bool = True  # these five: see `prepare`
    pca_components: int = 256
    whitening_power: float = 0.5
    n_smoothing_neighbors: int = 0
    umap_components: int = 0

    @staticmethod
    def of(method="average", **settings):
        """The clusterer of a method. A setting that only other methods have must keep its default."""
        if method not in CLUSTERERS:
            raise ValueError(f"method {method!r} is not one of {', '.join(CLUSTERERS)}")
        own = [one.name for one in fields(CLUSTERERS[method])]
        for name, value in settings.items():
            if name not in SETTINGS:
                raise ValueError(f"{name} is no setting of a clusterer; {suggestion(name, list(SETTINGS))}")
            if name not in own and value != SETTINGS[name]:
                options = [one for one in own if one not in [base.name for base in fields(Clusterer)]]
                raise ValueError(f"{name} = {value!r} is no option of {method}, which has {', '.join(options)}")
            _check(name, value)
        return CLUSTERERS[method](method, **{name: value for name, value in settings.items() if name in own})

    @staticmethod
    def named(clusterer, **changes):
        """The clusterer of params/clusterers/<clusterer>.yaml, with some `changes`."""
        return Clusterer.of(**utils.load_params("clusterers", clusterer) | changes)

    @property
    def uses_seed(self):
        """Whether the seed matters."""
        return self.umap_components > 0

    def prepare(self, layers, weights, seed=0, folder=None):
        """Prepared `layers` ({name: (n, d)}) side by side (n, e), each with its weight: see `prepare_both`.

        Every part of a fused encoder is prepared by itself, so none counts more because it has more or larger numbers.
        """
        options = {name: getattr(self, name) for name in PREPARATION} | {"seed": seed if self.umap_components else 0}
        takes_long = self.pca_components or self.n_smoothing_neighbors or self.umap_components
        parts = []
        for layer, weight in weights.items():
            arrays = utils.layer_parts(layers, layer)
            for name, values in arrays.items():
                if folder and takes_long:
                    kept = hashlib.sha256(repr((name, options)).encode()).hexdigest()[:16]
                    values = kept_array(folder, kept, values, functools.partial(prepare, **options))
                else:
                    values = prepare(values, **options)
                parts.append(weight / math.sqrt(len(arrays)) * values)  # a NumPy number would make float64 of it
        return np.hstack(parts)

    def prepare_both(self, layers, seed=0, folder=None):
        """Prepared `layers` for species (n, d) and for genera (n, e): the same array where both come from the same layers.

        What takes long is kept in the `folder`, if one is given, for the next that asks for it.
        """
        points = self.prepare(layers, self.species_layers, seed, folder)
        same = self.genus_layers == self.species_layers
        return points, points if same else self.prepare(layers, self.genus_layers, seed, folder)

    def cut(self, points, genus_points, seed):
        """Genus labels (n,), species labels (n,), which lie in one genus each, and noise (n,) of the photographs of one family.

        `points` (n, d) are for species, `genus_points` (n, e) for genera.
        """
        raise NotImplementedError

    def cut_all(self, points, genus_points, groups, given, seed):
        """Genus and species labels, unique over all families, and noise: (3, n), and the plausible numbers of species.

        `groups` is a list of the rows of each family; `given` says whether the families are known. The numbers are the fewest
        and the most, or None if the method does not tell.
        """
        labels = np.zeros((3, len(points)), int)
        for rows in groups:
            labels[:, rows] = self.cut(points[rows], genus_points[rows], seed)
            labels[:2, rows] += labels[:2].max(axis=1, keepdims=True) + 1
        return labels, None


@dataclass(frozen=True)
class TreeClusterer(Clusterer):
    """One dendrogram per family, cut into species and, if genera come from the same layers, cut again into genera.

    With a common height and no known family, there is one dendrogram of all photographs, unless these are too many.
    """

    k_rule: str = COMMON  # how many species: "common_height" for all families together, or one of RULES for each
    min_mean_cluster_size: float = 1.0  # a prior: photographs of a species on average, or more
    species_per_genus: float = 1.5  # a prior: species of a genus on average; 0: as many genera as the silhouette prefers

    def __post_init__(self):
        if self.k_rule not in (COMMON, *RULES):
            raise ValueError(f"k_rule {self.k_rule!r} is not one of {', '.join((COMMON, *RULES))}")

    @property
    def uses_seed(self):
        return super().uses_seed or self.k_rule in ("gap", "stability")

    def cut(self, points, genus_points, seed):
        species, tree, noise = cluster_species(points, self.method, self.k_rule, seed, self.min_mean_cluster_size)
        return self._genera(species, tree, genus_points, seed), species, noise

    def cut_all(self, points, genus_points, groups, given, seed):
        if self.k_rule == COMMON and not given and len(points) <= MAX_PAIRWISE:
            groups = [np.arange(len(points))]
        groups = [part for rows in groups for part in _divide(rows, points)]
        if self.k_rule != COMMON:
            return super().cut_all(points, genus_points, groups, given, seed)
        trees, cut = cut_families(groups, points, self.method, self.min_mean_cluster_size, given)
        labels = np.zeros((3, len(points)), int)
        labels[1], *plausible = cut
        for rows, tree in trees:
            labels[0, rows] = self._genera(labels[1, rows], tree, genus_points[rows], seed) + labels[0].max() + 1
        return labels, tuple(map(int, plausible))

    def _genera(self, species, tree, genus_points, seed):
        tree = tree if self.genus_layers == self.species_layers else None
        return group_genera(species, tree, genus_points, self.method, seed, self.species_per_genus)


@dataclass(frozen=True)
class PartitionClusterer(Clusterer):
    """k-means or a mixture in each family; the centroids of the species are clustered into genera by the same method."""

    k_rule: str = "silhouette_excluding_0_to_2"  # how many species: one of RULES
    min_mean_cluster_size: float = 1.0  # these two: see TreeClusterer
    species_per_genus: float = 1.5
    uses_seed = True

    def __post_init__(self):
        if self.k_rule in (COMMON, "heights"):
            raise ValueError(f"k_rule {self.k_rule!r} needs a tree: {', '.join(TREES)}, not {self.method}")
        if self.k_rule not in RULES:
            raise ValueError(f"k_rule {self.k_rule!r} is not one of {', '.join(RULES)}")

    def cut(self, points, genus_points, seed):
        species, _, noise = cluster_species(points, self.method, self.k_rule, seed, self.min_mean_cluster_size)
        return group_genera(species, None, genus_points, self.method, seed, self.species_per_genus), species, noise


@dataclass(frozen=True)
class DensityClusterer(Clusterer):
    """A method that finds the number of species itself; Ward's tree of the centroids of the species gives genera."""

    min_cluster_size: int = 5  # photographs of the smallest cluster, or neighbours in Leiden's graph
    species_per_genus: float = 1.5  # see TreeClusterer

    @property
    def uses_seed(self):
        return super().uses_seed or self.method != "hdbscan"

    def cut(self, points, genus_points, seed):
        species, _, noise = cluster_species(points, self.method, seed=seed, min_cluster_size=self.min_cluster_size)
        return group_genera(species, None, genus_points, seed=seed, species_per_genus=self.species_per_genus), species, noise


@dataclass(frozen=True)
class CapsClusterer(Clusterer):
    """The best method of the study that this project extends: k-means into capped numbers of genera, then of species."""

    max_genera: int = 10  # per family
    max_species: int = 10  # per genus
    uses_seed = True

    def cut(self, points, genus_points, seed):
        genus = FlatClusterer(genus_points, seed)(self.max_genera)
        species = np.empty(len(points), int)
        used = 0
        for label in np.unique(genus):
            inside = FlatClusterer(points[genus == label], seed)(self.max_species)
            species[genus == label] = inside + used
            used += inside.max() + 1
        return genus, species, np.zeros(len(points), bool)


def kept_array(folder, name, source, compute):
    """The array `compute(source)`, which is kept as <folder>/prepared-<name>-<digest>.npy.

    The digest is that of the `source` (an array), of this code and of the libraries it uses. Arrays kept under this name with
    another digest are removed. A file that cannot be read is computed again.
    """
    digest = hashlib.sha256(np.ascontiguousarray(source))
    digest.update(_made_with().encode())
    path = folder / f"prepared-{name}-{digest.hexdigest()[:16]}.npy"
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        values = compute(source)
    with atomic_write(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, values, allow_pickle=False)
    for other in folder.glob(f"prepared-{name}-*.npy"):
        if other != path:
            other.unlink(missing_ok=True)
    return values


@functools.cache
def _made_with():
    """What besides settings and source decides about prepared vectors: code, and versions of libraries."""
    code = [utils.file_digest(file) for file in (__file__, scoring.__file__)]
    return repr([*code, *(version(name) for name in ("numpy", "scikit-learn", "umap-learn"))])


PREPARATION = ("signed_sqrt", "pca_components", "whitening_power", "n_smoothing_neighbors", "umap_components")
CLUSTERERS = dict.fromkeys(TREES, TreeClusterer)
CLUSTERERS |= dict.fromkeys((name for name in BY_NUMBER if name not in TREES), PartitionClusterer)
CLUSTERERS |= dict.fromkeys(BY_DENSITY, DensityClusterer) | {"caps": CapsClusterer}


def _default(one):
    return one.default if one.default_factory is MISSING else one.default_factory()


# every setting of a clusterer and its default, that of the first class which has it
SETTINGS = {one.name: _default(one) for kind in reversed(CLUSTERERS.values()) for one in fields(kind)}


def cluster_species(
    points, method, k_rule="silhouette", seed=0, min_mean_cluster_size=1.0, min_cluster_size=5, max_clusters=None
):
    """Cluster points (n, d) with as many clusters as `k_rule` finds: labels (n,), the fitted algorithm, and noise (n,).

    The fitted algorithm is one of `BY_NUMBER`, None for a method of `BY_DENSITY`. Clusters hold `min_mean_cluster_size` points
    or more on average, and there are at most `max_clusters`. Points that are all alike are one cluster.
    """
    none = np.zeros(len(points), bool)
    if method in BY_DENSITY:
        if _all_alike(points):
            return none.astype(int), None, none
        labels, noise = by_density(method, points, seed, min_cluster_size)
        return labels, None, noise
    algorithm = BY_NUMBER[method]
    partition = algorithm(points, seed)
    numbers = candidates(min(len(points) - 1, int(len(points) / min_mean_cluster_size), max_clusters or len(points)))
    if not len(numbers) or _all_alike(points):
        return np.zeros(len(points), int), partition, none
    return partition(RULES[k_rule](algorithm, points, numbers, seed)), partition, none


def group_genera(species, tree, points, method="ward", seed=0, species_per_genus=1.5):
    """Genus labels (n,) for species labels (n,), so that each species lies in one genus.

    `tree` is the dendrogram that was cut into the species: it is cut again, higher up, and a species goes where most of its
    rows are. Without one (None) the centroids of the species among `points` (n, e) are clustered by `method`, or by Ward where
    that takes no number. The number of genera is the number of species divided by `species_per_genus`; 0 leaves it to the
    silhouette of the centroids.
    """
    members = np.unique(species, return_inverse=True)[1]
    n_species = members.max() + 1
    if tree is None or not species_per_genus:
        centroids = np.stack([points[members == s].mean(axis=0) for s in range(n_species)])
    if tree is None:
        partition = BY_NUMBER.get(method, LinkageTree)(centroids, seed)
    else:

        def partition(k):
            return np.ravel(scoring.contingency(members, tree(k)).argmax(axis=1))

    if species_per_genus:
        number = max(1, round(n_species / species_per_genus))
    else:
        numbers = candidates(n_species - 1)
        found = scoring.silhouettes([partition(k) for k in numbers], centroids)
        number = numbers[np.argmax(found)] if len(numbers) else 1
    return partition(number)[members]


def cluster(layers, families, clusterer, seed=0):
    """Cluster photographs into a hierarchy: DataFrame (n rows) with family, genus, species, noise, split_by_family.

    `layers` is an embedding, {layer: (n, d)} from shallow to deep; `families` (n,) their names, missing where unknown. Given
    families are taken as they are, and photographs without one form a group of their own, "(unknown)". If none is known, or
    `clusterer` withholds them, a Ward tree of all photographs is cut into families, named f1, f2, and so on; a genus goes where
    most of it is. Genus and species labels are numbers, unique over the dataset; every species lies in one genus and every
    genus in one family. `noise` is true for what the method called noise, `split_by_family` for rows that a family border
    separates from most of their cluster.
    `attrs["plausible"]` is the fewest and the most species clusters that `common_cut` takes to be plausible; None with others.
    """
    return cluster_prepared(*clusterer.prepare_both(layers, seed), families, clusterer, seed)


def cluster_prepared(points, genus_points, families, clusterer, seed=0):
    """`cluster` of what `Clusterer.prepare_both` gives: `points` (n, d) for species and `genus_points` (n, e) for genera."""
    families = pd.Series(np.asarray(families, object))
    given = clusterer.use_family and families.notna().any()
    families = families.fillna(UNKNOWN).to_numpy(object) if given else _find_families(points, clusterer.max_families)
    groups = [*pd.Series(families).groupby(families).indices.values()] if clusterer.nested else [np.arange(len(families))]
    (genus, species, noise), plausible = clusterer.cut_all(points, genus_points, groups, given, seed)
    if not given:
        if clusterer.nested:  # genera of one tree need not lie in one of the families that were found
            families = _home_of(families, genus)
        families = np.char.add("f", (pd.factorize(families)[0] + 1).astype(str)).astype(object)
    found = pd.DataFrame({"family": families, "genus": genus, "species": species, "noise": noise > 0})
    found["split_by_family"] = False if clusterer.nested else split_by_family(families, found["species"])
    found["genus"] = found.groupby(["family", "genus"]).ngroup()
    found["species"] = found.groupby(["genus", "species"]).ngroup()
    found.attrs["plausible"] = plausible
    return found


def _find_families(points, most):
    """Labels (n,) of at most that many families of points (n, d): Ward's tree where its silhouette is best.

    One tree cannot hold more than MAX_PAIRWISE points. Of more, it is that of a random sample, and every other point joins the
    family of its nearest neighbour there. Then there are more families if otherwise one tree could not hold each of them.
    """
    if len(points) <= MAX_PAIRWISE:
        return cluster_species(points, "ward", "silhouette", max_clusters=most)[0]
    drawn = points[np.random.default_rng(0).permutation(len(points))[:MAX_PAIRWISE]]
    least = _parts(len(points))
    tree = LinkageTree(drawn)
    partitions = [tree(k) for k in np.unique(np.geomspace(least, max(most, 3 * least), 30).astype(int))]
    labels = partitions[np.argmax(scoring.silhouettes(partitions, drawn))]
    return labels[scoring.nearest(points, drawn)[:, 0]]


def _parts(n):
    """How many parts of n points are about half as large as one tree can hold."""
    return -(-2 * n // MAX_PAIRWISE)


def _divide(rows, points):
    """The rows of a family, or of parts of it by bisecting k-means if one tree cannot hold them all: a list of arrays."""
    if len(rows) <= MAX_PAIRWISE:
        return [rows]
    parts = BisectingKMeans(_parts(len(rows)), random_state=0, bisecting_strategy="largest_cluster").fit_predict(points[rows])
    return [rows[parts == part] for part in np.unique(parts)]


def load_prepared(dataset, run, ids, seed=0):
    """The clusterer of a run ("encoder/clusterer") and what its `prepare_both` makes of the encoder's embedding of `ids`."""
    encoder, clusterer = run.split("/")
    chosen = Clusterer.named(clusterer)
    layers = utils.load_embeddings(dataset, encoder, ids)
    return chosen, *chosen.prepare_both(layers, seed, utils.embeddings_dir(dataset, encoder))


UNKNOWN = "(unknown)"  # the family of photographs without one


def oracle_k(points, groups, taxa):
    """{rank: labels (n,)} of one Ward tree per group of points (n, d), cut at the true numbers of taxa: no method.

    `groups` (n,) are names, none of them missing. `taxa` (n rows) has a column per rank, missing where a name is not known. A
    tree is of the points with a known taxon, because the number of the others is not known; these are one cluster per group.
    """
    found = {rank: np.full(len(groups), -1) for rank in taxa}
    for members in pd.Series(groups).groupby(groups).indices.values():
        tree, inside = None, members[:0]
        for rank, names in taxa.items():
            known = members[names.iloc[members].notna().to_numpy()]
            if not len(known):
                continue
            if not np.array_equal(known, inside):  # the same points mostly have a known genus and a known species
                tree, inside = LinkageTree(points[known]), known
            found[rank][known] = tree(names.iloc[known].nunique())
    return {rank: pd.Series(labels).groupby([groups, labels]).ngroup().to_numpy() for rank, labels in found.items()}


def split_by_family(families, labels):
    """Which rows (n,) lie outside the family that holds most of their cluster: the rows that a family border cuts off."""
    return np.asarray(families) != _home_of(families, labels)


def _home_of(families, labels):
    """The family (n,) that holds most of the cluster of each row, for the families and the labels (n,) of all rows."""
    members = np.unique(labels, return_inverse=True)[1]
    home = np.ravel(scoring.contingency(members, families).argmax(axis=1))
    return np.unique(families)[home[members]]
