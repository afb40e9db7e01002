"""Heat maps: they lie where the network responds, and the measures of their worth have known answers."""

from collections import OrderedDict

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from PIL import Image
from scipy import ndimage
from torchvision.models.feature_extraction import create_feature_extractor

import encoders
import heatmaps
from simulation.specimens import outline, picture, simulate

SIZE = 32


@pytest.fixture(scope="module")
def averages():
    """A network of two stages that average over tiles of 4 and 8 pixels: its maps are the image itself, smaller."""
    stages = OrderedDict(fine=torch.nn.AvgPool2d(4), coarse=torch.nn.AvgPool2d(2), flat=torch.nn.Flatten())
    network = create_feature_extractor(torch.nn.Sequential(stages), {"coarse": "coarse", "flat": "embedding"})
    return network.eval()


def square(top, left, side=8, size=SIZE):
    """A black image (1, 3, size, size) with a white square."""
    image = torch.zeros(1, 3, size, size)
    image[..., top : top + side, left : left + side] = 1
    return image


def untrained(library, architecture, layers, input_size=64):
    return encoders.build_network(library, architecture, None, layers, input_size)


# ------------------------------------------------------------------------------------------------------ spatial maps


@pytest.mark.parametrize(("top", "left"), [(0, 0), (0, 24), (16, 8)])
@pytest.mark.parametrize("kind", heatmaps.KINDS)
@pytest.mark.parametrize("layer", ["fine", "coarse"])
def test_the_heat_lies_on_the_one_bright_square(averages, top, left, kind, layer):
    heat = heatmaps.heat_maps(averages, square(top, left))[layer, kind][0]
    assert heat.shape == (SIZE, SIZE) and heat.min() == 0 and 0.8 < heat.max() <= 1
    y, x = np.unravel_index(heat.argmax(), heat.shape)
    assert top <= y < top + 8 and left <= x < left + 8
    around = np.zeros((SIZE, SIZE), bool)
    around[max(top - 8, 0) : top + 16, max(left - 8, 0) : left + 16] = True
    assert heat[around].sum() == pytest.approx(heat.sum())


def test_eigencam_is_the_first_principal_component_by_numpy():
    random = np.random.default_rng(0)
    for channels in (4, 40):  # fewer and more than positions
        values = random.normal(size=(3, channels, 5, 5)).astype(np.float32)
        found = heatmaps.eigencam(torch.from_numpy(values))
        for one, heat in zip(values, found, strict=True):
            rows = one.reshape(channels, -1).T.astype(float)
            rows -= rows.mean(axis=0)
            direction = np.linalg.eigh(rows.T @ rows)[1][:, -1]
            component = (rows @ direction).reshape(5, 5)
            component *= np.sign(component.max() + component.min())  # the larger extreme is positive
            np.testing.assert_allclose(heat, component.clip(0), atol=1e-4)


def test_the_centres_of_positions_are_those_of_the_pixels_that_they_depend_on():
    torch.manual_seed(0)
    network = create_feature_extractor(torchvision.models.resnet18().eval(), ["layer1", "layer2"])
    image = torch.rand(1, 3, 224, 224, requires_grad=True)
    for values, centres in heatmaps.spatial_maps(network, image).values():
        row, column = len(centres) // 2 - 1, len(centres) // 2 + 1
        (gradient,) = torch.autograd.grad(values[..., row, column].abs().sum(), image, retain_graph=True)
        for at, axis in ((row, 2), (column, 1)):
            touched = gradient[0].abs().sum((0, axis)).nonzero()
            assert (touched.min() + touched.max()).item() / 2 == pytest.approx(centres[at], abs=1)
        assert np.diff(centres) == pytest.approx(224 / len(centres))


def test_heat_is_drawn_at_the_centres_of_positions():
    heat = np.array([[[0.0, 0.0], [0.0, 2.0]]])
    drawn = heatmaps.enlarged(heat, np.array([0, 4]), 8)[0]
    assert drawn[4, 4] == 1 and drawn[2, 4] == drawn[4, 2] == 0.5 and not drawn[0].any() and (drawn[4:, 4:] == 1).all()
    assert not heatmaps.enlarged(np.full((1, 2, 2), 3.0), np.array([0, 4]), 8).any()  # the same everywhere


RESNET = ({"layer3": "layer3", "avgpool": "avgpool"}, ["layer3", "layer4"])


@pytest.mark.parametrize(
    ("library", "architecture", "layers", "names", "shapes"),
    [
        ("torchvision", "resnet18", *RESNET, [(256, 4), (512, 2)]),
        ("torchvision", "resnet50", *RESNET, [(1024, 4), (2048, 2)]),
        ("torchvision", "efficientnet_b0", {"a": "avgpool"}, ["features.5", "features.8"], [(112, 4), (1280, 2)]),
        ("timm", "vit_tiny_patch16_224", {"a": "head"}, ["block 9", "block 12"], [(192, 4), (192, 4)]),
        ("open_clip", "tiny-clip", {"a": "image"}, ["block 1", "block 2"], [(32, 4), (32, 4)]),
    ],
)
def test_two_depths_of_every_kind_of_network(tiny_clip, photos, library, architecture, layers, names, shapes):
    network = untrained(library, architecture, layers)
    images = torch.stack([network.transform(encoders.load_photo(path)) for path in photos[:3]])
    with torch.inference_mode():
        maps = heatmaps.spatial_maps(network.network, images)
    assert list(maps) == names
    assert [values.shape for values, _ in maps.values()] == [(3, d, h, h) for d, h in shapes]
    heats = heatmaps.heat_maps(network.network, images)
    assert list(heats) == [(name, kind) for name in names for kind in heatmaps.KINDS]
    for heat in heats.values():
        assert heat.shape == (3, 64, 64) and heat.min() >= 0 and 0.5 < heat.max() <= 1 + 1e-6
    assert not np.array_equal(heats[names[1], "activation"][0], heats[names[1], "activation"][1])


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 3), (3, 0), (2, 1)])
@pytest.mark.parametrize(
    ("library", "architecture", "where"), [("timm", "vit_tiny_patch16_224", "head"), ("open_clip", "tiny-clip", "image")]
)
def test_the_grid_is_the_right_way_up(tiny_clip, library, architecture, where, row, column):
    """The token of a patch unlike all others is hot where it is: top left is not bottom right, and rows are not columns."""
    network = untrained(library, architecture, {"a": where}).network
    heats = heatmaps.heat_maps(network, 3 * square(16 * row, 16 * column, 16, 64))
    for (_, kind), (heat,) in heats.items():
        y, x = np.unravel_index(heat.argmax(), heat.shape)
        assert kind == "activation" or (y // 16, x // 16) == (row, column)


def test_the_network_inside_a_tuned_encoder_is_looked_at(tmp_path):
    config = {"library": "torchvision", "architecture": "resnet18", "weights": None, "layers": {"avgpool": "avgpool"}}
    backbone = encoders.build_network(**config, input_size=64).network
    tuned = encoders.TunedNetwork(backbone, {"avgpool": 512}, 8).eval()
    encoders.save_tuned(tuned.state_dict(), config | {"input_size": 64}, tmp_path / "mine.safetensors")
    network, _ = encoders._tuned("resnet18", "mine", {"last": "head_avgpool"}, 64, tmp_path / "mine.safetensors")
    images = torch.rand(2, 3, 64, 64)
    ours, plain = (heatmaps.heat_maps(one.eval(), images) for one in (network, backbone))
    assert list(ours) == list(plain)
    assert all(np.abs(ours[name] - plain[name]).mean() < 0.01 for name in ours)  # the file has half precision
    assert heatmaps.embedding(network, images).shape == (2, 8)


def test_a_network_without_positions_says_so_in_one_line(averages):
    alone = create_feature_extractor(torch.nn.Sequential(OrderedDict(only=torch.nn.AvgPool2d(4))), ["only"])
    for network in (untrained("pixels", "thumbnail", {"pca": "thumbnail"}, 32).network, alone):
        with pytest.raises(heatmaps.NoSpatialMaps, match=r"^the network has no two layers with positions") as caught:
            heatmaps.heat_maps(network, square(0, 0))
        assert "\n" not in str(caught.value)


# --------------------------------------------------------------------------------------------------------- measures


def test_share_of_the_heat_inside_a_mask():
    heat = np.zeros((3, 4, 4))
    heat[0, 0, 0], heat[1] = 5, 1
    mask = np.zeros((4, 4), bool)
    mask[:2, :2] = True
    assert heatmaps.share_inside(heat, mask) == pytest.approx([1, 0.25, 0.25])  # without any heat: the area
    assert heatmaps.share_inside(heat, np.stack([~mask, mask, mask])) == pytest.approx([0, 0.25, 0.25])


def test_masks_have_the_size_that_they_promise():
    for size in (64, 224):
        half = heatmaps.central_half(size)
        assert half.mean() == pytest.approx(0.5, abs=0.02) and half[size // 2, size // 2] and not half[0, 0]
        assert np.array_equal(half, half[::-1]) and np.array_equal(half, half.T)
    values = np.random.default_rng(0).integers(0, 3, (4, 10, 10))  # with many ties
    hottest = heatmaps.largest(values)
    assert (hottest.sum((1, 2)) == 20).all()
    assert all(values[i][hottest[i]].min() >= values[i][~hottest[i]].max() for i in range(4))
    patches = heatmaps.random_patches(50, 20, np.random.default_rng(0))
    assert (patches.sum((1, 2)) == 80).all() and all(ndimage.label(patch)[1] == 1 for patch in patches)
    assert patches.any(axis=0).all() and len({patch.tobytes() for patch in patches}) > 40


def test_what_is_hidden_gets_the_mean_colour_and_the_rest_stays():
    images, mask = torch.rand(2, 3, 8, 8), np.zeros((2, 8, 8), bool)
    mask[0, :4] = True
    hidden = heatmaps.hide(images, mask)
    assert torch.equal(hidden[1], images[1]) and torch.equal(hidden[0, :, 4:], images[0, :, 4:])
    assert torch.allclose(hidden[0, :, :4], images[0].mean((1, 2))[:, None, None].expand(3, 4, 8))


def test_hiding_the_only_thing_there_is_matters_and_hiding_nothing_does_not(averages):
    images = torch.cat([square(0, 0), square(16, 16), square(0, 24)])
    mask = np.zeros((SIZE, SIZE), bool)
    mask[:8, :8] = True
    found, heats = heatmaps.worth(averages, images, {"corner": mask})
    assert list(found) == list(heats)
    for measures in found.values():
        assert (measures["hottest"] > 0.1).all() and (measures["hottest"] > measures["another"] + 0.1).all()
        assert (measures["random"] < measures["hottest"]).all() and measures["area, corner"] == pytest.approx([1 / 16] * 3)
        assert measures["heat, corner"][0] > 0.5 and measures["heat, corner"][1:] == pytest.approx([0, 0])


def test_means_differences_and_ratios():
    measures = {"hottest": [4, 2, 9], "another": [1, 2, 9], "random": [1, 1, 9]}
    measures |= {"area, half": [0.5, 0.5, 0.5], "heat, half": [1, 0.6, 0]}
    found = heatmaps.summary({name: np.array(values, float) for name, values in measures.items()}, np.array([0, 1]))
    assert found["hottest"] == 3 and found["hottest above another"] == 1.5 and found["hottest above random"] == 2
    assert found["hottest over random"] == 3 and found["another over random"] == 1.5
    assert found["heat above area, half"] == pytest.approx(0.3)


def test_the_same_seed_gives_the_same_bytes(photos):
    network = untrained("torchvision", "resnet18", {"a": "avgpool"})
    images = torch.stack([network.transform(encoders.load_photo(path)) for path in photos[:4]])

    def content(seed):
        found, heats = heatmaps.worth(network.network, images, {"half": heatmaps.central_half(64)}, seed)
        moved = [values.tobytes() for measures in found.values() for values in measures.values()]
        return moved, [heat.tobytes() for heat in heats.values()]

    assert content(1) == content(1) and content(1)[0] != content(2)[0] and content(1)[1] == content(2)[1]


# ------------------------------------------------------------------------------------------- photographs and organisms


@pytest.mark.parametrize(
    ("library", "architecture", "where"),
    [("timm", "vit_tiny_patch16_224", "head"), ("open_clip", "tiny-clip", "image"), ("torchvision", "resnet18", "avgpool")],
)
def test_colours_are_read_back_from_what_a_transform_made(tiny_clip, library, architecture, where):
    transform = untrained(library, architecture, {"a": where}).transform
    colour = (200, 40, 120)
    images = torch.stack([transform(Image.new("RGB", (90, 70), colour)), transform(Image.new("RGB", (64, 64)))])
    seen = heatmaps.seen(transform, images)
    assert seen.shape == (2, 64, 64, 3)
    np.testing.assert_allclose(seen[0], np.broadcast_to(np.array(colour) / 255, (64, 64, 3)), atol=0.01)
    np.testing.assert_allclose(seen[1], 0, atol=1e-6)


def test_the_outline_is_where_the_picture_changes_with_the_organism():
    """Another colour of the organism changes the picture on the organism, and nowhere else."""
    rows = simulate(7, 10, 21, 1, seed=3).specimens.to_dict("records")
    shares = []
    for row in rows:
        row |= {"scene_blur": 0.0, "scene_depth": 0.0, "scene_covered": False}
        other = row | {"trait_lightness": row["trait_lightness"] + 1.5, "trait_hue": row["trait_hue"] + 2}
        one, two = (np.asarray(picture(r, 96), int) for r in (row, other))
        changed, inside = np.abs(one - two).max(2) > 12, np.asarray(outline(row, 96)) > 0
        assert 0.03 < inside.mean() < 0.7
        near = ndimage.binary_dilation(inside, iterations=2)
        shares.append((near[changed].mean(), changed[inside].mean()))
    beside, covered = np.mean(shares, axis=0)
    assert beside > 0.97 and covered > 0.5


def test_the_chapter_measures_the_organism_of_a_simulated_world(bench):
    sizes = {"n_families": 3, "n_genera": 4, "n_species": 6, "n_specimens": 3, "image_size": 64}
    bench.run("00", dataset="d", **sizes)
    bench.run("01", dataset="d")
    for encoder in ("pixels", "resnet18_untrained"):
        bench.encode("d", encoder)
    asked = {"encoders": ["pixels", "resnet18_untrained"], "run": "pixels/pooled_average", "n_photographs": 6, "n_shown": 2}
    said, _ = bench.run("26", dataset="d", **asked)
    assert "networks: 1; 6 photographs" in said
    table = pd.read_csv(bench.root / "figures" / "d" / "heatmaps.csv")
    value = table.set_index(["layer", "map", "measure"])["value"].sort_index()
    assert set(table["encoder"]) == {"resnet18_untrained"} and set(table["layer"]) == {"layer3", "layer4"}
    of_layer = value["layer4", "activation"]
    assert 0.03 < of_layer["area, organism"] < 0.7 and 0 < of_layer["heat, organism"] < 1
    assert of_layer["area, central half"] == pytest.approx(0.5, abs=0.02)
    assert (table["ci_low"] <= table["value"]).all() and (table["value"] <= table["ci_high"]).all()
    for place in (bench.data("d", "previews"), bench.root / "figures" / "d"):
        assert (place / "heat_on_photographs.jpg").stat().st_size > 10_000
    with pytest.raises(ValueError, match="none of pixels sees photographs through a network"):
        bench.run("26", dataset="d", **asked | {"encoders": ["pixels"]})
