"""Open photographs as upright 8-bit RGB images; a file that cannot be used raises an error with the reason."""

import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

import archives
from files import atomic_write

THUMBNAIL = 128  # pixels of the longer side
MAX_PIXELS = 100_000_000  # a 100-megapixel photo decodes to 300 MB; larger files may be decompression bombs
Image.MAX_IMAGE_PIXELS = MAX_PIXELS  # also for what Pillow decodes without being asked, such as frames
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP")  # no other decoder of Pillow sees a file; JPEG opens the first frame of MPO
RAW = (".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2")  # Pillow would take the thumbnail in such a file
OTHERS = (  # how files of other formats begin
    (rb"GIF8", "GIF"), (rb"....ftyp(hei|hev|mif|msf)", "HEIC"), (rb"....ftypavi", "AVIF"), (rb"%!PS|\xc5\xd0\xd3\xc6", "EPS"),
    (rb"%PDF", "PDF"), (rb"8BPS", "Photoshop"), (rb"\0\0\0\x0cjP|\xff\x4f\xff\x51", "JPEG 2000"),
    (rb"\s*<(\?xml|svg)", "SVG"), (rb"\s*<(!doctype html|html)", "web page"), (rb"version https://git-lfs", "Git-LFS pointer"),
)  # fmt: skip
REMEDY = "save it as JPEG, PNG, TIFF, WebP or BMP"
BAND = 512  # rows that are converted to 8 bits at a time

# EXIF orientation (tag 0x0112): the operation that makes the image upright
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def load_rgb(path, at_least=None):
    """Open an image file of any mode as an upright 8-bit RGB PIL image.

    The EXIF rotation is applied. Transparent pixels become white. CMYK and palettes are converted. 16-bit and floating-point
    grey levels are scaled to 8 bits: integers by the full 16-bit range, floats by their minimum and maximum. Of several frames
    the first is taken. ValueError gives the reason if the image is empty, oversized, truncated, unreadable or of a format that
    is not in FORMATS. With `at_least` pixels, a JPEG is decoded at a fraction of its size that has no shorter sides, which
    takes less time and memory.
    """
    with open_file(path) as stream:
        return _decode(stream, Path(path), at_least)


def centre(width, height, share):
    """The box (left, top, right, bottom) of a photograph's centre: that share of both sides, and at least one pixel."""
    inner = [max(1, round(side * share)) for side in (width, height)]
    left, top = ((outer - side) // 2 for outer, side in zip((width, height), inner, strict=True))
    return left, top, left + inner[0], top + inner[1]


def open_file(path):
    """The file of a photograph, also one in an archive (see `archives`), as a binary stream. ValueError if there is none."""
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):  # opening a named pipe would block
            raise ValueError("unreadable: no file but a folder, a pipe or a device")
        return Path(path).open("rb")
    except NotADirectoryError:  # a part of the path is a file
        return archives.read(path)
    except OSError as error:  # a broken or circular link, or a file that was removed
        raise ValueError(f"unreadable: {error.strerror}") from error


def _decode(stream, path, at_least):
    if path.suffix.lower() in RAW:
        raise ValueError(f"unsupported: raw file of a camera; {REMEDY}")
    try:
        head = stream.read(64)
        stream.seek(0)
        with Image.open(stream, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError(f"{image.width} x {image.height} px")
            if at_least:
                image.draft("RGB", (at_least, at_least))
            image.load()
            return _to_rgb(_upright(image))
    except UnidentifiedImageError:
        raise ValueError(_kind(head) if head else "empty file") from None
    except Image.DecompressionBombError as error:
        raise ValueError(f"oversized: {error}") from None
    except Exception as error:  # Pillow raises OSError, SyntaxError, struct.error and others
        kind = "truncated" if "truncated" in str(error).lower() else "unreadable"
        about = getattr(error, "strerror", None) or str(error).replace(str(path), "the file")
        raise ValueError(f"{kind}: {about}") from error


def _kind(head):
    """Why Pillow does not know a file that begins so: another format, or nothing that is known."""
    found = [name for pattern, name in OTHERS if re.match(pattern, head, re.IGNORECASE | re.DOTALL)]
    return f"unsupported: {found[0]}; {REMEDY}" if found else "unreadable: no image of a known format"


def thumbnail(path, digest, cache):
    """The photograph at `path`, with THUMBNAIL pixels on its longer side, as RGB PIL image.

    It is made once and kept in the folder `cache` as WebP, named by the `digest` of the photograph's file. ValueError as of
    `load_rgb` if the photograph cannot be read and no thumbnail is kept.
    """
    kept = Path(cache) / digest[:2] / f"{digest}.webp"
    if not kept.is_file():
        image = load_rgb(path, at_least=2 * THUMBNAIL)
        image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
        with atomic_write(kept) as temporary:
            image.save(temporary, "webp", quality=80)
    return load_rgb(kept)


def thumbnails(paths, digests, cache):
    """Yield the `thumbnail` of every photograph in turn, None for one that cannot be read; a few are made at the same time."""

    def load(item):
        try:
            return thumbnail(*item, cache)
        except ValueError:
            return None

    items, size = list(zip(paths, digests, strict=True)), 64 * (os.cpu_count() or 1)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(items), size):  # map would take all of them, and keep those that nobody has asked for yet
            yield from pool.map(load, items[start : start + size])


def _upright(image):
    """Rotate or mirror an image by its EXIF tag. ImageOps.exif_transpose also rewrites the EXIF and fails on a bad tag."""
    try:
        turn = TURNS.get(image.getexif().get(0x0112))
    except Exception:  # malformed EXIF, while the pixels are readable
        turn = None
    return image if turn is None else image.transpose(turn)


def _to_rgb(image):
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _eight_bits(image):
    """A grey image of 16 bits or floats as one of 8 bits, band by band: 64-bit copies of a whole image would take gigabytes."""
    bands = [(0, top, image.width, min(top + BAND, image.height)) for top in range(0, image.height, BAND)]

    def values(band):
        return np.nan_to_num(np.asarray(image.crop(band), np.float64))

    low, span = 0.0, 255 * 257.0
    if image.mode == "F":
        low = min(values(band).min() for band in bands)
        span = max(values(band).max() for band in bands) - low or 1.0
    grey = np.empty((image.height, image.width), np.uint8)
    for band in bands:
        grey[band[1] : band[3]] = ((values(band) - low) / span * 255).round().clip(0, 255)
    return Image.fromarray(grey)
