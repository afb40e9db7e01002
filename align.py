"""Image, DNA barcode and taxonomic name of a specimen in one space: towers and contrastive training.

After CLIBD (Gong et al. 2024, arXiv:2405.17537), which aligns the three with the loss of CLIP (Radford et al. 2021, ICML
139:8748-8763). The towers of barcode and name are fixed vectors with a trained projection. The image tower is a network whose
weights are corrected by matrices of low rank (Hu et al. 2022, ICLR), or fixed vectors, too. Specimens may lack a barcode, and
names may stop at any rank.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from sklearn.feature_extraction.text import HashingVectorizer
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

import encoders
import training
import utils

PAIRS = (("image", "DNA"), ("image", "name"), ("DNA", "name"))
NAME_FEATURES = 2048  # columns of the vector of a name
UNKNOWN = -1  # a name that is missing, or a pair of which it is not known whether it matches


# --------------------------------------------------------------------------------------------------------- names


def lineages(taxa):
    """Names of every specimen (n) down to the lowest rank before one is missing, in one text; None without a family.

    `taxa` has a column for each of utils.RANKS.
    """
    known = taxa[list(utils.RANKS)].notna().cummin(axis=1)
    rows = zip(taxa[list(utils.RANKS)].to_numpy(object), known.to_numpy(), strict=True)
    return [" ".join(map(str, names[seen])) or None for names, seen in rows]


def name_vectors(texts):
    """Counts of all pieces of two to four letters inside words, hashed: float32 (n, NAME_FEATURES), each of length 1."""
    hashing = HashingVectorizer(analyzer="char_wb", ngram_range=(2, 4), n_features=NAME_FEATURES, alternate_sign=False)
    return hashing.transform(texts).toarray().astype(np.float32)


def taxon_codes(taxa):
    """Lineages as numbers (n, ranks): equal where names are equal down to this rank; -1 where one is missing."""
    known = taxa[list(utils.RANKS)].notna().cummin(axis=1).to_numpy()
    codes = np.stack([utils.lineage(taxa, rank).astype(object).factorize()[0] for rank in utils.RANKS], axis=1)
    return np.where(known, codes, UNKNOWN)


# ------------------------------------------------------------------------------------------------------- matches


def same(codes):
    """Which specimens have the same code, of codes (n,): (n, n), 1 or 0."""
    return (codes[:, None] == codes[None]).long()


def described_by(taxa, names):
    """Which specimens (rows) which names (columns) describe; taxon_codes (n, ranks) of both as tensors: (n, n).

    1 if the specimen belongs to the taxon of the name's lowest rank, 0 if it is known to belong to another, UNKNOWN where what
    is known of the specimen stops above that. A name always describes its own specimen.
    """
    both = (taxa[:, None] >= 0) & (names[None] >= 0)
    differs = (both & (taxa[:, None] != names[None])).any(dim=2)
    reaches = (taxa >= 0).sum(dim=1)[:, None] >= (names >= 0).sum(dim=1)[None]
    return torch.where(differs, 0, torch.where(reaches, 1, UNKNOWN)).fill_diagonal_(1)


def contrast(left, right, match, scale):
    """Mean cross-entropy of finding the matches among all, both ways, of vectors (n, d) and (n, d) of length 1.

    `match` (n, n) is 1, 0, or UNKNOWN for pairs that have no part in it. With several matches, the mean over them is taken, as
    in supervised contrast; with one each this is the loss of CLIP.
    """
    logits = scale * left @ right.T
    total = 0.0
    for values, matched in ((logits, match), (logits.T, match.T)):
        values = values.masked_fill(matched == UNKNOWN, -torch.inf)
        right_ones = matched == 1
        logs = F.log_softmax(values, dim=1).masked_fill(~right_ones, 0.0)
        counts = right_ones.sum(dim=1)
        total = total - (logs.sum(dim=1)[counts > 0] / counts[counts > 0]).mean() / 2
    return total


# -------------------------------------------------------------------------------------------------------- towers


class LowRank(nn.Module):
    """Parametrisation of a weight (out, ...): a correction of the given rank is added to it. It begins as 0."""

    def __init__(self, weight, rank):
        super().__init__()
        rows, columns = len(weight), weight[0].numel()
        self.down = nn.Parameter(torch.randn(rank, columns) / math.sqrt(columns))
        self.up = nn.Parameter(torch.zeros(rows, rank))

    def forward(self, weight):
        """The corrected weight."""
        return weight + (self.up @ self.down).view_as(weight)


def add_low_rank(network, after, rank):
    """Fix a network, and add corrections of a rank to all convolutions and linear layers behind the layer `after`.

    ValueError if there is none.
    """
    network.requires_grad_(False)
    modules = list(network.named_modules())
    inside = [i for i, (name, _) in enumerate(modules) if f".{after}." in f".{name}."]
    if not inside:
        raise ValueError(f"{after!r} is no layer of this network")
    chosen = [m for _, m in modules[inside[-1] + 1 :] if isinstance(m, nn.Conv2d | nn.Linear)]
    if not chosen:
        raise ValueError(f"there is nothing to train behind the layer {after!r}")
    for module in chosen:
        parametrize.register_parametrization(module, "weight", LowRank(module.weight, rank))


class Aligned(nn.Module):
    """Projections of towers, {name: columns}, into one space of `dimensions`, and the sharpness of the contrast.

    `network` is that of the images, in training, or None.
    """

    def __init__(self, columns, dimensions=128, network=None):
        super().__init__()
        self.network = network
        self.projections = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Linear(d, 512), nn.GELU(), nn.Linear(512, dimensions))
                for name, d in columns.items()
            }
        )
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, tower, vectors):
        """Vectors (n, dimensions) of length 1 in the common space, of vectors (n, columns) of a tower."""
        return F.normalize(self.projections[tower](vectors.float()), dim=1)

    @property
    def scale(self):
        """By what cosine similarities are multiplied: at most 100, as in CLIP."""
        return self.log_scale.exp().clamp(max=100)

    @torch.inference_mode()
    def place(self, tower, vectors):
        """What forward gives, of vectors (n, columns) as a NumPy array: float32 (n, dimensions)."""
        return self(tower, torch.from_numpy(vectors).to(self.log_scale.device)).cpu().numpy()


def side_by_side(layers):
    """Layers {name: (n, d)} of tensors side by side, each scaled to length 1: (n, sum of d)."""
    return torch.cat([F.normalize(values.float(), dim=1) for values in layers.values()], dim=1)


def look(network, transform, paths):
    """Vectors (n, d) of photographs through a network that gives {layer: (n, d)}: its layers `side_by_side`."""
    device = encoders.pick_device()
    shown = encoders.Network(network, transform, "")
    (layers,) = encoders.embed(shown, paths, [list(range(len(paths)))], device, encoders.pick_precision(device))
    return side_by_side({name: torch.from_numpy(values) for name, values in layers.items()}).numpy()


# ------------------------------------------------------------------------------------------------------ training


@dataclass(frozen=True)
class Specimens:
    """What is known of n specimens.

    `paths` are their photographs, `image` (n, d) what an encoder gives for them, `dna` (n, d) the vectors of their barcodes,
    with rows of NaN where there is none, `barcodes` (n,) the barcodes, and `taxa` has columns utils.RANKS, with gaps.
    """

    paths: list
    image: np.ndarray
    dna: np.ndarray
    barcodes: np.ndarray
    taxa: pd.DataFrame


@dataclass(frozen=True)
class Settings:
    """Settings of the training."""

    rank: int = 0  # of the corrections of the network's weights; 0: the network stays as it is
    after: str = "layer2"  # layers behind this one are corrected
    image_size: int = 112  # pixels of a view
    epochs: int = 20
    batch_size: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    dimensions: int = 128


def objective(placed, known, barcodes, taxa, names, scale):
    """Mean contrast of all pairs of towers in `placed`, {tower: (n, d)}; `known` {tower: (n,)} says where a specimen has one.

    `barcodes` (n,) are codes of barcodes, `taxa` and `names` (n, ranks) the taxon_codes of specimens and of the names shown.
    """
    matches = {"DNA": same(barcodes), "name": described_by(taxa, names)}
    losses = []
    for one, other in PAIRS:
        if one in placed and other in placed:
            rows = torch.nonzero(known[one] & known[other])[:, 0]
            match = matches[other][rows][:, rows].to(scale.device)
            if len(rows) > 1:
                losses.append(contrast(placed[one][rows], placed[other][rows], match, scale))
    return torch.stack(losses).mean() if losses else 0 * scale


def align(specimens, rows, towers, settings, network=None, transform=None, seed=0, progress=None):
    """Train an Aligned of some `towers` ("image", "DNA", "name") on the specimens `rows`.

    Names are cut off at a random rank, anew in every step. Where settings ask for a rank, `network` gives {layer: (n, d)} and
    is changed in place, and `transform` is that of its encoder. `progress(n)` is called after every n specimens.
    FloatingPointError if the loss is not finite.
    """
    torch.manual_seed(seed)
    network = network if settings.rank else None
    device = torch.device("cpu") if network is None else encoders.pick_device()
    columns = {"image": specimens.image.shape[1], "DNA": specimens.dna.shape[1], "name": NAME_FEATURES}
    if network is not None:
        add_low_rank(network, settings.after, settings.rank)
    model = Aligned({tower: columns[tower] for tower in towers}, settings.dimensions, network).to(device)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, settings.learning_rate, weight_decay=settings.weight_decay)
    size = min(settings.batch_size, len(rows))
    total, step = settings.epochs * (len(rows) // size), 0
    codes, has_dna = taxon_codes(specimens.taxa), np.isfinite(specimens.dna).all(axis=1)
    barcodes = pd.factorize(specimens.barcodes)[0]
    names = specimens.taxa[list(utils.RANKS)].to_numpy(object)
    for epoch in range(settings.epochs):
        random = np.random.default_rng((seed, epoch))
        order = random.permutation(rows)
        batches = [order[i : i + size] for i in range(0, len(order) - size + 1, size)]
        pictures = views(specimens.paths, batches, network, transform, settings, seed, epoch, device)
        for batch in batches:
            for group in optimizer.param_groups:
                group["lr"] = (
                    settings.learning_rate * min(1, (step + 1) / 20) * (0.5 + 0.5 * math.cos(math.pi * step / total))
                )
            shown = random.integers(1, codes.shape[1] + 1, len(batch))[:, None] > np.arange(codes.shape[1])
            cut = np.where(shown, codes[batch], UNKNOWN)
            known = {"image": np.ones(len(batch), bool), "DNA": has_dna[batch], "name": cut[:, 0] >= 0}
            known = {tower: torch.from_numpy(known[tower]) for tower in towers}
            inputs = {"image": next(pictures) if network is not None else torch.from_numpy(specimens.image[batch])}
            if "DNA" in towers:
                inputs["DNA"] = torch.from_numpy(np.nan_to_num(specimens.dna[batch]))
            if "name" in towers:
                texts = lineages(pd.DataFrame(np.where(cut >= 0, names[batch], None), columns=utils.RANKS))
                inputs["name"] = torch.from_numpy(name_vectors([text or "" for text in texts]))
            placed = {tower: model(tower, inputs[tower].to(device)) for tower in towers}
            known_of = torch.from_numpy(barcodes[batch]), torch.from_numpy(codes[batch]), torch.from_numpy(cut)
            loss = objective(placed, known, *known_of, model.scale)
            if not torch.isfinite(loss):
                raise FloatingPointError(f"the loss is {loss.item()} in epoch {epoch + 1}: try a lower learning_rate")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if progress:
                progress(len(batch))
    return model.eval()


def views(paths, batches, network, transform, settings, seed, epoch, device):
    """Vectors (n, d) of one random view of the photographs of every batch, through the network in training; none without it."""
    if network is None:
        return
    config = training.TrainingConfig(weight_views=1.0, image_size=settings.image_size)
    shown = training.Views(paths, [training.RandomView(config)], seed, epoch)
    _, *statistics = encoders.in_bytes(transform)
    mean, deviation = (values.to(device) for values in statistics)
    precision = encoders.pick_precision(device)
    mixed = precision == torch.bfloat16
    for pictures, _ in training.load_views(shown, [batch.tolist() for batch in batches], device):
        images = (pictures[:, 0] - mean) / deviation
        with torch.autocast(device.type, precision, enabled=mixed):
            layers = network(images.contiguous(memory_format=encoders.memory_format(device)))
        yield side_by_side(layers)
