"""From photographs to embeddings: build an encoder, run it in batches, keep a tuned one.

A config in params/encoders/ describes an encoder: library, architecture, weights, layers, input size. `open_encoder` turns it
into an object that describes the photographs of a dataset, whatever the library. Architecture, transforms and normalisation
come from the library; this module joins the libraries. A network that chapter 03 tuned carries such a config in its own file.
timm and open_clip take seconds to load and are imported where they are used.
"""

import copy
import hashlib
import json
import operator
import os
import pickle
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from sklearn.decomposition import PCA
from sklearn.preprocessing import normalize
from torch import fx, nn
from torch.fx.experimental.optimization import fuse
from torch.utils.data import DataLoader, Dataset
from torchvision.models import get_model, get_model_weights
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.transforms import v2
from tqdm import tqdm

import dna
import dna_networks
import encoder_configs
import pretrained
import utils
from barcodes import known_barcodes
from files import atomic_write
from images import centre, load_rgb

# ------------------------------------------------------------------------------------------------------ encoders


@dataclass
class Network:
    """A network and what it takes: `network(batch (b, 3, s, s)) -> {layer: (b, d) or (b, d, h, w)}`."""

    network: nn.Module
    transform: object  # PIL image -> tensor (3, s, s)
    weights_digest: str  # SHA-256 of the weights file, or what stands in for one
    crops: tuple = (1.0,)  # shares of a photograph around its centre, whose vectors are averaged


def build_network(library, architecture, weights, layers, input_size, weights_dir="", seed=0):
    """Build the network that a config in params/encoders/ describes, in evaluation mode.

    `layers` maps the name of each embedding to where the library finds it: a graph node for torchvision; "head" or the
    index of an intermediate block for timm; "image" for open_clip; "thumbnail" for pixels; a layer or "head_<layer>" for
    tuned, whose `weights` are the path of a file that save_tuned wrote. Without `weights` the network keeps its random
    initial weights, drawn from `seed`. ValueError if a setting or the weights file does not fit.
    """
    builders = BUILDERS | {"tuned": _tuned}
    if library not in builders:
        raise ValueError(f"library {library!r} is not one of {', '.join(builders)}")
    file = pretrained.weights_file(library, architecture, weights, weights_dir) if weights else None
    torch.manual_seed(seed)
    try:
        network, transform = builders[library](architecture, weights, layers, input_size, file)
    except OSError:
        raise
    except Exception as error:  # of torch, safetensors, pickle, timm and open_clip, for a file of another kind or network
        raise ValueError(f"{file or 'this config'} does not fit {library}'s {architecture}: {_misfit(error)}") from error
    return Network(network.eval(), transform, utils.file_digest(file) if file else f"untrained, seed {seed}")


def _misfit(error):
    """Why weights do not fit, in one line with at most two names of each kind; torch lists every tensor."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, pickle.UnpicklingError) or "weights_only" in text:  # both advise to read it without protection
        return "it holds other things than tensors, which are not read: save its state dict as .safetensors"
    text = re.sub(r'("[^"]*", "[^"]*")((?:, "[^"]*")+)', lambda found: f"{found[1]} and {found[2].count(', ')} more", text)
    first, *others = re.split(r"(?=size mismatch for )", text)
    return first + "".join(others[:1]) + (f" ({len(others) - 1} more of other sizes)" if others[1:] else "")


def _torchvision(architecture, weights, layers, input_size, file):
    network = get_model(architecture)
    if file:
        read = load_file if file.suffix == ".safetensors" else lambda p: torch.load(p, "cpu", weights_only=True)
        network.load_state_dict(read(file), strict=True)
    known = get_model_weights(architecture)
    if weights not in (None, *known.__members__):
        raise ValueError(f"weights {weights!r} of {architecture} are not one of {', '.join(known.__members__)}")
    preset = (known[weights] if weights else next(iter(known))).transforms
    standard = preset()
    resize = round(standard.resize_size[0] * input_size / standard.crop_size[0])
    network = create_feature_extractor(network.eval(), {node: name for name, node in layers.items()})
    return network, preset(crop_size=input_size, resize_size=resize)


class _TimmLayers(nn.Module):
    """The head's input and any intermediate blocks of a timm model, in one pass."""

    def __init__(self, model, layers):
        super().__init__()
        self.model, self.layers = model, layers
        self.blocks = sorted(block for block in layers.values() if block != "head") or [0]  # timm needs at least one

    def forward(self, images):
        final, blocks = self.model.forward_intermediates(images, indices=self.blocks)
        found = dict(zip(self.blocks, blocks, strict=True))
        found["head"] = self.model.forward_head(final, pre_logits=True)
        return {name: found[where] for name, where in self.layers.items()}


def _timm(architecture, weights, layers, input_size, file):
    import timm

    name = f"{architecture}.{weights}" if weights else architecture
    native = timm.get_pretrained_cfg(name)
    resized = {"img_size": input_size} if native.fixed_input_size and native.input_size[-1] != input_size else {}
    overlay = {"pretrained_cfg_overlay": {"file": str(file)}} if file else {}
    model = timm.create_model(name, pretrained=file is not None, **overlay, **resized)
    config = timm.data.resolve_data_config({"input_size": (3, input_size, input_size)}, model=model)
    return _TimmLayers(model, layers), timm.data.create_transform(**config)


class _OpenClipImage(nn.Module):
    """The image tower of a CLIP model, without the text tower."""

    def __init__(self, visual, layers):
        super().__init__()
        self.visual, (self.name,) = visual, layers

    def forward(self, images):
        return {self.name: self.visual(images)}


def _open_clip(architecture, weights, layers, input_size, file):
    import open_clip

    model, _, transform = open_clip.create_model_and_transforms(
        architecture, pretrained=str(file) if file else None, force_image_size=input_size, weights_only=True
    )
    return _OpenClipImage(model.visual, layers), transform


class PixelPCA(nn.Module):
    """A control without training: principal components of small thumbnails, fitted to the photographs of a dataset."""

    def __init__(self, layers, n_components=128):
        super().__init__()
        (self.name,), self.n_components = layers, n_components

    def fit(self, images, seed=0):
        """Find the components of flattened thumbnails (n, 3, s, s)."""
        flat = images.flatten(1).numpy()
        pca = PCA(min(self.n_components, *flat.shape), random_state=seed).fit(flat)
        self.mean, self.components = torch.from_numpy(pca.mean_), torch.from_numpy(pca.components_.T)
        return self

    def forward(self, images):
        flat = images.flatten(1).cpu() - self.mean
        return {self.name: flat @ self.components}


def _pixels(architecture, weights, layers, input_size, file):
    squash = v2.Compose([v2.Resize((input_size, input_size)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    return PixelPCA(layers), squash


BUILD_KEYS = ("library", "architecture", "weights", "layers", "input_size")
BUILDERS = {"torchvision": _torchvision, "timm": _timm, "open_clip": _open_clip, "pixels": _pixels}


class TunedNetwork(nn.Module):
    """A backbone and a projection head on each layer in `sizes`, {layer: d}: {layer: (b, d), "head_<layer>": (b, head_size)}.

    Spatial maps are averaged over their positions first, in float32.
    """

    def __init__(self, backbone, sizes, head_size):
        super().__init__()
        self.backbone = backbone
        self.heads = nn.ModuleDict(
            {name: nn.Sequential(nn.Linear(d, d), nn.ReLU(), nn.Linear(d, head_size)) for name, d in sizes.items()}
        )

    def forward(self, images):
        layers = {name: average(values) for name, values in self.backbone(images).items()}
        return layers | {f"head_{name}": head(layers[name]) for name, head in self.heads.items()}


class _Mirrored(nn.Module):
    """A network whose vectors (b, d) are the means over an image and its mirror image, in float32.

    A left and a right side then count as one (Simonyan and Zisserman 2015, ICLR). It takes twice the time.
    """

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        one, other = self.network(images), self.network(images.flip(-1))
        return {name: (average(values) + average(other[name])) / 2 for name, values in one.items()}


class _Chosen(nn.Module):
    """Some outputs of a network, under other names."""

    def __init__(self, network, layers):
        super().__init__()
        self.network, self.layers = network, layers

    def forward(self, images):
        found = self.network(images)
        return {name: found[where] for name, where in self.layers.items()}


def save_tuned(state, config, path):
    """Write the state of a TunedNetwork in half precision as safetensors; `config` (a dict) says how to build its backbone."""
    tensors = {
        name: (value.half() if value.is_floating_point() else value).cpu().contiguous() for name, value in state.items()
    }
    with atomic_write(path) as temporary:
        temporary.write_bytes(save(tensors, {"backbone": json.dumps(config)}))  # one key, as the order of several is not fixed


def _tuned(architecture, weights, layers, input_size, file):
    """A network that chapter 03 tuned: exactly what its file holds. Its backbone's config gives architecture and transform."""
    with safe_open(file, "pt") as content:
        config = json.loads((content.metadata() or {}).get("backbone", "null"))
    if not config or config["architecture"] != architecture:
        raise ValueError(
            f"{weights} holds {config and config['architecture']}, tuned by chapter 03, and not {architecture}"
        )
    build = BUILDERS[config["library"]]
    backbone, transform = build(architecture, config["weights"], config["layers"], input_size, None)
    state = load_file(file)
    ends = {name: state.get(f"heads.{name}.2.weight") for name in config["layers"]}  # (head_size, d); none without a head
    sizes = {name: weight.shape[1] for name, weight in ends.items() if weight is not None}
    head_size = next((len(weight) for weight in ends.values() if weight is not None), 0)
    network = TunedNetwork(backbone, sizes, head_size)
    network.load_state_dict(state, strict=True)
    known = [*config["layers"], *(f"head_{name}" for name in sizes)]
    if unknown := set(layers.values()) - set(known):
        raise ValueError(f"{weights} has no layer {', '.join(sorted(unknown))}: there are {', '.join(known)}")
    return _Chosen(network, layers), transform


def network_of(config, weights_dir="", seed=0):
    """The Network of an encoder's config, which may say more than how to build it."""
    return build_network(**{name: config[name] for name in BUILD_KEYS}, weights_dir=weights_dir, seed=seed)


def tuned_layers(file):
    """Names of the layers that a file written by save_tuned can give, from shallow to deep, heads last."""
    with safe_open(file, "pt") as content:
        layers = json.loads(content.metadata()["backbone"])["layers"]
        return [*layers, *(f"head_{name}" for name in layers if f"heads.{name}.2.weight" in content.keys())]  # noqa: SIM118


def start_tuning(config, weights_dir="", seed=0):
    """What tuning begins with: the backbone of an encoder's config, its transform, and a config that rebuilds the backbone."""
    built = {name: config[name] for name in BUILD_KEYS}
    network = network_of(config, weights_dir, seed)
    if built["library"] != "tuned":
        return network.network, network.transform, built
    with safe_open(pretrained.tuned_file(config["weights"]), "pt") as content:
        before = json.loads(content.metadata()["backbone"])
    return network.network.network.backbone, network.transform, before | {"input_size": config["input_size"]}


def fit_pixels(network, paths, seed=0, sample=5000):
    """Fit the network of a "pixels" encoder to the photographs at hand, or to a seeded sample of them."""
    rows = np.sort(np.random.default_rng(seed).permutation(len(paths))[:sample])
    shown = Photos([paths[i] for i in rows], network.transform, enough_pixels(network.transform))
    thumbnails = [shown[i] for i in tqdm(range(len(shown)), desc="thumbnails", unit="image")]
    network.network.fit(torch.stack(thumbnails), seed)


def tabulate(table, prefix):
    """Columns of a table that start with `prefix`, as (n, d) float32: numbers standardised, categories as 0 and 1."""
    chosen = table[[name for name in table if name.startswith(prefix)]]
    numbers = chosen.select_dtypes(["number", "bool"]).astype(float)
    spread = numbers.std(ddof=0)
    parts = [(numbers - numbers.mean()) / spread.where(spread > 0, 1)]
    if len(names := chosen.columns.difference(numbers.columns, sort=False)):
        parts.append(pd.get_dummies(chosen[names]))
    return pd.concat(parts, axis=1).to_numpy(np.float32)


# ----------------------------------------------------------------------------------------------------- embedding


def load_photo(photo, at_least=None):
    """A photograph (PIL) that chapter 01 accepted: `photo` is its path, or a function without arguments that returns it.

    For `at_least` see `images.load_rgb`. RuntimeError names the file if it cannot be read any more.
    """
    if callable(photo):
        return photo()
    path = photo
    try:
        return load_rgb(path, at_least)
    except (ValueError, OSError) as error:
        raise RuntimeError(f"{path} was readable in chapter 01 but is not now: {error}") from None


def loaded(loader):
    """The batches of a DataLoader. An error in a worker is raised again without its traceback: RuntimeError in one line."""
    try:
        yield from loader
    except Exception as error:
        text = str(error).strip()
        if "Original Traceback" in text:
            text = text.splitlines()[-1].removeprefix("RuntimeError: ")
        elif isinstance(error, MemoryError):
            text = f"MemoryError: {text}"
        elif "DataLoader worker" in text or isinstance(error, ConnectionError | EOFError):  # died while it sent a batch
            text = f"a process that loads photographs died, perhaps for want of memory ({' '.join(text.split())})"
        elif not isinstance(error, RuntimeError):
            raise
        raise RuntimeError(text) from None


def in_bytes(transform):
    """The part of an encoder's transform that gives bytes (3, s, s), and the mean and deviation (3, 1, 1) which then follow.

    Every library ends its transform with a tensor from 0 to 1 and its normalisation. Bytes are a quarter of the size, so they
    reach the network sooner.
    """
    steps = getattr(transform, "transforms", None)
    if steps is None:  # one of torchvision's presets, which are single modules
        resize = v2.Resize(transform.resize_size, transform.interpolation, antialias=transform.antialias)
        steps = [resize, v2.CenterCrop(transform.crop_size), v2.ToImage(), transform]
    mean, deviation = (torch.as_tensor(getattr(steps[-1], name, alone)) for name, alone in (("mean", [0.0]), ("std", [1.0])))
    return v2.Compose([*steps[:-2], v2.PILToTensor()]), mean.view(-1, 1, 1), deviation.view(-1, 1, 1)


def enough_pixels(transform):
    """Pixels that the shorter side of a JPEG must keep if it is decoded at a fraction of its size; None if that is not known.

    Twice the side to which the transform scales it: then the result looks the same (a test compares both).
    """
    size = getattr(transform.transforms[0], "size", None)
    return size and 2 * max(size if isinstance(size, list | tuple) else [size])


class Crops:
    """A transform of several crops of a photograph: (n, 3, s, s), one for each of the `shares` of its sides around the centre.

    The mean of their vectors owes less to where an organism lies in the photograph, and how large it is there (Krizhevsky,
    Sutskever and Hinton 2012, NIPS, averaged ten crops). ValueError if a share is not above 0 and at most 1.
    """

    def __init__(self, transform, shares):
        if not shares or not all(isinstance(share, int | float) and 0 < share <= 1 for share in shares):
            raise ValueError(f"crops is {list(shares)}: shares should be above 0 and at most 1")
        self.transform, self.shares = transform, shares

    def __call__(self, photo):
        return torch.stack([self.transform(photo.crop(centre(*photo.size, share))) for share in self.shares])


class Photos(Dataset):
    """Photographs as a torch Dataset: item i is photo i (see `load_photo`), transformed."""

    def __init__(self, photos, transform, at_least=None):
        self.photos, self.transform, self.at_least = list(photos), transform, at_least

    def __len__(self):
        return len(self.photos)

    def __getitem__(self, i):
        return self.transform(load_photo(self.photos[i], self.at_least))


WORKERS = min(16, os.cpu_count() or 1)  # processes or threads that load photographs, at most


def pick_device():
    """The fastest device there is: cuda, then mps, then cpu."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def pick_precision(device):
    """Number format of the network's arithmetic: bfloat16 where the hardware computes it natively, else float32.

    A processor without bfloat16 instructions would emulate it, slower than float32.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    able = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return torch.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") else torch.float32


def pick_batch_size(device):
    """Images at a time: many on a graphics card, which would wait for the next ones otherwise."""
    return 256 if device.type == "cuda" else 32


def memory_format(device):
    """Memory layout of images: channels last is faster, but on Apple's GPUs it gave wrong gradients of batch normalisation
    (https://github.com/pytorch/pytorch/issues/175189).
    """
    return torch.contiguous_format if device.type == "mps" else torch.channels_last


SUMS = (operator.add, operator.iadd, torch.add)


class _Convolution(nn.Module):
    """A convolution, what is added to its result, and ReLU, in one pass through memory.

    torch.compile uses these operations of oneDNN, too, but needs a C++ compiler and time.
    """

    def __init__(self, convolution, dtype, relu):
        super().__init__()
        self.weight = convolution.weight.detach().to(dtype, memory_format=torch.channels_last)
        self.bias = None if convolution.bias is None else convolution.bias.detach().to(dtype)
        steps = (convolution.padding, convolution.stride, convolution.dilation)
        self.options = (*map(list, steps), convolution.groups)
        self.after = ("relu" if relu else "none", [], "")

    def forward(self, images, added=None):
        images, weights = images.to(self.weight.dtype), (self.weight, self.bias, *self.options)
        if added is None:
            return torch.ops.mkldnn._convolution_pointwise(images, *weights, *self.after)
        added = added.to(self.weight.dtype)
        return torch.ops.mkldnn._convolution_pointwise.binary(images, added, *weights, "add", 1.0, *self.after)


def _join_layers(traced, dtype):
    """Make `_Convolution`s of the convolutions of a traced network, with the sums and ReLUs that follow them."""
    graph, modules = traced.graph, dict(traced.named_modules())

    def is_a(node, kind):
        return node is not None and node.op == "call_module" and type(modules[node.target]) is kind

    def only_user(node):
        return next(iter(node.users)) if len(node.users) == 1 else None

    def sum_with(node):
        """The sum of a node and another one, if nothing else uses the node, and that other one."""
        user = only_user(node)
        others = [other for other in user.args if other is not node] if user and user.target in SUMS else []
        return (user, others) if [type(other) for other in others] == [fx.Node] else (node, [])

    for node in list(graph.nodes):
        if not is_a(node, nn.Conv2d):
            continue
        convolution = modules[node.target]
        if convolution.padding_mode != "zeros" or isinstance(convolution.padding, str):
            continue
        total, added = sum_with(node)
        if not (relu := is_a(only_user(total), nn.ReLU)):
            total, added = node, []
        last = only_user(total) if relu else node
        name = f"joined_{node.name}"
        traced.add_module(name, _Convolution(convolution, dtype, relu))
        with graph.inserting_before(last):
            last.replace_all_uses_with(graph.call_module(name, (node.args[0], *added)))
    graph.eliminate_dead_code()
    traced.delete_all_unused_submodules()
    traced.recompile()


def joins_layers(device):
    """Whether oneDNN joins convolutions with what follows them on a device: on a CPU, but not with the library of ARM."""
    able = device.type == "cpu" and torch.backends.mkldnn.is_available()
    return able and not torch.ops.mkldnn._is_mkldnn_acl_supported()  # torch's compiler asks the same


def folded(network, device, precision):
    """A network for evaluation that computes the same in fewer steps: convolutions take over batch normalisations after them.

    Where oneDNN can (`joins_layers`), they also take over sums and ReLUs, in `precision`. Only networks that torchvision traced
    are changed, in a copy; others come back as they are.
    """
    if not any(isinstance(module, fx.GraphModule) for module in network.modules()):
        return network
    joins = joins_layers(device) and precision in (torch.float32, pick_precision(device))
    whole = nn.ModuleDict({"network": copy.deepcopy(network)}).eval()
    for name, module in list(whole.named_modules()):
        if isinstance(module, fx.GraphModule):
            parent, _, own = name.rpartition(".")
            lighter = fuse(module, inplace=True)
            if joins:
                _join_layers(lighter, precision)
            setattr(whole.get_submodule(parent), own, lighter)
    return whole["network"]


def _read(images, batches, device):
    """The batches of photographs, in turn.

    A network on the CPU keeps all cores busy, so threads read between its turns: processes beside it would make its own threads
    wait for each other. For another device processes read ahead.
    """
    if device.type != "cpu":
        workers = min(WORKERS, max(len(batches) - 1, 0))  # a single batch needs no process of its own
        yield from DataLoader(images, batch_sampler=batches, num_workers=workers, pin_memory=device.type == "cuda")
    else:
        with ThreadPoolExecutor(WORKERS) as pool:
            for batch in batches:
                yield torch.stack(list(pool.map(images.__getitem__, batch)))


def embed(network, photos, shards, device, precision, batch_size=None, progress=None):
    """Yield {layer: float32 array (len(shard), d)} for each shard, a list of positions in `photos` (see `load_photo`).

    Spatial maps are averaged over their positions, and vectors over the crops of a photograph, in float32. No batch spans two
    shards, so a shard comes out the same whether it is computed in one run with the others or alone. `batch_size` is that of
    `pick_batch_size` if there is none.
    `progress(n)` is called after every n images.
    """
    batch_size = batch_size or pick_batch_size(device)
    batches = [shard[i : i + batch_size] for shard in shards for i in range(0, len(shard), batch_size)]
    transform, *statistics = in_bytes(network.transform)
    mean, deviation = (values.to(device) for values in statistics)
    least = enough_pixels(transform)
    images = Photos(photos, Crops(transform, network.crops), least and round(least / min(network.crops)))
    loader = loaded(_read(images, batches, device))
    layout = memory_format(device)
    module = folded(network.network, device, precision).to(device, memory_format=layout)
    mixed = torch.autocast(device.type, precision, enabled=precision != torch.float32)
    for shard in shards:
        parts = []
        for _ in range(0, len(shard), batch_size):
            crops = next(loader)  # (photographs, crops, 3, s, s)
            images = crops.flatten(0, 1).to(device, memory_format=layout, non_blocking=True)
            with torch.inference_mode(), mixed:
                layers = module(images.float().div_(255).sub_(mean).div_(deviation))
            vectors = {name: average(values).unflatten(0, crops.shape[:2]).mean(1) for name, values in layers.items()}
            parts.append({name: values.cpu().numpy() for name, values in vectors.items()})
            if progress:
                progress(len(crops))
        yield {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def average(values):
    """Spatial maps (b, d, h, w) averaged over their positions, in float32; vectors (b, d) as they are."""
    values = values.float()
    return values.mean((2, 3)) if values.ndim == 4 else values


# ------------------------------------------------------------------------------------- one interface to all encoders


@dataclass
class Source:
    """What an encoder may look at, besides new photographs.

    `paths` (n) are the photographs of a dataset, `truth()` gives the table (n rows) that a simulated world was drawn from,
    `embedding(encoder)` what another encoder gave for the photographs, {layer: (n, d)}, and `config(encoder)` how to build it.
    `barcodes()` gives the DNA barcodes (n). A specimen without a photograph has no path (None).
    """

    paths: list
    truth: Callable[[], pd.DataFrame] = None
    embedding: Callable[[str], dict] = None
    config: Callable[[str], dict] = None
    barcodes: Callable[[], list] = None
    weights_dir: str = ""


def dataset_source(dataset, specimens, weights_dir=""):
    """The Source of a dataset's specimens (the rows of its metadata)."""
    ids = specimens["hash_id"]
    return Source(
        paths=[None if pd.isna(path) else utils.dataset_dir(dataset) / "photos" / path for path in specimens["path"]],
        truth=lambda: utils.load_truth(dataset, ids),
        embedding=lambda encoder: utils.load_embeddings(dataset, encoder, ids),
        config=lambda encoder: encoder_configs.build_config(dataset, encoder),
        barcodes=lambda: known_barcodes(specimens),
        weights_dir=weights_dir,
    )


class NetworkEncoder:
    """An encoder that looks at photographs through a network."""

    sees_photographs = True
    depends_on_all = False  # whether the vector of one photograph depends on the others

    def __init__(self, config, source, seed=0, precision=None, batch_size=None):
        if None in source.paths:
            raise ValueError('there are no photographs in this dataset: choose encoders of barcodes, ENCODERS="kmers dna_mlm"')
        self.network = network_of(config, source.weights_dir, seed)
        if config.get("mirrored"):
            self.network.network = _Mirrored(self.network.network)
        self.network.crops = tuple(config.get("crops") or (1.0,))
        self.paths, self.batch_size = source.paths, batch_size
        self.device = pick_device()
        self.precision = precision or pick_precision(self.device)
        self.digest = self.network.weights_digest

    def describe(self, shards, progress=None):
        """Yield {layer: (len(shard), d)} for each shard, a list of rows of the source."""
        return embed(self.network, self.paths, shards, self.device, self.precision, self.batch_size, progress)

    def describe_new(self, photos, layer="last"):
        """One layer (n, d), the deepest if none is named, of photographs that are not in the source (see `load_photo`)."""
        (layers,) = embed(self.network, photos, [list(range(len(photos)))], self.device, self.precision, self.batch_size)
        return utils.pick_layer(layers, layer)


class PixelEncoder(NetworkEncoder):
    """A control without training: the principal components of thumbnails, fitted to the photographs of the source."""

    depends_on_all = True

    def __init__(self, config, source, seed=0, precision=None, batch_size=None):
        super().__init__(config, source, seed, torch.float32, batch_size)
        fit_pixels(self.network, source.paths, seed)


class _TableEncoder:
    """An encoder whose vectors of all rows are known without a network: {layer: (n, d)}."""

    depends_on_all = True
    device, precision = torch.device("cpu"), torch.float32

    def __init__(self, layers):
        self.layers = layers
        self.digest = hashlib.sha256(b"".join(values.tobytes() for values in layers.values())).hexdigest()

    def describe(self, shards, progress=None):
        """Yield {layer: (len(shard), d)} for each shard, a list of rows of the source."""
        for rows in shards:
            yield {name: values[rows] for name, values in self.layers.items()}


class TruthEncoder(_TableEncoder):
    """Columns of the table that a simulated world was drawn from: no photograph is looked at."""

    sees_photographs = False

    def __init__(self, config, source, seed=0, precision=None, batch_size=None):
        truth = source.truth()
        super().__init__({name: tabulate(truth, prefix) for name, prefix in config["layers"].items()})


class FusedEncoder(_TableEncoder):
    """One layer of several encoders, each scaled to length 1: {layer:encoder: (n, d)}, see `utils.layer_parts`."""

    def __init__(self, config, source, seed=0, precision=None, batch_size=None):
        self.parts, self.source, self.seed = config["architecture"].split(), source, seed
        *_, self.deepest = config["layers"].values()
        found = {part: source.embedding(part) for part in self.parts}
        super().__init__({
            f"{name}{utils.PART}{part}": normalize(utils.pick_layer(layers, where))
            for name, where in config["layers"].items()
            for part, layers in found.items()
        })  # fmt: skip

    def describe_new(self, photos):
        """The deepest fused layer (n, d) of photographs that are not in the source (see `load_photo`)."""
        parts = (open_encoder(self.source.config(part), self.source, self.seed) for part in self.parts)
        return np.hstack([normalize(part.describe_new(photos, self.deepest)) for part in parts])

    @property
    def sees_photographs(self):
        """Whether all parts look at photographs, so that new ones can be described."""
        libraries = [self.source.config(part)["library"] for part in self.parts]
        return all(ENCODERS.get(library, NetworkEncoder).sees_photographs is not False for library in libraries)


# every other library: NetworkEncoder
ENCODERS = {
    "pixels": PixelEncoder, "truth": TruthEncoder, "fused": FusedEncoder, **dna.ENCODERS,
    "huggingface": dna_networks.PublishedEncoder,
}  # fmt: skip


def open_encoder(config, source, seed=0, precision=None, batch_size=None):
    """The encoder that a config describes (a dict with BUILD_KEYS), for the photographs of a Source.

    All encoders have `describe(shards)`, `digest` (SHA-256 of what decides the vectors besides the photographs),
    `sees_photographs` and, where that is true, `describe_new(photos)`.
    """
    kind = ENCODERS.get(config["library"], NetworkEncoder)
    return kind({"input_size": None} | config, source, seed, precision, batch_size)


def open_for_barcodes(dataset, encoder, sequences, weights_dir="", seed=0):
    """An encoder of barcodes that has a config, for barcodes (n) and no photographs: see `open_encoder`."""
    folder = utils.ROOT / Path(weights_dir).expanduser() if weights_dir else ""
    source = Source([None] * len(sequences), barcodes=lambda: sequences, weights_dir=folder)
    return open_encoder(encoder_configs.build_config(dataset, encoder), source, seed)
