"""Encoders of DNA barcodes: counts of k-mers, and a masked language model that is pretrained on barcodes.

The model reads a barcode in three steps. `Profile.register` shifts it to where it fits the gene best, so that one position
means the same in all barcodes. Non-overlapping words of three letters, in the reading frame of the gene, are the tokens. The
vectors of all tokens are summed into one, and a small network mixes this sum. Training hides most tokens, and has to name the
hidden ones from the vector of the others alone: masked prediction through a bottleneck. So the vector holds all it learns.

Sources: tokens and masking as in BarcodeBERT (Millan Arias et al. 2023, arXiv:2311.02401); hiding more than half of the tokens,
and decoding from a separate representation, as in BarcodeMAE (Safari et al. 2025, arXiv:2502.18405).
"""

import copy
import hashlib
import json
import math
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from scipy import fft
from sklearn.decomposition import PCA
from sklearn.preprocessing import normalize
from torch import nn
from torch.nn import functional

import barcodes
import pretrained
import utils
from files import atomic_write

TOKEN = 3  # letters of a token: a codon
N_TOKENS = 4**TOKEN  # different tokens; one that holds an undetermined letter counts as hidden
STOPS = ("TAA", "TAG")  # in the mitochondrial codes of animals
MIN_FIT = 0.4  # nats per letter by which a registered barcode should fit the gene better than chance


# -------------------------------------------------------------------------------------------------------- k-mers


def kmers(sequences, k=6):
    """Square roots of the counts of all words of k letters: float32 (n, 4^k). A word with an undetermined letter is left out.

    The square root makes the distance of two barcodes depend on which words they have rather than on how often; the distance of
    such vectors of length 1 is the Hellinger distance.
    """
    found = np.empty((len(sequences), 4**k), np.float32)
    for row, sequence in zip(found, sequences, strict=True):
        row[:] = np.bincount(barcodes.words(sequence, k), minlength=4**k)
    return np.sqrt(found, out=found)


# ------------------------------------------------------------------------------------------------- registration


def as_codes(sequences):
    """Sequences as uint8 (n, longest): 0 to 3 for A, C, G, T, and 4 for everything else and for what lies behind the end."""
    found = np.full((len(sequences), max(map(len, sequences))), 4, np.uint8)
    for row, sequence in zip(found, sequences, strict=True):
        row[: len(sequence)] = barcodes.CODE[np.frombuffer(sequence.encode(), np.uint8)]
    return found


class Profile:
    """How often each base stands at each position of a gene: log odds (length, 4) against the mean over positions."""

    def __init__(self, odds):
        self.odds = np.asarray(odds, np.float32)

    @classmethod
    def fit(cls, sequences, rounds=2):
        """The profile of sequences of one gene: first of those of the most common length, then of all, registered to it.

        ValueError if fewer than ten sequences have the most common length.
        """
        lengths = pd.Series([len(sequence) for sequence in sequences])
        length, count = lengths.value_counts().index[0], lengths.value_counts().iloc[0]
        if count < 10:
            raise ValueError(f"only {count} of {len(lengths)} barcodes have the most common length, {length}: 10 are needed")
        placed = as_codes([sequence for sequence in sequences if len(sequence) == length])
        for again in range(rounds):
            counts = np.stack([(placed == base).sum(axis=0) for base in range(4)], axis=1) + 1.0
            profile = cls(np.log(counts / counts.sum(axis=1, keepdims=True)) - np.log(counts.sum(axis=0) / counts.sum()))
            if again < rounds - 1:
                placed, _ = profile.register(sequences)
        return profile

    def register(self, sequences, batch_size=512):
        """Sequences on the positions of the profile: codes (n, length), 4 where nothing is known, and fits (n,).

        Every sequence is shifted to where the sum of its log odds is highest, without gaps; at least half of it, or of the
        profile, has to overlap. A fit is this sum by letter: well above 0 for the gene of the profile. A sequence that fits
        badly is also tried as its reverse complement, and the better of both is taken.
        """
        if not len(sequences):
            return np.empty((0, len(self.odds)), np.uint8), np.empty(0)
        parts = [self._register(sequences[i : i + batch_size]) for i in range(0, len(sequences), batch_size)]
        codes, fits = (np.concatenate(part) for part in zip(*parts, strict=True))
        bad = np.flatnonzero(fits < MIN_FIT)
        if len(bad):
            turned, better = self._register([barcodes.reverse_complement(sequences[i]) for i in bad])
            take = better > np.maximum(fits[bad], MIN_FIT)
            codes[bad[take]], fits[bad[take]] = turned[take], better[take]
        return codes, fits

    def _register(self, sequences):
        length, codes = len(self.odds), as_codes(sequences)
        longest = codes.shape[1]
        size = fft.next_fast_len(length + longest, real=True)  # long enough that no shift wraps around
        bases = np.stack([codes == base for base in range(4)], axis=1).astype(np.float32)
        spectrum = fft.rfft(bases, size) * np.conj(fft.rfft(self.odds.T, size))
        score = fft.irfft(spectrum.sum(axis=1), size)[:, np.r_[np.arange(1 - length, longest)]]
        shifts = np.arange(1 - length, longest)  # position p of the profile is letter p + shift
        lengths = np.array([len(sequence) for sequence in sequences])[:, None]
        overlap = np.minimum(lengths - shifts, length) - np.maximum(0, -shifts)
        score = np.where(2 * overlap >= np.minimum(lengths, length), score, -np.inf)
        best = score.argmax(axis=1)
        position = np.arange(length) + shifts[best][:, None]
        outside = (position < 0) | (position >= longest)
        placed = np.where(outside, 4, np.take_along_axis(codes, position.clip(0, longest - 1), axis=1)).astype(np.uint8)
        return placed, score.max(axis=1) / np.maximum((placed < 4).sum(axis=1), 1)


def reading_frame(codes):
    """First position (0, 1 or 2) of the reading frame of registered barcodes (n, length): that with the fewest stop codons."""
    stops = [[barcodes.CODE[ord(letter)] for letter in stop] for stop in STOPS]
    share = []
    for frame in range(3):
        words = _words(codes, frame)
        known = (words < 4).all(axis=2)
        share.append(sum((words == stop).all(axis=2).sum() for stop in stops) / max(known.sum(), 1))
    return int(np.argmin(share))


def _words(codes, frame):
    """Non-overlapping words of registered barcodes (n, length) from a position on: (n, words, TOKEN)."""
    n_words = (codes.shape[1] - frame) // TOKEN
    return codes[:, frame : frame + n_words * TOKEN].reshape(len(codes), n_words, TOKEN)


def tokenise(codes, frame):
    """Tokens of registered barcodes (n, length): int64 (n, positions) from 0 to 63, and 64 where a letter is not known."""
    words = _words(codes, frame).astype(np.int64)
    return np.where((words < 4).all(axis=2), words @ (4 ** np.arange(TOKEN)[::-1]), N_TOKENS)


# ------------------------------------------------------------------------------------------------------- masking


def hide(tokens, generator, lowest=0.3, highest=0.9, cropped=0.5):
    """Which tokens (n, positions) are hidden from the encoder: bool.

    A share between `lowest` and `highest` of every barcode, at random. Of a share `cropped` of the barcodes also both ends, up
    to 60 % of all positions each, because many barcodes in collections are shorter than the gene's.
    """
    n, length = tokens.shape
    share = lowest + (highest - lowest) * torch.rand(n, 1, generator=generator)
    hidden = torch.rand(n, length, generator=generator) < share
    start = 0.6 * torch.rand(n, 1, generator=generator) * length
    end = start + (0.2 + 0.6 * torch.rand(n, 1, generator=generator)) * length
    place = torch.arange(length)
    outside = (place < start) | (place > end)
    return hidden | (outside & (torch.rand(n, 1, generator=generator) < cropped))


def mutate(tokens, frequency, generator, most=0.3):
    """Tokens (n, positions) of which up to a share `most` of every barcode is exchanged at random.

    `frequency` (positions, N_TOKENS) says how likely each token is to take the place. Unknown tokens stay unknown.
    """
    share = most * torch.rand(len(tokens), 1, generator=generator)
    chosen = (torch.rand(tokens.shape, generator=generator) < share) & (tokens < N_TOKENS)
    return torch.where(chosen, torch.multinomial(frequency, len(tokens), True, generator=generator).T, tokens)


def rarity(vectors, alike=0.9, sample=20_000, seed=0):
    """How rare each of the vectors (n, d) is: 1 over the number of vectors with a cosine similarity above `alike` to it: (n,).

    Collections hold hundreds of barcodes of some species and one of others. Drawn by rarity, all lineages are seen alike often,
    and no name is needed for that. The number is estimated from a `sample` where there are more vectors.
    """
    unit = normalize(np.asarray(vectors, np.float32))
    drawn = unit[np.sort(np.random.default_rng(seed).permutation(len(unit))[:sample])]
    counts = [(unit[i : i + 1000] @ drawn.T > alike).sum(axis=1) for i in range(0, len(unit), 1000)]
    return 1 / np.maximum(np.concatenate(counts) * len(unit) / len(drawn), 1)


# --------------------------------------------------------------------------------------------------------- model


class BarcodeModel(nn.Module):
    """Vectors of tokenised barcodes (n, positions), and the tokens that it expects where some are hidden.

    Every token has a vector at every position. Their mean at a position, weighted by how frequent they are, is 0: so a hidden
    position says the same as the mean of all barcodes. The sum over positions, scaled to one length, goes through `mixer`, a
    residual block. The output is whitened by `fit_outputs`.
    """

    def __init__(self, n_positions, dimensions, dropout=0.0):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.tokens = nn.Parameter(torch.zeros(n_positions, N_TOKENS, dimensions))
        self.bias = nn.Parameter(torch.zeros(n_positions, N_TOKENS))
        self.scale = nn.Parameter(torch.ones(()))
        hidden = nn.Linear(dimensions, 2 * dimensions)
        self.mixer = nn.Sequential(nn.LayerNorm(dimensions), hidden, nn.GELU(), nn.Linear(2 * dimensions, dimensions))
        nn.init.zeros_(self.mixer[3].weight)
        nn.init.zeros_(self.mixer[3].bias)
        self.register_buffer("frequency", torch.zeros(n_positions, N_TOKENS))
        self.register_buffer("centre", torch.zeros(dimensions))
        self.register_buffer("rotation", torch.eye(dimensions))

    def table(self):
        """Vectors of all tokens (positions, N_TOKENS, d), centred at every position."""
        return self.tokens - (self.frequency[..., None] * self.tokens).sum(dim=1, keepdim=True)

    def bottleneck(self, tokens, table, visible=None):
        """Vectors (n, d) of the `visible` tokens (n, positions), all that are known by default."""
        known = tokens < N_TOKENS
        visible = known if visible is None else visible & known
        each = (tokens + N_TOKENS * torch.arange(tokens.shape[1], device=tokens.device))[visible]
        ends = visible.sum(dim=1).cumsum(0)
        starts = torch.cat([ends.new_zeros(1), ends[:-1]])
        total = functional.embedding_bag(each, table.flatten(0, 1), starts, mode="sum")
        vectors = self.dropout(functional.normalize(total, dim=1) * total.shape[1] ** 0.5)
        return vectors + self.dropout(self.mixer(vectors))

    def logits(self, vectors, positions, table):
        """Logits (n, len(positions), N_TOKENS) of the tokens at some positions, from vectors (n, d) of `bottleneck`."""
        chosen = table[positions].flatten(0, 1)
        return self.scale * (vectors @ chosen.T).unflatten(1, (len(positions), N_TOKENS)) + self.bias[positions]

    def forward(self, tokens, table=None):
        """The embedding of tokenised barcodes (n, positions): float32 (n, d)."""
        vectors = self.bottleneck(tokens, self.table() if table is None else table)
        return (vectors - self.centre) @ self.rotation

    @torch.inference_mode()
    def embed(self, tokens, batch_size=512):
        """The embedding of tokens (n, positions), a NumPy array: float32 (n, d)."""
        table, device = self.table(), self.scale.device
        parts = [torch.from_numpy(tokens[i : i + batch_size]).to(device) for i in range(0, len(tokens), batch_size)]
        empty = np.empty((0, len(self.centre)), np.float32)
        return np.concatenate([empty, *(self(part, table).cpu().numpy() for part in parts)])

    @torch.inference_mode()
    def fit_outputs(self, tokens, power):
        """Whiten the output: principal components of these tokens' vectors, divided by their standard deviations to `power`."""
        self.centre.zero_()
        self.rotation.copy_(torch.eye(len(self.centre)))
        found = PCA(svd_solver="covariance_eigh").fit(self.embed(tokens).astype(np.float64))
        spread = np.maximum(found.explained_variance_, found.explained_variance_[0] * 1e-6) ** (power / 2)
        rotation = np.zeros(self.rotation.shape)
        rotation[:, : len(spread)] = found.components_.T / spread
        self.centre.copy_(torch.from_numpy(found.mean_))
        self.rotation.copy_(torch.from_numpy(rotation / rotation.std()))


def save_model(model, profile, frame, path, about=()):
    """Write a model with the profile and frame of its gene as safetensors, in half precision; `about` is a dict of remarks."""
    state = model.state_dict() | {"tokens": model.table(), "odds": torch.from_numpy(profile.odds)}
    del state["frequency"]  # the tokens are centred
    tensors = {name: value.detach().half().cpu().contiguous() for name, value in state.items()}
    with atomic_write(path) as temporary:
        temporary.write_bytes(save(tensors, {"barcode_model": json.dumps({"frame": frame, **dict(about)})}))


def load_model(path):
    """Model, profile and reading frame from a file of `save_model`; ValueError if it is none."""
    with safe_open(path, "pt") as content:
        about = json.loads((content.metadata() or {}).get("barcode_model", "null"))
    if not about:
        raise ValueError(f"{path} holds no barcode model of chapter 07")
    state = {name: value.float() for name, value in load_file(path).items()}
    profile = Profile(state.pop("odds").numpy())
    model = BarcodeModel(len(state["tokens"]), state["tokens"].shape[2])
    model.load_state_dict(state | {"frequency": model.frequency}, strict=True)
    return model.eval(), profile, about["frame"]


# ------------------------------------------------------------------------------------------------------ training


def start_model(tokens, dimensions, seed=0, dropout=0.0, sample=6000):
    """A model whose token vectors are the principal components of these barcodes, tokens (n, positions), and small noise.

    The components are those of the letters in the tokens, so tokens that share letters begin with similar vectors.
    """
    n_positions = tokens.shape[1]
    model, random = BarcodeModel(n_positions, dimensions, dropout), np.random.default_rng(seed)
    counts = np.stack([np.bincount(column, minlength=N_TOKENS + 1)[:N_TOKENS] for column in tokens.T])
    frequency = (counts + 1e-3) / (counts + 1e-3).sum(axis=1, keepdims=True)
    letters = np.arange(N_TOKENS)[:, None] // 4 ** np.arange(TOKEN)[::-1] % 4  # of every token
    drawn = tokens[np.sort(random.permutation(len(tokens))[:sample])]
    known = drawn < N_TOKENS
    seen = np.eye(4, dtype=np.float32)[letters[np.where(known, drawn, 0)]] * known[:, :, None, None]  # n, positions, letters, 4
    mean = seen.sum(axis=0) / np.maximum(known.sum(axis=0), 1)[:, None, None]
    centred = (seen - mean) * known[:, :, None, None]
    points = normalize(centred.reshape(len(drawn), -1))
    found = PCA(min(dimensions, *points.shape), svd_solver="covariance_eigh" if len(points) > points.shape[1] else "full")
    found.fit(points)
    parts = found.components_.T.reshape(n_positions, TOKEN, 4, -1)
    vectors = sum(parts[:, place, letters[:, place]] for place in range(TOKEN))
    vectors *= 0.05 / vectors.std()
    noise = 0.001 * random.standard_normal((n_positions, N_TOKENS, dimensions))
    noise[..., : vectors.shape[2]] += vectors
    with torch.no_grad():
        model.tokens.copy_(torch.from_numpy(noise))
        model.bias.copy_(torch.from_numpy(np.log(frequency + 1e-4)))
        model.frequency.copy_(torch.from_numpy(frequency))
    return model


def masked_loss(model, tokens, generator, n_targets, mutated=0.0):
    """Cross-entropy of hidden tokens, from the others through the bottleneck: (loss, share of them that is named right).

    `tokens` is (n, positions), on the processor; the visible ones are `mutated`. Of the positions a random `n_targets` are
    looked at, the same in all rows.
    """
    device, table = model.scale.device, model.table()
    hidden = hide(tokens, generator)
    visible = mutate(tokens, model.frequency.cpu(), generator, mutated) if mutated else tokens
    positions = torch.randperm(tokens.shape[1], generator=generator)[:n_targets]
    vectors = model.bottleneck(visible.to(device), table, ~hidden.to(device))
    wanted = (hidden & (tokens < N_TOKENS))[:, positions]
    target = tokens[:, positions][wanted].to(device)
    guess = model.logits(vectors, positions.to(device), table)[wanted.to(device)].float()
    return functional.cross_entropy(guess, target), (guess.argmax(dim=1) == target).float().mean()


def pretrain(
    tokens, held_out, dimensions=256, steps=1000, batch_size=256, learning_rate=1e-3, n_targets=64, dropout=0.3, mutated=0.3,
    whitening_power=0.75, seed=0, device="cpu", checkpoint=None, every=100, progress=None,
):  # fmt: skip
    """Pretrain a model on tokens (n, positions), drawn by their `rarity`; return it and its log (DataFrame).

    Few hundred species are soon learned by heart, so some of the visible tokens are `mutated`, and there is `dropout`.

    The log has step, learning_rate, seconds, and the loss and accuracy of hidden tokens: means over the last steps in training,
    and of `held_out`, tokens (m, positions) of barcodes that are not trained on; missing if m is 0. The learning rate rises
    over 100 steps and falls along a cosine. Every `every` steps the state goes to the file `checkpoint`, and training goes on
    from there if it was made with the same tokens and settings. `progress(n)` is called after every n steps.
    """
    settings = [dimensions, steps, batch_size, learning_rate, n_targets, dropout, mutated, seed]
    made_from = repr([*settings, utils.file_digest(__file__)])
    made_from = hashlib.sha256(made_from.encode() + tokens.tobytes()).hexdigest()
    model = start_model(tokens, dimensions, seed, dropout).to(device)
    weights = torch.from_numpy(rarity(model.eval().embed(tokens)))
    model.train()
    options = {"lr": learning_rate, "weight_decay": 1e-4, "betas": (0.9, 0.98), "fused": True}
    optimizer = torch.optim.AdamW(model.parameters(), **options)
    first, rows, recent, spent = 0, [], [], 0.0
    if checkpoint and Path(checkpoint).is_file():
        kept = torch.load(checkpoint, device, weights_only=True)
        if kept["made_from"] == made_from:
            model.load_state_dict(kept["model"])
            optimizer.load_state_dict(kept["optimizer"])
            first, rows, spent = kept["step"], kept["log"], kept["log"][-1]["seconds"]
    if progress:
        progress(first)
    data, unseen, begun = torch.from_numpy(tokens), torch.from_numpy(held_out), time.monotonic() - spent
    for step in range(first, steps):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)  # so that a run that goes on draws the same
        torch.manual_seed(seed * 1_000_003 + step)  # dropout
        rate = learning_rate * min(1, (step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = data[torch.multinomial(weights, batch_size, replacement=True, generator=generator)]
        loss, accuracy = masked_loss(model, batch, generator, n_targets, mutated)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        recent.append([loss.item(), accuracy.item()])
        if progress:
            progress(1)
        if (step + 1) % every == 0 or step + 1 == steps:
            model.eval()
            check = torch.full((2,), torch.nan)
            if len(unseen):
                with torch.inference_mode():
                    check = masked_loss(model, unseen[:1024], torch.Generator().manual_seed(seed), n_targets)
            model.train()
            names = ("loss", "accuracy", "held_out_loss", "held_out_accuracy")
            values = dict(zip(names, [*np.mean(recent, axis=0).tolist(), *(value.item() for value in check)], strict=True))
            rows.append({"step": step + 1, "learning_rate": rate, "seconds": time.monotonic() - begun} | values)
            recent = []
            if checkpoint:
                state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
                with atomic_write(checkpoint) as temporary:
                    torch.save(state | {"made_from": made_from, "step": step + 1, "log": rows}, temporary)
    model.eval().fit_outputs(tokens, whitening_power)
    return model, pd.DataFrame(rows)


# ---------------------------------------------------------------------------------------------------- evaluation


PARTITIONS = {  # of BIOSCAN-5M: what is trained on, and the species that are unseen; the others are of no use here
    "pretrain": "train", "train": "train", "val_unseen": "validation", "test_unseen": "test",
}  # fmt: skip


def own_split(specimens):
    """Parts (n,) by the column `partition` of BIOSCAN-5M: "train", "validation", "test" or "other".

    None without such a column, or if it does not tell training from unseen species, as in a download of one partition.
    """
    if "partition" not in specimens:
        return None
    part = specimens["partition"].map(PARTITIONS)
    return part.fillna("other").to_numpy(object) if {"train", "test"} <= set(part.dropna()) else None


def split_species(taxa, seed=0, test=0.2, validation=0.12):
    """Split species into "train", "validation" and "test": labels (n,) of the rows of `taxa` (genus and species of every row).

    Three quarters of the held-out species have another species of their genus in training, if there are enough of these. The
    others are of genera that training does not see. Rows without a species are in training.
    """
    species = taxa.dropna().groupby("species")["genus"].first().sort_index()
    left, random = species.groupby(species).size().to_dict(), np.random.default_rng(seed)
    shuffled = [species.index[i] for i in random.permutation(len(species))]
    n_test, n_validation = int(len(species) * test), int(len(species) * validation)
    several = [name for name in shuffled if left[species[name]] > 1]
    single = [name for name in shuffled if left[species[name]] == 1]
    held = []
    for name in several:
        if left[species[name]] > 1 and len(held) < 0.75 * (n_test + n_validation):
            held.append(name)
            left[species[name]] -= 1
    held += single[: n_test + n_validation - len(held)]
    held = [held[i] for i in random.permutation(len(held))]
    n_test = round(len(held) * n_test / max(n_test + n_validation, 1))  # where few could be held out, both get their share
    part = dict.fromkeys(held[:n_test], "test") | dict.fromkeys(held[n_test:], "validation")
    return taxa["species"].map(part).fillna("train").to_numpy(object)


def nearest(points, references, batch_size=1000):
    """Row of the reference (m, d) that has the highest cosine similarity to each of the points (n, d): (n,)."""
    references = normalize(np.asarray(references, np.float32))
    batches = [normalize(np.asarray(points[i : i + batch_size], np.float32)) for i in range(0, len(points), batch_size)]
    return np.concatenate([np.empty(0, int), *((batch @ references.T).argmax(axis=1) for batch in batches)])


def registered_letters(codes, like):
    """Registered barcodes (n, length) as they are: float32 (n, 4 length), a column for every base at every position.

    Columns are centred by their means over the barcodes `like` (m, length); an unknown letter is 0, so it is as near to one
    base as to another. With this, the cosine similarity of two barcodes falls with the share of letters in which they differ.
    """
    seen = np.stack([like == base for base in range(4)], axis=2)
    mean = seen.sum(axis=0) / np.maximum((like < 4).sum(axis=0), 1)[:, None]
    found = np.stack([codes == base for base in range(4)], axis=2).astype(np.float32) - mean.astype(np.float32)
    return (found * (codes < 4)[:, :, None]).reshape(len(codes), -1)


def p_distances(codes):
    """Share of different letters among the positions that two registered barcodes (n, length) both know: (n, n).

    1 for two that share no position.
    """
    bases = [(codes == base).astype(np.float32) for base in range(4)]
    known = (codes < 4).astype(np.float32)
    same, both = sum(base @ base.T for base in bases), known @ known.T
    found = np.where(both > 0, 1 - same / np.maximum(both, 1), 1.0)
    np.fill_diagonal(found, 0)
    return found


def fine_tune(model, tokens, classes, new, steps=300, batch_size=128, learning_rate=1e-3, seed=0):
    """Train a copy of a model, with a linear head, to name classes (n,) of tokens (n, positions); the classes of `new` (m,).

    `new` are tokens (m, positions). Up to 30 % of the tokens are hidden at random in training.
    """
    names, wanted = np.unique(np.asarray(classes, object).astype(str), return_inverse=True)
    tuned, device = copy.deepcopy(model).train(), model.scale.device
    torch.manual_seed(seed)
    head = nn.Sequential(nn.LayerNorm(len(model.centre)), nn.Linear(len(model.centre), len(names))).to(device)
    optimizer = torch.optim.AdamW([*tuned.parameters(), *head.parameters()], lr=learning_rate)
    data, wanted, generator = torch.from_numpy(tokens), torch.from_numpy(wanted), torch.Generator().manual_seed(seed)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        rows = torch.randint(len(data), (batch_size,), generator=generator)
        batch = data[rows].masked_fill(hide(data[rows], generator, 0.0, 0.3), N_TOKENS)
        loss = functional.cross_entropy(head(tuned(batch.to(device))), wanted[rows].to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.inference_mode():
        points = torch.from_numpy(tuned.eval().embed(new)).to(device)
        return names[head(points).argmax(dim=1).cpu().numpy()]


# ------------------------------------------------------------------------------------------------------ encoders


class _BarcodeEncoder:
    """An encoder of the barcodes of a source: see `encoders.open_encoder`. `_vectors(sequences)` gives {layer: (n, d)}."""

    sees_photographs = False
    depends_on_all = False
    device, precision = torch.device("cpu"), torch.float32

    def __init__(self, config, source, seed=0, precision=None, batch_size=32):
        self.layers, self.sequences = config["layers"], source.barcodes()
        code = [utils.file_digest(module) for module in (__file__, barcodes.__file__)]
        made_from = [*code, self._weights(config), *self.sequences]
        self.digest = hashlib.sha256("\n".join(made_from).encode()).hexdigest()

    def _weights(self, config):
        """Load what the encoder needs; return a digest of it."""
        return ""

    def describe(self, shards, progress=None):
        """Yield {layer: float32 (len(shard), d)} for each shard, a list of rows of the source."""
        for rows in shards:
            yield self._vectors([self.sequences[row] for row in rows])
            if progress:
                progress(len(rows))


class KmerEncoder(_BarcodeEncoder):
    """Counts of k-mers: `layers` maps the name of each embedding to k."""

    def _vectors(self, sequences):
        return {name: kmers(sequences, k) for name, k in self.layers.items()}


class LanguageModelEncoder(_BarcodeEncoder):
    """The masked language model in a file of `save_model`, the `weights` of the config; its only layer is "embedding"."""

    def _weights(self, config):
        path = pretrained.tuned_file(config["weights"])
        if unknown := set(self.layers.values()) - {"embedding"}:
            raise ValueError(f"{config['weights']} has no layer {', '.join(map(str, unknown))}: there is embedding")
        self.model, self.profile, self.frame = load_model(path)
        return utils.file_digest(path)

    def _vectors(self, sequences):
        codes, _ = self.profile.register(sequences)
        values = self.model.embed(tokenise(codes, self.frame))
        return dict.fromkeys(self.layers, values)


ENCODERS = {"kmers": KmerEncoder, "dna_mlm": LanguageModelEncoder}  # by the library of a config
