"""Preparation, algorithms, numbers of clusters, and hierarchies."""

import itertools

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist, squareform
from sklearn import metrics
from sklearn.preprocessing import normalize

import clustering
import listing
import scoring
from simulation.embeddings import EmbeddingConfig, draw_embedding

NAMES = [*clustering.BY_NUMBER, *clustering.BY_DENSITY]
SLOW = {"evoc": pytest.mark.slow}  # compiles itself for two minutes when it is first used
METHODS = [pytest.param(name, marks=SLOW.get(name, ())) for name in NAMES]


def blobs(centres, each=12, spread=0.02, seed=0):
    """Points of unit length around random directions, and the number of the direction."""
    random = np.random.default_rng(seed)
    middle = normalize(random.normal(size=(centres, 8)))
    names = np.repeat(np.arange(centres), each)
    return normalize(middle[names] + spread * random.normal(size=(len(names), 8))), names


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_what_lies_apart(method):
    points, names = blobs(6)
    found, _, noise = clustering.cluster_species(points, method, "silhouette")
    # Leiden and EVoC may join or split a group of a dozen; all others have no excuse
    least = 0.8 if method in ("leiden", "evoc") else 1.0
    assert metrics.adjusted_mutual_info_score(names, found) >= least - 1e-9
    assert found.shape == noise.shape == names.shape and noise.sum() <= len(names) / 2


def cluster(points, families=None, seed=0, **config):
    """Clusters of points as they are, without preparation, in one family or several."""
    plain = clustering.Clusterer.of(**{"signed_sqrt": False, "pca_components": 0} | config)
    families = np.zeros(len(points)).astype(str) if families is None else families
    return clustering.cluster({"only": points}, families, plain, seed)


def nested(labels):
    """Whether every species lies in one genus and every genus in one family."""
    inside = [labels.groupby(child)[parent].nunique().max() for parent, child in itertools.pairwise(labels.columns[:3])]
    return inside == [1, 1]


@pytest.mark.parametrize("method", [*METHODS, "caps"])
@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_a_handful_of_points_is_enough(method, n):
    labels = cluster(blobs(5)[0][:: 60 // n][:n], method=method)
    assert len(labels) == n and labels.notna().all(axis=None) and nested(labels)


@pytest.mark.parametrize("method", [*METHODS, "caps"])
def test_photographs_that_are_all_alike_are_one_species(method):
    for points in (np.ones((12, 5)), np.zeros((12, 5))):
        labels = clustering.cluster({"only": points}, ["x"] * 12, clustering.Clusterer.of(method))
        assert method == "caps" or (labels[["genus", "species"]].nunique() == 1).all()
        assert len(labels) == 12 and nested(labels)


@pytest.mark.parametrize("rule", clustering.RULES)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7])
def test_every_rule_takes_a_handful_of_points(rule, n):
    points = np.random.default_rng(n).normal(size=(n, 4))
    assert 1 <= len(set(clustering.cluster_species(points, "ward", rule)[0])) <= n


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_hierarchy_and_species_nest_in_genera(method):
    points, _ = blobs(9, spread=0.3)
    labels = cluster(points, method=method, seed=3)
    pd.testing.assert_frame_equal(cluster(points, method=method, seed=3), labels)
    assert nested(labels)
    if not clustering.Clusterer.of(method).uses_seed:
        pd.testing.assert_frame_equal(cluster(points, method=method, seed=4), labels)


def test_noise_joins_the_nearest_cluster_and_is_marked():
    points, _ = blobs(2, each=30)
    outlier = -normalize(points[:1] + 1.1 * points[-1:])  # far from both, a little nearer to the first
    labels, noise = clustering.by_density("hdbscan", np.concatenate([points, outlier]))
    assert labels.min() >= 0 and noise[-1] and labels[-1] == labels[0] != labels[-2]


def numbers_of_species(points, *rules):
    """{rule: number of clusters that it finds with Ward}."""
    return {rule: len(set(clustering.cluster_species(points, "ward", rule)[0])) for rule in rules}


def test_pairs_of_one_individual_mislead_the_silhouette_unless_neighbours_are_excluded():
    random = np.random.default_rng(1)
    middle = 2 * random.normal(size=(6, 20))
    individuals = np.repeat(middle, 6, axis=0) + 0.5 * random.normal(size=(36, 20))
    points = np.repeat(individuals, 2, axis=0) + 0.02 * random.normal(size=(72, 20))  # each photographed twice
    number = numbers_of_species(points, "silhouette", "silhouette_excluding_1", "silhouette_excluding_0_to_2")
    assert number == {"silhouette": 36, "silhouette_excluding_1": 6, "silhouette_excluding_0_to_2": 6}


def test_with_two_photographs_per_species_the_mean_of_silhouettes_finds_more_than_one_that_excludes():
    points, _ = blobs(12, each=2, spread=0.1)
    number = numbers_of_species(points, "silhouette", "silhouette_excluding_1", "silhouette_excluding_0_to_2")
    assert number["silhouette"] == 12 > number["silhouette_excluding_0_to_2"] > number["silhouette_excluding_1"]


@pytest.mark.parametrize("rule", clustering.RULES)
def test_every_rule_counts_what_lies_apart(rule):
    points, names = blobs(5)
    found, _, _ = clustering.cluster_species(points, "ward", rule)
    assert metrics.adjusted_mutual_info_score(names, found) == pytest.approx(1)


@pytest.mark.parametrize("rule", clustering.RULES)
def test_a_prior_bounds_the_number_of_clusters(rule):
    points = np.random.default_rng(0).normal(size=(60, 3))
    assert len(set(clustering.cluster_species(points, "ward", rule, min_mean_cluster_size=10)[0])) <= 6
    assert len(set(clustering.cluster_species(points, "ward", rule, max_clusters=5)[0])) <= 5


def common(points, families, **config):
    """Species per family that one common height finds."""
    found = cluster(points, families, **config)
    assert nested(found)
    return found.groupby("family")["species"].nunique()


@pytest.mark.parametrize("each", [2, 3, 6, 40])
def test_a_common_height_finds_families_of_one_species_and_of_several(each):
    points, names = blobs(12, each=each)
    families = np.where(names < 6, names, 6).astype(str)  # six families of one species, one of six
    assert common(points, families).tolist() == [1] * 6 + [6]


@pytest.mark.parametrize("seed", [0, 1])
def test_a_common_height_takes_no_pairs_that_are_alike_by_chance_for_species(seed):
    random = np.random.default_rng(seed)
    noise = np.abs(random.normal(size=(240, 60)))
    assert common(noise, np.repeat(["x", "y", "z"], 80)).tolist() == [1, 1, 1]


def test_a_common_height_ignores_pairs_of_one_individual():
    random = np.random.default_rng(1)
    middle = 2 * random.normal(size=(6, 20))
    individuals = np.repeat(middle, 6, axis=0) + 0.5 * random.normal(size=(36, 20))
    points = np.repeat(individuals, 2, axis=0) + 0.02 * random.normal(size=(72, 20))  # each photographed twice
    assert common(points, np.repeat(["x", "x", "x", "y", "y", "z"], 12)).tolist() == [3, 2, 1]


def test_a_common_height_finds_rare_and_common_species_alike():
    points, names = blobs(8, each=60)
    keep = np.concatenate([np.flatnonzero(names == n)[: [60, 30, 20, 15, 10, 6, 4, 2][n]] for n in range(8)])
    found = cluster(points[keep], np.where(names[keep] % 2, "x", "y"))
    assert metrics.adjusted_mutual_info_score(names[keep], found["species"]) == pytest.approx(1)


def test_a_common_height_of_one_family_and_of_single_photographs():
    points, _ = blobs(5)
    assert common(points, np.full(len(points), "x")).tolist() == [5]
    assert common(blobs(4, each=1)[0], list("abcd")).tolist() == [1] * 4
    assert common(points[:1], ["x"]).tolist() == [1]


def test_a_prior_bounds_the_clusters_of_a_common_height():
    points = np.random.default_rng(0).normal(size=(60, 3))
    found = cluster(points, np.repeat(["x", "y"], 30), min_mean_cluster_size=10.0)
    assert found["species"].nunique() <= 6


def test_heights_keep_to_the_largest_number():
    pairs = np.repeat(np.random.default_rng(0).normal(size=(24, 6)), 2, axis=0)[:47]
    pairs = np.concatenate([pairs, pairs[:2] + 100]) + np.linspace(0, 1e-6, 49)[:, None]
    assert len(set(clustering.cluster_species(pairs, "ward", "heights")[0])) > 20  # the leap from twins to strangers
    assert len(set(clustering.cluster_species(pairs, "ward", "heights", max_clusters=5)[0])) <= 5


def test_the_gap_statistic_may_find_a_single_cluster():
    cloud = np.random.default_rng(3).normal(size=(80, 4))
    assert len(set(clustering.cluster_species(cloud, "ward", "gap")[0])) == 1


def test_genera_hold_as_many_species_as_the_prior_says():
    points = np.random.default_rng(0).normal(size=(60, 3))
    labels = cluster(points, species_per_genus=3.0, min_mean_cluster_size=5)
    assert labels["genus"].nunique() == round(labels["species"].nunique() / 3)


def test_preparation_gives_directions_whose_components_weigh_alike():
    random = np.random.default_rng(0)
    raw = random.normal(size=(200, 30)) * np.linspace(9, 0.1, 30) + 5
    points = clustering.prepare(raw, signed_sqrt=False, pca_components=10, whitening_power=1)
    assert points.shape == (200, 10) and np.linalg.norm(points, axis=1) == pytest.approx(1)
    share = points.var(axis=0)
    assert share.max() / share.min() < 1.5
    plain = clustering.prepare(raw, signed_sqrt=False, pca_components=0)
    assert plain == pytest.approx(normalize(raw))
    assert clustering.prepare(raw[:1]).shape[0] == 1


def test_every_part_of_a_fused_encoder_is_prepared_by_itself(tmp_path):
    random = np.random.default_rng(0)
    layers = {"fused:a": random.normal(size=(50, 40)), "fused:b": random.normal(size=(50, 5)) * np.arange(1, 6)}
    points, genus_points = clustering.Clusterer.of().prepare_both(layers)
    each = [clustering.prepare(values) for values in layers.values()]
    np.testing.assert_allclose(points, np.hstack(each) / np.sqrt(2))  # of length 1, to which both parts give as much
    assert genus_points is points
    for _ in range(2):  # computed and kept, then read
        np.testing.assert_array_equal(clustering.Clusterer.of().prepare_both(layers, folder=tmp_path)[0], points)
    assert len(list(tmp_path.iterdir())) == 2


def test_many_vectors_take_half_the_memory(monkeypatch):
    layers = {"last": np.random.default_rng(0).normal(size=(300, 40))}
    precise = clustering.Clusterer.of().prepare_both(layers)[0]
    monkeypatch.setattr(scoring, "FEW", 100)
    points = clustering.Clusterer.of().prepare_both(layers)[0]
    assert precise.dtype == np.float64 and points.dtype == np.float32
    np.testing.assert_allclose(points, precise, atol=1e-5)


def test_smoothing_draws_neighbours_together():
    points, names = blobs(4, spread=0.2)
    inside = names[:, None] == names
    plain, smooth = (
        squareform(pdist(clustering.prepare(points, False, 0, n_smoothing_neighbors=n)))[inside].mean()
        for n in (0, 3)
    )
    assert smooth < plain


def test_clusters_keep_to_their_families_and_so_does_the_oracle():
    points, names = blobs(4, each=30)
    groups = np.array(["moths", "snails"])[names // 2]
    taxa = pd.DataFrame({"genus": names // 2, "species": names})
    for found in (cluster(points, groups), pd.DataFrame(clustering.oracle_k(points, groups, taxa))):
        alone = found[groups == "moths"]
        assert metrics.adjusted_rand_score(names[groups == "moths"], alone["species"]) == 1
        assert alone["genus"].nunique() == 1  # half as many as species
        assert all(pd.Series(groups).groupby(found[rank]).nunique().max() == 1 for rank in taxa)


@pytest.mark.parametrize("method", clustering.TREES)
def test_a_tree_is_cut_twice_whichever_chapter_asks(method, monkeypatch):
    # a chapter may hand on the same layer or a copy of it: the genera are those of the tree, not of the species' centroids
    monkeypatch.setattr(clustering, "SMOOTHED", 0)
    points, names = blobs(12, each=8, spread=0.4)
    groups = (names % 2).astype(str)
    found = cluster(points, groups, method=method)
    for group in ("0", "1"):
        rows = np.flatnonzero(groups == group)
        tree = clustering.LinkageTree(normalize(points[rows]), method=method)
        for rank in ("genus", "species"):
            labels = found.loc[rows, rank]
            assert metrics.adjusted_rand_score(tree(labels.nunique()), labels) == 1


def test_photographs_without_a_family_form_one_and_without_any_family_all_are_found():
    points, names = blobs(6, each=10)
    families = np.where(names < 3, "known", None)
    found = cluster(points, families)
    assert set(found["family"]) == {"known", clustering.UNKNOWN} and nested(found)
    for withheld in (cluster(points, [None] * 60), cluster(points, families, use_family=False)):
        assert withheld["family"].str.fullmatch(r"f\d+").all() and nested(withheld)
        assert metrics.adjusted_rand_score(names, withheld["species"]) == 1
        assert 4 <= withheld["family"].nunique() <= 6  # genera hold 1.5 species, and a genus lies in one family


def test_what_straddles_two_families_is_split_there():
    points, _ = blobs(2, each=10)
    families = np.array(["x"] * 4 + ["y"] * 16)
    found = cluster(points, families, nested=False)
    assert nested(found) and found["species"].nunique() == 3
    assert found["split_by_family"].tolist() == [True] * 4 + [False] * 16


def test_true_numbers_count_the_names_that_are_known():
    points, names = blobs(4, each=5)
    taxa = pd.DataFrame({"species": pd.array(names, dtype="Int64")})
    taxa.loc[names == 3, "species"] = pd.NA
    known = names != 3
    found = clustering.oracle_k(points, np.zeros(20), taxa)["species"]
    assert metrics.adjusted_rand_score(names[known], found[known]) == 1 and set(found[~known]).isdisjoint(found[known])
    assert len(set(clustering.oracle_k(points, names, taxa)["species"])) == 4  # a family without any name is one cluster
    both = taxa.assign(genus=names // 2)
    assert len(set(clustering.oracle_k(points, np.zeros(20), both)["genus"])) == 2


@pytest.mark.parametrize("n", [1, 2, 3, 6, 7, 8, 9])
def test_few_points_are_prepared_too(n):
    prepared = clustering.prepare(np.random.default_rng(n).normal(size=(n, 12)), umap_components=5)
    assert len(prepared) == n and np.isfinite(prepared).all()


def test_a_mean_size_of_clusters_is_kept_by_the_common_height():
    points, names = blobs(6, each=2)
    for smallest, most in ((6.0, 2), (4.0, 3), (2.0, 6)):
        found = cluster(points, names // 3, min_mean_cluster_size=smallest)
        assert 2 <= found["species"].nunique() <= most


def test_caps_hold():
    points = np.random.default_rng(0).normal(size=(60, 3))
    caps = clustering.Clusterer.of("caps", max_genera=4, max_species=3)
    genus, species, _ = caps.cut(points, points, 0)
    assert all(len(set(genus[species == s])) == 1 for s in set(species))
    assert len(set(genus)) == 4 and all(len(set(species[genus == g])) <= 3 for g in set(genus))
    assert len(set(caps.cut(points[:2], points[:2], 0)[0])) == 2


def test_rows_that_a_family_border_cuts_off_are_marked():
    assert clustering.split_by_family(list("xxyyx"), [1, 1, 1, 2, 3]).tolist() == [False, False, True, False, False]


def test_a_method_or_rule_that_is_none_is_named():
    for method, rule, message in (
        ("wards", "gap", "method 'wards' is not one of ward,"),
        ("ward", "gaps", "k_rule 'gaps' is not one of common_height, silhouette,"),
        ("kmeans", "heights", "needs a tree: ward, average, complete, not kmeans"),
    ):
        with pytest.raises(ValueError, match=message):
            clustering.Clusterer.of(method, k_rule=rule)


def test_an_option_of_another_method_is_named():
    for method, option, known in (("average", {"max_genera": 5}, "k_rule"), ("hdbscan", {"k_rule": "gap"}, "min_cluster_size")):
        with pytest.raises(ValueError, match=f"no option of {method}, which has {known}"):
            clustering.Clusterer.of(method, **option)
    with pytest.raises(ValueError, match=r"pca_component is no setting of a clusterer; did you mean pca_components\?"):
        clustering.Clusterer.of("average", pca_component=3)
    assert clustering.Clusterer.of("average", max_genera=10) == clustering.Clusterer.of("average")  # the default of caps


@pytest.mark.parametrize("method", ["average", "complete", "ward"])
@pytest.mark.parametrize("rule", ["common_height", "silhouette"])
def test_parts_of_a_large_family_share_no_cluster(method, rule, monkeypatch):
    points, _ = blobs(8, each=20)
    monkeypatch.setattr(clustering, "MAX_PAIRWISE", 100)
    labels = cluster(points, method=method, k_rule=rule)
    parts = clustering._divide(np.arange(len(points)), points)
    assert len(parts) > 1 and nested(labels)
    for rank in ("genus", "species"):
        assert sum(labels[rank].iloc[part].nunique() for part in parts) == labels[rank].nunique()


def test_every_config_can_be_read():
    for path in (ROOT / "params" / "clusterers").glob("*.yaml"):
        assert clustering.Clusterer.named(path.stem).method in [*NAMES, "caps"]
    assert clustering.Clusterer.named("pooled_average") == clustering.Clusterer.of()


def test_cuts_of_one_tree_are_nested_and_the_obvious_groups_are_found():
    points = np.array([[0, 0], [0, 1], [10, 0], [10, 1], [90, 0], [91, 0]], float)
    tree = clustering.LinkageTree(points)
    coarse, fine = tree(2), tree(3)
    assert len(set(coarse[:4])) == 1 and coarse[4] == coarse[5] != coarse[0]
    assert fine[0] == fine[1] != fine[2] == fine[3]
    assert (pd.Series(coarse).groupby(fine).nunique() == 1).all()
    assert clustering.LinkageTree(points[:1])(5).tolist() == [1]


def test_a_tree_of_very_many_points_is_the_same_tree(monkeypatch):
    points, _ = blobs(5, each=40, spread=0.3)
    small = clustering.LinkageTree(points)
    monkeypatch.setattr(clustering, "MAX_PAIRWISE", 100)
    large = clustering.LinkageTree(points)
    assert large.merges[:, 2] == pytest.approx(small.merges[:, 2])
    for k in (2, 5, 30, 150):  # and no number is out of its reach
        assert len(set(large(k))) == k and metrics.adjusted_rand_score(small(k), large(k)) == 1


def test_a_tree_of_many_points_is_that_of_scipy():
    points, _ = blobs(35, each=60, spread=0.3)
    found = clustering.LinkageTree(points.astype(np.float32), method="average").merges  # more than SciPy is asked for
    expected = linkage(points, "average")
    assert found[:, 2] == pytest.approx(expected[:, 2], abs=1e-3)
    assert metrics.adjusted_rand_score(fcluster(found, 35, "maxclust"), fcluster(expected, 35, "maxclust")) == 1


@pytest.mark.parametrize("method", clustering.TREES)
@pytest.mark.parametrize("n", [1, 2, 3, 50])
def test_all_cuts_at_once_have_the_labels_of_scipy(method, n):
    random = np.random.default_rng(n)
    for points in (random.normal(size=(n, 3)), random.integers(0, 3, (n, 3)).astype(float)):  # the latter with equal heights
        tree = clustering.LinkageTree(points, method=method)
        heights = [np.inf, *random.uniform(0, 4, 9), *tree.merges[:3, 2]]
        merges = np.searchsorted(tree.merges[:, 2], heights, side="right")
        expected = [fcluster(tree.merges, height, "distance") if n > 1 else [1] for height in heights]
        np.testing.assert_array_equal(tree.after(merges), expected)


def test_trees_of_groups_come_in_their_order():
    points, _ = blobs(4, each=10)
    groups = [np.arange(3), np.arange(3, 30), np.arange(30, 40)]
    found = clustering.trees_of(groups, points, "ward")
    assert [rows.tolist() for rows, _ in found] == [rows.tolist() for rows in groups]
    assert all((tree.merges == clustering.LinkageTree(points[rows]).merges).all() for rows, tree in found)


@pytest.mark.parametrize(("varies_over", "expected"), [("clusters", True), ("photographs", False)])
def test_a_difference_that_varies_over_clusters_is_less_sure(varies_over, expected):
    clusters = np.repeat(np.arange(30), 10)
    behind = np.random.default_rng(0).normal(scale=0.1, size=30)[clusters]
    if varies_over == "photographs":
        behind = np.random.default_rng(1).permutation(behind)
    behind += 0.01 - behind.mean()
    values = np.stack([np.zeros(300), behind])[:, None]
    below = clustering._errors_below_best(values, [clusters // 10, clusters])[:, 0]
    assert (below <= clustering.ERRORS).tolist() == [expected, True]


def test_the_plausible_numbers_hold_what_was_found():
    points, taxa = draw_embedding(EmbeddingConfig(), 0)
    by_tree = clustering.cluster({"only": points}, taxa["family"], clustering.Clusterer.of())
    fewest, most = by_tree.attrs["plausible"]
    assert taxa["family"].nunique() < fewest <= by_tree["species"].nunique() <= most < len(points)
    assert fewest <= taxa["species"].nunique() <= most  # 32, well apart
    wider = clustering.cluster({"only": points[::4]}, taxa["family"][::4], clustering.Clusterer.of()).attrs["plausible"]
    assert wider[1] / wider[0] > most / fewest  # a quarter of the photographs says less
    by_means = clustering.cluster({"only": points}, taxa["family"], clustering.Clusterer.of(method="kmeans"))
    assert by_means.attrs["plausible"] is None


# ------------------------------------------------------------------------------- simulated embeddings of every shape


def found_in(seed=0, **config):
    """Number of species that the default finds in a simulated embedding, divided by the true one, and its species AMI."""
    points, taxa = draw_embedding(EmbeddingConfig(**config), seed)
    labels = clustering.cluster({"only": points}, taxa["family"], clustering.Clusterer.of())
    assert nested(labels)
    return labels["species"].nunique() / taxa["species"].nunique(), metrics.adjusted_mutual_info_score(
        taxa["species"], labels["species"]
    )


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    "config",
    [
        {"photographs": 10},
        {"photographs": 60},
        {"photographs": 200, "families": (1, 2, 3, 4)},
        {"photographs": 60, "power": 0.5},
        {"photographs": 3},
        {"families": (1,) * 30},
        {"families": (1,) * 30, "photographs": 3},
        {"families": (40,)},
        {"families": (40,), "photographs": 3},
        {"burst": 2},
        {"burst": 3, "photographs": 30},
        # groups of several species look good as well, and are large enough for a silhouette that excludes three neighbours
        {"photographs": 3, "families": (6,) * 10, "separation": 1.5, "species_per_genus": 3.0},
        {"photographs": 4, "families": (6,) * 10, "separation": 1.5},
        {"photographs": 4, "families": (12,) * 4, "species_per_genus": 3.0, "separation": 1.0},
        {"family_separation": 4.0},  # whole families have the best silhouette; only clouds without clusters tell them apart
    ],
    ids=lambda config: ", ".join(f"{name} {value}" for name, value in config.items()),
)
def test_the_default_finds_the_number_of_species_within_a_factor_of_one_and_a_half(config, seed):
    ratio, ami = found_in(seed, **config)
    assert 1 / 1.5 <= ratio <= 1.5 and ami > 0.8


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("n_species", "photographs"), [(2, 20), (2, 150), (3, 60), (4, 20)])
def test_a_single_family_of_few_clear_species_is_divided(n_species, photographs, seed):
    ratio, ami = found_in(seed, families=(n_species,), photographs=photographs, separation=1.0, dimensions=512)
    assert 1 <= ratio <= 1.5 and ami > 0.9


@pytest.mark.parametrize("seed", range(4))
def test_a_single_family_of_two_species_that_overlap_is_divided(seed):
    ratio, ami = found_in(seed, families=(2,), photographs=60)
    assert ratio == 1 and ami > 0.8


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("photographs", "dimensions"), [(30, 32), (300, 32), (300, 128), (600, 64)])
def test_a_single_species_is_one_cluster(photographs, dimensions, seed):
    species = {"families": (1,), "photographs": photographs, "dimensions": dimensions}
    assert found_in(seed, **species) == (1, 1)
    noise = np.random.default_rng(seed).normal(size=(photographs, dimensions))
    assert clustering.cluster({"only": noise}, ["x"] * photographs, clustering.Clusterer.of())["species"].nunique() == 1


def alone(points):
    """Clusters of points without any family, prepared as the default does."""
    return clustering.cluster({"only": points}, [None] * len(points), clustering.Clusterer.named("images_alone"))


def test_without_family_names_nothing_is_divided_where_nothing_is_to_be_found():
    noise = np.random.default_rng(0).normal(size=(100, 32))
    species = np.random.default_rng(1).normal(size=(5, 32)).repeat(20, axis=0) * 2 + noise
    one, five = alone(noise), alone(species)
    assert one["species"].nunique() == one["family"].nunique() == 1 and one.attrs["plausible"][0] == 1
    assert metrics.adjusted_rand_score(np.arange(5).repeat(20), five["species"]) == 1 and five.attrs["plausible"][0] > 1


@pytest.mark.parametrize(
    ("photographs", "families"),
    [(10, (30, 20, 12, 8, 6, 5, 4, 3, 2, 2, 1, 1, 1, 1)), (20, (1, 2, 3, 4, 10, 12)), (60, (1, 2, 3, 4, 10, 12)), (20, (40,))],
)
def test_species_of_any_number_are_found_with_and_without_family_names(photographs, families):
    points, names = draw_embedding(EmbeddingConfig(families, photographs=photographs))
    for found in (alone(points), clustering.cluster({"only": points}, names["family"], clustering.Clusterer.of())):
        assert nested(found) and scoring.ami(names["species"], found["species"]) > 0.92
        assert 1 / 1.25 < found["species"].nunique() / sum(families) < 1.25
        assert found.attrs["plausible"][0] <= sum(families) <= found.attrs["plausible"][1]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("options", [{"species_per_genus": 3.0}, {"family_separation": 3.0}, {"separation": 0.6}])
def test_species_are_found_where_other_groups_are_more_distinct(options, seed):
    ratio, ami = found_in(seed, photographs=40, **options)
    assert 0.7 < ratio < 1.25 and ami > 0.9


def test_no_fragments_are_left_where_photographs_are_averaged():
    points, _ = draw_embedding(EmbeddingConfig((60,), photographs=60, separation=0.6))
    sizes = alone(points)["species"].value_counts()
    assert 57 <= (sizes > 3).sum() <= 63 and (sizes <= 3).sum() <= 3


def test_means_of_neighbours_keep_the_place_of_points_on_a_map_and_the_length_of_others():
    points = np.array([[9.0, 0], [9, 1], [1, 0], [1, 1]])
    assert clustering.smoothed(points, 1).tolist() == [[9, 0.5], [9, 0.5], [1, 0.5], [1, 0.5]]
    assert np.allclose(np.linalg.norm(clustering.smoothed(3 * normalize(points), 1), axis=1), 3)


def test_a_far_neighbour_is_not_averaged_with():
    points = np.array([[0.0, 0], [0, 1], [0, 2], [0, 3], [50, 0]])
    assert clustering.smoothed(points, 1, 1.5)[-1].tolist() == [50, 0]
    assert clustering.smoothed(points, 1)[-1].tolist() == [25, 0]


def test_the_scale_of_the_points_does_not_matter():
    points, _ = draw_embedding(EmbeddingConfig((2,), photographs=60))
    points, groups = clustering.prepare(points), [np.arange(120)]
    one, other = (clustering.cut_families(groups, scale * points, "average")[1] for scale in (1.0, 0.5))
    assert len(set(one.labels)) == 2 and one.labels.tolist() == other.labels.tolist()


@pytest.mark.parametrize(("n", "each", "expected"), [(4, 40, 5), (10, 13, 3), (16, 9, None), (1, 100, None)])
def test_photographs_are_averaged_with_neighbours_only_where_clusters_are_large(monkeypatch, n, each, expected):
    random, asked, smoothed = np.random.default_rng(0), [], clustering.smoothed
    points = normalize(random.normal(size=(n, 64)).repeat(each, axis=0) + 0.1 * random.normal(size=(n * each, 64)))
    before = points.copy()
    monkeypatch.setattr(clustering, "smoothed", lambda *a: asked.append(a[1]) or smoothed(*a))
    _, cut = clustering.cut_families([np.arange(n * each)], points, "average")
    assert asked == ([] if expected is None else [expected]) and (points == before).all()
    assert metrics.adjusted_rand_score(np.arange(n).repeat(each), cut.labels) == 1


@pytest.mark.parametrize("seed", [0, 1])
def test_the_default_does_not_divide_what_has_no_clusters(seed):
    assert found_in(seed, separation=0.0)[0] == 7 / 32  # seven families, of one species for all that can be seen


def test_a_small_cluster_joins_its_neighbour_unless_it_lies_apart():
    random = np.random.default_rng(0)
    cloud = random.normal(size=(30, 10))
    points = np.concatenate([cloud, cloud[:1] + 0.1, np.full((1, 10), 50.0)])  # one photograph beside, one far away
    labels = np.array([0] * 30 + [1, 2])
    trees = [(np.arange(32), clustering.LinkageTree(points))]
    assert clustering.join_small(labels, trees, points, 1).tolist() == labels.tolist()
    assert clustering.join_small(labels, trees, points, 2).tolist() == [0] * 31 + [2]


def test_a_family_too_large_for_one_tree_is_divided(monkeypatch):
    points, names = blobs(6, each=20)
    monkeypatch.setattr(clustering, "MAX_PAIRWISE", 50)
    found = cluster(points, np.full(len(points), "x"))
    assert nested(found) and metrics.adjusted_mutual_info_score(names, found["species"]) == pytest.approx(1)


@pytest.mark.parametrize("at_once", [1000, 90])
def test_families_are_found_in_a_sample_of_more_points_than_one_tree_can_hold(at_once, monkeypatch):
    points, names = blobs(6, each=20)
    monkeypatch.setattr(clustering, "MAX_PAIRWISE", at_once)
    found = cluster(points, np.full(len(points), None))
    assert metrics.adjusted_mutual_info_score(names, found["species"]) == pytest.approx(1)
    if at_once == 90:  # these families keep their own trees
        assert metrics.adjusted_mutual_info_score(names, found["family"]) == pytest.approx(1)
    assert nested(found)


def test_a_simulated_embedding_has_the_shape_that_was_asked_for():
    points, taxa = draw_embedding(EmbeddingConfig(photographs=30, power=1.0, dimensions=16), seed=3)
    again, _ = draw_embedding(EmbeddingConfig(photographs=30, power=1.0, dimensions=16), seed=3)
    assert points.shape == (len(taxa), 16) and np.array_equal(points, again)
    assert taxa.groupby("family")["species"].nunique().tolist() == [1, 1, 2, 3, 5, 8, 12]
    sizes = taxa["species"].value_counts()
    assert sizes.max() == 30 and sizes.min() == 1 and taxa["genus"].nunique() < taxa["species"].nunique()


def test_prepared_vectors_are_kept_for_each_setting_and_layer(tmp_path):
    random = np.random.default_rng(0)
    layers = {"shallow": random.normal(size=(30, 12)), "deep": random.normal(size=(30, 12))}
    settings = [{}, {"whitening_power": 1.0}, {"species_layers": {"first": 2.0, "deep": 1.0}}, {"n_smoothing_neighbors": 2}]
    for setting in settings * 2:
        clusterer = clustering.Clusterer.of(**setting)
        for kept, again in zip(clusterer.prepare_both(layers, 0, tmp_path), clusterer.prepare_both(layers), strict=True):
            np.testing.assert_array_equal(kept, again)
    assert len(list(tmp_path.iterdir())) == 4  # the deep layer by three preparations, and the shallow one
    clustering.Clusterer.of(signed_sqrt=False, pca_components=0).prepare_both(layers, 0, tmp_path)
    assert len(list(tmp_path.iterdir())) == 4  # scaling alone is quicker than reading


@pytest.mark.parametrize("share", [0.03, 0.06])
def test_a_few_wrong_family_names_do_not_multiply_the_clusters(share):
    points, taxa = draw_embedding(EmbeddingConfig(photographs=30), seed=1)
    family, random = taxa["family"].to_numpy(object), np.random.default_rng(0)
    wrong = random.permutation(len(family))[: round(share * len(family))]
    family[wrong] = [random.choice([name for name in set(family) if name != true]) for true in family[wrong]]
    labels = clustering.cluster({"only": points}, family, clustering.Clusterer.of())
    right = ~np.isin(np.arange(len(family)), wrong)
    n_species = taxa["species"].nunique()
    assert n_species / 1.5 < labels.loc[right, "species"].nunique() < n_species * 1.5
    assert metrics.adjusted_mutual_info_score(taxa.loc[right, "species"], labels.loc[right, "species"]) > 0.8


def test_strangers_are_left_out_unless_they_are_many():
    points, names = blobs(4, each=20)

    def at_home(family, **options):
        trees = [(rows, None) for rows in pd.Series(family).groupby(family).indices.values()]
        return clustering._at_home(trees, points, **options).tolist()

    groups = names // 2
    assert at_home(groups) == list(range(80))
    groups[[0, 45]] = [1, 0]
    for found in (at_home(groups), at_home(groups, sample=40)):
        assert set(range(80)) - set(found) == {0, 45}
    assert at_home(np.random.default_rng(0).integers(12, size=80)) == list(range(80))  # families without any sense


def test_of_very_many_points_some_families_are_compared_with_clouds(monkeypatch):
    points, taxa = draw_embedding(EmbeddingConfig(families=(10,) * 30, photographs=5, dimensions=32))
    families = list(taxa.groupby("family").indices.values())
    trees = clustering.trees_of(families, points, "average")
    partitions = clustering.cuts_at_common_heights(trees, len(points))
    means = scoring.silhouette_values(partitions, points, clustering.EXCLUDED).mean(axis=2)

    def above():
        return clustering._above_clouds(means, partitions, trees, points, 1.0, clustering.EXCLUDED)

    of_all = above()
    monkeypatch.setattr(clustering, "CLOUDS", 750)  # half of the points
    assert np.abs(above() - of_all).mean() < 0.01
    monkeypatch.setattr(clustering, "CLOUDS", 1)  # fewer than any family holds
    assert above().shape == of_all.shape


def test_a_cloud_has_the_mean_and_the_covariance_of_what_it_is_compared_with():
    random = np.random.default_rng(0)
    for n in (4000, 12):  # more points than dimensions, and fewer
        points = random.normal(size=(n, 40)) * np.linspace(0.1, 3, 40) + 5
        clouds = np.concatenate([clustering._normal_cloud(points, random) for _ in range(8000 // n)])
        scale = np.cov(points, rowvar=False).max()
        np.testing.assert_allclose(np.cov(clouds, rowvar=False), np.cov(points, rowvar=False), atol=0.15 * scale)
        np.testing.assert_allclose(clouds.mean(axis=0), points.mean(axis=0), atol=0.3)
    assert clustering._normal_cloud(points[:1], random).tolist() == points[:1].tolist()


def test_cuts_of_several_trees_are_those_of_each():
    points, _ = blobs(9, each=7, spread=0.3)
    trees = [(rows, clustering.LinkageTree(points[rows], method="average")) for rows in np.split(np.arange(63), [20, 21])]
    partitions = clustering.cuts_at_common_heights(trees, 63)
    assert [len(set(labels)) for labels in partitions][:2] == [3, 4] and len(set(partitions[-1])) > 50
    for labels in partitions:
        assert sum(len(set(labels[rows])) for rows, _ in trees) == len(set(labels))  # no label in two families
        largest = max(tree.merges[-len(set(labels[rows])), 2] for rows, tree in trees if len(set(labels[rows])) < len(rows))
        for rows, tree in trees:  # all merges up to the largest one below the cut, and no other
            same = [1] if len(rows) == 1 else fcluster(tree.merges, largest, "distance")
            assert metrics.adjusted_rand_score(labels[rows], same) == 1


def test_an_array_is_computed_again_when_its_source_its_file_or_the_code_has_changed(tmp_path, monkeypatch):
    calls, source = [], np.arange(6.0).reshape(2, 3)

    def double(values):
        calls.append(1)
        return 2 * values

    for _ in range(2):
        np.testing.assert_array_equal(clustering.kept_array(tmp_path, "twice", source, double), 2 * source)
    assert len(calls) == 1
    np.testing.assert_array_equal(clustering.kept_array(tmp_path, "twice", source + 1, double), 2 * source + 2)
    (kept,) = tmp_path.iterdir()  # the array of the former source is gone
    assert len(calls) == 2 and listing.made_by_chapters("embeddings/x", [kept.name]) == {kept.name}
    kept.write_bytes(kept.read_bytes()[:-8])
    np.testing.assert_array_equal(clustering.kept_array(tmp_path, "twice", source + 1, double), 2 * source + 2)
    assert len(calls) == 3
    monkeypatch.setattr(clustering, "_made_with", lambda: "another version")
    clustering.kept_array(tmp_path, "twice", source + 1, double)
    assert len(calls) == 4 and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "setting",
    [
        {"pca_components": -5},
        {"species_per_genus": -3},
        {"species_per_genus": float("nan")},
        {"genus_layers": {"last": "x"}},
        {"species_layers": {}},
        {"method": "caps", "max_genera": 0},
    ],
    ids=lambda setting: list(setting)[-1],
)
def test_a_setting_that_can_mean_nothing_is_named(setting):
    with pytest.raises(ValueError, match=f"^{list(setting)[-1]} = "):
        clustering.Clusterer.of(**setting)
