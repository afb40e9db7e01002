"""Photographs of simulated organisms: a drawing on a natural background, under conditions that do not depend on the organism.

resvg draws the lines, with the same result on every machine. NumPy and Pillow compute the background, the light and the camera.
"""

import io
import math
from dataclasses import dataclass

import numpy as np
import resvg_py
from PIL import Image, ImageFilter
from scipy.stats import poisson

from simulation.organisms import draw
from simulation.svg import css, curve, group, line, shape

# Backgrounds: dark, middle and light colour, the number of lumps across the picture, and how many times more there are down it.
GROUNDS = {
    "moss": (("#1e2a12", "#4c6324", "#93a352"), 7, 1),
    "meadow": (("#33502a", "#6f9044", "#c3cc83"), 3, 1),
    "bark": (("#241a14", "#5d4a3a", "#9c8a74"), 4, 0.25),
    "litter": (("#2e1f14", "#71512f", "#b08a57"), 8, 1),
    "sand": (("#9c8763", "#c8b48c", "#e7dab9"), 24, 1),
    "stone": (("#4d4d4a", "#85847e", "#b9b7ae"), 6, 1),
    "water": (("#12343b", "#3b7176", "#8db7ae"), 2, 2.5),
    "soil": (("#1f1712", "#43352a", "#75624e"), 14, 1),
}
PLAIN = 150.0  # grey level of the board that is the background without clutter
# height of the body above the background, and strength of its highlights
RELIEF = {"moth": 0.4, "beetle": 1.0, "fish": 0.8, "leaf": 0.4, "flower": 0.5, "snail": 0.9}
GLOSS = {"moth": 0.0, "beetle": 0.8, "fish": 0.4, "leaf": 0.1, "flower": 0.0, "snail": 0.5}


@dataclass
class Scene:
    """Conditions of a photograph, drawn at random and independent of the organism."""

    ground: str
    relief: float  # contrast of the background, 0 to 1
    things: int  # number of objects in the background
    x: float  # position and size, as fractions of the picture
    y: float
    scale: float
    rotation: float  # degrees
    mirrored: bool
    light: float  # direction of the light, degrees
    exposure: float  # stops
    warmth: float  # of the light: gain of red and loss of blue, as a share
    blur: float  # pixels of 256
    grain: float  # standard deviation in grey levels
    quality: int  # JPEG quality
    seed: int  # of everything that the other fields do not determine


def draw_scene(random, clutter=1.0):
    """Draw the conditions of one photograph, independent of the organism.

    `clutter` is the complexity of the background: 0 is a grey board, 1 a natural background; larger numbers add objects.
    """
    return Scene(
        ground=str(random.choice(list(GROUNDS))),
        relief=min(clutter, 1.0),
        things=int(poisson.ppf(random.random(), 7 * clutter)) if clutter else 0,  # grows with clutter in every picture
        x=random.normal(0, 0.045),
        y=random.normal(0, 0.045),
        scale=random.uniform(0.72, 0.98),
        rotation=random.normal(0, 25),
        mirrored=bool(random.random() < 0.5),
        light=random.uniform(200, 340),
        exposure=random.normal(0, 0.22),
        warmth=random.normal(0, 0.06),
        blur=random.gamma(2, 0.28),
        grain=random.uniform(1, 5),
        quality=int(random.integers(72, 94)),
        seed=int(random.integers(2**31)),
    )


def photograph(traits, scene, size=256):
    """Photograph (PIL, RGB, `size` pixels square) of the organism with these traits under the conditions of `scene`."""
    random = np.random.default_rng(scene.seed)
    specimen = drawn(traits, scene, random, size)
    plan = traits["body_plan"]
    picture = lay(background(scene, random, size), specimen, scene, random, RELIEF[plan], GLOSS[plan])
    return develop(picture, scene, random)


def drawn(traits, scene, random, size):
    """The organism alone, at its place: an RGBA image. It is the first thing that `random`, of the scene's seed, decides."""
    across = -scene.scale if scene.mirrored else scene.scale
    pose = f"rotate({scene.rotation:.2f}) scale({across:.4f},{scene.scale:.4f})"
    place = f"translate({220 * scene.x:.2f},{220 * scene.y:.2f}) {pose}"
    return rasterise(group(draw(traits, random), place), size)


# ----------------------------------------------------------------------------------------------------- background


def background(scene, random, size):
    """The background (size, size, 3) with its objects, slightly out of focus."""
    shades, cells, stretch = GROUNDS[scene.ground]
    relief = np.clip((noise(random, size, cells, stretch) - 0.5) * 2.2 + random.normal(0.5, 0.06), 0, 1)
    stops = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in shades]) * random.normal(1, 0.06, 3)
    ground = np.stack([np.interp(relief, (0, 0.5, 1), stops[:, channel]) for channel in range(3)], 2)
    ground = PLAIN + scene.relief * (ground - PLAIN)
    things = rasterise("".join(thing(random) for _ in range(scene.things)), size)
    return lay(ground, things.filter(ImageFilter.GaussianBlur(random.uniform(0.4, 2.5))), scene, random, 0.6)


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


def lay(ground, layer, scene, random, relief, gloss=0.0):
    """Composite an RGBA layer onto the background (size, size, 3), shaded as a rounded body with a shadow."""
    size, mask = len(ground), layer.getchannel("A")
    light = np.array([math.cos(math.radians(scene.light)), math.sin(math.radians(scene.light))])
    shadow = Image.new("L", mask.size)
    shadow.paste(mask, tuple(int(d) for d in np.round(-0.018 * size * relief * light)))
    ground = ground * (1 - softened(shadow, 0.014)[:, :, None] / 510)
    grain = noise(random, size, 48, octaves=3)
    # the surface: a dome over the outline, bright parts slightly higher than dark ones, and a grain
    height = 0.055 * softened(mask, 0.02) + 0.005 * softened(layer.convert("L"), 0.003) + 0.9 * grain
    down, across = np.gradient(height)
    slope = relief * (across * light[0] + down * light[1])[:, :, None]  # positive on the side away from the light
    rgba = np.asarray(layer, np.float32)
    opaque = rgba[:, :, 3:] / 255
    lit = rgba[:, :, :3] * np.clip(1 - 0.5 * slope, 0.45, 1.45) * (0.9 + 0.2 * grain[:, :, None])
    shine = 255 * gloss * np.clip(-slope - 0.25, 0, 1) ** 1.5
    return ground * (1 - opaque) + np.clip(lit + shine, 0, 255) * opaque


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
