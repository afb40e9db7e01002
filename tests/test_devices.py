"""Training and extraction where the device is not the processor: the same results, by operations that real devices have."""

import io
import pickle
from pathlib import Path

import numpy as np
import pretended
import pytest
import torch
import torchgen
import yaml
from conftest import ROOT

import encoders
import training

TRAINER_CONFIGS = sorted((ROOT / "params" / "trainers").glob("*.yaml"), key=lambda path: path.stem)
RESNET = {"library": "torchvision", "architecture": "resnet18", "layers": {"layer3": "layer3", "avgpool": "avgpool"}}
ENCODERS = [
    RESNET,
    {"library": "timm", "architecture": "vit_tiny_patch16_224", "layers": {"block": 5, "end": "head"}},
    {"library": "open_clip", "architecture": "ViT-S-32-alt", "layers": {"embedding": "image"}},
    {"library": "pixels", "architecture": "thumbnail", "layers": {"pca": "thumbnail"}},
]
SMALL = {"weights": None, "input_size": 32}


def tuning(encoder_config, photos, device):
    """A Trainer of a config, on small views."""
    asked = yaml.safe_load(encoder_config.read_text())
    known = {name: value for name, value in asked.items() if name in training.TrainingConfig.__dataclass_fields__}
    small = {"batch_size": 8, "image_size": 40, "samples_per_class": min(asked.get("samples_per_class", 0), 4)}
    backbone, transform, _ = encoders.start_tuning(RESNET | SMALL)
    labels = np.repeat([0, 1, -1], 4)
    return training.Trainer(
        backbone, transform, photos, labels, training.TrainingConfig(**known | small), device, torch.float32
    )


def learn(encoder_config, photos, device):
    """What a config does in an epoch: its log, what of it is worth asking, and the weights and pictures that it leaves."""
    model = tuning(encoder_config, photos, device)
    before = {name: value.cpu().clone() for name, value in model.network.state_dict().items()}
    model.train_epoch()
    ((views, _),) = model.load([[0, 5]], model.views, 0)
    learnt = {name for name, value in model.aligned.items() if not torch.equal(value, before[name])}
    return (model.log, learnt, model.config), [
        *model.aligned.values(),
        *(model.reconstructed(views) if model.config.weight_pixels else ()),
    ]


def extract(encoder_config, photos, device):
    """Embeddings of an encoder with random weights."""
    encoder = encoders.build_network(**encoder_config | SMALL)
    if encoder_config["library"] == "pixels":
        encoders.fit_pixels(encoder, photos)
    (layers,) = encoders.embed(encoder, photos, [list(range(len(photos)))], device, torch.float32)
    return list(layers), [torch.from_numpy(values) for values in layers.values()]


WORK = {encoder_config.stem: (learn, encoder_config) for encoder_config in TRAINER_CONFIGS} | {
    encoder_config["library"]: (extract, encoder_config) for encoder_config in ENCODERS
}


@pytest.fixture(scope="module", autouse=True)
def alike():
    """What makes sums of the two come out the same, to the last bit.

    A device's backward pass runs in a thread of its own, so all count one thread (and other tests change the number). Torch
    has a short way through attention on the processor and on unknown devices, which Apple's do not take.
    """
    threads, short_way = torch.get_num_threads(), torch.backends.mha.get_fastpath_enabled()
    torch.set_num_threads(1)
    torch.backends.mha.set_fastpath_enabled(False)
    yield
    torch.set_num_threads(threads)
    torch.backends.mha.set_fastpath_enabled(short_way)


@pytest.fixture(scope="module")
def elsewhere(photos):
    """What everything gives on the pretended device: {name: (about, tensors)}."""
    with pretended.Device():
        return {
            name: work(encoder_config, photos, pretended.register()) for name, (work, encoder_config) in WORK.items()
        }


@pytest.mark.parametrize("name", WORK)
def test_another_device_gives_what_the_processor_gives(photos, elsewhere, name):
    work, encoder_config = WORK[name]
    about, tensors = work(encoder_config, photos, torch.device("cpu"))
    assert elsewhere[name][0] == about
    for there, here in zip(elsewhere[name][1], tensors, strict=True):
        assert type(there) is torch.Tensor and torch.equal(there, here)


@pytest.mark.parametrize("encoder_config", TRAINER_CONFIGS, ids=lambda path: path.stem)
def test_every_config_trains_for_an_epoch(elsewhere, encoder_config):
    ((row,), learnt, config), _ = elsewhere[encoder_config.stem]
    assert np.isfinite(list(row.values())).all() and row["loss"] > 0 and row["learning_rate"] > 0
    assert "backbone.layer4.1.conv2.weight" in learnt
    assert any(name.startswith("heads.") for name in learnt) == (config.weight_pixels == 0)
    assert any("running_mean" in name for name in learnt) == (not config.freeze_batchnorm)


def test_a_checkpoint_is_gone_on_from_on_another_device(photos):
    with pretended.Device():
        whole, again = (
            tuning(ROOT / "params/trainers/coarse_to_fine.yaml", photos, pretended.register()) for _ in range(2)
        )
        whole.train_epoch()
        torch.save(whole.state(), checkpoint := io.BytesIO())
        checkpoint.seek(0)
        again.load_state(torch.load(checkpoint, "cpu", weights_only=True))
        whole.train_epoch()
        again.train_epoch()
    assert again.log == whole.log and len(again.log) == 2
    there = whole.network.state_dict()
    assert all(value.device.type == pretended.NAME for value in there.values())
    assert all(torch.equal(value.cpu(), there[name].cpu()) for name, value in again.network.state_dict().items())


@pytest.mark.parametrize("encoder_config", ENCODERS, ids=lambda encoder_config: encoder_config["library"])
def test_what_workers_are_given_can_be_sent_to_them(photos, encoder_config):
    # on Macs and on Windows a worker is a new process, and no copy of this one
    encoder = encoders.build_network(**encoder_config | SMALL)
    shown = encoders.Photos(photos, encoder.transform)
    assert torch.equal(pickle.loads(pickle.dumps(shown))[3], shown[3])
    config = training.TrainingConfig(weight_views=1.0, image_size=32)
    seen = training.Views(photos, [training.RandomView(config), training.PlainView(config)], 0, 1)
    assert torch.equal(pickle.loads(pickle.dumps(seen))[3][0], seen[3][0])


def kernels(operation, native):
    """Devices that this release of torch has an operation's kernel for; "Composite..." stands for all."""
    entry = native[operation]
    named = [entry, native.get(entry.get("structured_delegate"), {})]
    found = {device.strip() for one in named for devices in one.get("dispatch", {}) for device in devices.split(",")}
    if any("ufunc_inner_loop" in one for one in named):  # torch generates both
        found |= {"CPU", "CUDA"}
    return found or {"CompositeImplicitAutograd"}


def test_apples_and_nvidias_devices_have_every_operation(elsewhere):
    listed = Path(torchgen.__file__).parent / "packaged" / "ATen" / "native" / "native_functions.yaml"
    native = {entry["func"].split("(")[0]: entry for entry in yaml.load(listed.read_text(), yaml.CSafeLoader)}
    assert "CUDA" in kernels("_pdist_forward", native) and "MPS" not in kernels("_pdist_forward", native)
    assert {"convolution_backward", "index_put_", "logsumexp", "upsample_nearest2d", "gelu"} <= pretended.asked_for
    for operation in pretended.asked_for:
        found = kernels(operation, native)
        assert any("Composite" in name for name in found) or {"MPS", "CUDA"} <= found, operation


def test_the_pretended_device_refuses_what_others_refuse():
    with pretended.Device():
        there = torch.ones(2, 3, 5, 5).to(pretended.register())
        assert there.device.type == pretended.NAME and (there + there).sum().item() == 300
        with pytest.raises(RuntimeError, match=r"add\.Tensor: tensors of two devices"):
            there + torch.ones(2, 3, 5, 5)
        with pytest.raises(RuntimeError, match=r"numpy\(\) is not supported"):
            there.numpy()
        with pytest.raises(TypeError, match="no float64"):
            there.double()
        with pytest.raises(NotImplementedError, match="by whole numbers only"):
            torch.nn.functional.interpolate(there, 4, mode="area")
