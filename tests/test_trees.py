"""Trees of clusters beside a taxonomy: known answers, invariants of rotation, crossings counted one by one."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.cluster.hierarchy import leaves_list, linkage

import plotting
import trees

PAIRS = np.array([[0, 1, 1.0, 2], [2, 3, 1.0, 2], [4, 5, 2.0, 4]])  # ((0, 1), (2, 3))
COUNTS = st.tuples(st.integers(1, 5), st.integers(1, 5)).flatmap(lambda shape: arrays(int, shape, elements=st.integers(0, 3)))


def test_the_tree_of_clusters_and_their_medoids():
    points = np.array([[1, 0], [0.96, 0.28], [0.8, 0.6], [0, 1], [0.28, 0.96]])
    merges, names, medoids = trees.cluster_tree(points, ["b", "b", "b", "a", "c"])
    assert list(names) == ["a", "b", "c"] and list(medoids) == [3, 1, 4]
    assert sorted(merges[0, :2]) == [0, 2]  # a and c are joined first


@given(COUNTS)
def test_crossings_are_those_counted_pair_by_pair(shared):
    lines = [line for line in np.argwhere(shared) for _ in range(shared[tuple(line)])]
    pairs = [(a, b) for a, b in itertools.combinations(lines, 2) if a[0] != b[0] and a[1] != b[1]]
    crossed = [(a[0] - b[0]) * (a[1] - b[1]) < 0 for a, b in pairs]
    assert trees.crossing(shared) == pytest.approx(np.mean(crossed) if crossed else 0)


def test_a_tree_that_agrees_is_untangled_completely():
    random = np.random.default_rng(0)
    points = random.normal(size=(12, 3)) + 20 * np.repeat(random.normal(size=(4, 3)), 3, axis=0)
    genera = np.repeat(list("abcd"), 3)
    merges = linkage(points, "average")
    shared = np.diag(random.integers(1, 9, 12))
    _, clusters, species = trees.untangle(merges, shared, genera)
    assert trees.crossing(shared[np.ix_(clusters, species)]) == 0
    assert trees.clades(merges, 12, np.arange(12), genera) == dict.fromkeys("abcd", True)
    assert trees.clades_by_chance(merges, 12, np.arange(12), genera) < 1


@given(st.data())
def test_rotation_changes_the_order_and_nothing_else(data):
    k, m = data.draw(st.integers(2, 7)), data.draw(st.integers(1, 6))
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    merges, shared = linkage(random.normal(size=(k, 2)), "average"), random.integers(0, 4, (k, m))
    shared[:, 0] += 1  # every cluster and every species has photographs
    shared[0] += 1
    genera = random.integers(0, 3, m)
    rotated, clusters, species = trees.untangle(merges, shared, genera)
    branches, before = ({frozenset(one) for one in plotting.members_of(tree, k)} for tree in (rotated, merges))
    assert branches == before and np.array_equal(rotated[:, 2:], merges[:, 2:])
    assert list(leaves_list(rotated)) == list(clusters) and sorted(species) == list(range(m))
    assert len(list(itertools.groupby(genera[species]))) == len(set(genera))  # genera stay together


def test_clades():
    assert trees.clades(PAIRS, 4, [0, 1, 2, 3], list("aabb")) == {"a": True, "b": True}
    assert trees.clades(PAIRS, 4, [0, 2, 1, 3], list("aabb")) == {"a": False, "b": False}
    assert trees.clades(PAIRS, 4, [0, 0, 0], list("aab")) == {"a": False}  # one cluster holds two genera
    assert trees.clades(PAIRS, 4, [0, 0, 3], list("aab")) == {"a": True}
    assert trees.clades(PAIRS, 4, [0, 1, 2, 3], list("aaaa")) == {}  # there is nothing to be confused with
    assert trees.clades(PAIRS, 4, [0, 3], list("ab")) == {}


def test_chance_is_what_all_permutations_give():
    homes, genera = [0, 1, 2, 3], list("aabb")
    exact = np.mean([sum(trees.clades(PAIRS, 4, one, genera).values()) for one in itertools.permutations(homes)])
    assert trees.clades_by_chance(PAIRS, 4, homes, genera, draws=2000) == pytest.approx(exact, abs=0.1)


def test_a_figure_names_every_species_and_survives_odd_names():
    taxa = pd.DataFrame({"genus": ["F > A", "F > $B$"], "species": ["F > A > A a", "F > $B$ > $B$ <b>"]})
    figure = trees.draw("title", np.array([[0, 1, 0.0, 2]]), np.array([[2, 1], [0, 3]]), taxa, [None, None])
    figure.canvas.draw()
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert sorted(texts) == sorted(["A a (2)", r"\$B\$ <b> (4)", "A", r"\$B\$"])
    alone = trees.draw("title", np.empty((0, 4)), np.array([[2, 1]]), taxa, [None])
    assert len(alone.axes[0].texts) == 4
