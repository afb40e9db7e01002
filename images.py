"""Opening photographs: whatever the file holds becomes an upright 8-bit RGB image, or says what is wrong with it."""

import os

import numpy as np
from PIL import Image, ImageOps

MAX_PIXELS = 100_000_000  # a 100-megapixel photo decodes to 300 MB; larger files are taken for decompression bombs


def load_rgb(path):
    """Open an image file as an upright 8-bit RGB PIL image, whatever its mode.

    The EXIF rotation is applied, transparency is laid on white, CMYK and palettes are converted, and 16-bit and
    floating-point greys are scaled to 8 bits (integers by their full range, floats by their own). ValueError says what
    is wrong with an image that is empty, oversized, truncated or unreadable.
    """
    if os.path.getsize(path) == 0:
        raise ValueError("empty file")
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"oversized: {image.width} x {image.height} px")
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image))
    except Image.DecompressionBombError:
        raise ValueError(f"oversized: more than {MAX_PIXELS} px") from None
    except (OSError, SyntaxError, EOFError) as error:  # Pillow raises all three for broken files
        kind = "truncated" if "truncated" in str(error).lower() else "unreadable"
        raise ValueError(f"{kind}: {str(error).replace(str(path), 'the file')}") from error


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
