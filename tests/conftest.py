"""Fixtures: photographs of a small simulated world, a copy of the project with its Makefile, folders to run chapters in."""

import contextlib
import csv
import ctypes
import gc
import hashlib
import http.server
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy is loaded: tests share the cores, and threads would wait for each other
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}  # without the variables of `make test`
os.environ["LOKY_MAX_CPU_COUNT"] = "1"  # joblib starts processes only where chapters run in processes of their own
os.cpu_count = lambda: 1  # one process reads photographs for each test

import hypothesis
import jupytext
import matplotlib
import matplotlib.pyplot as plt
import psutil
import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import in_process

import utils
from simulation.specimens import picture, simulate

matplotlib.use("Agg")
hypothesis.settings.register_profile("shared machine", deadline=None)  # how long an example takes depends on the load
hypothesis.settings.load_profile("shared machine")
SHARED = ROOT.parent / "shared"
MAKE = shutil.which("gmake") or "make"  # the make of macOS is too old, and Homebrew installs GNU make as gmake
LONGEST = ("test_training", "test_make", "test_real_data", "test_make_sweeps", "test_chapters", "test_distributed")


def pytest_collection_modifyitems(items):
    """Start with the longest files, so that all workers are busy until the end."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONGEST)))
    if any(item.path.stem == "test_devices" for item in items):
        import pretended

        pretended.register()  # before any test computes a gradient: torch counts the devices only once in a process


PROCESS, held = psutil.Process(), [0]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown():
    """After a test that needed much memory give it back: networks are parts of cycles, and the C library keeps what is free."""
    yield
    if PROCESS.memory_info().rss > held[0] + 1e8:
        gc.collect()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", lambda _: None)  # of glibc only
        trim(0)
        held[0] = PROCESS.memory_info().rss


def make_world(folder, families=3, genera=6, species=12, photos=6):
    """Write photographs of a simulated world into nested folders, and metadata.csv; return its rows."""
    specimens = simulate(families, genera, species, photos, seed=4).specimens
    rows = []
    for number, specimen in enumerate(specimens.to_dict("records")):
        place = folder / f"site {number % 3}" / f"trap-{number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        picture(specimen, 64).save(place / f"{number:04d}.{'png' if number % 2 else 'JPG'}")
        rows.append([f"{number:04d}", *(specimen[rank] for rank in utils.RANKS)])
    write_csv(folder, rows)
    return rows


def draw_specimens(count):
    """Photographs (PIL) of a few specimens of a simulated world."""
    specimens = simulate(3, 3, 3, -(-count // 3), seed=4).specimens
    return [picture(specimen, 64) for specimen in specimens.to_dict("records")[:count]]


def encoded(image, form="JPEG"):
    """The bytes of a file with a PIL image."""
    stream = io.BytesIO()
    image.save(stream, form)
    return stream.getvalue()


def encoded_specimens(count=6, name="{family}/{number}.png"):
    """{name: bytes} of photographs of specimens in two folders, F and G."""
    images = enumerate(draw_specimens(count))
    return {name.format(family="FG"[number % 2], number=number): encoded(image, "PNG") for number, image in images}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Paths of 12 photographs of a simulated world."""
    folder = tmp_path_factory.mktemp("photos")
    for i, image in enumerate(draw_specimens(12)):
        image.save(folder / f"{i:02d}.png")
    return sorted(folder.iterdir())


@pytest.fixture
def tiny_clip(tmp_path, monkeypatch):
    """A small CLIP model that open_clip knows as tiny-clip: two blocks, 64 pixels in patches of 16."""
    import open_clip

    tower = {"width": 32, "layers": 2}
    config = {
        "embed_dim": 16,
        "vision_cfg": {**tower, "image_size": 64, "patch_size": 16, "head_width": 16},
        "text_cfg": {**tower, "heads": 2},
    }
    (tmp_path / "tiny-clip.json").write_text(json.dumps(config))
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIGS", dict(open_clip.factory._MODEL_CONFIGS))
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIG_PATHS", list(open_clip.factory._MODEL_CONFIG_PATHS))
    open_clip.add_model_config(tmp_path / "tiny-clip.json")


def write_csv(folder, rows, header=("hash_id", "family", "genus", "species"), name="metadata.csv"):
    with (folder / name).open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """Folder with 72 photographs of 3 families, 6 genera and 12 species of a simulated world."""
    folder = tmp_path_factory.mktemp("world") / "my photos"
    make_world(folder)
    return folder


class Project:
    """A copy of the project's files, in which chapters and make can run without changing the real one.

    Chapters run in the process of the test (see in_process.py), or with `separate=True` as a user runs them: with a kernel.
    """

    def __init__(self, root):
        self.root = root
        for path in (*ROOT.glob("*.py"), *(ROOT / name for name in ("Makefile", "jupytext.toml", "requirements.txt"))):
            shutil.copy(path, root)
        for name in ("notebooks", "params", "simulation", "atlas"):
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("*.ipynb", ".*", "__pycache__"))
        stress = root / "notebooks" / "15_stress_test.py"  # fewer and smaller embeddings take a tenth of the time
        smaller = re.sub(r'"photographs": (\d+)0\b', r'"photographs": \1', stress.read_text())
        smaller = smaller.replace("**SIMULATED[situation]", '**{"photographs": 5} | SIMULATED[situation]')
        stress.write_text(smaller.replace("draws = [0, 1]", "draws = [0]"))
        learned = root / "heads.py"
        learned.write_text(re.sub(r"\bsteps=\d+", "steps=20", learned.read_text()))
        with_heads = root / "notebooks" / "29_learned_heads.py"
        with_heads.write_text(with_heads.read_text().replace("seeds = [0, 1]", "seeds = [0]"))
        maps = root / "notebooks" / "25_maps.py"
        maps.write_text(maps.read_text().replace("n_photographs = 600", "n_photographs = 100"))
        worse = root / "notebooks" / "11_robustness.py"
        worse.write_text(worse.read_text().replace("n_photos = 500", "n_photos = 18"))
        heat = root / "notebooks" / "26_what_the_encoder_sees.py"
        heat.write_text(heat.read_text().replace("n_photographs = 40", "n_photographs = 8"))

    def make(self, *arguments, check=True, separate=False):
        """Run make with this Python; return the finished process, its output as text."""
        if separate:
            command = [MAKE, f"PYTHON={sys.executable}", *arguments]
            done = subprocess.run(command, cwd=self.root, env=CLEAN, capture_output=True, text=True)
        else:
            done = self._make_here(*arguments)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def _make_here(self, *arguments):
        with (
            in_process.Server(self.root) as server,
            tempfile.TemporaryFile("w+") as out,
            tempfile.TemporaryFile("w+") as err,
        ):
            command = [MAKE, f"PYTHON={server.python}", *arguments]
            process = subprocess.Popen(command, cwd=self.root, env=CLEAN, stdout=out, stderr=err, text=True)
            server.serve(process)
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(command, process.returncode, out.read(), err.read())

    def arguments(self, chapter, *parameters):
        """What the Makefile would give to execute.py to run one chapter."""
        (source,) = (self.root / "notebooks").glob(f"{chapter}_*.py")
        return ["run", str(source), f"out/{chapter}.ipynb", *parameters]

    def run(self, chapter, *parameters, check=True):
        """Run one chapter; its output goes to a file named after it."""
        done = in_process.run(self.root, self.arguments(chapter, *parameters))
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def run_and_kill(self, chapter, *parameters, when):
        """Run one chapter with a kernel and kill it, with all its processes, as soon as `when()` is true."""
        command = [sys.executable, "execute.py", *self.arguments(chapter, *parameters)]
        started = subprocess.Popen(command, cwd=self.root, env=CLEAN, stdout=subprocess.DEVNULL)
        process = psutil.Process(started.pid)
        while not when():
            assert started.poll() is None, "the chapter ended before it could be killed"
            time.sleep(0.02)
        for one in [*process.children(recursive=True), process]:
            one.kill()
        started.wait()
        time.sleep(0.2)  # until the processes of the kernel are gone

    def data(self, dataset, *parts):
        return self.root.joinpath("data", dataset, *parts)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return Project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def shared_weights():
    """Folder with real pretrained weights beside the project; tests that need it are skipped where it is absent."""
    if not (SHARED / "weights" / "resnet50.safetensors").is_file():
        pytest.skip("the pretrained weights for development are not on this machine")
    return SHARED / "weights"


class Workbench:
    """A project root, empty or that of a Project, in which cells of chapters run in this process and without papermill."""

    def __init__(self, root):
        self.root = root
        for name in ("params", "models", "notebooks"):
            if not (root / name).exists():
                (root / name).symlink_to(ROOT / name)

    def data(self, dataset, *parts):
        return self.root.joinpath("data", dataset, *parts)

    def run(self, chapter, **parameters):
        """Execute the cells of one chapter with these parameters; return what it printed, and its variables."""
        (source,) = (ROOT / "notebooks").glob(f"{chapter}_*.py")
        notebook = jupytext.read(source)
        declared = in_process.execute.declared_parameters(notebook)
        cells = [
            c.source for c in notebook.cells if c.cell_type == "code" and "parameters" not in c.metadata.get("tags", [])
        ]
        variables = declared | in_process.execute.check_parameters(parameters, declared, source)
        printed = io.StringIO()
        with (
            in_process.project_root(self.root) as patch,
            contextlib.redirect_stdout(printed),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            patch.setattr(sys, "path", [*sys.path])
            patch.setattr(plt, "show", lambda: None)
            patch.chdir(ROOT / "notebooks")
            try:
                for number, cell in enumerate(cells, 1):
                    exec(compile(cell, f"<{source.stem}, code cell {number} after the parameters>", "exec"), variables)
            finally:
                plt.close("all")
        return printed.getvalue(), variables

    def encode(self, dataset, encoder="pixels", **parameters):
        """Run chapter 02 with the config of an encoder."""
        config = yaml.safe_load((ROOT / "params" / "encoders" / f"{encoder}.yaml").read_text())
        return self.run("02", dataset=dataset, encoder=encoder, **config | parameters)

    def cluster(self, dataset, clusterer="pooled_average", encoder="pixels", **parameters):
        """Run chapter 05 with the config of a clusterer, and one seed."""
        config = yaml.safe_load((ROOT / "params" / "clusterers" / f"{clusterer}.yaml").read_text())
        config |= {"seeds": [0]} | parameters
        return self.run("05", dataset=dataset, encoder=encoder, clusterer=clusterer, **config)


@pytest.fixture
def bench(tmp_path):
    """A workbench of one test."""
    (tmp_path / "bench").mkdir()
    return Workbench(tmp_path / "bench")


@pytest.fixture
def in_tmp(tmp_path):
    """Let all modules read params and write data and figures in a temporary folder."""
    with in_process.project_root(tmp_path):
        yield tmp_path


@pytest.fixture
def hub(tmp_path):
    """A local server with the answers of the hubs: files by path; it fails the first request for what is in `flaky`."""
    files, flaky, asked = {}, set(), []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.answer(body=False)

        def do_GET(self):
            self.answer(body=True)

        def answer(self, body):
            path = self.path.split("?")[0]
            asked.append((self.command, path))
            if path in flaky or path not in files:
                flaky.discard(path)
                self.send_response(500 if path in files else 404)
                if path not in files:
                    self.send_header("X-Error-Code", "EntryNotFound")
                self.end_headers()
                return
            content, digest = files[path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{digest}"')
            self.send_header("X-Repo-Commit", "0" * 40)
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub = type(
        "Hub", (), {"url": f"http://127.0.0.1:{server.server_port}", "files": files, "flaky": flaky, "asked": asked}
    )
    yield hub
    server.shutdown()
    server.server_close()


@pytest.fixture
def hugging_face(hub, tmp_path, monkeypatch):
    """The Hugging Face hub's layout on the local server, with a cache of its own; `pinned` replaces models/hub.yaml."""
    import pretrained  # takes seconds to load

    monkeypatch.setattr(pretrained.time, "sleep", lambda seconds: None)
    hub.pinned = {}
    monkeypatch.setattr(pretrained, "pinned_files", lambda: hub.pinned)

    def download(repo, name, revision=None):
        return encoders_download(
            repo, name, revision=revision, endpoint=hub.url, cache_dir=tmp_path / "cache", token=False
        )

    encoders_download = pretrained.hf_hub_download
    monkeypatch.setattr(pretrained, "hf_hub_download", download)

    def publish(repo, name, content, digest=None, revision="main"):
        hub.files[f"/{repo}/resolve/{revision}/{name}"] = (content, digest or hashlib.sha256(content).hexdigest())

    hub.publish, hub.cache = publish, tmp_path / "cache"
    return hub
