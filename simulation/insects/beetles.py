"""Beetles, from above: wing cases, pronotum, head, six legs."""

import numpy as np

from simulation.insects.parts import Art, eye, limb, lines, oval, plate, strokes, tube
from simulation.insects.surfaces import MARKED, feelers, gloss, walking_legs
from simulation.patterns import PATTERNS, framed
from simulation.svg import clipped, curve, ellipse, line


def elytra(one, half, low, shoulder, waist, top=-22.0):
    """The right wing case, its surface and pattern; `low` is its end, `half` its greatest width."""
    span = low - top
    turn = np.linspace(0, 0.5 * np.pi, 26)
    blunt = 0.62 / max(waist, 0.5)
    end = np.stack([half * np.cos(turn) ** blunt, top + (0.4 + 0.6 * np.sin(turn)) * span], 1)
    start = curve(
        [(0.3, top + 1), (shoulder * 0.75, top), (shoulder, top + 0.1 * span), (half, top + 0.4 * span)],
        26,
        closed=False,
    )
    case, hem = np.concatenate([start, end, [(0.3, low)]]), slice(10, 52)
    pattern = framed(
        PATTERNS[one["pattern"]](one) + MARKED[one["mark"]](one), (0.48 * half, top), (0.48 * half, low), 0.62 * half
    )
    border = line(case[hem], one.ink.dark, one.span("border", 0, 9), 0.85)
    relief, marks = Art(), ""
    rows = [
        np.stack(
            [
                s * np.interp(np.linspace(0, 1, 16), (0, 0.4, 1), (shoulder, half, 0.5 * half)),
                np.linspace(top + 3, low - 3, 16),
            ],
            1,
        )
        for s in np.linspace(0.13, 0.9, 5 + round(one.span("venation", 0, 3)))
    ]
    strength = one.span("texture", 0.35, 1.0)
    if one["sculpture"] == "furrowed":
        marks = lines(rows, one.ink.dark, 1.1, 0.6 * strength)
        relief = Art("", clipped(case, lines(rows, "#303000", 1.8, 0.5 * strength)))
    if one["sculpture"] == "pitted":
        pits = np.concatenate(rows)
        marks = strokes(pits, np.add(pits, (0, 0.1)), one.ink.dark, 1.3, 0.5 * strength)
        relief = Art("", clipped(case, strokes(pits, np.add(pits, (0, 0.1)), "#202000", 1.8, 0.4 * strength)))
    return (
        plate(case, one.ink.ground, (0.25, 0.8), gloss(one), 0.12, one.ink.dark, 1.2, marks + pattern + border) + relief
    )


def beetle(
    one, half, low, neck, shoulder, waist, prothorax, head, kind, reach, thick=4.0, legs=30, snout=0.0, turn=-50
):
    """A beetle from above. `prothorax` is (front, middle, rear half widths, length), `head` (half width, length)."""
    front, middle, rear, long = prothorax
    top = -22.0
    y = top - long
    hips = [(0.55 * middle, y + 0.6 * long), (0.6 * shoulder, top + 12), (0.7 * half, top + 34)]
    art = walking_legs(one, hips, legs + half * 0.35, thick, (-0.8, 0.05, 0.85))
    wide, deep = head
    art += feelers(
        one, (0.62 * wide, y - 0.75 * deep - 0.5 * snout), reach, kind, turn, 10, 1.5 if kind == "beaded" else 1.3
    )
    if snout:
        art += plate(
            tube([(0, y), (0, y - deep - snout)], [0.42 * wide, 0.34 * wide]), one.ink.dark, (0.2, 0.55), gloss(one)
        )
    else:
        jaw = [
            (0.35 * wide, y - 1.5 * deep),
            (0.5 * wide, y - 1.95 * deep - (3 if one.male else 0)),
            (0.1 * wide, y - 2.2 * deep),
        ]
        art += limb(curve(jaw, 8, closed=False), one.ink.dark, 2.0, 0.3, 0.6).both()
    art += plate(oval(0, y - 0.7 * deep, wide, deep, 2.3), one.ink.dark, (0.2, 0.6), gloss(one))
    art += eye(0.86 * wide, y - 0.8 * deep, *[one.span("eyes", 2.2, 4.4)] * 2, "#14100c", 0, False).both()
    side = curve(
        [(0, y - neck), (front, y + 0.5), (middle, y + 0.5 * long), (rear, top - 0.5), (0, top + 1.5)], 30, closed=False
    )
    ring = np.concatenate([side, side[::-1] * (-1, 1)])
    colour = one.ink.dark if one["head"] > 0 else one.ink.ground
    spotted = "".join(
        ellipse(s * 0.6 * middle, y + 0.5 * long, 0.16 * middle, 0.22 * long, one.ink.pattern, 0.9) for s in (-1, 1)
    )
    marks = spotted if one["mark"] in ("dots", "patch") else line([(0, y), (0, top)], one.ink.dark, 1.2, 0.6)
    art += elytra(one, half, low, shoulder, waist, top).both()
    art += plate(
        curve([(-3.4, top), (3.4, top), (0, top + 9)], 16), colour, (0.3, 0.6), gloss(one), 0.1, one.ink.dark, 0.6
    )
    art += Art(line([(0, top + 6), (0, low)], one.ink.dark, 1.1), line([(0, top + 4), (0, low)], "#180000", 1.6, 0.6))
    return art + plate(ring, colour, (0.3, 0.8), gloss(one), 0.15, one.ink.dark, 0.9, marks)


def ground_beetle(one):
    """Long legs, jaws, a waist before the wing cases, furrows."""
    half = one.span("elongation", 36, 28)
    middle = half * one.span("thorax", 0.62, 0.86)
    shape_of = (0.85 * middle, middle, 0.72 * middle, one.span("thorax", 24, 30))
    return beetle(
        one,
        half,
        one.span("elongation", 70, 88),
        1,
        0.82 * half,
        one.span("taper", 0.7, 1.1),
        shape_of,
        (one.span("head", 11, 16), 10),
        "thread",
        one.span("antenna_length", 34, 54),
        4.4,
        40,
    )


def ladybird(one):
    """A round dome with short legs; spots and patches."""
    half, low = one.span("elongation", 62, 48), one.span("elongation", 62, 70)
    middle = half * one.span("thorax", 0.64, 0.76)
    return beetle(
        one,
        half,
        low,
        -4,
        0.86 * half,
        one.span("taper", 0.62, 0.82),
        (0.7 * middle, middle, 0.96 * middle, 20),
        (one.span("head", 15, 19), 8),
        "clubbed",
        one.span("antenna_length", 12, 22),
        4.2,
        17,
    )


def longhorn(one):
    """Parallel sides and antennae that are longer than the body."""
    half = one.span("elongation", 27, 20)
    middle = half * one.span("thorax", 0.66, 0.85)
    reach = one.span("antenna_length", 64, 100) * (1.12 if one.male else 0.92)
    return beetle(
        one,
        half,
        one.span("elongation", 78, 92),
        0,
        0.98 * half,
        one.span("taper", 0.8, 1.2),
        (0.7 * middle, middle, 0.74 * middle, one.span("head", 20, 27)),
        (0.62 * middle, 11),
        "beaded",
        reach,
        4.2,
        34,
        turn=-28,
    )


def weevil(one):
    """A snout with elbowed antennae, pear-shaped wing cases, pits."""
    half, low = one.span("elongation", 46, 32), one.span("elongation", 66, 78)
    rear = half * one.span("thorax", 0.58, 0.74)
    return beetle(
        one,
        half,
        low,
        0,
        0.84 * half,
        one.span("taper", 0.6, 0.95),
        (0.55 * rear, rear, 0.95 * rear, 27),
        (0.4 * rear + 2, 7),
        "clubbed",
        one.span("antenna_length", 20, 32),
        5.4,
        27,
        snout=one.span("head", 20, 40),
        turn=-34,
    )
