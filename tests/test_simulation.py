"""The simulated world of insects: its drawings, its tree, and that its truth is what it claims to be."""

import io

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT
from PIL import Image
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_mutual_info_score

import clustering
import utils
from encoders import tabulate
from simulation import camera, evolution, insects, photographs, specimens
from simulation.insects import parts

FORMS = [(order, form) for order, forms in insects.ORDERS.items() for form in forms]
PLAIN = dict.fromkeys(specimens.MEASURED, 0.0) | {name: states[0] for name, states in insects.CHARACTERS.items()}
PLAIN |= {"sex": "female", "wear": 0.0, "individual_seed": 1}
SMALL = {"n_families": 14, "n_genera": 20, "n_species": 30, "n_specimens": 8, "seed": 2}


def traits_of(order, form, **changes):
    return PLAIN | {"order": order, "form": form} | changes


def drawn(traits, size=56):
    art = insects.draw(traits, np.random.default_rng(0), np.random.default_rng(0))
    return camera.rasterise(art.colour, size)


def pixels(traits, size=32):
    scene = photographs.draw_scene(np.random.default_rng(0), clutter=0, place="sheet")
    return np.asarray(photographs.photograph(traits, scene, size), float)


@pytest.fixture(scope="module")
def world():
    """The world of params/worlds/demo.yaml."""
    config = yaml.safe_load((ROOT / "params" / "worlds" / "demo.yaml").read_text())
    return specimens.simulate(**{name: value for name, value in config.items() if name != "image_size"})


# ------------------------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize(("order", "form"), FORMS)
def test_an_insect_fills_the_picture_and_its_body_is_in_the_middle(order, form):
    for sex in ("female", "male"):
        opaque = np.asarray(drawn(traits_of(order, form, sex=sex)).getchannel("A")) > 60
        rows, columns = np.flatnonzero(opaque.any(1)), np.flatnonzero(opaque.any(0))
        assert max(np.ptp(rows), np.ptp(columns)) >= 0.6 * 56
        assert opaque[14:42, 14:42].mean() > 0.15
        assert (
            opaque[[0, -1]].mean() < 0.1 and opaque[:, [0, -1]].mean() < 0.1
        )  # no more than the tip of a leg leaves it


@pytest.mark.parametrize(("order", "form"), FORMS)
@pytest.mark.parametrize("value", [-4.0, 4.0])
def test_the_strangest_insects_can_be_drawn(order, form, value):
    for pattern, mark in zip(("spots", "eyespots", "marbled"), ("stigma", "zigzag", "patch"), strict=True):
        strange = dict.fromkeys(specimens.MEASURED, value) | {"pattern": pattern, "mark": mark, "wear": 0.9}
        share = (np.asarray(drawn(traits_of(order, form, **strange), 40).getchannel("A")) > 128).mean()
        assert 0.02 < share < 0.9


def test_every_trait_can_be_seen_in_most_forms():
    def both(traits):
        art = insects.draw(traits, np.random.default_rng(0), np.random.default_rng(0))
        return np.stack([np.asarray(camera.rasterise(part, 32), float) for part in (art.colour, art.matter)])

    changes = {**dict.fromkeys(specimens.MEASURED, 1.5), "pattern": "bands", "mark": "patch", "margin": "entire"}
    changes |= {"sculpture": "furrowed", "sex": "male"}
    some = FORMS[::4]  # one of each order
    seen = pd.DataFrame(False, pd.MultiIndex.from_tuples(some), list(changes))
    for order, form in some:
        one = traits_of(order, form, pattern="marbled", mark="stigma", margin="toothed", sculpture="pitted")
        reference = both(one)
        for name, value in changes.items():
            seen.loc[(order, form), name] = np.abs(both(one | {name: value}) - reference).max() > 12
    assert (seen.sum(axis=1) >= 15).all()
    assert (seen[[*specimens.MEASURED, "pattern", "mark"]].mean() >= 0.4).all()


def test_no_order_looks_like_another():
    """Silhouettes of one order with random traits are more alike than those of two orders."""
    random = np.random.default_rng(1)
    shapes, orders = [], []
    for order, forms in insects.ORDERS.items():
        for _ in range(5):
            values = {name: random.normal(0, 0.5) for name in specimens.MEASURED}
            shapes.append(np.asarray(drawn(traits_of(order, forms[0], **values), 32).getchannel("A"), float).ravel())
            orders.append(order)
    apart = np.linalg.norm(np.array(shapes)[:, None] - np.array(shapes)[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (np.array(orders)[apart.argmin(1)] == orders).mean() > 0.9


@pytest.mark.parametrize("name", ["pattern_place", "wing_length", "taper"])
def test_a_small_step_in_a_trait_is_a_small_step_in_the_picture(name):
    for order, forms in insects.ORDERS.items():
        one = traits_of(order, forms[2], pattern="marbled", **{name: 0.3})
        near, far = (np.abs(pixels(one | {name: value}) - pixels(one)).mean() for value in (0.31, 1.8))
        assert near < 0.25 * far or far < 0.05


def test_an_individual_keeps_its_markings_and_changes_its_pose():
    one = traits_of("Lepidoptera", "butterfly", pattern="spots", wear=0.8)
    first, again, other = (
        insects.draw(one, np.random.default_rng(seed), np.random.default_rng(pose)).colour
        for seed, pose in ((1, 1), (1, 1), (2, 1))
    )
    assert first == again != other
    assert insects.draw(one, np.random.default_rng(1), np.random.default_rng(2)).colour != first


@pytest.mark.parametrize("place", photographs.PLACES)
def test_the_same_insect_under_the_same_conditions_gives_the_same_bytes(place):
    def jpeg(seed):
        stream = io.BytesIO()
        scene = photographs.draw_scene(np.random.default_rng(seed), place=place)
        photographs.photograph(traits_of("Diptera", "hoverfly"), scene, 64).save(
            stream, "jpeg", quality=scene.quality
        )
        return stream.getvalue()

    assert jpeg(1) == jpeg(1) != jpeg(2)


def test_without_clutter_the_ground_is_a_grey_board():
    scenes = [photographs.draw_scene(np.random.default_rng(seed), clutter=0) for seed in range(40)]
    assert not any(scene.things or scene.covered for scene in scenes)
    nothing = parts.Art()
    for scene in scenes[:8]:
        ground = photographs.PLACED[scene.place](scene, np.random.default_rng(0), 32)
        assert np.ptp(ground) > 5 and scene.relief == 0
    flat = photographs.lit(np.full((32, 32, 3), 150, np.float32), nothing, scenes[0], np.random.default_rng(0))
    assert np.allclose(flat, 150)


def test_the_lit_side_is_bright_and_the_shadow_falls_on_the_other():
    scene = photographs.draw_scene(np.random.default_rng(0))
    disc = parts.plate(parts.oval(0, 0, 60, 60), "#808080", (0.2, 0.8), 0.0, 0.0)
    means = {}
    for direction in (180, 0):
        scene.light = direction
        picture = photographs.lit(np.full((80, 80, 3), 200, np.float32), disc, scene, np.random.default_rng(0))
        inside, below = picture[30:50], picture[30:50]
        means[direction] = inside[:, 22:32].mean() - inside[:, 48:58].mean()
        shaded = below[:, :18].mean() - below[:, 62:].mean()
        assert (shaded > 0) == (direction == 180)
    assert means[180] > 10 and means[0] < -10


# ------------------------------------------------------------------------------------------------------------- tree


@pytest.mark.parametrize("seed", range(3))
def test_orders_branch_off_as_given(seed):
    sizes = {"a": 5, "b": 3, "c": 8, "d": 4}
    tree = evolution.ladder_of_clades(sizes, seed)
    np.testing.assert_allclose(tree.calc_node_root_distances(), 1, atol=1e-9)
    assert {len(node.child_nodes()) for node in tree.preorder_internal_node_iter()} == {2}
    assert [tip.taxon.label for tip in tree.leaf_node_iter()] == [f"t{n}" for n in range(20)]
    paths = evolution.patristic_distances(tree)[0] / 2
    of = np.repeat(list(sizes), list(sizes.values()))
    for name in sizes:
        assert paths[np.ix_(of == name, of == name)].max() == pytest.approx(0.8)
    ages = [paths[of == one][:, of == other] for one, other in ("ab", "ad", "bc", "bd", "cd")]
    np.testing.assert_allclose([age.mean() for age in ages], [1, 1, 0.92, 0.92, 0.84])
    assert min(tip.edge.length for tip in tree.leaf_node_iter()) == pytest.approx(0.06)
    assert tree.as_string("newick") == evolution.ladder_of_clades(sizes, seed).as_string("newick")


def test_one_order_alone_has_a_tree_of_full_height():
    tree = evolution.ladder_of_clades({"a": 6}, 0)
    np.testing.assert_allclose(tree.calc_node_root_distances(), 1, atol=1e-9)


# ------------------------------------------------------------------------------------------------------------ truth


def test_the_world_is_as_large_as_promised(world):
    assert world.taxa.nunique().to_dict() == {"family": 18, "genus": 50, "species": 120}
    counts = world.specimens["species"].value_counts()
    assert counts.max() == 60 and counts.min() >= 3 and counts.between(3, 10).sum() > 60 and (counts > 30).sum() < 6
    assert world.specimens["hash_id"].is_unique and world.specimens.notna().drop(columns="mimics").all(axis=None)
    assert (world.taxa["family"].value_counts() == 1).sum() >= 2  # nothing is to be split there


def test_orders_are_clades_and_families_have_one_form(world):
    plans, forms = world.species["order"], world.species["form"]
    assert list(plans.unique()) == list(insects.ORDERS)
    assert (plans.groupby(world.taxa["family"]).nunique() == 1).all()
    assert (forms.groupby(world.taxa["family"]).nunique() == 1).all()
    assert all(form in insects.ORDERS[plan] for plan, form in zip(plans, forms, strict=True))
    assert (forms.groupby(plans).nunique() >= 2).all() and (world.taxa["family"].groupby(plans).nunique() >= 2).all()
    for plan, names in world.taxa["species"].groupby(plans):
        clade = world.tree.mrca(taxon_labels=list(names))
        assert {tip.taxon.label for tip in clade.leaf_iter()} == set(names), plan
    assert world.history["order"].iloc[-1] == ""  # the common ancestor of all belongs to no order


def test_orders_can_be_withheld():
    some = specimens.simulate(**SMALL | {"orders": ["Diptera", "Coleoptera"]})
    assert set(some.species["order"]) == {"Diptera", "Coleoptera"} and len(some.taxa) == 30
    alone = specimens.simulate(**SMALL | {"orders": ["Odonata"]})
    assert set(alone.species["form"]) <= set(insects.ORDERS["Odonata"])


@pytest.mark.parametrize("lam", [0.0, 0.6])
def test_forms_follow_families_under_any_signal(lam):
    low = specimens.simulate(**SMALL | {"pagel_lambda": lam})
    of_family = low.species["form"].groupby(low.taxa["family"]).nunique()
    assert (of_family == 1).all() if lam else (of_family > 1).any()
    assert all(
        form in insects.ORDERS[plan] for plan, form in zip(low.species["order"], low.species["form"], strict=True)
    )


def test_repeated_photographs_show_one_individual_in_one_place():
    rows = specimens.simulate(**SMALL | {"repeats": 0.4, "n_specimens": 20}).specimens
    groups = rows.groupby("individual")
    own = [
        "species",
        "barcode",
        "morph",
        "sex",
        "wear",
        "scene_place",
        *(name for name in rows if name.startswith("trait_")),
    ]
    assert (groups[own].nunique() == 1).all(axis=None)
    assert rows["scene_seed"].is_unique and 0.3 < 1 - groups.ngroups / len(rows) < 0.45
    assert specimens.simulate(**SMALL).specimens["individual"].is_unique
    one, other = (specimens.picture(row, 48) for row in groups.get_group(groups.size().idxmax()).to_dict("records")[:2])
    assert one.tobytes() != other.tobytes()


def test_sexes_differ_in_shape_and_wear_differs_between_individuals():
    rows = specimens.simulate(**SMALL | {"n_specimens": 60, "dimorphic": 0.0, "within_species": 0.0}).specimens
    spread = rows.groupby(["species", "sex"])[[f"trait_{name}" for name in specimens.MEASURED]].std()
    assert (spread < 1e-9).all(axis=None)
    means = rows.groupby(["species", "sex"])[[f"trait_{name}" for name in specimens.MEASURED]].mean()
    steps = means.groupby("species").diff().dropna().abs().rename(columns=lambda name: name.removeprefix("trait_"))
    sexual = list(specimens.SEXUAL_TRAITS)
    assert (steps.drop(columns=sexual) < 1e-9).all(axis=None) and (steps[sexual] > 0).all(axis=None)
    assert rows["sex"].eq("male").mean() == pytest.approx(0.5, abs=0.03) and 0.1 < rows["wear"].mean() < 0.25


def test_individuals_vary_more_in_colour_than_in_shape_and_pattern():
    rows = specimens.simulate(**SMALL | {"n_specimens": 100, "dimorphic": 0.0, "within_species": 0.1}).specimens
    spread = rows.groupby(["species", "sex"])[[f"trait_{name}" for name in specimens.MEASURED]].std().mean()
    expected = [0.15 if name in specimens.VARIABLE else 0.1 for name in specimens.MEASURED]
    np.testing.assert_allclose(spread, expected, rtol=0.05)


def test_most_sister_species_differ_more_than_their_individuals_do(world):
    values = world.specimens.groupby("species", sort=False)[[f"trait_{name}" for name in specimens.MEASURED]]
    free = [f"trait_{name}" for name in specimens.VARIABLE]
    means, spread = (table.drop(columns=free).to_numpy() for table in (values.mean(), values.std()))
    for_genus = world.taxa.groupby("genus").indices.values()
    ratios = [
        np.linalg.norm(means[a] - means[b]) / np.linalg.norm((spread[a] + spread[b]) / 2)
        for rows in for_genus for a in rows for b in rows if a < b
    ]  # fmt: skip
    assert np.mean(np.array(ratios) > 1.5) > 0.8


def test_mimics_have_the_colours_and_pattern_of_a_model_of_another_family(world):
    mimics, row_of = world.species["mimics"].dropna(), pd.Series(world.taxa.index, world.taxa["species"])
    assert len(mimics) == pytest.approx(0.1 * len(world.species), abs=2)
    for mimic, model in mimics.items():
        assert world.taxa["family"][mimic] != world.taxa["family"][row_of[model]]
        one, other = world.species.loc[mimic].to_dict(), world.history.loc[row_of[model]].to_dict()
        inks = [insects.Insect(traits, None, None).ink for traits in (one, other)]
        for colour in ("ground", "pattern", "accent", "dark", "light"):
            assert getattr(inks[0], colour) == getattr(inks[1], colour)
        assert one["pattern"] == other["pattern"] and one["mark"] == other["mark"]
        shape = list(insects.SHAPE_TRAITS)
        assert world.species.loc[mimic, shape].equals(world.history.loc[mimic, shape])


def test_the_conditions_of_the_photographs_tell_nothing_by_default_and_the_habitat_if_asked():
    rows = specimens.simulate(**SMALL | {"n_specimens": 40}).specimens
    scenes = tabulate(rows, "scene_")
    flat = KMeans(30, n_init=1, random_state=0).fit_predict(scenes)
    assert abs(adjusted_mutual_info_score(rows["species"], flat)) < 0.02
    assert abs(adjusted_mutual_info_score(rows["species"], rows["scene_place"])) < 0.02
    home = specimens.simulate(**SMALL | {"n_specimens": 40, "habitat": 1.0}).specimens
    assert (home["scene_place"] == home["habitat"]).all() and (home.groupby("species")["habitat"].nunique() == 1).all()
    half = specimens.simulate(**SMALL | {"n_specimens": 40, "habitat": 0.5}).specimens
    # in half of the photographs by choice, in a seventh of the others by chance
    assert (half["scene_place"] == half["habitat"]).mean() == pytest.approx(0.5 + 0.5 / 7, abs=0.05)


@pytest.mark.parametrize(
    ("setting", "same"),
    [({"mimicry": 1.0}, "scene_"), ({"within_species": 2.0}, "scene_"), ({"dimorphic": 1.0}, "scene_"),
     ({"habitat": 1.0}, "trait_"), ({"clutter": 3.0}, "trait_")],
)  # fmt: skip
def test_one_setting_changes_nothing_but_its_own_matter(setting, same):
    one, other = (specimens.simulate(**SMALL | change).specimens for change in ({}, setting))
    columns = ["hash_id", *utils.RANKS, "barcode", "sex", "wear", *(name for name in one if name.startswith(same))]
    pd.testing.assert_frame_equal(one[columns], other[columns])
    assert not one.equals(other)


@pytest.mark.parametrize(
    ("wrong", "answer"),
    [({"orders": ["Pisces"]}, "Pisces is not one of"), ({"n_families": 2, "orders": list(insects.ORDERS)}, "7 orders need"),
     ({"imbalance": -1}, "imbalance is -1"), ({"repeats": 1}, "repeats is 1"), ({"habitat": 2}, "habitat is 2"),
     ({"mimicry": 1.5}, "mimicry is 1.5"), ({"dimorphic": -1}, "dimorphic is -1"), ({"pagel_lambda": 2}, "lambda is 2"),
     ({"n_genera": 5}, "must not decrease"), ({"n_species": 2}, "need 3 species"), ({"clutter": -1}, "clutter is -1"),
     ({"within_species": -0.1}, "within_species is -0.1"), ({"n_specimens": 0}, "n_specimens is 0")],
)  # fmt: skip
def test_what_makes_no_world_of_insects_is_refused(wrong, answer):
    with pytest.raises(ValueError, match=answer):
        specimens.simulate(**SMALL | wrong)


def test_photographs_are_the_same_whether_drawn_alone_or_on_all_processors(tmp_path):
    worlds = [specimens.simulate(7, 7, 21, 2, seed=5) for _ in range(2)]
    pd.testing.assert_frame_equal(worlds[0].specimens, worlds[1].specimens)
    rows = worlds[0].specimens[::4]
    paths = [tmp_path / "deep" / f"{name}.jpg" for name in rows["hash_id"]]
    specimens.photograph_all(rows, paths, 48)
    for row, path in zip(worlds[1].specimens[::4].to_dict("records"), paths, strict=True):
        stream = io.BytesIO()
        specimens.picture(row, 48).save(stream, "jpeg", quality=row["scene_quality"])
        assert path.read_bytes() == stream.getvalue()
        assert Image.open(path).size == (48, 48)


def test_more_clutter_means_more_things():
    things = [np.mean([photographs.draw_scene(np.random.default_rng(s), c).things for s in range(300)]) for c in (1, 3)]
    assert things == pytest.approx([4, 12], rel=0.1)  # a Poisson number: the mean of 300 has an error of 3 %


def clustered(values, truth):
    """AMI with the true taxa of Ward's tree of all rows, cut at the true number of taxa."""
    tree = clustering.LinkageTree(values)
    return {rank: adjusted_mutual_info_score(truth[rank], tree(truth[rank].nunique())) for rank in utils.RANKS}


def test_the_true_traits_hold_the_hierarchy(world):
    found = clustered(tabulate(world.specimens, "trait_"), world.specimens)
    # Individuals vary by a tenth of what sets species apart, so species are clear. Above them, traits converge by chance:
    # species put into genera at random would have an AMI of about 0.6 with the genera.
    assert found["species"] > 0.95 and found["genus"] > 0.75 and found["family"] > 0.5


def test_without_a_memory_of_history_traits_tell_species_but_no_genera():
    def genera(lam):
        one_order = specimens.simulate(n_species=60, n_specimens=1, pagel_lambda=lam, mimicry=0.0, orders=["Diptera"], seed=3)
        values = tabulate(one_order.species[list(specimens.MEASURED)].add_prefix("trait_"), "trait_")
        tree = clustering.LinkageTree(values)
        return adjusted_mutual_info_score(one_order.taxa["genus"], tree(one_order.taxa["genus"].nunique()))

    assert abs(genera(0.0)) < 0.1 < 0.4 < genera(1.0)


def test_without_variation_individuals_of_a_species_are_alike():
    still = specimens.simulate(**SMALL | {"within_species": 0.0, "dimorphic": 0.0}).specimens
    own = [f"trait_{name}" for name in specimens.TRAITS if name not in specimens.SEXUAL_TRAITS]
    assert (still.groupby("species")[own].nunique() == 1).all(axis=None)


def test_two_morphs_differ_in_colour_and_in_nothing_else():
    world = specimens.simulate(**SMALL | {"n_specimens": 300, "dimorphic": 0.5, "mimicry": 0.0})
    assert (world.specimens.groupby("species")["morph"].nunique() == 2).sum() == 15
    means = world.specimens.groupby(["species", "morph"])[[f"trait_{name}" for name in specimens.MEASURED]].mean()
    steps = means.groupby("species").diff().dropna().abs().rename(columns=lambda name: name.removeprefix("trait_"))
    # 150 each with a standard deviation of 0.15: an error of 0.017; the sexes, half of each, add to it
    assert (steps.drop(columns=[*specimens.MORPH_TRAITS]) < 0.1).all(axis=None)
    assert steps[[*specimens.MORPH_TRAITS]].to_numpy().mean() > 0.3


def test_more_mimicry_adds_mimics_and_changes_none():
    few, many = (specimens.simulate(**SMALL | {"mimicry": share}) for share in (0.4, 1.0))
    mimics = few.species["mimics"].dropna()
    assert 0 < len(mimics) < many.species["mimics"].notna().sum() and few.history.equals(many.history)
    assert many.species["mimics"][mimics.index].equals(mimics)


def test_numbers_that_allow_fewer_orders_give_the_largest():
    assert set(specimens.simulate(3, 3, 12, 1).species["order"]) == {"Hymenoptera", "Coleoptera", "Lepidoptera"}
    assert set(specimens.simulate(3, 3, 4, 1).species["order"]) == {"Coleoptera"}


@pytest.mark.parametrize("n_families", [7, 10, 14])
def test_there_are_as_many_families_and_genera_as_asked_for_also_where_several_orders_begin_at_one_age(n_families):
    assert specimens.simulate(n_families, 40, 60, 1, seed=5).taxa.nunique().to_dict() == {
        "family": n_families, "genus": 40, "species": 60,
    }  # fmt: skip


# -------------------------------------------------------------------------------------------------- chapter, and the demo


def test_the_chapter_draws_insects_like_any_other_world(bench):
    sizes = {"n_families": 7, "n_genera": 10, "n_species": 21, "n_specimens": 6, "image_size": 48}
    more = {"imbalance": 0.5, "repeats": 0.3, "seed": 3}
    said, _ = bench.run("00", dataset="d", **sizes, **more)
    folder = bench.data("d")
    table = pd.read_csv(folder / "photos" / "metadata.csv", dtype="string")
    truth = pd.read_parquet(folder / "truth.parquet")
    assert "photos of 21 species" in said and list(table) == ["hash_id", *utils.RANKS, "barcode"]
    assert set(truth["hash_id"]) < set(table["hash_id"]) and {"broken-off", "empty", "text", "lost", "twofold"} < set(
        table["hash_id"]
    )
    assert {"individual", "sex", "wear", "habitat", "trait_form", "scene_place"} < set(truth)
    assert len(list((folder / "photos").rglob("*.jpg"))) == len(truth) + 5
    assert all(f"{name.replace(' ', '_')}" in (folder / "tree.nwk").read_text() for name in truth["species"].unique())
    assert {path.name for path in bench.root.joinpath("figures", "d").iterdir()} == {
        "tree.png",
        "barcode_gap.png",
        "specimens.jpg",
        "vector",
    }
