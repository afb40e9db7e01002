"""Tools of photographs.py: lines drawn by resvg, natural textures, small objects of the background, and the camera.

resvg draws the same on every machine. NumPy and Pillow compute textures, light and camera.
"""

import io
import math

import numpy as np
import resvg_py
from PIL import Image, ImageFilter

from simulation.svg import css, curve, group, line, shape

PLAIN = 150.0  # grey level of the board that is the background without clutter


# ----------------------------------------------------------------------------------------------------- background


def noise(random, size, cells, stretch=1.0, octaves=4):
    """Smooth noise (size, size) from 0 to 1 with about `cells` lumps across: the sum of increasingly fine random grids."""
    total = np.zeros((size, size), np.float32)
    weights = 0.6 ** np.arange(octaves)
    for octave, weight in enumerate(weights):
        n = cells * 2**octave
        grid = Image.fromarray(random.integers(0, 256, (max(2, min(size, round(n * stretch))), min(size, n)), np.uint8))
        total += weight * np.asarray(grid.resize((size, size), Image.Resampling.BICUBIC), np.float32)
    return total / (255 * weights.sum())


def thing(random):
    """SVG of a blade of grass, a twig, a pebble or a fallen leaf, at a random place."""
    drawn = random.choice([grass, twig, pebble, fallen_leaf])(random)
    x, y, turn = random.uniform((-110, -110, 0), (110, 110, 360))
    return group(drawn, f"translate({x:.1f},{y:.1f}) rotate({turn:.0f})")


def grass(random):
    bow, long = random.normal(0, 25), random.uniform(60, 150)
    spine = curve([(0, long), (bow, 0), (bow * 0.4, -long)], 20, closed=False)
    return shape([*(spine - np.array([3, 0])), *spine[::-1]], foliage(random))


def twig(random):
    bends = np.cumsum(random.normal((0, -22), (9, 4), (6, 2)), 0)
    return line(bends, css(28, 0.25, random.uniform(0.2, 0.5)), random.uniform(2, 6))


def pebble(random):
    angle = np.linspace(0, 2 * np.pi, 9, endpoint=False)
    r = random.uniform(6, 22) * random.uniform(0.75, 1.2, 9)
    outline = curve(np.stack([r * np.cos(angle), 0.75 * r * np.sin(angle)], 1), 40)
    return shape(outline, css(35, 0.08, random.uniform(0.35, 0.75)))


def fallen_leaf(random):
    long, half = random.uniform((18, 7), (48, 20))
    blade = shape(curve([(0, -long), (half, 0), (0, long), (-half, 0)], 40), foliage(random))
    return blade + line([(0, -long), (0, 1.3 * long)], css(40, 0.3, 0.2), 1.2)


def foliage(random):
    return css(*random.uniform((18, 0.1, 0.25), (110, 0.4, 0.65)))


# --------------------------------------------------------------------------------------------------------- camera


def rasterise(content, size):
    """Render SVG with coordinates from -110 to 110 as an RGBA image, `size` pixels square."""
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-110 -110 220 220">{content}</svg>'
    png = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, skip_system_fonts=True)
    return Image.open(io.BytesIO(bytes(png))).convert("RGBA")


def softened(image, radius):
    """A grey image, blurred by `radius` times its width, as an array (size, size) from 0 to 255."""
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius * image.width)), np.float32)


def develop(picture, scene, random):
    """Apply light and camera to a picture (size, size, 3): gradient, vignette, exposure, blur and grain; as a PIL image."""
    y, x = np.mgrid[-1 : 1 : len(picture) * 1j, -1 : 1 : len(picture) * 1j]
    toward = math.radians(scene.light)
    falloff = 1 + 0.13 * (x * math.cos(toward) + y * math.sin(toward)) - 0.1 * (x**2 + y**2)
    balance = np.array([1 + scene.warmth, 1, 1 - scene.warmth]) * 2**scene.exposure
    exposed = np.clip(picture * falloff[:, :, None] * balance, 0, 255).astype(np.uint8)
    blurred = Image.fromarray(exposed).filter(ImageFilter.GaussianBlur(scene.blur * len(picture) / 256))
    noisy = np.asarray(blurred) + random.normal(0, scene.grain, picture.shape)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
