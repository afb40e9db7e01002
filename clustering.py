"""From embeddings to a hierarchy: preparing vectors, cutting them into clusters, and choosing how many there are.

No genus or species name is read here. The algorithms are those of SciPy, scikit-learn, hdbscan, leidenalg and EVoC; what
stands here joins them into nested clusters. An algorithm is given points (n, d) and a seed, and hands back a function of the
number of clusters (`BY_NUMBER`), or labels (`BY_DENSITY`: the number follows from the points).
"""

import functools

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist, squareform
from sklearn import metrics
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors, kneighbors_graph
from sklearn.preprocessing import normalize

# --------------------------------------------------------------------------------------------------- preparation


def prepare(points, root=True, components=256, whiten=0.5, neighbours=0):
    """Vectors of length 1 out of an embedding (n, d); they cluster better than the raw ones. (n, at most d).

    `root` takes the signed square root (Perronnin, Sanchez and Mensink 2010, ECCV), which tames single large features.
    `components` keeps that many principal components (0: all, as they are), each divided by its standard deviation to the
    power `whiten`: 0 leaves them, 1 makes all equally important, as in Jegou and Chum (2012), ECCV. `neighbours` replaces
    every vector by the mean of itself and that many nearest ones.
    """
    points = normalize(np.asarray(points, np.float64))
    if root:
        points = normalize(np.sign(points) * np.sqrt(np.abs(points)))
    if components:
        pca = PCA(min(components, len(points) - 1, points.shape[1]), svd_solver="full").fit(points)
        scale = np.maximum(pca.explained_variance_, pca.explained_variance_[0] * 1e-9) ** (-whiten / 2)
        points = normalize(pca.transform(points) * scale)
    if neighbours:
        near = NearestNeighbors(n_neighbors=min(neighbours + 1, len(points))).fit(points)
        points = normalize(points[near.kneighbors(points, return_distance=False)].mean(axis=1))
    return points


# ---------------------------------------------------------------------------------------------------- algorithms


def linkage_tree(points, seed=0, method="ward"):
    """A tree of (n, d) points, as a function that cuts it into at most k clusters; its cuts are nested in each other.

    Ward (1963), Hierarchical grouping to optimize an objective function, JASA 58:236-244, or another of SciPy's linkages.
    """
    tree = linkage(points, method) if len(points) > 1 else None
    return lambda k: fcluster(tree, k, "maxclust") if tree is not None else np.ones(1, int)


def _fitted(estimator, points, seed, **options):
    return lambda k: estimator(min(k, len(points)), random_state=seed, **options).fit_predict(points)


BY_NUMBER = {
    "ward": linkage_tree,
    "average": functools.partial(linkage_tree, method="average"),
    "complete": functools.partial(linkage_tree, method="complete"),
    "kmeans": functools.partial(_fitted, KMeans),
    "minibatch_kmeans": functools.partial(_fitted, MiniBatchKMeans),
    "mixture": functools.partial(_fitted, GaussianMixture, covariance_type="spherical"),
}


def density(points, seed=0, smallest=5):
    """HDBSCAN labels (n,), -1 for noise: Campello, Moulavi and Sander (2013), PAKDD 160-172."""
    from hdbscan import HDBSCAN

    return HDBSCAN(min_cluster_size=smallest, min_samples=1).fit_predict(points)


def communities(points, seed=0, smallest=5):
    """Leiden labels (n,) of the graph of nearest neighbours: Traag, Waltman and van Eck (2019), Scientific Reports 9:5233."""
    import igraph
    import leidenalg

    edges = kneighbors_graph(points, min(smallest, len(points) - 1), include_self=False)
    weights = (edges + edges.T).tocoo()
    upper = weights.row < weights.col
    graph = igraph.Graph(len(points), np.stack([weights.row, weights.col], 1)[upper].tolist())
    kind = leidenalg.RBConfigurationVertexPartition
    return np.array(leidenalg.find_partition(graph, kind, weights=weights.data[upper].tolist(), seed=seed).membership)


def embedding_vectors(points, seed=0, smallest=5):
    """EVoC labels (n,), -1 for noise; McInnes, https://github.com/TutteInstitute/evoc."""
    from evoc import EVoC

    return EVoC(base_min_cluster_size=smallest, random_state=seed).fit_predict(points.astype(np.float32))


BY_DENSITY = {"hdbscan": density, "leiden": communities, "evoc": embedding_vectors}


# --------------------------------------------------------------------------------------------------- how many


def candidates(largest, n=80):
    """About `n` cluster numbers from 2 to `largest`, evenly spaced in ratio; all of them if there are fewer."""
    if largest <= n:
        return np.arange(2, largest + 1)
    return np.unique(np.geomspace(2, largest, n).astype(int))


def silhouettes(partitions, points, sample=5000):
    """Mean silhouette over points (n, d) of each of several labels (n,); -1 where it is not defined.

    Rousseeuw (1987), Silhouettes, J. Comput. Appl. Math. 20:53-65. It is taken on a fixed sample where there are more than
    `sample` points.
    """
    rows = np.sort(np.random.default_rng(0).permutation(len(points))[:sample])
    distances = squareform(pdist(points[rows]))
    scores = []
    for labels in partitions:
        several = 2 <= len(np.unique(labels[rows])) < len(rows)
        scores.append(metrics.silhouette_score(distances, labels[rows], metric="precomputed") if several else -1.0)
    return np.array(scores)
