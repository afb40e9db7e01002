"""Flies, from above: one pair of wings, halteres, large eyes."""

import numpy as np

from simulation.insects.parts import eye, hair, limb, lines, oval, plate, profile
from simulation.insects.surfaces import abdomen, clear_wing, gloss, walking_legs
from simulation.patterns import PATTERNS, framed
from simulation.svg import line

FLY_VEINS = ((0.12, 0.02), (0.24, 0.06), (0.4, 0.1), (0.56, 0.3), (0.76, 0.6))


def fly(one, belly, chest, head, wings, legs, furry=0.2, shine=0.4):
    """A fly from above.

    `belly` is (half width in front, greatest half width, end), `chest` and `head` (half width, half length), `wings` (angle,
    length, depth), `legs` (reach, thickness); `furry` and `shine` are from 0 to 1.
    """
    waist, wide, tail = belly
    chest_wide, chest_long = chest
    spine = np.stack([np.zeros(24), np.linspace(-26 + 0.7 * chest_long, tail, 24)], 1)
    swell = profile(waist, 0.8 * wide, wide, 0.85 * wide, 0.15 * wide)
    reach, thick = legs
    hips = [
        (0.5 * chest_wide, -26 - 0.5 * chest_long),
        (0.7 * chest_wide, -26),
        (0.6 * chest_wide, -26 + 0.6 * chest_long),
    ]
    art = walking_legs(one, hips, reach, thick, (-0.85, 0.2, 0.95))
    art += abdomen(one, spine, swell, 5, heights=(0.34, 0.75), gloss=shine, rough=furry)
    halter = [(0.9 * chest_wide, -26 + 0.75 * chest_long), (1.25 * chest_wide, -26 + 0.95 * chest_long)]
    art += (limb(halter, one.ink.light, 1.2) + limb([halter[1]] * 2, one.ink.light, 3.4)).both()
    box = oval(0, -26, chest_wide, chest_long, 2.6)
    rows = [
        [(s * chest_wide, -26 - chest_long), (s * chest_wide, -26 + 0.8 * chest_long)] for s in (-0.5, -0.17, 0.17, 0.5)
    ]
    marks = lines(
        rows,
        one.ink.light if one["pattern_place"] > 0 else one.ink.dark,
        one.span("pattern_scale", 0.6, 3.4),
        one.span("pattern_strength", 0.1, 0.8),
    )
    marks += line([(-chest_wide, -25), (chest_wide, -25)], one.ink.dark, 0.9, 0.6)
    marks = framed(PATTERNS[one["pattern"]](one), (0, -26 - chest_long), (0, -26 + chest_long), chest_wide) + marks
    art += plate(box, one.ink.ground, (0.3, 0.85), shine, max(furry, 0.25), marks=marks)
    lobe = oval(0, -26 + 0.98 * chest_long, 0.5 * chest_wide, 0.3 * chest_long)
    art += plate(lobe, one.ink.ground if one["head"] > 0 else one.ink.light, (0.3, 0.7), shine)
    art += hair(box, one.ink.light if furry > 0.5 else "#0a0806", 3 + 3 * furry, one.random, 40 + int(80 * furry), 0.7)
    angle, length, deep = wings
    for side in (-1, 1):
        swing = angle + one.pose.normal(0, 3)
        shift = one.span("hind_wing", -0.08, 0.08)
        wing = clear_wing(
            one,
            (0.8 * chest_wide, -32),
            swing,
            length,
            deep,
            FLY_VEINS,
            [(0.42 + shift, 2), (0.66 - shift, 3), (0.36, 3)],
            dark_tip=max(0.0, one["border"] - 0.4),
        )
        art += wing.moved(f"scale({side},1)")
    wide, deep = head
    y = -26 - chest_long - 0.55 * deep
    apart = 0.12 if one.male else 0.34  # the eyes of males touch
    art += plate(oval(0, y, 0.8 * wide, deep), one.ink.light, (0.2, 0.5), 0.2, 0.3)
    art += eye(wide * (0.44 + 0.3 * apart), y, wide * (0.5 - 0.2 * apart), deep, one.ink.eyes, 14).both()
    return (
        art
        + (
            limb([(1.5, y - 0.9 * deep), (4, y - 1.35 * deep)], one.ink.dark, 2.6)
            + limb([(4, y - 1.3 * deep), (8, y - 1.7 * deep)], one.ink.dark, 0.8)
        ).both()
    )


def hoverfly(one):
    """A fly with a flat, banded abdomen and large eyes."""
    return fly(
        one,
        (9, one.span("taper", 13, 28), one.span("elongation", 42, 80)),
        (one.span("thorax", 14, 22), 18),
        (one.span("eyes", 15, 20), 9),
        (one.span("wing_width", 22, 54), one.span("wing_length", 60, 88), 1.1),
        (34, 3.6),
        one.span("texture", 0.1, 0.7),
        gloss(one, 0.3, 0.8),
    ).moved("translate(0,6)")


def blowfly(one):
    """A stout, bristly, often metallic fly."""
    return fly(
        one,
        (14, one.span("taper", 18, 30), one.span("elongation", 36, 62)),
        (one.span("thorax", 18, 27), 22),
        (one.span("eyes", 16, 21), 9.5),
        (one.span("wing_width", 36, 66), one.span("wing_length", 60, 86), 1.25),
        (42, 4.6),
        one.span("texture", 0.1, 0.3),
        gloss(one, 0.4, 1.0),
    ).moved("translate(0,8)")


def cranefly(one):
    """A gnat with very long legs and narrow wings."""
    return fly(
        one,
        (5, one.span("taper", 5, 10), one.span("elongation", 52, 84)),
        (one.span("thorax", 9, 14), 14),
        (one.span("eyes", 7, 10), 7),
        (one.span("wing_width", 4, 46), one.span("wing_length", 64, 90), 0.95),
        (one.span("leg_length", 66, 90), 2.2),
        0.2,
        0.2,
    ).moved("translate(0,2)")


def robberfly(one):
    """A long, bristly hunter with strong legs."""
    return fly(
        one,
        (11, one.span("taper", 8, 16), one.span("elongation", 60, 88)),
        (one.span("thorax", 15, 19), 21),
        (one.span("eyes", 12, 15), 7),
        (one.span("wing_width", 40, 74), one.span("wing_length", 60, 90), 0.95),
        (48, 5.4),
        one.span("texture", 0.4, 0.9),
        gloss(one, 0.1, 0.5),
    ).moved("translate(0,0)")
