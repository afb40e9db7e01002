"""One lock for everybody: pip, conda and the hosted tests install the same releases."""

import re

import yaml
from conftest import ROOT


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned():
    """{package: block of the lock} of requirements.txt."""
    blocks = re.split(r"\n(?=[a-zA-Z])", (ROOT / "requirements.txt").read_text())
    return {normal(re.match(r"[\w.-]+", b)[0]): b for b in blocks if re.match(r"[\w.\[\]-]+==", b)}


def test_conda_users_get_the_same_lock():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    names = [d if isinstance(d, str) else "pip:" for d in environment["dependencies"]]
    assert [re.match(r"\w+:?", name)[0] for name in names] == ["python", "make", "pip", "pip:"]
    assert environment["dependencies"][-1] == {"pip": ["-r requirements.txt"]}


def test_every_direct_dependency_is_pinned_with_hashes():
    lines = [line.split("#")[0].strip() for line in (ROOT / "requirements.in").read_text().splitlines()]
    direct = {normal(re.match(r"[\w.-]+", line)[0]) for line in lines if line}
    lock = pinned()
    assert direct >= {
        "torch",
        "torchvision",
        "open-clip-torch",
        "umap-learn",
        "hdbscan",
        "seaborn",
        "matplotlib",
        "pandas",
        "papermill",
        "jupytext",
    }
    assert direct <= set(lock)
    assert all("--hash=sha256:" in block for block in lock.values())


def test_the_lock_names_no_index_of_any_machine():
    text = (ROOT / "requirements.txt").read_text()
    assert not re.search(r"--(extra-)?index|--find-links|--trusted-host|://|file:", text)
    assert "+cpu" not in text
