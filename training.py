"""Tuning an encoder on the photographs at hand: views, losses, and a training loop that can be interrupted at any time.

A config in params/trainers/ describes a trainer. Losses and balanced batches come from pytorch-metric-learning, augmentations
from torchvision.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
from pytorch_metric_learning.losses import SupConLoss
from pytorch_metric_learning.samplers import MPerClassSampler
from pytorch_metric_learning.utils import common_functions as metric_learning
from scipy.spatial.distance import pdist
from sklearn.preprocessing import normalize
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2
from tqdm import tqdm

import clustering
import encoders
import scoring
import utils

VIEWS = ("one", "two", "layers")


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of a trainer. A loss with weight zero is left out."""

    weight_labels: float = 0.0  # supervised contrast: photographs of one label attract each other
    weight_views: float = 0.0  # self-supervised contrast: two views of one photograph attract each other
    weight_neighbors: float = 0.0  # soft labels: similar photographs of one label attract each other (`Memory`)
    weight_pixels: float = 0.0  # autoencoder: the photograph is reconstructed from the deepest layer
    temperature_labels: float = 0.1
    temperature_views: float = 0.2
    temperature_neighbors: float = 0.1
    views: str = "two"  # "one" or "two" random views of a photograph; "layers": the plain photograph in two layers
    include_self: bool = False  # the supervised contrast counts every sample among its own positives
    samples_per_class: int = 0  # photographs of one label in a batch; 0: batches are random
    batch_size: int = 128
    gradient_accumulation: int = 1  # batches per step; contrasts stay within a batch
    epochs: int = 10
    warmup: float = 1.0  # epochs of linear warm-up, before the cosine
    learning_rate: float = 3e-4
    weight_decay: float = 1e-4
    freeze: str = ""  # the backbone is frozen up to and with this layer
    freeze_batchnorm: bool = True
    head_size: int = 128
    image_size: int = 128  # pixels of a view
    min_crop_scale: float = 0.3  # smallest share of the photograph in a view
    colour: float = 0.2  # strength of changes in brightness, contrast and saturation
    rotation: float = 15.0  # degrees, at most

    def __post_init__(self):
        for name, fits, what in (
            ("views", self.views in VIEWS, f"one of {', '.join(VIEWS)}"),
            (
                "weight_labels",
                self.weight_labels + self.weight_views + self.weight_neighbors + self.weight_pixels > 0,
                "positive, or another weight",
            ),
            ("weight_views", not self.weight_views or self.views == "two", "0 unless there are two views"),
            ("weight_neighbors", not self.weight_neighbors or self.views == "two", "0 unless there are two views"),
            ("batch_size", self.batch_size >= 2, "at least 2"),
            ("epochs", self.epochs >= 1, "at least 1"),
            ("gradient_accumulation", self.gradient_accumulation >= 1, "at least 1"),
            ("min_crop_scale", 0 < self.min_crop_scale <= 1, "above 0 and at most 1"),
        ):
            if not fits:
                raise ValueError(f"{name} = {getattr(self, name)!r} should be {what}")


QUALITIES = ("alignment", "uniformity", "silhouette")


# --------------------------------------------------------------------------------------------------------- views


class RandomView:
    """Random view of a PIL image: a part of it as (3, s, s) bytes, and how `changed` should turn, mirror and colour it (6)."""

    def __init__(self, config):
        self.crop = v2.Compose([v2.RandomResizedCrop(config.image_size, (config.min_crop_scale, 1)), v2.ToImage()])
        hue = config.colour / 8  # hue separates species, so it changes least
        self.most = torch.tensor([config.rotation / 360, 0.5, config.colour, config.colour, config.colour, hue])

    def __call__(self, image):
        turn, mirror, *colours, hue = self.most * (2 * torch.rand(6) - 1)
        return self.crop(image), torch.stack([turn, mirror.sign(), *(1 + colour for colour in colours), hue])


class PlainView:
    """The centre of a PIL image as (3, s, s) bytes, and numbers (6) with which `changed` leaves it as it is."""

    def __init__(self, config):
        self.crop = v2.Compose([v2.Resize(config.image_size), v2.CenterCrop(config.image_size), v2.ToImage()])

    def __call__(self, image):
        return self.crop(image), torch.tensor([0.0, 1.0, 1.0, 1.0, 1.0, 0.0])


GREY = torch.tensor([0.299, 0.587, 0.114])  # luma and two differences of colour, as of NTSC television
LUMA_CHROMA = torch.stack([GREY, torch.tensor([0.596, -0.274, -0.322]), torch.tensor([0.211, -0.523, 0.312])])
COLOURS = torch.linalg.inv(LUMA_CHROMA)


def changed(images, changes):
    """Images (n, 3, s, s), from 0 to 1, each turned, mirrored and coloured as its row of `changes` (n, 6) says.

    A row holds the angle in turns, 1 or -1 (mirrored), factors of brightness, contrast and saturation (1: unchanged), and the
    turn of the hue. What was outside of an image is black. All images of a batch are computed at once, on their device.
    """
    turn, mirror, brightness, contrast, saturation, hue = changes.T
    cos, sin, none = (2 * math.pi * turn).cos(), (2 * math.pi * turn).sin(), torch.zeros_like(turn)
    affine = torch.stack([mirror * cos, -mirror * sin, none, sin, cos, none], 1).view(-1, 2, 3)
    images = F.grid_sample(images, F.affine_grid(affine, list(images.shape), align_corners=False), align_corners=False)
    to, back, one = LUMA_CHROMA.to(images.device), COLOURS.to(images.device), torch.ones_like(hue)
    cos, sin = saturation * (2 * math.pi * hue).cos(), saturation * (2 * math.pi * hue).sin()
    chroma = torch.stack([one, none, none, none, cos, sin, none, -sin, cos], 1).view(-1, 3, 3)
    colours = brightness.view(-1, 1, 1) * back @ chroma @ to
    coloured = (colours @ images.flatten(2)).view_as(images)
    mean = torch.einsum("c,nchw->n", GREY.to(images.device), coloured) / (images.shape[2] * images.shape[3])
    contrast, mean = contrast.view(-1, 1, 1, 1), mean.view(-1, 1, 1, 1)
    return (mean + contrast * (coloured - mean)).clamp(0, 1)


class Views(Dataset):
    """Item i: photograph i through each of `views`: (v, 3, s, s) bytes, their changes (v, 6), i; by seed, epoch and i only."""

    def __init__(self, paths, views, seed, epoch):
        self.paths, self.views, self.seed, self.epoch = list(paths), views, seed, epoch

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        image = encoders.load_photo(self.paths[i])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_mix(self.seed, self.epoch, i))
            parts, changes = zip(*(view(image) for view in self.views), strict=True)
            return torch.stack(parts), torch.stack(changes), i


def load_views(views, rows, device):
    """Batches of (views (b, v, 3, s, s) from 0 to 1, on the device, rows (b,)), in the order of `rows`, lists of rows."""
    workers = min(encoders.WORKERS, len(rows))
    loader = DataLoader(views, batch_sampler=rows, num_workers=workers, pin_memory=device.type == "cuda")
    for parts, changes, numbers in encoders.loaded(loader):
        images = parts.to(device, non_blocking=True).flatten(0, 1).float() / 255
        yield changed(images, changes.to(device).flatten(0, 1)).view(parts.shape), numbers


def _mix(*numbers):
    """One seed out of several non-negative numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def batches(labels, config, seed, epoch):
    """Lists of rows for one epoch: all rows shuffled, or the same number of each of several labels (n,); -1 is no label."""
    size = min(config.batch_size, len(labels))
    random = np.random.RandomState(_mix(seed, epoch))
    if config.samples_per_class:
        known = np.flatnonzero(labels >= 0)
        n_labels = min(size // config.samples_per_class, len(np.unique(labels[known])))
        if n_labels < 2:
            raise ValueError(f"batches of {size} with {config.samples_per_class} of each label do not hold two of them")
        size = n_labels * config.samples_per_class
        metric_learning.NUMPY_RANDOM = random  # where the sampler draws from
        rows = known[list(MPerClassSampler(labels[known], config.samples_per_class, size, max(size, len(known))))]
    else:
        rows = random.permutation(len(labels))
    return [rows[i : i + size].tolist() for i in range(0, len(rows) - size + 1, size)]


# -------------------------------------------------------------------------------------------------------- losses


def contrast(embeddings, labels, temperature, include_self=False):
    """Supervised contrastive loss of (n, d) embeddings with (n,) labels; Khosla et al. (2020), NeurIPS 33:18661-18673.

    A sample is no positive of its own, and one without any positive takes no part. If every label occurs twice, for the
    two views of one photograph, this is the NT-Xent loss of SimCLR; Chen et al. (2020), ICML 119:1597-1607. With
    `include_self` every sample attracts itself, too, and competes with the others for it.
    """
    loss = SupConLoss(temperature)
    if include_self:  # the library leaves out the pairs of a sample with itself unless it is given two sets
        return loss(embeddings, labels, ref_emb=embeddings, ref_labels=labels.clone())
    return loss(embeddings, labels)


def _heads(layers):
    """Outputs of the heads, among all `layers` by name."""
    return [values for name, values in layers.items() if name.startswith("head_")]


def objective(layers, labels, rows, config):
    """Weighted sum of the contrasts, mean over the heads.

    `layers` holds "head_<layer>" (v * b, d): the first views of all b photographs, then the second ones. `labels` (b,) may
    be -1, for none; `rows` (b,) tell the photographs apart.
    """
    heads = _heads(layers)
    n_views = len(heads[0]) // len(rows)
    if config.views == "layers":
        heads, n_views = [torch.cat(heads)], len(heads)
    labels, rows = labels.repeat(n_views), rows.repeat(n_views)
    known = labels >= 0
    total = 0.0
    for head in heads:
        if config.weight_labels:
            attracted = contrast(head[known], labels[known], config.temperature_labels, config.include_self)
            total = total + config.weight_labels * attracted
        if config.weight_views:
            total = total + config.weight_views * contrast(head, rows, config.temperature_views)
    return total / len(heads)


class Memory(nn.Module):
    """The last head output (n, d) of every photograph, one matrix per head, and the labels (n,); -1 is no label.

    As a loss it pulls every photograph towards its second view and others of its label, towards similar ones most, and pushes
    it away from the rest. These soft labels are those of MaskCon (Feng and Patras 2023, CVPR 19913-19922), which takes them
    from a second, slower network and a queue. Here all photographs fit in memory, and tuning changes the network little.
    """

    def __init__(self, labels, heads, size, temperature):
        super().__init__()
        self.temperature = temperature
        self.register_buffer("labels", torch.as_tensor(labels))
        self.register_buffer("seen", torch.zeros(len(labels), dtype=torch.bool))
        self.register_buffer("kept", torch.zeros(heads, len(labels), size))

    def forward(self, heads, rows):
        """Mean loss over `heads`, each (2 b, d): first views of the photographs `rows` (b,), which learn, then second ones."""
        self.seen[rows] = True
        own = rows[:, None] == self.seen.nonzero()[:, 0]
        alike = (self.labels[rows, None] == self.labels[self.seen]) & (self.labels[rows, None] >= 0) & ~own
        losses = []
        for kept, head in zip(self.kept, heads, strict=True):
            view, other = F.normalize(head).chunk(2)
            kept[rows] = other.detach()
            near = (kept[rows] @ kept[self.seen].T / self.temperature).masked_fill(~alike, -torch.inf)
            soft = (near - near.amax(1, keepdim=True).nan_to_num(neginf=0.0)).exp()  # 1 for the most similar of the label
            wanted = F.normalize(soft.masked_fill(own, 1.0), p=1)
            losses.append(F.cross_entropy(view @ kept[self.seen].T / self.temperature, wanted))
        return torch.stack(losses).mean()


class Decoder(nn.Module):
    """Reconstructs an image (b, 3, 64, 64), normalised like the network's input, from an embedding (b, d)."""

    def __init__(self, size, width=256):
        super().__init__()
        widths = [width // 2**i for i in range(5)]
        self.start = nn.Sequential(nn.Linear(size, width * 16), nn.ReLU(), nn.Unflatten(1, (width, 4, 4)))
        steps = [
            nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU())
            for a, b in itertools.pairwise(widths)
        ]
        self.steps, self.end = nn.Sequential(*steps), nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, embedding):
        return self.end(self.steps(self.start(embedding)))


# ------------------------------------------------------------------------------------------------------- network


def freeze(backbone, config):
    """Fix the backbone up to the layer `config.freeze`, and its batch normalisation if asked to.

    Returns the modules that stay in evaluation mode. ValueError if there is no such layer.
    """
    parameters = [f".{name}." for name, _ in backbone.named_parameters()]
    inside = [i for i, name in enumerate(parameters) if f".{config.freeze}." in name]
    if config.freeze and not inside:
        raise ValueError(f"freeze {config.freeze!r} is no layer of this backbone")
    for parameter in list(backbone.parameters())[: inside[-1] + 1 if config.freeze else 0]:
        parameter.requires_grad_(False)
    norms = [module for module in backbone.modules() if isinstance(module, _BatchNorm)]
    if config.freeze_batchnorm:
        for norm in norms:
            norm.requires_grad_(False)
    return [norm for norm in norms if not any(p.requires_grad for p in norm.parameters())]


def aligned_epoch(log):
    """The epoch of a log (rows with epoch, alignment, uniformity) with the least alignment + uniformity; later ones win ties.

    SimCLR minimises this sum, so choosing by it would favour that trainer. The network of the last epoch is kept; that of this
    epoch is reported beside it.
    """
    return min(log, key=lambda row: (row["alignment"] + row["uniformity"], -row["epoch"]))["epoch"]


class Trainer:
    """A network in training on photographs (n paths) with labels (n,), -1 where there is none.

    `network` is a TunedNetwork, `log` has a row per epoch, `aligned` holds the weights after `aligned_epoch(log)`. On the CPU
    the same seed, number of threads and libraries give the same network, however often training was interrupted; other devices
    may sum in another order.
    ValueError if the config does not fit.
    """

    PARTS = ("network", "decoder", "memory", "optimizer", "schedule", "scaler")

    def __init__(self, backbone, transform, paths, labels, config, device, precision, seed=0):
        if len(paths) < 2:
            raise ValueError(f"training needs two photographs or more, and there are {len(paths)}")
        torch.manual_seed(seed)
        self.paths, self.labels, self.config, self.seed = list(paths), np.asarray(labels), config, seed
        self.device, self.precision = device, precision
        _, *self.statistics = encoders.in_bytes(transform)
        self.network = encoders.TunedNetwork(backbone, {}, 0).to(device)
        blank = torch.zeros(2, 1, 3, config.image_size, config.image_size)
        with torch.inference_mode():
            sizes = {name: values.shape[1] for name, values in self._forward(blank).items()}
        self.deepest = list(sizes)[-1]
        contrasts = config.weight_labels or config.weight_views or config.weight_neighbors
        self.network = encoders.TunedNetwork(backbone, sizes if contrasts else {}, config.head_size).to(device)
        self.decoder = Decoder(sizes[self.deepest]).to(device) if config.weight_pixels else nn.Identity()
        self.memory = nn.Identity()
        if config.weight_neighbors:
            self.memory = Memory(self.labels, len(sizes), config.head_size, config.temperature_neighbors).to(device)
        self.fixed = freeze(self.network.backbone, config)
        self.views = {
            "two": [RandomView(config)] * 2,
            "one": [RandomView(config)],
            "layers": [PlainView(config)],
        }[config.views]
        self.steps = math.ceil(len(self._batches(0)) / config.gradient_accumulation)
        trained = [p for module in (self.network, self.decoder) for p in module.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, config.learning_rate, weight_decay=config.weight_decay)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._rate)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == torch.float16)
        self.log, self.aligned = [], None

    def _rate(self, step):
        """Share of the learning rate at a step: linear warm-up, then half a cosine down to 0."""
        total, warmup = self.config.epochs * self.steps, max(1, round(self.config.warmup * self.steps))
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 + 0.5 * math.cos(math.pi * (step - warmup) / max(1, total - warmup))

    def _batches(self, epoch):
        return batches(self.labels, self.config, self.seed, epoch)

    def load(self, rows, views, epoch):
        """Batches of (views (b, v, 3, s, s) from 0 to 1, on the device, rows (b,)), in the order of `rows`, lists of rows."""
        return load_views(Views(self.paths, views, self.seed, epoch), rows, self.device)

    def _forward(self, views):
        """{layer: (v * b, d)} of (b, v, 3, s, s): all first views, then all second ones."""
        images = self._normalised(views, self.device).contiguous(memory_format=encoders.memory_format(self.device))
        with self._mixed():
            layers = self.network(images)
        return {name: values.float() for name, values in layers.items()}

    def _normalised(self, views, device):
        """Normalised images (v * b, 3, s, s) of views (b, v, 3, s, s)."""
        mean, std = (value.to(device) for value in self.statistics)
        return (views.to(device).transpose(0, 1).flatten(0, 1) - mean) / std

    def _small(self, views):
        """What the decoder should reconstruct: views (b, v, 3, s, s) as normalised images (v * b, 3, 64, 64), on the CPU.

        Apple's GPUs shrink by whole numbers only (https://github.com/pytorch/pytorch/issues/143864).
        """
        return F.interpolate(self._normalised(views, "cpu"), 64, mode="area")

    def _reconstruct(self, layers):
        """Normalised images (v * b, 3, 64, 64) that the decoder reconstructs from the deepest layer."""
        with self._mixed():
            return self.decoder(layers[self.deepest]).float()

    def _mixed(self):
        return torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32)

    @torch.inference_mode()
    def reconstructed(self, views):
        """Images (b, 3, 64, 64) between 0 and 1: the first of the views (b, v, 3, s, s), and its reconstruction."""
        self.network.eval()
        self.decoder.eval()
        mean, std = self.statistics
        drawn = self._reconstruct(self._forward(views[:, :1])).cpu()
        return tuple((pictures * std + mean).clamp(0, 1) for pictures in (self._small(views[:, :1]), drawn))

    def loss(self, views, rows):
        """Weighted sum of all losses on one batch of views (b, v, 3, s, s) of the photographs `rows` (b,)."""
        layers = self._forward(views)
        total = 0.0
        if self.network.heads:
            labels = torch.from_numpy(self.labels)[rows]
            total = total + objective(layers, labels.to(self.device), rows.to(self.device), self.config)
        if self.config.weight_neighbors:
            total = total + self.config.weight_neighbors * self.memory(_heads(layers), rows.to(self.device))
        if self.config.weight_pixels:
            wanted = self._small(views).to(self.device)
            total = total + self.config.weight_pixels * F.mse_loss(self._reconstruct(layers), wanted)
        return total

    def train_epoch(self):
        """One pass over the photographs, and a row for the log. FloatingPointError if the loss is not finite."""
        epoch, losses = len(self.log) + 1, []
        torch.manual_seed(_mix(self.seed, epoch))  # of layers that are random themselves, such as dropout
        self.network.train()
        self.decoder.train()
        for module in self.fixed:
            module.eval()
        plan = self._batches(epoch)
        with tqdm(total=sum(map(len, plan)), desc=f"epoch {epoch}", unit="image") as bar:
            for number, (views, rows) in enumerate(self.load(plan, self.views, epoch), 1):
                loss = self.loss(views, rows)
                if not torch.isfinite(loss):
                    raise FloatingPointError(f"the loss is {loss.item()} in epoch {epoch}, batch {number}")
                self.scaler.scale(loss / self._group_size(number, len(plan))).backward()
                if number % self.config.gradient_accumulation == 0 or number == len(plan):
                    self.scaler.step(self.optimizer)
                    self.scaler.update()
                    self.optimizer.zero_grad(set_to_none=True)
                    self.schedule.step()
                losses.append(loss.item())
                bar.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
                bar.update(len(rows))
        row = {"epoch": epoch, "loss": float(np.mean(losses)), "learning_rate": self.schedule.get_last_lr()[0]}
        self.log.append(row | self.quality())
        if aligned_epoch(self.log) == epoch:
            self.aligned = {name: value.cpu().clone() for name, value in self.network.state_dict().items()}

    def _group_size(self, number, total):
        """How many of `total` batches share an optimizer step with batch `number` (from 1): the last group may be smaller."""
        first = (number - 1) // self.config.gradient_accumulation * self.config.gradient_accumulation
        return min(self.config.gradient_accumulation, total - first)

    def state(self):
        """Everything that another Trainer with the same arguments needs to continue from here."""
        parts = {name: getattr(self, name).state_dict() for name in self.PARTS}
        return parts | {"log": self.log, "aligned": self.aligned}

    def load_state(self, state):
        """Continue from what state() gave."""
        for name in self.PARTS:
            getattr(self, name).load_state_dict(state[name])
        self.log, self.aligned = state["log"], state["aligned"]

    @torch.inference_mode()
    def quality(self, sample=256):
        """Quality of the deepest layer without any label: {alignment, uniformity, silhouette}, on a fixed sample.

        Alignment is the mean squared distance of two views of one photograph, uniformity the logarithm of the mean
        Gaussian potential of two photographs (the lower, the better, both; Wang and Isola 2020, ICML 119:9929-9939),
        silhouette the best that any cut of their Ward tree reaches (the higher, the better).
        """
        rows = np.sort(np.random.default_rng(0).permutation(len(self.paths))[:sample]).tolist()
        self.network.eval()
        chunks = [rows[i : i + 64] for i in range(0, len(rows), 64)]
        parts = []
        for views, chunk in self.load(chunks, [*[RandomView(self.config)] * 2, PlainView(self.config)], 0):
            parts.append(self._forward(views)[self.deepest].view(3, len(chunk), -1).cpu())
        one, other, plain = (normalize(values) for values in torch.cat(parts, 1).numpy())
        return {
            "alignment": float(np.square(one - other).sum(1).mean()),
            "uniformity": float(np.log(np.exp(-2 * pdist(plain, "sqeuclidean")).mean())),
            "silhouette": float(scoring.silhouettes([clustering.cluster_species(plain, "ward", "silhouette")[0]], plain)[0]),
        }


def tune(trainer, checkpoint, fingerprint, report=lambda log: None):
    """Train for all epochs, with a checkpoint after every one, and leave the weights of the last in trainer.network.

    Training continues from a checkpoint with the same `fingerprint` (a text) and starts anew otherwise. `report(log)` is called
    after every epoch. FloatingPointError if the loss is not finite: the checkpoint of the last good epoch stays.
    """
    if checkpoint.is_file():
        state = torch.load(checkpoint, "cpu", weights_only=True)
        if state.pop("fingerprint") == fingerprint:
            trainer.load_state(state)
    while len(trainer.log) < trainer.config.epochs:
        try:
            trainer.train_epoch()
        except FloatingPointError as error:
            kept = f"{checkpoint} keeps epoch {len(trainer.log)}" if trainer.log else "no epoch was finished"
            raise FloatingPointError(f"{error}; {kept}. Try a lower learning_rate, or precision: float32") from None
        with utils.atomic_write(checkpoint) as temporary, temporary.open("wb") as stream:
            torch.save(trainer.state() | {"fingerprint": fingerprint}, stream)
        report(trainer.log)
