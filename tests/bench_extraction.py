"""How much faster is extraction than the plain loop? Both in one run, alternating, on the photographs of a dataset.

    make bench DATASET=eu_moths

Seconds on a shared machine say little; the ratio of two loops measured side by side says more. Random weights compute as
fast as trained ones, so none are needed.
"""

import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import encoders
import utils
from images import load_rgb

N_PHOTOS, ROUNDS = 384, 3


def plain(encoder, paths):
    """The loop one writes first: float32, batches of 128, no workers."""
    for start in range(0, len(paths), 128):
        images = torch.stack([encoder.transform(load_rgb(path)) for path in paths[start : start + 128]])
        with torch.inference_mode():
            [values.mean((2, 3)) if values.ndim == 4 else values for values in encoder.network(images).values()]


def tuned(encoder, paths):
    """What chapter 02 does."""
    device = encoders.pick_device()
    list(encoders.embed(encoder, paths, [list(range(len(paths)))], device, encoders.pick_precision(device)))


def images_per_second(loop, encoder, paths):
    began = time.monotonic()
    loop(encoder, paths)
    return len(paths) / (time.monotonic() - began)


def main(dataset):
    specimens = utils.load_metadata(dataset)
    paths = [utils.dataset_dir(dataset) / "photos" / path for path in specimens["path"][:N_PHOTOS]]
    layers = {"layer3": "layer3", "avgpool": "avgpool"}
    ratios = []
    for _ in range(ROUNDS):
        speeds = []
        for loop in (plain, tuned):  # a network each: the tuned loop changes the memory layout of its own
            encoder = encoders.build_network("torchvision", "resnet50", None, layers, 224)
            speeds.append(images_per_second(loop, encoder, paths))
        ratios.append(speeds[1] / speeds[0])
        print(f"plain {speeds[0]:.1f} images/s, tuned {speeds[1]:.1f} images/s: {ratios[-1]:.2f} times", flush=True)
    print(
        f"ResNet-50, two layers, {len(paths)} photographs: {statistics.median(ratios):.2f} times the plain loop (median)"
    )


if __name__ == "__main__":
    main(sys.argv[1])
