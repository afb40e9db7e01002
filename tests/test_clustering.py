"""Preparation, algorithms, numbers of clusters, and hierarchies."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist, squareform
from sklearn import metrics
from sklearn.preprocessing import normalize

import clustering

METHODS = [*clustering.BY_NUMBER, *clustering.BY_DENSITY]


def blobs(centres, each=12, spread=0.02, seed=0):
    """Points of unit length around random directions, and the number of the direction."""
    random = np.random.default_rng(seed)
    middle = normalize(random.normal(size=(centres, 8)))
    names = np.repeat(np.arange(centres), each)
    return normalize(middle[names] + spread * random.normal(size=(len(names), 8))), names


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_what_lies_apart(method):
    points, names = blobs(6)
    found, _, noise = clustering.split(points, method, "silhouette")
    # Leiden and EVoC may join or split a group of a dozen; all others have no excuse
    least = 0.8 if method in ("leiden", "evoc") else 1.0
    assert metrics.adjusted_mutual_info_score(names, found) >= least - 1e-9
    assert found.shape == noise.shape == names.shape and noise.sum() <= len(names) / 2


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_a_handful_of_points_is_enough(method, n):
    points = blobs(5)[0][:: 60 // n][:n]
    genus, species, noise = clustering.hierarchy(points, points, method)
    assert len(genus) == len(species) == len(noise) == n


@pytest.mark.parametrize("rule", clustering.RULES)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7])
def test_every_rule_takes_a_handful_of_points(rule, n):
    points = np.random.default_rng(n).normal(size=(n, 4))
    assert 1 <= len(set(clustering.split(points, "ward", rule)[0])) <= n


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_hierarchy_and_species_nest_in_genera(method):
    points, _ = blobs(9, spread=0.3)
    genus, species, _ = clustering.hierarchy(points, points, method, seed=3)
    again = clustering.hierarchy(points, points, method, seed=3)
    assert (genus == again[0]).all() and (species == again[1]).all()
    assert all(len(set(genus[species == s])) == 1 for s in set(species))


def test_noise_joins_the_cluster_next_to_it_and_is_told():
    points, _ = blobs(2, each=30)
    outlier = -normalize(points[:1] + 1.1 * points[-1:])  # far from both, a little nearer to the first
    labels, noise = clustering.by_density("hdbscan", np.concatenate([points, outlier]))
    assert labels.min() >= 0 and noise[-1] and labels[-1] == labels[0] != labels[-2]


def test_the_silhouette_is_that_of_the_library():
    points, _ = blobs(7, spread=0.4)
    partitions = [clustering.Tree(points)(k) for k in (2, 7, 30, 83)]
    expected = [metrics.silhouette_score(points, labels) for labels in partitions]
    assert clustering.silhouettes(partitions, points) == pytest.approx(expected)
    assert clustering.silhouettes([np.zeros(84), np.arange(84)], points).tolist() == [-1, -1]


def test_a_forgetful_silhouette_leaves_out_the_nearest_of_the_own_cluster():
    points = np.array([[0.0], [1.0], [4.0], [10.0], [12.0]])
    labels = np.array([0, 0, 0, 1, 1])
    # 0 forgets 1 and has 4 left, 1 forgets 0 and has 3 left, 4 forgets 1 and has 4 left; 10 and 12 have none left
    near = [(11 - 4) / 11, (10 - 3) / 10, (7 - 4) / 7, 0, 0]
    without_nearest = clustering.silhouettes([labels], points, forget=(1,))
    assert without_nearest == pytest.approx(np.mean(near))
    assert clustering.silhouettes([labels], points, forget=(2,)).tolist() == [0]  # nobody has any left
    both = clustering.silhouettes([labels], points, clustering.FORGETFUL)
    assert both == pytest.approx((metrics.silhouette_score(points, labels) + np.mean(near)) / 3)


def numbers_of_species(points, *rules):
    """{rule: number of clusters that it finds with Ward}."""
    return {rule: len(set(clustering.split(points, "ward", rule)[0])) for rule in rules}


def test_pairs_of_one_individual_mislead_the_silhouette_but_not_the_forgetful_one():
    random = np.random.default_rng(1)
    middle = 2 * random.normal(size=(6, 20))
    individuals = np.repeat(middle, 6, axis=0) + 0.5 * random.normal(size=(36, 20))
    points = np.repeat(individuals, 2, axis=0) + 0.02 * random.normal(size=(72, 20))  # each photographed twice
    number = numbers_of_species(points, "silhouette", "silhouette_without_nearest", "forgetful_silhouette")
    assert number == {"silhouette": 36, "silhouette_without_nearest": 6, "forgetful_silhouette": 6}


def test_of_species_with_two_photographs_each_a_forgetful_silhouette_keeps_more_than_one_that_only_forgets():
    points, _ = blobs(12, each=2, spread=0.1)
    number = numbers_of_species(points, "silhouette", "silhouette_without_nearest", "forgetful_silhouette")
    assert number["silhouette"] == 12 > number["forgetful_silhouette"] > number["silhouette_without_nearest"]


@pytest.mark.parametrize("rule", clustering.RULES)
def test_every_rule_counts_what_lies_apart(rule):
    points, names = blobs(5)
    found, _, _ = clustering.split(points, "ward", rule)
    assert metrics.adjusted_mutual_info_score(names, found) == pytest.approx(1)


def test_a_prior_bounds_the_number_of_clusters():
    points = np.random.default_rng(0).normal(size=(60, 3))
    assert len(set(clustering.split(points, "ward", "silhouette", per_cluster=10)[0])) <= 6
    genus, species, _ = clustering.hierarchy(points, points, species_per_genus=3.0, per_cluster=5)
    assert len(set(genus)) == round(len(set(species)) / 3)


def test_preparation_gives_directions_whose_components_weigh_alike():
    random = np.random.default_rng(0)
    raw = random.normal(size=(200, 30)) * np.linspace(9, 0.1, 30) + 5
    points = clustering.prepare(raw, root=False, components=10, whiten=1)
    assert points.shape == (200, 10) and np.linalg.norm(points, axis=1) == pytest.approx(1)
    share = points.var(axis=0)
    assert share.max() / share.min() < 1.5
    plain = clustering.prepare(raw, root=False, components=0)
    assert plain == pytest.approx(normalize(raw))
    assert clustering.prepare(raw[:1]).shape[0] == 1


def test_smoothing_draws_neighbours_together():
    points, names = blobs(4, spread=0.2)
    inside = names[:, None] == names
    plain, smooth = (
        squareform(pdist(clustering.prepare(points, root=False, components=0, neighbours=n)))[inside].mean()
        for n in (0, 3)
    )
    assert smooth < plain


def test_the_recommended_clusterer_keeps_to_its_groups_and_so_does_the_ceiling():
    points, names = blobs(4, each=30)
    groups = np.array(["moths", "snails"])[names // 2]
    taxa = pd.DataFrame({"genus": names // 2, "species": names})
    for found in (clustering.nested_ward(points, groups), clustering.with_true_numbers(points, groups, taxa)):
        alone = {rank: labels[groups == "moths"] for rank, labels in found.items()}
        assert metrics.adjusted_rand_score(names[groups == "moths"], alone["species"]) == 1
        assert len(set(alone["genus"])) == 1  # half as many as species
        assert all(pd.Series(groups).groupby(labels).nunique().max() == 1 for labels in found.values())
    _, species, _ = clustering.hierarchy(points[groups == "snails"], points[groups == "snails"])
    again = clustering.nested_ward(points, groups)["species"][groups == "snails"]
    assert metrics.adjusted_rand_score(species, again) == 1


def test_caps_hold():
    points = np.random.default_rng(0).normal(size=(60, 3))
    genus, species = clustering.capped(points, points, 4, 3)
    assert len(set(genus)) == 4 and all(len(set(species[genus == g])) <= 3 for g in set(genus))
    assert len(set(clustering.capped(points[:2], points[:2], 4, 3)[0])) == 2


def test_what_a_border_takes_off_its_cluster_is_told():
    assert clustering.parted(list("xxyyx"), [1, 1, 1, 2, 3]).tolist() == [False, False, True, False, False]


def test_a_method_or_rule_that_is_none_is_named():
    for method, rule, message in (
        ("wards", "gap", "method 'wards' is not one of ward,"),
        ("ward", "gaps", "number 'gaps' is not one of silhouette,"),
        ("kmeans", "heights", "needs a tree: ward, average, complete, not kmeans"),
    ):
        with pytest.raises(ValueError, match=message):
            clustering.check(method, rule)


def test_cuts_of_one_tree_are_nested_and_the_obvious_groups_are_found():
    points = np.array([[0, 0], [0, 1], [10, 0], [10, 1], [90, 0], [91, 0]], float)
    tree = clustering.Tree(points)
    coarse, fine = tree(2), tree(3)
    assert len(set(coarse[:4])) == 1 and coarse[4] == coarse[5] != coarse[0]
    assert fine[0] == fine[1] != fine[2] == fine[3]
    assert (pd.Series(coarse).groupby(fine).nunique() == 1).all()
    assert clustering.Tree(points[:1])(5).tolist() == [1]


def test_more_points_than_fit_are_gathered_first():
    points, names = blobs(5, each=40)
    tree = clustering.Tree(points, most=100)
    assert len(tree.merges) < 25 and metrics.adjusted_mutual_info_score(names, tree(5)) == pytest.approx(1)
    assert len(set(tree(1000))) == len(tree.merges) + 1
