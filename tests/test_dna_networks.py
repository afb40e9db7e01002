"""Published encoders of DNA: tokens, networks, and checkpoints from a local hub, which are small and random here."""

import hashlib
import json
import math
import pickle
import re

import numpy as np
import pytest
import torch
from conftest import ROOT
from safetensors.torch import save, save_file
from torch import nn
from torch.nn import functional

import dna_networks
import encoders
import utils

HEADS, INNER, LONGEST = 4, 24, 200  # of the small BarcodeBERT; of all networks; positions of the small HyenaDNA
TOKENS = {
    "[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "[PAD]": 3, "[MASK]": 4, "A": 5, "C": 6, "G": 7, "T": 8, "AC": 9, "ACG": 10, "TT": 11,
}  # fmt: skip
TOKENIZER = {
    "version": "1.0",
    "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
    "padding": {
        "strategy": {"Fixed": 4000}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 3, "pad_type_id": 0,
        "pad_token": "[PAD]",
    },
    "added_tokens": [],
    "normalizer": None,
    "pre_tokenizer": {"type": "Whitespace"},
    "post_processor": {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
            {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
        ],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {
            name: {"id": name, "ids": [number], "tokens": [name]} for name, number in (("[CLS]", 1), ("[SEP]", 2))
        },
    },
    "decoder": None,
    "model": {
        "type": "BPE", "dropout": None, "unk_token": "[UNK]", "continuing_subword_prefix": None, "end_of_word_suffix": None,
        "fuse_unk": False, "byte_fallback": False, "vocab": TOKENS, "merges": [["A", "C"], ["AC", "G"], ["T", "T"]],
    },
}  # fmt: skip
CONFIG = {"num_attention_heads": HEADS, "hidden_act": "gelu"}
REPOSITORIES = {  # architecture: name of its config; repository; file of the weights; file beside them
    "barcodebert": ("bioscan-ml/BarcodeBERT", "model.safetensors", ("config.json", json.dumps(CONFIG))),
    "dnabert_s": ("zhihan1996/DNABERT-S", "pytorch_model.bin", ("tokenizer.json", json.dumps(TOKENIZER))),
    "hyenadna": ("LongSafari/hyenadna-tiny-1k-seqlen-hf", "model.safetensors", None),
}


def shapes(architecture):
    """{published name: shape} of a small checkpoint with two layers."""
    d = {"barcodebert": 32, "dnabert_s": 128, "hyenadna": 16}[architecture]
    found = {}

    def linear(name, wide, long, bias=True):
        found[f"{name}.weight"] = (wide, long)
        if bias:
            found[f"{name}.bias"] = (wide,)

    def norm(name):
        found.update({f"{name}.weight": (d,), f"{name}.bias": (d,)})

    bert = "bert." if architecture == "barcodebert" else ""
    if architecture == "hyenadna":
        found["hyena.backbone.embeddings.word_embeddings.weight"] = (16, d)
        for layer in (f"hyena.backbone.layers.{place}" for place in range(2)):
            linear(f"{layer}.mixer.in_proj", 3 * d, d)
            linear(f"{layer}.mixer.out_proj", d, d)
            found |= {f"{layer}.mixer.short_filter.weight": (3 * d, 1, 3), f"{layer}.mixer.short_filter.bias": (3 * d,)}
            filters = f"{layer}.mixer.filter_fn"
            found |= {f"{filters}.bias": (d,), f"{filters}.implicit_filter.1.freq": (1, 12)}
            found |= {f"{filters}.pos_emb.z": (1, LONGEST, 5), f"{filters}.pos_emb.t": (1, LONGEST, 1)}
            found[f"{filters}.modulation.deltas"] = (1, 1, d)
            for place, (wide, long) in enumerate(((12, 5), (12, 12), (12, 12), (d, 12))):
                linear(f"{filters}.implicit_filter.{2 * place}", wide, long, bias=place < 3)
            norm(f"{layer}.norm1")
            norm(f"{layer}.norm2")
            linear(f"{layer}.mlp.fc1", INNER, d)
            linear(f"{layer}.mlp.fc2", d, INNER)
        norm("hyena.backbone.ln_f")
        found["lm_head.weight"] = (16, d)
        return found
    found[f"{bert}embeddings.word_embeddings.weight"] = (258 if bert else len(TOKENS), d)
    found[f"{bert}embeddings.token_type_embeddings.weight"] = (2, d)
    norm(f"{bert}embeddings.LayerNorm")
    if bert:
        found["bert.embeddings.position_embeddings.weight"] = (512, d)
        linear("classifier", 256, d)
    else:
        linear("pooler.dense", d, d)
    for layer in (f"{bert}encoder.layer.{place}" for place in range(2)):
        linear(f"{layer}.attention.output.dense", d, d)
        norm(f"{layer}.attention.output.LayerNorm")
        if bert:
            for part in ("query", "key", "value"):
                linear(f"{layer}.attention.self.{part}", d, d)
            linear(f"{layer}.intermediate.dense", INNER, d)
            linear(f"{layer}.output.dense", d, INNER)
            norm(f"{layer}.output.LayerNorm")
        else:
            linear(f"{layer}.attention.self.Wqkv", 3 * d, d)
            linear(f"{layer}.mlp.gated_layers", 2 * INNER, d, bias=False)
            linear(f"{layer}.mlp.wo", d, INNER)
            norm(f"{layer}.mlp.layernorm")
    return found


def checkpoint(architecture):
    """{published name: random tensor} of a small checkpoint."""
    random = torch.Generator().manual_seed(1)
    state = {name: 0.3 * torch.randn(shape, generator=random) for name, shape in shapes(architecture).items()}
    for name in state:
        if name.endswith("pos_emb.t"):
            state[name] = torch.linspace(0, 1, LONGEST)[None, :, None]
    return state


def content(architecture):
    """Bytes of the file of weights, as the hub holds it."""
    if REPOSITORIES[architecture][1].endswith(".safetensors"):
        return save(checkpoint(architecture))
    path = utils.ROOT / "w"
    torch.save(checkpoint(architecture), path)
    data = path.read_bytes()
    path.unlink()
    return data


@pytest.fixture
def networks(tmp_path):
    """Small networks by architecture."""
    found = {}
    for architecture, (_, _, beside) in REPOSITORIES.items():
        file = tmp_path / f"{architecture}.safetensors"
        save_file(checkpoint(architecture), file)
        path = tmp_path / f"{architecture}.{beside[0]}" if beside else None
        if beside:
            path.write_text(beside[1])
        found[architecture] = dna_networks.load_network(architecture, file, path)
    return found


def sequences(count=8, letters="ACGTACGTACGTACGTNR", seed=0):
    """Sequences of 4 to 180 letters."""
    random = np.random.default_rng(seed)
    return ["".join(random.choice(list(letters), size)) for size in random.integers(4, 180, count)]


# ---- tokens


def test_barcodebert_reads_words_of_four_letters(networks):
    tokenise = networks["barcodebert"].tokenise
    assert tokenise("AAAACCCCACGTTTTT") == [2, 2 + 85, 2 + 27, 2 + 255]  # digits of base 4, after two special tokens
    assert tokenise("ACGNAAAAACG") == [1, 2]  # a word with N is not known, and three letters are no word
    assert tokenise("ACG") == [1] and len(tokenise("ACGT" * 200)) == 165  # up to 660 letters


def test_hyenadna_reads_letters(networks):
    assert networks["hyenadna"].tokenise("ACGTNRA").tolist() == [7, 8, 9, 10, 11, 6, 7]
    assert len(networks["hyenadna"].tokenise("ACGT" * 100)) == LONGEST


def test_dnabert_s_reads_the_words_of_its_file(networks):
    tokenise = networks["dnabert_s"].tokenise
    assert tokenise("ACGTTAC") == [1, 10, 11, 9, 2]  # a token before and one behind
    assert tokenise("ANT") == [1, 5, 0, 8, 2]
    assert len(tokenise("CA" * 1000)) == 2 + 1 + 999 + 1  # C, AC 999 times, A: never cut and never filled up


# ---- networks


def test_alibi_slopes_are_those_of_the_paper():
    assert dna_networks.alibi_slopes(8).tolist() == [1 / 2**power for power in range(1, 9)]
    twelve = [*(1 / 2**power for power in range(1, 9)), *(2**-power for power in (0.5, 1.5, 2.5, 3.5))]
    assert dna_networks.alibi_slopes(12) == pytest.approx(np.array(twelve))


def test_alibi_falls_with_distance(networks):
    bias = networks["dnabert_s"].bias(4)  # 2 heads: 1/16 and 1/256
    distance = torch.tensor([[0, 1, 2, 3], [1, 0, 1, 2], [2, 1, 0, 1], [3, 2, 1, 0]])
    assert torch.equal(bias, -torch.stack([distance / 16, distance / 256]))


def test_long_convolution_is_a_causal_convolution():
    random = np.random.default_rng(0)
    signals, filters = random.normal(size=(2, 3, 50)), random.normal(size=(3, 50))
    expected = [[np.convolve(signal, values)[:50] for signal, values in zip(s, filters, strict=True)] for s in signals]
    found = dna_networks.long_convolution(torch.from_numpy(signals), torch.from_numpy(filters))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


def test_barcodebert_is_the_transformer_of_torch(networks):
    state = {name.removeprefix("bert."): value for name, value in checkpoint("barcodebert").items()}
    one = nn.TransformerEncoderLayer(32, HEADS, INNER, 0, "gelu", layer_norm_eps=1e-12, batch_first=True)
    encoder = nn.TransformerEncoder(one, 2, enable_nested_tensor=False).eval()
    for place, layer in enumerate(encoder.layers):
        at = {
            name.removeprefix(f"encoder.layer.{place}."): value
            for name, value in state.items()
            if f"layer.{place}." in name
        }
        for kind, whole in (("weight", layer.self_attn.in_proj_weight), ("bias", layer.self_attn.in_proj_bias)):
            whole.data = torch.cat([at[f"attention.self.{part}.{kind}"] for part in ("query", "key", "value")])
        pairs = {
            "attention.output.dense": layer.self_attn.out_proj, "attention.output.LayerNorm": layer.norm1,
            "intermediate.dense": layer.linear1, "output.dense": layer.linear2, "output.LayerNorm": layer.norm2,
        }  # fmt: skip
        for name, module in pairs.items():
            module.weight.data, module.bias.data = at[f"{name}.weight"], at[f"{name}.bias"]
    sequence = "ACGTTGCANAGTCCCCGATTACAG"
    tokens = networks["barcodebert"].tokenise(sequence)
    vectors = state["embeddings.word_embeddings.weight"][tokens] + state["embeddings.token_type_embeddings.weight"][0]
    vectors = vectors + state["embeddings.position_embeddings.weight"][: len(tokens)]
    norm = [state[f"embeddings.LayerNorm.{kind}"] for kind in ("weight", "bias")]
    with torch.inference_mode():
        vectors = encoder(functional.layer_norm(vectors, (32,), *norm, eps=1e-12)[None])
    np.testing.assert_allclose(networks["barcodebert"].embed([sequence])[0], vectors[0].mean(dim=0), atol=1e-5)


def test_dnabert_s_attends_by_distance_and_has_gated_units(networks):
    state = checkpoint("dnabert_s")
    linear = lambda x, name: x @ state[f"{name}.weight"].T + state.get(f"{name}.bias", 0)  # noqa: E731
    norm = lambda x, name: functional.layer_norm(  # noqa: E731
        x, (128,), state[f"{name}.weight"], state[f"{name}.bias"], eps=1e-12
    )
    tokens = networks["dnabert_s"].tokenise("ACGTTGCANAGT")
    x = state["embeddings.word_embeddings.weight"][tokens] + state["embeddings.token_type_embeddings.weight"][0]
    x = norm(x, "embeddings.LayerNorm")
    for layer in ("encoder.layer.0", "encoder.layer.1"):
        seen = torch.zeros_like(x)
        parts = linear(x, f"{layer}.attention.self.Wqkv").split(128, dim=1)
        for head, slope in enumerate((1 / 16, 1 / 256)):
            query, key, value = (part[:, 64 * head : 64 * head + 64] for part in parts)
            for i in range(len(x)):
                near = torch.tensor([(query[i] @ key[j]).item() / 8 - slope * abs(i - j) for j in range(len(x))])
                seen[i, 64 * head : 64 * head + 64] = near.softmax(dim=0) @ value
        x = norm(x + linear(seen, f"{layer}.attention.output.dense"), f"{layer}.attention.output.LayerNorm")
        inner = linear(x, f"{layer}.mlp.gated_layers")
        gated = inner[:, :INNER] * (1 + torch.erf(inner[:, :INNER] / math.sqrt(2))) / 2 * inner[:, INNER:]
        x = norm(x + linear(gated, f"{layer}.mlp.wo"), f"{layer}.mlp.layernorm")
    np.testing.assert_allclose(networks["dnabert_s"].embed(["ACGTTGCANAGT"])[0], x.mean(dim=0), atol=1e-5)


def test_hyenadna_mixes_by_gated_convolutions(networks):
    state = {name.removeprefix("hyena.backbone."): value.double() for name, value in checkpoint("hyenadna").items()}
    linear = lambda x, name: x @ state[f"{name}.weight"].T + state.get(f"{name}.bias", 0)  # noqa: E731
    norm = lambda x, name: functional.layer_norm(x, (16,), state[f"{name}.weight"], state[f"{name}.bias"])  # noqa: E731
    x = state["embeddings.word_embeddings.weight"][[7, 8, 9, 10, 11, 6, 7]]
    n = len(x)
    for layer in ("layers.0", "layers.1"):
        filters = f"{layer}.mixer.filter_fn"
        values = state[f"{filters}.pos_emb.z"][0, :n]
        for place in (0, 2, 4):
            values = torch.sin(
                state[f"{filters}.implicit_filter.1.freq"] * linear(values, f"{filters}.implicit_filter.{place}")
            )
        fading = (
            torch.exp(-state[f"{filters}.pos_emb.t"][0, :n] * state[f"{filters}.modulation.deltas"][0].abs()) + 0.05
        )
        values = linear(values, f"{filters}.implicit_filter.6") * fading
        wide = linear(norm(x, f"{layer}.norm1"), f"{layer}.mixer.in_proj")
        short, short_bias = (state[f"{layer}.mixer.short_filter.{kind}"] for kind in ("weight", "bias"))
        mixed = torch.stack(
            [short_bias + sum(short[:, 0, 2 - k] * wide[i - k] for k in range(3) if i >= k) for i in range(n)]
        )
        gate, key, value = mixed.split(16, dim=1)
        signal = value * key
        long = torch.stack([sum(values[i - j] * signal[j] for j in range(i + 1)) for i in range(n)])
        x = x + linear(gate * (long + signal * state[f"{filters}.bias"]), f"{layer}.mixer.out_proj")
        inner = functional.gelu(linear(norm(x, f"{layer}.norm2"), f"{layer}.mlp.fc1"), approximate="tanh")
        x = x + linear(inner, f"{layer}.mlp.fc2")
    expected = norm(x, "ln_f").mean(dim=0)
    np.testing.assert_allclose(networks["hyenadna"].embed(["ACGTNRA"])[0], expected, atol=1e-5)


@pytest.mark.parametrize("architecture", REPOSITORIES)
def test_padding_changes_no_token(architecture, networks):
    network = networks[architecture]
    tokens = torch.tensor(network.tokenise("ACGTTGCATTAGGCCA"))[None]
    known = torch.ones(tokens.shape, dtype=torch.bool)
    with torch.inference_mode():
        alone = network(tokens, known)
        longer = torch.cat([tokens, tokens.flip(1)], dim=1)
        padded = network(longer, torch.cat([known, ~known], dim=1))[:, : tokens.shape[1]]
        seen = network(longer, torch.cat([known, known], dim=1))[:, : tokens.shape[1]]
    assert torch.allclose(alone, padded, atol=1e-5)
    assert torch.allclose(alone, seen, atol=1e-3) == (architecture == "hyenadna")  # which looks back only


@pytest.mark.parametrize("architecture", REPOSITORIES)
def test_a_vector_depends_on_its_sequence_only(architecture, networks):
    network, several = networks[architecture], sequences(20)
    together = network.embed(several, 7)
    assert together.shape == (20, network.dimensions) and together.dtype == np.float32 and np.isfinite(together).all()
    alone = np.concatenate([network.embed([sequence]) for sequence in several])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(together, network.embed(several[::-1], 7)[::-1], atol=1e-5)
    assert (together == network.embed(several, 7)).all() and network.embed([]).shape == (0, network.dimensions)
    assert np.abs(together[0] - together[1:]).max(axis=1).min() > 1e-3  # and they differ


def test_batches_are_small(networks):
    network, sizes = networks["hyenadna"], []
    network.register_forward_pre_hook(lambda module, given: sizes.append(given[0].shape))
    network.embed(["ACGT" * 40] * 100)
    assert [rows for rows, _ in sizes] == [32, 32, 32, 4]
    sizes.clear()
    network.embed(["A" * 16_000] * 3 + ["A" * 100_000, "A"])
    assert [rows for rows, _ in sizes] == [1, 2, 2]


# ---- checkpoints


def fail(architecture, tmp_path, state, match, beside=None):
    save_file(state, tmp_path / "w.safetensors")
    (tmp_path / "beside").write_text(beside or (REPOSITORIES[architecture][2] or ("", ""))[1])
    with pytest.raises(ValueError, match=match) as error:
        dna_networks.load_network(architecture, tmp_path / "w.safetensors", tmp_path / "beside")
    assert "\n" not in str(error.value)


def test_a_checkpoint_that_does_not_fit_is_said_in_one_line(tmp_path):
    def changed(architecture, **tensors):
        state = checkpoint(architecture) | tensors
        return {name: value for name, value in state.items() if value is not None}

    query = "bert.encoder.layer.1.attention.self.query.weight"
    words = "hyena.backbone.embeddings.word_embeddings.weight"
    with pytest.raises(ValueError, match="architecture 'bert' is not one of barcodebert, dnabert_s, hyenadna"):
        dna_networks.load_network("bert", tmp_path / "none")
    fail("barcodebert", tmp_path, checkpoint("dnabert_s"), r"w\.safetensors does not fit barcodebert: ")
    fail("dnabert_s", tmp_path, checkpoint("barcodebert"), "does not fit dnabert_s: ")
    fail("hyenadna", tmp_path, checkpoint("dnabert_s"), "does not fit hyenadna: ")
    fail("barcodebert", tmp_path, changed("barcodebert", **{query: torch.zeros(3)}), "does not fit barcodebert: ")
    fail("barcodebert", tmp_path, changed("barcodebert", extra=torch.zeros(3)), r"extra should be absent and is \[3\]")
    bias = "encoder.layer.1.mlp.wo.bias"
    fail(
        "dnabert_s",
        tmp_path,
        changed("dnabert_s", **{bias: None}),
        r"layers\.1\.down\.bias should be \[128\] and is absent",
    )
    fail("hyenadna", tmp_path, changed("hyenadna", **{words: torch.zeros(8, 16)}), "8 tokens, fewer than 12")
    tokens = "bert.embeddings.word_embeddings.weight"
    fail(
        "barcodebert",
        tmp_path,
        changed("barcodebert", **{tokens: torch.zeros(259, 32)}),
        "259 tokens and 512 positions",
    )
    for config, match in (
        ("{}", "does not give num_attention_heads"),
        ("<html>", "does not give num_attention_heads"),
        ('{"num_attention_heads": 5, "hidden_act": "gelu"}', "32 numbers by token cannot be divided among 5 heads"),
        ('{"num_attention_heads": 4, "hidden_act": "relu"}', "and gelu as hidden_act"),
    ):
        fail("barcodebert", tmp_path, checkpoint("barcodebert"), match, beside=config)
    fail("dnabert_s", tmp_path, checkpoint("dnabert_s"), "is no list of tokens", beside="{}")
    more = json.loads(json.dumps(TOKENIZER))
    more["model"]["vocab"]["GGG"] = 12
    fail("dnabert_s", tmp_path, checkpoint("dnabert_s"), "13 tokens, and the network knows 12", beside=json.dumps(more))


def test_nothing_but_tensors_is_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path / "trap").touch, ()

    torch.save({"w": Trap()}, tmp_path / "w.pth")
    (tmp_path / "bare.pth").write_bytes(pickle.dumps(Trap(), protocol=2))
    torch.save({"w": 1}, tmp_path / "number.pth")
    (tmp_path / "w.safetensors").write_bytes(b"\xff" * 100)
    for name in ("w.pth", "bare.pth", "number.pth", "w.safetensors"):
        with pytest.raises(
            ValueError, match=rf"{name} is damaged or holds other things than tensors \(\w+\): download"
        ) as e:
            dna_networks.load_network("hyenadna", tmp_path / name)
        assert "\n" not in str(e.value)
    assert not (tmp_path / "trap").exists()


# ---- the hub


def git_digest(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@pytest.fixture
def offered(hugging_face, in_tmp):
    """The local hub holds all three repositories."""
    for architecture, (repo, name, beside) in REPOSITORIES.items():
        hugging_face.publish(repo, name, content(architecture))
        if beside:
            for revision in ("main", "0" * 40):
                hugging_face.publish(repo, beside[0], beside[1].encode(), git_digest(beside[1].encode()), revision)
    return hugging_face


def opened(architecture, folder="", **changes):
    config = {"library": "huggingface", "architecture": architecture, "weights": REPOSITORIES[architecture][0]}
    several = sequences()
    source = encoders.Source([None] * len(several), barcodes=lambda: several, weights_dir=folder)
    return encoders.open_encoder(config | {"layers": {"embedding": "embedding"}} | changes, source)


@pytest.mark.parametrize("architecture", REPOSITORIES)
def test_an_encoder_is_fetched_once_and_streams_its_rows(architecture, offered, networks):
    encoder = opened(architecture)
    assert not encoder.sees_photographs and not encoder.depends_on_all
    one, two = encoder.describe([[5, 0], [7]])
    expected = networks[architecture].embed(sequences())
    np.testing.assert_allclose(one["embedding"], expected[[5, 0]], atol=1e-5)
    np.testing.assert_allclose(two["embedding"], expected[[7]], atol=1e-5)
    fetched = [path for method, path in offered.asked if method == "GET"]
    again = opened(architecture)
    assert again.digest == encoder.digest and [path for method, path in offered.asked if method == "GET"] == fetched
    assert all(
        "/resolve/" in path and path.endswith((".safetensors", ".bin", ".json")) for path in fetched
    )  # never code


def test_a_file_that_was_changed_in_the_cache_is_fetched_again(offered):
    before = opened("barcodebert").digest
    (cached,) = offered.cache.rglob("config.json")
    cached.resolve().write_text(json.dumps(CONFIG | {"note": "x"}))
    assert opened("barcodebert").digest == before and json.loads(cached.read_text()) == CONFIG


def test_the_digest_depends_on_the_file_beside_the_weights(in_tmp):
    (in_tmp / "barcodebert.safetensors").write_bytes(content("barcodebert"))
    digests = set()
    for note in ("x", "y"):
        (in_tmp / "barcodebert.config.json").write_text(json.dumps(CONFIG | {"note": note}))
        digests.add(opened("barcodebert", in_tmp).digest)
    assert len(digests) == 2


@pytest.mark.parametrize("architecture", REPOSITORIES)
def test_wrong_checksums_are_refused(architecture, offered):
    repo, name, beside = REPOSITORIES[architecture]
    offered.publish(repo, name, content(architecture), digest="a" * 64)
    with pytest.raises(
        FileNotFoundError, match=rf"No weights for huggingface's {architecture} .*checksum that the hub gives"
    ):
        opened(architecture)
    offered.publish(repo, name, content(architecture))
    offered.pinned[repo] = {"revision": "0" * 40, "file": name, "sha256": "b" * 64}
    offered.publish(repo, name, content(architecture), revision="0" * 40)
    with pytest.raises(FileNotFoundError, match=r"checksum in models/hub\.yaml"):
        opened(architecture)
    offered.pinned[repo]["sha256"] = hashlib.sha256(content(architecture)).hexdigest()
    if beside:
        offered.pinned[repo]["beside"] = {beside[0]: "c" * 64}
        with pytest.raises(FileNotFoundError, match=rf"No {architecture}\.{beside[0]}: .*checksum in models/hub\.yaml"):
            opened(architecture)
        offered.pinned[repo]["beside"] = {beside[0]: hashlib.sha256(beside[1].encode()).hexdigest()}
    assert len(opened(architecture).digest) == 64


@pytest.mark.parametrize("architecture", REPOSITORIES)
def test_offline_a_copy_in_the_cache_is_taken_or_the_error_names_all_files(architecture, offered):
    repo, _, beside = REPOSITORIES[architecture]
    online, url = opened(architecture).digest, offered.url
    offered.url = "http://127.0.0.1:9"  # the discard port: nobody listens
    assert opened(architecture).digest == online
    if beside:
        for path in offered.cache.rglob(beside[0]):
            path.unlink()
        with pytest.raises(
            FileNotFoundError, match=rf"No {architecture}\.{beside[0]}: .*Put {beside[0]} of {repo} under"
        ) as e:
            opened(architecture)
        assert "\n" not in str(e.value)
    for path in offered.cache.rglob("*.safetensors"), offered.cache.rglob("*.bin"):
        for file in path:
            file.unlink()
    with pytest.raises(FileNotFoundError) as error:
        opened(architecture)
    also = rf", and its {beside[0]} as {architecture}\.{beside[0]}," if beside else ""
    wanted = rf"No weights for huggingface's {architecture} \({repo}\): the hub could not be reached.* as "
    wanted += rf"{architecture}\.safetensors or {architecture}\.pth{also} into a folder and name that folder: WEIGHTS=<folder>"
    assert re.fullmatch(wanted, str(error.value))
    offered.url = url
    assert opened(architecture).digest == online


@pytest.mark.parametrize("architecture", REPOSITORIES)
def test_a_folder_of_weights_needs_no_hub(architecture, in_tmp, monkeypatch):
    monkeypatch.setattr("pretrained.hf_hub_download", None)
    _, name, beside = REPOSITORIES[architecture]
    with pytest.raises(
        FileNotFoundError, match=rf"there is neither {architecture}\.safetensors nor {architecture}\.pth in"
    ):
        opened(architecture, in_tmp)
    (in_tmp / f"{architecture}{'.pth' if name.endswith('.bin') else '.safetensors'}").write_bytes(content(architecture))
    if beside:
        with pytest.raises(
            FileNotFoundError, match=rf"No {architecture}\.{beside[0]}: it is not in .*WEIGHTS=<folder>"
        ):
            opened(architecture, in_tmp)
        (in_tmp / f"{architecture}.{beside[0]}").write_text(beside[1])
    (found,) = opened(architecture, in_tmp).describe([[0, 1, 2]])
    assert found["embedding"].shape == (3, {"barcodebert": 32, "dnabert_s": 128, "hyenadna": 16}[architecture])


def test_an_unknown_layer_is_said_before_anything_is_fetched(offered):
    with pytest.raises(ValueError, match="hyenadna has no layer head: there is embedding"):
        opened("hyenadna", layers={"a": "head"})
    assert not offered.asked


@pytest.mark.parametrize("architecture", REPOSITORIES)
def test_the_configs_name_these_repositories(architecture):
    config = utils.load_params("encoders", architecture)
    assert (config["library"], config["architecture"], config["weights"]) == (
        "huggingface", architecture, REPOSITORIES[architecture][0],
    )  # fmt: skip
    assert (ROOT / "params" / "encoders" / f"{architecture}.yaml").read_text().startswith("# ")
