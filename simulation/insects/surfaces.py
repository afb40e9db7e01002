"""What insects of several orders have in common: markings, ringed abdomens, legs, antennae and translucent wings."""

import math

import numpy as np

from simulation.insects.parts import Art, Wing, antenna, leg, membrane, rings, strokes
from simulation.insects.traits import Insect
from simulation.patterns import PATTERNS, framed
from simulation.svg import curve, ellipse, line, shape


def gloss(one, low=0.1, high=0.9):
    return one.span("gloss", low, high)


def wing_marks(one, outline, hem, root, tip, width):
    """SVG of the pattern of an opaque wing: its markings, their companions, and a border along the `hem` (a slice)."""
    drawn = framed(PATTERNS[one["pattern"]](one) + MARKED[one["mark"]](one), root, tip, width)
    border = line(outline[hem], one.ink.dark, one.span("border", 0, 17), 0.75)
    return drawn + border + line(outline[hem], one.ink.light, 2.2, 0.55)


def stigma(one):
    """Two round spots and a kidney, as owlet moths have them."""
    x, r = one.span("pattern_place", 0.34, 0.52), one.span("pattern_scale", 0.05, 0.09)
    kidney = curve([(0, -2.4), (1.3, -2), (0.9, 0), (1.5, 2), (0, 2.6), (-1.2, 1.4), (-0.8, -1.2)], 24) * r
    drawn = ellipse(x - 0.16, -0.1, r, 2.2 * r, one.ink.dark, 0.8) + ellipse(
        x - 0.16, -0.1, 0.6 * r, 1.5 * r, one.ink.light, 0.9
    )
    return drawn + shape(np.add(kidney, (x + 0.08, 0.02)), one.ink.light, 0.9, one.ink.dark, 0.025)


def zigzag(one):
    """A jagged line that crosses the wing."""
    x = one.span("pattern_place", 0.5, 0.84)
    y = np.linspace(-1.1, 1.1, 15)
    teeth = x + 0.05 * (np.arange(15) % 2) * one.span("pattern_scale", 0.5, 1.3) - 0.08 * y**2
    return line(np.stack([teeth, y], 1), one.ink.dark, 0.03, 0.9) + line(
        np.stack([teeth + 0.03, y], 1), one.ink.light, 0.022, 0.8
    )


def dots(one):
    """A row of dots before the margin."""
    x, r = one.span("pattern_place", 0.74, 0.88), one.span("pattern_scale", 0.02, 0.042)
    return "".join(ellipse(x - 0.06 * y * y, y, r, 2.2 * r, one.ink.dark, 0.9) for y in np.linspace(-0.85, 0.85, 7))


def patch(one):
    """A large pale patch near the tip."""
    x, r = one.span("pattern_place", 0.55, 0.82), one.span("pattern_scale", 0.1, 0.17)
    blotch = curve([(-1, -0.4), (0, -1), (1.1, -0.5), (0.8, 0.6), (0, 1), (-0.8, 0.6)], 24) * (r, 3 * r)
    return shape(np.add(blotch, (x, -0.45)), one.ink.accent, 0.85)


MARKED = {"none": lambda one: "", "stigma": stigma, "zigzag": zigzag, "dots": dots, "patch": patch}


def stripes_of(one, n):
    """Fills of the `n` rings of an abdomen: one colour, bands, a coloured end, or paired spots on single rings."""
    ink, k = one.ink, np.arange(n)
    every = 2 if one["pattern_scale"] > 0 else 3
    first = one.span("pattern_place", 0, every - 0.01)
    banded = {
        "plain": np.zeros(n, bool),
        "bands": k % every == int(first),
        "spots": np.zeros(n, bool),
        "eyespots": k >= n * one.span("pattern_place", 0.35, 0.75),
        "stripes": k < n * one.span("pattern_place", 0.25, 0.6),
        "marbled": k % 2 == 0,
    }[one["pattern"]]
    return [ink.pattern if light else ink.ground for light in banded]


def abdomen(one, spine, widths, n=7, **surface):
    """A ringed abdomen along a `spine` (n, 2), with the pattern of its rings, hind rims, and spots along the sides."""
    spine, widths = np.asarray(spine, float), np.asarray(widths, float)
    art = rings(spine, widths, stripes_of(one, n), **surface)
    at = np.linspace(0, n, len(spine))
    where = np.arange(n) + 0.5
    axis = np.stack([np.interp(where, at, spine[:, k]) for k in (0, 1)], 1)
    half = np.interp(where, at, widths)
    along = np.gradient(axis, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], 1) / np.linalg.norm(along, axis=1, keepdims=True)
    drawn = ""
    if one["pattern"] in ("spots", "marbled"):
        size = one.span("pattern_scale", 0.16, 0.36)
        for side in (-1, 1):
            centres = axis + across * (side * half * one.span("pattern_place", 0.35, 0.7))[:, None]
            drawn += "".join(
                ellipse(*p, size * h, size * h, one.ink.pattern, 0.95)
                for p, h in zip(centres, half, strict=True)
                if h > 1.5
            )
    rim = np.arange(1, n)
    axis, half = np.stack([np.interp(rim, at, spine[:, k]) for k in (0, 1)], 1), np.interp(rim, at, widths)
    side = across[1:] * (0.92 * half)[:, None]
    drawn += strokes(axis - side, axis + side, one.ink.dark, one.span("border", 0.3, 2.2), 0.7)
    return art + Art(drawn)


def walking_legs(one, hips, reach, thick, spread=(-0.75, 0.12, 0.95), colour=None, shares=(1.0, 1.0, 1.25)):
    """Six legs seen from above, from the `hips` (3, 2) of the right side; every photograph bends them a little differently."""
    art, length = Art(), reach * one.span("leg_length", 0.72, 1.28)
    for side in (-1, 1):
        for (x, y), lean, share in zip(hips, spread, shares, strict=True):
            lean = lean + one.pose.normal(0, 0.09)
            turn = lean * 1.05
            out, down = math.cos(turn), math.sin(turn)
            a = length * share
            knee = (x + 0.52 * a * out, y + 0.52 * a * down - 0.06 * a)
            bend = turn + (0.5 if lean > 0 else -0.5) + one.pose.normal(0, 0.1)
            ankle = (knee[0] + 0.5 * a * math.cos(bend), knee[1] + 0.5 * a * math.sin(bend))
            toe = (ankle[0] + 0.3 * a * math.cos(turn), ankle[1] + 0.3 * a * math.sin(1.15 * bend))
            joints = np.array([(x, y), knee, ankle, np.add(ankle, toe) / 2 + (0, 1), toe]) * (side, 1)
            art += leg(joints, colour or one.ink.legs, thick)
    return art


def side_legs(one, hips, ground, thick, colour=None, shares=(0.8, 0.95, 1.2), reach=26):
    """Legs seen from the side, standing on a line at y = `ground`: the far ones darker, the near ones in front."""
    near = colour or one.ink.legs
    far, length = Art(), reach * one.span("leg_length", 0.7, 1.3)
    close = Art()
    for (x, y), lean, share in zip(hips, (-1, -0.15, 1), shares, strict=True):
        for dx in (5, 0):
            a = length * share
            swing = lean + one.pose.normal(0, 0.1)
            knee = (x + dx + 0.55 * a * swing, y + 0.1 * (ground - y) - 0.2 * a * abs(lean))
            ankle = (x + dx + 0.85 * a * swing, ground - 3)
            joints = [
                (x + dx, y),
                knee,
                ankle,
                (ankle[0] + 0.12 * a, ground - 1),
                (ankle[0] + 0.26 * a * (0.4 + abs(lean)), ground),
            ]
            if dx:
                far += leg(joints, one.ink.dark, thick * 0.9)
            else:
                close += leg(joints, near, thick)
    return far, close


def feelers(one, root, reach, kind, turn=-62, bow=14, width=1.3, size=1.0, jitter=5):
    """A pair of antennae seen from above, from `root` on the right side of the head, `turn` degrees from the right."""
    art = Art()
    for side in (-1, 1):
        angle = math.radians(turn + one.pose.normal(0, jitter))
        end = np.add(root, (reach * math.cos(angle), reach * math.sin(angle)))
        middle = (np.add(root, end) / 2) + np.array([-math.sin(angle), math.cos(angle)]) * -bow * 0.5
        art += antenna(curve([root, middle, end], 26, closed=False) * (side, 1), one.ink.dark, kind, width, size)
    return art


def clear_wing(one, root, angle, length, deep, veins, crossings, spot=0.0, hind=False, dark_tip=0.0):
    """A translucent wing with its veins, each (share, fall), and cross-veins, each (x, number of the upper vein)."""
    tip = one.span("wing_tip", 0, 0.06)
    outline = curve([
        (0, -0.02), (0.3, -0.1), (0.7, -0.13), (0.95, -0.09), (1.0, 0.02 - tip), (0.93, 0.14), (0.7, 0.22), (0.4, 0.19),
        (0.12, 0.09), (0, 0.02),
    ], 80)  # fmt: skip
    wing = Wing(outline * (1, deep * one.span("wing_width", 0.84, 1.18)), root, angle, length)
    strength = one.span("venation", 0.6, 0.95)
    drawn = wing.veined(veins, crossings, one.ink.dark, one.span("venation", 0.8, 1.5), strength)
    if spot:
        drawn += wing.stigma(one.span("venation", 0.6, 0.68), 0.11, spot, one.ink.dark)
    marks = pigment(one, wing, 0.16 * deep)
    if dark_tip:
        marks += ellipse(*wing.tip, 0.3 * length * dark_tip, 0.3 * length * dark_tip, one.ink.dark, 0.6)
    return membrane(wing, one.ink.membrane, one.span("border", 0.16, 0.42), drawn, one.ink.dark, 0.9, marks)


def pigment(one, wing, width):
    """SVG of the pattern of a translucent wing, which is faint in some species and dark in others."""
    strength = one.span("shade", 0.0, 0.85)
    tinted = Insect(one, one.random, one.pose)
    tinted.ink.pattern = tinted.ink.dark
    drawn = framed(
        PATTERNS[one["pattern"]](tinted) + MARKED[one["mark"]](tinted),
        wing.place([(0.05, 0.04)])[0],
        wing.place([(1.0, 0.04)])[0],
        width * wing.length,
    )
    return f'<g opacity="{strength:.3f}">{drawn}</g>'
