"""Faults of users, of their files and of the machine: each is one line that names what is wrong, or the right result."""

import csv
import io
import os
import shutil
import subprocess
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

import in_process
import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT, Workbench, write_csv
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from PIL import Image

import images
import parameters
import plan
import specimen_table
import utils
from settings import STORED_HEADER

TIMES = int(os.environ.get("FAULTS", "1"))  # FAULTS=20 tries 20 times as many cases, other ones at every call


def fuzz(examples):
    """Settings of hypothesis for so many made-up examples."""
    return settings(
        max_examples=examples * TIMES,
        derandomize=TIMES == 1,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


# --------------------------------------------------------------------------------------------------- YAML files

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
BAD_YAML = {
    BOMB: "alias",
    "a: " + "[" * 50_000 + "]" * 50_000: "levels inside each other",
    "- " * 5_000 + "a": "levels inside each other",
    "library: pixels\nlibrary: timm\n": "'library' is given twice, again in line 2",
    "!!python/object/apply:os.system [touch sprung]": "could not determine a constructor",
    "a: !!python/object/apply:os.system [touch sprung]": "could not determine a constructor",
    "a: !!bool x": "KeyError",
    "a: 2024-99-99": "month must be in 1..12",
    "a: [": "expected",
    "? [a]\n: b": "unhashable key",
    "a: 1\n---\nb: 2": "single document",
    "a: \0": "control characters",
    "- a\n- b": "should hold lines of 'name: value', but holds ['a', 'b']",
    "just text": "should hold lines of 'name: value', but holds 'just text'",
    "\t a: b": "cannot start any token",
}


@pytest.mark.parametrize("text", BAD_YAML, ids=range(len(BAD_YAML)))
def test_yaml_that_is_no_plain_mapping_is_refused_with_its_reason(in_tmp, text):
    (in_tmp / "x.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"^x\.yaml ") as caught:
        parameters.load_yaml("x.yaml")
    assert BAD_YAML[text] in str(caught.value) and len(str(caught.value)) < 500 and "\n" not in str(caught.value)
    assert not (in_tmp / "sprung").exists()


def test_yaml_in_another_encoding_is_refused_and_a_byte_order_mark_is_not(in_tmp):
    (in_tmp / "x.yaml").write_bytes("title: Zygænidæ".encode("latin-1"))
    with pytest.raises(ValueError, match=r"x\.yaml cannot be read as YAML: 'utf-8' codec"):
        parameters.load_yaml("x.yaml")
    (in_tmp / "y.yaml").write_text("title: Zygænidæ", encoding="utf-8-sig")
    assert parameters.load_yaml("y.yaml") == {"title": "Zygænidæ"}


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """A project with a dataset, a tuned encoder and a sweep, in which make can be planned in this process."""
    root = tmp_path_factory.mktemp("planned")
    for name in ("notebooks", "params", "simulation"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("*.ipynb", "__pycache__"))
    for path in ROOT.glob("*.py"):
        shutil.copy(path, root)
    for name in ("photos", "models"):
        (root / "data" / "mine" / name).mkdir(parents=True)
    (root / "data" / "mine" / "photos" / "metadata.csv").write_text("hash_id\na\n")
    (root / "params" / "datasets" / "mine.yaml").write_text("seeds: 0\n")
    grid = {"encoder": ["pixels"], "clusterer": ["pooled_average"], "k_rule": ["silhouette"]}
    sweep = {"notebook": "05_hierarchical_clustering", "names": "setting", "configs": ["clusterer"], "grid": grid}
    (root / "params" / "sweeps" / "s.yaml").write_text(yaml.safe_dump(sweep))
    return root


FUZZED = (
    "params/encoders/pixels.yaml", "params/encoders/fused_imagenet.yaml", "params/clusterers/pooled_average.yaml",
    "params/datasets/mine.yaml", "params/sweeps/s.yaml", "params/trainers/simclr.yaml", "data/mine/config.yaml",
    "data/mine/models/simclr.yaml",
)  # fmt: skip
NAMES = (
    "library", "architecture", "weights", "layers", "input_size", "encoders", "clusterers", "seeds", "start", "training",
    "notebook", "names", "fixed", "vary", "grid", "configs", "plan", "sweeps", "source", "submit", "method", "epochs", "x",
)  # fmt: skip
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 9)
    | st.sampled_from(["fused", "pixels", "../x", "05_hierarchical_clustering", "a b", "", "all", "\n", "$(touch x)", 1e400])
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=4,
)


def plan_of(root, *given):
    """Exit status, output and errors of plan.py, run in this process."""
    arguments = ["plan.py", "rules", "--goals", "all sweep", "DATASET=mine", "SWEEP=s", *given]
    out, err, status = io.StringIO(), io.StringIO(), 0
    with in_process.project_root(root) as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr("sys.argv", arguments)
        try:
            plan.main()
        except SystemExit as end:
            status = end.code
    return status, out.getvalue(), err.getvalue()


def test_plan_of_the_fuzzed_project_is_sound(planned):
    assert plan_of(planned, "ENCODERS=pixels fused_imagenet simclr")[0] == 0


@pytest.mark.parametrize("path", FUZZED)
def test_any_config_is_planned_or_refused_in_one_line(planned, path):
    file = planned / path
    before = file.read_bytes() if file.exists() else None
    header = STORED_HEADER if path.endswith("config.yaml") else ""
    whole = yaml.safe_load(before) if before else {}

    @fuzz(20)
    @given(st.dictionaries(st.sampled_from([*whole, *whole, *NAMES]), VALUES, min_size=1, max_size=2))
    def check(changed):
        file.write_text(header + yaml.safe_dump(whole | changed))
        status, out, err = plan_of(planned, "ENCODERS=pixels fused_imagenet simclr")
        assert (status, out, len(err.splitlines())) == (1, "", 1) or (status == 0 and err == ""), err
        assert len(err) < 1200

    try:
        check()
    finally:
        file.unlink()
        if before is not None:
            file.write_bytes(before)


# ---------------------------------------------------------------------------------------------- CSVs that are read

CELLS = st.text(st.sampled_from('ab ,;\t"\'=+-@.é\ufeff\u00a0蛾'), max_size=6)
TABLES = st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=5)


def spreadsheet(rows, separator, encoding, quoting, end):
    """What a spreadsheet saves: the bytes of a CSV."""
    text = io.StringIO()
    csv.writer(text, delimiter=separator, quoting=quoting, lineterminator=end).writerows(rows)
    return text.getvalue().encode(encoding)


@fuzz(60)
@given(
    TABLES.filter(lambda rows: any(any(cell.strip() for cell in row) for row in rows)),
    st.sampled_from(",;\t"),
    st.sampled_from(["utf-8", "utf-8-sig"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_table_of_any_text_is_read_as_it_was_saved(rows, separator, encoding, quoting, end):
    header = ["hash_id", "Family", "note"]
    with TemporaryDirectory() as folder:
        path = Path(folder, "metadata.csv")
        path.write_bytes(spreadsheet([header, *rows], separator, encoding, quoting, end))
        table, unused, _ = specimen_table.read_rows(path)
    wanted = [[cell.strip() for cell in row] for row in rows]
    wanted = [row for row in wanted if any(row)]
    assert table["hash_id"].fillna("").tolist() == [row[0] for row in wanted]
    assert table["family"].fillna("").tolist() == [row[1] for row in wanted]
    assert unused == ["note"] and not table["surplus"].any() and table["genus"].isna().all()


@fuzz(60)
@example(b"")
@example(b"\0")
@example("hash_id,family\na,F\n".encode("utf-16"))
@example("hash_id,family\na,F\n".encode("utf-16-le"))
@example("hash_id,family\na,Zyg\u00e6nidae\n".encode("cp1252"))
@example(b"hash_id,hash_id\na,b\n")
@example(b"hash_id,family\na," + b"F" * 200_000)
@example(b'hash_id,family\n"a,F\nb,G\n')
@given(st.binary(max_size=60) | st.binary(max_size=40).map(lambda tail: b"hash_id,family\n" + tail))
def test_any_bytes_are_a_table_or_refused_in_one_line(content):
    with TemporaryDirectory() as folder:
        (path := Path(folder, "metadata.csv")).write_bytes(content)
        try:
            table, *_ = specimen_table.read_rows(path)
        except ValueError as error:
            remedies = ("has a header and no rows", "save it as CSV", "rename", "name the column")
            assert "metadata.csv" in str(error) and any(remedy in str(error) for remedy in remedies)
            assert len(str(error)) < 1000
        else:
            assert list(table) == [*specimen_table.COLUMNS, "row", "surplus"]


def test_ids_with_an_extension_are_rejected_with_the_remedy(bench, tmp_path):
    (folder := tmp_path / "src").mkdir()
    for number, name in enumerate(("a.png", "b.png", "c.JPG", "d.tar.png")):
        noise = np.random.default_rng(number).integers(256, size=(16, 16, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / name)
    write_csv(folder, [["a", "F"], ["b.png", "F"], ["c.JPG", "F"], ["d.tar", "F"], ["e.png", "F"]], ("hash_id", "family"))
    bench.run("01", dataset="d", source=str(folder))
    assert pd.read_parquet(bench.data("d", "metadata.parquet"))["hash_id"].tolist() == ["a", "d.tar"]
    reasons = pd.read_csv(bench.data("d", "rejected.csv")).set_index("hash_id")["reason"]
    remedy = "no image file of this name: leave the extension out of hash_id"
    assert reasons["b.png"] == reasons["c.JPG"] == remedy and reasons["e.png"] == "no image file of this name"
    assert reasons["b"] == reasons["c"] == "no row in the CSV"  # nothing is dropped without a line


# ------------------------------------------------------------------------------------------- CSVs that are written

FORMULAS = (
    "=cmd()", "=1+1", "@SUM(A1)", "+1+cmd|' /C calc'!A0", "-2+3+cmd|' /C calc'!A0", "\t=1", "\r=1", "'=1", "''=1",
    " =1", "＝cmd()", "=", "@",
)  # fmt: skip
HARMLESS = ("Agrotis", "-x", "--", "+5", "-1.5", "- ", "'Okina", "''", "A=B", "a@b", "-a-b", "é", "_", "0=")


@pytest.mark.parametrize("text", FORMULAS)
def test_text_that_a_spreadsheet_would_run_is_written_as_text(in_tmp, text):
    utils.write_table(pd.DataFrame({"species": [text], text: ["a"]}), in_tmp / "a.csv")
    with (in_tmp / "a.csv").open(newline="", encoding="utf-8") as stream:
        header, row = csv.reader(stream)
    assert row[0] == header[1] == f"'{text}"


def test_other_text_is_written_as_it_is(in_tmp):
    utils.write_table(pd.DataFrame({"species": HARMLESS}), in_tmp / "a.csv")
    assert pd.read_csv(in_tmp / "a.csv", keep_default_na=False)["species"].tolist() == list(HARMLESS)


@fuzz(60)
@given(st.lists(st.text(st.sampled_from("'=+-@\t ab(.\"\r\n,") | st.characters(codec="utf-8"), min_size=1), min_size=1))
def test_tables_are_read_as_they_were_written(texts):
    texts = [text.replace("\0", "") or "a" for text in texts]
    with TemporaryDirectory() as folder:
        table = pd.DataFrame({"hash_id": texts, "value": np.arange(len(texts)) - 1.5}).astype({"hash_id": "string"})
        utils.write_table(table, path := Path(folder, "a.csv"))
        read = utils.read_table(path, dtype={"hash_id": "string"}, keep_default_na=False)
        pd.testing.assert_frame_equal(read, table)
        with path.open(newline="", encoding="utf-8") as stream:
            cells = [row[0] for row in csv.reader(stream)][1:]
    assert not any(cell[0] in "=@\t" or (cell[0] in "+-" and "(" in cell) for cell in cells)


# ---------------------------------------------------------------------------------------------------------- images

KNOWN = {"jpg": "JPEG", "png": "PNG", "tif": "TIFF", "webp": "WEBP", "bmp": "BMP"}
FTYP = b"\0\0\0\x18ftyp"
FOREIGN = {
    "GIF": b"GIF89a" + b"\0" * 99, "HEIC": FTYP + b"heic" + b"\0" * 99, "AVIF": FTYP + b"avif" + b"\0" * 99,
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PDF": b"%PDF-1.7", "SVG": b"<svg xmlns=''/>",
    "JPEG 2000": b"\0\0\0\x0cjP  ", "Photoshop": b"8BPS\0\1", "web page": b"<!DOCTYPE html><html>",
    "Git-LFS pointer": b"version https://git-lfs.github.com/spec/v1\n",
}  # fmt: skip


def noise(width=30, height=20, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(256, size=(height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("suffix", [".jpg", ".heic", ".tif"])
def test_other_formats_are_named_and_no_decoder_sees_them(tmp_path, kind, suffix):
    (path := tmp_path / f"a{suffix}").write_bytes(FOREIGN[kind])
    with pytest.raises(ValueError, match=f"^unsupported: {kind}; save it as JPEG, PNG"):
        images.load_rgb(path)


@pytest.mark.parametrize("kind", ["GIF", "TGA", "EPS", "PPM", "JPEG2000", "ICO", "PCX", "DDS", "SGI"])
def test_formats_that_pillow_could_open_are_refused(tmp_path, kind):
    noise().save(tmp_path / "a.jpg", kind)
    with pytest.raises(ValueError, match=r"^(unsupported: |unreadable: no image of a known format)"):
        images.load_rgb(tmp_path / "a.jpg")


@pytest.mark.parametrize(("name", "kind"), [("a.jpg", "MPO"), ("a.tif", "TIFF"), ("a.webp", "WEBP"), ("a.png", "PNG")])
def test_of_several_frames_the_first_is_taken(tmp_path, name, kind):
    frames = [noise(seed=seed) for seed in range(3)]
    frames[0].save(tmp_path / name, kind, save_all=True, append_images=frames[1:], quality=95)
    frames[0].save(tmp_path / f"one_{name}", "JPEG" if kind == "MPO" else kind, quality=95)
    found, alone = (np.asarray(images.load_rgb(tmp_path / path), int) for path in (name, f"one_{name}"))
    assert np.abs(found - alone).mean() < 3 < np.abs(found - np.asarray(frames[1], int)).mean()


@pytest.mark.parametrize("suffix", images.RAW)
def test_raw_files_are_not_taken_for_their_thumbnails(tmp_path, suffix):
    noise().save(tmp_path / f"a{suffix}", "TIFF")
    with pytest.raises(ValueError, match=r"^unsupported: raw file of a camera"):
        images.load_rgb(tmp_path / f"a{suffix}")


def test_photographs_of_other_formats_are_rejected_by_name(bench, tmp_path):
    (folder := tmp_path / "src").mkdir()
    for name in ("a.jpg", "b.jpg"):
        noise(seed=ord(name[0])).save(folder / name)
    (folder / "a.HEIC").write_bytes(FOREIGN["HEIC"])  # telephones save both
    (folder / "c.heic").write_bytes(FOREIGN["HEIC"])
    noise().save(folder / "d.gif")
    noise(seed=5).save(folder / "e.heic", "JPEG")  # many a telephone calls a JPEG so
    write_csv(folder, [[name] for name in "abcde"], ("hash_id",))
    bench.run("01", dataset="d", source=str(folder))
    assert pd.read_parquet(bench.data("d", "metadata.parquet"))["hash_id"].tolist() == ["a", "b", "e"]
    rejected = pd.read_csv(bench.data("d", "rejected.csv")).set_index("path")["reason"].str.split(";").str[0]
    assert rejected.to_dict() == {"a.HEIC": "unsupported: HEIC", "c.heic": "unsupported: HEIC", "d.gif": "unsupported: GIF"}


@fuzz(80)
@given(st.sampled_from(sorted(KNOWN)), st.data())
def test_spoiled_images_are_read_or_rejected_with_one_kind_of_error(suffix, data):
    stream = io.BytesIO()
    noise().save(stream, KNOWN[suffix])
    whole = bytearray(stream.getvalue())
    for _ in range(data.draw(st.integers(0, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (path := Path(folder, f"a.{suffix}")).write_bytes(whole[: data.draw(st.integers(1, len(whole)))])
        try:
            image = images.load_rgb(path)
        except ValueError as error:
            assert str(error).partition(":")[0] in {"unreadable", "truncated", "oversized", "unsupported"}
            assert folder not in str(error) and len(str(error)) < 300 and "\n" not in str(error)
        else:
            assert image.mode == "RGB" and image.width * image.height <= images.MAX_PIXELS


CHILD = """
import resource, sys
import images
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    print(images.load_rgb(sys.argv[1]).size, end=" ")
except ValueError as error:
    print(error, end=" ")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize(
    ("mode", "side", "message", "megabytes"),
    [("L", 10_001, "oversized: 10001 x 10001 px", 30), ("I;16", 4_000, "(4000, 4000)", 220), ("F", 3_000, "(3000, 3000)", 190)],
)  # fmt: skip
def test_memory_that_an_image_takes_is_bounded(tmp_path, mode, side, message, megabytes):
    kind = "TIFF" if mode == "F" else "PNG"
    Image.new(mode, (side, side)).save(tmp_path / "a.img", kind, **({} if kind == "PNG" else {"compression": "tiff_lzw"}))
    done = subprocess.run([sys.executable, "-c", CHILD, tmp_path / "a.img"], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.startswith(message), done.stderr
    assert int(done.stdout.split()[-1]) / (1024 if sys.platform == "linux" else 1024**2) < megabytes


# ------------------------------------------------------------------------------------------------------ embeddings

METHODS = ("pooled_average", "nested_kmeans_10", "flat_ward", "images_alone", "nested_ward")


def embedded(bench, families, vectors, dataset="d"):
    """A dataset with these families (missing where empty) and vectors (n, d) of the encoder "own"."""
    ids = [f"{n:03d}" for n in range(len(vectors))]
    names = pd.Series(families, dtype="string").replace("", pd.NA)
    table = pd.DataFrame({"hash_id": pd.Series(ids, dtype="string"), "path": pd.Series(ids, dtype="string"), "family": names})
    table = table.assign(genus=names, species=names, width=np.int32(9), height=np.int32(9), sha256=table["hash_id"])
    utils.write_table(table, bench.data(dataset, "metadata.parquet"))
    utils.write_table(pd.DataFrame(columns=["hash_id", "path", "reason"]), bench.data(dataset, "rejected.csv"))
    folder = bench.data(dataset, "embeddings", "own")
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    own = pd.DataFrame({"hash_id": ids, "layer": list(np.asarray(vectors, np.float32))})
    own.to_parquet(folder / "part-00000.parquet", index=False)
    (folder / "_SUCCESS").touch()
    return ids


def clustered(bench, ids, families, method):
    """Cluster and score a dataset; check that every specimen has its clusters, and that families stay what they are."""
    bench.cluster("d", method, encoder="own")
    found = pd.read_parquet(bench.data("d", "clusters", "own", method, "seed=0.parquet"))
    utils.check_clusters(found, ids)
    if any(families) and method != "images_alone":
        assert found.set_index("hash_id").loc[ids, "family_cluster"].nunique() == len(set(families))
    bench.run("06", dataset="d", encoders=["own"], clusterers=[method], seeds=[0], submit=f"own/{method}")
    scores = pd.read_csv(bench.data("d", "scores.csv"), keep_default_na=False, na_values=[""])
    assert np.isfinite(scores["value"]).all()


SPREAD = np.random.default_rng(0).normal(size=(12, 5))
HARD = {
    "zero vectors": (["A", "B"] * 6, np.zeros((12, 5))),
    "some zero vectors": (["A"] * 6 + ["B"] * 6, SPREAD * (np.arange(12) % 3 > 0)[:, None]),
    "constant columns": (["A"] * 6 + ["B"] * 6, SPREAD * [1, 0, 0, 0, 0] + [0, 3, 0, -1, 0]),
    "a constant": (["A"] * 6 + ["B"] * 6, np.full((12, 5), 2.5)),
    "families of one image": ([f"F{n}" for n in range(12)], SPREAD),
    "one large family and single images": (["A"] * 9 + ["B", "C", "D"], SPREAD),
    "two images": (["A", "B"], SPREAD[:2]),
    "two images of one family": (["A", "A"], SPREAD[:2]),
    "two images alike": (["A", "A"], SPREAD[[0, 0]]),
    "one image": (["A"], SPREAD[:1]),
    "no family": ([""] * 12, SPREAD),
    "huge values": (["A"] * 6 + ["B"] * 6, SPREAD * 1e18),
    "tiny values": (["A"] * 6 + ["B"] * 6, SPREAD * 1e-30),
    "one dimension": (["A"] * 6 + ["B"] * 6, SPREAD[:, :1]),
}  # fmt: skip


@pytest.mark.parametrize("case", HARD)
def test_hard_embeddings_are_clustered_and_scored(bench, case):
    families, vectors = HARD[case]
    ids = embedded(bench, families, vectors)
    for method in METHODS if TIMES > 1 else METHODS[:2]:
        clustered(bench, ids, families, method)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("chapter", ["04", "05"])
def test_undefined_values_are_refused_with_the_ids(bench, value, chapter):
    vectors = SPREAD.copy()
    vectors[7, 2] = value
    embedded(bench, ["A"] * 12, vectors)
    with pytest.raises(ValueError, match=r"^own has infinite or undefined values in layer for 1 specimens: 007\. Make"):
        bench.run("04", dataset="d", encoder="own") if chapter == "04" else bench.cluster("d", encoder="own")
    assert not bench.data("d", "clusters").exists() and not bench.data("d", "maps").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: pd.concat([table, table[:2]]), "holds 2 specimens twice: 000, 001; run chapter 02"),
        (lambda table: table.assign(layer=[None, *table["layer"][1:]]), "should hold one vector per specimen"),
        (lambda table: table.assign(layer=[row[: 5 - i % 2] for i, row in enumerate(table["layer"])]), "all of one length"),
        (lambda table: table.assign(layer=1.5), "should hold one vector per specimen"),
        (lambda table: table.drop(columns="hash_id"), "part-00000.parquet cannot be read .*hash_id"),
        (lambda table: table[3:], "has no embedding for 3 specimens: 000, 001, 002"),
    ],
)
def test_tables_of_another_form_are_named(bench, change, message):
    embedded(bench, ["A"] * 12, SPREAD)
    path = bench.data("d", "embeddings", "own", "part-00000.parquet")
    change(pd.read_parquet(path)).to_parquet(path, index=False)
    with pytest.raises((ValueError, KeyError), match=message) as caught:
        bench.cluster("d", encoder="own")
    assert "own" in str(caught.value)


@fuzz(6)
@given(
    st.lists(st.sampled_from("AAABBC"), min_size=1, max_size=12),
    st.integers(1, 4),
    st.sampled_from([1.0, 1e-20, 1e15]),
    st.integers(0, 2**32 - 1),
    st.sampled_from(METHODS),
)
def test_any_small_embedding_is_clustered_and_scored(families, dimensions, scale, seed, method):
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(len(families), dimensions)).round(random.integers(3)) * scale
    with TemporaryDirectory() as root:
        bench = Workbench(Path(root))
        clustered(bench, embedded(bench, families, vectors), families, method)
