"""Losses by hand, batches and views that can be repeated, and a training that survives being killed."""

import json
from dataclasses import replace

import jupytext
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import ROOT, Workbench, draw_specimens, make_world
from pytorch_metric_learning.losses import NTXentLoss
from safetensors.torch import load_file, save_file
from torchvision.transforms.v2 import functional

import encoders
import execute
import sampling
import training
from training import TrainingConfig

CPU = torch.device("cpu")
UNTRAINED = {
    "library": "torchvision",
    "architecture": "resnet18",
    "weights": None,
    "layers": {"layer3": "layer3", "avgpool": "avgpool"},
    "input_size": 32,
}
SHORT = TrainingConfig(weight_views=1.0, batch_size=6, epochs=2, image_size=32, warmup=0.5, head_size=16)


# -------------------------------------------------------------------------------------------------------- losses


def by_hand(points, labels, temperature, with_itself=False):
    """The supervised contrastive loss as Khosla et al. (2020) write it (their L_out), mean over anchors with a positive."""
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    likeness = np.exp(unit @ unit.T / temperature)
    n, losses = len(labels), []
    for i in range(n):
        others = [j for j in range(n) if with_itself or j != i]
        positives = [j for j in others if labels[j] == labels[i]]
        if positives:
            rest = sum(likeness[i, j] for j in others)
            losses.append(-np.mean([np.log(likeness[i, j] / rest) for j in positives]))
    return np.mean(losses)


def test_the_contrast_is_the_published_one():
    points = np.random.default_rng(0).normal(size=(7, 4))
    labels = [0, 0, 0, 1, 1, 2, 3]
    for temperature in (0.1, 1.0):
        found = training.contrast(torch.tensor(points), torch.tensor(labels), temperature)
        assert found.item() == pytest.approx(by_hand(points, labels, temperature), rel=1e-5)


def test_a_case_that_can_be_reckoned_on_paper():
    # two alike of one label, one at a right angle of another: each of the first two has exp(1) against exp(1) + exp(0)
    points = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    labels = torch.tensor([0, 0, 1])
    assert training.contrast(points, labels, 1.0).item() == pytest.approx(np.log(1 + np.exp(-1)))
    # its own positive, each has twice exp(1) to compete with, and the third is an anchor too: exp(1) against exp(1) + 2 exp(0)
    with_itself = training.contrast(points, labels, 1.0, include_self=True)
    assert with_itself.item() == pytest.approx((2 * np.log(2 + np.exp(-1)) + np.log(1 + 2 * np.exp(-1))) / 3)


def test_a_sample_is_its_own_positive_only_where_the_published_config_has_it_so():
    points, labels = np.random.default_rng(1).normal(size=(6, 3)), [0, 0, 1, 1, 2, 2]
    found = training.contrast(torch.tensor(points), torch.tensor(labels), 0.5, include_self=True)
    assert found.item() == pytest.approx(by_hand(points, labels, 0.5, with_itself=True), rel=1e-5)
    assert abs(found.item() - by_hand(points, labels, 0.5)) > 0.1


def test_without_any_positive_nothing_is_asked_and_nothing_breaks():
    points = torch.randn(4, 3, requires_grad=True)
    for labels in ([0, 1, 2, 3], [5, 5, 5, 5]):  # no positives; no negatives
        loss = training.contrast(points, torch.tensor(labels), 0.1)
        loss.backward()
        assert loss.item() == 0 and not points.grad.any()


def test_two_views_of_every_photograph_make_it_simclr():
    points, rows = torch.randn(8, 5), torch.tensor([0, 1, 2, 3] * 2)
    assert training.contrast(points, rows, 0.2).item() == pytest.approx(NTXentLoss(0.2)(points, rows).item(), rel=1e-5)


def heads(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(n, 5, generator=generator) for name in ("layer3", "head_layer3", "head_avgpool")}


def test_the_objective_is_the_mean_over_heads_and_the_sum_over_weights():
    layers, labels, rows = heads(8), torch.tensor([0, 0, 1, 1]), torch.arange(4)
    config = TrainingConfig(weight_labels=0.35, weight_views=0.65, temperature_labels=0.1, temperature_views=0.3)
    parts = [
        0.35 * training.contrast(layers[name], labels.repeat(2), 0.1)
        + 0.65 * training.contrast(layers[name], rows.repeat(2), 0.3)
        for name in ("head_layer3", "head_avgpool")
    ]
    assert training.objective(layers, labels, rows, config).item() == pytest.approx(sum(parts).item() / 2)


def test_a_photograph_without_a_name_takes_no_part_in_the_supervised_contrast():
    layers, rows = heads(8), torch.arange(4)
    config = TrainingConfig(weight_labels=1.0)
    found = training.objective(layers, torch.tensor([0, -1, 0, -1]), rows, config)
    named = {name: values[[0, 2, 4, 6]] for name, values in layers.items()}
    assert found.item() == pytest.approx(training.objective(named, torch.tensor([0, 0]), rows[:2], config).item())
    assert training.objective(layers, torch.full((4,), -1), rows, config).item() == 0


def test_two_layers_may_stand_for_two_views():
    layers, labels = heads(4), torch.tensor([0, 0, 1, 1])
    both = torch.cat([layers["head_layer3"], layers["head_avgpool"]])
    found = training.objective(layers, labels, torch.arange(4), TrainingConfig(weight_labels=1.0, views="layers"))
    assert found.item() == pytest.approx(training.contrast(both, labels.repeat(2), 0.1).item())


# ----------------------------------------------------------------------------------------------- batches and views


def test_soft_labels_attract_similar_photographs_of_one_label():
    generator = torch.Generator().manual_seed(0)
    labels, size, temperature = torch.tensor([0, 0, 0, 1, -1, -1]), 4, 0.5
    memory = training.Memory(labels.numpy(), 1, size, temperature)
    first = torch.randn(6, size, generator=generator)  # two views of photographs 0, 1 and 3
    memory([first], torch.tensor([0, 1, 3]))
    views = torch.randn(6, size, generator=generator, requires_grad=True)  # of 2, 4 and 1, whose entry is replaced
    loss = memory([views], torch.tensor([2, 4, 1]))
    unit = torch.nn.functional.normalize
    entries = {0: unit(first)[3], 3: unit(first)[5]} | dict(zip((2, 4, 1), unit(views)[3:].detach(), strict=True))
    expected = []
    for photograph, view in zip((2, 4, 1), unit(views)[:3], strict=True):
        alike = [other for other in entries if labels[other] == labels[photograph] >= 0 and other != photograph]
        similar = {other: float(entries[photograph] @ entries[other]) for other in alike}
        wanted = {other: np.exp((value - max(similar.values())) / temperature) for other, value in similar.items()}
        wanted[photograph] = 1.0  # its own second view, like the most similar photograph
        logits = torch.stack([view @ entry for entry in entries.values()]) / temperature
        chances = dict(zip(entries, logits.log_softmax(0), strict=True))
        expected.append(-sum(share * chances[other] for other, share in wanted.items()) / sum(wanted.values()))
    assert loss.item() == pytest.approx(torch.stack(expected).mean().item(), rel=1e-5)
    loss.backward()
    assert (views.grad[:3] != 0).any() and (views.grad[3:] == 0).all()  # what is kept does not learn
    assert memory.seen.tolist() == [True, True, True, True, True, False]



def test_every_photograph_is_drawn_once_an_epoch():
    config = TrainingConfig(weight_views=1.0, batch_size=8)
    plan = training.batches(np.zeros(40, int), config, 0, 1)
    assert [len(batch) for batch in plan] == [8] * 5 and sorted(row for batch in plan for row in batch) == list(
        range(40)
    )
    assert plan == training.batches(np.zeros(40, int), config, 0, 1)
    assert (
        plan != training.batches(np.zeros(40, int), config, 0, 2) != training.batches(np.zeros(40, int), config, 1, 2)
    )
    assert sorted(*training.batches(np.zeros(5, int), config, 0, 1)) == list(range(5))  # fewer than a batch


def test_balanced_batches_hold_as_many_of_every_label_and_none_without():
    labels = np.repeat([0, 1, 2, 3, -1], [40, 4, 10, 20, 30])
    balanced = TrainingConfig(weight_labels=1.0, batch_size=12, samples_per_class=4)
    plan = training.batches(labels, balanced, 0, 1)
    assert len(plan) == 74 // 12
    for batch in plan:
        counts = np.unique(labels[batch], return_counts=True)
        assert len(counts[0]) == 3 and (counts[1] == 4).all() and -1 not in counts[0]
    assert plan == training.batches(labels, balanced, 0, 1)
    few = training.batches(labels[:44], balanced, 0, 1)  # two labels make batches of eight
    assert {len(batch) for batch in few} == {8}


@pytest.fixture(scope="module")
def photos(photos):
    """Paths of 12 photographs of a simulated world, and a label for each."""
    return photos, np.repeat([0, 1, 2], 4)


def test_seed_epoch_and_photograph_decide_a_view(photos):
    paths, _ = photos
    random = training.RandomView(SHORT)

    def views(seed=0, epoch=1):
        parts, changes, row = training.Views(paths, [random, random], seed, epoch)[3]
        assert parts.shape == (2, 3, 32, 32) and parts.dtype == torch.uint8 and changes.shape == (2, 6) and row == 3
        return torch.cat([parts.flatten(1).float(), changes], 1)

    before = torch.get_rng_state()
    first = views()
    assert torch.equal(views(), first) and not (views(seed=1) == first).all(1).any()
    assert not (views(epoch=2) == first).all(1).any()
    for part in (first[:, :-6], first[:, -6:]):
        assert not torch.equal(*part)
    assert torch.equal(before, torch.get_rng_state())


@pytest.fixture
def colourful():
    """Two smooth images (2, 3, 48, 48) of moderate colours, from 0 to 1."""
    coarse = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    return 0.25 + 0.5 * torch.nn.functional.interpolate(coarse, 48, mode="bilinear")


UNCHANGED = {"turn": 0.0, "mirror": 1.0, "brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0}


def changed(images, **amounts):
    return training.changed(images, torch.tensor([list((UNCHANGED | amounts).values())] * len(images)))


@pytest.mark.parametrize(
    ("amounts", "reference"),
    [
        ({}, lambda images: images),
        ({"mirror": -1.0}, lambda images: images.flip(-1)),
        ({"turn": 1 / 24}, lambda images: functional.rotate(images, 15, functional.InterpolationMode.BILINEAR)),
        ({"brightness": 1.2}, lambda images: functional.adjust_brightness(images, 1.2)),
        ({"contrast": 0.8}, lambda images: functional.adjust_contrast(images, 0.8)),
        ({"saturation": 0.7}, lambda images: functional.adjust_saturation(images, 0.7)),
    ],
    ids=["unchanged", "mirrored", "turned", "brighter", "flatter", "paler"],
)
def test_images_are_changed_as_by_torchvision_one_by_one(colourful, amounts, reference):
    assert torch.allclose(changed(colourful, **amounts), reference(colourful), atol=1e-4)


def test_a_turn_of_the_hue_keeps_the_luma_and_goes_the_way_that_torchvision_goes(colourful):
    turned = changed(colourful, hue=0.02)
    luma = [functional.rgb_to_grayscale(images) for images in (turned, colourful)]
    assert torch.allclose(*luma, atol=1e-3)
    ours, theirs = ((images - colourful).flatten() for images in (turned, functional.adjust_hue(colourful, 0.02)))
    assert torch.cosine_similarity(ours, theirs, dim=0) > 0.5


def test_every_image_of_a_batch_has_its_own_changes(colourful):
    rows = torch.tensor([list((UNCHANGED | {"brightness": factor}).values()) for factor in (0.5, 1.0)])
    darker, same = training.changed(colourful, rows)
    assert torch.allclose(darker, colourful[0] / 2, atol=1e-4) and torch.allclose(same, colourful[1], atol=1e-4)


# ------------------------------------------------------------------------------------------------------- training


def trainer(photos, config=SHORT, encoder_config=UNTRAINED, seed=0, precision=torch.float32):
    backbone, transform, _ = encoders.start_tuning(encoder_config)
    return training.Trainer(backbone, transform, *photos, config, CPU, precision, seed)


def weights(model):
    return {name: value.clone() for name, value in model.network.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_config_that_asks_for_nothing_or_the_impossible_is_refused():
    for asked, answer in (
        ({}, "weight_labels = 0.0 should be positive, or another weight"),
        ({"weight_views": 1.0, "views": "one"}, "weight_views = 1.0 should be 0 unless there are two views"),
        ({"weight_neighbors": 1.0, "views": "one"}, "weight_neighbors = 1.0 should be 0 unless there are two views"),
        ({"weight_labels": 1.0, "views": "three"}, "views = 'three' should be one of one, two, layers"),
        ({"weight_labels": 1.0, "min_crop_scale": 0.0}, "min_crop_scale = 0.0 should be above 0"),
        ({"weight_labels": 1.0, "epochs": 0}, "epochs = 0 should be at least 1"),
    ):
        with pytest.raises(ValueError, match=answer):
            TrainingConfig(**asked)
    with pytest.raises(ValueError, match="batches of 8 with 5 of each label do not hold two of them"):
        training.batches(
            np.repeat([0, 1], 8), TrainingConfig(weight_labels=1.0, batch_size=8, samples_per_class=5), 0, 1
        )


def test_in_half_precision_gradients_are_scaled_and_the_scale_is_kept(photos):
    model, fresh = (trainer(photos, precision=torch.float16) for _ in range(2))
    before = model.network.backbone.state_dict()["conv1.weight"].clone()
    model.train_epoch()
    assert np.isfinite(model.log[0]["loss"])
    assert not torch.equal(before, model.network.backbone.state_dict()["conv1.weight"])
    assert model.scaler.is_enabled() and not trainer(photos).scaler.is_enabled()
    assert fresh.scaler.state_dict() != model.scaler.state_dict()
    fresh.load_state(model.state())
    assert fresh.scaler.state_dict() == model.scaler.state_dict()


def test_what_is_frozen_stays_and_what_follows_learns(photos, tmp_path):
    model = trainer(photos, replace(SHORT, freeze="layer2", freeze_batchnorm=False, epochs=1))
    before = weights(model)
    training.tune(model, tmp_path / "checkpoint", "")
    after = weights(model)
    changed = {
        name.split(".")[1]
        for name in after
        if name.startswith("backbone") and not torch.equal(after[name], before[name])
    }
    assert changed == {"layer3", "layer4"}  # neither weights nor statistics of what comes before
    with pytest.raises(ValueError, match="freeze 'layer9' is no layer of this backbone"):
        trainer(photos, replace(SHORT, freeze="layer9"))


def test_a_photograph_that_vanishes_during_training_is_named_in_one_line(tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(6)]
    for path, image in zip(paths, draw_specimens(6), strict=True):
        image.save(path)
    backbone, transform, _ = encoders.start_tuning(UNTRAINED)
    model = training.Trainer(backbone, transform, paths, np.zeros(6, int), SHORT, CPU, torch.float32)
    paths[4].unlink()
    with pytest.raises(RuntimeError, match=r"\A.*4\.png was readable in chapter 01 but is not now.*\Z"):
        model.train_epoch()


def test_a_loss_falls_where_there_is_something_to_learn(photos, tmp_path):
    model = trainer(
        photos, replace(SHORT, weight_views=0, weight_pixels=1.0, views="one", epochs=4, learning_rate=3e-3)
    )
    training.tune(model, tmp_path / "checkpoint", "")
    losses = [row["loss"] for row in model.log]
    assert losses[-1] < 0.9 * losses[0]
    seen, drawn = model.reconstructed(next(model.load([[0, 5]], model.views, 0))[0])
    assert seen.shape == drawn.shape == (2, 3, 64, 64) and drawn.min() >= 0 and drawn.max() <= 1


def test_batches_may_add_up_to_a_step(photos):
    model = trainer(photos, replace(SHORT, batch_size=3, gradient_accumulation=2, epochs=1))
    assert model.steps == 2
    model.train_epoch()
    assert {int(state["step"]) for state in model.optimizer.state.values()} == {2}


def test_the_last_batches_of_an_epoch_weigh_as_much_as_others(photos, monkeypatch):
    # 12 photographs in batches of 3, three batches to a step: the second step has one batch, which counts in full
    model = trainer(photos, replace(SHORT, batch_size=3, gradient_accumulation=3, epochs=1))
    losses, shares = [], []
    loss, scale = model.loss, model.scaler.scale
    monkeypatch.setattr(model, "loss", lambda *batch: losses.append(loss(*batch)) or losses[-1])
    monkeypatch.setattr(model.scaler, "scale", lambda part: shares.append(part) or scale(part))
    model.train_epoch()
    assert [(part / whole).item() for part, whole in zip(shares, losses, strict=True)] == pytest.approx(
        [1 / 3] * 3 + [1]
    )


SOFT = replace(SHORT, weight_views=0.5, weight_neighbors=0.5)


RANDOM_DEPTH = UNTRAINED | {"architecture": "efficientnet_b0", "layers": {"avgpool": "avgpool"}}


@pytest.mark.parametrize(
    "config, network",
    [(SHORT, UNTRAINED), (SOFT, UNTRAINED), (SHORT, RANDOM_DEPTH)],
    ids=["views", "soft labels", "random layers"],
)
def test_taken_up_again_it_comes_to_the_same_result(photos, tmp_path, config, network):
    whole = trainer(photos, config, network)
    training.tune(whole, tmp_path / "whole", "made of this")
    broken_off = trainer(photos, config, network)
    with pytest.raises(KeyboardInterrupt):
        training.tune(broken_off, tmp_path / "part", "made of this", interrupt)
    again = trainer(photos, config, network)
    training.tune(again, tmp_path / "part", "made of this")
    assert len(again.log) == 2 and again.log == whole.log and same(weights(again), weights(whole))
    other = trainer(photos, config, network, seed=1)
    training.tune(other, tmp_path / "other", "made of this")
    assert not same(weights(other), weights(whole))


def interrupt(log):
    raise KeyboardInterrupt


def test_a_checkpoint_of_something_else_is_not_gone_on_from(photos, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        training.tune(trainer(photos), tmp_path / "checkpoint", "made of this", interrupt)
    reports = []
    training.tune(trainer(photos), tmp_path / "checkpoint", "made of that", lambda log: reports.append(len(log)))
    assert reports == [1, 2]


def test_the_last_epoch_is_kept_and_the_one_that_simclr_would_like_best_beside_it(photos, tmp_path, monkeypatch):
    model = trainer(photos, replace(SHORT, epochs=4))
    alignments = iter([0.5, 0.2, 0.4, 0.3])
    monkeypatch.setattr(model, "quality", lambda: {"alignment": next(alignments), "uniformity": 0.0, "silhouette": 0.0})
    kept = []
    training.tune(model, tmp_path / "checkpoint", "", lambda log: kept.append(weights(model)))
    assert len(model.log) == 4 and training.aligned_epoch(model.log) == 2
    assert same(weights(model), kept[3]) and same(model.aligned, kept[1]) and not same(kept[1], kept[3])
    even = [{"epoch": epoch, "alignment": 1.0, "uniformity": -2.0} for epoch in (1, 2, 3)]
    assert training.aligned_epoch(even) == 3


def test_a_loss_that_is_no_number_stops_it_and_the_last_good_weights_stay(photos, tmp_path, monkeypatch):
    model, checkpoint = trainer(photos), tmp_path / "checkpoint"
    honest = model.loss
    monkeypatch.setattr(model, "loss", lambda *batch: honest(*batch) * (np.nan if len(model.log) == 1 else 1))
    with pytest.raises(
        FloatingPointError, match=r"loss is nan in epoch 2, batch 1; .*checkpoint keeps epoch 1.*learning_rate"
    ):
        training.tune(model, checkpoint, "")
    kept = torch.load(checkpoint, weights_only=True)
    assert len(kept["log"]) == 1 and all(torch.isfinite(value).all() for value in kept["network"].values())
    training.tune(again := trainer(photos), checkpoint, "")
    training.tune(whole := trainer(photos), tmp_path / "whole", "")
    assert same(weights(again), weights(whole))


# ------------------------------------------------------------------------------------------------ tuned encoders


@pytest.fixture
def tuned(photos, in_tmp):
    """The config of a tuned encoder in a project of its own, and its file."""
    backbone, transform, encoder_config = encoders.start_tuning(UNTRAINED)
    model = training.Trainer(backbone, transform, *photos, SHORT, CPU, torch.float32)
    encoders.save_tuned(model.network.state_dict(), encoder_config, in_tmp / "tuned.safetensors")
    layers = {"avgpool": "avgpool", "head": "head_layer3"}
    about = {
        "library": "tuned",
        "architecture": "resnet18",
        "weights": "tuned.safetensors",
        "layers": layers,
        "input_size": 32,
    }
    return about, in_tmp / "tuned.safetensors", model


def test_a_tuned_encoder_is_read_back_as_it_was(tuned):
    encoder_config, file, model = tuned
    assert {value.dtype for value in load_file(file).values()} == {torch.float16, torch.int64}
    encoder = encoders.build_network(**encoder_config)
    images = torch.stack([encoder.transform(image) for image in draw_specimens(2)])
    with torch.inference_mode():
        found, wanted = encoder.network(images), model.network.eval()(images)
    # weights are rounded to half precision: eleven bits
    torch.testing.assert_close(found["avgpool"], wanted["avgpool"], rtol=0.02, atol=0.02)
    torch.testing.assert_close(found["head"], wanted["head_layer3"], rtol=0.02, atol=0.02)
    assert list(found) == ["avgpool", "head"] and found["head"].shape == (2, 16)


def test_tuning_may_go_on_from_a_tuned_encoder(tuned):
    encoder_config, file, _ = tuned
    backbone, _, about = encoders.start_tuning(encoder_config)
    stored = load_file(file)
    assert about == UNTRAINED | {"input_size": 32}
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, stored[f"backbone.{name}"].to(value.dtype))


def test_weights_are_loaded_strictly(tuned):
    encoder_config, file, _ = tuned
    stored = load_file(file)
    metadata = {"backbone": json.dumps(UNTRAINED)}
    short = {name: value for name, value in stored.items() if name != "backbone.conv1.weight"}
    for state, slip in (
        (short, "backbone.conv1.weight"),
        (stored | {"backbone.extra": torch.zeros(1)}, "backbone.extra"),
    ):
        save_file(state, file, metadata)
        with pytest.raises(ValueError, match=rf"(?s)tuned\.safetensors does not fit tuned's resnet18.*{slip}"):
            encoders.build_network(**encoder_config)


def test_a_file_that_is_no_tuned_encoder_is_refused(tuned):
    encoder_config, file, _ = tuned
    with pytest.raises(ValueError, match="has no layer layer9: there are layer3, avgpool, head_layer3, head_avgpool"):
        encoders.build_network(**encoder_config | {"layers": {"a": "layer9"}})
    with pytest.raises(ValueError, match="holds resnet18, tuned by chapter 03, and not resnet50"):
        encoders.build_network(**encoder_config | {"architecture": "resnet50"})
    with pytest.raises(ValueError, match="lie outside the project"):
        encoders.build_network(**encoder_config | {"weights": "../tuned.safetensors"})
    with pytest.raises(FileNotFoundError, match=r"data/x/models/simclr\.safetensors is missing: chapter 03 writes it"):
        encoders.build_network(**encoder_config | {"weights": "data/x/models/simclr.safetensors"})
    save_file(load_file(file), file)
    with pytest.raises(ValueError, match="holds None"):
        encoders.build_network(**encoder_config)


def test_networks_of_timm_can_be_tuned_too(photos, tmp_path):
    encoder_config = {
        "library": "timm",
        "architecture": "resnet10t",
        "weights": None,
        "layers": {"layer3": 3, "avgpool": "head"},
    }
    model = trainer(photos, replace(SHORT, epochs=1, freeze="layer1"), encoder_config | {"input_size": 32})
    before = weights(model)
    training.tune(model, tmp_path / "checkpoint", "")
    changed = {name for name, value in weights(model).items() if not torch.equal(value, before[name])}
    assert any("layer2" in name for name in changed) and not any("layer1" in name for name in changed)
    assert model.network.heads.keys() == {"layer3", "avgpool"}


# ---------------------------------------------------------------------------------------------------- the chapter

WORDS = (
    "trainer=coarse_to_fine",
    "start=resnet18_untrained",
    "epochs=2",
    "image_size=32",
    "input_size=32",
    "batch_size=16",
)


@pytest.fixture(scope="module")
def learnt(project, tmp_path_factory):
    """A project in which chapter 03 has run on a small world, with and without being killed."""
    make_world(folder := tmp_path_factory.mktemp("learning") / "photos")
    project.run("01", "dataset=toy", f"source={folder}")
    project.run("02", "dataset=toy", "encoder=resnet18_untrained", "-f", "params/encoders/resnet18_untrained.yaml")
    encoder_config = ("-f", "params/trainers/coarse_to_fine.yaml")
    project.run("03", "dataset=toy", "setting=whole", *WORDS, *encoder_config)
    checkpoint = project.data("toy", "models", "killed.checkpoint")
    project.run_and_kill("03", "dataset=toy", "setting=killed", *WORDS, *encoder_config, when=checkpoint.exists)
    assert not project.data("toy", "models", "killed.safetensors").exists()
    project.run("03", "dataset=toy", "setting=killed", *WORDS, *encoder_config)
    return project


def test_the_chapter_leaves_an_encoder_and_its_log(learnt):
    left = {path.name for path in learnt.data("toy", "models").iterdir()}
    ends = (".safetensors", ".aligned.safetensors", ".yaml", ".csv", ".made_from")
    assert left == {f"{name}{end}" for name in ("whole", "killed") for end in ends}
    log = pd.read_csv(learnt.data("toy", "models", "whole.csv"))
    assert list(log) == ["epoch", "loss", "learning_rate", *training.QUALITIES] and list(log["epoch"]) == [1, 2]
    config = yaml.safe_load(learnt.data("toy", "models", "whole.yaml").read_text())
    assert config["library"] == "tuned" and config["weights"] == "data/toy/models/whole.safetensors"
    assert config["start"] == "resnet18_untrained" and config["half"] is None


def test_a_killed_run_continues_to_the_same_bytes(learnt):
    for end in (".safetensors", ".csv"):
        whole, killed = (learnt.data("toy", "models", f"{name}{end}") for name in ("whole", "killed"))
        assert whole.read_bytes() == killed.read_bytes()


@pytest.fixture(scope="module")
def scored(learnt):
    """The scores of chapter 14, by (network, layer, clusterer, rank, metric), and the workbench that it ran in."""
    bench = Workbench(learnt.root)
    bench.run("14", dataset="toy", setting="whole")
    scores = pd.read_csv(learnt.data("toy", "models", "whole_scores.csv"))
    return bench, scores.set_index(["network", "layer", "clusterer", "rank", "metric"])["value"]


def test_every_layer_of_every_network_is_scored(scored):
    _, scores = scored
    networks = {(network, layer) for network, layer, *_ in scores.index}
    layers = {"layer3", "avgpool", "head_layer3", "head_avgpool"}
    frozen = {("frozen", "layer3"), ("frozen", "avgpool")}
    assert networks == frozen | {(network, layer) for network in ("tuned", "aligned") for layer in layers}
    assert {"pooled_average", "oracle_k_ward_prepared", "supervised_knn", "supervised_linear_probe"} == set(
        scores.index.unique(2)
    )


def test_the_frozen_encoder_scores_the_same_in_chapters_05_and_06(scored):
    bench, before = scored
    bench.cluster("toy", encoder="resnet18_untrained")
    words = {"encoders": ["resnet18_untrained"], "clusterers": ["pooled_average"], "seeds": [0]}
    bench.run("06", dataset="toy", submit="resnet18_untrained/pooled_average", **words)
    scores = pd.read_csv(bench.data("toy", "scores.csv")).set_index(["clusterer", "rank", "metric"])["value"]
    for clusterer in ("pooled_average", "oracle_k_ward_prepared"):
        for rank in ("genus", "species"):
            assert before["frozen", "avgpool", clusterer, rank, "ami"] == scores[clusterer, rank, "ami"]


@pytest.mark.parametrize("lost", [".csv", ".aligned.safetensors"])
def test_a_model_that_lost_one_of_its_files_is_made_whole_again(learnt, lost):
    file = learnt.data("toy", "models", f"whole{lost}")
    before = file.read_bytes()
    file.unlink()
    learnt.run("03", "dataset=toy", "setting=whole", *WORDS, "-f", "params/trainers/coarse_to_fine.yaml")
    assert file.read_bytes() == before


def test_what_was_trained_before_is_reused_and_another_setting_is_trained(learnt):
    weights = learnt.data("toy", "models", "killed.safetensors")
    date = weights.stat().st_mtime_ns
    words, config = ("dataset=toy", "setting=killed", *WORDS), ("-f", "params/trainers/coarse_to_fine.yaml")
    (checkpoint := weights.with_suffix(".checkpoint")).touch()  # of a run that was killed when all else was done
    assert "2 epochs on 72 photographs" in learnt.run("03", *words, *config).stdout
    assert weights.stat().st_mtime_ns == date and not checkpoint.exists()
    learnt.run("03", *words, "temperature_views=0.3", *config)
    assert weights.stat().st_mtime_ns > date


@pytest.fixture
def another_device(learnt, monkeypatch):
    """Chapters run on a device that is not the processor."""
    module = learnt.root / "encoders.py"
    before = module.read_text()
    module.write_text(
        before + "\nimport pretended\n\npick_device = pretended.register\npretended.Device().__enter__()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    yield
    module.write_text(before)


def test_half_of_the_families_learn_and_the_other_half_is_scored_on_any_device(learnt, another_device):
    about = learnt.run("03", "dataset=toy", "setting=half", "half=1", *WORDS[:-1], "batch_size=8").stdout
    family = pd.read_parquet(learnt.data("toy", "metadata.parquet"))["family"]
    assert f"on {(sampling.family_halves(family) == 1).sum()} photographs" in about


def test_a_network_that_learnt_species_names_is_called_an_upper_bound(learnt):
    config = "-f", "params/trainers/coarse_to_fine.yaml"
    for rank, role in (("species", "upper bound: trained on species names"), ("family", None)):
        learnt.run("03", "dataset=toy", f"setting=by_{rank}", f"label_rank={rank}", "epochs=1", *WORDS, *config)
        assert yaml.safe_load(learnt.data("toy", "models", f"by_{rank}.yaml").read_text()).get("role") == role


def test_a_config_that_needs_names_says_so_where_there_are_none(learnt, tmp_path):
    rows = make_world(tmp_path / "photos", 3, 3, 3, 2)
    (tmp_path / "photos" / "metadata.csv").write_text("hash_id\n" + "".join(f"{row[0]}\n" for row in rows))
    learnt.run("01", "dataset=nameless", f"source={tmp_path / 'photos'}")
    failed = learnt.run("03", "dataset=nameless", *WORDS, "-f", "params/trainers/coarse_to_fine.yaml", check=False)
    assert failed.returncode
    assert "coarse_to_fine learns from family names, and nameless has 0: at least 2 are needed" in failed.stderr


def test_the_parameters_of_the_chapter_are_those_of_a_config():
    declared = execute.declared_parameters(jupytext.read(ROOT / "notebooks" / "03_supcon_finetune.py"))
    fields = TrainingConfig.__dataclass_fields__
    assert {name: declared[name] for name in fields} == {n: f.default for n, f in fields.items()} | {
        "weight_views": 1.0
    }
