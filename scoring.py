"""How right a hierarchy is: partitions against taxa, dendrograms against the taxonomy, and how sure that is.

Measures come from scikit-learn, SciPy and higra. What is computed here from the contingency table of two
partitions is tested against cases worked out by hand.
"""

import functools
import itertools
import math

import dendropy
import higra
import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import cophenet
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from scipy.spatial.distance import pdist, squareform
from scipy.special import gammaln
from scipy.stats import t as student_t
from sklearn import metrics
from sklearn.metrics.cluster import contingency_matrix

INTERNAL = ("silhouette", "calinski_harabasz", "davies_bouldin")


def codes(labels):
    """Labels of any kind as integers from 0, in order of appearance."""
    return pd.factorize(np.asarray(labels))[0]


# ---------------------------------------------------------------------------------------- partitions against taxa


def contingency(truth, found):
    """How many rows every taxon shares with every cluster: sparse (taxa, clusters)."""
    return csr_array(contingency_matrix(truth, found, sparse=True, dtype=float))


def expected_mutual_information(taxon_sizes, cluster_sizes):
    """Mean mutual information (nats) of random partitions with the given sizes; Vinh, Epps and Bailey (2010), JMLR 11:2837.

    Only the sizes matter, and few of them differ, so every pair of sizes is worked out once: thousands of times faster
    than over all pairs of taxa and clusters, with the same result.
    """
    n = int(taxon_sizes.sum())
    log_factorial = gammaln(np.arange(n + 1) + 1)
    total = 0.0
    (many, taxa), (few, clusters) = (np.unique(s.astype(int), return_counts=True) for s in (taxon_sizes, cluster_sizes))
    for size, times in zip(many, taxa, strict=True):
        shared = np.arange(1, min(size, few.max()) + 1)[:, None]
        row, column = np.nonzero((shared <= few) & (shared >= size + few - n))
        shared, cluster = row + 1, few[column]
        information = shared / n * np.log(n * shared / (size * cluster))
        # the hypergeometric distribution: binomials (size, shared) and (n - size, cluster - shared) over (n, cluster)
        ways = log_factorial[size] + log_factorial[n - size] + log_factorial[cluster] + log_factorial[n - cluster]
        for part in (n, shared, size - shared, cluster - shared, n - size - cluster + shared):
            ways = ways - log_factorial[part]
        total += times * (clusters[column] * information * np.exp(ways)).sum()
    return total


def mutual_information(table):
    """AMI, NMI, homogeneity and completeness of a contingency table, with arithmetic means as in scikit-learn."""
    n, sizes = table.sum(), [np.ravel(table.sum(axis=axis)) for axis in (1, 0)]
    taxa, clusters = (-(share * np.log(share)).sum() for share in (s / n for s in sizes))
    entries = table.tocoo()
    independent = sizes[0][entries.row] * sizes[1][entries.col] / n
    shared = max(0.0, (entries.data * np.log(entries.data / independent)).sum() / n)
    by_chance = expected_mutual_information(*sizes)
    mean = (taxa + clusters) / 2
    alike = table.nnz == len(sizes[0]) == len(sizes[1])  # the same partition, be it of one part or all of single rows
    return {
        "ami": 1.0 if alike else (shared - by_chance) / (mean - by_chance),
        "nmi": 1.0 if alike else shared / mean,
        "homogeneity": shared / taxa if taxa else 1.0,
        "completeness": shared / clusters if clusters else 1.0,
    }


def adjusted_rand(table):
    """Adjusted Rand index of a contingency table; Hubert and Arabie (1985), J. Classification 2:193-218."""
    rows, columns, n = (np.ravel(table.sum(axis=axis)) for axis in (1, 0, None))
    both, taxa, clusters, every = (_pairs(sizes) for sizes in (table.data, rows, columns, n))
    chance, mean = taxa * clusters / max(every, 1), (taxa + clusters) / 2
    return 1.0 if mean == chance else (both - chance) / (mean - chance)


def hungarian_accuracy(table):
    """Share of rows in the right cluster, under the best one-to-one assignment of clusters to taxa.

    Kuhn (1955), The Hungarian method for the assignment problem, Naval Research Logistics 2:83-97. A taxon that is left
    without a cluster counts as missed.
    """
    # Every taxon also gets an empty column of its own, behind the others, to stay without a cluster. One is added to all
    # entries, because the sparse solver takes 0 for "no such pair": as every taxon is assigned once, no preference changes.
    (n_taxa, n_clusters), ends = table.shape, table.indptr[1:]
    shares = np.insert(table.data + 1, ends, 1)
    columns = np.insert(table.indices, ends, n_clusters + np.arange(n_taxa))
    pairs = csr_array((shares, columns, table.indptr + np.arange(n_taxa + 1)), (n_taxa, n_clusters + n_taxa))
    matched = min_weight_full_bipartite_matching(pairs, maximize=True)
    return float((pairs[matched] - 1).sum() / table.sum())


def bcubed(table):
    """BCubed precision, recall and F1: the share of a row's cluster that is of its taxon, and of its taxon in its cluster.

    Means over rows, each row counted in its own cluster; Amigo et al. (2009), Information Retrieval 12:461-486.
    """
    squares, n = table.multiply(table), table.sum()
    precision = float((squares.sum(axis=0) / table.sum(axis=0)).sum() / n)
    recall = float((squares.sum(axis=1) / table.sum(axis=1)).sum() / n)
    f1 = 2 * precision * recall / (precision + recall)
    return {"bcubed_precision": precision, "bcubed_recall": recall, "bcubed_f1": f1}


def agreement(truth, found, families):
    """Agreement of a partition with the true taxa, over all rows and within families.

    `truth`, `found` and `families` are (n,) labels. AMI and ARI are adjusted for chance (0 for random labels, 1 for the
    truth); NMI, homogeneity, completeness, Hungarian accuracy and BCubed are not. "ami_above_family" is the AMI minus that
    of taking the family itself as the taxon. "<measure>_within" is the mean over the families that hold more than one
    taxon, weighted by their number of rows; it is missing if there is none.
    """
    truth, found = codes(truth), codes(found)
    groups = [rows for rows in pd.Series(families).groupby(families).indices.values() if np.ptp(truth[rows]) > 0]
    overall = _measures(truth, found)
    inside = [_measures_of_family(codes(truth[rows]).tobytes(), codes(found[rows]).tobytes()) for rows in groups]
    within = pd.DataFrame(inside, columns=list(overall))
    weights = [len(rows) for rows in groups]
    above = {"ami_above_family": overall["ami"] - mutual_information(contingency(truth, codes(families)))["ami"]}
    means = {f"{name}_within": np.average(within[name], weights=weights) if groups else np.nan for name in within}
    return overall | above | means


def _measures(truth, found):
    table = contingency(truth, found)
    others = {"ari": adjusted_rand(table), "hungarian_accuracy": hungarian_accuracy(table)}
    return mutual_information(table) | others | bcubed(table)


@functools.lru_cache(maxsize=4096)  # whichever species `left_out` leaves out, most families stay as they were
def _measures_of_family(truth, found):
    """`_measures` of codes that are given as bytes."""
    return _measures(*(np.frombuffer(labels, dtype=np.intp) for labels in (truth, found)))


# --------------------------------------------------------------------------------------------------- hierarchies


def nesting_violations(parents, children):
    """Share of rows that lie outside the parent cluster which holds most of their child cluster; 0 where all nest."""
    table = contingency(parents, children)
    return float((table.sum() - table.max(axis=0).toarray().sum()) / table.sum())


def taxonomic_distance_within(found, taxa):
    """Mean taxonomic distance of two rows of one cluster: 0 for one species, 1 one genus, 2 one family, 3 none of these.

    `taxa` is a DataFrame (n rows) with a column per rank. Missing if no cluster holds two rows.
    """
    pairs = _pairs(np.bincount(codes(found)))
    if not pairs:
        return np.nan
    return float(sum(1 - _pairs(contingency(taxa[rank], found).data) / pairs for rank in taxa))


def _pairs(sizes):
    """Number of pairs within groups of these sizes."""
    return float((sizes * (sizes - 1) / 2).sum())


def taxonomic_distances(taxa):
    """Condensed distances (n (n - 1) / 2,) of the rows of `taxa`, one column per rank: how many ranks two rows do not share."""
    return sum(pdist(codes(taxa[rank])[:, None], "hamming") for rank in taxa)


def dendrogram_scores(tree, taxa, species):
    """How well a SciPy linkage of n specimens tells their taxonomy, `taxa` with a column per rank: {metric: value}.

    `species` (n,) numbers the species, from 0.
    Dendrogram purity of each rank (Heller and Ghahramani 2005, ICML 22:297-304), the correlation of cophenetic with
    taxonomic distances (Sokal and Rohlf 1962, Taxon 11:33-40), and triplet accuracy against the taxonomy.
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
    """Mean purity of the smallest subtree around every two leaves of one label (n,); 1 if every taxon is a subtree."""
    n = len(tree) + 1
    parents = np.arange(2 * n - 1)
    parents[tree[:, :2].astype(int)] = np.arange(n, 2 * n - 1)[:, None]
    return float(higra.dendrogram_purity(higra.Tree(parents), codes(labels)))


# A clade is a set of species, kept as the bits of a number; neither single species nor all of them count as one.


def linkage_clades(tree):
    """Clades of a SciPy linkage of k species, numbered from 0."""
    clades = [1 << species for species in range(len(tree) + 1)]
    for left, right in tree[:, :2].astype(int):
        clades.append(clades[left] | clades[right])
    return set(clades[len(tree) + 1 : -1])


def taxon_clades(taxa):
    """Clades of a taxonomy: `taxa` (k rows, one per species) has a column per rank above the species."""
    groups = [rows for rank in taxa for rows in taxa.groupby(taxa[rank].to_numpy()).indices.values()]
    return {sum(1 << int(species) for species in rows) for rows in groups if 2 <= len(rows) < len(taxa)}


def newick_clades(path, names):
    """Clades of a rooted tree in a Newick file among the species of these names (k,); its other tips do not count."""
    number = {name: species for species, name in enumerate(names)}
    tree = dendropy.Tree.get(path=path, schema="newick", rooting="force-rooted")
    sides = ({number[t.taxon.label] for t in node.leaf_iter() if t.taxon.label in number} for node in tree)
    return {sum(1 << species for species in side) for side in sides if 2 <= len(side) < len(number)}


def robinson_foulds(found, known):
    """Robinson-Foulds distance of two sets of clades: (normalised, share of the known ones not found).

    The distance counts the clades that only one of the two has, and is divided by the number of clades in both. A taxonomy has
    far fewer clades than a binary tree, so its best is not 0, as the second value's is. Missing where no clade is known.
    Robinson and Foulds (1981), Mathematical Biosciences 53:131-147.
    """
    if not known:
        return np.nan, np.nan
    return len(found ^ known) / (len(found) + len(known)), len(known - found) / len(known)


def triplet_accuracy(tree, species, distances, sample=20000, seed=0):
    """Share of triples of specimens, from three species, of which a dendrogram first joins the two most closely related.

    `tree` is a SciPy linkage of n specimens, `species` (n,) numbers the species of each, from 0, and `distances` (k, k) are
    those of the species in their true tree. Triples without one closest pair there do not count. Three that the dendrogram
    joins at one and the same height are a guess, right one time in three, as all are in a dendrogram that knows nothing.
    All triples are looked at, or `sample` of them drawn with `seed` where there are more; missing if none counts. One
    minus the normalised distance of Critchlow, Pearl and Qian (1996), The triples distance for rooted bifurcating
    phylogenetic trees, Syst. Biol. 45:323-334, here between trees of which one has several tips per species.
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


def internal_indices(embedding, labels, seed=0, sample=5000):
    """Quality of a partition without any labels: silhouette, Calinski-Harabasz and Davies-Bouldin, where defined.

    `embedding` is (n, d). The silhouette is taken on a seeded sample of rows where there are more than `sample`.
    """
    labels = codes(labels)
    rows = np.random.default_rng(seed).permutation(len(labels))[:sample]
    if not 2 <= len(np.unique(labels[rows])) < len(rows):
        return dict.fromkeys(INTERNAL, np.nan)
    return {
        "silhouette": metrics.silhouette_score(embedding[rows], labels[rows]),
        "calinski_harabasz": metrics.calinski_harabasz_score(embedding, labels),
        "davies_bouldin": metrics.davies_bouldin_score(embedding, labels),
    }


# ------------------------------------------------------------------------------------------------- how sure


def left_out(statistic, units, n_groups=20, seed=0):
    """`statistic(rows) -> {name: float}` of all rows and without each group of units: DataFrame (1 + groups, names).

    The sampling units of the rows (n,), such as species, are dealt into groups at random; the first line is the statistic of
    all rows, every other one that without a group. Only the first line is there if there are fewer than three units.
    """
    units = codes(units)
    n_groups = min(n_groups, units.max() + 1)
    group = np.random.default_rng(seed).permutation(units.max() + 1)[units] % n_groups
    without = range(n_groups) if n_groups >= 3 else ()
    return pd.DataFrame([statistic(np.arange(len(units))), *(statistic(np.flatnonzero(group != g)) for g in without)])


def jackknife_interval(values, level=0.95):
    """{name: (value, low, high)} of every column of what `left_out` gives, or of the difference of two such tables.

    Delete-a-group jackknife (Kott 2001, J. Official Statistics 17:521-526): the deviations are taken from the value of the
    whole, and the interval is Student's t with groups - 1 degrees of freedom. Unlike the bootstrap it never repeats a
    photograph, which would count as agreement of its own. The interval is missing where no group was left out.
    """
    whole, groups = values.iloc[0], len(values) - 1
    if not groups:
        return {name: (value, np.nan, np.nan) for name, value in whole.items()}
    variance = (groups - 1) / groups * ((values.iloc[1:] - whole) ** 2).sum(min_count=groups)
    half = student_t.ppf((1 + level) / 2, groups - 1) * np.sqrt(variance)
    return {name: (value, value - half[name], value + half[name]) for name, value in whole.items()}


def mean_interval(values, levels):
    """Mean of a Series by `levels` of its index and Student's t interval over the rest: DataFrame (mean, ci_low, ci_high).

    The interval is missing where there is a single value.
    """
    groups = values.groupby(levels, sort=False)
    half = student_t.ppf(0.975, groups.size() - 1) * groups.sem()
    return pd.DataFrame({"mean": groups.mean(), "ci_low": groups.mean() - half, "ci_high": groups.mean() + half})


# ------------------------------------------------------------------------------------ sweeps of recipes for tuning


def recipe_gains(table):
    """What the frozen and the tuned encoder reach in a sweep of recipes, and the gain: Series by trainer, seed, layer, measure.

    Where both halves of the families were scored, this is their mean. A gain is over the deepest layer of the frozen encoder.
    """
    runs = table.groupby(["trainer", "seed", "encoder", "layer", "measure"], sort=False)["value"].mean()
    frozen, tuned = runs.xs("frozen", level="encoder"), runs.xs("tuned", level="encoder")
    deepest = frozen.index.get_level_values("layer")[-1]
    return frozen, tuned, tuned - frozen.xs(deepest, level="layer")


def recipe_scores(table, clusterer):
    """The table of a sweep of recipes as rows of scores.csv, of which the encoder is trainer/layer.

    A row per seed of training, and one without a seed for their mean with its 95 % interval; likewise of every gain.
    """
    frozen, tuned, gain = recipe_gains(table)
    frozen = frozen.groupby(["seed", "layer", "measure"], sort=False).mean()
    values = pd.concat([pd.concat({"frozen": frozen}, names=["trainer"]), tuned])
    values = pd.concat({"": values, "_above_frozen": gain}, names=["above"]).rename("value")
    means = mean_interval(values, ["above", "trainer", "layer", "measure"]).rename(columns={"mean": "value"})
    rows = pd.concat([values.reset_index(), means.reset_index()], ignore_index=True)
    rank_and_measure = rows["measure"].str.split(" ", n=1)
    metric = rank_and_measure.str[1].str.lower().str.replace(r"\W+", "_", regex=True)
    rows = rows.assign(encoder=rows["trainer"] + "/" + rows["layer"], clusterer=clusterer)
    rows = rows.assign(rank=rank_and_measure.str[0], metric=metric + rows["above"])
    return rows[["encoder", "clusterer", "seed", "rank", "metric", "value", "ci_low", "ci_high"]]
