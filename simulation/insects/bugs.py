"""Bugs, from above: three forms with half leathery wings, and cicadas."""

import numpy as np

from simulation.insects.parts import eye, lines, oval, plate, profile, strokes
from simulation.insects.surfaces import MARKED, abdomen, clear_wing, feelers, gloss, walking_legs
from simulation.patterns import PATTERNS, framed
from simulation.svg import curve, ellipse, line


def bug(one, half, low, shoulder, pronotum, shield, head, reach, legs, thick=3.6, flare=0.0):
    """A bug from above: pronotum, scutellum (`shield` is its end), leathery wings with a membrane, and a flat rim.

    `pronotum` is (front half width, length), `shoulder` its rear half width with spines of the length `flare`.
    """
    front, long = pronotum
    top = -34.0
    hips = [(0.6 * front, top - 0.5 * long), (0.6 * half, top + 10), (0.6 * half, top + 26)]
    art = walking_legs(one, hips, legs + 0.4 * half, thick, (-0.8, 0.05, 0.9))
    wide, deep = head
    art += feelers(one, (0.7 * wide, top - long - 0.8 * deep), reach, "beaded", -52, 8, 1.4)
    rim = curve(
        [
            (0, top),
            (0.9 * half, top + 6),
            (half, 0.3 * low),
            (0.8 * half, 0.75 * low),
            (0, low),
            (-0.8 * half, 0.75 * low),
            (-half, 0.3 * low),
            (-0.9 * half, top + 6),
        ],
        60,
    )
    cells = [
        [(0.55 * half * s, y), (1.1 * half * s, y + 1.5)] for y in np.linspace(top + 12, 0.85 * low, 6) for s in (-1, 1)
    ]
    art += plate(
        rim,
        one.ink.light if one["border"] > 0 else one.ink.ground,
        (0.15, 0.4),
        0.3,
        0.3,
        one.ink.dark,
        0.8,
        lines(cells, one.ink.dark, 4.2, 0.8),
    )
    inner = 0.86 * half
    film = curve(
        [
            (0, 0.42 * low),
            (0.55 * inner, 0.3 * low),
            (0.8 * inner, 0.55 * low),
            (0.5 * inner, 0.9 * low),
            (0, low + 2),
            (-0.5 * inner, 0.9 * low),
            (-0.8 * inner, 0.55 * low),
            (-0.55 * inner, 0.3 * low),
        ],
        50,
    )
    nerves = lines(
        [[(x, 0.35 * low), (1.1 * x, low)] for x in np.linspace(-0.5, 0.5, 7) * inner], one.ink.dark, 0.8, 0.8
    )
    art += plate(
        film, one.ink.legs if one["venation"] > 0 else one.ink.dark, (0.2, 0.5), 0.7, 0.05, one.ink.dark, 0.6, nerves
    )
    leather = curve(
        [
            (0.5, top + 2),
            (0.92 * inner, top + 3),
            (inner, 0.15 * low),
            (0.9 * inner, 0.5 * low),
            (0.35 * inner, 0.36 * low),
            (0.5, 0.42 * low),
        ],
        50,
    )
    marks = framed(
        PATTERNS[one["pattern"]](one) + MARKED[one["mark"]](one),
        (0.5 * inner, top),
        (0.62 * inner, 0.5 * low),
        0.5 * inner,
    )
    pits = np.stack([one.random.uniform(0, inner, 70), one.random.uniform(top, 0.5 * low, 70)], 1)
    dotted = strokes(pits, np.add(pits, (0, 0.1)), one.ink.dark, 1.1, one.span("texture", 0.1, 0.8))
    seam = line([(0.75 * inner, top), (0.4 * inner, 0.38 * low)], one.ink.dark, 0.9, 0.6)
    art += plate(
        leather, one.ink.ground, (0.25, 0.6), gloss(one, 0.1, 0.6), 0.3, one.ink.dark, 0.9, marks + dotted + seam
    ).both()
    half_shield = shield[0]
    tri = curve(
        [
            (-half_shield, top - 1),
            (0, top - 2),
            (half_shield, top - 1),
            (0.45 * half_shield, 0.5 * (top + shield[1])),
            (0, shield[1]),
            (-0.45 * half_shield, 0.5 * (top + shield[1])),
        ],
        36,
    )
    tip = ellipse(0, shield[1], 0.5 * half_shield, 8, one.ink.pattern, one.span("pattern_strength", 0.2, 0.95))
    art += plate(tri, one.ink.ground, (0.35, 0.75), gloss(one, 0.1, 0.6), 0.3, one.ink.dark, 0.9, tip)
    side = curve(
        [
            (0, top - long),
            (front, top - long + 1),
            (0.5 * (front + shoulder) + 0.12 * half, top - 0.64 * long),
            (shoulder + flare, top - 0.3 * long - 0.5 * flare),
            (0.97 * shoulder, top - 0.06 * long),
            (0.6 * shoulder, top + 2),
            (0, top + 1),
        ],
        36,
        closed=False,
    )
    calli = "".join(
        ellipse(s * 0.4 * front, top - 0.7 * long, 0.24 * front, 0.12 * long, one.ink.dark, 0.6) for s in (-1, 1)
    )
    band = line(
        [(-1.2 * shoulder, top - 0.25 * long), (1.2 * shoulder, top - 0.25 * long)],
        one.ink.pattern,
        one.span("pattern_scale", 0, 8),
        0.7,
    )
    art += plate(
        np.concatenate([side, side[::-1] * (-1, 1)]),
        one.ink.ground,
        (0.3, 0.8),
        gloss(one, 0.1, 0.6),
        0.3,
        one.ink.dark,
        0.9,
        calli + band,
    )
    y = top - long
    snout = curve(
        [
            (-wide, y + 2),
            (-0.9 * wide, y - 0.5 * deep),
            (-0.3 * wide, y - 1.5 * deep),
            (0.3 * wide, y - 1.5 * deep),
            (0.9 * wide, y - 0.5 * deep),
            (wide, y + 2),
        ],
        30,
    )
    art += plate(snout, one.ink.ground if one["head"] > 0 else one.ink.dark, (0.2, 0.6), 0.3, 0.3, one.ink.dark, 0.7)
    return art + eye(0.95 * wide, y - 0.3 * deep, *[one.span("eyes", 2.6, 4.6)] * 2, one.ink.eyes, 0, False).both()


def shieldbug(one):
    """A broad bug like a shield, with shoulders and a large scutellum."""
    half = one.span("elongation", 54, 42)
    return bug(
        one,
        half,
        one.span("elongation", 58, 76),
        1.02 * half,
        (0.46 * half, one.span("thorax", 22, 28)),
        (0.55 * half, one.span("taper", 14, 40)),
        (one.span("head", 11, 15), 11),
        one.span("antenna_length", 30, 48),
        24,
        3.8,
        max(0.0, 11 * one["wing_tip"]),
    ).moved("translate(0,4)")


def plantbug(one):
    """A slender, soft bug with long antennae."""
    half = one.span("elongation", 31, 21)
    return bug(
        one,
        half,
        one.span("elongation", 70, 88),
        0.86 * half,
        (0.42 * half, one.span("thorax", 17, 22)),
        (0.42 * half, one.span("taper", -16, -4)),
        (one.span("head", 8, 11), 9),
        one.span("antenna_length", 52, 78),
        36,
        2.9,
    ).moved("translate(0,6)")


def assassin(one):
    """A hunter with a narrow head, a waisted pronotum and a broad flat abdomen."""
    half = one.span("elongation", 40, 26)
    return bug(
        one,
        half,
        one.span("elongation", 70, 86),
        one.span("thorax", 0.5, 0.72) * half,
        (0.3 * half, 26),
        (0.3 * half, one.span("taper", -14, 0)),
        (one.span("head", 6, 8), 14),
        one.span("antenna_length", 40, 62),
        46,
        3.8,
        max(0.0, 7 * one["wing_tip"]),
    ).moved("translate(0,8)")


def cicada(one):
    """A cicada or hopper: a broad head, and translucent wings like a roof that is longer than the body."""
    wide, length = one.span("head", 24, 31), one.span("wing_length", 116, 134)
    art = walking_legs(one, [(13, -48), (17, -32), (16, -18)], 26, 4.2, (-0.9, -0.2, 0.5), shares=(1, 0.8, 0.6))
    spine = np.stack([np.zeros(24), np.linspace(-26, one.span("elongation", 38, 58), 24)], 1)
    art += abdomen(
        one, spine, profile(0.85 * wide, 0.9 * wide, 0.7 * wide, 0.2 * wide), 8, heights=(0.2, 0.7), gloss=0.3
    )
    veins = ((0.18, 0.06), (0.36, 0.12), (0.52, 0.2), (0.7, 0.3), (0.86, 0.3))
    cross = [(0.45, 0), (0.62, 1), (0.5, 2), (0.66, 3), (0.76, 0), (0.8, 1), (0.78, 2), (0.38, 3)]
    spread = one.span("wing_width", 70, 82)
    for side in (-1, 1):
        wing = clear_wing(
            one,
            (0.85 * wide, -34),
            spread + one.pose.normal(0, 2),
            length,
            1.5,
            veins,
            cross,
            0.0,
            dark_tip=max(0.0, one["border"]),
        )
        art += wing.moved(f"scale({side},1)")
    chest = curve(
        [
            (-wide, -56),
            (0, -58),
            (wide, -56),
            (0.95 * wide, -34),
            (0.4 * wide, -20),
            (0, -14),
            (-0.4 * wide, -20),
            (-0.95 * wide, -34),
        ],
        50,
    )
    w = [[(s * wide * 0.6, -54), (s * wide * 0.35, -34), (s * 0.1 * wide, -52)] for s in (-1, 1)]
    art += plate(
        chest,
        one.ink.ground,
        (0.3, 0.85),
        gloss(one, 0.1, 0.5),
        0.3,
        one.ink.dark,
        0.8,
        lines(w, one.ink.pattern, one.span("pattern_scale", 1, 5), 0.9)
        + lines([[(-wide, -48), (wide, -48)]], one.ink.dark, 1.2, 0.5),
    )
    art += plate(
        oval(0, -61, 0.86 * wide, one.span("thorax", 7, 10), 3),
        one.ink.ground,
        (0.25, 0.65),
        0.3,
        0.3,
        one.ink.dark,
        0.8,
        line([(-0.5 * wide, -62), (0.5 * wide, -62)], one.ink.pattern, 3, 0.8),
    )
    return (
        art
        + eye(0.92 * wide, -61, *[one.span("eyes", 5, 7.5)] * 2, one.ink.eyes, 0, False).both()
        + feelers(one, (0.3 * wide, -69), 12, "thread", -60, 2, 0.9)
    ).moved("translate(0,2)")
