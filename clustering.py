"""From embeddings to a hierarchy: preparing vectors, cutting them into clusters, and choosing how many there are.

`cluster(layers, families, config)` is the one way through: every chapter that clusters calls it. No genus or species name is
read here but by `oracle_k`, the reference that is given the true numbers. The algorithms are those of SciPy, fastcluster,
scikit-learn, hdbscan, leidenalg and EVoC; what stands here joins them into nested clusters.
"""

import functools
from dataclasses import dataclass, field, fields

import fastcluster
import numpy as np
import pandas as pd
from hdbscan import HDBSCAN
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors, kneighbors_graph
from sklearn.preprocessing import normalize

import scoring
import utils

# --------------------------------------------------------------------------------------------------- preparation


def prepare(points, root=True, components=256, whiten=0.5, neighbours=0, dimensions=0, seed=0):
    """Vectors of length 1 out of an embedding (n, d): (n, at most d) of them.

    `root` takes the signed square root (Perronnin, Sanchez and Mensink 2010, ECCV), which tames single large features.
    `components` keeps that many principal components (0: all, as they are), each divided by its standard deviation to the
    power `whiten`: 0 leaves them, 1 makes all equally important, as in Jegou and Chum (2012), ECCV. `neighbours` replaces
    every vector by the mean of itself and that many nearest ones. `dimensions` maps all with UMAP (0: not at all); these
    vectors keep their lengths, as distances on a map are straight lines. Points that are all alike stay so.
    """
    points = normalize(np.asarray(points, np.float64))
    if _all_alike(points):
        return points
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


def _all_alike(points):
    """Whether all rows of (n, d) points are the same: nothing can be scaled or cut then."""
    return bool((points == points[:1]).all())


# ---------------------------------------------------------------------------------------------------- algorithms


class Tree:
    """A hierarchy of (n, d) points as SciPy's linkage; called with a number, it is cut into at most that many clusters.

    Cuts of one tree are nested in each other. Ward (1963), Hierarchical grouping to optimize an objective function, JASA
    58:236-244, or another of SciPy's methods. The distances of all pairs have to fit into memory; Ward's tree of more than
    `most` points is grown from the vectors alone instead, the same tree in little memory and more time (Muellner 2013,
    fastcluster, J. Statistical Software 53:9).
    """

    def __init__(self, points, seed=0, method="ward", most=20_000):
        self.points = points
        if len(points) < 2:
            self.merges = np.empty((0, 4))
        elif method == "ward" and len(points) > most:
            self.merges = fastcluster.linkage_vector(points, method)
        else:
            self.merges = linkage(points, method)

    def __call__(self, k):
        return fcluster(self.merges, k, "maxclust") if len(self.merges) else np.ones(1, int)


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


# Photographs of one individual lie next to each other, and would make it a cluster if a silhouette counted every neighbour.
# Where a species has two or three photographs nothing is left if it forgets one or two. So it does each, and counts the mean.
FORGETFUL = (0, 1, 2)


def _silhouette(algorithm, points, numbers, seed, forget=(0,)):
    partition = algorithm(points, seed)
    return numbers[np.argmax(scoring.silhouettes([partition(k) for k in numbers], points, forget))]


def _dispersion(points, labels):
    """Sum of squared distances to the centroids."""
    members, sizes = np.unique(labels, return_inverse=True, return_counts=True)[1:]
    sums = np.zeros((len(sizes), points.shape[1]))
    np.add.at(sums, members, points)
    return ((points - (sums / sizes[:, None])[members]) ** 2).sum()


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
        return np.log([_dispersion(values, partition(k)) for k in numbers])

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
            agreed[i] += scoring.mutual_information(scoring.contingency(*labels))["ami"]
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
    "silhouette_without_nearest": functools.partial(_silhouette, forget=(1,)),
    "silhouette_without_two": functools.partial(_silhouette, forget=(2,)),
    "forgetful_silhouette": functools.partial(_silhouette, forget=FORGETFUL),
    "gap": _gap,
    "stability": _stability,
    "heights": _heights,
}


# ------------------------------------------------------------------------------------------------------ hierarchy


@dataclass(frozen=True)
class Config:
    """How to cluster: what a file in params/clusterers/ may set. ValueError if the settings do not fit each other."""

    method: str = "ward"  # one of BY_NUMBER or BY_DENSITY; or "caps", the best method of the study this extends
    nested: bool = True  # clusters inside each family, given or found; false: of everything, split where two families meet
    use_family: bool = True  # false withholds the family names
    number: str = "forgetful_silhouette"  # how many species: one of RULES
    per_cluster: float = 1.0  # a prior: photographs of a species on average, or more
    species_per_genus: float = 2.0  # a prior: species of a genus on average; 0: as many genera as the silhouette prefers
    smallest: int = 5  # methods of BY_DENSITY: photographs of the smallest cluster, or neighbours
    max_genera: int = 10  # caps: genera per family
    max_species: int = 10  # caps: species per genus
    max_families: int = 30  # where no family is known
    genus_layers: dict = field(default_factory=lambda: {"last": 1.0})  # layers by name, "first" or "last", and their weights
    species_layers: dict = field(default_factory=lambda: {"last": 1.0})
    root: bool = True  # these five: see `prepare`
    components: int = 256
    whiten: float = 0.5
    neighbours: int = 0
    dimensions: int = 0

    def __post_init__(self):
        methods = [*BY_NUMBER, *BY_DENSITY, "caps"]
        if self.method not in methods:
            raise ValueError(f"method {self.method!r} is not one of {', '.join(methods)}")
        if self.number not in RULES:
            raise ValueError(f"number {self.number!r} is not one of {', '.join(RULES)}")
        if self.number == "heights" and self.method not in TREES:
            raise ValueError(f"number 'heights' needs a tree: {', '.join(TREES)}, not {self.method}")

    @classmethod
    def named(cls, clusterer, **changes):
        """The settings of params/clusterers/<clusterer>.yaml, with some `changes`."""
        return cls(**utils.load_params("clusterers", clusterer) | changes)

    @property
    def draws_lots(self):
        """Whether the seed matters: to every method but trees and HDBSCAN, and to UMAP."""
        return self.method not in (*TREES, "hdbscan") or self.dimensions > 0 or self.number in ("gap", "stability")

    def prepare(self, layers, weights, seed=0):
        """Prepared `layers` ({name: (n, d)}) side by side (n, e), each with its weight."""
        options = {name: getattr(self, name) for name in ("root", "components", "whiten", "neighbours", "dimensions")}
        parts = {name: prepare(utils.pick_layer(layers, name), seed=seed, **options) for name in weights}
        return np.hstack([weight * parts[name] for name, weight in weights.items()])


CONFIG_FIELDS = tuple(one.name for one in fields(Config))


def split(points, method, rule, seed=0, per_cluster=1.0, smallest=5, most=None):
    """Labels (n,) of points (n, d), what cuts them again, and noise (n,): `method` with as many clusters as `rule` finds.

    What cuts again is the algorithm of `BY_NUMBER` on these points, None for a method of `BY_DENSITY`. A cluster holds
    `per_cluster` points or more on average, and there are at most `most`. Points that are all alike are one cluster.
    """
    none = np.zeros(len(points), bool)
    if method in BY_DENSITY:
        labels, noise = (none.astype(int), none) if _all_alike(points) else by_density(method, points, seed, smallest)
        return labels, None, noise
    algorithm = BY_NUMBER[method]
    partition = algorithm(points, seed)
    numbers = candidates(min(len(points) - 1, int(len(points) / per_cluster), most or len(points)))
    if not len(numbers) or _all_alike(points):
        return np.zeros(len(points), int), partition, none
    return partition(RULES[rule](algorithm, points, numbers, seed)), partition, none


def genera(species, coarser, points, method="ward", seed=0, species_per_genus=2.0):
    """Genus labels (n,) for species labels (n,), so that each species lies in one genus.

    `coarser` is the tree that was cut into the species: it is cut a second time. Without one (None) the centroids of the
    species among `points` (n, e) are clustered by `method`, or by Ward where that finds no given number. There are so many
    genera that each holds `species_per_genus` species on average; 0 leaves that to the silhouette of the centroids.
    """
    first, members = np.unique(species, return_index=True, return_inverse=True)[1:]
    centroids = np.stack([points[members == s].mean(axis=0) for s in range(len(first))])
    partition = BY_NUMBER.get(method, Tree)(centroids, seed) if coarser is None else lambda k: coarser(k)[first]
    if species_per_genus:
        number = max(1, round(len(first) / species_per_genus))
    else:
        numbers = candidates(len(first) - 1)
        found = scoring.silhouettes([partition(k) for k in numbers], centroids)
        number = numbers[np.argmax(found)] if len(numbers) else 1
    return partition(number)[members]


def capped(points, genus_points, max_genera, max_species, seed=0):
    """Genus and species labels (n,): k-means into at most so many genera, and then each of these into so many species."""
    genus = Fit(genus_points, seed)(max_genera)
    species = np.empty(len(points), int)
    for label in np.unique(genus):
        species[genus == label] = Fit(points[genus == label], seed)(max_species)
    return genus, species


def cluster_group(points, genus_points, config, seed=0):
    """Genus and species labels (n,) and noise (n,) of the photographs of one family, species nested in genera.

    `points` (n, d) are for species, `genus_points` (n, e) for genera; where `config` takes both from the same layers they are
    the same, and a tree that was cut into species is cut again into genera.
    """
    if config.method == "caps":
        labels = capped(points, genus_points, config.max_genera, config.max_species, seed)
        return *labels, np.zeros(len(points), bool)
    options = {"per_cluster": config.per_cluster, "smallest": config.smallest}
    species, partition, noise = split(points, config.method, config.number, seed, **options)
    coarser = partition if config.method in TREES and config.genus_layers == config.species_layers else None
    genus = genera(species, coarser, genus_points, config.method, seed, config.species_per_genus)
    return genus, species, noise


def cluster(layers, families, config, seed=0):
    """Cluster photographs into a hierarchy: DataFrame (n rows) with family, genus, species, noise, parted.

    `layers` is an embedding, {layer: (n, d)} from shallow to deep; `families` (n,) their names, missing where unknown. Given
    families are taken as they are, and photographs without one form a group of their own, "(unknown)". If none is known, or
    `config` withholds them, a Ward tree of all photographs is cut into families, named f1, f2, and so on. Genus and species
    labels are numbers, unique over the dataset; every species lies in one genus and every genus in one family. `noise` tells
    what the method called so, `parted` what the border of a family took off the cluster that holds most of it.
    """
    points = config.prepare(layers, config.species_layers, seed)
    same = config.genus_layers == config.species_layers
    genus_points = points if same else config.prepare(layers, config.genus_layers, seed)
    families = pd.Series(np.asarray(families, object))
    if config.use_family and families.notna().any():
        families = families.fillna(UNKNOWN).to_numpy(object)
    else:
        labels, _, _ = split(points, "ward", "silhouette", seed, most=config.max_families)
        families = np.char.add("f", (pd.factorize(labels)[0] + 1).astype(str)).astype(object)
    groups = pd.Series(families).groupby(families).indices if config.nested else {"all": np.arange(len(families))}
    genus, species, noise = np.empty((3, len(families)), int)
    for rows in groups.values():
        genus[rows], species[rows], noise[rows] = cluster_group(points[rows], genus_points[rows], config, seed)
    found = pd.DataFrame({"family": families, "genus": genus, "species": species, "noise": noise > 0, "parted": False})
    if not config.nested:
        found["parted"] = parted(families, found["species"])
    found["genus"] = found.groupby(["family", "genus"]).ngroup()
    found["species"] = found.groupby(["genus", "species"]).ngroup()
    return found


UNKNOWN = "(unknown)"  # the family of photographs without one


def oracle_k(points, groups, taxa):
    """{rank: labels (n,)} of one Ward tree per group of points (n, d), cut at the true numbers of taxa: no method.

    `taxa` (n rows) has a column per rank, missing where a name is not known. A group without any name is one cluster.
    """
    found = {rank: np.empty(len(groups), int) for rank in taxa}
    for rows in pd.Series(groups).groupby(groups).indices.values():
        tree = Tree(points[rows])
        for rank in taxa:
            found[rank][rows] = tree(max(taxa[rank].iloc[rows].nunique(), 1))
    return {rank: pd.Series(labels).groupby([groups, labels]).ngroup().to_numpy() for rank, labels in found.items()}


def parted(groups, labels):
    """Which rows (n,) lie outside the group that holds most of their cluster: what a split at the groups' border takes off."""
    table = pd.crosstab(pd.Series(labels), pd.Series(groups))
    return np.asarray(groups) != table.idxmax(axis=1).loc[labels].to_numpy()
