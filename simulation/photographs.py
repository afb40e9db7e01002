"""Photographs of simulated insects: light on their surfaces, shadows, and the places where insects are photographed.

By default the place does not depend on the insect.
"""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter
from scipy.ndimage import gaussian_filter
from scipy.stats import poisson

from simulation import insects
from simulation.camera import PLAIN, develop, foliage, noise, rasterise, softened, thing
from simulation.svg import css, curve, ellipse, group, line, shape

PLACES = ("sheet", "leaf", "flower", "bark", "stone", "soil", "drawer")
CHANCES = (0.42, 0.1, 0.05, 0.08, 0.06, 0.06, 0.23)  # most insects are photographed in traps and in collections
WILD = ("bark", "stone", "soil", "leaf", "flower")  # places where something may lie in front of the insect


@dataclass
class Scene:
    """Conditions of a photograph, drawn at random."""

    place: str
    relief: float  # contrast of the background, 0 to 1
    things: int  # number of objects in the background
    covered: bool  # whether a blade or leaf in front hides part of the insect
    x: float  # position and size, as fractions of the picture
    y: float
    scale: float
    rotation: float  # degrees
    mirrored: bool
    tilt: float  # foreshortening: the share by which the insect is shortened ...
    tilt_along: float  # ... and its direction in degrees
    light: float  # direction of the light, degrees
    elevation: float  # of the light above the ground, degrees
    exposure: float  # stops
    warmth: float  # of the light: gain of red and loss of blue, as a share
    blur: float  # pixels of 256
    depth: float  # additional blur towards one side of the picture: depth of field
    grain: float  # standard deviation in grey levels
    quality: int  # JPEG quality
    seed: int  # of everything that the other fields do not determine


def draw_scene(random, clutter=1.0, place=None):
    """Draw the conditions of one photograph; `place` replaces the random one.

    `clutter` is the complexity of the background: 0 is a grey board, 1 a natural background; larger numbers add objects.
    """
    any_place = str(random.choice(PLACES, p=CHANCES))
    return Scene(
        place=place or any_place,
        relief=min(clutter, 1.0),
        things=int(poisson.ppf(random.random(), 4 * clutter)) if clutter else 0,
        covered=bool(random.random() < 0.1 * min(clutter, 1.0)),
        x=random.normal(0, 0.035),
        y=random.normal(0, 0.035),
        scale=random.uniform(0.88, 1.04),
        rotation=random.normal(0, 16),
        mirrored=bool(random.random() < 0.5),
        tilt=abs(random.normal(0, 0.08)),
        tilt_along=random.uniform(0, 180),
        light=random.uniform(200, 340),
        elevation=random.uniform(38, 62),
        exposure=random.normal(0.08, 0.2),
        warmth=random.normal(0, 0.05),
        blur=random.gamma(2, 0.2),
        depth=random.gamma(1.5, 0.5),
        grain=random.uniform(1, 5),
        quality=int(random.integers(76, 94)),
        seed=int(random.integers(2**31)),
    )


def photograph(traits, scene, size=224):
    """Photograph (PIL, RGB, `size` pixels square) of the insect with these traits under the conditions of `scene`."""
    random = np.random.default_rng(scene.seed)
    insect = posed(traits, scene, random)
    picture = PLACED[scene.place](scene, random, size)
    picture = (PLAIN + scene.relief * (picture - PLAIN)).astype(np.float32)
    if scene.place in WILD:  # the lens is focused on the insect
        softness = random.uniform(0.6, 2.2) * size / 224
        picture = gaussian_filter(picture, (softness, softness, 0), truncate=2.5)
        picture = picture.mean((0, 1)) + random.uniform(0.55, 0.9) * (picture - picture.mean((0, 1)))
    if scene.place in WILD[:3]:
        picture = strewn(picture, scene, random)
    picture = lit(picture, insect, scene, random, 2.2 if scene.place == "drawer" else 1.0)
    if scene.place == "drawer":
        picture = over(picture, rasterise(pin(scene, insects.thorax(traits["form"])), size))
    if scene.covered and scene.place in WILD:
        picture = over(
            picture,
            rasterise(cover(random), size).filter(ImageFilter.GaussianBlur(random.uniform(1, 3) * size / 224)),
            0.02,
        )
    return develop(out_of_depth(picture, scene), scene, random)


def posed(traits, scene, random):
    """The insect at its place (insects.parts.Art)."""
    return insects.draw(traits, np.random.default_rng(traits.get("individual_seed", 0)), random).moved(pose(scene))


def drawn(traits, scene, size):
    """The insect alone, at its place, as in `photograph`: an RGBA image."""
    return rasterise(posed(traits, scene, np.random.default_rng(scene.seed)).colour, size)


def pose(scene):
    """SVG transform of the insect: turned, mirrored, foreshortened and moved."""
    across = -scene.scale if scene.mirrored else scene.scale
    turn, shorter = scene.tilt_along, max(1 - scene.tilt, 0.75)
    tilted = f"rotate({turn:.2f}) scale({shorter:.4f},1) rotate({-turn:.2f})"
    place = f"translate({220 * scene.x:.2f},{220 * scene.y:.2f})"
    return f"{place} {tilted} rotate({scene.rotation:.2f}) scale({across:.4f},{scene.scale:.4f})"


# ---------------------------------------------------------------------------------------------------------------- light


def lit(ground, art, scene, random, lift=1.0):
    """Put an insect (insect_parts.Art) on the ground (size, size, 3): light on its surfaces, gloss and shadow.

    The light is that of Blinn and Phong: diffuse by the slope of the surface, and a highlight where it mirrors the light.
    """
    size = len(ground)
    layer = rasterise(art.colour, size)
    surface = rasterise(art.matter, size // 2).resize(
        (size, size), Image.Resampling.BILINEAR
    )  # it is smooth: half the pixels do
    surface = np.asarray(surface, np.float32) / 255
    height = gaussian_filter(surface[:, :, 0] * surface[:, :, 3], 0.0025 * size)
    shine, rough = surface[:, :, 1:2] * surface[:, :, 3:], surface[:, :, 2:3] * surface[:, :, 3:]
    down, across = np.gradient(height * 0.13 * size)
    steep = math.radians(scene.elevation)
    light = np.array(
        [
            math.cos(steep) * math.cos(math.radians(scene.light)),
            math.cos(steep) * math.sin(math.radians(scene.light)),
            math.sin(steep),
        ],
        np.float32,
    )
    norm = np.sqrt(1 + down**2 + across**2)
    diffuse = np.clip((light[2] - across * light[0] - down * light[1]) / norm, 0, None)
    half = (light + np.array([0, 0, 1], np.float32)) / np.float32(math.sqrt(2 + 2 * light[2]))
    mirror = np.clip((half[2] - across * half[0] - down * half[1]) / norm, 0, None)
    grain = noise(random, size, max(size // 4, 2), octaves=2)[:, :, None] - 0.5
    rgba = np.asarray(layer, np.float32)
    shade = 0.5 + 0.66 * diffuse[:, :, None] / light[2] ** 0.5
    body = rgba[:, :, :3] * shade * (1 + rough * grain * 0.9) + 235 * shine**1.5 * mirror[:, :, None] ** 28
    opaque = rgba[:, :, 3:] / 255
    ground = (
        ground
        * (1 - 0.5 * shadow(layer, light, 0.02 * lift, 0.010 * lift))
        * (1 - 0.35 * shadow(layer, light, 0.006 * lift, 0.004))
    )
    return ground * (1 - opaque) + np.clip(body, 0, 255) * opaque


def shadow(layer, light, far, soft):
    """The shadow (size, size, 1) of an RGBA layer, 0 to 1: moved by `far` and blurred by `soft`, shares of the width."""
    mask = layer.getchannel("A")
    cast = Image.new("L", mask.size)
    cast.paste(mask, tuple(int(d) for d in np.round(-far * mask.width * light[:2])))
    return softened(cast, soft)[:, :, None] / 255


def over(ground, layer, dark=0.0):
    """Composite an RGBA layer onto a picture (size, size, 3)."""
    rgba = np.asarray(layer, np.float32)
    opaque = rgba[:, :, 3:] / 255
    if dark:
        ground = ground * (1 - 0.35 * softened(layer.getchannel("A"), dark)[:, :, None] / 255)
    return ground * (1 - opaque) + rgba[:, :, :3] * opaque


def out_of_depth(picture, scene):
    """Blur towards one side, as a lens of small depth of field does (size, size, 3)."""
    size = len(picture)
    radius = scene.depth * size / 256
    if radius < 0.3:
        return picture
    blurred = np.stack([gaussian_filter(picture[:, :, k], 1.6 * radius, truncate=2.5) for k in range(3)], 2)
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    turn = math.radians(scene.tilt_along)
    share = np.clip(np.abs(x * math.cos(turn) + y * math.sin(turn)) - 0.35, 0, 0.65)[:, :, None] / 0.65
    return picture * (1 - share) + blurred * share


# --------------------------------------------------------------------------------------------------------------- places


def shaded(relief, shades):
    """Colours (size, size, 3) of a `relief` (size, size) from 0 to 1, between dark, middle and light `shades` (#rrggbb)."""
    stops = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in shades])
    return np.stack([np.interp(relief, np.linspace(0, 1, len(stops)), stops[:, channel]) for channel in range(3)], 2)


def sloping(height, scene, strength):
    """Light (size, size, 1) on a ground of this `height` (size, size)."""
    down, across = np.gradient(height * len(height))
    turn = math.radians(scene.light)
    return np.clip(1 - strength * (across * math.cos(turn) + down * math.sin(turn)), 0.4, 1.6)[:, :, None]


def sheet(scene, random, size):
    """The white or grey cloth of a light trap: its weave, folds, and small flies."""
    step = random.uniform(2.4, 4.5) * size / 224
    y, x = np.mgrid[:size, :size]
    turn = random.uniform(-0.3, 0.3)
    u, v = (x * math.cos(turn) + y * math.sin(turn)) / step, (y * math.cos(turn) - x * math.sin(turn)) / step
    weave = 0.5 + 0.25 * (np.sin(2 * np.pi * u) + np.sin(2 * np.pi * v)) * random.uniform(0.3, 1)
    folds = noise(random, size, 2, random.uniform(0.3, 3), 2)
    grey = random.uniform(140, 225) * (1 + np.array([1, 0, -1]) * random.normal(0, 0.02))
    cloth = grey * (0.9 + 0.1 * weave[:, :, None]) * sloping(folds * 0.05, scene, 1.0)
    return over(cloth, rasterise("".join(midge(random) for _ in range(random.poisson(1.2))), size))


def midge(random):
    """SVG of a very small fly, or a crumb."""
    x, y, turn = random.uniform((-105, -105, 0), (105, 105, 360))
    r = random.uniform(1.2, 3)
    drawn = ellipse(0, 0, 0.6 * r, 1.6 * r, "#2a221c", 0.85) + ellipse(
        0.9 * r, 0.8 * r, 0.5 * r, 1.5 * r, "#8a857c", 0.6
    )
    return group(drawn, f"translate({x:.1f},{y:.1f}) rotate({turn:.0f})")


def leaf(scene, random, size):
    """The upper side of a leaf with its midrib and side veins; beyond its margin the blurred distance."""
    hue, saturation, lightness = random.uniform((72, 0.22, 0.22), (112, 0.45, 0.36))
    far = noise(random, size, 3, 1, 3)
    distance = shaded(
        np.clip((far - 0.5) * 2 + 0.5, 0, 1), [css(hue - 15, 0.3, lightness * k) for k in (0.25, 0.6, 1.3)]
    )
    bend, half = random.normal(0, 14), random.uniform(95, 170)
    spine = curve([(bend, 150), (0, 0), (-bend, -150)], 40, closed=False)
    blade = np.concatenate(
        [
            spine + (half, 0) * np.sin(np.linspace(0.35, 2.7, 40))[:, None],
            (spine - (half, 0) * np.sin(np.linspace(0.35, 2.7, 40))[:, None])[::-1],
        ]
    )
    drawn, rise = shape(blade, css(hue, saturation, lightness)), random.uniform(15, 50)
    pale = css(hue - 8, saturation * 0.8, lightness * 1.45)
    for k in range(2, 40, random.integers(4, 7)):
        for side in (-half, half):
            x, y = spine[k]
            drawn += line(
                curve([(x, y), (x + 0.5 * side, y - 0.6 * rise), (x + 1.1 * side, y - 1.3 * rise)], 8, False),
                pale,
                1.8,
                0.75,
            )
    drawn = group(drawn + line(spine, pale, 4.5, 0.95), f"rotate({random.uniform(0, 360):.0f})")
    layer = rasterise(drawn, size)
    texture = noise(random, size, 14, 1, 3)
    veins = softened(layer.convert("L"), 0.012) / 255  # blade between the veins bulges
    light = (
        sloping(texture * 0.008 - veins * 0.06, scene, 1.0) * (0.75 + 0.5 * noise(random, size, 3, 1, 2))[:, :, None]
    )
    lit_leaf = np.asarray(layer, np.float32)[:, :, :3] * light
    opaque = np.asarray(layer, np.float32)[:, :, 3:] / 255
    return distance * (1 - opaque) + lit_leaf * opaque


def flower(scene, random, size):
    """A flower head with green behind it: a daisy or an umbel."""
    far = noise(random, size, 3, 1, 3)
    hue = random.uniform(75, 120)
    distance = shaded(np.clip((far - 0.5) * 2 + 0.5, 0, 1), [css(hue, 0.35, k) for k in (0.1, 0.24, 0.42)])
    drawn = daisy(random) if random.random() < 0.5 else umbel(random)
    turned = f"translate({random.normal(0, 14):.1f},{random.normal(0, 14):.1f}) rotate({random.uniform(0, 90):.0f})"
    layer = rasterise(group(drawn, turned), size).filter(ImageFilter.GaussianBlur(random.uniform(0, 1.6) * size / 224))
    rgba = np.asarray(layer, np.float32)
    shade = (
        sloping(softened(layer.convert("L"), 0.006) / 255 * 0.04, scene, 1.0)
        * (0.8 + 0.4 * noise(random, size, 4, 1, 2))[:, :, None]
    )
    opaque = rgba[:, :, 3:] / 255
    return distance * (1 - opaque) + np.clip(rgba[:, :, :3] * shade, 0, 255) * opaque


def umbel(random):
    """SVG of an umbel: clusters of small flowers with five petals."""
    drawn, tone = "", [(60, 0.1, 0.88), (350, 0.3, 0.8), (54, 0.6, 0.55), (70, 0.2, 0.75)][random.integers(4)]
    angle = np.linspace(0, 2 * np.pi, 5, endpoint=False)
    n = random.integers(36, 60)
    for i in range(n):
        r, turn = 124 * math.sqrt((i + 0.5) / n), i * math.pi * (3 - 5**0.5)
        middle = np.array([r * math.cos(turn), r * math.sin(turn)]) + random.normal(0, 4, 2)
        drawn += line([(0, 0), middle], css(80, 0.3, 0.28), 1.6)
        for place in middle + random.normal(0, 8, (6, 2)):
            size = random.uniform(2.2, 3.6)
            petals = place + size * np.stack([np.cos(angle + i), np.sin(angle + i)], 1)
            colour = css(tone[0], tone[1], tone[2] * random.uniform(0.7, 1.02))
            drawn += "".join(ellipse(*p, 0.75 * size, 0.75 * size, colour) for p in petals) + ellipse(
                *place, 0.9, 0.9, css(65, 0.5, 0.45)
            )
    return drawn


def daisy(random):
    """SVG of ray florets around a disc of florets."""
    petal_hue, saturation, lightness = ((50, 0.08, 0.88), (48, 0.85, 0.5), (330, 0.45, 0.68), (275, 0.35, 0.62))[
        random.integers(4)
    ]
    n, disc, reach = random.integers(13, 24), random.uniform(45, 80), random.uniform(105, 150)
    drawn = ""
    for i in range(n):
        tone = css(petal_hue, saturation, lightness * random.uniform(0.86, 1.05))
        w = 2.1 * disc / n * random.uniform(1.0, 1.5)
        petal = curve(
            [
                (-0.4 * w, -0.7 * disc),
                (-w, -0.7 * reach),
                (-0.4 * w, -reach),
                (0.4 * w, -reach),
                (w, -0.7 * reach),
                (0.4 * w, -0.7 * disc),
            ],
            26,
        )
        nerve = line([(0, -disc), (0, -0.95 * reach)], css(petal_hue, saturation, lightness * 0.75), 1, 0.5)
        drawn += group(
            shape(petal, tone, 1, css(petal_hue, saturation, lightness * 0.6), 0.6) + nerve,
            f"rotate({360 * (i + random.normal(0, 0.15)) / n:.1f})",
        )
    k = np.arange(1, 260)
    r, angle = disc * np.sqrt(k / 260), k * np.pi * (3 - 5**0.5)
    tone = ((46, 0.7, 0.44), (40, 0.5, 0.32), (28, 0.4, 0.2))[random.integers(3)]
    drawn += ellipse(0, 0, disc, disc, css(tone[0], tone[1], 0.65 * tone[2]))
    for a, b in zip(r * np.cos(angle), r * np.sin(angle), strict=True):
        drawn += ellipse(a, b, 2.1, 2.1, css(tone[0], tone[1], tone[2] * random.uniform(0.85, 1.15)))
    return drawn


def bark(scene, random, size):
    """Bark with furrows, and lichen in places."""
    relief = noise(random, size, random.integers(5, 10), random.uniform(0.15, 0.35), 4)
    deep = np.clip((relief - 0.5) * 2.6 + 0.5, 0, 1)
    tones = (("#1c1511", "#5d4a3a", "#9c8a74"), ("#2c2a27", "#75706a", "#b4afa6"), ("#2a1a10", "#7a5335", "#ad8560"))[
        random.integers(3)
    ]
    ground = shaded(deep, tones) * sloping(relief * 0.09, scene, 1.0)
    return lichened(ground, random, random.uniform(0, 0.5))


def stone(scene, random, size):
    """Stone with grains, a crack and lichen."""
    relief, fine = noise(random, size, 5, 1, 5), noise(random, size, 60, 1, 2)
    tones = (("#3c3c3a", "#85847e", "#bdbbb2"), ("#5c5348", "#a3937d", "#d6c9b4"), ("#33373c", "#6c747c", "#a4abb0"))[
        random.integers(3)
    ]
    ground = shaded(np.clip(0.6 * (relief - 0.5) * 2 + 0.9 * (fine - 0.5) + 0.5, 0, 1), tones) * sloping(
        relief * 0.04 + fine * 0.004, scene, 1.0
    )
    crack = np.cumsum(random.normal((0, 14), (9, 5), (18, 2)), 0) - (0, 125)
    layer = rasterise(
        group(line(crack, "#201d1a", random.uniform(0.8, 2.5), 0.8), f"rotate({random.uniform(0, 360):.0f})"), size
    )
    return lichened(over(ground, layer, 0.01), random, random.uniform(0, 0.6))


def lichened(ground, random, share):
    """Patches of lichen on a ground (size, size, 3)."""
    size = len(ground)
    patches = np.clip((noise(random, size, 4, 1, 4) - 1 + 0.62 * share) * 9, 0, 1)[:, :, None]
    colour = np.array([(150, 165, 140), (176, 164, 96), (190, 196, 186), (170, 120, 60)][random.integers(4)], float)
    return ground * (1 - patches) + colour * (0.7 + 0.5 * noise(random, size, 40, 1, 2))[:, :, None] * patches


def soil(scene, random, size):
    """Sand, soil or litter: grains of several sizes."""
    relief, grains = (
        noise(random, size, random.integers(4, 9), 1, 4),
        noise(random, size, random.integers(18, 60), 1, 3),
    )
    tones = (
        ("#9c8763", "#c8b48c", "#e7dab9"),
        ("#1f1712", "#4a3a2e", "#7d6a56"),
        ("#2e1f14", "#71512f", "#b08a57"),
        ("#1e2a12", "#4c6324", "#93a352"),
    )[random.integers(4)]
    return shaded(np.clip((relief - 0.5) * 1.4 + (grains - 0.5) * 1.6 + 0.5, 0, 1), tones) * sloping(
        relief * 0.03 + grains * 0.012, scene, 1.0
    )


def drawer(scene, random, size):
    """The foam of a museum drawer with the label of the specimen."""
    grey = random.uniform(180, 222) * (1 + np.array([1, 0.2, -1.2]) * random.uniform(0, 0.035))
    foam = (
        grey
        * (0.96 + 0.08 * noise(random, size, 50, 1, 2))[:, :, None]
        * (0.93 + 0.14 * noise(random, size, 2, 1, 2))[:, :, None]
    )
    return over(foam, rasterise(label(random), size), 0.008)


def label(random):
    """SVG of a printed label with illegible lines, below the insect."""
    wide, high = random.uniform((30, 16), (44, 24))
    x, y = random.uniform(-75, 75), random.uniform(90, 108)
    drawn = shape(
        [(-wide, -high / 2), (wide, -high / 2), (wide, high / 2), (-wide, high / 2)], "#f7f3e6", 1, "#b8b2a2", 0.6
    )
    for row in np.arange(-high / 2 + 5, high / 2 - 2, 5.5):
        at = -wide + 4
        while at < wide - 8:
            word = random.uniform(3, 12)
            steps = np.linspace(at, min(at + word, wide - 4), 7)
            drawn += line(np.stack([steps, row + random.uniform(-1, 1, 7)], 1), "#3a352e", 0.8, 0.7)
            at += word + 3
    if random.random() < 0.3:
        drawn += line([(-2 * wide, -2.2 * high), (2 * wide, -2.2 * high)], "#9a917f", 0.5, 0.5)
    return group(drawn, f"translate({x:.1f},{y:.1f}) rotate({random.normal(0, 4):.1f})")


def pin(scene, thorax):
    """SVG of the head and shaft of the pin through the `thorax`, a point of the insect before it is posed."""
    turn = math.radians(scene.rotation)
    a, b = scene.scale * thorax[0] * (-1 if scene.mirrored else 1) + 3, scene.scale * thorax[1]
    x = 220 * scene.x + a * math.cos(turn) - b * math.sin(turn)
    y = 220 * scene.y + a * math.sin(turn) + b * math.cos(turn)
    shaft = line([(x, y), (x + 3, y - 10)], "#6a6a6e", 1.1, 0.95)
    return shaft + ellipse(x + 3, y - 11, 2.6, 2.6, "#1b1b20") + ellipse(x + 2.2, y - 12, 0.9, 0.9, "#ffffff", 0.8)


PLACED = {f.__name__: f for f in (sheet, leaf, flower, bark, stone, soil, drawer)}


def strewn(ground, scene, random):
    """Pebbles, twigs, blades and leaves of different sizes on a ground (size, size, 3), with their shadows."""
    if not scene.things:
        return ground
    drawn = "".join(group(thing(random), f"scale({random.uniform(0.5, 1.6):.2f})") for _ in range(scene.things))
    layer = rasterise(drawn, len(ground)).filter(ImageFilter.GaussianBlur(random.uniform(0.3, 2.0) * len(ground) / 224))
    relief = softened(layer.getchannel("A"), 0.015) / 255 * 0.06
    rgba = np.asarray(layer, np.float32)
    opaque = rgba[:, :, 3:] / 255
    turn = math.radians(scene.light)
    dark = shadow(layer, np.array([math.cos(turn), math.sin(turn), 0]), 0.018, 0.012)
    return (
        ground * (1 - 0.45 * dark) * (1 - opaque)
        + np.clip(rgba[:, :, :3] * sloping(relief, scene, 1.0), 0, 255) * opaque
    )


def cover(random):
    """SVG of a blade of grass or a leaf that hides part of the insect."""
    bow, turn, off = random.normal(0, 20), random.uniform(0, 360), random.choice([-1, 1]) * random.uniform(28, 80)
    spine = curve([(bow, 160), (0, 0), (-bow, -160)], 20, closed=False)
    wide = random.uniform(2.5, 9)
    colour = foliage(random)
    blade = np.concatenate([spine - (wide, 0), np.add(spine, (wide, 0))[::-1]])
    return group(shape(blade, colour) + line(spine, "#000000", 0.8, 0.15), f"rotate({turn:.0f}) translate({off:.0f},0)")
