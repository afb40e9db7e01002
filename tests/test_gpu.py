"""Smoke test on an NVIDIA GPU; test_devices.py covers other devices with a simulated one. `pytest -m gpu` runs only this."""

import numpy as np
import pytest
import torch

import encoders
import training

RESNET = {
    "library": "torchvision",
    "architecture": "resnet18",
    "weights": None,
    "layers": {"layer3": "layer3", "avgpool": "avgpool"},
    "input_size": 64,
}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_resnet_extracts_and_trains_on_a_gpu(photos):
    device = encoders.pick_device()
    assert device.type == "cuda"
    precision = encoders.pick_precision(device)
    rows = [list(range(len(photos)))]
    (expected,) = encoders.embed(encoders.build_network(**RESNET), photos, rows, torch.device("cpu"), torch.float32)
    (found,) = encoders.embed(encoders.build_network(**RESNET), photos, rows, device, precision)
    for layer, values in expected.items():
        cosine = (found[layer] * values).sum(1) / np.linalg.norm(found[layer], axis=1) / np.linalg.norm(values, axis=1)
        assert found[layer].dtype == np.float32 and cosine.min() > 0.99

    backbone, transform, _ = encoders.start_tuning(RESNET)
    config = training.TrainingConfig(weight_views=1.0, batch_size=len(photos), epochs=1, image_size=64)
    model = training.Trainer(backbone, transform, photos, [-1] * len(photos), config, device, precision)
    before = [parameter.detach().clone() for parameter in model.network.parameters()]
    model.train_epoch()  # one batch: one step
    assert np.isfinite(model.log[0]["loss"])
    assert any(not torch.equal(old, new) for old, new in zip(before, model.network.parameters(), strict=True))
