"""Published encoders of DNA in plain PyTorch: BarcodeBERT, DNABERT-S and HyenaDNA.

Their repositories on the Hugging Face hub hold code of their own, which is never run. Only tensors are read, by the names that
were published, and what the tensors do not say: the number of heads, or the list of tokens. A checkpoint has to fit exactly.

The vector of a barcode is the mean over its tokens in the last layer, as in the studies of the three networks.

Sources: BarcodeBERT (Millan Arias et al. 2023, arXiv:2311.02401) is a BERT (Devlin et al. 2019). DNABERT-S (Zhou et al. 2024,
arXiv:2402.08777) has linear biases instead of positions (ALiBi, Press et al. 2022), gated linear units (Shazeer 2020), and
byte pairs as tokens. HyenaDNA (Nguyen et al. 2023, arXiv:2306.15794) has long convolutions instead of attention (Poli et al.
2023, arXiv:2302.10866).
"""

import itertools
import json
import math
import re

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

import dna
import pretrained
import utils

LETTERS = 32_000  # of all sequences of a batch, with padding: long sequences are computed in smaller batches


# -------------------------------------------------------------------------------------------------- checkpoints


def load_network(architecture, file, beside=None):
    """The network of a published checkpoint, one of NETWORKS, in evaluation mode.

    `file` holds its tensors (.safetensors, or a state dict of torch), and `beside` is the file of `pretrained.BESIDE`.
    ValueError in one line if a file cannot be read, or is of another network.
    """
    if architecture not in NETWORKS:
        raise ValueError(f"architecture {architecture!r} is not one of {', '.join(NETWORKS)}")
    kind = NETWORKS[architecture]
    state = {_renamed(name, kind.names): value.float() for name, value in _tensors(file).items()}
    state = {name: value for name, value in state.items() if not name.startswith(kind.unused)}
    try:
        network = kind(state, beside)
        _check_fit(network.state_dict(), state)
    except (ValueError, RuntimeError) as error:  # the latter of torch, for tensors of strange shapes
        raise ValueError(f"{file} does not fit {architecture}: {' '.join(str(error).split())}") from None
    network.load_state_dict(state)
    return network.eval()


def _tensors(file):
    """{name: tensor} of a checkpoint; nothing but tensors is unpickled."""
    try:
        state = load_file(file) if file.suffix == ".safetensors" else torch.load(file, "cpu", weights_only=True)
        return {name: value.detach() for name, value in state.items()}
    except OSError:
        raise
    except Exception as error:  # of safetensors, zip and pickle; torch would advise to read the file without protection
        kind = type(error).__name__
        raise ValueError(f"{file} is damaged or holds other things than tensors ({kind}): download it again") from None


def _renamed(name, names):
    for published, own in names:
        name = name.replace(published, own)
    return name


def _size(state, name, axis=0):
    """Length of a tensor along an axis. ValueError if there is no such tensor."""
    if name not in state or state[name].ndim <= axis:
        raise ValueError(f"it has no tensor {name}")
    return state[name].shape[axis]


def _count(state, pattern):
    """How many numbers a pattern finds in the names of tensors."""
    return len({found[1] for name in state if (found := re.match(pattern, name))})


def _check_fit(wanted, found):
    """ValueError names the first tensor that is missing, too much or of another shape."""
    wanted, found = ({name: list(value.shape) for name, value in state.items()} for state in (wanted, found))
    wrong = [name for name in {**wanted, **found} if wanted.get(name) != found.get(name)]
    if wrong:
        more = f" ({len(wrong) - 1} more)" if wrong[1:] else ""
        should, is_now = wanted.get(wrong[0], "absent"), found.get(wrong[0], "absent")
        raise ValueError(f"{wrong[0]} should be {should} and is {is_now}{more}")


class _Network(nn.Module):
    """A network that maps tokens (b, n) to vectors (b, n, d). `known` (b, n) is false for padding behind a sequence's end."""

    @torch.inference_mode()
    def embed(self, sequences, batch_size=32):
        """Mean vectors of sequences: float32 (n, d).

        Sequences of about the same length are computed together, so that there is little padding. A vector does not depend
        on the other sequences, except for rounding.
        """
        found = np.empty((len(sequences), self.dimensions), np.float32)
        left = sorted(range(len(sequences)), key=lambda row: len(sequences[row]))
        device = next(self.parameters()).device
        while left:
            size = max(1, min(batch_size, LETTERS // len(sequences[left[-1]])))
            left, rows = left[:-size], left[-size:]
            tokens = [torch.tensor(self.tokenise(sequences[row])) for row in rows]
            tokens = nn.utils.rnn.pad_sequence(tokens, batch_first=True, padding_value=-1).to(device)
            known = tokens >= 0
            vectors = self(tokens.clamp(min=0), known) * known[:, :, None]
            found[rows] = (vectors.sum(dim=1) / known.sum(dim=1, keepdim=True)).cpu().numpy()
        return found


# --------------------------------------------------------------------------------------------------- transformers


def alibi_slopes(heads):
    """Slopes by which the heads of ALiBi lower attention with distance: (heads,). Press et al. 2022.

    2^(-8/heads), its square, its cube, ... if the number of heads is a power of two. Otherwise those of the next smaller power
    come first, then every other slope of the next larger one.
    """
    below = 2 ** int(math.log2(heads))
    smaller, larger = (2.0 ** (-8 / n * np.arange(1, n + 1)) for n in (below, 2 * below))
    return np.concatenate([smaller, larger[::2][: heads - below]])


class _Layer(nn.Module):
    """A layer of a transformer that normalises after each sum: (b, n, d) to (b, n, d). `gated`: with gated linear units."""

    def __init__(self, dimensions, heads, inner, gated):
        super().__init__()
        self.heads, self.gated = heads, gated
        self.qkv, self.mix = nn.Linear(dimensions, 3 * dimensions), nn.Linear(dimensions, dimensions)
        self.up, self.down = nn.Linear(dimensions, inner * (1 + gated), bias=not gated), nn.Linear(inner, dimensions)
        self.norm1, self.norm2 = (nn.LayerNorm(dimensions, eps=1e-12) for _ in range(2))

    def forward(self, vectors, bias):
        """`bias` (b, heads or 1, n, n) is added to the logarithms of attention."""
        parts = self.qkv(vectors).chunk(3, dim=2)
        query, key, value = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in parts)
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        vectors = self.norm1(vectors + self.mix(seen.transpose(1, 2).flatten(2)))
        inner = self.up(vectors)
        if self.gated:
            gate, inner = inner.chunk(2, dim=2)
            inner = functional.gelu(gate) * inner
        else:
            inner = functional.gelu(inner)
        return self.norm2(vectors + self.down(inner))


class _Bert(_Network):
    """What BarcodeBERT and DNABERT-S share. Position vectors are added where the checkpoint has them."""

    unused = ("classifier.", "cls.", "pooler.", "position_ids")  # heads for training; a list of numbers
    names = (
        ("bert.", ""), ("embeddings.word_embeddings.", "words."), ("embeddings.position_embeddings.", "positions."),
        ("embeddings.token_type_embeddings.", "kinds."), ("embeddings.LayerNorm.", "norm."), ("embeddings.", ""),
        ("encoder.layer.", "layers."), ("attention.self.", ""), ("Wqkv.", "qkv."),
        ("attention.output.dense.", "mix."), ("attention.output.LayerNorm.", "norm1."),
        ("intermediate.dense.", "up."), ("output.dense.", "down."), ("output.LayerNorm.", "norm2."),
        ("mlp.gated_layers.", "up."), ("mlp.wo.", "down."), ("mlp.layernorm.", "norm2."),
    )  # fmt: skip

    def __init__(self, state, heads, gated):
        super().__init__()
        self.dimensions = _size(state, "words.weight", 1)
        inner = _size(state, "layers.0.down.weight", 1)
        if heads < 1 or self.dimensions % heads:
            raise ValueError(f"{self.dimensions} numbers by token cannot be divided among {heads} heads")
        for name in ("words", "kinds", *(["positions"] if "positions.weight" in state else [])):
            self.add_module(name, nn.Embedding(_size(state, f"{name}.weight"), self.dimensions))
        self.norm = nn.LayerNorm(self.dimensions, eps=1e-12)
        layers = [_Layer(self.dimensions, heads, inner, gated) for _ in range(_count(state, r"layers\.(\d+)\."))]
        self.layers = nn.ModuleList(layers)

    def bias(self, n_tokens):
        """What is added to the logarithms of attention between tokens: broadcasts to (heads, n_tokens, n_tokens)."""
        return torch.zeros(1, 1, 1)

    def forward(self, tokens, known):
        vectors = self.words(tokens) + self.kinds.weight[0]  # all tokens are of the first kind: there is one sequence
        if hasattr(self, "positions"):
            vectors = vectors + self.positions.weight[: tokens.shape[1]]
        hidden = torch.zeros(known.shape, device=tokens.device).masked_fill(~known, -math.inf)
        bias = self.bias(tokens.shape[1]).to(tokens.device) + hidden[:, None, None]
        vectors = self.norm(vectors)
        for layer in self.layers:
            vectors = layer(vectors, bias)
        return vectors


WORD, MOST = 4, 660  # letters of a token of BarcodeBERT, and letters that it reads at most
UNKNOWN = 1  # its token for a word that is not known; 0 is a hidden word, and those that are known follow
WORDS = {"".join(word): 2 + place for place, word in enumerate(itertools.product("ACGT", repeat=WORD))}


class BarcodeBert(_Bert):
    """BarcodeBERT: tokens are words of four letters that do not overlap. `beside` is its config.json.

    Only the first 660 letters are read, as in its training. A word with an undetermined letter is one that is not known, and
    letters that do not fill a word are left out.
    """

    def __init__(self, state, beside):
        merged = [name for name in state if ".query." in name]
        for name in merged:  # one tensor for query, key and value, as in other networks
            parts = [name.replace("query", part) for part in ("query", "key", "value")]
            if missing := [part for part in parts if part not in state]:
                raise ValueError(f"it has no tensor {missing[0]}")
            state[name.replace("query", "qkv")] = torch.cat([state.pop(part) for part in parts])
        super().__init__(state, self._heads(beside), gated=False)
        words, positions = (_size(state, f"{name}.weight") for name in ("words", "positions"))
        if words != 2 + len(WORDS) or positions < MOST // WORD:
            wanted = f"{2 + len(WORDS)} tokens and at least {MOST // WORD} positions"
            raise ValueError(f"it has {words} tokens and {positions} positions, and should have {wanted}")

    @staticmethod
    def _heads(beside):
        try:
            config = json.loads(beside.read_text())
            heads, activation = config["num_attention_heads"], config["hidden_act"]
        except (ValueError, KeyError, TypeError):
            heads = activation = None
        if not (isinstance(heads, int) and activation == "gelu"):
            raise ValueError(f"{beside} does not give num_attention_heads, and gelu as hidden_act")
        return heads

    def tokenise(self, sequence):
        """Numbers of the tokens of a sequence."""
        starts = range(0, min(len(sequence), MOST) - WORD + 1, WORD)
        words = [sequence[start : start + WORD] for start in starts]
        return [WORDS.get(word, UNKNOWN) for word in words] or [UNKNOWN]


class DnabertS(_Bert):
    """DNABERT-S: tokens are those of `beside`, its tokenizer.json, with one before and one behind the sequence."""

    HEAD = 64  # numbers by head

    def __init__(self, state, beside):
        from tokenizers import Tokenizer  # imported here, because only this encoder needs it

        heads = _size(state, "words.weight", 1) // self.HEAD
        super().__init__(state, heads, gated=True)
        self.slopes = torch.from_numpy(alibi_slopes(heads)).float()[:, None, None]
        try:
            self.tokens = Tokenizer.from_str(beside.read_text())
        except Exception as error:  # tokenizers raises nothing more special
            raise ValueError(f"{beside} is no list of tokens: {' '.join(str(error).split())}") from None
        self.tokens.no_truncation()
        self.tokens.no_padding()
        if self.tokens.get_vocab_size() > _size(state, "words.weight"):
            found, limit = self.tokens.get_vocab_size(), _size(state, "words.weight")
            raise ValueError(f"{beside} has {found} tokens, and the network knows {limit}")

    def bias(self, n_tokens):
        """The slope of each head times the distance of two tokens: (heads, n_tokens, n_tokens)."""
        place = torch.arange(n_tokens)
        return -self.slopes * (place[:, None] - place).abs()

    def tokenise(self, sequence):
        """Numbers of the tokens of a sequence."""
        return self.tokens.encode(sequence).ids


# --------------------------------------------------------------------------------------------------------- Hyena


def long_convolution(signals, filters):
    """Causal convolution of signals (b, d, n) with filters (d, n) as long as they are: (b, d, n).

    Computed by Fourier transforms, padded so that the end does not reach round to the beginning.
    """
    n = signals.shape[-1]
    spectrum = torch.fft.rfft(signals, 2 * n) * torch.fft.rfft(filters, 2 * n)
    return torch.fft.irfft(spectrum, 2 * n)[..., :n]


class _LongFilter(nn.Module):
    """The filter of a long convolution: a small network of the position, which fades with distance. Poli et al. 2023."""

    SHIFT = 0.05  # how much is left at any distance

    def __init__(self, state, where, dimensions):
        super().__init__()
        longest, features = (_size(state, f"{where}.z", axis) for axis in (1, 2))
        width = _size(state, f"{where}.frequency", 1)
        last = _count(state, rf"{re.escape(where)}\.mlp\.(\d+)\.") - 1
        self.bias = nn.Parameter(torch.zeros(dimensions))
        self.frequency = nn.Parameter(torch.zeros(1, width))
        sizes = [features, *[width] * max(last, 0), dimensions]
        linear = [nn.Linear(*sizes[i : i + 2], bias=i < last) for i in range(len(sizes) - 1)]
        self.mlp = nn.ModuleDict({str(2 * i): layer for i, layer in enumerate(linear)})  # sines stand between them
        for name, shape in (("z", (1, longest, features)), ("t", (1, longest, 1)), ("deltas", (1, 1, dimensions))):
            self.register_buffer(name, torch.zeros(shape))

    def forward(self, n_tokens):
        """Values of the filter: (d, n_tokens)."""
        *inner, last = self.mlp.values()
        values = self.z[0, :n_tokens]
        for layer in inner:
            values = torch.sin(self.frequency * layer(values))
        fading = torch.exp(-self.t[0, :n_tokens] * self.deltas[0].abs()) + self.SHIFT
        return (last(values) * fading).T


class _HyenaLayer(nn.Module):
    """A layer of HyenaDNA: (b, n, d) to (b, n, d). What stands at a position depends on it and on those before it."""

    def __init__(self, state, where, dimensions):
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(dimensions) for _ in range(2))
        self.in_proj, self.out_proj = nn.Linear(dimensions, 3 * dimensions), nn.Linear(dimensions, dimensions)
        width = _size(state, f"{where}.short_filter.weight", 2)
        self.short_filter = nn.Conv1d(3 * dimensions, 3 * dimensions, width, padding=width - 1, groups=3 * dimensions)
        self.long_filter = _LongFilter(state, f"{where}.long_filter", dimensions)
        inner = _size(state, f"{where}.fc1.weight")
        self.fc1, self.fc2 = nn.Linear(dimensions, inner), nn.Linear(inner, dimensions)

    def forward(self, vectors):
        n_tokens = vectors.shape[1]
        mixed = self.short_filter(self.in_proj(self.norm1(vectors)).transpose(1, 2))[..., :n_tokens]
        gate, key, value = mixed.chunk(3, dim=1)
        value = value * key
        value = long_convolution(value, self.long_filter(n_tokens)) + value * self.long_filter.bias[:, None]
        vectors = vectors + self.out_proj((value * gate).transpose(1, 2))
        return vectors + self.fc2(functional.gelu(self.fc1(self.norm2(vectors)), approximate="tanh"))


LETTER_TOKENS = {"A": 7, "C": 8, "G": 9, "T": 10, "N": 11}  # of HyenaDNA; all other letters: 6


class HyenaDna(_Network):
    """HyenaDNA: tokens are letters. Those behind the longest sequence of its training are left out.

    The published token for the end of a sequence is not appended: this network looks back only, so no letter would change.
    """

    unused = ("lm_head.", "score.")
    names = (
        ("hyena.", ""), ("backbone.", ""), ("embeddings.word_embeddings.", "words."), ("mixer.filter_fn.", "long_filter."),
        ("mixer.", ""), ("long_filter.implicit_filter.", "long_filter.mlp."), ("pos_emb.", ""), ("modulation.", ""),
        *((f"mlp.{place}.freq", "frequency") for place in range(1, 20, 2)),  # all sines of a filter share it
        ("mlp.fc", "fc"),
    )  # fmt: skip

    def __init__(self, state, beside):
        super().__init__()
        self.dimensions = _size(state, "words.weight", 1)
        self.words = nn.Embedding(_size(state, "words.weight"), self.dimensions)
        if len(self.words.weight) <= max(LETTER_TOKENS.values()):
            raise ValueError(f"it has {len(self.words.weight)} tokens, fewer than {max(LETTER_TOKENS.values()) + 1}")
        places = range(_count(state, r"layers\.(\d+)\."))
        self.layers = nn.ModuleList(_HyenaLayer(state, f"layers.{place}", self.dimensions) for place in places)
        self.ln_f = nn.LayerNorm(self.dimensions)
        self.longest = min(layer.long_filter.z.shape[1] for layer in self.layers) if len(self.layers) else 0
        self.table = np.full(256, 6, np.int64)
        self.table[[ord(letter) for letter in LETTER_TOKENS]] = list(LETTER_TOKENS.values())

    def tokenise(self, sequence):
        """Numbers of the tokens of a sequence."""
        return self.table[np.frombuffer(sequence[: self.longest].encode("latin-1", "replace"), np.uint8)]

    def forward(self, tokens, known):
        vectors = self.words(tokens)  # padding lies behind the letters, where it does not change them
        for layer in self.layers:
            vectors = layer(vectors)
        return self.ln_f(vectors)


NETWORKS = {"barcodebert": BarcodeBert, "dnabert_s": DnabertS, "hyenadna": HyenaDna}  # by the architecture of a config


# ------------------------------------------------------------------------------------------------------- encoder


class PublishedEncoder(dna._BarcodeEncoder):
    """An encoder of barcodes that is published on the Hugging Face hub: the `weights` of the config are its repository.

    Its only layer is "embedding". It runs in float32, on CUDA if there is a device, otherwise on the CPU.
    """

    def __init__(self, config, source, seed=0, precision=None, batch_size=None):
        self.folder, self.batch_size = source.weights_dir, batch_size or 32
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        super().__init__(config, source, seed, precision, batch_size)

    def _weights(self, config):
        library, architecture, weights = (config[name] for name in ("library", "architecture", "weights"))
        if unknown := set(self.layers.values()) - {"embedding"}:
            raise ValueError(f"{architecture} has no layer {', '.join(map(str, unknown))}: there is embedding")
        file = pretrained.weights_file(library, architecture, weights, self.folder)
        beside = pretrained.beside_file(file, architecture, weights, self.folder)
        self.network = load_network(architecture, file, beside).to(self.device)
        return " ".join(utils.file_digest(path) for path in (__file__, file, beside) if path)

    def _vectors(self, sequences):
        return dict.fromkeys(self.layers, self.network.embed(sequences, self.batch_size))
