"""Images per second of extraction, of its network alone, and of the loops that people write: `make bench DATASET=eu_moths`.

All run on the same photographs in one process, one after the other, in three rounds. Seconds on a shared machine say little;
the ratio of two loops measured side by side says more. Random weights compute as fast as trained ones, so none are needed. The
photographs of the dataset are used as they are, and enlarged to JPEGs of 1 and 12 megapixels.
"""

import sys
import tempfile
import time
from pathlib import Path

import open_clip
import pandas as pd
import timm
import torch
from PIL import Image
from torch.utils.data import DataLoader

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import encoders
import utils
from images import load_rgb

ROUNDS = 3
SIZES = {"small": (None, 384), "1 MP": (1000, 192), "12 MP": (3464, 64)}  # side in pixels, photographs
LAYERS = {"layer3": "layer3", "avgpool": "avgpool"}
DEVICE = encoders.pick_device()
PRECISION, BATCH = encoders.pick_precision(DEVICE), encoders.pick_batch_size(DEVICE)
MIXED = PRECISION in (torch.bfloat16, torch.float16)


def resnet():
    """The network of this comparison: a ResNet-50, two layers."""
    return encoders.build_network("torchvision", "resnet50", None, LAYERS, 224)


def plain():
    """The loop one writes first: float32, batches of 128, no workers."""
    encoder = resnet()
    module = encoder.network.to(DEVICE)

    def loop(paths):
        for start in range(0, len(paths), 128):
            images = torch.stack([encoder.transform(load_rgb(path)) for path in paths[start : start + 128]])
            with torch.inference_mode():
                [values.mean((2, 3)) if values.ndim == 4 else values for values in module(images.to(DEVICE)).values()]

    return loop


def with_workers(model, transform):
    """A loop with a process for each core that loads photographs, as in the examples of timm and open_clip."""

    def loop(paths):
        with torch.inference_mode():
            for images in DataLoader(encoders.Photos(paths, transform), 64, num_workers=encoders.WORKERS):
                model(images.to(DEVICE))

    return loop


def of_timm():
    """timm's own ResNet-50 and transform, its last layer."""
    model = timm.create_model("resnet50", num_classes=0).eval().to(DEVICE)
    return with_workers(model, timm.data.create_transform(**timm.data.resolve_data_config({}, model=model)))


def of_open_clip():
    """open_clip's own ResNet-50 and transform."""
    model, _, transform = open_clip.create_model_and_transforms("RN50")
    return with_workers(model.eval().to(DEVICE).encode_image, transform)


def chapter(encoder=None):
    """What chapter 02 does."""
    encoder = encoder or resnet()
    return lambda paths: list(encoders.embed(encoder, paths, [list(range(len(paths)))], DEVICE, PRECISION))


def chapter_with_open_clip():
    """What chapter 02 does, with the network of `of_open_clip`."""
    return chapter(encoders.build_network("open_clip", "RN50", None, {"embedding": "image"}, 224))


def alone():
    """The network of chapter 02 in its precision and layout, on images that are in memory."""
    layout = encoders.memory_format(DEVICE)
    mixed = torch.autocast(DEVICE.type, PRECISION, enabled=MIXED)
    module = encoders.folded(resnet().network, DEVICE, PRECISION).to(DEVICE, memory_format=layout)
    images = torch.rand(BATCH, 3, 224, 224).to(DEVICE, memory_format=layout)

    def loop(paths):
        with torch.inference_mode(), mixed:
            for start in range(0, len(paths), BATCH):
                [encoders.average(values).cpu() for values in module(images[: len(paths) - start]).values()]

    return loop


LOOPS = {
    "plain loop": plain, "timm, its own loop": of_timm, "chapter 02": chapter, "network alone": alone,
    "open_clip, its own loop": of_open_clip, "chapter 02 with open_clip": chapter_with_open_clip,
}  # fmt: skip


def photographs(dataset, side, number, folder):
    """Paths of the first photographs of a dataset, or of JPEGs in `folder` for which they were enlarged to `side` pixels."""
    specimens = utils.load_metadata(dataset)
    paths = [utils.dataset_dir(dataset) / "photos" / path for path in specimens["path"].dropna()[:number]]
    for i, path in enumerate(paths if side else []):
        load_rgb(path).resize((side, side), Image.Resampling.BICUBIC).save(folder / f"{i}.jpg", quality=90)
        paths[i] = folder / f"{i}.jpg"
    return paths


def main(dataset):
    rows = []
    for size, (side, number) in SIZES.items():
        with tempfile.TemporaryDirectory() as folder:
            paths = photographs(dataset, side, number, Path(folder))
            for turn in range(ROUNDS):
                for name, prepare in LOOPS.items():
                    if "open_clip" in name and side:
                        continue
                    loop = prepare()
                    began = time.monotonic()
                    loop(paths)
                    rows.append((size, turn, name, len(paths) / (time.monotonic() - began)))
                    print(f"{size}, round {turn + 1}: {name} {rows[-1][-1]:.1f} images/s", flush=True)
    table = pd.DataFrame(rows, columns=["photographs", "round", "loop", "images_per_second"])
    utils.write_table(table.round(3), utils.dataset_dir(dataset) / "bench" / "extraction.csv")


if __name__ == "__main__":
    main(sys.argv[1])
