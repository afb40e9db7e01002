"""Wasps, bees, ichneumons and sawflies, from above."""

import numpy as np

from simulation.insects.parts import Art, eye, hair, limb, oval, plate, profile, strokes, tube
from simulation.insects.surfaces import abdomen, clear_wing, feelers, gloss, walking_legs
from simulation.patterns import PATTERNS, framed
from simulation.svg import curve, ellipse, line

WASP_VEINS = ((0.12, 0.1), (0.34, 0.1), (0.5, 0.5), (0.78, 0.5))


def four_wings(one, root, angle, length, deep, spot=0.5, veins=WASP_VEINS):
    """Fore and hind wings of a wasp or bee on both sides."""
    shift = one.span("wing_tip", -0.04, 0.04)
    crossings = [(0.34, 1), (0.46 + shift, 0), (0.56 + shift, 1), (0.68 + shift, 1), (0.78, 0), (0.5 - shift, 2)]
    art = Art()
    for side in (-1, 1):
        swing = angle + one.pose.normal(0, 4)
        hind = clear_wing(
            one,
            np.add(root, (0, 8)),
            swing + one.span("hind_wing", 20, 32),
            0.68 * length,
            0.9 * deep,
            veins[:3],
            [(0.5, 0), (0.4, 1)],
            hind=True,
        )
        fore = clear_wing(one, root, swing, length, deep, veins, crossings, spot, dark_tip=max(0.0, one["border"]))
        art += (hind + fore).moved(f"scale({side},1)")
    return art


def head_above(one, y, wide, deep, eyes, colour=None):
    """A head seen from above, with compound eyes at its sides and three simple eyes between them."""
    art = plate(oval(0, y, wide, deep, 2.4), colour or one.ink.dark, (0.25, 0.65), 0.4, 0.3)
    art += eye(0.72 * wide, y - 0.1 * deep, eyes * wide, 0.85 * deep, one.ink.eyes, 10).both()
    ocelli = [(-1.6, y - 0.1 * deep), (1.6, y - 0.1 * deep), (0, y - 0.1 * deep - 2.4)]
    return art + Art(strokes(ocelli, np.add(ocelli, (0, 0.1)), "#d8c8a0", 1.3))


def wasp_body(one, waist, wide, tail, chest_wide, chest_long, furry, shine):
    """Abdomen on its waist, thorax with shoulders, and head of a wasp or bee; SVG of all from above."""
    chest_low = -22 + chest_long
    spine = np.stack([np.zeros(24), np.linspace(chest_low - 3, tail, 24)], 1)
    swell = profile(waist, max(waist, 0.45 * wide), wide, 0.92 * wide, 0.62 * wide, 0.08 * wide)
    belly = abdomen(one, spine, swell, 6, heights=(0.34, 0.75), gloss=shine, rough=furry)
    if furry > 0.5:
        belly += hair(tube(spine, swell), one.ink.pattern, 4, one.random, 90, 0.7)
    chest = oval(0, -22, chest_wide, chest_long, 2.5)
    collar = line(
        curve(
            [
                (-0.8 * chest_wide, -22 - 0.55 * chest_long),
                (0, -22 - 0.8 * chest_long),
                (0.8 * chest_wide, -22 - 0.55 * chest_long),
            ],
            14,
            False,
        ),
        one.ink.pattern,
        one.span("pattern_scale", 1, 4),
        0.9,
    )
    marks = (
        ""
        if furry > 0.5
        else collar + ellipse(0, -22 + 0.62 * chest_long, 0.4 * chest_wide, 0.16 * chest_long, one.ink.pattern, 0.9)
    )
    marks += line([(0, -22 - chest_long), (0, -22 + chest_long)], one.ink.dark, 0.8, 0.5)
    marks = framed(PATTERNS[one["pattern"]](one), (0, -22 - chest_long), (0, -22 + chest_long), chest_wide) + marks
    trunk = plate(
        chest, one.ink.dark if furry < 0.5 else one.ink.ground, (0.3, 0.85), shine, max(furry, 0.25), marks=marks
    )
    if furry > 0.5:
        trunk += hair(chest, one.ink.light, 5, one.random, 120) + hair(chest, one.ink.pattern, 5, one.random, 50)
    return belly, trunk


def bee(one):
    """A stout, furry bee from above."""
    chest = one.span("thorax", 19, 25)
    belly, trunk = wasp_body(
        one,
        0.7 * chest,
        one.span("taper", 17, 31),
        one.span("elongation", 40, 70),
        chest,
        chest - 1,
        one.span("texture", 0.6, 1.0),
        0.15,
    )
    hips = [(11, -36), (14, -22), (13, -8)]
    art = walking_legs(one, hips, 40, 5.0, (-0.8, 0.2, 0.95)) + feelers(
        one, (5, -56), one.span("antenna_length", 20, 32), "thread", -40, 12, 1.8
    )
    wings = four_wings(one, (13, -28), one.span("wing_width", 26, 48), one.span("wing_length", 54, 78), 1.2, 0.25)
    return (art + belly + trunk + head_above(one, -50, one.span("head", 13, 17), 9, 0.34) + wings).moved(
        "translate(0,4)"
    )


def wasp(one):
    """A wasp from above: bands, a narrow waist, large eyes."""
    chest = one.span("thorax", 13, 18)
    belly, trunk = wasp_body(
        one, 1.8, one.span("taper", 12, 25), one.span("elongation", 52, 86), chest, chest + 5, 0.2, gloss(one, 0.3, 0.8)
    )
    hips = [(8, -36), (10, -22), (9, -8)]
    art = walking_legs(one, hips, 44, 4.2, (-0.8, 0.2, 0.95)) + feelers(
        one, (4, -56), one.span("antenna_length", 28, 46), "thread", -48, 12, 2.0
    )
    wings = four_wings(one, (10, -28), one.span("wing_width", 28, 58), one.span("wing_length", 58, 84), 0.95, 0.3)
    return (art + belly + trunk + head_above(one, -52, one.span("head", 13, 17), 8, 0.36) + wings).moved(
        "translate(0,0)"
    )


def ichneumon(one):
    """A slender wasp from above: long antennae, thin waist, and in females an ovipositor."""
    chest, tail = one.span("thorax", 9, 14), one.span("elongation", 36, 70)
    belly, trunk = wasp_body(one, 1.5, one.span("taper", 7, 15), tail, chest, chest + 8, 0.2, gloss(one, 0.2, 0.7))
    art = walking_legs(one, [(6, -36), (8, -22), (7, -8)], 54, 3.6, (-0.8, 0.25, 1.0))
    if not one.male:
        art += limb(
            curve([(0, tail - 2), (1.5, tail + 14), (0, tail + one.span("antenna_length", 18, 42))], 12, False),
            one.ink.dark,
            1.6,
        )
    wings = four_wings(one, (8, -30), one.span("wing_width", 10, 42), one.span("wing_length", 60, 84), 1.05, 0.7)
    reach = one.span("antenna_length", 46, 70)
    return (
        art
        + wings
        + belly
        + trunk
        + feelers(one, (3, -52), reach, "beaded", -58, 16, 1.3)
        + head_above(one, -49, one.span("head", 10, 13), 7, 0.34)
    ).moved("translate(0,10)")


def sawfly(one):
    """A sawfly from above: no waist, a broad body under the wings."""
    chest = one.span("thorax", 15, 19)
    belly, trunk = wasp_body(
        one,
        0.85 * chest,
        one.span("taper", 0.85, 1.25) * chest,
        one.span("elongation", 44, 80),
        chest,
        chest + 3,
        0.2,
        gloss(one, 0.3, 0.8),
    )
    art = walking_legs(one, [(9, -36), (11, -22), (11, -8)], 40, 4.2, (-0.8, 0.2, 0.95))
    kind = "clubbed" if one["texture"] > 0 else "combed" if one.male else "thread"
    art += feelers(one, (4, -55), one.span("antenna_length", 26, 42), kind, -46, 8, 1.7, 0.9)
    wings = four_wings(one, (11, -28), one.span("wing_width", 28, 60), one.span("wing_length", 62, 86), 1.15, 0.9)
    return (art + belly + trunk + head_above(one, -49, one.span("head", 14, 18), 8, 0.3) + wings).moved(
        "translate(0,2)"
    )
