"""Scores of partitions and of dendrograms, by hand and by what must hold for any; and how sure they are."""

import itertools

import dendropy
import numpy as np
import pandas as pd
import pytest
from dendropy.calculate import treecompare
from scipy.cluster.hierarchy import cophenet, fcluster, linkage
from scipy.spatial.distance import pdist, squareform
from sklearn import metrics

import scoring

# Ten rows: three a in 0, one a and three b in 1, one b and one c in 2, one c in 3
TRUTH = np.array(list("aaaabbbbcc"))
FOUND = np.array([0, 0, 0, 1, 1, 1, 1, 2, 2, 3])
TABLE = scoring.contingency(TRUTH, FOUND)
FAMILIES = np.array(list("xxxxxxxxyy"))


def test_hungarian_accuracy_as_by_hand():
    assert TABLE.toarray().tolist() == [[3, 1, 0, 0], [0, 3, 1, 0], [0, 0, 1, 1]]
    assert scoring.hungarian_accuracy(TABLE) == 7 / 10  # a to 0, b to 1, c to 2 or 3
    lumped = scoring.contingency(TRUTH, np.zeros(10))
    assert scoring.hungarian_accuracy(lumped) == 4 / 10  # one taxon gets the only cluster, the others none
    # greedy would give the cluster 0 to a (3) and leave b with 0: 3; the best gives b to 0 and a to 1: 2 + 2
    tangled = scoring.contingency(list("aaaaabb"), [0, 0, 0, 1, 1, 0, 0])
    assert scoring.hungarian_accuracy(tangled) == 4 / 7


def test_hungarian_accuracy_is_the_best_of_all_assignments():
    random = np.random.default_rng(0)
    for _ in range(20):
        truth, found = random.integers(4, size=30), random.integers(random.integers(1, 7), size=30)
        table = scoring.contingency(truth, found).toarray()
        wide = np.hstack([table, np.zeros((len(table), len(table)))])
        orders = itertools.permutations(range(wide.shape[1]), len(wide))
        best = max(sum(wide[i, j] for i, j in enumerate(order)) for order in orders)
        assert scoring.hungarian_accuracy(scoring.contingency(truth, found)) == pytest.approx(best / 30)


def test_bcubed_as_by_hand():
    # rows of a: 3/4 of a is in 0 (three rows), 1/4 in 1; and so on
    recall = (9 / 4 + 1 / 4 + 9 / 4 + 1 / 4 + 1 / 2 + 1 / 2) / 10
    precision = (9 / 3 + 1 / 4 + 9 / 4 + 1 / 2 + 1 / 2 + 1) / 10
    expected = {"bcubed_precision": precision, "bcubed_recall": recall}
    expected["bcubed_f1"] = 2 * precision * recall / (precision + recall)
    assert scoring.bcubed(TABLE) == pytest.approx(expected)


def test_what_became_of_each_taxon_as_by_hand():
    # a: 4 of 5 at home and alone there; b: all at home with three c; c: a half at home; d: in five equal parts
    truth = list("aaaaa" + "bb" + "cccccc" + "ddddd")
    found = [0, 0, 0, 0, 1, 2, 2, 2, 2, 2, 3, 3, 3, 4, 5, 6, 7, 8]
    fates = scoring.outcomes(scoring.contingency(truth, found))
    assert fates["outcome"].tolist() == ["found", "merged", "split", "split"]
    assert fates["together"].tolist() == pytest.approx([4 / 5, 1, 1 / 2, 1 / 5])
    assert fates["pure"].tolist() == pytest.approx([1, 2 / 5, 3 / 5, 1])
    mixed = scoring.outcomes(scoring.contingency(list("aabb"), [0, 1, 0, 1]))
    assert mixed["outcome"].tolist() == ["missed", "missed"]


def test_information_is_that_of_the_library():
    random = np.random.default_rng(0)
    for kind in range(60):
        n = random.integers(2, 200)
        truth = random.integers(random.integers(1, n + 1), size=n)
        found = [random.integers(random.integers(1, n + 1), size=n), truth // 2, np.arange(n), np.zeros(n)][kind % 4]
        homogeneity, completeness, nmi = metrics.homogeneity_completeness_v_measure(truth, found)
        expected = {"ami": metrics.adjusted_mutual_info_score(truth, found), "nmi": nmi}
        expected |= {"homogeneity": homogeneity, "completeness": completeness}
        assert scoring.mutual_information(scoring.contingency(truth, found)) == pytest.approx(expected, abs=1e-9)


def test_the_rand_index_is_that_of_the_library():
    random = np.random.default_rng(0)
    for taxa, clusters in ((1, 1), (1, 5), (5, 1), (4, 7), (40, 40)):
        one, other = random.integers(taxa, size=60), random.integers(clusters, size=60)
        expected = metrics.adjusted_rand_score(one, other)
        assert scoring.adjusted_rand(scoring.contingency(one, other)) == pytest.approx(expected)
    assert scoring.adjusted_rand(scoring.contingency(one, one)) == 1
    assert scoring.adjusted_rand(scoring.contingency([0], [0])) == 1


def test_names_and_order_do_not_matter():
    random = np.random.default_rng(1)
    order = random.permutation(10)
    scores = scoring.agreement(TRUTH, FOUND, FAMILIES)
    assert scoring.agreement(TRUTH[order], -7 * FOUND[order], FAMILIES[order]) == pytest.approx(scores)


def test_perfect_is_one():
    scores = scoring.agreement(TRUTH, TRUTH, FAMILIES)
    assert all(value == pytest.approx(1) for name, value in scores.items() if name != "ami_above_family")


def test_random_labels_score_zero_when_adjusted_and_more_when_not():
    random = np.random.default_rng(0)
    truth, families = random.integers(40, size=2000), np.repeat(["x", "y"], 1000)
    scores = [scoring.agreement(truth, random.integers(300, size=2000), families) for _ in range(5)]
    mean = pd.DataFrame(scores).mean()
    # The adjusted scores' spread at this size is below 0.005 a draw, so the mean of five lies well within 0.01.
    assert abs(mean[["ami", "ari", "ami_within", "ari_within"]]).max() < 0.01
    assert mean["nmi"] > 0.3 and mean["homogeneity"] > 0.3


def test_photographs_without_a_family_count_only_outside_of_families():
    truth, found, families = [0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 1, 2], np.array(["x"] * 4 + [None] * 2, object)
    scores = scoring.agreement(truth, found, families)
    assert scores["ami_within"] == 1 > scores["ami"]
    none = scoring.agreement(truth, found, np.full(6, None, object))
    assert np.isnan(none["ami_within"]) and none["ami"] == scores["ami"]


def test_no_photographs_agree_with_no_taxa():
    assert scoring.ami(np.array([], int), np.array([], int)) == 1


def test_within_families_is_the_mean_weighted_by_size_over_families_with_a_choice():
    truth = np.array(list("aabb" + "cd" + "eee"))
    found = np.array([0, 0, 1, 1, 0, 0, 5, 6, 7])  # family x perfect, y lumped, z has one taxon only
    scores = scoring.agreement(truth, found, np.array(list("xxxx" + "yy" + "zzz")))
    assert scores["ami_within"] == pytest.approx((4 * 1 + 2 * 0) / 6)
    assert scores["ami_above_family"] < scores["ami"]
    assert np.isnan(scoring.agreement(["a", "a"], [0, 1], ["x", "x"])["ami_within"])


TAXA = pd.DataFrame({"family": list("xxxxyy"), "genus": list("ggghii"), "species": list("112345")})


def test_rows_without_a_name_do_not_count_in_the_taxonomic_distance():
    partly = pd.DataFrame({"family": ["x", None], "genus": ["g", None], "species": [None, "9"]})
    some = pd.concat([TAXA, partly]).astype("string")
    assert some.isna().any(axis=None)
    expected = scoring.taxonomic_distance_within([0, 0, 0, 1, 1, 2], TAXA)
    assert scoring.taxonomic_distance_within([0, 0, 0, 1, 1, 2, 0, 1], some) == expected
    assert np.isnan(scoring.taxonomic_distance_within([0] * 8, some.assign(species=pd.NA)))


def test_taxonomic_distance_within_clusters_as_by_hand():
    # pairs of cluster 0: 1-1 (0), 1-2 (1), 1-2 (1); of cluster 1: 3-4 (3)
    assert scoring.taxonomic_distance_within([0, 0, 0, 1, 1, 2], TAXA) == pytest.approx((0 + 1 + 1 + 3) / 4)
    assert np.isnan(scoring.taxonomic_distance_within(range(6), TAXA))
    assert squareform(scoring.taxonomic_distances(TAXA))[0].tolist() == [0, 0, 1, 2, 3, 3]


def linkage_of(points):
    """Ward linkage, empty for a single point."""
    return linkage(points, "ward") if len(points) > 1 else np.empty((0, 4))


def line(*places):
    """Average linkage of points on a line."""
    return linkage(np.array(places, float)[:, None], "average")


def test_dendrogram_purity_as_by_hand():
    tree = line(0, 1, 10, 12)  # ((0, 1), (2, 3))
    assert scoring.dendrogram_purity(tree, list("aabb")) == 1
    assert scoring.dendrogram_purity(tree, list("abab")) == pytest.approx(0.5)  # each pair meets at the root
    assert scoring.dendrogram_purity(tree, list("aaab")) == pytest.approx((1 + 3 / 4 + 3 / 4) / 3)


def test_a_tree_of_the_taxonomy_is_perfect():
    tree = line(0, 0, 1, 4, 20, 21)
    scores = scoring.dendrogram_scores(tree, TAXA, TAXA["species"].astype(int).to_numpy() - 1)
    assert {scores[f"dendrogram_purity_{rank}"] for rank in TAXA} == {1}
    assert scores["cophenetic_correlation"] > 0.9
    species = TAXA.drop_duplicates("species")[["family", "genus"]].reset_index(drop=True)
    distance, missed = compared(line(0, 1, 4, 20, 21), species)
    # found: (1 2), (1 2 3), (4 5) below the root; known: (1 2), (1 2 3), (4 5)
    assert (distance, missed) == (0, 0)
    distance, missed = compared(line(0, 4, 1, 20, 21), species)  # 3 and 2 change places
    assert (distance, missed) == (2 / 6, 1 / 3)


def compared(tree, taxa):
    """Robinson-Foulds distance of a linkage from a taxonomy, and the share of taxa that it misses."""
    return scoring.robinson_foulds(scoring.linkage_clades(tree), scoring.taxon_clades(taxa))


def newick(tree):
    """A linkage as Newick text."""
    texts = [f"t{leaf}" for leaf in range(len(tree) + 1)]
    for left, right in tree[:, :2].astype(int):
        texts.append(f"({texts[left]},{texts[right]})")
    return f"[&R] {texts[-1]};"


def test_robinson_foulds_is_that_of_dendropy():
    random = np.random.default_rng(0)
    names = dendropy.TaxonNamespace([f"t{i}" for i in range(14)])
    for _ in range(10):
        genera = pd.DataFrame({"genus": random.integers(5, size=14)})
        members = [[f"t{i}" for i in rows] for rows in genera.groupby("genus").indices.values()]
        taxonomy = ",".join(f"({','.join(tips)})" if len(tips) > 1 else tips[0] for tips in members)
        tree = linkage(random.normal(size=(14, 2)), "average")
        known, found = (
            dendropy.Tree.get(data=text, schema="newick", taxon_namespace=names)
            for text in (f"[&R] ({taxonomy});", newick(tree))
        )
        extra, missed = treecompare.false_positives_and_negatives(known, found)
        clades = sum(len(tips) > 1 for tips in members)
        expected = (extra + missed) / (12 + clades), missed / clades
        assert compared(tree, genera) == pytest.approx(expected)


def test_robinson_foulds_takes_a_long_comb_and_a_taxonomy_without_clades():
    n = 3000
    comb = np.array([[i if i == 0 else n + i - 1, i + 1, i + 1.0, i + 2] for i in range(n - 1)], float)
    each = pd.DataFrame({"family": range(n), "genus": range(n)})
    assert np.isnan(compared(comb, each)).all() and len(scoring.linkage_clades(comb)) == n - 2


def test_a_tree_in_a_file_is_compared_by_the_names_of_its_tips(tmp_path):
    (tmp_path / "tree.nwk").write_text("((Aa_one:1,Aa_two:1):2,((Bb_one:1,Cc_other:1):1,Bb_two:2):1);")
    names = ["Bb two", "Aa one", "Bb one", "Aa two"]  # "Cc other" is not among what was found
    assert scoring.newick_clades(tmp_path / "tree.nwk", names) == {0b0101, 0b1010}
    found = scoring.linkage_clades(line(5, 0, 6, 20))  # (((Bb two, Bb one), Aa one), Aa two)
    assert scoring.robinson_foulds(found, scoring.newick_clades(tmp_path / "tree.nwk", names)) == (2 / 4, 1 / 2)


def jackknife(statistic, units, **options):
    """Interval of one statistic in one go."""
    return scoring.jackknife_interval(
        scoring.jackknife_replicates(statistic, scoring.jackknife_groups(units, **options))
    )


def test_the_jackknife_of_a_mean_is_the_textbook_standard_error():
    values = np.random.default_rng(1).normal(3, 2, size=24)
    ((name, (value, low, high)),) = jackknife(lambda r: {"mean": values[r].mean()}, np.arange(24), n_groups=24).items()
    error = values.std(ddof=1) / np.sqrt(24)
    assert (name, value) == ("mean", pytest.approx(values.mean()))
    assert (high - low) / 2 == pytest.approx(2.0687 * error, rel=1e-4)  # Student's t, 23 degrees of freedom
    assert np.isnan(jackknife(lambda r: {"mean": values[r].mean()}, np.zeros(24))["mean"][1:]).all()


def test_the_interval_of_a_difference_is_paired():
    random = np.random.default_rng(1)
    species = random.normal(size=40)
    one, other = species + 0.01 * random.normal(size=40), species + 0.5 + 0.01 * random.normal(size=40)
    groups = scoring.jackknife_groups(np.arange(40))
    gone = [scoring.jackknife_replicates(lambda r, v=v: {"mean": v[r].mean()}, groups) for v in (one, other)]
    (_, low, high), (_, apart, _) = (scoring.jackknife_interval(g)["mean"] for g in (gone[1] - gone[0], gone[0]))
    assert 0.48 < low < high < 0.52 and one.mean() - apart > 0.2  # the difference is sure, where its parts are not


def test_the_jackknife_counts_the_bias_of_a_statistic_that_is_not_linear():
    values = np.random.default_rng(2).normal(1, 1, size=30)
    units = np.repeat(np.arange(15), 2)

    def square(rows):
        return {"square": values[rows].mean() ** 2}

    value, low, high = jackknife(square, units, n_groups=15)["square"]
    left_out = np.array([np.delete(values, [2 * u, 2 * u + 1]).mean() ** 2 for u in range(15)])
    error = np.sqrt(14 / 15 * ((left_out - value) ** 2).sum())  # deviations from the whole, not from their own mean
    assert (high - low) / 2 == pytest.approx(2.1448 * error, rel=1e-4)  # Student's t, 14 degrees of freedom


def test_the_jackknife_leaves_out_whole_units():
    units = np.repeat(np.arange(10), 3)
    left = []
    scoring.jackknife_replicates(lambda r: left.append(r) or {"n": len(r)}, scoring.jackknife_groups(units, n_groups=5))
    assert sorted(map(len, left)) == [24] * 5 + [30]
    assert all(
        set(units[rows]).isdisjoint(set(units) - set(units[rows])) and len(set(units[rows])) in (8, 10) for rows in left
    )


def scores_of_methods(advantage, methods=30, species=60, seed=0):
    """Jackknife replicates of the mean score of methods on the same species, the first of them better by `advantage`."""
    random = np.random.default_rng(seed)
    scores = random.normal(size=(species, 1)) + random.normal(size=(species, methods))
    scores[:, 0] += advantage
    groups = scoring.jackknife_groups(np.arange(species))
    return scoring.jackknife_replicates(lambda rows: dict(enumerate(scores[rows].mean(axis=0))), groups)


def test_the_winner_of_many_equal_methods_is_not_taken_for_the_best():
    tables = [scoring.differences_to_best(scores_of_methods(0, seed=seed), range(30)) for seed in range(40)]
    # all methods are equal: a simultaneous interval that misses 0 is an error
    assert sum(table["significant"].any() for table in tables) <= 2 + 3  # 5 % of 40, and three standard deviations
    naive = [scoring.jackknife_interval(t.sub(t[t.iloc[0].idxmax()], axis=0)) for t in map(scores_of_methods, [0] * 5)]
    assert all(any(high < 0 for _, _, high in intervals.values()) for intervals in naive)  # what the correction is for


def test_significantly_worse_methods_are_marked():
    table = scoring.differences_to_best(scores_of_methods(3), range(30))
    assert not table.loc[0, "significant"] and table.loc[0, ["difference", "ci_high"]].tolist() == [0, 0]
    assert table.loc[1:, "significant"].all() and (table.loc[1:, "ci_high"] < 0).all()
    assert (table["ci_low"] <= table["difference"]).all() and (table["difference"] <= table["ci_high"]).all()


def test_a_noisy_method_hides_no_difference_between_others():
    random = np.random.default_rng(0)
    values = pd.DataFrame(np.tile([0.66, 0.6, 0.1], (21, 1)), columns=list("abc"))
    values.iloc[1:] += random.normal(scale=[0.001, 0.1, 0.001], size=(20, 3))
    table = scoring.differences_to_best(values, list("abc"))
    assert table["significant"].tolist() == [False, False, True] and table.loc["c", "ci_high"] < -0.5
    assert table["ci_high"].tolist()[:2] == [0, 0] and table.loc["c", "ci_low"] <= -0.56


def test_what_is_no_candidate_may_be_better_than_the_best():
    table = scoring.differences_to_best(scores_of_methods(3), range(1, 30))
    assert table.loc[0, "significant"] and table.loc[0, "ci_low"] > 0 and (table.loc[1:, "ci_high"] <= 0).all()
    twins = pd.DataFrame({name: np.linspace(0.4, 0.6, 21) for name in "ab"})
    assert not scoring.differences_to_best(twins, ["a", "b"])["significant"].any()
    alone = scoring.differences_to_best(twins.iloc[:1], ["a", "b"])
    assert alone["ci_low"].isna().all() and alone["difference"].tolist() == [0, 0]


def test_p_values_are_adjusted_as_by_hand():
    # Holm: 0.01 x 4, 0.02 x 3, 0.03 x 2 (which may not be less than the one before), 0.5
    assert scoring.holm([0.03, 0.01, 0.5, 0.02]).tolist() == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert scoring.holm([0.9, 0.8]).tolist() == [1, 1]


# ((a, b), (c, (d, e))): a and b part at the height 1, d and e at 2, these and c at 3, and all at 4
TRUE_TREE = np.array([[0, 1, 1, 2], [3, 4, 2, 2], [2, 6, 3, 3], [5, 7, 4, 5]], float)
TRUE_DISTANCES = squareform(cophenet(TRUE_TREE))


def test_triples_are_counted_as_by_hand():
    assert scoring.triplet_accuracy(TRUE_TREE, range(5), TRUE_DISTANCES) == 1
    found = np.array([[0, 2, 1, 2], [1, 5, 2, 3], [3, 4, 3, 2], [6, 7, 4, 5]], float)  # (((a, c), b), (d, e))
    # in both trees: ab|d, ab|e, de|a, de|b, de|c; in the true one only: ab|c, cd|a, ce|a, cd|b, ce|b
    assert scoring.triplet_accuracy(found, range(5), TRUE_DISTANCES) == pytest.approx(5 / 10)


def test_triples_count_where_their_species_differ_and_the_true_tree_tells_them_apart():
    tree = linkage_of(np.array([[0.0], [9.0], [1.0], [1.1], [8.0]]))  # two of a, two of b, and c
    distances = squareform([1, 2, 2])
    assert scoring.triplet_accuracy(tree, [0, 0, 1, 1, 2], distances) == 2 / 4  # the second of a is joined to c
    star = np.ones((3, 3)) - np.eye(3)
    assert np.isnan(scoring.triplet_accuracy(tree, [0, 0, 1, 1, 2], star))  # no triple has a closest pair
    assert np.isnan(scoring.triplet_accuracy(tree, [0, 0, 1, 1, 1], distances))
    assert np.isnan(scoring.triplet_accuracy(linkage_of(np.zeros((1, 2))), [0], distances))


def test_three_that_are_joined_at_one_height_are_a_guess():
    flat = linkage_of(np.zeros((5, 2)))
    assert scoring.triplet_accuracy(flat, range(5), TRUE_DISTANCES) == pytest.approx(1 / 3)


def test_random_trees_get_one_triple_in_three_right_and_the_order_of_rows_does_not_matter():
    random = np.random.default_rng(0)
    species = np.repeat(np.arange(12), 3)
    truth = squareform(cophenet(linkage_of(random.normal(size=(12, 3)))))
    shares = []
    for _ in range(100):
        points = random.normal(size=(len(species), 4))
        order = random.permutation(len(species))
        shares.append(scoring.triplet_accuracy(linkage_of(points), species, truth))
        again = scoring.triplet_accuracy(linkage_of(points[order]), species[order], truth)
        assert again == pytest.approx(shares[-1])
    # the triples of one tree hang together: the spread between trees, not their number, tells how near a third to expect
    assert abs(np.mean(shares) - 1 / 3) < 4 * np.std(shares) / np.sqrt(len(shares)) < 0.03


def test_a_sample_of_triples_is_near_the_whole():
    random = np.random.default_rng(1)
    points, species = random.normal(size=(60, 3)), np.repeat(np.arange(20), 3)
    points += 2 * random.normal(size=(20, 3))[species]
    truth = squareform(cophenet(linkage_of(points[::3])))
    whole, *drawn = (
        scoring.triplet_accuracy(linkage_of(points), species, truth, sample, seed)
        for sample, seed in ((40_000, 0), (5000, 0), (5000, 1), (5000, 0))
    )
    assert drawn[0] == drawn[2] != drawn[1]
    assert drawn[:2] == pytest.approx(
        [whole] * 2, abs=4 * np.sqrt(0.25 / 4500)
    )  # binomial; a tenth has a species twice


def test_the_silhouette_is_that_of_the_library():
    points = np.random.default_rng(0).normal(size=(84, 8))
    tree = linkage(points, "ward")
    partitions = [fcluster(tree, k, "maxclust") for k in (2, 7, 30, 83)]
    expected = [metrics.silhouette_score(points, labels) for labels in partitions]
    assert scoring.silhouettes(partitions, points) == pytest.approx(expected)
    assert scoring.silhouettes([np.zeros(84), np.arange(84)], points).tolist() == [-1, -1]


def test_the_silhouette_may_leave_out_the_nearest_of_the_own_cluster():
    points = np.array([[0.0], [1.0], [4.0], [10.0], [12.0]])
    labels = np.array([0, 0, 0, 1, 1])
    # 0 leaves out 1 and has 4 left, 1 leaves out 0 and has 4 left, 4 leaves out 1 and has 0 left; 10 and 12 have none left
    near = [(11 - 4) / 11, (10 - 3) / 10, (7 - 4) / 7, 0, 0]
    without_nearest = scoring.silhouettes([labels], points, (1,))
    assert without_nearest == pytest.approx(np.mean(near))
    assert scoring.silhouettes([labels], points, (2,)).tolist() == [0]  # nobody has any left
    both = scoring.silhouettes([labels], points, (0, 1, 2))
    assert both == pytest.approx((metrics.silhouette_score(points, labels) + np.mean(near)) / 3)


def test_a_sample_of_the_silhouette_compares_with_all_points():
    random = np.random.default_rng(0)
    middle = random.normal(size=(150, 12))
    names = np.repeat(np.arange(150), 20)
    points = middle[names] + 0.6 * random.normal(size=(3000, 12))
    tree = linkage(points, "ward")
    numbers = np.arange(20, 300, 10)
    partitions = [fcluster(tree, k, "maxclust") for k in numbers]
    whole, *drawn = (scoring.silhouettes(partitions, points, (1,), sample) for sample in (3000, 900, 300))
    for some in drawn:  # the mean over so few points varies, and all partitions' with it: their differences stay
        assert some == pytest.approx(whole, abs=0.05)
        assert numbers[some.argmax()] == pytest.approx(numbers[whole.argmax()], rel=0.25)


def test_distances_and_neighbours_of_many_points_are_those_of_few(monkeypatch):
    points = np.random.default_rng(0).normal(size=(700, 12))
    assert scoring.quick_pairs(points, part=64) == pytest.approx(pdist(points), abs=1e-4)
    exact, single = scoring.nearest(points, points[:300], 6), points.astype(np.float32)
    np.testing.assert_array_equal(scoring.nearest(single, single[:300], 6), exact)
    monkeypatch.setattr(scoring, "FEW", 100)
    np.testing.assert_array_equal(scoring.nearest(points, points[:300], 6), exact)
    assert exact[:300, 0].tolist() == list(range(300))


def test_internal_indices_see_separation_and_refuse_the_undefined():
    random = np.random.default_rng(0)
    points = np.concatenate([random.normal(0, 1, (30, 4)), random.normal(20, 1, (30, 4))])
    partitions = [[0] * 30 + [1] * 30, [0, 1] * 30, np.arange(60), [0] * 60, ["a"] * 59 + ["b"]]
    table = scoring.internal_indices(points, partitions)
    good, bad = table.loc[0], table.loc[1]
    assert good["silhouette"] > 0.8 > bad["silhouette"] and good["davies_bouldin"] < bad["davies_bouldin"]
    assert table.loc[[2, 3]].isna().all(axis=None) and table.loc[[0, 1, 4]].notna().all(axis=None)
    assert list(table) == list(scoring.INTERNAL)
    for i in (0, 1, 4):
        for name, other in zip(scoring.INTERNAL, OTHERS, strict=True):
            assert table.loc[i, name] == pytest.approx(other(points, partitions[i]))


OTHERS = (metrics.silhouette_score, metrics.calinski_harabasz_score, metrics.davies_bouldin_score)


def test_internal_indices_of_many_clusters_of_all_sizes_are_those_of_scikit_learn():
    random = np.random.default_rng(0)
    centres = random.normal(0, 5, (40, 8))
    labels = np.concatenate([np.arange(40), random.integers(0, 20, 400)])  # half of the clusters are single points
    points = centres[labels] + random.normal(size=(440, 8))
    points[39] = points[38]  # two clusters at the same place
    row = scoring.internal_indices(points.astype(np.float32), [labels]).loc[0]
    for name, other in zip(scoring.INTERNAL[1:], OTHERS[1:], strict=True):
        assert row[name] == pytest.approx(other(points, labels), rel=1e-5)
    alike = np.repeat(centres, 4, axis=0)  # no cluster has a width
    assert scoring.internal_indices(alike, [np.repeat(range(40), 4)]).loc[0].tolist() == [1.0, 1.0, 0.0]


def tuning_table(*runs):
    """The table that chapter 97 leaves, of (half, seed, network, layer, value) for one trainer and one measure."""
    table = pd.DataFrame(runs, columns=["half", "seed", "network", "layer", "value"])
    return table.assign(trainer="simclr", clusterer="oracle_k_ward_prepared", rank="species", metric="ami")


def test_gains_of_tuning_are_means_over_halves_and_differences_to_the_deepest_frozen_layer():
    before = {"layer3": 0.4, "avgpool": 0.5}
    frozen = [(0, seed, "frozen", layer, value) for seed in range(3) for layer, value in before.items()]
    tuned = [(half, seed, "tuned", "avgpool", 0.6 + seed / 10 + half / 5) for seed in range(3) for half in (0, 1)]
    other = [(0, 0, "aligned", "avgpool", 0.7), (0, 0, None, "avgpool", 0.9)]
    start, reached, gain = scoring.tuning_gains(tuning_table(*frozen, *tuned, *other))
    assert start.loc["simclr", 0, "layer3", "species AMI, oracle k"] == pytest.approx(0.4)
    assert reached.tolist() == pytest.approx([0.7, 0.8, 0.9])
    assert gain.dropna().tolist() == pytest.approx([0.2, 0.3, 0.4])
    aligned = scoring.tuning_gains(tuning_table(*frozen, *tuned, *other), "aligned")[2].dropna()
    assert aligned.tolist() == pytest.approx([0.2])


def test_a_mean_of_seeds_has_students_interval_and_one_seed_has_none():
    index = pd.MultiIndex.from_product([["simclr"], [0, 1, 2]], names=["trainer", "seed"])
    (row,) = scoring.mean_interval(pd.Series([0.2, 0.3, 0.4], index), "trainer").to_numpy()
    half_width = 4.303 * 0.1 / np.sqrt(3)  # Student's t with 2 degrees of freedom
    assert row == pytest.approx([0.3, 0.3 - half_width, 0.3 + half_width], abs=1e-4)
    one = scoring.mean_interval(pd.Series([0.2], index[:1]), "trainer")
    assert one["mean"].tolist() == [0.2] and one[["ci_low", "ci_high"]].isna().all(axis=None)


def test_the_harmonic_mean_is_0_if_one_of_both_is():
    assert scoring.harmonic_mean(0.5, 0.5) == 0.5 and scoring.harmonic_mean(0, 0.8) == 0 and scoring.harmonic_mean(0, 0) == 0
