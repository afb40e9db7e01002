"""Images of every kind, and broken ones."""

import os

import numpy as np
import pytest
from PIL import Image

import images


def spectrum(mode="RGB"):
    """A small picture with every grey and some colour."""
    ramp = np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))
    return Image.fromarray(np.stack([ramp, ramp[:, ::-1], np.full_like(ramp, 90)], axis=2)).convert(mode)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("RGB", "jpg"), ("L", "jpg"), ("CMYK", "jpg"), ("RGBA", "png"), ("P", "png"), ("LA", "png"), ("1", "png"), ("RGB", "bmp"),
     ("RGB", "webp"), ("CMYK", "tiff"), ("I;16", "png"), ("I;16", "tif"), ("F", "tif")],
)  # fmt: skip
def test_every_mode_becomes_rgb(tmp_path, mode, suffix):
    path = tmp_path / f"image.{suffix}"
    grey = np.asarray(spectrum("L"))
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    elif mode == "F":
        image = Image.fromarray(grey.astype(np.float32) / 100)
    else:
        image = spectrum(mode)
    image.save(path)
    loaded = images.load_rgb(path)
    assert (loaded.mode, loaded.size) == ("RGB", (64, 48))
    if mode in ("I;16", "L"):  # a ramp of 64 greys stays one, and does not turn white
        off = np.abs(np.asarray(loaded)[..., 0].astype(int) - grey)
        assert off.max() <= (0 if mode == "I;16" else 12)
    if mode == "F":
        assert np.asarray(loaded).min() == 0 and np.asarray(loaded).max() == 255


def test_transparency_is_laid_on_white(tmp_path):
    image = Image.new("RGBA", (10, 10), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 5, 10))
    image.save(tmp_path / "a.png")
    pixels = np.asarray(images.load_rgb(tmp_path / "a.png"))
    assert pixels[0, 0].tolist() == [0, 0, 255] and pixels[0, 9].tolist() == [255, 255, 255]


def test_exif_rotation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to see it upright
    spectrum().save(tmp_path / "turned.jpg", exif=exif)
    assert images.load_rgb(tmp_path / "turned.jpg").size == (48, 64)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow mentions what is wrong with the EXIF
def test_bad_exif_beside_sound_pixels_is_no_reason_to_reject(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "a maker"
    spectrum().save(tmp_path / "a.jpg", exif=exif)
    whole = (tmp_path / "a.jpg").read_bytes()
    start = whole.index(b"Exif")
    end = start - 2 + int.from_bytes(whole[start - 2 : start], "big")  # the segment's length stands before its name
    for offset in range(start + 6, end):  # spoil one byte of the EXIF after the other
        (tmp_path / "b.jpg").write_bytes(whole[:offset] + bytes([whole[offset] ^ 0xFF]) + whole[offset + 1 :])
        assert sorted(images.load_rgb(tmp_path / "b.jpg").size) == [48, 64]


def test_broken_images_say_what_is_wrong(tmp_path, monkeypatch):
    whole = tmp_path / "whole.jpg"
    Image.fromarray(np.random.default_rng(0).integers(256, size=(99, 99, 3), dtype=np.uint8)).save(whole)
    cases = {"empty": b"", "truncated": whole.read_bytes()[:-900], "unreadable": b"this is a text"}
    for reason, content in cases.items():
        path = tmp_path / f"{reason}.jpg"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=reason):
            images.load_rgb(path)
    monkeypatch.setattr(images, "MAX_PIXELS", 99 * 99 - 1)
    with pytest.raises(ValueError, match="oversized"):
        images.load_rgb(whole)


def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path):
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "dangling.jpg").symlink_to("nowhere.jpg")
    for path in tmp_path.iterdir():
        with pytest.raises(ValueError, match=r"^unreadable: ") as caught:
            images.load_rgb(path)
        assert str(tmp_path) not in str(caught.value)
    with pytest.raises(ValueError, match=r"^unreadable: No such file"):
        images.load_rgb(tmp_path / "gone.jpg")


def test_a_file_that_may_not_be_read_is_unreadable(tmp_path, monkeypatch):
    spectrum().save(tmp_path / "a.png")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", str(tmp_path / "a.png"))

    monkeypatch.setattr(images.Image, "open", refuse)
    with pytest.raises(ValueError, match=r"^unreadable: Permission denied$"):
        images.load_rgb(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("width", "height", "share", "box"),
    [(100, 60, 1.0, (0, 0, 100, 60)), (100, 60, 0.5, (25, 15, 75, 45)), (1, 400, 0.3, (0, 140, 1, 260))],
)
def test_the_centre_has_the_share_of_both_sides_and_at_least_a_pixel(width, height, share, box):
    assert images.centre(width, height, share) == box
