"""Size and speed of atlases with generated photographs: python tests/bench_atlas.py 2000 10000 50000

Photographs are drawn: a spot on a textured ground, which compresses a little worse than the moths of EU Moths. The browser is
Chromium without a window. It draws in software unless there is a graphics card that it may use, so its frame rate is a lower
limit.
"""

import resource
import shutil
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import pandas as pd
from PIL import Image, ImageFilter

import atlas

PAN = """async seconds => {
  const start = performance.now(), before = app.map.frames, view = app.map.view;
  let busy = 0;
  await new Promise(done => {
    const step = () => {
      const passed = (performance.now() - start) / 1000;
      const began = performance.now();
      app.map.go({...view, target: [view.target[0] + 60 * Math.sin(passed), view.target[1] + 60 * Math.cos(passed), 0]});
      app.map.deck.redraw("bench");
      busy += performance.now() - began;
      passed < seconds ? requestAnimationFrame(step) : done();
    };
    step();
  });
  const frames = app.map.frames - before;
  return [frames / (performance.now() - start) * 1000, busy / frames];
}"""


def drawn(n, size, seed=0):
    """Yield n pictures of so many pixels."""
    random = np.random.default_rng(seed)
    grounds = [
        Image.fromarray(random.integers(0, 256, (2 * size, 2 * size, 3), np.uint8)).filter(
            ImageFilter.GaussianBlur(0.9)
        )
        for _ in range(8)
    ]
    y, x = np.mgrid[:size, :size] / size - 0.5
    for i in range(n):
        left, top = random.integers(size, size=2)
        picture = np.asarray(grounds[i % 8].crop((left, top, left + size, top + size)), float)
        spot = ((x / random.uniform(0.2, 0.4)) ** 2 + (y / random.uniform(0.2, 0.45)) ** 2 < 1)[..., None]
        picture = 0.9 * picture + random.uniform(-40, 70, 3)
        yield Image.fromarray(
            np.where(spot, 0.4 * picture + random.uniform(0, 120, 3), picture).clip(0, 255).astype(np.uint8)
        )


def generated(n, seed=0):
    """A table, a map (n, 2) and points (n, 128) of n photographs in clusters of about ten, ten of them in a family."""
    random = np.random.default_rng(seed)
    k = np.sort(random.integers(max(n // 10, 1), size=n))
    names = pd.Series(k)
    table = pd.DataFrame(
        {"hash_id": [f"{i:024x}" for i in range(n)], "path": [f"images/{i:024x}.jpg" for i in range(n)]}
    )
    table["family"], table["genus"] = "Family" + (names // 100).astype(str), "Genus" + (names // 3).astype(str)
    table["species"] = table["genus"] + " species" + names.astype(str)
    table["family_cluster"], table["genus_cluster"] = table["family"], table["family"] + "/g" + (names // 3).astype(str)
    table["species_cluster"] = table["genus_cluster"] + "/s" + names.astype(str)
    table = table.assign(trust=random.random(n), right=1)
    for name in ("decision", "duplicate_of", "given_family", "given_genus", "given_species"):
        table[name] = pd.Series(pd.NA, table.index, "string")
    centres = random.normal(size=(k.max() + 1, 128))
    points = centres[k] + random.normal(size=(n, 128))
    xy = random.normal(size=(k.max() + 1, 2))[k] * 10 + random.normal(size=(n, 2))
    return table, xy, points / np.linalg.norm(points, axis=1, keepdims=True)


def measure(n, folder, browser):
    """One line with what an atlas of n photographs takes."""
    began = time.perf_counter()
    table, xy, points = generated(n)
    data, _ = atlas.contents("generated", f"{n} photographs", table, xy, points)
    paths = atlas.write_atlas(folder / f"{n}.html", data, drawn(n, data["thumbnails"]["cell"]))
    built = time.perf_counter() - began
    megabytes = [path.stat().st_size / 1e6 for path in paths]
    page = browser.new_page(viewport={"width": 1366, "height": 768})
    began = time.perf_counter()
    page.goto(paths[0].as_uri())
    while not page.evaluate("Boolean(globalThis.app?.map.first)"):
        time.sleep(0.02)
    first = page.evaluate("app.map.first") / 1000
    whole, whole_busy = page.evaluate(PAN, 6)
    page.evaluate("app.map.go({...app.map.view, zoom: app.map.whole.zoom + Math.log2(app.atlas.n / 300) / 2})")
    time.sleep(4)
    shown, (close, close_busy) = page.evaluate("app.map.shown.length"), page.evaluate(PAN, 6)
    memory = page.evaluate("performance.memory.usedJSHeapSize") / 1e6
    page.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    beside = f" + {sum(megabytes[1:]):.0f} beside" if len(paths) > 1 else ""
    return (
        f"| {n:,} | {data['thumbnails']['cell']} px | {megabytes[0]:.1f}{beside} | {first:.1f} "
        f"| {whole:.1f} ({whole_busy:.0f} ms) | {close:.1f} ({close_busy:.0f} ms, {shown} thumbnails) "
        f"| {memory:.0f} | {built:.0f} | {peak:.0f} |"
    )


if __name__ == "__main__":
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None or not find_spec("playwright"):
        print("the atlas is not measured: that needs playwright and chromium, chromium-browser or google-chrome")
        sys.exit()
    from playwright.sync_api import sync_playwright

    print("| photographs | thumbnails | MB | s to the first dots | frames/s (script per frame), whole map | close up "
          "| JS heap, MB | s to write | peak MB |\n|" + " --- |" * 9)  # fmt: skip
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as scratch:
        options = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox"]
        for count in map(int, sys.argv[1:] or ("2000", "10000", "50000")):
            running = playwright.chromium.launch(executable_path=program, args=options)
            print(measure(count, Path(scratch), running), flush=True)
            running.close()
