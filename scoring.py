"""Scores of a hierarchy: partitions against taxa, dendrograms against the taxonomy, and the uncertainty of both.

Measures come from scikit-learn, SciPy and higra. Measures that are computed here from a contingency table are tested against
cases worked out by hand.
"""

import functools
import itertools
import math
from concurrent.futures import ThreadPoolExecutor

import dendropy
import higra
import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import cophenet
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from scipy.spatial.distance import cdist, pdist, squareform
from scipy.special import gammaln
from scipy.stats import t as student_t
from sklearn import metrics
from sklearn.neighbors import NearestNeighbors

import utils

INTERNAL = ("silhouette", "calinski_harabasz", "davies_bouldin")


def codes(labels):
    """Labels of any kind as integers from 0, in order of appearance; -1 where one is missing."""
    return pd.factorize(np.asarray(labels))[0]


# ---------------------------------------------------------------------------------------- partitions against taxa


def contingency(truth, found):
    """Number of rows that each taxon shares with each cluster: sparse (taxa, clusters)."""
    (taxa, taxon), (clusters, cluster) = (np.unique(labels, return_inverse=True) for labels in (truth, found))
    shape = len(taxa), len(clusters)
    return csr_array((np.ones(len(taxon)), (taxon, cluster)), shape)  # equal entries are added up


def margins(table):
    """Sizes of the taxa and of the clusters of a contingency table, and the taxon (row) of each of its entries."""
    taxon = np.repeat(np.arange(table.shape[0]), np.diff(table.indptr))
    n_taxa, n_clusters = table.shape
    return np.bincount(taxon, table.data, n_taxa), np.bincount(table.indices, table.data, n_clusters), taxon


def expected_mutual_information(taxon_sizes, cluster_sizes):
    """Mean mutual information (nats) of random partitions with the given sizes; Vinh, Epps and Bailey (2010), JMLR 11:2837.

    Only the sizes matter, and many sizes are equal. So every pair of different sizes is computed once. This is thousands of
    times faster than the sum over all pairs of taxa and clusters and gives the same result.
    """
    n = int(taxon_sizes.sum())
    log_factorial = gammaln(np.arange(n + 1) + 1)
    total = 0.0
    (many, taxa), (few, clusters) = (np.unique(s.astype(int), return_counts=True) for s in (taxon_sizes, cluster_sizes))
    pairs = np.arange(len(many) * len(few))
    fewest = np.maximum(1, np.add.outer(many, few).ravel() - n)  # rows that a taxon and a cluster of a pair can share
    numbers = np.minimum.outer(many, few).ravel() - fewest + 1
    for part in np.split(pairs, np.flatnonzero(np.diff(np.cumsum(numbers) // 1_000_000)) + 1):  # what the memory holds
        number = numbers[part]
        pair, first = np.repeat(part, number), np.repeat(np.cumsum(number) - number, number)
        shared = fewest[pair] + np.arange(len(pair)) - first
        i, j = np.divmod(pair, len(few))
        size, cluster = many[i], few[j]
        information = shared / n * np.log(n * shared / (size * cluster))
        # the hypergeometric distribution: binomials (size, shared) and (n - size, cluster - shared) over (n, cluster)
        ways = log_factorial[size] + log_factorial[n - size] + log_factorial[cluster] + log_factorial[n - cluster]
        for rows in (n, shared, size - shared, cluster - shared, n - size - cluster + shared):
            ways -= log_factorial[rows]
        total += (taxa[i] * clusters[j] * information * np.exp(ways)).sum()
    return total


def mutual_information(table):
    """AMI, NMI, homogeneity and completeness of a contingency table, with arithmetic means as in scikit-learn."""
    *sizes, taxon = margins(table)
    n = table.data.sum()
    taxa, clusters = (-(share * np.log(share)).sum() for share in (s / n for s in sizes))
    independent = sizes[0][taxon] * sizes[1][table.indices] / n
    shared = max(0.0, (table.data * np.log(table.data / independent)).sum() / n)
    by_chance = expected_mutual_information(*sizes)
    mean = (taxa + clusters) / 2
    alike = table.nnz == len(sizes[0]) == len(sizes[1])  # the same partition, also of one cluster or of single rows
    return {
        "ami": 1.0 if alike else (shared - by_chance) / (mean - by_chance),
        "nmi": 1.0 if alike else shared / mean,
        "homogeneity": shared / taxa if taxa else 1.0,
        "completeness": shared / clusters if clusters else 1.0,
    }


def ami(truth, found):
    """Adjusted mutual information of two partitions, labels (n,) of any kind."""
    return mutual_information(contingency(truth, found))["ami"]


def adjusted_rand(table):
    """Adjusted Rand index of a contingency table; Hubert and Arabie (1985), J. Classification 2:193-218."""
    rows, columns, _ = margins(table)
    both, taxa, clusters, every = (_pairs(sizes) for sizes in (table.data, rows, columns, table.data.sum()))
    chance, mean = taxa * clusters / max(every, 1), (taxa + clusters) / 2
    return 1.0 if mean == chance else (both - chance) / (mean - chance)


def hungarian_accuracy(table):
    """Share of rows in the right cluster, under the best one-to-one assignment of clusters to taxa.

    Kuhn (1955), The Hungarian method for the assignment problem, Naval Research Logistics 2:83-97. The rows of a taxon without
    a cluster count as wrong.
    """
    # Every taxon also gets an empty column of its own after the others, so that it can stay without a cluster. One is added to
    # all entries, because the sparse solver reads 0 as "no such pair". The best assignment stays the same, because every taxon
    # is assigned exactly once.
    (n_taxa, n_clusters), ends = table.shape, table.indptr[1:]
    shares = np.insert(table.data + 1, ends, 1)
    columns = np.insert(table.indices, ends, n_clusters + np.arange(n_taxa))
    pairs = csr_array((shares, columns, table.indptr + np.arange(n_taxa + 1)), (n_taxa, n_clusters + n_taxa))
    matched = min_weight_full_bipartite_matching(pairs, maximize=True)
    return float((pairs[matched] - 1).sum() / table.sum())


OUTCOMES = ("found", "merged", "split", "missed")


def outcomes(table):
    """Outcome of every taxon of a contingency table: DataFrame (taxa) with together, pure, outcome.

    The main cluster of a taxon holds most of its rows. `together` is the share of the taxon that is in its main cluster. `pure`
    is the share of the main cluster that is the taxon. A taxon is *found* if both are above one half, *merged* with others if
    only the first is, *split* if only the second is, and *missed* if neither is.
    """
    home = np.ravel(table.argmax(axis=1))  # main clusters
    shared = np.ravel(table.max(axis=1).toarray())
    together, pure = shared / np.ravel(table.sum(axis=1)), shared / np.ravel(table.sum(axis=0))[home]
    kinds = [(together > 0.5) & (pure > 0.5), together > 0.5, pure > 0.5]
    return pd.DataFrame({"together": together, "pure": pure, "outcome": np.select(kinds, OUTCOMES[:3], OUTCOMES[3])})


VERDICTS = ("agrees", "merged", "split", "misplaced")


def verdicts(found, referee):
    """What a partition that is trusted more says of every row of another: one of VERDICTS for each.

    `found` and `referee` are labels (n,), none of them missing.

    The main cluster of a cluster is the one of the other partition that holds most of its rows. A row *agrees* if its two
    clusters are each other's main clusters. It is *merged* if its referee's cluster belongs here, but most of this cluster is
    another one's; *split* if this cluster is a lesser part of its referee's; *misplaced* if neither is the other's main.
    """
    found, referee = codes(found), codes(referee)
    table = contingency(found, referee)
    of_found = np.ravel(table.argmax(axis=1))[found] == referee
    of_referee = np.ravel(table.argmax(axis=0))[referee] == found
    return np.select([of_found & of_referee, of_referee, of_found], VERDICTS[:3], VERDICTS[3])


def bcubed(table):
    """BCubed precision, recall and F1; Amigo et al. (2009), Information Retrieval 12:461-486.

    Precision is the share of a row's cluster that has its taxon. Recall is the share of its taxon that is in its cluster. Both
    are means over rows, and each row counts in its own cluster.
    """
    taxon_sizes, cluster_sizes, taxon = margins(table)
    squares, n = table.data**2, table.data.sum()
    precision = float((squares / cluster_sizes[table.indices]).sum() / n)
    recall = float((squares / taxon_sizes[taxon]).sum() / n)
    f1 = 2 * precision * recall / (precision + recall)
    return {"bcubed_precision": precision, "bcubed_recall": recall, "bcubed_f1": f1}


def agreement(truth, found, families):
    """Agreement of a partition with the true taxa, over all rows and within families: {measure: value}.

    `truth`, `found` and `families` are labels (n,). AMI and ARI are adjusted for chance: 0 for random labels, 1 for the truth.
    NMI, homogeneity, completeness, Hungarian accuracy and BCubed are not. "ami_above_family" is the AMI minus that of the
    family-only baseline. "<measure>_within" is the mean over the families that hold more than one taxon, weighted by their
    number of rows; it is missing if there is no such family.
    """
    truth, found = codes(truth), codes(found)
    family = codes(families)  # -1 where the name is missing, which is no family
    members = [np.flatnonzero(family == one) for one in range(family.max() + 1)]
    groups = [rows for rows in members if np.ptp(truth[rows]) > 0]
    overall = _measures(truth, found)
    inside = [_measures_of_family(codes(truth[rows]).tobytes(), codes(found[rows]).tobytes()) for rows in groups]
    within = pd.DataFrame(inside, columns=list(overall))
    weights = [len(rows) for rows in groups]
    above = {"ami_above_family": overall["ami"] - mutual_information(contingency(truth, family))["ami"]}
    means = {f"{name}_within": np.average(within[name], weights=weights) if groups else np.nan for name in within}
    return overall | above | means


def _measures(truth, found):
    table = contingency(truth, found)
    others = {"ari": adjusted_rand(table), "hungarian_accuracy": hungarian_accuracy(table)}
    return mutual_information(table) | others | bcubed(table)


@functools.lru_cache(maxsize=1024)  # most families stay the same when the jackknife omits some species
def _measures_of_family(truth, found):
    """`_measures` of codes given as bytes."""
    return _measures(*(np.frombuffer(labels, dtype=np.intp) for labels in (truth, found)))


# --------------------------------------------------------------------------------------------------- hierarchies


def taxonomic_distance_within(found, taxa):
    """Mean taxonomic distance of two rows of one cluster: 0 in one species, 1 in one genus, 2 in one family, otherwise 3.

    `taxa` is a DataFrame (n rows) with a column per rank. Rows that lack a name at any rank are left out. The result is missing
    if no cluster holds two of the other rows.
    """
    known = taxa.notna().all(axis=1).to_numpy()
    found, taxa = np.asarray(found)[known], taxa[known]
    pairs = _pairs(np.bincount(codes(found)))
    if not pairs:
        return np.nan
    return float(sum(1 - _pairs(contingency(codes(taxa[rank]), codes(found)).data) / pairs for rank in taxa))


def _pairs(sizes):
    """Number of pairs within groups of these sizes."""
    return float((sizes * (sizes - 1) / 2).sum())


def taxonomic_distances(taxa):
    """Condensed distances (n (n - 1) / 2,) of the rows of `taxa`, a column per rank: number of ranks at which two differ."""
    return sum(pdist(codes(taxa[rank])[:, None], "hamming") for rank in taxa)


def dendrogram_scores(tree, taxa, species):
    """Agreement of a SciPy linkage of n specimens with their taxonomy, `taxa` with a column per rank: {metric: value}.

    `species` (n,) numbers the species from 0. The metrics are the dendrogram purity of each rank (Heller and Ghahramani 2005,
    ICML 22:297-304), the correlation of cophenetic with taxonomic distances (Sokal and Rohlf 1962, Taxon 11:33-40), and the
    triplet accuracy against the taxonomy.
    """
    taxonomy = taxonomic_distances(taxa)
    first = np.unique(species, return_index=True)[1]
    between = squareform(taxonomic_distances(taxa.iloc[first]))
    purity = {f"dendrogram_purity_{rank}": dendrogram_purity(tree, taxa[rank]) for rank in taxa}
    correlation = float(np.corrcoef(cophenet(tree), taxonomy)[0, 1])
    return purity | {
        "cophenetic_correlation": correlation,
        "triplet_accuracy": triplet_accuracy(tree, species, between),
    }


def dendrogram_purity(tree, labels):
    """Mean purity of the smallest subtree that contains two leaves of one label (n,), over all such pairs of leaves.

    It is 1 if every taxon is a subtree.
    """
    n = len(tree) + 1
    parents = np.arange(2 * n - 1)
    parents[tree[:, :2].astype(int)] = np.arange(n, 2 * n - 1)[:, None]
    return float(higra.dendrogram_purity(higra.Tree(parents), codes(labels)))


# A clade is a set of species, stored as the bits of an integer. Single species and the set of all species are left out.


def linkage_clades(tree):
    """Clades of a SciPy linkage of k species, which are numbered from 0."""
    clades = [1 << species for species in range(len(tree) + 1)]
    for left, right in tree[:, :2].astype(int):
        clades.append(clades[left] | clades[right])
    return set(clades[len(tree) + 1 : -1])


def taxon_clades(taxa):
    """Clades of a taxonomy: `taxa` (k rows, one per species) has a column per rank above the species."""
    groups = [rows for rank in taxa for rows in taxa.groupby(taxa[rank].to_numpy()).indices.values()]
    return {sum(1 << int(species) for species in rows) for rows in groups if 2 <= len(rows) < len(taxa)}


def newick_clades(path, names):
    """Clades of a rooted tree in a Newick file, restricted to the species with these names (k,)."""
    number = {name: species for species, name in enumerate(names)}
    tree = dendropy.Tree.get(path=path, schema="newick", rooting="force-rooted")
    sides = ({number[t.taxon.label] for t in node.leaf_iter() if t.taxon.label in number} for node in tree)
    return {sum(1 << species for species in side) for side in sides if 2 <= len(side) < len(number)}


def robinson_foulds(found, known):
    """Robinson-Foulds distance of two sets of clades: (normalised distance, share of the known clades that were not found).

    The distance is the number of clades that are in one set only, divided by the sum of the sizes of both sets. A taxonomy has
    far fewer clades than a binary tree, so the smallest possible distance to it is above 0; the smallest share is 0. Both are
    missing if no clade is known. Robinson and Foulds (1981), Mathematical Biosciences 53:131-147.
    """
    if not known:
        return np.nan, np.nan
    return len(found ^ known) / (len(found) + len(known)), len(known - found) / len(known)


def triplet_accuracy(tree, species, distances, sample=20000, seed=0):
    """Share of triples of specimens from three species for which a dendrogram first joins the two closest relatives.

    `tree` is a SciPy linkage of n specimens, `species` (n,) numbers their species from 0, and `distances` (k, k) are those of
    the species in the true tree. Triples without a unique closest pair in the true tree are left out. A triple that the
    dendrogram joins at a single height counts one third, the value of a random dendrogram. All triples are used, or a `sample`
    of them drawn with `seed` if there are more. The result is missing if no triple can be used. It is one minus the normalised
    distance of Critchlow, Pearl and Qian (1996), The triples distance for rooted bifurcating phylogenetic trees, Syst. Biol.
    45:323-334, here with several tips per species in one of the two trees.
    """
    n, species = len(tree) + 1, np.asarray(species)
    if math.comb(n, 3) > sample:
        triples = np.random.default_rng(seed).integers(n, size=(sample, 3))
    else:
        triples = np.array(list(itertools.combinations(range(n), 3)), int).reshape(-1, 3)
    one, other = triples[:, [0, 0, 1]], triples[:, [1, 2, 2]]  # the three pairs of every triple
    true = np.asarray(distances)[species[one], species[other]]
    closest = true == true.min(axis=1, keepdims=True)
    counts = (closest.sum(axis=1) == 1) & (species[one] != species[other]).all(axis=1)
    if not counts.any():
        return np.nan
    joined = squareform(cophenet(tree))[one, other][counts]
    first = joined == joined.min(axis=1, keepdims=True)
    return (first[closest[counts]] / first.sum(axis=1)).mean()


# ------------------------------------------------------------------------------------------- without any labels


FEW = 5000  # points that are compared in float64 and exactly; more are compared in float32 and by matrix products

def silhouettes(partitions, points, n_excluded=(0,), sample=2500, seed=0):
    """Mean silhouette over points (n, d) of each of several partitions, labels (n,); -1 where it is not defined.

    This is the mean over the numbers in `n_excluded` of what `silhouettes_excluding` gives.
    """
    return silhouettes_excluding(partitions, points, n_excluded, sample, seed).mean(axis=1)


def silhouettes_excluding(partitions, points, n_excluded, sample=2500, seed=0):
    """Mean silhouettes over points (n, d): a row per partition, labels (n,), and a column per number in `n_excluded`.

    Means of `silhouette_values`; a partition into one cluster or into single points has -1.
    """
    values = silhouette_values(partitions, points, n_excluded, sample, seed)
    counts = np.array([len(np.unique(labels)) for labels in partitions])
    return np.where(((counts < 2) | (counts == len(points)))[:, None], -1.0, values.mean(axis=2))


def sampled_rows(n, sample=2500, seed=0):
    """Sorted rows of the points, at most `sample` of n, that `silhouette_values` scores."""
    return np.sort(np.random.default_rng(seed).permutation(n)[:sample])


def silhouette_values(partitions, points, n_excluded, sample=2500, seed=0):
    """Silhouettes of points (n, d): one per partition, labels (n,), number in `n_excluded`, and sampled point.

    Rousseeuw (1987), Silhouettes, J. Comput. Appl. Math. 20:53-65. The silhouette of a point excludes as many nearest
    neighbours from its own cluster as `n_excluded` says. A point without other members in its cluster scores 0, as all points
    do in a partition into one cluster. If there are more than `sample` points, a sample of them is scored, drawn with `seed`.
    Each sampled point is compared with all points, so the clusters keep their density.
    """
    n = len(points)
    points = np.asarray(points, np.float64 if n <= FEW else np.float32)
    rows = sampled_rows(n, sample, seed)
    groups = [np.unique(labels, return_inverse=True, return_counts=True)[1:] for labels in partitions]
    several = [number for number, (_, sizes) in enumerate(groups) if 2 <= len(sizes) < n]
    finest_first = sorted(several, key=lambda number: -len(groups[number][1]))
    steps = _steps([groups[number] for number in finest_first], points.dtype)

    def of_part(part):
        found = np.zeros((len(groups), len(n_excluded), len(part)))
        distances = cdist(points, points[part]) if n <= FEW else quick_distances(points, points[part])
        near = _nearest(distances, part, min(max(n_excluded), n - 1))
        sums = distances
        for number, (nested, indicator) in zip(finest_first, steps, strict=True):
            sums = indicator @ (sums if nested else distances)
            found[number] = _silhouettes(distances, sums, part, near, *groups[number], n_excluded).T
        return found

    parts = np.array_split(rows, -(-len(rows) * n // 2**24))  # 64 MB of distances each, or 128 MB of exact ones
    with ThreadPoolExecutor(2) as pool:
        return np.concatenate(list(pool.map(of_part, parts)), axis=2)


def quick_distances(one, other):
    """Euclidean distances (n, m) between points (n, d) and (m, d), in float32 and by a matrix product.

    For many points this is many times faster than SciPy's cdist, and faster than scikit-learn, which computes in float64. It
    is not exact: identical points of length 1 may be 0.001 apart.
    """
    one, other = np.asarray(one, np.float32), np.asarray(other, np.float32)
    squares = one @ (-2 * other).T  # one pass over all distances less than with the factor after the product
    squares += np.einsum("ij,ij->i", one, one)[:, None]
    squares += np.einsum("ij,ij->i", other, other)
    return np.sqrt(np.maximum(squares, 0, out=squares), out=squares)


def quick_pairs(points, part=512):
    """Distances of all pairs of points (n, d) as `quick_distances`, in the order of SciPy's pdist: float64 (n (n - 1) / 2)."""
    n = len(points)
    found, done = np.empty(n * (n - 1) // 2), 0
    for start in range(0, n, part):
        for i, row in enumerate(quick_distances(points[start : start + part], points[start:])):
            found[done : done + len(row) - i - 1] = row[i + 1 :]
            done += len(row) - i - 1
    return found


def nearest(points, others, number=1):
    """Rows (n, number) of the nearest of the `others` (m, d) for each of the points (n, d), the nearest first.

    Of many points, or float32, by matrix products, as `quick_distances`.
    """
    if len(points) + len(others) <= 2 * FEW and points.dtype != np.float32:
        return NearestNeighbors(n_neighbors=number).fit(others).kneighbors(points, return_distance=False)
    half = np.einsum("ij,ij->i", others, others) / 2
    parts = np.array_split(points, -(-len(points) * len(others) // 2**22))

    def of_part(part):  # half of the square of each distance, less what is the same for a whole row
        return _lowest(half - part @ others.T, number)

    with ThreadPoolExecutor(2) as pool:
        return np.concatenate(list(pool.map(of_part, parts)))


def _lowest(values, number):
    """Columns (n, number) of the lowest values (n, m) of each row, the lowest first; the values are overwritten."""
    found, everyone = np.empty((len(values), number), int), np.arange(len(values))
    for place in range(number):  # several times faster than argpartition for few of many
        found[:, place] = values.argmin(axis=1)
        values[everyone, found[:, place]] = np.inf
    return found


def _steps(groups, dtype):
    """How to sum distances by cluster, for partitions (members, sizes) from fine to coarse: (nested, indicator) of each.

    Where a partition is nested in the finer one before it, as two cuts of one tree are, its sums are sums of those.
    """
    steps, finer = [], None
    for members, sizes in groups:
        nested = False
        if finer is not None:
            parents = np.empty(finer.max() + 1, int)
            parents[finer] = members
            nested = bool((parents[finer] == members).all())
        parts = parents if nested else members
        shape = len(sizes), len(parts)
        steps.append((nested, csr_array((np.ones(len(parts), dtype), (parts, np.arange(len(parts)))), shape)))
        finer = members
    return steps


def _nearest(distances, rows, number):
    """The `number` nearest neighbours (m, number) of the points `rows` (m,), given their `distances` (n, m) from all points."""
    left = distances.T.copy()  # a row per point: its minimum is found several times faster
    left[np.arange(len(rows)), rows] = np.inf
    return _lowest(left, number)


def _silhouettes(distances, sums, rows, near, members, sizes, n_excluded):
    """Silhouettes (m, len(n_excluded)) of the points `rows` (m,) in the clusters `members` (n,).

    `distances` (n, m) are those of all points, and `sums` (clusters, m) their sums by cluster.
    """
    everyone = np.arange(len(rows))
    home = members[rows]
    own = members[near] == home[:, None]
    excluded = np.minimum(n_excluded, near.shape[1])

    def of_nearest(values):
        """Sums (m, len(n_excluded)) of `values` (m, k) of the nearest neighbours over the excluded ones."""
        return np.pad(values.cumsum(axis=1), ((0, 0), (1, 0)))[:, excluded]

    left = (sizes[home] - 1)[:, None] - of_nearest(own)
    inside = (sums[home, everyone][:, None] - of_nearest(own * distances[near, everyone[:, None]])) / np.maximum(left, 1)
    means = sums / sizes[:, None].astype(sums.dtype)
    means[home, everyone] = np.inf
    outside = means.min(axis=0)[:, None]
    larger = np.maximum(np.maximum(inside, outside), np.finfo(float).tiny)
    return np.where(left > 0, (outside - inside) / larger, 0)


def internal_indices(embedding, partitions):
    """Internal indices of several partitions: DataFrame with a row for each partition and a column for each of INTERNAL.

    `embedding` is (n, d), and a partition is labels (n,). The silhouette is that of `silhouettes`. All indices are missing if a
    partition has fewer than two clusters or as many clusters as points. Many partitions take little more time than one.
    """
    partitions = [codes(labels) for labels in partitions]
    table = pd.DataFrame(index=range(len(partitions)), columns=list(INTERNAL), dtype=float)
    defined = [i for i, labels in enumerate(partitions) if 1 <= labels.max() < len(labels) - 1]
    table.loc[defined, "silhouette"] = silhouettes([partitions[i] for i in defined], embedding)
    for i in defined:
        table.loc[i, list(INTERNAL[1:])] = _indices_of_means(np.asarray(embedding, float), partitions[i])
    return table


def about_means(points, labels):
    """Squared distances (n,) of points (n, d) to the means of their clusters, by codes (n,), and these means and sizes."""
    sizes, n = np.bincount(labels), len(labels)
    means = csr_array((np.ones(n), (labels, np.arange(n)))) @ points / sizes[:, None]
    return ((points - means[labels]) ** 2).sum(1), means, sizes


def _indices_of_means(points, labels):
    """The indices of Calinski and Harabasz (1974) and of Davies and Bouldin (1979), for points (n, d) and codes (n,).

    scikit-learn selects the points of every cluster with a mask over all points. For a thousand clusters that takes most of the
    time of the scoring.
    """
    squares, means, sizes = about_means(points, labels)
    between, within = (sizes * ((means - points.mean(0)) ** 2).sum(1)).sum(), squares.sum()
    n, k = len(labels), len(sizes)
    calinski_harabasz = between * (n - k) / (within * (k - 1)) if within else 1.0
    widths = np.bincount(labels, np.sqrt(squares)) / sizes
    if np.allclose(widths, 0):
        return calinski_harabasz, 0.0

    def worst(distances, start):
        """For a part of the clusters, the largest sum of two widths over the distance of their means."""
        distances[distances == 0] = np.inf  # a cluster and itself, or one at the same place
        return ((widths[start : start + len(distances), None] + widths) / distances).max(1)

    return calinski_harabasz, np.concatenate(list(metrics.pairwise_distances_chunked(means, reduce_func=worst))).mean()


# ---------------------------------------------------------------------------------------------- uncertainty


def jackknife_groups(units, n_groups=20, seed=0):
    """Assign the sampling units of the rows (n,), such as species, to groups at random: the group of every row (n,)."""
    units = codes(units)
    n_groups = min(n_groups, units.max() + 1)
    return np.random.default_rng(seed).permutation(units.max() + 1)[units] % n_groups


def jackknife_replicates(statistic, groups):
    """`statistic(rows) -> {name: float}` of all rows, and without each of the groups (n,): DataFrame (1 + groups, names).

    The first line is the statistic of all rows. Each further line leaves out one group. With fewer than three groups there is
    only the first line.
    """
    without = np.unique(groups) if len(np.unique(groups)) >= 3 else ()
    return pd.DataFrame([statistic(np.arange(len(groups))), *(statistic(np.flatnonzero(groups != g)) for g in without)])


def jackknife_interval(values, level=0.95):
    """{name: (value, low, high)} of every column of `jackknife_replicates`, or of the difference or mean of such tables.

    Delete-a-group jackknife (Kott 2001, J. Official Statistics 17:521-526): deviations are from the value of all rows, and the
    interval is Student's t with groups - 1 degrees of freedom. A bootstrap would repeat photographs, which agree with
    themselves; the jackknife does not. The interval is missing if no group was left out.
    """
    whole, groups = values.iloc[0], len(values) - 1
    if not groups:
        return {name: (value, np.nan, np.nan) for name, value in whole.items()}
    variance = (groups - 1) / groups * ((values.iloc[1:] - whole) ** 2).sum(min_count=groups)
    half = student_t.ppf((1 + level) / 2, groups - 1) * np.sqrt(variance)
    return {name: (value, value - half[name], value + half[name]) for name, value in whole.items()}


def differences_to_best(replicates, candidates, level=0.95):
    """Differences of methods to the best of the `candidates`, with simultaneous intervals: DataFrame, a row per method.

    `replicates` is the result of `jackknife_replicates`, with a column per method, all on the same groups. Columns of the
    result: `value`, `difference` to the candidate with the highest value, `ci_low` and `ci_high` of the difference to the
    candidate that is truly best, and whether that is `significant`. The highest of many observed values is partly high by
    chance, so it need not be the true best. These are therefore multiple comparisons with the best (Hsu 1996, Multiple
    Comparisons, ch. 4), two-sided and Bonferroni-adjusted for all pairs with a candidate. With 95 % confidence all intervals
    hold at once: a method is at least as far below the best as below any candidate, and at most as far as below the highest of
    those that may be the best. A difference is significant if its interval excludes 0. Intervals are missing if no group was
    left out.
    """
    whole, groups = replicates.iloc[0], len(replicates) - 1
    table = pd.DataFrame({"value": whole, "difference": whole - whole[candidates].max()})
    if not groups:
        return table.assign(ci_low=np.nan, ci_high=np.nan, significant=False)
    deviations = (replicates.iloc[1:] - whole).to_numpy()
    covariance = (groups - 1) / groups * deviations.T @ deviations
    variances = np.diag(covariance)
    error = np.sqrt(np.maximum(variances[:, None] + variances - 2 * covariance, 0))
    gap = np.subtract.outer(whole.to_numpy(), whole.to_numpy())
    fair = whole.index.isin(candidates)
    pairs = fair.sum() * (len(whole) - (fair.sum() + 1) / 2)
    margin = student_t.ppf(1 - (1 - level) / 2 / max(pairs, 1), groups - 1) * error
    best = fair & (gap[fair] <= margin[fair] + 1e-12).all(axis=0)  # candidates that no other is significantly better than
    low, high = (gap - margin)[:, best].min(axis=1), (gap + margin)[:, fair].min(axis=1)
    return table.assign(ci_low=low, ci_high=high, significant=(low > 0) | (high < 0))


def holm(p_values):
    """P-values (n,) of n tests, adjusted so that all conclusions hold at once; Holm (1979), Scand. J. Statistics 6:65-70."""
    p_values = np.asarray(p_values, float)
    order = np.argsort(p_values)
    adjusted = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    return np.minimum(adjusted, 1)[np.argsort(order)]


def harmonic_mean(one, other):
    """Harmonic mean of two numbers that are not negative: 0 if one of them is."""
    return 2 * one * other / (one + other) if one + other else 0.0


def mean_interval(values, levels):
    """Mean of a Series by `levels` of its index, with Student's t interval over the rest: DataFrame (mean, ci_low, ci_high).

    The interval of a single value is missing.
    """
    groups = values.groupby(levels, sort=False)
    half = student_t.ppf(0.975, groups.size() - 1) * groups.sem()
    return pd.DataFrame({"mean": groups.mean(), "ci_low": groups.mean() - half, "ci_high": groups.mean() + half})


# ------------------------------------------------------------------------------------ sweeps of trainers

SUPERVISED = ("species kNN, supervised", "species linear probe, supervised")
MEASURES = {  # what chapter 14 measures, by (clusterer, rank, metric)
    (utils.DEFAULT_CLUSTERER, "species", "ami"): "species AMI",
    (utils.DEFAULT_CLUSTERER, "genus", "ami"): "genus AMI",
    ("oracle_k_ward_prepared", "species", "ami"): "species AMI, oracle k",
    ("oracle_k_ward_prepared", "genus", "ami"): "genus AMI, oracle k",
    ("supervised_knn", "species", "accuracy"): SUPERVISED[0],
    ("supervised_linear_probe", "species", "accuracy"): SUPERVISED[1],
}


def tuning_gains(table, network="tuned"):
    """Scores of frozen and of tuned networks in a sweep of trainers, and the gain: Series by trainer, seed, layer, measure.

    `table` is that of chapter 97. `network` is "tuned" (after the last epoch) or "aligned" (after the epoch that
    `training.aligned_epoch` returns). If both halves of the families were scored, the result is their mean. A gain is the
    difference to the deepest layer of the frozen network.
    """
    measures = pd.Series(pd.MultiIndex.from_frame(table[["clusterer", "rank", "metric"]]).map(MEASURES), table.index)
    table = table.assign(measure=measures)[measures.notna() & table["network"].notna()]
    runs = table.groupby(["trainer", "seed", "network", "layer", "measure"], sort=False)["value"].mean()
    frozen, tuned = (runs.xs(name, level="network") for name in ("frozen", network))
    deepest = frozen.index.get_level_values("layer")[-1]
    return frozen, tuned, tuned - frozen.xs(deepest, level="layer")
