"""Heads and maps that are learned on frozen embeddings: known clusters are found, and the same seed gives the same result."""

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import normalize

import heads


def blobs(k=4, each=15, size=12, spread=0.1, seed=0):
    """Points of length 1 around k directions, and their names."""
    random = np.random.default_rng(seed)
    names = np.repeat(np.arange(k), each)
    centres = np.linalg.qr(random.normal(size=(size, size)))[0][:k]
    return normalize(centres[names] + spread * random.normal(size=(k * each, size))), names


HEADS = {"temi": heads.temi, "turtle": lambda points, k, seed=0: heads.turtle([points, points[:, ::-1].copy()], k, seed)}


@pytest.mark.parametrize("head", HEADS)
def test_a_head_finds_clusters_that_are_there(head):
    points, names = blobs()
    before = torch.random.get_rng_state()
    found = HEADS[head](points, 4)
    assert adjusted_rand_score(names, found) == 1
    np.testing.assert_array_equal(HEADS[head](points, 4), found)
    assert torch.equal(torch.random.get_rng_state(), before)  # nobody else's random numbers change
    assert set(HEADS[head](points, 1)) == {0}


@pytest.mark.parametrize("head", HEADS)
def test_a_head_has_no_more_clusters_than_it_was_given(head):
    points, _ = blobs(2, 3)
    for k in (2, 5, 6):
        found = HEADS[head](points, k, seed=1)
        assert len(found) == 6 and len(set(found)) <= k and min(found) >= 0


def with_noise(strength=0.35):
    """Blobs of two families that vary most in five directions which say nothing about the species."""
    points, names = blobs(4, 40, size=24, spread=0.08)
    points[:, -5:] += strength * np.random.default_rng(1).normal(size=(len(points), 5))
    return normalize(points), names, [np.flatnonzero(names < 2), np.flatnonzero(names >= 2)]


def spread(points, names):
    """Variance within species over that of all."""
    within = [points[names == name].var(axis=0).sum() for name in np.unique(names)]
    return np.mean(within) / points.var(axis=0).sum()


def test_pairs_are_neighbours_of_one_group():
    points, names = blobs()
    groups = [np.flatnonzero(names == name) for name in range(3)] + [np.array([45]), np.arange(46, 60)]
    one, other = heads.neighbor_pairs(points, groups, 3)
    assert len(one) == (15 * 3 + 14) * 3 and (one != other).all()
    for rows in groups:
        assert np.isin(other[np.isin(one, rows)], rows).all()
    assert heads.neighbor_pairs(points[:1], [np.array([0])]).shape == (2, 0)


def test_what_neighbours_differ_in_counts_less_after_whitening():
    points, names, groups = with_noise()

    whitened = heads.whiten_neighbors(points, groups)
    assert np.linalg.norm(whitened, axis=1) == pytest.approx(1)
    assert spread(whitened, names) < 0.8 * spread(points, names)
    alike = np.tile(points[:1], (5, 1))  # no differences at all
    assert np.isfinite(heads.whiten_neighbors(alike, [np.arange(5)])).all()


@pytest.mark.parametrize("within", [True, False])
def test_contrast_draws_species_together(within):
    points, names, groups = with_noise()
    mapped = heads.contrast_neighbors(points, groups, within, seed=1)
    assert mapped.shape == (len(points), 128) and np.linalg.norm(mapped, axis=1) == pytest.approx(1)
    assert spread(mapped, names) < 0.9 * spread(points, names)
    np.testing.assert_array_equal(mapped, heads.contrast_neighbors(points, groups, within, seed=1))
    alone = [np.array([row]) for row in range(3)]
    np.testing.assert_array_equal(heads.contrast_neighbors(points[:3], alone, within), points[:3])  # nothing to learn from
