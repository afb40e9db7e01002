"""Pretrained weights: a file of the user's, of this project, or a verified download from the hub of a library.

timm and open_clip take seconds to load and are imported where they are used.
"""

import hashlib
import re
import time
from pathlib import Path

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from torchvision.models import get_model_weights

import parameters
import utils

BESIDE = {"barcodebert": "config.json", "dnabert_s": "tokenizer.json"}  # what these networks read besides their weights


def weights_file(library, architecture, weights, folder=""):
    """Path of the pretrained weights: <folder>/<architecture>.safetensors or .pth, or the hub's verified download.

    The weights of a tuned encoder are a file of this project. FileNotFoundError says which file to put where, if there is
    no such file in the folder or the hub is out of reach; ValueError says what else than weights the file holds.
    """
    file = tuned_file(weights) if library == "tuned" else _find(library, architecture, weights, folder)
    _check_content(file)
    return file


def _find(library, architecture, weights, folder):
    candidates = [Path(folder).expanduser() / f"{architecture}{suffix}" for suffix in (".safetensors", ".pth")]
    if folder:
        for path in candidates:
            if path.is_file():
                return path
        reason = f"there is neither {candidates[0].name} nor {candidates[1].name} in {folder}"
    else:
        try:
            return _download(library, architecture, weights)
        except Exception as error:  # each hub library raises errors of its own
            reason = f"the hub could not be reached or sent a wrong file ({type(error).__name__}: {error})"
    beside = BESIDE.get(architecture)
    also = f", and its {beside} as {architecture}.{beside}," if beside else ""
    raise FileNotFoundError(
        f"No weights for {library}'s {architecture} ({weights}): {reason}. Put the state dict, with {library}'s key "
        f"names, as {architecture}.safetensors or {architecture}.pth{also} into a folder and name that folder: "
        "WEIGHTS=<folder>"
    )


def beside_file(file, architecture, weights, folder=""):
    """Path of what a network of BESIDE reads besides its weights `file`; None for other networks.

    In a folder of the user's it is <folder>/<architecture>.<its name>. On the Hugging Face hub it is of the same commit of the
    repository `weights`, and verified. FileNotFoundError says which file to put where if it is not there.
    """
    name = BESIDE.get(architecture)
    if not name:
        return None
    if folder:
        path, reason = Path(folder).expanduser() / f"{architecture}.{name}", f"it is not in {folder}"
        if path.is_file():
            return path
    else:
        wanted = pinned_files().get(weights, {}).get("beside", {}).get(name)
        try:
            commit = file.parent.name  # of the hub's cache, which has a folder by commit
            return _patiently(_verified, weights, name, commit, wanted)
        except Exception as error:  # each hub library raises errors of its own
            reason = f"the hub could not be reached or sent a wrong file ({type(error).__name__}: {error})"
    raise FileNotFoundError(
        f"No {architecture}.{name}: {reason}. Put {name} of {weights} under this name into a folder with the weights, "
        f"{architecture}.safetensors or {architecture}.pth, and name that folder: WEIGHTS=<folder>"
    )


def tuned_file(weights):
    """Path of the weights of a tuned encoder. Those that ship with the project must have the digest in models/SHA256SUMS."""
    path = (utils.ROOT / weights).resolve()
    if not path.is_relative_to(utils.ROOT.resolve()):
        raise ValueError(f"weights {weights!r} lie outside the project")
    if not path.is_file():
        raise FileNotFoundError(f"{weights} is missing: chapter 03 writes it (make {weights})")
    shipped = shipped_digests().get(path.name) if path.parent == (utils.ROOT / "models").resolve() else None
    found = utils.file_digest(path) if shipped else None
    if found != shipped:
        raise ValueError(
            f"{weights} is not the file that ships: its SHA-256 is {found[:12]}..., not {shipped[:12]}... Fetch it again "
            "(git checkout models), or enter the digest of a file of your own in models/SHA256SUMS"
        )
    return path


def shipped_digests():
    """{file name: SHA-256} of models/SHA256SUMS, which `sha256sum -c` reads, too."""
    lines = (utils.ROOT / "models" / "SHA256SUMS").read_text().splitlines()
    return {name: digest for digest, name in (line.split(maxsplit=1) for line in lines)}


def pinned_files():
    """{repository of the hub: its commit, file and SHA-256} of models/hub.yaml."""
    return parameters.read_yaml("models/hub.yaml")


FIRST_BYTES = {".safetensors": rb".{8}\{", ".pth": rb"PK\x03\x04|\x80[\x02-\x05]", ".bin": rb"PK\x03\x04|\x80[\x02-\x05]"}
NO_WEIGHTS = ((rb"\s*<", "a web page"), (rb"version https://git-lfs", "a Git-LFS pointer (git lfs pull fetches the file)"))


def _check_content(file):
    """ValueError if a file does not begin as weights do. torch would advise to read it without any protection."""
    with file.open("rb") as stream:
        head = stream.read(64)
    if not re.match(FIRST_BYTES.get(file.suffix, b""), head, re.DOTALL):
        kinds = [kind for pattern, kind in NO_WEIGHTS if re.match(pattern, head)]
        found = "empty" if not head else kinds[0] if kinds else f"no {file.suffix} file"
        raise ValueError(f"{file} is {found}, and not weights: download it again")


def _download(library, architecture, weights):
    """Fetch weights from their hub, and verify the checksum."""
    fetch = {
        "torchvision": _from_torchvision, "timm": _from_timm, "open_clip": _from_open_clip, "huggingface": _from_repository,
    }[library]  # fmt: skip
    return _patiently(fetch, architecture, weights)


def _patiently(fetch, *arguments, attempts=3):
    """fetch(*arguments), tried again after a pause if the connection fails."""
    for attempt in range(attempts):
        try:
            return fetch(*arguments)
        except (OSError, RuntimeError):
            if attempt == attempts - 1:
                raise
            time.sleep(2**attempt)


def _from_torchvision(architecture, weights):
    url = get_model_weights(architecture)[weights].url
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]
    prefix = re.search(r"-([a-f0-9]{8,})\.", path.name)[1]  # torchvision's file names end in the start of their SHA-256
    if not (path.is_file() and utils.file_digest(path).startswith(prefix)):
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=prefix)
    return path


def _from_timm(architecture, weights):
    import timm

    repo = timm.get_pretrained_cfg(f"{architecture}.{weights}").hf_hub_id
    return _from_hugging_face(repo, "model.safetensors", "pytorch_model.bin")


def _from_open_clip(architecture, weights):
    import open_clip

    if not weights.startswith("hf-hub:"):
        weights = open_clip.get_pretrained_cfg(architecture, weights)["hf_hub"]
    repo, name = re.fullmatch(r"(?:hf-hub:)?([^/]+/[^/]+)/?(.*)", weights).groups()
    return _from_hugging_face(
        repo, *([name] if name else ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"])
    )


def _from_repository(architecture, weights):
    return _from_hugging_face(weights, "model.safetensors", "pytorch_model.bin")


def _from_hugging_face(repo, *names):
    """A file of a repository: the commit and the file of models/hub.yaml, with the SHA-256 there.

    From a repository that is not listed there: the first of `names` that it holds, with the checksum that the hub gives.
    """
    pinned, unreachable = pinned_files().get(repo) or {}, None
    for name in [pinned["file"]] if pinned else names:
        try:
            return _verified(repo, name, pinned.get("revision"), pinned.get("sha256"))
        except EntryNotFoundError:
            continue
        except ConnectionError as error:  # another of the names may be in the cache
            unreachable = unreachable or error
    if unreachable:
        raise unreachable
    raise FileNotFoundError(f"{repo} holds none of {', '.join(names)}")


def _verified(repo, name, revision, sha256):
    """A file of a repository at a commit, with this SHA-256, or with the checksum that the hub gives if this is None.

    The hub's cache names a file by that checksum: a large one by its SHA-256, a small one as git does.
    """
    try:
        path = Path(hf_hub_download(repo, name, revision=revision))
    except LocalEntryNotFoundError as error:  # offline, and no copy in the cache
        raise ConnectionError(error) from error
    blob = path.resolve()
    wanted = sha256 or blob.name
    if re.fullmatch(r"[0-9a-f]{64}", wanted):
        found = utils.file_digest(blob)
    elif re.fullmatch(r"[0-9a-f]{40}", wanted):
        content = blob.read_bytes()
        found = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    else:
        return path  # a cache on a file system without links, which does not keep the checksums
    if found != wanted:
        blob.unlink()
        source = "in models/hub.yaml" if sha256 else "that the hub gives for it"
        raise OSError(f"{repo}/{name} does not have the checksum {source}")
    return path
