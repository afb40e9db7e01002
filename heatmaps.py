"""Where a network looks: heat maps of its activations on photographs, and measures of what these maps are worth.

A heat map shows where the activations of a layer are large, or where they differ most; it does not say what for. A network with
random weights has heat maps, too (Adebayo et al. 2018, Sanity checks for saliency maps). So this module also measures on which
part of a photograph the heat lies, and how far the embedding moves if the hottest part is hidden (as in Zeiler and Fergus 2014,
Visualizing and understanding convolutional networks).
"""

import re

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.cm import ScalarMappable
from PIL import Image
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection_with_sign_correction
from torch import fx

import encoders
import plotting
import utils

LIBRARIES = ("torchvision", "timm", "open_clip", "tuned")  # whose encoders see photographs through a network
COLOURS = "viridis"  # distinct under the common colour vision deficiencies, and still in order when printed grey
BATCH = 16  # photographs at a time
HIDDEN = 0.2  # share of a photograph that is hidden
DRAWS = 4  # random patches per photograph

# ------------------------------------------------------------------------------------------------------ spatial maps


class NoSpatialMaps(ValueError):
    """A network whose layers have no positions, so that no heat map can be made of it."""


class _Stages(fx.Interpreter):
    """Runs a graph that torchvision traced: {stage: (its last map (b, d, h, w), centres (h,))}; stages are layer4, features.8.

    A position of the map looks at a part of the image; `centres` are the middles of these parts, in pixels. In a ResNet they
    are 0, 32, 64, ..., and not 15.5, 47.5, ..., because every layer that makes a map smaller begins at the first pixel.
    """

    def run(self, images):
        self.stage, self.found = "", {}
        self.first, self.step, self.height = 0.0, 1, images.shape[2]
        super().run(images)
        return self.found

    def run_node(self, node):
        value = super().run_node(node)
        if not isinstance(value, torch.Tensor) or value.ndim != 4 or node.op == "placeholder":
            return value
        if node.op == "call_module":  # a function, such as the sum in a residual block, belongs to the module before it
            self.stage = re.match(r"features\.\d+|[^.]+", node.target)[0]
            self._follow(self.fetch_attr(node.target), value.shape[2])
        self.found[self.stage] = value, self.first + self.step * np.arange(value.shape[2])
        return value

    def _follow(self, module, height):
        """Keep track of the centres through the first convolution or pooling that makes the map smaller."""
        if height < self.height and hasattr(module, "stride"):
            kernel, stride, padding = (np.max(getattr(module, name)) for name in ("kernel_size", "stride", "padding"))
            self.first += ((kernel - 1) / 2 - padding) * self.step
            self.step, self.height = self.step * stride, height


def spatial_maps(network, images):
    """Two spatial maps of images (b, 3, s, s): {layer: (values (b, d, h, h), centres (h,))}, first the shallower one.

    `network` is that of encoders.build_network. The deeper map is the last one of the network. The shallower one is the last
    with more positions (layer3 and layer4 of a ResNet). In a vision transformer all maps have as many positions: there it is
    the block at three quarters of the depth. timm and open_clip put the tokens on their grid and leave the class token out.
    `centres` say which pixel each position stands for: the middle of a token, and for a network of torchvision see _Stages.
    NoSpatialMaps if the network has fewer than two of them.
    """
    backbone = network.network.backbone if hasattr(network, "network") else network  # of a network that chapter 03 tuned
    if isinstance(backbone, fx.GraphModule):
        found = _Stages(backbone).run(images)
    else:
        tower = getattr(backbone, "visual", None) or getattr(backbone, "model", None)
        found = {}
        if hasattr(tower, "forward_intermediates"):
            blocks = tower.forward_intermediates(images, intermediates_only=True)
            blocks = blocks["image_intermediates"] if isinstance(blocks, dict) else blocks
            for number, values in enumerate(blocks, 1):
                middles = images.shape[2] * (np.arange(values.shape[2]) + 0.5) / values.shape[2] - 0.5
                found[f"block {number}"] = values, middles
    found = {name: found[name] for name in found if 1 < found[name][0].shape[2] == found[name][0].shape[3]}
    if len(found) < 2:
        raise NoSpatialMaps("the network has no two layers with positions, which heat maps are made of")
    *before, deep = found
    larger = [name for name in before if len(found[name][1]) > len(found[deep][1])]
    middle = larger[-1] if larger else before[3 * len(found) // 4 - 1]
    return {name: found[name] for name in (middle, deep)}


# --------------------------------------------------------------------------------------------------------- heat maps


def activation(values):
    """Mean over channels of the absolute activation (b, d, h, w): array (b, h, w). Where it is large, the network responds."""
    return values.float().abs().mean(1).cpu().numpy()


def eigencam(values):
    """EigenCAM of maps (b, d, h, w): their first principal component over positions, cut at its mean: array (b, h, w).

    Muhammad and Yeasin (2020), Eigen-CAM: class activation map using principal components. The code is that of the library of
    Gildenblat et al. (2021), PyTorch library for CAM methods. The sign of a principal component is arbitrary; the library
    turns it so that the larger extreme is positive (Chung and Ying 2025, Seg-Eigen-CAM). No class and no gradient is needed.
    """
    # The library decomposes matrices of d times d. In a basis of the h * w directions that there are, the maps have the same
    # principal component, and it takes a hundredth of the time.
    b, _, h, w = values.shape
    reduced = torch.linalg.qr(values.float().cpu().flatten(2)).R.reshape(b, -1, h, w)
    return np.maximum(get_2d_projection_with_sign_correction(reduced.numpy()), 0)


KINDS = {"activation": activation, "EigenCAM": eigencam}


def batches(images):
    """Slices of at most BATCH images."""
    return [slice(start, start + BATCH) for start in range(0, len(images), BATCH)]


def enlarged(heat, centres, size):
    """Heat (n, h, h), each map scaled to 0..1 and brought to (n, size, size) by linear interpolation between `centres` (h,).

    A map that is the same everywhere becomes 0. The usual enlargement of a picture would take the centres of equal tiles. For a
    ResNet that is half a tile too far to the lower right, and heat that lies on an organism would be drawn beside it.
    """
    low = heat.min((1, 2), keepdims=True)
    span = heat.max((1, 2), keepdims=True) - low
    weights = np.array([np.interp(np.arange(size), centres, one) for one in np.eye(len(centres))])
    return np.einsum("iy,nij,jx->nyx", weights, (heat - low) / np.where(span > 0, span, 1), weights, optimize=True)


@torch.inference_mode()
def heat_maps(network, images):
    """Heat of images (n, 3, s, s) from 0 to 1 in every map: {(layer, kind): (n, s, s)}, kinds as in KINDS, see `enlarged`.

    NoSpatialMaps as of `spatial_maps`.
    """
    found = {}
    for part in batches(images):
        for layer, (values, centres) in spatial_maps(network, images[part]).items():
            for kind, heat in KINDS.items():
                found.setdefault((layer, kind), []).append(enlarged(heat(values), centres, images.shape[2]))
    return {name: np.concatenate(parts) for name, parts in found.items()}


@torch.inference_mode()
def embedding(network, images):
    """The last layer of the encoder for images (n, 3, s, s), with rows of length 1: tensor (n, d)."""
    parts = [encoders.average(utils.pick_layer(network(images[part]), "last")) for part in batches(images)]
    return torch.nn.functional.normalize(torch.cat(parts))


def seen(transform, images):
    """What the network sees, as colours from 0 to 1: array (n, s, s, 3) of images (n, 3, s, s) that `transform` made.

    Every transform ends with a linear scale of each colour. It is read off from a black and a white photograph.
    """
    black, white = (transform(Image.new("RGB", (8, 8), colour))[:, :1, :1] for colour in ("black", "white"))
    return ((images.cpu() - black) / (white - black)).clip(0, 1).permute(0, 2, 3, 1).numpy()


# --------------------------------------------------------------------------------------------------------- measures


def share_inside(heat, masks):
    """Share of the heat (n, s, s) that lies inside masks (n, s, s) or (s, s) of bools: (n,). Without heat, that of the area."""
    total, inside = heat.sum((1, 2)), (heat * masks).sum((1, 2))
    area = np.broadcast_to(masks, heat.shape).mean((1, 2))
    return np.where(total > 0, inside / np.where(total > 0, total, 1), area)


def central_half(size):
    """Mask (size, size) of the square in the middle that has half the area."""
    away = np.abs(np.arange(size) + 0.5 - size / 2) < size * 0.5**1.5
    return away[:, None] & away


def largest(values, share=HIDDEN):
    """Masks (n, s, s) of the positions with the largest values (n, s, s): exactly this share of each."""
    flat = values.reshape(len(values), -1)
    order = np.argsort(-flat, axis=1, kind="stable")[:, : round(share * flat.shape[1])]
    masks = np.zeros(flat.shape, bool)
    np.put_along_axis(masks, order, True, axis=1)
    return masks.reshape(values.shape)


def random_patches(n, size, random):
    """Masks (n, size, size) of connected patches: the positions nearest to a random point, a share HIDDEN of all."""
    place = np.arange(size)
    y, x = random.uniform(0, size, (2, n, 1))
    return largest(-((place - y)[:, :, None] ** 2 + (place - x)[:, None, :] ** 2))


def hide(images, masks):
    """Images (n, 3, s, s) in which each has its mean colour inside its mask (n, s, s)."""
    inside = torch.from_numpy(masks).to(images.device)[:, None]
    return torch.where(inside, images.mean((2, 3), keepdim=True), images)


def worth(network, images, places, seed=0):
    """What the heat maps of images (n, 3, s, s) are worth: {(layer, kind): {measure: (n,)}}, and the heat maps themselves.

    Measures: for every mask (n, s, s) or (s, s) of `places`, its area and its share of the heat; and how far the embedding
    moves, as a cosine distance, if a share HIDDEN of the photograph gets its mean colour: the hottest part, the part that is
    hottest in the photograph before (which is as central, but has nothing to do with this one), and a random patch.
    """
    before, random, size = embedding(network, images), np.random.default_rng(seed), images.shape[-1]

    def moved(masks):
        return (1 - (before * embedding(network, hide(images, masks))).sum(1)).cpu().numpy().astype(float)

    by_chance = np.mean([moved(random_patches(len(images), size, random)) for _ in range(DRAWS)], axis=0)
    heats, found = heat_maps(network, images), {}
    for name, heat in heats.items():
        hottest = largest(heat)
        measures = {"hottest": moved(hottest), "another": moved(np.roll(hottest, 1, axis=0)), "random": by_chance}
        for place, masks in places.items():
            measures[f"area, {place}"] = np.broadcast_to(masks, heat.shape).mean((1, 2))
            measures[f"heat, {place}"] = share_inside(heat, masks)
        found[name] = measures
    return found, heats


def summary(measures, rows):
    """Means over some photographs of what `worth` returns for one map, with differences and ratios: {measure: number}."""
    mean = {name: values[rows].mean() for name, values in measures.items()}
    for place in [name.removeprefix("heat, ") for name in measures if name.startswith("heat, ")]:
        mean[f"heat above area, {place}"] = mean[f"heat, {place}"] - mean[f"area, {place}"]
    for other in ("another", "random"):
        mean[f"hottest above {other}"] = mean["hottest"] - mean[other]
    for one in ("hottest", "another"):
        mean[f"{one} over random"] = mean[one] / max(mean["random"], 1e-12)
    return mean


# ---------------------------------------------------------------------------------------------------------- figures


def draw(title, labels, looks):
    """Figure of photographs with their heat: a line per label, a column for every map of every encoder.

    `looks` is {encoder: (photographs (n, s, s, 3), {column: heat (n, s, s)}, outlines (n, s, s) or None)}. An encoder may cut
    photographs in its own way, so heat lies on the photograph as that encoder sees it. White lines go round the `outlines`.
    """
    columns = 1 + sum(len(heats) for _, heats, _ in looks.values())
    figure, axes = plt.subplots(
        len(labels), columns, figsize=(1.55 * columns, 1.55 * len(labels) + 1.1), squeeze=False, layout="constrained"
    )
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    at = 1
    for encoder, (photographs, heats, outlines) in looks.items():
        for number, (column, heat) in enumerate(heats.items()):
            for line, ax in enumerate(axes[:, at]):
                ax.imshow(photographs[line].mean(2), cmap="gray", vmin=0, vmax=1)
                ax.imshow(heat[line], cmap=COLOURS, vmin=0, vmax=1, alpha=0.6)
                if outlines is not None:
                    ax.contour(outlines[line], [0.5], colors="white", linewidths=1)
            above = plotting.plain(encoder, 48) if number == len(heats) // 2 else ""  # once, over the middle of its columns
            axes[0, at].set_title(f"{above}\n{column}", fontsize=9)
            at += 1
    for ax, label, photograph in zip(axes[:, 0], labels, next(iter(looks.values()))[0], strict=True):
        ax.imshow(photograph)
        ax.set_ylabel(plotting.plain(label, 18), fontsize=9)
    axes[0, 0].set_title("photograph", fontsize=9)
    figure.suptitle(title)
    colour_key(figure, axes)
    return figure


def colour_key(figure, axes):
    """The key of the colours of heat maps, below the axes."""
    key = figure.colorbar(ScalarMappable(cmap=COLOURS), ax=axes, location="bottom", shrink=0.35, aspect=30, ticks=[0, 1])
    key.set_ticklabels(["coldest", "hottest place of a map"])
    key.outline.set_visible(False)
