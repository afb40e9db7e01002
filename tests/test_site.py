"""The website: every page and executed chapter, no broken link, nothing from the network."""

import re
import subprocess
import sys

import pytest
from conftest import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--fail-on-warning", "-d", str(folder / "doctrees"), "-c", "docs"]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, ".", str(folder / "html")], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


def test_every_page_and_chapter_is_there_and_shows_its_results(site):
    pages = [*(ROOT / "docs").glob("*.md"), *(ROOT / "notebooks").glob("*.ipynb"), ROOT / "README.md"]
    for page in pages:
        assert (site / page.relative_to(ROOT).with_suffix(".html")).is_file(), page
    assert 'src="../_images/' in (site / "notebooks" / "00_simulate_specimens.html").read_text()
    assert "clusters for" in (site / "README.html").read_text()


def test_no_link_is_broken_and_nothing_is_loaded_from_elsewhere(site):
    for page in site.rglob("*.html"):
        text = page.read_text()
        for place in re.findall(r'(?:href|src)="([^"#?]+)', text):
            if not re.match(r"https?:|data:|mailto:", place):
                assert (page.parent / place).exists(), (page.name, place)
        loaded = re.findall(r'<(?:script|img|link rel="stylesheet")[^>]*(?:src|href)="(https?:[^"]+)', text)
        assert not loaded, page.name
