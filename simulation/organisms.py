"""Drawings of organisms from their traits, as SVG: moths, beetles, fish, leaves, flowers and snails.

A trait is a number on the scale of the evolutionary model, with a standard deviation of about 1 between species. `span` maps it
to the length, angle or colour that is drawn. A body fills the box from -100 to 100; the y axis points down.
"""

import math
from types import SimpleNamespace

import numpy as np

from simulation.patterns import marked
from simulation.svg import (
    clipped,
    css,
    curve,
    ellipse,
    frill,
    gradient,
    group,
    joined,
    line,
    mirrored,
    shape,
)

SHAPE_TRAITS = ("size", "elongation", "taper", "curvature", "lobing", "proportion", "venation", "appendage_length")
COLOUR_TRAITS = ("hue", "second_hue", "saturation", "lightness", "pattern_scale", "pattern_place", "pattern_strength")
CHARACTERS = {
    "body_plan": ("moth", "beetle", "fish", "leaf", "flower", "snail"),
    "pattern": ("plain", "bands", "spots", "eyespots", "stripes", "marbled"),
    "margin": ("entire", "scalloped", "toothed"),
    "appendage": ("slender", "clubbed", "feathered"),
}


class Individual(dict):
    """Traits of one organism by name, with its colours (`ink`) and a random generator for details of the drawing."""

    def __init__(self, traits, random):
        super().__init__(traits)
        self.random = random
        self.ink = colours(self)

    def span(self, trait, low, high):
        """Map a trait to the interval from `low` to `high` by its normal quantile, so that species fill it evenly."""
        return low + (high - low) * 0.5 * (1 + math.erf(self[trait] / math.sqrt(2)))


def draw(traits, random):
    """SVG of an organism with the given traits (all of SHAPE_TRAITS, COLOUR_TRAITS and CHARACTERS), its head or tip up."""
    one = Individual(traits, random)
    return group(BODIES[traits["body_plan"]](one), f"scale({one.span('size', 0.86, 1.08):.4f})")


# -------------------------------------------------------------------------------------------------------- colours

# Hues in degrees at even steps of the trait, and the range of saturation, as in nature: most organisms have earth colours, some
# flowers have bright ones.
HUES = {
    "moth": (2, 14, 22, 28, 34, 42, 62, 210),
    "beetle": (-8, 10, 24, 40, 65, 95, 130, 165),
    "fish": (20, 38, 55, 85, 125, 165, 200, 225),
    "leaf": (14, 40, 60, 74, 84, 94, 106, 130),
    "flower": (-140, -105, -75, -40, -10, 15, 38, 58),
    "snail": (5, 18, 26, 32, 38, 46, 56, 75),
}
SATURATION = {
    "moth": (0.1, 0.5),
    "beetle": (0.2, 0.7),
    "fish": (0.12, 0.6),
    "leaf": (0.2, 0.55),
    "flower": (0.4, 0.9),
    "snail": (0.12, 0.5),
}


def colours(one):
    """The five colours of an individual: ground, pattern, accent, and a darker and a lighter ground."""
    plan = one["body_plan"]
    hue = float(np.interp(one.span("hue", 0, 7), range(8), HUES[plan]))
    saturation, lightness = one.span("saturation", *SATURATION[plan]), one.span("lightness", 0.28, 0.68)
    other = hue + one.span("second_hue", -70, 70)
    step = 0.34 if lightness < 0.5 else -0.34
    return SimpleNamespace(
        ground=css(hue, saturation, lightness),
        pattern=css(other, saturation * 0.9, lightness + step * one.span("pattern_strength", 0.55, 1.15)),
        accent=css(other + 40, saturation + 0.15, 0.5 - 0.3 * step),
        dark=css(hue, saturation * 0.8, lightness * 0.42),
        light=css(hue, saturation * 0.7, lightness + (1 - lightness) * 0.5),
    )


# -------------------------------------------------------------------------------------------------------- insects


def moth(one):
    """SVG of a moth or butterfly with spread wings, from above."""
    reach, rise = one.span("elongation", 72, 96), one.span("elongation", 52, 18)
    low, hind = one.span("taper", 48, 76), reach * one.span("proportion", 0.5, 0.8)
    hook = one.span("curvature", 0.96, 0.74)
    fore = curve([
        (4, -22), (reach * 0.5, -24 - rise * 0.75), (reach * 0.93, -20 - rise * 0.95), (reach, -14 - rise * 0.7),
        (reach * hook, -rise * 0.2), (reach * 0.7, 12), (reach * 0.32, 8), (4, 0),
    ])  # fmt: skip
    back = curve([
        (4, -6), (hind * 0.7, -4), (hind, 14), (hind * 0.93, low * 0.62), (hind * 0.55, low), (hind * 0.25, low * 0.85),
        (5, 30),
    ])  # fmt: skip
    drawn = wing(one, back, slice(22, 72), (5, 0), (hind * 0.85, low * 0.7), low * 0.55)
    drawn += wing(one, fore, slice(30, 66), (4, -14), (reach * 0.95, -12 - rise * 0.6), 30 + rise * 0.4)
    feeler = (one.span("appendage_length", 14, 30), -44 - one.span("appendage_length", 8, 26))
    return mirrored(drawn + antenna(one, (3, -38), feeler)) + trunk(one, 0.8 * low)


def wing(one, outline, hem, root, tip, width):
    """A wing with its pattern and veins, scalloped or toothed along the `hem` (a slice of the outline)."""
    waves = 6 + round(one.span("venation", 0, 6))
    outline = frill(outline, one["margin"], one.span("lobing", 1.5, 5.5), waves, hem)
    ends = outline[12 : 70 : max(3, 13 - waves)]
    veins = "".join(line([root, end], one.ink.dark, 0.7, one.span("venation", 0.1, 0.6)) for end in ends)
    ground = shape(outline, one.ink.ground, edge=one.ink.dark, width=1.6)
    return ground + marked(one, outline, root, tip, width) + clipped(outline, veins)


def trunk(one, length):
    """Thorax, head and ringed abdomen."""
    definition, fill = gradient(one.ink.light, one.ink.dark, 0.45, 0.4, 0.6)
    rings = "".join(line([(-5, y), (5, y + 0.5)], one.ink.dark, 1, 0.6) for y in np.linspace(6, length - 6, 6))
    drawn = definition + ellipse(0, length * 0.45, 6.5, length * 0.55, fill) + rings + ellipse(0, -16, 10, 17, fill)
    return drawn + ellipse(0, -36, 6.5, 6, one.ink.dark) + mirrored(ellipse(4.5, -38, 2.4, 2.4, "#111"))


def antenna(one, root, tip):
    """An antenna from `root` to `tip`: slender, clubbed at the end, or feathered."""
    (x0, y0), (x1, y1) = root, tip
    spine = curve([root, ((x0 + x1) / 2 + 4, (y0 + y1) / 2 - 3), tip], 16, closed=False)
    drawn = line(spine, one.ink.dark, 1.6)
    if one["appendage"] == "clubbed":
        drawn += ellipse(x1, y1, 3.2, 3.2, one.ink.dark)
    if one["appendage"] == "feathered":
        for (x, y), r in zip(spine[2:], np.linspace(8, 2, len(spine) - 2), strict=True):
            drawn += line([(x - 0.5 * r, y - 0.8 * r), (x, y), (x + r, y - 0.1 * r)], one.ink.dark, 0.9)
    return drawn


def beetle(one):
    """SVG of a beetle from above: wing cases, pronotum, head, six legs."""
    half, low = one.span("elongation", 44, 27), one.span("elongation", 62, 84)
    shoulder, waist = half * one.span("proportion", 0.7, 1.05), one.span("taper", 0.62, 1.0)
    case = curve([
        (0.5, -22), (shoulder * 0.8, -20), (shoulder, -8), (half * (0.6 + 0.45 * waist), low * 0.35),
        (half * waist * 0.82, low * 0.75), (2, low), (0.5, low * 0.5),
    ])  # fmt: skip
    legs = "".join(leg(one, *hip) for hip in ((half * 0.6, -34, -1), (half * 0.8, -2, 0.1), (half * 0.75, 26, 1)))
    feeler = (one.span("appendage_length", 18, 44), -66 - one.span("appendage_length", 2, 26))
    drawn = legs + antenna(one, (6, -60), feeler) + shape(case, one.ink.ground, edge=one.ink.dark, width=1.5)
    drawn += marked(one, case, (half / 2, -20), (half / 2, low), half * 0.75) + clipped(case, grooves(one, half, low))
    seam = line([(0, -20), (0, low)], one.ink.dark, 1.6)
    return mirrored(drawn) + seam + ellipse(0, -54, half * 0.42, 11, one.ink.dark) + shield(one, half, shoulder)


def grooves(one, half, low):
    """The fine grooves along a wing case."""
    rows = [
        [(x * half, -18), (x * half * 1.1, low * 0.3), (x * half * 0.5, low * 0.9)] for x in np.linspace(0.15, 0.85, 5)
    ]
    return "".join(line(curve(row, 12, closed=False), one.ink.dark, 0.9, one.span("venation", 0, 0.5)) for row in rows)


def shield(one, half, shoulder):
    """The pronotum, which covers the thorax of a beetle."""
    neck = half * one.span("curvature", 0.41, 0.71)
    side = curve([(0, -50), (neck, -46), (shoulder * 0.9, -30), (shoulder * 0.85, -21), (0, -19)])
    definition, fill = gradient(one.ink.light, one.ink.ground, 0.35, 0.3, 0.8)
    colour = one.ink.dark if one["lobing"] > 0 else fill
    return definition + shape(joined(side, side[::-1] * (-1, 1)), colour, edge=one.ink.dark, width=1.2)


def leg(one, x, y, lean):
    """A leg on the right side from its hip at (x, y): femur, tibia and tarsus; `lean` is from -1 (forward) to 1 (back)."""
    reach = one.span("appendage_length", 14, 34)
    steps = [(0, 0), (0.7, 0.35 * lean), (1, lean), (1.2, 1.25 * lean)]
    joints = reach * np.array(steps) + [(x, y), (x, y - 4), (x, y), (x, y + 3)]
    return "".join(line(joints[i : i + 2], one.ink.dark, width) for i, width in enumerate((5, 3.2, 1.8)))


# ----------------------------------------------------------------------------------------------------------- fish


def fish(one):
    """SVG of a fish from the side, head to the left."""
    box = one.span("elongation", 62, 78), one.span("elongation", 46, 20)
    hump, root = one.span("curvature", 0.8, 1.2), one.span("taper", 0.14, 0.3)
    body = box * curve([
        (-1, 0.1), (-0.72, -0.62), (-0.2, -hump), (0.35, -0.62), (0.78, -root), (0.8, root), (0.3, 0.6), (-0.25, 0.95),
        (-0.75, 0.5),
    ])  # fmt: skip
    long, high = box
    drawn = tail(one, long * 0.74, high * root) + fins(one, box, hump)
    drawn += shape(body, one.ink.ground, edge=one.ink.dark, width=1.4)
    drawn += marked(one, body, (-long * 0.75, 0), (long * 0.85, 0), high * 0.9) + clipped(body, skin(one, box))
    return drawn + head(one, box)


def skin(one, box):
    """The pale belly of a fish and, for most trait values, scales."""
    x = np.linspace(-1, 1, 20)
    belly = joined(np.stack([x, 0.3 + 0.1 * np.cos(2 * x)], 1), [(1, 1.3), (-1, 1.3)])
    drawn = shape(belly * box, one.ink.light, 0.55)
    if one["venation"] > -0.3:
        long, high = box
        rows = [(x, y) for x in np.arange(-long * 0.5, long * 0.8, 6) for y in np.arange(-high, high, 6)]
        drawn += "".join(ellipse(x, y, 2.6, 2.6, one.ink.dark, 0.13) for x, y in rows)
    return drawn


def head(one, box):
    """Gill cover, pectoral fin and eye of a fish."""
    gill = box * curve([(-0.5, -0.5), (-0.42, 0), (-0.52, 0.55)], 14, closed=False)
    fin = box * curve([(-0.36, 0.1), (-0.1, 0.2), (-0.02, 0.5), (-0.3, 0.35)], 30)
    (x, y), r = np.multiply(box, (-0.7, -0.16)), one.span("proportion", 4.5, 9)
    drawn = line(gill, one.ink.dark, 1.8, 0.7) + shape(fin, one.ink.light, 0.75, one.ink.dark, 1)
    drawn += ellipse(x, y, r, r, one.ink.light) + ellipse(x, y, 0.6 * r, 0.6 * r, "#101010")
    return drawn + ellipse(x - 1.5, y - 2, 1.3, 1.3, "#fff")


def tail(one, x, root):
    """The tail fin, with its base at `x`: forked, rounded or straight."""
    spread, length = one.span("appendage_length", 16, 40), one.span("appendage_length", 18, 32)
    middle = {"slender": 0.45, "clubbed": 1.1, "feathered": 0.8}[one["appendage"]]
    edge = [(0.6, -0.8), (1, -1), (middle, 0), (1, 1), (0.6, 0.8)] * np.array([length, spread]) + (x, 0)
    outline = frill(curve(joined([(x, -root)], edge, [(x, root)]), 60), one["margin"], 2.5, 7, slice(14, 46))
    return webbed(one, outline, [[(x, 0), end] for end in outline[10:50:4]])


def fins(one, box, hump):
    """The dorsal fin and the anal fin."""
    rise = one.span("lobing", 0.25, 0.9)
    back = [(-0.35, -hump * 0.85), (-0.15, -hump - rise), (0.25, -0.75 - rise * 0.7), (0.5, -0.42)]
    belly = [(0.05, 0.7), (0.2, 0.75 + rise * 0.7), (0.45, 0.5 + rise * 0.3), (0.5, 0.35)]
    drawn = ""
    for edge in (back, belly):
        outline = frill(curve(np.multiply(edge, box), 50), one["margin"], 3, 8, slice(6, 34))
        drawn += webbed(one, outline, [[(x, 0.4 * y), (x, y)] for x, y in outline[4:36:3]])
    return drawn


def webbed(one, outline, rays):
    """A fin: its outline and its rays."""
    spines = "".join(line(ray, one.ink.dark, 0.8, 0.5) for ray in rays)
    return shape(outline, one.ink.pattern, 0.95, one.ink.dark, 1.2) + clipped(outline, spines)


# --------------------------------------------------------------------------------------------------------- plants


def leaf(one):
    """SVG of a leaf from above: blade, midrib, side veins and stalk."""
    half, widest = one.span("elongation", 58, 20), one.span("taper", 0.35, 0.75)
    down = np.linspace(0, 1, 30)
    swell = half * np.sin(np.pi * down ** (math.log(0.5) / math.log(1 - widest))) ** one.span("proportion", 0.65, 1.3)
    spine = np.stack([one.span("curvature", -9, 9) * np.sin(np.pi * down), -86 + 148 * down], 1)
    side = np.stack([swell, np.zeros(30)], 1)
    blade = curve(joined(spine + side, (spine - side)[::-1])[::2], 180)
    depth, waves = one.span("lobing", 2, 13), 9 + round(one.span("venation", 0, 14))
    for stretch in (slice(4, 86), slice(94, 176)):
        blade = frill(blade, one["margin"], depth, waves, stretch)
    stalk = [(0, 58), (3, 80), (one.span("appendage_length", -14, 14), 98)]
    drawn = line(stalk, one.ink.dark, 4) + shape(blade, one.ink.ground, edge=one.ink.dark, width=1)
    drawn += marked(one, blade, (0, 62), (0, -86), half) + clipped(blade, ribs(one, spine, swell))
    return drawn + line(spine, one.ink.light, 2.6, 0.9)


def ribs(one, spine, swell):
    """The side veins of a leaf, from the midrib `spine` (n, 2) at an angle to the margin; `swell` (n,) is the half width."""
    rise, drawn = one.span("appendage_length", 10, 42), ""
    for k in np.linspace(2, len(spine) - 2, 4 + round(one.span("venation", 0, 9))):
        steps = np.arange(len(spine))
        x, y = (np.interp(k, steps, spine[:, i]) for i in (0, 1))
        reach = np.interp(k - rise / 7, steps, swell)
        for side in (-reach, reach):
            rib = [(x, y), (x + 0.55 * side, y - 0.45 * rise), (x + 1.05 * side, y - rise)]
            drawn += line(curve(rib, 10, closed=False), one.ink.light, 1.3, 0.75)
    return drawn


def flower(one):
    """SVG of a flower from above: petals around a disc of florets."""
    n = {"slender": 5, "clubbed": 8, "feathered": 13}[one["appendage"]]
    reach, centre = one.span("size", 78, 96), one.span("proportion", 10, 30)
    half = one.span("elongation", 1.15, 0.55) * math.pi * (centre + reach) / 2 / n * 1.25
    widest, notch = -one.span("taper", 0.45, 0.85), one.span("lobing", -8, 8) / reach - 1
    foot = -0.5 * centre / reach
    petal = (half, reach) * curve([
        (-0.25, foot), (-1, widest), (-0.45, -0.97), (0, notch), (0.45, -0.97), (1, widest), (0.25, foot),
    ], 60)  # fmt: skip
    petal = frill(petal, one["margin"], 2.5, 7, slice(10, 46))
    petal[:, 0] += one.span("curvature", -0.25, 0.25) * petal[:, 1] ** 2 / reach
    definition, fill = gradient(one.ink.light, one.ink.ground, 0.5, 1.0, 1.0)
    nerves = [[(0.3 * x, -centre), (0.8 * x, -0.85 * reach)] for x in half * np.linspace(-0.8, 0.8, 5)]
    drawn = shape(petal, fill, edge=one.ink.dark, width=0.8)
    drawn += marked(one, petal, (0, -0.6 * centre), (0, -reach), half)
    drawn += clipped(
        petal, "".join(line(nerve, one.ink.dark, 0.8, one.span("venation", 0.05, 0.4)) for nerve in nerves)
    )
    return definition + whorl(one, drawn, n) + disc(one, centre)


def whorl(one, petal, n):
    """`n` copies of a petal around the centre, every second one on top, each slightly different in angle and size."""
    drawn = ""
    for i in (*range(0, n, 2), *range(1, n, 2)):
        turn, zoom = 360 * one.random.normal(i, 0.04) / n, one.random.normal(1, 0.025)
        drawn += group(petal, f"rotate({turn:.2f}) scale({zoom:.3f})")
    return drawn


def disc(one, radius):
    """The centre of a flower: florets at steps of the golden angle (Vogel 1979)."""
    k = np.arange(1, 70)
    r, angle, size = radius * np.sqrt(k / 70), k * np.pi * (3 - 5**0.5), one.span("appendage_length", 1.2, 3)
    florets = zip(r * np.cos(angle), r * np.sin(angle), strict=True)
    drawn = "".join(ellipse(x, y, size, size, one.ink.accent) for x, y in florets)
    return ellipse(0, 0, radius, radius, one.ink.dark) + drawn


# --------------------------------------------------------------------------------------------------------- snails


def snail(one):
    """SVG of a snail. Its shell follows Raup (1966): every whorl is larger than the last by a constant factor."""
    growth, turns = one.span("elongation", 1.7, 2.7), 3.82
    angle = np.linspace(turns * 2 * np.pi, 0, 150)  # from the lip inwards, so that inner whorls are drawn on top
    r = 46 * growth ** (angle / (2 * np.pi) - turns)
    x, y = r * np.cos(angle) - 8, -one.span("curvature", 0.8, 1.0) * r * np.sin(angle) - 18
    tube = r * one.span("taper", 0.58, 0.8)
    definition, fill = gradient(one.ink.light, one.ink.ground, 0.38, 0.3, 0.75)
    rib = one.span("venation", 0, 0.2)
    drawn = definition + foot(one)
    for step, at in enumerate(zip(x, y, tube, strict=True)):
        drawn += ring(*at, 1.05, one.ink.dark, 0.3) + ring(*at, 1, fill, 1)
        drawn += ring(*at, 0.97, one.ink.dark, rib) if step % 4 == 0 else ""
    return drawn + along_tube(one, angle, x, y, tube)


def ring(x, y, tube, zoom, fill, opacity):
    return ellipse(x, y, tube * zoom, tube * zoom, fill, opacity)


def along_tube(one, angle, x, y, tube):
    """The pattern of a shell, which forms at its lip during growth: marks at every step (n,), on the outer side."""
    size, place = one.span("pattern_scale", 0.06, 0.24) * tube, one.span("pattern_place", 0, 0.45)
    rows = {"plain": (), "bands": (place, place + 0.45), "stripes": (0, 0.3, 0.6, 0.9), "spots": (place + 0.2,)}
    swing = np.sin(angle * one.span("pattern_scale", 12, 5) + one.random.normal(0, 0.15, len(angle)))
    drawn = ""
    for out in rows.get(one["pattern"], np.linspace(-0.1, 0.9, 7)):
        marks = zip(x + np.cos(angle) * tube * out, y - np.sin(angle) * tube * out, size, size, swing, strict=True)
        shown = [mark for *mark, rise in marks if rise > 0.45 or one["pattern"] in ("bands", "stripes")]
        drawn += "".join(ellipse(*mark, one.ink.pattern, 0.9) for mark in shown)
    return drawn


def foot(one):
    """The body of a snail with its tentacles."""
    reach, drawn = one.span("appendage_length", 10, 30), ""
    for x in (78, 86):
        eye = (x + reach * 0.4, 18 - reach)
        drawn += line([(x, 18), eye], one.ink.dark, 2.4) + ellipse(*eye, 2.4, 2.4, one.ink.dark)
    body = curve([
        (-98, 62), (-60, 48), (0, 36), (46, 40), (70, 14), (86, 12), (94, 26), (84, 56), (40, 64), (-40, 66),
    ])  # fmt: skip
    return drawn + shape(body, one.ink.light, edge=one.ink.dark, width=0.6)


BODIES = {f.__name__: f for f in (moth, beetle, fish, leaf, flower, snail)}
