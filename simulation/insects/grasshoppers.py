"""Grasshoppers and crickets, from the side."""

import math

import numpy as np

from simulation.insects.parts import Art, Wing, antenna, eye, limb, plate, profile, strokes, tube
from simulation.insects.surfaces import MARKED, abdomen, gloss, side_legs
from simulation.insects.traits import Insect
from simulation.patterns import PATTERNS, framed
from simulation.svg import curve, line


def hopper(one, deep, wing_end, feeler, reach, thigh, shin, slant, blade=0.0):
    """A grasshopper or cricket from the side, the head on the left. `deep` is the depth of its body, `thigh` and `shin` are the
    lengths of the hind leg, `blade` that of the ovipositor."""
    far, near = side_legs(one, [(-46, 8), (-30, 10), (-14, 10)], 44, 4.2, shares=(0.85, 0.85, 0.1), reach=26)
    body = curve([(-52, -6), (0, -6), (one.span("elongation", 46, 70), 2)], 26, closed=False)
    art = far + abdomen(
        one,
        np.add(body, (0, 4)),
        profile(0.8 * deep, deep, 0.95 * deep, 0.7 * deep, 0.25 * deep, n=26),
        9,
        heights=(0.2, 0.65),
        gloss=gloss(one, 0.1, 0.5),
        rough=0.3,
    )
    if blade and not one.male:
        x, y = body[-1]
        art += plate(
            tube(
                curve([(x - 4, y + 5), (x + 0.5 * blade, y + 5 + slant), (x + blade, y - 4 + slant)], 10, False),
                np.linspace(2.8, 0.8, 10),
            ),
            one.ink.legs,
            (0.2, 0.4),
            0.4,
        )
    knee = np.array([8 + thigh, -14 - one.span("leg_length", 14, 32)])
    wing = Wing(
        curve([(0, -0.05), (0.3, -0.11), (0.8, -0.1), (1.0, -0.01), (0.9, 0.06), (0.4, 0.1), (0, 0.07)], 70)
        * (1, one.span("wing_width", 0.9, 1.5)),
        (-34, -deep + 4),
        one.span("wing_tip", 1, 7),
        wing_end,
    )
    outline = wing.place(wing.outline)
    net = wing.veined(
        [(s, 0.1) for s in np.linspace(0.15, 0.85, 5)],
        [(x, k) for k in range(4) for x in np.arange(0.1, 0.9, one.span("venation", 0.09, 0.05))],
        one.ink.dark,
        0.6,
        one.span("venation", 0.3, 0.7),
    )
    marks = framed(
        PATTERNS[one["pattern"]](one) + MARKED[one["mark"]](one), wing.place([(0, 0)])[0], wing.tip, 0.14 * wing_end
    )
    if wing_end > 8:
        art += plate(outline, one.ink.ground, (0.35, 0.6), 0.15, 0.35, one.ink.dark, 0.7, marks + net)
    crest = one.span("thorax", 0, 7)
    saddle = curve(
        [
            (-57, -deep - 1),
            (-42, -deep - 5 - crest),
            (-20, -deep - 3),
            (-16 + slant, -deep + 3),
            (-24, 0.3 * deep),
            (-34, 0.75 * deep),
            (-52, 0.6 * deep),
        ],
        50,
    )
    saddle_marks = framed(PATTERNS[one["pattern"]](one), (-58, 0), (-14, 0), deep + 4)
    keel = saddle_marks + line(
        curve([(-58, -0.5 * deep), (-40, -0.45 * deep - 2), (-18, -0.6 * deep)], 14, False),
        one.ink.pattern,
        one.span("pattern_scale", 0.8, 5),
        0.85,
    )
    art += plate(saddle, one.ink.ground, (0.35, 0.8), gloss(one, 0.1, 0.5), 0.35, one.ink.dark, 0.7, keel)
    steep = one.span("head", -7, 7)
    face = curve(
        [
            (-54, -deep - 2),
            (-64, -deep - 4),
            (-74 + steep, -deep + 2),
            (-76 - 0.4 * steep, 0.1 * deep),
            (-70, 0.85 * deep),
            (-60, 0.9 * deep),
            (-53, 0.5 * deep),
        ],
        50,
    )
    cheek = line([(-66, -0.1 * deep), (-63, 0.8 * deep)], one.ink.dark, 1.2, 0.7)
    art += plate(face, one.ink.ground, (0.3, 0.75), gloss(one, 0.1, 0.5), 0.3, one.ink.dark, 0.7, cheek)
    art += eye(-66, -0.45 * deep - 2, one.span("eyes", 3, 4.6), one.span("eyes", 4, 6.4), one.ink.eyes, 15, False)
    root = np.array([-71.0, -0.6 * deep - 4])
    for lean in (-14, 6):
        turn = math.radians(-118 if feeler == "thick" else -100) + math.radians(lean + one.pose.normal(0, 5))
        end = root + reach * np.array([math.cos(turn), math.sin(turn)]) * (1, 0.8)
        bow = (root + end) / 2 + (-0.06 * reach, -0.1 * reach)
        tail = [np.add(end, (0.5 * reach, -0.02 * reach))] if feeler == "long" else []
        art += antenna(
            curve([root, bow, end, *tail], 30, closed=False), one.ink.dark, "thread", 2.0 if feeler == "thick" else 1.0
        )
    hip = np.array([-8.0, 8.0])
    ankle = knee + np.array([0.42 * shin, math.sqrt(max(shin**2 - (0.42 * shin) ** 2, 1))]) * (
        1,
        (44 - knee[1]) / math.sqrt(max(shin**2 - (0.42 * shin) ** 2, 1)),
    )
    femur = tube(
        np.linspace(hip, knee, 12), profile(3, 7.5, 7, 4.4, 2.6, 3.2, n=12) * one.span("leg_length", 0.85, 1.15)
    )
    t = np.linspace(0.12, 0.72, 9)[:, None]
    rib = hip + t * (knee - hip)
    along = (knee - hip) / np.linalg.norm(knee - hip)
    side = np.array([-along[1], along[0]])
    bars = (
        framed(PATTERNS[one["pattern"]](one), hip, knee, 8)
        + strokes(rib + 5 * side - 2 * along, rib - 5 * side + 2 * along, one.ink.dark, 0.9, 0.6)
        + line([hip, knee], one.ink.dark, 1, 0.5)
    )
    spines = knee + np.linspace(0.3, 0.95, 7)[:, None] * (ankle - knee)
    art += near + limb([knee, ankle], one.ink.pattern if one["mark"] in ("patch", "dots") else one.ink.legs, 2.6, 0.3)
    art += Art(strokes(spines, np.add(spines, (4, -1)), one.ink.dark, 0.9)) + limb(
        [ankle, np.add(ankle, (8, 1)), np.add(ankle, (13, 1))], one.ink.legs, 1.8
    )
    return (art + plate(femur, one.ink.ground, (0.35, 0.7), 0.25, 0.3, one.ink.dark, 0.8, bars)).moved(
        "translate(-2,8)"
    )


def grasshopper(one):
    """Short, thick antennae and long wings."""
    return hopper(
        one,
        one.span("taper", 11, 19),
        one.span("wing_length", 70, 126),
        "thick",
        one.span("antenna_length", 22, 34),
        50,
        62,
        4,
    )


def bushcricket(one):
    """Very long antennae, and in females a curved ovipositor."""
    return hopper(
        one,
        one.span("taper", 12, 20),
        one.span("wing_length", 20, 130),
        "long",
        one.span("antenna_length", 60, 78),
        58,
        70,
        6,
        one.span("hind_wing", 24, 40),
    )


def cricket(one):
    """A low, dark, glossy body, short wings, a straight ovipositor."""
    dark = Insect(one | {"lightness": one["lightness"] - 1.2, "gloss": one["gloss"] + 1}, one.random, one.pose)
    return hopper(
        dark,
        one.span("taper", 14, 20),
        one.span("wing_length", 44, 92),
        "long",
        one.span("antenna_length", 52, 66),
        36,
        40,
        8,
        one.span("hind_wing", 26, 40),
    )


def groundhopper(one):
    """A small grasshopper with a long, crested pronotum and short wings."""
    return hopper(
        one,
        one.span("taper", 13, 18),
        one.span("wing_length", 5, 60),
        "thick",
        one.span("antenna_length", 14, 24),
        44,
        46,
        one.span("hind_wing", 16, 60),
    )
