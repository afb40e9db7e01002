"""Weights good and bad, and embeddings that do not depend on how they were computed."""

import functools
import hashlib
import os
import re
import signal
import subprocess
import sys

import numpy as np
import open_clip
import pandas as pd
import pytest
import timm
import torch
import torchvision
from conftest import ROOT, draw_specimens
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

import encoder_configs
import encoders
import pretrained
import settings
import utils
from images import load_rgb

# ------------------------------------------------------------------------------------------------------- weights


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory):
    """Folder with random weights of small networks, as files of the kinds a user may have."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(1)
    save_file(torchvision.models.resnet18().half().state_dict(), folder / "resnet18.safetensors")
    torch.save(timm.create_model("vit_tiny_patch16_224").state_dict(), folder / "vit_tiny_patch16_224.pth")
    return folder


RESNET18 = {"library": "torchvision", "architecture": "resnet18", "weights": "IMAGENET1K_V1"}


def build(weights_dir="", layers=None, input_size=64, **encoder_config):
    return encoders.build_network(
        layers=layers or {"layer3": "layer3", "avgpool": "avgpool"},
        input_size=input_size,
        weights_dir=weights_dir,
        **encoder_config,
    )


def test_without_the_file_the_error_says_which_to_put_where(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"resnet18\.safetensors or resnet18\.pth into a folder.*WEIGHTS=<folder>"
    ):
        build(str(tmp_path), **RESNET18)


def test_weights_that_do_not_fit_are_refused(tmp_path):
    state = torchvision.models.resnet18().state_dict()
    del state["fc.bias"]
    save_file(state, tmp_path / "resnet18.safetensors")
    with pytest.raises(ValueError, match=r"(?s)does not fit torchvision's resnet18.*fc\.bias"):
        build(str(tmp_path), **RESNET18)
    (tmp_path / "resnet18.safetensors").write_bytes(b"no tensors at all")
    with pytest.raises(ValueError, match=r"resnet18\.safetensors is no \.safetensors file, and not weights"):
        build(str(tmp_path), **RESNET18)


def save_with(state):
    """A function that writes a state dict, in the format of the suffix."""
    return lambda path: (save_file if path.suffix == ".safetensors" else torch.save)(state, path)


@pytest.mark.parametrize(
    ("suffix", "write", "message"),
    [
        (".safetensors", lambda: save_with(torchvision.models.resnet50().state_dict()), 'key.*"[^"]+", "[^"]+" and 196 more'),
        (".pth", lambda: save_with(torchvision.models.mobilenet_v2().state_dict()), "Missing key.* more.*Unexpected.* more"),
        (".pth", lambda: save_with({"state_dict": torchvision.models.resnet18().state_dict()}), '"state_dict"'),
        (".pth", lambda: save_with([1, 2]), "dict-like"),
        (".pth", lambda: save_with(torchvision.models.resnet18()), "other things than tensors.* as .safetensors"),
        (".pth", lambda: lambda path: path.write_text("<!DOCTYPE html><html>Sign in</html>"), "is a web page, and not weights"),
        (".safetensors", lambda: lambda path: path.write_text("\n<html>"), "is a web page"),
        (".pth", lambda: lambda path: path.write_text("version https://git-lfs.github.com/spec/v1"), "is a Git-LFS pointer"),
        (".pth", lambda: lambda path: path.touch(), "is empty"),
        (".pth", lambda: lambda path: path.write_bytes(b"PK\x03\x04 cut off"), "does not fit"),
        (".pth", lambda: lambda path: path.write_bytes(b"\x80\x02junk"), "does not fit"),
        (".safetensors", lambda: lambda path: path.write_bytes(b"\xff\0\0\0\0\0\0\0{"), "does not fit"),
    ],
)
@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_other_files_than_weights_are_named_in_one_short_line(tmp_path, suffix, write, message, library):
    architecture, weights, where = ("resnet18", "IMAGENET1K_V1", "avgpool") if library == "torchvision" else (*DEIT[1:], "head")
    write()(file := tmp_path / f"{architecture}{suffix}")
    config = {"library": library, "architecture": architecture, "weights": weights}
    with pytest.raises(ValueError) as caught:
        build(str(tmp_path), {"layer": where}, 64 if library == "torchvision" else 224, **config)
    shown = str(caught.value).replace(str(tmp_path), "")
    assert file.name in shown and "\n" not in shown and len(shown) < 600 and "weights_only" not in shown
    assert library == "timm" or re.search(message, shown), shown


def test_nothing_is_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("sprung").touch, ())

    torch.save({"x": Trap()}, tmp_path / "resnet18.pth")
    with pytest.raises(ValueError, match="does not fit"):
        build(str(tmp_path), **RESNET18)
    assert not (tmp_path / "sprung").exists()


def test_unknown_weights_and_layers_are_answered_with_the_known_ones(random_weights):
    with pytest.raises(ValueError, match="'LATEST' of resnet18 are not one of IMAGENET1K_V1"):
        build(str(random_weights), **RESNET18 | {"weights": "LATEST"})
    with pytest.raises(ValueError, match="'layer5' is not present"):
        build(str(random_weights), {"a": "layer5"}, **RESNET18)


def test_an_unknown_library_is_named():
    with pytest.raises(ValueError, match="torchvision, timm, open_clip, pixels"):
        build(library="keras", architecture="x", weights=None)


@pytest.fixture
def torchvision_hub(hub, tmp_path, monkeypatch, random_weights):
    """ResNet-18's config with its address moved to the local server."""
    weights = tmp_path / "w.pth"
    torch.manual_seed(2)
    torch.save(torchvision.models.resnet18().state_dict(), weights)
    content = weights.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    hub.path = f"/resnet18-{digest[:8]}.pth"
    hub.files[hub.path] = (content, digest)
    encoder_config = type(
        "Card",
        (),
        {"url": hub.url + hub.path, "transforms": torchvision.models.ResNet18_Weights.IMAGENET1K_V1.transforms},
    )
    cards = type("Cards", (dict,), {"__members__": ["IMAGENET1K_V1"]})(IMAGENET1K_V1=encoder_config)
    monkeypatch.setattr(pretrained, "get_model_weights", lambda architecture: cards)
    monkeypatch.setattr(pretrained.time, "sleep", lambda seconds: None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return hub


def test_torchvision_weights_are_fetched_once_after_a_broken_line(torchvision_hub):
    torchvision_hub.flaky.add(torchvision_hub.path)
    first, again = build(**RESNET18), build(**RESNET18)
    assert first.weights_digest == again.weights_digest == torchvision_hub.files[torchvision_hub.path][1]
    assert torchvision_hub.asked == [("GET", torchvision_hub.path)] * 2  # failed, fetched, then taken from the cache


def test_torchvision_weights_with_a_wrong_checksum_are_refused(torchvision_hub, tmp_path):
    torchvision_hub.files[torchvision_hub.path] = (b"something else", "x")
    with pytest.raises(FileNotFoundError, match=r"invalid hash value.*WEIGHTS=<folder>"):
        build(**RESNET18)
    assert not list((tmp_path / "torch").rglob("resnet18*"))


NAMES = sorted(path.stem for path in (utils.ROOT / "params" / "encoders").glob("*.yaml"))
ENCODER_CONFIGS = {name: encoder_configs.build_config("none", name) for name in NAMES}
PRETRAINED = [
    name
    for name, encoder_config in ENCODER_CONFIGS.items()
    if encoder_config["weights"] and encoder_config["library"] not in ("tuned", "dna_mlm")  # these come with the project
]


@pytest.mark.parametrize("name", PRETRAINED)
def test_offline_the_error_names_the_file(monkeypatch, tmp_path, name):
    """Every config's weights are known to their library, down to the download, which finds no network here."""

    def offline(*args, **kwargs):
        raise OSError("Network is unreachable")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(pretrained.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    monkeypatch.setattr(pretrained, "hf_hub_download", offline)
    library, architecture, weights = (ENCODER_CONFIGS[name][key] for key in ("library", "architecture", "weights"))
    with pytest.raises(FileNotFoundError, match=rf"unreachable.*{architecture}\.safetensors or {architecture}\.pth"):
        pretrained.weights_file(library, architecture, weights)


DEIT = ("timm", "deit_tiny_patch16_224", "fb_in1k")
DEIT_REPO = "timm/deit_tiny_patch16_224.fb_in1k"
TENSORS = b"\x02\0\0\0\0\0\0\0{}"  # a safetensors file with no tensor in it


def test_hugging_face_weights_are_verified(hugging_face):
    hugging_face.publish(DEIT_REPO, "model.safetensors", TENSORS)
    assert pretrained.weights_file(*DEIT).read_bytes() == TENSORS


def test_hugging_face_weights_with_a_wrong_checksum_are_refused(hugging_face):
    hugging_face.publish(DEIT_REPO, "model.safetensors", TENSORS, digest="a" * 64)
    with pytest.raises(FileNotFoundError, match=r"checksum that the hub gives.*deit_tiny_patch16_224\.safetensors"):
        pretrained.weights_file(*DEIT)


def test_pinned_weights_are_those_of_their_commit_and_of_their_digest(hugging_face):
    commit, digest = "0" * 40, hashlib.sha256(TENSORS).hexdigest()
    hugging_face.pinned[DEIT_REPO] = {"revision": commit, "file": "model.safetensors", "sha256": digest}
    hugging_face.publish(DEIT_REPO, "model.safetensors", TENSORS + b" ")  # the newest commit has another file
    with pytest.raises(FileNotFoundError, match=r"holds none of model\.safetensors"):
        pretrained.weights_file(*DEIT)
    hugging_face.publish(DEIT_REPO, "model.safetensors", TENSORS, revision=commit)
    assert pretrained.weights_file(*DEIT).read_bytes() == TENSORS
    hugging_face.pinned[DEIT_REPO]["sha256"] = "b" * 64  # a hub that vouches for a file that was exchanged
    with pytest.raises(FileNotFoundError, match=r"does not have the checksum in models/hub\.yaml"):
        pretrained.weights_file(*DEIT)


def test_every_pin_is_of_a_repository_that_an_encoder_reads():
    asked = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrained, "_from_hugging_face", lambda repo, *names: asked.append((repo, names)) or ROOT / "Makefile")
        patch.setattr(pretrained, "_check_content", lambda file: None)
        for config in map(ENCODER_CONFIGS.get, PRETRAINED):
            if config["library"] in ("timm", "open_clip", "huggingface"):
                pretrained.weights_file(config["library"], config["architecture"], config["weights"])
    names = dict(asked)
    pins = pretrained.pinned_files()
    unknown = {"timm/vit_small_patch16_224.dino", "bioscan-ml/BarcodeBERT"}  # their digests could not be found out
    assert set(names) - set(pins) == unknown
    for repo, pin in pins.items():
        beside = pin.pop("beside", {})
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in beside.values())
        assert pin["file"] in names[repo] and list(pin) == ["revision", "file", "sha256"]
        assert re.fullmatch("[0-9a-f]{40}", pin["revision"]) and re.fullmatch("[0-9a-f]{64}", pin["sha256"])


def test_a_hub_that_does_not_answer_is_not_taken_for_an_empty_one(hugging_face):
    hugging_face.url = "http://127.0.0.1:9"  # the discard port: nobody listens
    with pytest.raises(FileNotFoundError, match=r"could not be reached.*ConnectionError"):
        pretrained.weights_file(*DEIT)


def test_clip_weights_are_looked_for_under_both_names(hugging_face):
    bioclip, laion = b"PK\x03\x04 bioclip", TENSORS
    hugging_face.publish("imageomics/bioclip", "open_clip_pytorch_model.bin", bioclip)
    assert pretrained.weights_file("open_clip", "ViT-B-16", "hf-hub:imageomics/bioclip").read_bytes() == bioclip
    hugging_face.publish("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "open_clip_model.safetensors", laion)
    assert pretrained.weights_file("open_clip", "ViT-B-32", "laion2b_s34b_b79k").read_bytes() == laion


def test_weights_that_ship_are_checked_by_their_digest(in_tmp):
    (in_tmp / "models").mkdir()
    manifest = (ROOT / "models" / "SHA256SUMS").read_text()
    (in_tmp / "models" / "SHA256SUMS").write_text(manifest)
    shipped = {path.name for path in (ROOT / "models").glob("*.safetensors")}
    assert set(pretrained.shipped_digests()) == shipped and shipped
    for name in shipped:
        content = (ROOT / "models" / name).read_bytes()
        (file := in_tmp / "models" / name).write_bytes(content)
        assert pretrained.weights_file("tuned", "resnet18", f"models/{name}") == file
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(ValueError, match=rf"models/{name} is not the file that ships: its SHA-256 is"):
            pretrained.weights_file("tuned", "resnet18", f"models/{name}")
    (in_tmp / "models" / "mine.safetensors").write_bytes(TENSORS)  # a file of the user's is not in the manifest
    assert pretrained.weights_file("tuned", "resnet18", "models/mine.safetensors").name == "mine.safetensors"


# ------------------------------------------------------------------------------------------------------ encoders


def embed(encoder, paths, shards=None, dtype=torch.float32, **options):
    shards = shards or [list(range(len(paths)))]
    return list(encoders.embed(encoder, paths, shards, torch.device("cpu"), dtype, **options))


def test_torchvision_layers_are_those_of_a_plain_forward_pass(random_weights, photos):
    encoder = build(str(random_weights), **RESNET18)
    (found,) = embed(encoder, photos)
    plain = torchvision.models.resnet18()
    plain.load_state_dict(encoders.load_file(random_weights / "resnet18.safetensors"))
    plain.eval().fc = torch.nn.Identity()
    images = torch.stack([encoder.transform(load_rgb(path)) for path in photos])
    assert images.shape == (12, 3, 64, 64)
    with torch.inference_mode():
        np.testing.assert_allclose(
            found["avgpool"], plain(images).numpy(), rtol=1e-3, atol=1e-4
        )  # another order of sums
    assert list(found) == ["layer3", "avgpool"] and found["layer3"].shape == (12, 256)


def test_timm_gives_the_input_of_its_head_and_its_blocks(random_weights, photos):
    encoder_config = {"library": "timm", "architecture": "vit_tiny_patch16_224", "weights": "augreg_in21k_ft_in1k"}
    encoder = build(str(random_weights), {"block8": 8, "embedding": "head"}, 224, **encoder_config)
    (found,) = embed(encoder, photos)
    model = encoder.network.model
    images = torch.stack([encoder.transform(load_rgb(path)) for path in photos])
    with torch.inference_mode():
        plain = model.forward_head(model.forward_features(images), pre_logits=True).numpy()
    np.testing.assert_allclose(found["embedding"], plain, rtol=1e-3, atol=1e-4)
    assert {name: values.shape for name, values in found.items()} == {"block8": (12, 192), "embedding": (12, 192)}


def test_open_clip_gives_the_image_embedding(tmp_path, photos, tiny_clip):
    model = open_clip.create_model("tiny-clip").eval()
    save_file(model.state_dict(), tmp_path / "tiny-clip.safetensors")
    encoder = build(
        str(tmp_path), {"embedding": "image"}, library="open_clip", architecture="tiny-clip", weights="mine"
    )
    (found,) = embed(encoder, photos)
    images = torch.stack([encoder.transform(load_rgb(path)) for path in photos])
    with torch.inference_mode():
        np.testing.assert_allclose(found["embedding"], model.encode_image(images).numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, encoder_config in ENCODER_CONFIGS.items()
        if encoder_config["library"] not in (*settings.NO_NETWORK, "tuned")
    ],
)
def test_every_card_fits_its_architecture(name, monkeypatch):
    """Layers and input size of every config, on torch's meta device: shapes without numbers."""
    on_meta = functools.partial(open_clip.create_model_and_transforms, device="meta")
    monkeypatch.setattr(open_clip, "create_model_and_transforms", on_meta)
    encoder_config = {key: ENCODER_CONFIGS[name][key] for key in ("library", "architecture", "layers", "input_size")}
    with torch.device("meta"):
        network = encoders.build_network(weights=None, **encoder_config).network
        found = network(torch.zeros(2, 3, encoder_config["input_size"], encoder_config["input_size"]))
    assert list(found) == list(encoder_config["layers"]) and all(len(values) == 2 for values in found.values())


def test_position_embeddings_are_resampled_to_the_input_size(tmp_path, photos):
    encoder_config = {
        key: ENCODER_CONFIGS["dinov2_vits14"][key]
        for key in ("library", "architecture", "weights", "layers", "input_size")
    }
    state = timm.create_model(encoder_config["architecture"]).state_dict()  # as the hub's file: for 518 px
    save_file(state, tmp_path / f"{encoder_config['architecture']}.safetensors")
    (found,) = embed(encoders.build_network(weights_dir=str(tmp_path), **encoder_config), photos[:2])
    assert found["embedding"].shape == (2, 384)


def test_pixels_are_principal_components(photos):
    encoder = build(
        library="pixels", architecture="thumbnail", weights=None, layers={"pca": "thumbnail"}, input_size=32
    )
    thumbnails = torch.stack([encoder.transform(load_rgb(path)) for path in photos])
    encoder.network.fit(thumbnails)
    (found,) = embed(encoder, photos)
    centred = thumbnails.flatten(1).numpy() - thumbnails.flatten(1).numpy().mean(0)
    # ten points span nine dimensions, so all distances survive the projection
    np.testing.assert_allclose(found["pca"] @ found["pca"].T, centred @ centred.T, atol=1e-2)


def test_an_untrained_network_is_the_same_every_time_and_another_with_another_seed(photos):
    encoder_config = RESNET18 | {"weights": None}
    (one,), (same,), (other,) = (embed(build(seed=seed, **encoder_config), photos) for seed in (0, 0, 1))
    assert one["avgpool"].tobytes() == same["avgpool"].tobytes()
    assert not np.allclose(one["avgpool"], other["avgpool"])


def test_shards_do_not_depend_on_what_is_computed_with_them(random_weights, photos):
    encoder = build(str(random_weights), **RESNET18)
    shards = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    counted = []
    together = embed(encoder, photos, shards, batch_size=3, progress=counted.append)
    (alone,) = embed(encoder, photos, shards[1:2], batch_size=3)
    assert together[1]["avgpool"].tobytes() == alone["avgpool"].tobytes()
    assert [len(shard["avgpool"]) for shard in together] == [4, 4, 2] and sum(counted) == 10


def cosines(a, b):
    return np.einsum("ij,ij->i", a, b) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.mark.parametrize(
    ("name", "encoder_config"),
    [("resnet50", {"library": "torchvision", "weights": "IMAGENET1K_V1"}),
     ("resnet18", {"library": "torchvision", "weights": "IMAGENET1K_V1"}),
     ("deit_tiny_patch16_224", {"library": "timm", "weights": "fb_in1k", "layers": {"embedding": "head"}})],
)  # fmt: skip
def test_mixed_precision_and_reduced_size_agree_with_the_plain_loop(shared_weights, photos, name, encoder_config, tmp_path):
    encoder = build(str(shared_weights), input_size=224, architecture=name, **encoder_config)
    large = Image.open(photos[1]).convert("RGB").resize((2200, 1600), Image.Resampling.BICUBIC)
    large.save(tmp_path / "large.jpg")
    photos = [*photos, tmp_path / "large.jpg"]
    images = torch.stack([encoder.transform(load_rgb(path)) for path in photos])
    with torch.inference_mode():
        plain = encoder.network(images)
    (mixed,) = embed(encoder, photos, dtype=torch.bfloat16)
    for layer, values in plain.items():
        values = values.mean((2, 3)) if values.ndim == 4 else values
        assert cosines(values, mixed[layer]).min() > 0.999, layer


def test_a_photo_that_vanished_is_named(random_weights, photos, tmp_path):
    encoder = build(str(random_weights), **RESNET18)
    with pytest.raises(RuntimeError, match=r"\A.*gone\.jpg was readable in chapter 01 but is not now.*\Z"):
        embed(encoder, [*photos, tmp_path / "gone.jpg"])


def out_of_memory():
    raise MemoryError("3 GB for one photograph")


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


def read_one_that_fails(device, photo):
    """Read 13 photographs of which the last is a function that fails, for a network on a device; print the error."""
    photos = [image.copy for image in draw_specimens(12)]
    shown = encoders.Photos([*photos, globals()[photo]], torchvision.transforms.v2.PILToTensor())
    batches = [list(range(13))[start : start + 4] for start in range(0, 13, 4)]
    try:
        list(encoders.loaded(encoders._read(shown, batches, torch.device(device))))
    except RuntimeError as error:
        print(error)


@pytest.mark.parametrize(
    ("device", "photo", "message"),
    [
        ("cpu", "out_of_memory", r"MemoryError: 3 GB for one photograph\n"),
        ("meta", "out_of_memory", r"MemoryError: 3 GB for one photograph\n"),
        # torch tells of the death at once, outside of the loader, or the loader does when the next batch is asked for; it may
        # tell once more between the text that is printed here and the end of its line
        (
            "meta",
            "killed",
            r"(a process that loads photographs died, .*\(|DataLoader worker \(pid.*(Killed|exited unexpectedly)).*\n?",
        ),
    ],
)
def test_what_loads_photographs_and_dies_says_why(device, photo, message):
    # in a process of its own: torch may report the death once more, whatever is running then
    script = f"import test_encoders; test_encoders.read_one_that_fails({device!r}, {photo!r})"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT / "tests", capture_output=True, text=True)
    assert re.fullmatch(message, done.stdout), done.stdout + done.stderr


@pytest.mark.parametrize("error", [ConnectionResetError(104, "Connection reset by peer"), EOFError("")])
def test_a_process_that_dies_while_it_sends_a_batch_is_named(error):
    def broken():
        yield 1
        raise error

    batches = encoders.loaded(broken())
    assert next(batches) == 1
    with pytest.raises(RuntimeError, match="a process that loads photographs died, perhaps for want of memory"):
        next(batches)


# --------------------------------------------------------------------------------------------------------- truth


def test_facts_become_numbers_of_one_scale():
    table = pd.DataFrame(
        {"trait_size": [1.0, 3.0], "trait_still": [5, 5], "trait_plan": ["moth", "fish"], "scene_blur": [0.1, 0.9]}
    )
    assert encoders.tabulate(table, "trait_").tolist() == [[-1, 0, 0, 1], [1, 0, 1, 0]]  # fish before moth
    assert encoders.tabulate(table, "scene_").tolist() == [[-1], [1]]


def test_the_encoder_that_ships_is_small_and_loads_strictly():
    file = ROOT / "models" / "specimen_resnet18.safetensors"
    assert file.stat().st_size <= 25_000_000
    encoder = encoders.network_of(ENCODER_CONFIGS["specimen_resnet18_double"])
    images = torch.stack([encoder.transform(image) for image in draw_specimens(3)])
    with torch.inference_mode():
        layers = encoder.network(images)
    assert list(layers) == ["layer3", "avgpool"] and layers["avgpool"].shape == (3, 512)
    assert images.shape[-1] == 128 and all(torch.isfinite(values).all() for values in layers.values())
    with safe_open(file, "pt") as content:
        assert {content.get_tensor(name).dtype for name in content.keys()} == {torch.float16, torch.int64}  # noqa: SIM118


@pytest.mark.parametrize(
    ("cuda", "mps", "native", "device", "precision"),
    [
        (True, False, True, "cuda", torch.bfloat16),
        (True, True, False, "cuda", torch.float16),
        (False, True, False, "mps", torch.float32),
        (False, False, False, "cpu", None),
    ],
)
def test_the_fastest_device_is_taken_and_the_precision_that_it_computes(
    monkeypatch, cuda, mps, native, device, precision
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    found = encoders.pick_device()
    assert found == torch.device(device)
    assert encoders.pick_precision(found) in ([precision] if precision else [torch.bfloat16, torch.float32])
    layout = torch.contiguous_format if device == "mps" else torch.channels_last
    assert encoders.memory_format(found) == layout


def test_the_vector_of_several_crops_is_the_mean_of_theirs(tmp_path):
    random = np.random.default_rng(0)
    image = Image.fromarray(random.integers(0, 256, (90, 120, 3), dtype=np.uint8))
    paths = [tmp_path / "whole.png", tmp_path / "half.png", tmp_path / "other.png"]
    image.save(paths[0])
    image.crop((30, 22, 90, 67)).save(paths[1])
    Image.fromarray(random.integers(0, 256, (90, 120, 3), dtype=np.uint8)).save(paths[2])
    config = {"library": "torchvision", "architecture": "resnet18", "weights": None, "layers": {"avgpool": "avgpool"}}
    config["input_size"] = 32

    def vectors(crops):
        encoder = encoders.open_encoder(config | {"crops": crops}, encoders.Source(paths), precision=torch.float32)
        (layers,) = encoder.describe([[0, 1, 2]])
        return layers["avgpool"]

    whole, both = vectors([]), vectors([1.0, 0.5])
    assert whole.shape == both.shape
    np.testing.assert_allclose(both[0], (whole[0] + whole[1]) / 2, rtol=1e-4, atol=1e-5)
    assert not np.allclose(both[2], whole[2], rtol=1e-2)
    np.testing.assert_array_equal(vectors([1.0]), whole)
    for wrong in ([0.0], [1.5], [1.0, -0.5], ["half"]):
        with pytest.raises(ValueError, match="above 0 and at most 1"):
            vectors(wrong)


def test_a_mirrored_encoder_does_not_tell_left_from_right(tmp_path):
    random = np.random.default_rng(0)
    image = Image.fromarray(random.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    paths = [tmp_path / "one.png", tmp_path / "other.png"]
    image.save(paths[0])
    image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(paths[1])
    config = {"library": "torchvision", "architecture": "resnet18", "weights": None, "layers": {"avgpool": "avgpool"}}
    config["input_size"] = 56  # of 64 pixels: the same margin is cut off on both sides
    for mirrored in (False, True):
        encoder = encoders.open_encoder(config | {"mirrored": mirrored}, encoders.Source(paths), precision=torch.float32)
        ((one, other),) = (layers["avgpool"] for layers in encoder.describe([[0, 1]]))
        assert np.allclose(one, other, rtol=1e-4, atol=1e-5) == mirrored
    new = encoder.describe_new(paths)
    np.testing.assert_allclose(new[0], one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", ["layer3", "last"])
def test_new_photographs_get_the_layer_that_is_fused(tmp_path, layer):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "one.png")
    layers = {"layer3": "layer3", "avgpool": "avgpool"}
    part = {"library": "torchvision", "architecture": "resnet18", "weights": None, "layers": layers, "input_size": 56}
    paths = [tmp_path / "one.png"]
    (embedded,) = encoders.open_encoder(part, encoders.Source(paths), precision=torch.float32).describe([[0]])
    source = encoders.Source(paths, embedding=lambda name: embedded, config=lambda name: part)
    config = {"library": "fused", "architecture": "part", "weights": None, "layers": {"fused": layer}}
    fused = encoders.open_encoder(config, source)
    (stored,) = fused.describe([[0]])
    new = fused.describe_new(paths)  # in the precision of this machine, so not to the last digit
    assert new.shape == stored["fused:part"].shape and (new * stored["fused:part"]).sum() > 0.999


every_library = pytest.mark.parametrize(
    ("library", "architecture"),
    [("torchvision", "resnet18"), ("timm", "deit_tiny_patch16_224"), ("open_clip", "ViT-S-32-alt"), ("pixels", "thumbnails")],
)


def transform_of(library, architecture):
    config = {"library": library, "architecture": architecture, "weights": None, "input_size": 32}
    layers = {"pixels": {"pixels": "pixels"}, "torchvision": {"avgpool": "avgpool"}}.get(library, {"embedding": "image"})
    if library == "timm":
        layers = {"blocks.11": "deep"}
    return encoders.build_network(**config, layers=layers).transform


@every_library
def test_bytes_that_are_normalised_later_are_what_the_transform_gives(library, architecture):
    whole = transform_of(library, architecture)
    part, mean, deviation = encoders.in_bytes(whole)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8))
    seen = part(image)
    assert seen.dtype == torch.uint8 and seen.shape == (3, 32, 32)
    torch.testing.assert_close(seen.float().div(255).sub(mean).div(deviation), whole(image).as_subclass(torch.Tensor))


@every_library
def test_large_photograph_is_decoded_at_a_fraction_of_its_size_and_looks_the_same(library, architecture, photos, tmp_path):
    part, *_ = encoders.in_bytes(transform_of(library, architecture))
    Image.open(photos[0]).convert("RGB").resize((1600, 1200), Image.Resampling.BICUBIC).save(tmp_path / "large.jpg")
    small = encoders.load_photo(tmp_path / "large.jpg", encoders.enough_pixels(part))
    assert small.width in (200, 400) and small.height >= 2 * 32
    difference = part(small).float() - part(encoders.load_photo(tmp_path / "large.jpg")).float()
    assert difference.abs().mean() < 1  # of 255 grey levels


def traced(network):
    (found,) = (module for module in network.modules() if isinstance(module, torch.fx.GraphModule))
    return found


def test_folding_changes_no_vector_and_leaves_the_network_itself_alone(photos):
    network = encoders.build_network("torchvision", "resnet18", None, {"layer3": "layer3", "avgpool": "avgpool"}, 64).network
    normalisations = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for module in normalisations:  # fresh ones do nothing
        module.running_mean.normal_(0, 0.2)
        module.running_var.uniform_(0.5, 2)
    images = torch.rand(4, 3, 64, 64)
    with torch.inference_mode():
        before = network(images)
        tuned = encoders._Mirrored(encoders.TunedNetwork(network, {"avgpool": 512}, 8))
        for whole in (network, tuned):
            folded = encoders.folded(whole, torch.device("cpu"), torch.float32)
            kinds = [type(module) for module in traced(folded).modules()]
            assert torch.nn.BatchNorm2d not in kinds
            if encoders.joins_layers(torch.device("cpu")):  # 17 ReLUs and 8 sums, all of them joined to 20 convolutions
                assert kinds.count(encoders._Convolution) == 20
                assert not {torch.nn.Conv2d, torch.nn.ReLU} & set(kinds)
                assert not [node for node in traced(folded).graph.nodes if node.target in encoders.SUMS]
            for name, values in whole(images).items():
                torch.testing.assert_close(folded(images)[name], values, rtol=1e-3, atol=1e-4)
        assert all(torch.equal(values, before[name]) for name, values in network(images).items())
    plain = torch.nn.Linear(3, 2)
    assert encoders.folded(plain, torch.device("cpu"), torch.float32) is plain


class Branches(torch.nn.Module):
    """Convolutions whose results are used twice, added to themselves or to a number, or need another padding."""

    def __init__(self):
        super().__init__()
        padded = {"padding": "same"}, {"padding": 1, "padding_mode": "reflect"}
        self.first, self.second = (torch.nn.Conv2d(3, 3, 3, **options) for options in padded)
        self.third, self.fourth, self.fifth = (torch.nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))
        self.relu = torch.nn.ReLU()

    def forward(self, images):
        twice = self.third(images)
        doubled = self.fourth(images)
        return {
            "kept": twice,
            "sum": self.relu(twice + self.first(images)),
            "doubled": self.relu(doubled + doubled),
            "shifted": self.relu(self.fifth(images) + 1.0),
            "padded": self.relu(self.second(images)),
        }


def test_folding_leaves_what_it_cannot_join():
    network = torch.nn.Sequential(torch.fx.symbolic_trace(Branches()))
    images = torch.rand(2, 3, 8, 8)
    with torch.inference_mode():
        folded = encoders.folded(network, torch.device("cpu"), torch.float32)
        for name, values in network(images).items():
            torch.testing.assert_close(folded(images)[name], values, rtol=1e-3, atol=1e-4)
