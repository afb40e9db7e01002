"""Dragonflies from above, damselflies from the side."""

import numpy as np

from simulation.insects.parts import Wing, eye, hair, limb, lines, membrane, oval, plate, profile
from simulation.insects.surfaces import abdomen, gloss, pigment, side_legs, walking_legs
from simulation.insects.traits import Insect
from simulation.svg import curve, ellipse, line, shape


def net_wing(one, root, angle, length, deep, hind=False):
    """A wing of a dragonfly: a dense net of veins, nodus and pterostigma, in some species dark patches."""
    base = one.span("hind_wing", 0.15, 0.34) if hind else 0.1
    outline = curve([
        (0, -0.02), (0.25, -0.075), (0.5, -0.085), (0.8, -0.08), (0.96, -0.05), (1.0, 0.03), (0.9, 0.1),
        (0.6, 0.13 + 0.2 * base), (0.25, 0.09 + 0.42 * base), (0.06, 0.05 + 0.2 * base), (0, 0.02),
    ], 90)  # fmt: skip
    wing = Wing(outline * (1, deep * one.span("wing_width", 0.85, 1.2)), root, angle, length)
    veins = [(0.16, 0.0), (0.3, 0.05), (0.45, 0.14), (0.6, 0.28), (0.76, 0.4), (0.9, 0.4)]
    step = one.span("venation", 0.055, 0.032)
    cross = [(x + 0.4 * step * (k % 2), k) for k in range(5) for x in np.arange(0.1, 0.95, step * (1 + 0.35 * k))]
    drawn = wing.veined(veins, cross, one.ink.dark, 0.55, 0.75)
    drawn += line(wing.place(wing.crossing(0.48, (0, 0), (0.3, 0.05))), one.ink.dark, 2)
    drawn += wing.stigma(one.span("wing_tip", 0.84, 0.88), one.span("border", 0.05, 0.1), 0.3, one.ink.legs)
    marks, tint = pigment(one, wing, 0.12 * deep), one.ink.pattern if one["pattern_place"] > 0 else one.ink.dark
    if one["mark"] in ("patch", "stigma"):
        marks += ellipse(
            *wing.place([(0.03, 0.06)])[0], *[length * one.span("pattern_scale", 0.1, 0.28)] * 2, tint, 0.75
        )
    if one["mark"] in ("zigzag", "patch"):
        x = one.span("pattern_place", 0.42, 0.8)
        band = wing.place(
            [
                (x, -0.3),
                (x + one.span("pattern_scale", 0.06, 0.2), -0.3),
                (x + one.span("pattern_scale", 0.06, 0.2), 0.4),
                (x, 0.4),
            ]
        )
        marks += shape(band, one.ink.dark, 0.7)
    if one["mark"] == "dots":
        marks += ellipse(*wing.place([(0.5, -0.03)])[0], 0.05 * length, 0.05 * length, one.ink.dark, 0.8)
    return membrane(wing, one.ink.membrane, one.span("saturation", 0.12, 0.3), drawn, one.ink.dark, 0.8, marks)


def long_abdomen(one, start, end, swell):
    """The abdomen of a dragonfly: ten rings and two claspers."""
    bend = one.pose.normal(0, 2.5)
    spine = curve([start, (0.5 * (start[0] + end[0]) + bend, 0.5 * (start[1] + end[1])), end], 30, closed=False)
    art = abdomen(one, spine, profile(*swell, n=30), 10, heights=(0.3, 0.65), gloss=gloss(one, 0.2, 0.6))
    along = (spine[-1] - spine[-4]) / np.linalg.norm(spine[-1] - spine[-4])
    side = np.array([-along[1], along[0]])
    return (
        art
        + limb([spine[-1] + side, spine[-1] + 6 * along + 2.5 * side], one.ink.dark, 1.4)
        + limb([spine[-1] - side, spine[-1] + 6 * along - 2.5 * side], one.ink.dark, 1.4)
    )


def dragonfly(one, swell, tail, chest, eyes, length, deep):
    """A dragonfly with spread wings, from above."""
    art = walking_legs(one, [(5, -60), (8, -54), (8, -48)], 26, 2.6, (-1.2, -0.9, -0.5))
    art += long_abdomen(one, (0, -36), (0, tail), swell)
    lift = one.span("elongation", -14, 2)
    for side in (-1, 1):
        swing = one.pose.normal(0, 2.5)
        hind = net_wing(one, (5, -40), 10 - 0.4 * lift + swing, 0.97 * length, 1.15 * deep, True)
        art += (hind + net_wing(one, (5, -52), lift + swing, length, deep)).moved(f"scale({side},1)")
    box = oval(0, -50, chest, 18, 2.4)
    bars = [[(s * 0.45 * chest, -66), (s * 0.6 * chest, -38)] for s in (-1, 1)]
    art += plate(
        box,
        one.ink.ground,
        (0.3, 0.9),
        0.3,
        0.3,
        "none",
        0,
        lines(bars, one.ink.pattern, one.span("pattern_scale", 0.8, 4.5), 0.9)
        + line([(0, -70), (0, -30)], one.ink.dark, 1, 0.6),
    )
    art += hair(box, one.ink.light, 2.5, one.random, 40, 0.6)
    y = -70 - 0.5 * eyes
    art += plate(oval(0, y - 0.5 * eyes, 0.7 * eyes, 0.6 * eyes), one.ink.light, (0.2, 0.6), 0.4)
    return (
        art
        + eye(0.56 * eyes, y, 0.62 * eyes, 0.72 * eyes, one.ink.eyes if one["head"] < 0 else one.ink.ground, 14).both()
    )


def skimmer(one):
    """A dragonfly with a short, broad abdomen."""
    w = one.span("taper", 7, 15)
    return dragonfly(
        one,
        (6, 0.9 * w, w, 0.75 * w, 0.3 * w),
        one.span("elongation", 40, 70),
        one.span("thorax", 12, 18),
        one.span("eyes", 11, 14),
        one.span("wing_length", 84, 96),
        1.25,
    ).moved("translate(0,12)")


def hawker(one):
    """A large dragonfly with a long abdomen, narrow behind its base."""
    w = one.span("taper", 5, 9)
    return dragonfly(
        one,
        (8, 0.7 * w, w, w, 1.15 * w, 0.7 * w),
        one.span("elongation", 66, 94),
        one.span("thorax", 11, 17),
        one.span("eyes", 13, 16),
        one.span("wing_length", 86, 98),
        1.1,
    ).moved("translate(0,2)")


def side_damselfly(one, deep, wings_up):
    """A damselfly at rest from the side: wings closed above or along a very thin abdomen."""
    tilt = one.pose.normal(0, 2)
    hips = [(-52, 6), (-46, 10), (-40, 13)]
    far, near = side_legs(one, hips, 42, 2.6, shares=(0.7, 0.8, 0.95), reach=28)
    end = (one.span("elongation", 80, 98), one.span("elongation", 22, 30))
    art = far + long_abdomen(one, (-38, 0), end, (5, 3.4, one.span("taper", 2.8, 5.2), 3.2, 4.2, 3))
    length = one.span("wing_length", 104, 120)
    for shift in (4, 0):
        art += net_wing(one, (-42 + shift, -8), wings_up + tilt + shift, length, deep, bool(shift))
    chest = curve([(-62, -8), (-54, -14), (-40, -13), (-32, -4), (-38, 10), (-50, 12), (-58, 4)], 50)
    bars = [[(-60, -4), (-36, -14)], [(-56, 6), (-32, -6)], [(-46, 13), (-32, 3)]]
    art += plate(
        chest,
        one.ink.ground,
        (0.3, 0.85),
        gloss(one, 0.2, 0.7),
        0.2,
        "none",
        0,
        lines(bars, one.ink.pattern if one["head"] > 0 else one.ink.dark, one.span("pattern_scale", 0.8, 3.6), 0.9),
    )
    art += limb([(-60, -6), (-68, -9)], one.ink.dark, 5)
    r = one.span("eyes", 7.5, 10)
    art += plate(oval(-74, -6, 7, 5), one.ink.ground, (0.2, 0.5), 0.4) + eye(
        -70, -9, r, 0.95 * r, one.ink.eyes if one["texture"] > 0 else one.ink.pattern
    )
    return art + limb([(-77, -14), (-82, -19)], one.ink.dark, 0.9) + near


def damselfly(one):
    """A small damselfly: narrow, clear wings along the abdomen."""
    return side_damselfly(one, 0.9, one.span("wing_tip", -4, 6))


def demoiselle(one):
    """A damselfly with broad, coloured wings, held above the body."""
    art = Insect(one | {"saturation": one["saturation"] + 1}, one.random, one.pose)
    art.ink.membrane = one.ink.ground if one.male or one["mark"] != "none" else one.ink.membrane
    return side_damselfly(art, 1.9, one.span("wing_tip", -26, -10))
