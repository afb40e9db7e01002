"""Tables, clusters and scores: known answers, invariants, failures."""

import numpy as np
import pandas as pd
import pytest
from scipy.cluster.hierarchy import cophenet
from scipy.spatial.distance import squareform

import utils


def test_dataset_names_cannot_leave_their_folder():
    for name in ("../elsewhere", "/etc", "a/b", "", ".hidden"):
        with pytest.raises(ValueError, match="plain name"):
            utils.dataset_dir(name)


def test_unknown_card_names_the_known_ones():
    with pytest.raises(FileNotFoundError, match="nested_ward"):
        utils.load_params("clusterers", "nested_wart")


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "table.csv"
    utils.write_table(pd.DataFrame({"a": [1]}), path)
    with pytest.raises(RuntimeError), utils.whole_or_absent(path) as temporary:
        temporary.write_text("half a")
        raise RuntimeError
    assert path.read_text() == "a\n1\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_sweep_is_the_product_of_its_grid(in_tmp):
    (in_tmp / "params" / "sweeps").mkdir(parents=True)
    card = "notebook: x\nnames: setting\nfixed: {c: 7}\ngrid: {a: [1, 2], b: [0.5, u v]}\n"
    (in_tmp / "params" / "sweeps" / "s.yaml").write_text(card)
    points = utils.expand_sweep("s", {"encoder": "pixels", "a": 9})
    assert list(points) == ["s__a-1__b-0.5", "s__a-1__b-u-v", "s__a-2__b-0.5", "s__a-2__b-u-v"]
    assert points["s__a-2__b-0.5"] == {"encoder": "pixels", "c": 7, "a": 2, "b": 0.5, "setting": "s__a-2__b-0.5"}


def test_a_sweep_may_vary_one_parameter_at_a_time_around_a_baseline(in_tmp):
    (in_tmp / "params" / "sweeps").mkdir(parents=True)
    path = in_tmp / "params" / "sweeps" / "s.yaml"
    card = "notebook: x\nnames: setting\nfixed: {a: 1.0}\nvary: {a: [0, 0.5], b: [3]}\n"
    path.write_text(card + "grid: {seed: [0, 1]}\n")
    points = utils.expand_sweep("s", {"a": 9, "b": 2})
    names = [f"s__{departure}seed-{seed}" for departure in ("", "a-0__", "a-0.5__", "b-3__") for seed in (0, 1)]
    assert list(points) == names
    assert points["s__seed-1"] == {"a": 1.0, "b": 2, "seed": 1, "setting": "s__seed-1"}
    assert points["s__a-0.5__seed-0"] == {"a": 0.5, "b": 2, "seed": 0, "setting": "s__a-0.5__seed-0"}
    assert points["s__b-3__seed-1"] == {"a": 1.0, "b": 3, "seed": 1, "setting": "s__b-3__seed-1"}

    path.write_text(card)
    assert list(utils.expand_sweep("s", {})) == ["s", "s__a-0", "s__a-0.5", "s__b-3"]
    with pytest.raises(ValueError, match="b = 3 in vary of sweep s is the baseline itself"):
        utils.expand_sweep("s", {"b": 3})
    path.write_text(card + "grid: {b: [1, 2]}\n")
    with pytest.raises(ValueError, match="b stands in vary and in grid of sweep s"):
        utils.expand_sweep("s", {})


def test_a_sweep_may_bring_whole_cards(in_tmp):
    for kind in ("sweeps", "trainers"):
        (in_tmp / "params" / kind).mkdir(parents=True)
    for name, content in (("one", "a: 1\nb: 1\n"), ("two", "a: 2\n")):
        (in_tmp / "params" / "trainers" / f"{name}.yaml").write_text(content)
    path = in_tmp / "params" / "sweeps" / "s.yaml"
    card = "notebook: x\nnames: setting\ncards: [trainer]\n"
    path.write_text(card + "grid: {trainer: [one, two]}\n")
    points = utils.expand_sweep("s", {"a": 0, "b": 0})
    assert points["s__trainer-one"] == {"a": 1, "b": 1, "trainer": "one", "setting": "s__trainer-one"}
    assert points["s__trainer-two"] == {"a": 2, "b": 0, "trainer": "two", "setting": "s__trainer-two"}


def test_homonyms_are_kept_apart_by_lineage():
    table = pd.DataFrame(
        {
            "family": ["Plantae", "Animalia", "Animalia", None],
            "genus": ["Morus", "Morus", "Morus", "Morus"],
            "species": [None] * 4,
        }
    )
    genus = utils.lineage(table, "genus")
    assert genus.nunique() == 3 and genus[1] == genus[2]
    assert utils.lineage(table, "species").isna().all()


def test_a_blank_ancestor_is_taken_from_the_other_rows_where_they_agree():
    table = pd.DataFrame(
        {
            "family": ["F", None, "F", None, "G"],
            "genus": ["A", "A", None, None, "B"],
            "species": ["a", "a", "a", "a", "b"],
        }
    )
    assert utils.lineage(table, "species").tolist() == ["F > A > a"] * 4 + ["G > B > b"]
    homonym = pd.DataFrame({"family": ["F", "G", None], "genus": ["A", "A", "A"]})
    assert utils.lineage(homonym, "genus").nunique() == 3  # whose it is, nobody can say


def test_missing_embeddings_are_named(in_tmp):
    folder = in_tmp / "data" / "d" / "embeddings" / "e"
    utils.write_table(
        pd.DataFrame({"hash_id": ["b", "a"], "x": [[1.0, 2.0], [3.0, 4.0]]}), folder / "part-00000.parquet"
    )
    with pytest.raises(FileNotFoundError, match="not complete"):
        utils.load_embeddings("d", "e", ["a"])
    (folder / "_SUCCESS").touch()
    np.testing.assert_array_equal(utils.load_embeddings("d", "e", ["a", "b"])["x"], [[3, 4], [1, 2]])
    with pytest.raises(KeyError, match="2 specimens: c, d"):
        utils.load_embeddings("d", "e", ["a", "c", "d"])


def test_layers_are_picked_by_place_or_name():
    layers = {"layer3": 3, "avgpool": 5}
    assert [utils.pick_layer(layers, name) for name in ("first", "last", "layer3", "avgpool")] == [3, 5, 3, 5]
    with pytest.raises(ValueError, match="layer3, avgpool"):
        utils.pick_layer(layers, "layer4")


# ------------------------------------------------------------------------------------------------------ clusters


def test_cuts_of_one_tree_are_nested_and_the_obvious_groups_are_found():
    points = np.array([[0, 0], [0, 1], [10, 0], [10, 1], [90, 0], [91, 0]], float)
    tree = utils.ward_tree(points)
    coarse, fine = utils.cut(tree, 2), utils.cut(tree, 3)
    assert len(set(coarse[:4])) == 1 and coarse[4] == coarse[5] != coarse[0]
    assert fine[0] == fine[1] != fine[2] == fine[3]
    assert (pd.Series(coarse).groupby(fine).nunique() == 1).all()
    assert utils.cut(utils.ward_tree(points[:1]), 5).tolist() == [1]


def test_any_labels_become_nested_and_unique_names():
    random = np.random.default_rng(0)
    ids = [f"i{n}" for n in range(500)]
    family, genus, species = (random.integers(k, size=500) for k in (4, 5, 6))
    clusters = utils.name_clusters(ids, family.astype(str), genus, species)
    utils.check_clusters(clusters, ids)
    assert clusters["species_cluster"].nunique() == len(set(zip(family, genus, species, strict=True)))
    renamed = utils.name_clusters(ids, family.astype(str), 7 - genus, species * 3)
    pd.testing.assert_frame_equal(clusters, renamed)  # numbers follow the rows, not the labels


def test_bad_clusters_are_refused():
    good = utils.name_clusters(["a", "b", "c"], ["F", "F", "G"], [0, 1, 0], [0, 0, 0])
    utils.check_clusters(good, ["a", "b", "c"])
    with pytest.raises(ValueError, match="exactly once"):
        utils.check_clusters(pd.concat([good, good.iloc[:1]]), ["a", "b", "c"])
    with pytest.raises(ValueError, match="exactly once"):
        utils.check_clusters(good, ["a", "b", "c", "d"])
    with pytest.raises(ValueError, match="not nested"):
        utils.check_clusters(good.assign(species_cluster="same"), ["a", "b", "c"])
    with pytest.raises(ValueError, match="no cluster"):
        utils.check_clusters(good.assign(genus_cluster=pd.NA), ["a", "b", "c"])


# -------------------------------------------------------------------------------------------------------- scores


def test_perfect_is_one_and_names_do_not_matter():
    truth = np.repeat(list("aabbccddd"), 4)
    families = np.repeat(list("xxxxyyyyy"), 4)
    perfect = utils.agreement(truth, np.unique(truth, return_inverse=True)[1] * -7, families)
    assert all(value == pytest.approx(1) for name, value in perfect.items() if name != "ami_above_family")


def test_random_labels_score_zero_when_adjusted_and_more_when_not():
    random = np.random.default_rng(0)
    truth, families = random.integers(40, size=2000), np.repeat(["x", "y"], 1000)
    scores = [utils.agreement(truth, random.integers(300, size=2000), families) for _ in range(5)]
    mean = pd.DataFrame(scores).mean()
    # The adjusted scores' spread at this size is below 0.005 a draw, so the mean of five lies well within 0.01.
    assert abs(mean[["ami", "ari", "ami_within", "ari_within"]]).max() < 0.01
    assert mean["nmi"] > 0.3


def test_within_families_is_the_mean_weighted_by_size_over_families_with_a_choice():
    truth = np.array(list("aabb" + "cd" + "eee"))
    found = np.array([0, 0, 1, 1, 0, 0, 5, 6, 7])  # family x perfect, y lumped, z has one taxon only
    scores = utils.agreement(truth, found, np.array(list("xxxx" + "yy" + "zzz")))
    assert scores["ami_within"] == pytest.approx((4 * 1 + 2 * 0) / 6)
    assert scores["ami_above_family"] < scores["ami"]
    assert np.isnan(utils.agreement(["a", "a"], [0, 1], ["x", "x"])["ami_within"])


def test_the_jackknife_of_a_mean_is_the_textbook_standard_error():
    values = np.random.default_rng(1).normal(3, 2, size=24)
    ((name, (value, low, high)),) = utils.jackknife_interval(
        lambda r: {"mean": values[r].mean()}, np.arange(24), n_groups=24
    ).items()
    error = values.std(ddof=1) / np.sqrt(24)
    assert (name, value) == ("mean", pytest.approx(values.mean()))
    assert (high - low) / 2 == pytest.approx(2.0687 * error, rel=1e-4)  # Student's t, 23 degrees of freedom
    few = utils.jackknife_interval(lambda r: {"mean": values[r].mean()}, np.zeros(24))
    assert np.isnan(few["mean"][1:]).all()


def test_the_jackknife_counts_the_bias_of_a_statistic_that_is_not_linear():
    values = np.random.default_rng(2).normal(1, 1, size=30)
    units = np.repeat(np.arange(15), 2)

    def square(rows):
        return {"square": values[rows].mean() ** 2}

    value, low, high = utils.jackknife_interval(square, units, n_groups=15)["square"]
    left_out = np.array([np.delete(values, [2 * u, 2 * u + 1]).mean() ** 2 for u in range(15)])
    error = np.sqrt(14 / 15 * ((left_out - value) ** 2).sum())  # deviations from the whole, not from their own mean
    assert (high - low) / 2 == pytest.approx(2.1448 * error, rel=1e-4)  # Student's t, 14 degrees of freedom


def test_the_jackknife_leaves_out_whole_units():
    units = np.repeat(np.arange(10), 3)
    left = []
    utils.jackknife_interval(lambda r: left.append(r) or {"n": len(r)}, units, n_groups=5)
    assert sorted(map(len, left)) == [24] * 5 + [30]
    assert all(
        set(units[rows]).isdisjoint(set(units) - set(units[rows])) and len(set(units[rows])) in (8, 10) for rows in left
    )


# ((a, b), (c, (d, e))): a and b part at the height 1, d and e at 2, these and c at 3, and all at 4
TRUE_TREE = np.array([[0, 1, 1, 2], [3, 4, 2, 2], [2, 6, 3, 3], [5, 7, 4, 5]], float)
TRUE_DISTANCES = squareform(cophenet(TRUE_TREE))


def test_triples_are_counted_as_by_hand():
    assert utils.triplet_accuracy(TRUE_TREE, range(5), TRUE_DISTANCES) == 1
    found = np.array([[0, 2, 1, 2], [1, 5, 2, 3], [3, 4, 3, 2], [6, 7, 4, 5]], float)  # (((a, c), b), (d, e))
    # in both trees: ab|d, ab|e, de|a, de|b, de|c; in the true one only: ab|c, cd|a, ce|a, cd|b, ce|b
    assert utils.triplet_accuracy(found, range(5), TRUE_DISTANCES) == pytest.approx(5 / 10)


def test_triples_count_where_their_species_differ_and_the_true_tree_tells_them_apart():
    tree = utils.ward_tree(np.array([[0.0], [9.0], [1.0], [1.1], [8.0]]))  # two of a, two of b, and c
    distances = squareform([1, 2, 2])
    assert utils.triplet_accuracy(tree, [0, 0, 1, 1, 2], distances) == 2 / 4  # the second of a is joined to c
    star = np.ones((3, 3)) - np.eye(3)
    assert np.isnan(utils.triplet_accuracy(tree, [0, 0, 1, 1, 2], star))  # no triple has a closest pair
    assert np.isnan(utils.triplet_accuracy(tree, [0, 0, 1, 1, 1], distances))
    assert np.isnan(utils.triplet_accuracy(utils.ward_tree(np.zeros((1, 2))), [0], distances))


def test_three_that_are_joined_at_one_height_are_a_guess():
    flat = utils.ward_tree(np.zeros((5, 2)))
    assert utils.triplet_accuracy(flat, range(5), TRUE_DISTANCES) == pytest.approx(1 / 3)


def test_random_trees_get_one_triple_in_three_right_and_the_order_of_rows_does_not_matter():
    random = np.random.default_rng(0)
    species = np.repeat(np.arange(12), 3)
    truth = squareform(cophenet(utils.ward_tree(random.normal(size=(12, 3)))))
    shares = []
    for _ in range(100):
        points = random.normal(size=(len(species), 4))
        order = random.permutation(len(species))
        shares.append(utils.triplet_accuracy(utils.ward_tree(points), species, truth))
        again = utils.triplet_accuracy(utils.ward_tree(points[order]), species[order], truth)
        assert again == pytest.approx(shares[-1])
    # the triples of one tree hang together: the spread between trees, not their number, tells how near a third to expect
    assert abs(np.mean(shares) - 1 / 3) < 4 * np.std(shares) / np.sqrt(len(shares)) < 0.03


def test_a_sample_of_triples_is_near_the_whole():
    random = np.random.default_rng(1)
    points, species = random.normal(size=(60, 3)), np.repeat(np.arange(20), 3)
    points += 2 * random.normal(size=(20, 3))[species]
    truth = squareform(cophenet(utils.ward_tree(points[::3])))
    whole, *drawn = (
        utils.triplet_accuracy(utils.ward_tree(points), species, truth, sample, seed)
        for sample, seed in ((40_000, 0), (5000, 0), (5000, 1), (5000, 0))
    )
    assert drawn[0] == drawn[2] != drawn[1]
    assert drawn[:2] == pytest.approx(
        [whole] * 2, abs=4 * np.sqrt(0.25 / 4500)
    )  # binomial; a tenth has a species twice


def test_internal_indices_see_separation_and_refuse_the_undefined():
    random = np.random.default_rng(0)
    points = np.concatenate([random.normal(0, 1, (30, 4)), random.normal(20, 1, (30, 4))])
    good, bad = utils.internal_indices(points, [0] * 30 + [1] * 30), utils.internal_indices(points, [0, 1] * 30)
    assert good["silhouette"] > 0.8 > bad["silhouette"] and good["davies_bouldin"] < bad["davies_bouldin"]
    assert np.isnan(list(utils.internal_indices(points, np.arange(60)).values())).all()
    assert np.isnan(list(utils.internal_indices(points, [0] * 60).values())).all()
    lonely = utils.internal_indices(points, [0] * 59 + [1], sample=20)  # the sample may miss the only other label
    assert set(lonely) == set(utils.INTERNAL)


# --------------------------------------------------------------------------------------------------------- plots


def test_figures_are_the_same_to_the_byte(tmp_path):
    for name in ("a.png", "b.png"):
        figure, ax = utils.plt.subplots()
        utils.draw_map(
            ax,
            np.arange(20.0).reshape(10, 2),
            np.array(list("aaabbbccdd")),
            utils.family_colours(list("aaabbbccdd"), 2),
        )
        utils.save_figure(figure, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_largest_families_have_the_colours():
    colours = utils.family_colours(["b"] * 3 + ["a"] * 2 + ["c"] * 2 + [None] * 9, n_coloured=2)
    assert list(colours) == ["b", "a"]


def test_an_encoder_that_knows_more_than_the_photographs_says_so():
    for encoder in ("bioclip", "bioclip2"):
        assert utils.encoder_label(encoder) == f"{encoder} (upper bound: trained on species names)"
    assert utils.encoder_label("true_traits") == "true_traits (reference: told the traits)"
    assert utils.encoder_label("pixels") == "pixels"
