"""Open photographs as upright 8-bit RGB images; a file that cannot be used raises an error with the reason."""

import stat
from pathlib import Path

import numpy as np
from PIL import Image

MAX_PIXELS = 100_000_000  # a 100-megapixel photo decodes to 300 MB; larger files may be decompression bombs


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


def load_rgb(path):
    """Open an image file of any mode as an upright 8-bit RGB PIL image.

    The EXIF rotation is applied. Transparent pixels become white. CMYK and palettes are converted. 16-bit and floating-point
    grey levels are scaled to 8 bits: integers by the full 16-bit range, floats by their minimum and maximum. ValueError gives
    the reason if the image is empty, oversized, truncated or unreadable.
    """
    try:
        status = Path(path).stat()
    except OSError as error:  # a broken or circular link, or a file that was removed
        raise ValueError(f"unreadable: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):  # opening a named pipe would block
        raise ValueError("unreadable: no file but a folder, a pipe or a device")
    if status.st_size == 0:
        raise ValueError("empty file")
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError(f"{image.width} x {image.height} px")
            image.load()
            return _to_rgb(_upright(image))
    except Image.DecompressionBombError as error:
        raise ValueError(f"oversized: {error}") from None
    except Exception as error:  # Pillow raises OSError, SyntaxError, struct.error and others
        kind = "truncated" if "truncated" in str(error).lower() else "unreadable"
        about = getattr(error, "strerror", None) or str(error).replace(str(path), "the file")
        raise ValueError(f"{kind}: {about}") from error


def _upright(image):
    """Rotate or mirror an image by its EXIF tag. ImageOps.exif_transpose also rewrites the EXIF and fails on a bad tag."""
    try:
        turn = TURNS.get(image.getexif().get(0x0112))
    except Exception:  # malformed EXIF, while the pixels are readable
        turn = None
    return image if turn is None else image.transpose(turn)


def _to_rgb(image):
    if image.mode == "I" or image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image, np.float64) / 257).round().clip(0, 255).astype(np.uint8))
    elif image.mode == "F":
        values = np.nan_to_num(np.asarray(image, np.float64))
        span = np.ptp(values) or 1.0
        image = Image.fromarray(((values - values.min()) / span * 255).round().astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")
