"""Contact sheets: who comes first and last, what a cluster is worth, and thumbnails that are made once."""

import numpy as np
import pandas as pd
import pytest
from conftest import draw_specimens
from PIL import Image, ImageColor, ImageDraw

import images
import sheets

WHITE = (255, 255, 255)


def test_the_medoid_is_first_then_the_most_trusted_and_odd_ones_last():
    points = np.array([[1, 0], [0.8, 0.6], [0.6, 0.8], [0, 1], [0.7, 0.714]])
    trust, odd = np.array([0.9, 0.5, 0.3, 0.1, 0.6]), np.array([False, False, False, True, False])
    distances = ((points[:, None] - points) ** 2).sum(axis=2).sum(axis=0)
    order = sheets.order_members(points, trust, odd)
    assert order[0] == distances.argmin() and order.tolist() == [4, 0, 1, 2, 3]
    assert sheets.order_members(points, trust, np.arange(5) == 4)[0] == 4  # also if it is odd


def test_odd_ones_are_the_tenth_that_is_trusted_least():
    trust = np.random.default_rng(0).random(200)
    odd = sheets.odd_ones(trust)
    assert 18 <= odd.sum() <= 22 and trust[odd].max() < trust[~odd].min()
    assert sheets.odd_ones(np.array([0.5, np.nan, 0.6, 0.7])).tolist() == [False, True, False, False]
    assert len(sheets.odd_ones(np.zeros(0))) == 0


@pytest.mark.parametrize(
    ("species", "labels", "verdict", "about"),
    [
        ("aaaab", "xxxxy", {"x": "pure", "y": "pure"}, "a: 4 of 4"),
        ("aaaaa", "xxxyy", {"x": "pure", "y": "split"}, "a: 3 of 5"),
        ("aaaa", "xxyy", {"x": "split", "y": "split"}, "a: 2 of 4, in 2 clusters"),
        ("aaabbc", "xxxxxx", {"x": "merged"}, "a 3, 2 other species"),
        ("aaaaaaaaab", "xxxxxxxxxx", {"x": "pure"}, "a: 9 of 9"),  # nine in ten are enough
        ("aa__", "xxxy", {"x": "pure", "y": ""}, "a: 2 of 2"),  # photographs without a name do not count
        ("____", "xxyy", {"x": "", "y": ""}, ""),
    ],
)
def test_clusters_are_pure_split_or_merged(species, labels, verdict, about):
    names = pd.Series(list(species), dtype="string").replace("_", pd.NA)
    found = sheets.verdicts(np.array(list(labels), object), names)
    assert found["verdict"].to_dict() == verdict and found.loc["x", "about"] == about


def test_strips_are_sorted_by_trust_and_single_photographs_share_one():
    labels = np.array([*["F/g1/s1"] * 3, *["F/g1/s2"] * 3, "F/g2/s3", "F/g2/s4", "E/g1/s1"], object)
    trust = np.array([0.1, 0.2, 0.3, 0.9, 0.8, 0.7, 0.5, 0.6, 1])
    judged = sheets.verdicts(labels, pd.Series(pd.NA, range(9), dtype="string"))
    strips = sheets.strips_of(np.arange(8), labels, np.eye(9), trust, sheets.odd_ones(trust), judged)
    assert [(strip.name, len(strip.rows)) for strip in strips] == [
        ("g1/s2", 3),
        ("g1/s1", 3),
        ("alone in a cluster", 2),
    ]
    assert sorted(row for strip in strips for row in strip.rows) == list(range(8))
    assert strips[0].trust == pytest.approx(0.8)


def test_a_long_strip_shows_its_first_and_its_odd_photographs():
    odd = np.arange(40) >= 37
    strip = sheets.Strip("g1/s1", np.arange(40), 0.5, "", "")
    rows = sheets.shown(strip, odd)
    assert len(rows) == sheets.PHOTOS and rows[-3:].tolist() == [37, 38, 39] and rows[:8].tolist() == list(range(8))
    assert len(sheets.shown(strip._replace(rows=np.arange(4)), odd)) == 4
    odd[0] = True  # the medoid, which is in its place already
    assert sheets.shown(strip, odd).tolist() == [*range(8), 37, 38, 39]


def test_a_page_frames_odd_photographs_and_leaves_a_lost_one_white(monkeypatch):
    written, text = [], ImageDraw.ImageDraw.text
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda *a, **k: written.append(a[2]) or text(*a, **k))
    strip = sheets.Strip("$g1$/s1", np.arange(3), 0.5, "merged", "a 2, 1\nother species")
    red = Image.new("RGB", (80, 60), "red")
    page = sheets.draw_page("title", [strip], {0: red, 1: None, 2: red}, np.array([False, False, True]), size=100)
    assert written == ["title", "$g1$/s1", "3 photographs", "0.50", "merged", "a 2, 1 other species"]
    assert page.size == (round((sheets.MARGIN + sheets.PHOTOS) * 100), 150)
    left, middle = 340, 100
    assert [page.getpixel((left + 50 + 100 * place, middle)) for place in range(3)] == [(255, 0, 0), WHITE, (255, 0, 0)]
    frame = ImageColor.getrgb(sheets.ODD_COLOUR)
    assert [page.getpixel((left + 3 + 100 * place, middle)) for place in range(3)] == [WHITE, WHITE, frame]
    assert page.getpixel((left + 50, 66)) == WHITE  # the photograph keeps its shape, and is not enlarged
    assert page.getpixel((200, 90)) == ImageColor.getrgb(sheets.plotting.PALETTE[0])  # the bar is half full
    assert page.getpixel((270, 90)) == (230, 230, 230)


def test_long_names_end_before_the_photographs(monkeypatch):
    written, text = [], ImageDraw.ImageDraw.text
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda *a, **k: written.append((a[1], a[2], a[4])) or text(*a, **k))
    strip = sheets.Strip("M" * 60, np.arange(1), 0.5, "pure", "W" * 60)
    page = sheets.draw_page("title", [strip], {0: None}, np.zeros(1, bool), size=100)
    for (x, _), words, font in written[1:]:
        assert x + font.getlength(words) <= sheets.MARGIN * 100
    assert written[1][1].endswith("M…") and (np.asarray(page)[:, 340:440].min(axis=(1, 2)) == 255)[60:].all()


def test_a_page_can_be_drawn_where_trust_or_strips_are_missing(tmp_path):
    strip = sheets.Strip(sheets.ALONE, np.arange(1), float("nan"), "", "")
    sheets.save_page(sheets.draw_page("", [strip], {0: None}, np.array([True])), tmp_path / "page.jpg")
    assert Image.open(tmp_path / "page.jpg").format == "JPEG"
    assert sheets.draw_page("none", [], {}, np.zeros(0, bool)).height > 0


# ----------------------------------------------------------------------------------------------------- thumbnails


def test_a_thumbnail_is_made_once_and_kept(tmp_path):
    photo = tmp_path / "a.png"
    draw_specimens(1)[0].resize((600, 300)).save(photo)
    first = images.thumbnail(photo, "ab12", tmp_path / "kept")
    assert first.size == (images.THUMBNAIL, images.THUMBNAIL // 2) and first.mode == "RGB"
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.webp")] == ["kept/ab/ab12.webp"]
    photo.unlink()
    assert np.array_equal(images.thumbnail(photo, "ab12", tmp_path / "kept"), first)


def test_thumbnails_come_one_by_one_and_a_lost_photograph_is_none(tmp_path, monkeypatch):
    paths = []
    for i in range(300):
        paths.append(tmp_path / f"{i}.png")
        Image.new("RGB", (8, 8), (i % 256, i // 256, 0)).save(paths[-1])
    paths[3].unlink()
    opened, load = [], images.load_rgb
    monkeypatch.setattr(images, "load_rgb", lambda path, at_least=None: opened.append(path) or load(path, at_least))
    monkeypatch.setattr(images.os, "cpu_count", lambda: 1)
    found = images.thumbnails(paths, [f"{i:04d}" for i in range(300)], tmp_path / "kept")
    first = [next(found) for _ in range(5)]
    assert first[3] is None and first[4].getpixel((0, 0))[0] < 20
    assert len(set(opened)) < 200  # not all of them at once
    assert sum(picture is not None for picture in found) == 295


def test_a_large_jpeg_is_decoded_at_a_fraction_of_its_size(tmp_path):
    Image.linear_gradient("L").resize((1600, 1200)).convert("RGB").save(tmp_path / "a.jpg")
    assert images.load_rgb(tmp_path / "a.jpg").size == (1600, 1200)
    small = images.load_rgb(tmp_path / "a.jpg", at_least=256)
    assert small.size == (400, 300)


def test_species_of_one_epithet_in_two_genera_are_two():
    labels = np.array(["a"] * 4 + ["b"] * 3, object)
    names = pd.Series(["F > G > vulgaris"] * 4 + ["F > H > vulgaris"] * 3, dtype="string")
    found = sheets.verdicts(labels, names)
    assert found["verdict"].tolist() == ["pure", "pure"] and found["about"].tolist() == ["vulgaris: 4 of 4", "vulgaris: 3 of 3"]
