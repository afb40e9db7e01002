"""From embeddings to a hierarchy: preparing vectors, cutting them into clusters, and choosing how many there are.

No genus or species name is read here. The algorithms are those of SciPy, scikit-learn, hdbscan, leidenalg and EVoC; what
stands here joins them into nested clusters.
"""

import functools

import numpy as np
import pandas as pd
from hdbscan import HDBSCAN
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist, squareform
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors, kneighbors_graph
from sklearn.preprocessing import normalize

import scoring

# --------------------------------------------------------------------------------------------------- preparation


def prepare(points, root=True, components=256, whiten=0.5, neighbours=0, dimensions=0, seed=0):
    """Vectors of length 1 out of an embedding (n, d): (n, at most d) of them.

    `root` takes the signed square root (Perronnin, Sanchez and Mensink 2010, ECCV), which tames single large features.
    `components` keeps that many principal components (0: all, as they are), each divided by its standard deviation to the
    power `whiten`: 0 leaves them, 1 makes all equally important, as in Jegou and Chum (2012), ECCV. `neighbours` replaces
    every vector by the mean of itself and that many nearest ones. `dimensions` maps all with UMAP (0: not at all); these
    vectors keep their lengths, as distances on a map are straight lines.
    """
    points = normalize(np.asarray(points, np.float64))
    if root:
        points = normalize(np.sign(points) * np.sqrt(np.abs(points)))
    components = min(components, len(points) - 1, points.shape[1])
    if components > 0:
        pca = PCA(components, svd_solver="covariance_eigh").fit(points)  # exact, and quick for many photographs
        scale = np.maximum(pca.explained_variance_, pca.explained_variance_[0] * 1e-9) ** (-whiten / 2)
        points = normalize(pca.transform(points) * scale)
    if neighbours:
        near = NearestNeighbors(n_neighbors=min(neighbours + 1, len(points))).fit(points)
        points = normalize(points[near.kneighbors(points, return_distance=False)].mean(axis=1))
    if dimensions:
        from umap import UMAP  # takes seconds to load

        points = UMAP(n_components=dimensions, min_dist=0.0, random_state=seed, n_jobs=1).fit_transform(points)
    return points


# ---------------------------------------------------------------------------------------------------- algorithms


class Tree:
    """A hierarchy of (n, d) points as SciPy's linkage; called with a number, it is cut into at most that many clusters.

    Cuts of one tree are nested in each other. Ward (1963), Hierarchical grouping to optimize an objective function, JASA
    58:236-244, or another of SciPy's methods. The distances of all pairs have to fit into memory, so more than `most` points
    are first gathered by mini-batch k-means, and what is joined are the middles of a quarter as many small clusters.
    """

    def __init__(self, points, seed=0, method="ward", most=20_000):
        self.points, self.gathered = points, np.arange(len(points))
        if len(points) > most:
            found = MiniBatchKMeans(most // 4, random_state=seed).fit_predict(points)
            names, self.gathered = np.unique(found, return_inverse=True)
            points = np.stack([points[found == name].mean(axis=0) for name in names])
        self.merges = linkage(points, method) if len(points) > 1 else np.empty((0, 4))

    def __call__(self, k):
        return (fcluster(self.merges, k, "maxclust") if len(self.merges) else np.ones(1, int))[self.gathered]


class Fit:
    """A scikit-learn estimator of clusters or mixtures on (n, d) points; called with a number, it is fitted with as many."""

    def __init__(self, points, seed=0, estimator=KMeans, **options):
        self.points, self.estimator, self.options = points, estimator, options | {"random_state": seed}

    def __call__(self, k):
        k = min(k, len(self.points))
        return self.estimator(k, **self.options).fit_predict(self.points) if k > 1 else np.zeros(len(self.points), int)


BY_NUMBER = {
    "ward": Tree,
    "average": functools.partial(Tree, method="average"),
    "complete": functools.partial(Tree, method="complete"),
    "kmeans": Fit,
    "minibatch_kmeans": functools.partial(Fit, estimator=MiniBatchKMeans),
    "mixture": functools.partial(Fit, estimator=GaussianMixture, covariance_type="spherical"),
}
TREES = ("ward", "average", "complete")


def _hdbscan(points, seed, smallest):
    """Campello, Moulavi and Sander (2013), PAKDD 160-172."""
    return HDBSCAN(min_cluster_size=smallest, min_samples=1).fit_predict(points)


def _leiden(points, seed, smallest):
    """Traag, Waltman and van Eck (2019), Scientific Reports 9:5233, on the graph of the `smallest` nearest neighbours."""
    import igraph  # takes time to load
    import leidenalg

    graph = kneighbors_graph(points, min(smallest, len(points) - 1))
    edges = igraph.Graph.Weighted_Adjacency(graph.maximum(graph.T), mode="undirected")
    return np.array(leidenalg.find_partition(edges, leidenalg.ModularityVertexPartition, seed=seed).membership)


def _evoc(points, seed, smallest):
    """The finest layer of EVoC, Embedding Vector Oriented Clustering (github.com/TutteInstitute/evoc)."""
    from evoc import EVoC  # takes seconds to load

    found = EVoC(base_min_cluster_size=smallest, random_state=seed).fit(points.astype(np.float32))
    return found.cluster_layers_[0]


BY_DENSITY = {"hdbscan": _hdbscan, "leiden": _leiden, "evoc": _evoc}


def by_density(name, points, seed=0, smallest=5):
    """Labels (n,) of a method that finds the number of clusters itself, and which rows (n,) it called noise.

    `smallest` is the size of the smallest cluster, or of a neighbourhood. Noise is not dropped: every such row joins the
    cluster of the nearest row that has one. Too few points for the method are one cluster.
    """
    if len(points) <= 2 * smallest:
        return np.zeros(len(points), int), np.zeros(len(points), bool)
    labels = np.asarray(BY_DENSITY[name](points, seed, smallest))
    noise = labels < 0
    if noise.all():
        return np.zeros(len(points), int), noise
    nearest = NearestNeighbors(n_neighbors=1).fit(points[~noise])
    if noise.any():
        labels[noise] = labels[~noise][nearest.kneighbors(points[noise], return_distance=False)[:, 0]]
    return labels, noise


# ------------------------------------------------------------------------------------------------------- how many


def candidates(largest, n=80):
    """About `n` cluster numbers from 2 to `largest`, evenly spaced in ratio; all of them if there are fewer."""
    if largest <= n:
        return np.arange(2, largest + 1)
    return np.unique(np.geomspace(2, largest, n).astype(int))


def silhouettes(partitions, points, forget=(0,), sample=5000):
    """Mean silhouette over points (n, d) of each of several labels (n,); -1 where it is not defined.

    Rousseeuw (1987), Silhouettes, J. Comput. Appl. Math. 20:53-65, on a fixed sample where there are more than `sample`
    points. For every number in `forget`, no point counts its so many nearest neighbours among its own cluster, and the mean
    is taken over these numbers, too. A point with no other left scores 0, as one alone does.
    """
    rows = np.sort(np.random.default_rng(0).permutation(len(points))[:sample])
    distances = squareform(pdist(points[rows]))
    everyone = np.arange(len(rows))
    apart = distances + np.diag(np.full(len(rows), np.inf))
    near = np.argsort(apart, axis=1, kind="stable")[:, : min(max(forget), len(rows) - 1)]
    near_distances = np.take_along_axis(distances, near, 1)

    def of_nearest(values):
        """Sums (n, len(forget)) of the values (n, k) of nearest neighbours over as many of them as are forgotten."""
        return np.pad(values.cumsum(axis=1), ((0, 0), (1, 0)))[:, np.minimum(forget, near.shape[1])]

    scores = []
    for labels in partitions:
        members, sizes = np.unique(labels[rows], return_inverse=True, return_counts=True)[1:]
        if not 2 <= len(sizes) < len(rows):
            scores.append(-1.0)
            continue
        order = np.argsort(members, kind="stable")
        sums = np.add.reduceat(distances[:, order], np.cumsum(sizes) - sizes, axis=1)
        own = members[near] == members[:, None]
        left = (sizes[members] - 1)[:, None] - of_nearest(own)
        inside = (sums[everyone, members][:, None] - of_nearest(own * near_distances)) / np.maximum(left, 1)
        means = sums / sizes
        means[everyone, members] = np.inf
        outside = means.min(axis=1)[:, None]
        larger = np.maximum(np.maximum(inside, outside), np.finfo(float).tiny)
        scores.append(np.where(left > 0, (outside - inside) / larger, 0).mean())
    return np.array(scores)


# Photographs of one individual lie next to each other, and would make it a cluster if a silhouette counted every neighbour.
# Where a species has two or three photographs nothing is left if it forgets one or two. So it does each, and counts the mean.
FORGETFUL = (0, 1, 2)


def _silhouette(algorithm, points, numbers, seed, forget=(0,)):
    partition = algorithm(points, seed)
    return numbers[np.argmax(silhouettes([partition(k) for k in numbers], points, forget))]


def _dispersion(points, labels):
    """Sum of squared distances to the centroids."""
    members, sizes = np.unique(labels, return_inverse=True, return_counts=True)[1:]
    sums = np.zeros((len(sizes), points.shape[1]))
    np.add.at(sums, members, points)
    return ((points - (sums / sizes[:, None])[members]) ** 2).sum()


def _gap(algorithm, points, numbers, seed, references=5):
    """Tibshirani, Walther and Hastie (2001), JRSS B 63:411-423: against points spread evenly along the principal axes."""
    numbers = numbers[numbers <= max(2, len(points) // 2)]  # the dispersion of single points is 0, its logarithm nothing
    scores = PCA(svd_solver="full").fit_transform(points)
    random = np.random.default_rng(seed)
    spread = [random.uniform(scores.min(0), scores.max(0), scores.shape) for _ in range(references)]

    def logs(values):
        partition = algorithm(values, seed)
        return np.log([_dispersion(values, partition(k)) for k in numbers])

    chance = np.array([logs(values) for values in spread])
    gaps, error = chance.mean(0) - logs(scores), chance.std(0) * np.sqrt(1 + 1 / references)
    enough = np.flatnonzero(gaps[:-1] >= gaps[1:] - error[1:])
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
            agreed[i] += scoring.mutual_information(scoring.contingency(*labels))["ami"]
    return numbers[agreed >= agreed.max() - 1e-9].max()


def _heights(algorithm, points, numbers, seed):
    """The largest ratio between the heights of two merges that follow each other in a tree."""
    heights = np.maximum(algorithm(points, seed).merges[::-1, 2], np.finfo(float).tiny)
    return np.argmax(heights[:-1] / heights[1:]) + 2 if len(heights) > 1 else 1


RULES = {
    "silhouette": _silhouette,
    "silhouette_without_nearest": functools.partial(_silhouette, forget=(1,)),
    "silhouette_without_two": functools.partial(_silhouette, forget=(2,)),
    "forgetful_silhouette": functools.partial(_silhouette, forget=FORGETFUL),
    "gap": _gap,
    "stability": _stability,
    "heights": _heights,
}


# ------------------------------------------------------------------------------------------------------ hierarchy


def check(method, rule):
    """ValueError unless there are such a method and such a rule, and the rule can be used with it."""
    methods = [*BY_NUMBER, *BY_DENSITY, "caps"]
    if method not in methods:
        raise ValueError(f"method {method!r} is not one of {', '.join(methods)}")
    if rule not in RULES:
        raise ValueError(f"number {rule!r} is not one of {', '.join(RULES)}")
    if rule == "heights" and method not in TREES:
        raise ValueError(f"number 'heights' needs a tree: {', '.join(TREES)}, not {method}")


def split(points, method, rule, seed=0, per_cluster=1.0, smallest=5, most=None):
    """Labels (n,) of points (n, d), what cuts them again, and noise (n,): `method` with as many clusters as `rule` finds.

    What cuts again is the algorithm of `BY_NUMBER` on these points, None for a method of `BY_DENSITY`. A cluster holds
    `per_cluster` points or more on average, and there are at most `most`.
    """
    if method in BY_DENSITY:
        labels, noise = by_density(method, points, seed, smallest)
        return labels, None, noise
    algorithm, none = BY_NUMBER[method], np.zeros(len(points), bool)
    numbers = candidates(min(len(points) - 1, int(len(points) / per_cluster), most or len(points)))
    if not len(numbers):
        return np.zeros(len(points), int), algorithm(points, seed), none
    partition = algorithm(points, seed)
    return partition(RULES[rule](algorithm, points, numbers, seed)), partition, none


def genera(species, partition, genus_points, method="ward", seed=0, species_per_genus=2.0):
    """Genus labels (n,) for species labels (n,), so that each species lies in one genus.

    `partition` is what cut the species, as `split` gives it: a tree on `genus_points` (n, e) themselves is cut a second time.
    Otherwise the centroids of the species there are clustered. There are so many genera that each holds `species_per_genus`
    species on average; 0 leaves that to the silhouette of the centroids.
    """
    first, members = np.unique(species, return_index=True, return_inverse=True)[1:]
    centroids = np.stack([genus_points[members == s].mean(axis=0) for s in range(len(first))])
    if isinstance(partition, Tree) and partition.points is genus_points:

        def coarser(k):
            return partition(k)[first]
    else:
        coarser = BY_NUMBER.get(method, Tree)(centroids, seed)
    if species_per_genus:
        number = max(1, round(len(first) / species_per_genus))
    else:
        numbers = candidates(len(first) - 1)
        found = silhouettes([coarser(k) for k in numbers], centroids)
        number = numbers[np.argmax(found)] if len(numbers) else 1
    return coarser(number)[members]


def hierarchy(
    points, genus_points, method="ward", rule="forgetful_silhouette", seed=0, species_per_genus=2.0, **options
):
    """Genus and species labels (n,) and noise (n,) of the photographs of one family, species nested in genera.

    `points` (n, d) tell species, `genus_points` (n, e) genera; see `split` and `genera`.
    """
    species, partition, noise = split(points, method, rule, seed, **options)
    return genera(species, partition, genus_points, method, seed, species_per_genus), species, noise


def capped(points, genus_points, max_genera, max_species, seed=0):
    """Genus and species labels (n,): k-means into at most so many genera, and then each of these into so many species."""
    genus = Fit(genus_points, seed)(max_genera)
    species = np.empty(len(points), int)
    for label in np.unique(genus):
        species[genus == label] = Fit(points[genus == label], seed)(max_species)
    return genus, species


def _in_groups(groups, ranks, cut):
    """{rank: labels (n,)} that `cut(rows)` gives for the rows of each group (n,); no label stands in two groups."""
    found = {rank: np.empty(len(groups), int) for rank in ranks}
    for rows in pd.Series(groups).groupby(groups).indices.values():
        for rank, labels in zip(ranks, cut(rows), strict=True):
            found[rank][rows] = labels
    both = {rank: pd.Series(groups).groupby([groups, labels]) for rank, labels in found.items()}
    return {rank: groupby.ngroup().to_numpy() for rank, groupby in both.items()}


def nested_ward(points, groups, **options):
    """{rank: labels (n,)} by the recommended clusterer: every group by itself, with what `hierarchy` takes by default.

    `options` of `hierarchy` depart from it, as `rule` does where rules are compared.
    """
    return _in_groups(groups, ("genus", "species"), lambda rows: hierarchy(points[rows], points[rows], **options)[:2])


def with_true_numbers(points, groups, taxa):
    """{rank: labels (n,)} of one Ward tree per group, cut at the true numbers of taxa: a ceiling, as it reads their names.

    `taxa` (n rows) has a column per rank, missing where a name is not known.
    """

    def cut(rows):
        tree = Tree(points[rows])
        return [tree(max(taxa[rank].iloc[rows].nunique(), 1)) for rank in taxa]

    return _in_groups(groups, list(taxa), cut)


def parted(groups, labels):
    """Which rows (n,) lie outside the group that holds most of their cluster: what a split at the groups' border takes off."""
    table = pd.crosstab(pd.Series(labels), pd.Series(groups))
    return np.asarray(groups) != table.idxmax(axis=1).loc[labels].to_numpy()
