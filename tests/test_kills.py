"""Every chapter is killed before a change of a file, and runs again: the same bytes as without, and nothing else is left.

A kill can only leave as many different states as there are changes of files, so these are numbered, and a seeded draw says
before which one the process dies. FAULTS=20 tries up to 20 of them in every chapter, and more chapters.
"""

import multiprocessing
import os
import random
import shutil
import signal
import sys
from multiprocessing import forkserver

import in_process
import pytest
from conftest import Project, make_world

TIMES = int(os.environ.get("FAULTS", "1"))
SUBMIT = "pixels/pooled_average"
TRAINING = ("epochs=2", "image_size=32", "input_size=32", "batch_size=16")
CHAPTERS = {  # in the order of make, with the parameters that make would give
    "01": ("source=my photos",),
    "02": ("encoder=pixels", "shard_size=20", "-f", "params/encoders/pixels.yaml"),
    "02 untrained": ("encoder=resnet18_untrained", "-f", "params/encoders/resnet18_untrained.yaml"),
    "03": ("trainer=coarse_to_fine", "start=resnet18_untrained", *TRAINING, "-f", "params/trainers/coarse_to_fine.yaml"),
    "05": ("encoder=pixels", "clusterer=pooled_average", "seeds=0 1", "-f", "params/clusterers/pooled_average.yaml"),
    "06": ("encoders=pixels", "clusterers=pooled_average", "seeds=0", f"submit={SUBMIT}"),
    "16": (f"run={SUBMIT}", "encoders=pixels"),
}
SLOW = {  # with FAULTS only
    "12": (f"run={SUBMIT}",),
    "14": ("setting=coarse_to_fine",),
    "17": (f"run={SUBMIT}", "seeds=0"),
    "00": ("dataset=other", "n_families=3", "n_genera=6", "n_species=12", "n_specimens=3", "image_size=64"),
    "04": ("encoder=pixels",),
    "10": ("encoders=pixels", "clusterers=pooled_average", "seeds=0"),
    "11": ("encoder=pixels", "seeds=0"),
    "13": ("encoders=pixels",),
    "15": ("encoder=pixels",),
    "18": ("encoders=pixels", "n_subsamples=2"),
    "99": ("encoders=pixels", "clusterers=pooled_average"),
}

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="processes of macOS cannot be forked after imports")


class Chapters:
    """Runs chapters in processes that are forked from one that has imported everything."""

    def __init__(self, root):
        self.project = Project(root)
        make_world(root / "my photos", photos=3)
        config = root / "params" / "encoders" / "resnet18_untrained.yaml"
        config.write_text(config.read_text().replace("input_size: 128", "input_size: 32"))
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["in_process", "training", "plotting", "clustering", "scoring", "trust"])
        with pytest.MonkeyPatch.context() as patch:  # before Python 3.14 it looks for modules nowhere else
            patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
            forkserver.ensure_running()

    def run(self, chapter, *parameters, dataset, last=None):
        """Run a chapter, or kill it before its change number `last`; return what it printed, and its number of changes."""
        (source,) = (self.project.root / "notebooks").glob(f"{chapter[:2]}_*.py")
        output = f"data/{dataset}/runs/{source.stem}{chapter[2:].replace(' ', '-')}.ipynb"
        given = [] if any("dataset=" in parameter for parameter in parameters) else [f"dataset={dataset}"]
        here, there = self.context.Pipe(duplex=False)
        arguments = ["run", str(source), output, *given, *parameters]
        process = self.context.Process(
            target=in_process.run_and_count, args=(self.project.root, arguments, dataset, last, there)
        )
        process.start()
        there.close()
        done, changes = here.recv() if last is None else (None, None)
        process.join()
        assert process.exitcode == (0 if last is None else -signal.SIGKILL)
        assert done is None or done.returncode == 0, done.stderr
        return changes

    def files(self, dataset):
        """{path: bytes} of all results; an executed notebook has the time of its run in it, so only its name counts."""
        root = self.project.root
        paths = [path for top in ("data", "figures") for path in (root / top / dataset).rglob("*") if path.is_file()]
        paths = [path for path in paths if "photos" not in path.relative_to(root).parts]
        return {str(p.relative_to(root)): b"" if p.suffix == ".ipynb" else p.read_bytes() for p in paths}


@pytest.fixture(scope="module")
def chapters(tmp_path_factory):
    return Chapters(tmp_path_factory.mktemp("killed"))


@pytest.fixture(scope="module")
def whole(chapters):
    """{chapter: (files before it, number of its changes, files after it)} of one run without a kill; states are copied."""
    states, root = {}, chapters.project.root
    for chapter, parameters in (CHAPTERS | (SLOW if TIMES > 1 else {})).items():
        dataset = "other" if chapter == "00" else "k"
        for top in ("data", "figures"):
            (root / top / dataset).mkdir(parents=True, exist_ok=True)
            shutil.copytree(root / top / dataset, root / "before" / chapter / top / dataset, symlinks=True)
        changes = chapters.run(chapter, *parameters, dataset=dataset)
        states[chapter] = (dataset, parameters, changes, chapters.files(dataset))
    return states


@pytest.mark.parametrize("chapter", [*CHAPTERS, *(SLOW if TIMES > 1 else {})])
def test_killed_chapter_comes_to_the_same_bytes(chapters, whole, chapter):
    dataset, parameters, changes, wanted = whole[chapter]
    assert changes >= 4  # the notebook is begun, saved and renamed, and there is a result
    random.seed(chapter if TIMES == 1 else None)
    for last in random.sample(range(2, changes + 1), min(TIMES, changes - 1)):
        for top in ("data", "figures"):
            place = chapters.project.root / top / dataset
            shutil.rmtree(place)
            shutil.copytree(chapters.project.root / "before" / chapter / top / dataset, place, symlinks=True)
        chapters.run(chapter, *parameters, dataset=dataset, last=last)
        chapters.run(chapter, *parameters, dataset=dataset)
        found = chapters.files(dataset)
        assert found.keys() == wanted.keys(), f"killed before change {last} of {changes}"
        assert [path for path in wanted if found[path] != wanted[path]] == [], f"killed before change {last} of {changes}"
