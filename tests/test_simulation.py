"""The simulated world as a whole: what its photographs show, and that its truth is what it claims to be."""

import io
from itertools import product

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_mutual_info_score

import clustering
import utils
from encoders import tabulate
from simulation import organisms, photographs, specimens
from simulation.organisms import CHARACTERS, COLOUR_TRAITS, SHAPE_TRAITS

MEASURED = (*SHAPE_TRAITS, *COLOUR_TRAITS)
PLAIN = {**dict.fromkeys(MEASURED, 0.0), **{name: states[0] for name, states in CHARACTERS.items()}}


def pixels(traits, scene=None, size=48):
    scene = scene or photographs.draw_scene(np.random.default_rng(0), clutter=0)
    return np.asarray(photographs.photograph(traits, scene, size), float)


@pytest.fixture(scope="module")
def world():
    return specimens.simulate(seed=25)


# ------------------------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("plan", CHARACTERS["body_plan"])
def test_an_organism_fills_its_box_and_does_not_leave_it(plan):
    for pattern, margin, appendage in product(*(CHARACTERS[name] for name in ("pattern", "margin", "appendage"))):
        traits = PLAIN | {"body_plan": plan, "pattern": pattern, "margin": margin, "appendage": appendage}
        image = photographs.rasterise(organisms.draw(traits, np.random.default_rng(0)), 64)
        left, top, right, bottom = image.getchannel("A").getbbox()
        assert max(right - left, bottom - top) >= 40
        assert min(left, top) >= 1 and max(right, bottom) <= 63


@pytest.mark.parametrize("plan", CHARACTERS["body_plan"])
@pytest.mark.parametrize("value", [-4.0, 4.0])
def test_the_strangest_traits_can_be_drawn(plan, value):
    for pattern in CHARACTERS["pattern"]:
        traits = PLAIN | dict.fromkeys(MEASURED, value) | {"body_plan": plan, "pattern": pattern}
        image = photographs.rasterise(organisms.draw(traits, np.random.default_rng(0)), 48)
        assert 0.03 < (np.asarray(image.getchannel("A")) > 128).mean() < 0.9


def test_every_trait_can_be_seen():
    def drawn(traits):
        return np.asarray(photographs.rasterise(organisms.draw(traits, np.random.default_rng(0)), 40), float)

    seen = set()
    for plan, pattern in product(CHARACTERS["body_plan"], ("spots", "marbled")):
        one = PLAIN | {"body_plan": plan, "pattern": pattern, "margin": "toothed"}
        reference = drawn(one)
        changes = {**dict.fromkeys(MEASURED, 1.5), "pattern": "bands", "margin": "entire", "appendage": "feathered"}
        for name, value in changes.items():
            if np.abs(drawn(one | {name: value}) - reference).max() > 20:
                seen.add((plan, name))
    shown = pd.Series([name for _, name in seen]).value_counts()
    assert set(shown.index) == {*MEASURED, "pattern", "margin", "appendage"}
    per_plan = pd.Series([plan for plan, _ in seen]).value_counts()
    assert len(per_plan) == 6 and per_plan.min() >= 12  # a snail has no margin to speak of, a leaf no feelers


def test_a_small_step_in_a_trait_is_a_small_step_in_the_picture():
    """Between species that differ little, no trait may jump: that would be a label hidden in the picture."""
    one = PLAIN | {"pattern": "marbled", "pattern_place": 0.3}
    near = np.abs(pixels(one | {"pattern_place": 0.31}) - pixels(one)).mean()
    far = np.abs(pixels(one | {"pattern_place": 1.5}) - pixels(one)).mean()
    assert near < 0.2 * far


def test_the_same_specimen_under_the_same_conditions_gives_the_same_bytes():
    def jpeg(seed):
        stream = io.BytesIO()
        scene = photographs.draw_scene(np.random.default_rng(seed))
        photographs.photograph(PLAIN, scene, 64).save(stream, "jpeg", quality=scene.quality)
        return stream.getvalue()

    assert jpeg(1) == jpeg(1) != jpeg(2)


def test_clutter_runs_from_a_grey_board_to_a_thicket():
    board = photographs.draw_scene(np.random.default_rng(0), clutter=0)
    assert board.things == 0 and board.relief == 0
    ground = photographs.background(board, np.random.default_rng(0), 32)
    assert np.allclose(ground, photographs.PLAIN)
    things = [np.mean([photographs.draw_scene(np.random.default_rng(s), c).things for s in range(300)]) for c in (1, 3)]
    assert things == pytest.approx([7, 21], rel=0.1)  # a Poisson number: the mean of 300 has an error of 2 %


# ---------------------------------------------------------------------------------------------------------- truth


def test_the_default_world_is_as_large_as_promised_and_every_family_has_one_body_plan(world):
    assert len(world.specimens) == 1800 and world.specimens["hash_id"].is_unique
    assert world.taxa.nunique().to_dict() == {"family": 10, "genus": 40, "species": 120}
    assert (world.species["body_plan"].groupby(world.taxa["family"]).nunique() == 1).all()
    assert set(world.species["body_plan"]) == set(CHARACTERS["body_plan"])
    assert world.taxa["family"].value_counts().agg(["min", "max"]).tolist() == [2, 29]


def clustered(values, truth):
    """AMI with the true taxa of Ward's tree of all specimens, cut at the true number of taxa."""
    tree = clustering.LinkageTree(values)
    return {rank: adjusted_mutual_info_score(truth[rank], tree(truth[rank].nunique())) for rank in utils.RANKS}


def test_the_true_traits_hold_the_hierarchy(world):
    found = clustered(tabulate(world.specimens, "trait_"), world.specimens)
    # individuals vary by a quarter of what sets species apart, so species are clear; above them, traits converge by chance.
    # Species put into genera at random would have an AMI of about 0.6 with the genera.
    assert found["species"] > 0.9 and found["genus"] > 0.75 and found["family"] > 0.5


def test_the_conditions_of_the_photographs_hold_nothing_of_it(world):
    scenes = tabulate(world.specimens, "scene_")
    assert max(clustered(scenes, world.specimens).values()) < 0.02
    flat = KMeans(120, n_init=1, random_state=0).fit_predict(scenes)
    assert abs(adjusted_mutual_info_score(world.specimens["species"], flat)) < 0.02


def test_without_a_memory_of_history_traits_tell_species_but_no_genera():
    without_history = specimens.simulate(pagel_lambda=0.0, mimicry=0.0, seed=25)
    values = tabulate(without_history.species[list(specimens.TRAITS)].add_prefix("trait_"), "trait_")
    tree = clustering.LinkageTree(values)
    genera = adjusted_mutual_info_score(without_history.taxa["genus"], tree(40))
    with_history = specimens.simulate(mimicry=0.0, seed=25)
    values = tabulate(with_history.species[list(specimens.TRAITS)].add_prefix("trait_"), "trait_")
    assert (
        abs(genera)
        < 0.1
        < 0.5
        < adjusted_mutual_info_score(with_history.taxa["genus"], clustering.LinkageTree(values)(40))
    )


def test_individuals_vary_as_they_were_told_to():
    still = specimens.simulate(3, 5, 8, 10, within_species=0.0, dimorphic=0.0, seed=0).specimens
    assert (still.groupby("species").nunique().filter(like="trait_") == 1).all(axis=None)
    varied = specimens.simulate(3, 5, 8, 200, within_species=0.5, dimorphic=0.0, seed=0).specimens
    spread = varied.groupby("species")[[f"trait_{name}" for name in MEASURED]].std()
    np.testing.assert_allclose(spread, 0.5, rtol=0.25)  # 200 specimens: 5 % error of each of 120 deviations


def test_two_morphs_differ_in_colour_and_in_nothing_else():
    world = specimens.simulate(3, 5, 8, 300, within_species=0.1, dimorphic=0.5, mimicry=0.0, seed=0)
    morphs = world.specimens.groupby("species")["morph"].nunique()
    assert (morphs == 2).sum() == 4
    means = world.specimens.groupby(["species", "morph"])[[f"trait_{name}" for name in MEASURED]].mean()
    steps = means.groupby("species").diff().dropna().abs().rename(columns=lambda name: name.removeprefix("trait_"))
    assert (steps.drop(columns=[*specimens.MORPH_TRAITS]) < 0.05).all(axis=None)  # 150 each: an error of 0.012
    assert steps[[*specimens.MORPH_TRAITS]].to_numpy().mean() > 0.3


def test_mimics_look_like_a_model_of_another_family_and_have_the_shape_of_their_kin():
    plain, few, many = (specimens.simulate(seed=25, mimicry=share) for share in (0.0, 0.4, 1.0))
    assert plain.species["mimics"].isna().all() and few.history.equals(plain.history)
    mimics, row_of = few.species["mimics"].dropna(), pd.Series(plain.taxa.index, plain.taxa["species"])
    families_of_plan = plain.taxa["family"].groupby(plain.species["body_plan"]).nunique()
    able = plain.species["body_plan"].map(families_of_plan) > 1
    assert many.species["mimics"].notna().equals(able) and len(mimics) == round(0.4 * able.sum())
    assert many.species["mimics"][mimics.index].equals(mimics)  # more mimicry adds mimics and changes none
    for mimic, model in mimics.items():
        one, other = few.species.loc[mimic].to_dict(), plain.species.loc[row_of[model]].to_dict()
        assert plain.taxa["family"][mimic] != plain.taxa["family"][row_of[model]]
        inks = [vars(organisms.Individual(traits, None).ink) for traits in (one, other)]
        assert inks[0] == inks[1] and one["pattern"] == other["pattern"]
        assert few.species.loc[mimic, list(SHAPE_TRAITS)].equals(plain.species.loc[mimic, list(SHAPE_TRAITS)])


@pytest.mark.parametrize(
    ("setting", "same"),
    [({"mimicry": 1.0}, "scene_"), ({"within_species": 2.0}, "scene_"), ({"pagel_lambda": 0.2}, "scene_"),
     ({"clutter": 3.0}, "trait_"), ({"dimorphic": 1.0}, "scene_")],
)  # fmt: skip
def test_one_setting_changes_nothing_but_its_own_matter(setting, same):
    one, other = (specimens.simulate(3, 5, 8, 3, seed=4, **change).specimens for change in ({}, setting))
    columns = ["hash_id", *utils.RANKS, "barcode", *[name for name in one if name.startswith(same)]]
    pd.testing.assert_frame_equal(one[columns], other[columns])
    assert not one.equals(other)
    if "clutter" in setting:
        kept = [name for name in one if name.startswith("scene_") and name != "scene_things"]
        pd.testing.assert_frame_equal(one[kept], other[kept])
        assert (other["scene_things"] >= one["scene_things"]).all()


@pytest.mark.parametrize(
    ("wrong", "answer"),
    [({"mimicry": 1.5}, "mimicry is 1.5"), ({"dimorphic": -1}, "dimorphic is -1"), ({"pagel_lambda": 2}, "lambda is 2"),
     ({"n_genera": 5}, "must not decrease"), ({"n_species": 2}, "at least 3"), ({"clutter": -1}, "clutter is -1"),
     ({"within_species": -0.1}, "within_species is -0.1"), ({"n_specimens": 0}, "n_specimens is 0")],
)  # fmt: skip
def test_what_makes_no_world_is_refused(wrong, answer):
    with pytest.raises(ValueError, match=answer):
        specimens.simulate(**wrong)


def test_photographs_are_the_same_whether_drawn_alone_or_on_all_processors(tmp_path):
    worlds = [specimens.simulate(3, 3, 4, 2, seed=5) for _ in range(2)]
    pd.testing.assert_frame_equal(worlds[0].specimens, worlds[1].specimens)
    rows = worlds[0].specimens
    paths = [tmp_path / "deep" / f"{name}.jpg" for name in rows["hash_id"]]
    specimens.photograph_all(rows, paths, 48)
    for row, path in zip(worlds[1].specimens.to_dict("records"), paths, strict=True):
        stream = io.BytesIO()
        specimens.picture(row, 48).save(stream, "jpeg", quality=row["scene_quality"])
        assert path.read_bytes() == stream.getvalue()
        assert Image.open(path).size == (48, 48)
