"""Photographs made worse on purpose, in growing severity: what chapter 11 shows to an encoder.

Every function opens one photograph, when it is needed, and returns a PIL image; only one photograph per loader process is in
memory. The operations are torchvision's (https://docs.pytorch.org/vision/stable/transforms.html).
"""

import hashlib

import numpy as np
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as F

from images import centre, load_rgb

REFERENCE_SIDE = 256  # pixels of the shorter side that the radius of a blur is given for


def blur(image, pixels):
    """Gaussian blur of (3, H, W) bytes, its standard deviation in pixels of a photograph whose shorter side has 256."""
    sigma = pixels * min(image.shape[-2:]) / REFERENCE_SIDE
    return F.gaussian_blur(image, [2 * int(np.ceil(3 * sigma)) + 1] * 2, [sigma, sigma])


def noise(image, deviation):
    """Gaussian noise with a standard deviation of so many grey levels; the photograph itself seeds it."""
    seed = int.from_bytes(hashlib.sha256(image.numpy().tobytes()).digest()[:4], "big")
    drawn = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))
    return (image + deviation * drawn).clamp(0, 255).to(torch.uint8)


def crop(image, share):
    """The centre, with this share of width and height."""
    height, width = image.shape[-2:]
    left, top, right, bottom = centre(width, height, share)
    return image[..., top:bottom, left:right]


PERTURBATIONS = {  # name: function, severities from none to strong
    "blur (pixels of 256)": (blur, (0, 2, 4, 8)),
    "noise (grey levels)": (noise, (0, 15, 30, 60)),
    "JPEG (quality)": (F.jpeg, (100, 30, 15, 5)),
    "crop (share of side)": (crop, (1.0, 0.8, 0.6, 0.4)),
    "brightness (factor)": (F.adjust_brightness, (1.0, 0.6, 0.35, 0.2)),
}


def perturbed(path, name, severity):
    """The photograph at `path` under one of PERTURBATIONS (PIL)."""
    image = torch.from_numpy(np.array(load_rgb(path))).permute(2, 0, 1)
    changed = PERTURBATIONS[name][0](image, severity)
    return Image.fromarray(changed.permute(1, 2, 0).numpy())


def mirrored_crop(path, share=0.8):
    """The centre of the photograph at `path`, mirrored (PIL): another view of the same specimen."""
    image = torch.from_numpy(np.array(load_rgb(path))).permute(2, 0, 1)
    return Image.fromarray(F.horizontal_flip(crop(image, share)).permute(1, 2, 0).numpy())
