"""A tiny world for the tests: drawn specimens in nested folders, and a copy of the project to run them in."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import utils

SHARED = ROOT.parent / "shared"
os.environ["OMP_NUM_THREADS"] = "1"  # the tests themselves run side by side
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}  # nothing of the make that runs the tests


def draw_specimen(family, genus, species, random, size=64):
    """A figure whose colour tells the family, whose corners tell the genus and whose size tells the species."""
    colours = ["firebrick", "seagreen", "royalblue", "goldenrod"]
    image = Image.fromarray(random.integers(180, 256, (size, size, 3), np.uint8))
    radius = size * (0.2 + 0.12 * species) + random.normal(0, 0.8)
    x, y = size / 2 + random.normal(0, 1, 2)
    ImageDraw.Draw(image).regular_polygon((x, y, max(radius, 4)), 3 + 4 * genus, fill=colours[family % 4])
    return image


def make_world(folder, families=3, genera=2, species=2, photos=6, seed=0):
    """Write photographs into nested folders, and metadata.csv; return its rows."""
    random = np.random.default_rng(seed)
    rows = []
    for f in range(families):
        for g in range(genera):
            for s in range(species):
                place = folder / f"site {f}" / f"trap-{g}"
                place.mkdir(parents=True, exist_ok=True)
                for _ in range(photos):
                    name = f"{len(rows):04d}"
                    draw_specimen(f, g, s, random).save(
                        place / f"{name}.{'png' if len(rows) % 2 else 'JPG'}", quality=92
                    )
                    rows.append([name, f"Family{f}", f"Genus{f}{g}", f"Genus{f}{g} species{s}"])
    write_csv(folder, rows)
    return rows


def write_csv(folder, rows, header=("hash_id", "family", "genus", "species"), name="metadata.csv"):
    with (folder / name).open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """Folder with 72 photographs of 3 families, 6 genera and 12 species."""
    folder = tmp_path_factory.mktemp("world") / "my photos"
    make_world(folder)
    return folder


class Project:
    """A copy of the project's files, in which chapters and make can run without touching the real one."""

    def __init__(self, root):
        self.root = root
        for name in (
            "utils.py",
            "images.py",
            "encoders.py",
            "execute.py",
            "Makefile",
            "jupytext.toml",
            "requirements.txt",
        ):
            shutil.copy(ROOT / name, root / name)
        for name in ("notebooks", "params"):
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("*.ipynb", ".ipynb_checkpoints"))

    def make(self, *words, check=True):
        """Run make with this Python; return the finished process, its output as text."""
        command = ["make", f"PYTHON={sys.executable}", *words]
        done = subprocess.run(command, cwd=self.root, env=CLEAN, capture_output=True, text=True)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def run(self, chapter, *words, check=True):
        """Run one chapter, as the Makefile would; its output goes to a file named after the words."""
        (source,) = (self.root / "notebooks").glob(f"{chapter}_*.py")
        command = [sys.executable, "execute.py", "run", str(source), f"out/{chapter}.ipynb", *words]
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def data(self, dataset, *parts):
        return self.root.joinpath("data", dataset, *parts)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return Project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def shared_weights():
    """Folder of real pretrained weights beside the project; the tests that need them are skipped where it is absent."""
    if not (SHARED / "weights" / "resnet50.safetensors").is_file():
        pytest.skip("the pretrained weights for development are not on this machine")
    return SHARED / "weights"


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    """Let utils keep its data and figures in a temporary folder."""
    monkeypatch.setattr(utils, "ROOT", tmp_path)
    return tmp_path
