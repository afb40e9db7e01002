"""Moths and butterflies: two forms with spread wings, one with broad wings and clubbed antennae, and one at rest."""

import numpy as np

from simulation.insects.parts import Wing, eye, hair, oval, plate, profile, tube
from simulation.insects.surfaces import abdomen, feelers, walking_legs, wing_marks
from simulation.insects.traits import Insect
from simulation.svg import curve, ellipse, frill, line, shape


def fore_wing(one, root, angle, length, pointed=0.0):
    """The fore wing of a moth or butterfly."""
    tip, bow = one.span("wing_tip", -0.02, 0.16) + pointed, one.span("taper", 0.02, 0.1)
    deep = one.span("wing_width", 0.78, 1.22)
    outline = curve([
        (0, -0.05), (0.3, -0.13 - bow), (0.65, -0.17 - bow), (0.93, -0.15 - 0.4 * tip), (1.0, -0.06 - 0.3 * tip),
        (0.95 - 0.35 * tip, 0.12), (0.88 - 0.3 * tip, 0.32), (0.74 - 0.2 * tip, 0.44), (0.45, 0.32), (0.12, 0.14), (0, 0.05),
    ], 110)  # fmt: skip
    return Wing(outline * (1, deep), root, angle, length)


def hind_wing(one, root, angle, length):
    """The hind wing of a moth or butterfly, in some species with a tail."""
    long, deep = one.span("hind_wing", 0.85, 1.12), one.span("wing_width", 0.82, 1.18)
    tail = max(0.0, one["wing_tip"] - 0.7) * 0.22
    outline = curve([
        (0, -0.06), (0.3, -0.26), (0.7, -0.32), (0.96, -0.12), (1.0, 0.14), (0.9 + tail, 0.34 + tail), (0.72, 0.44),
        (0.45, 0.5), (0.18, 0.4), (0, 0.1),
    ], 100)  # fmt: skip
    return Wing(outline * (long, deep), root, angle, length)


def scaled_wing(one, wing, hem, depth=3.2, dim=False, heights=(0.1, 0.24)):
    """A wing covered with scales: its ground, pattern, veins, fringe, and where it is worn, gaps in the margin."""
    waves = 6 + round(one.span("venation", 0, 5))
    outline = frill(wing.place(wing.outline), one["margin"], one.span("taper", 0.5, 1.2) * depth, waves, hem)
    wear = one.get("wear", 0.0)
    if wear > 0.35:  # birds and twigs tear pieces out of the margin
        for at in one.random.integers(hem.start, hem.stop - 6, 1 + int(3 * wear)):
            middle = outline[at : at + 7].mean(0)
            outline[at + 1 : at + 6] += (wing.place([(0.4, 0.1)])[0] - middle) * one.random.uniform(
                0.08, 0.3 * wear + 0.09
            )
    deep = wing.length * np.abs(wing.outline[:, 1]).max() * 0.95
    marks = wing_marks(one, outline, hem, wing.place([(0.02, 0.06)])[0], wing.place([(1.0, 0.1)])[0], deep)
    veins = wing.veined(
        [(s, 0.25 * s) for s in np.linspace(0.1, 0.95, 7)], [], one.ink.dark, 0.8, one.span("venation", 0.1, 0.5)
    )
    shade = shape(outline, one.ink.dark, 0.22) if dim else ""
    root = ellipse(*wing.place([(0.05, 0.05)])[0], 0.3 * wing.length, 0.3 * wing.length, one.ink.dark, 0.25)
    return plate(
        outline, one.ink.ground, heights, 0.04 + 0.2 * max(0.0, one.span("gloss", -0.5, 1)), one.span("texture", 0.25, 1.0),
        one.ink.dark, 0.8, root + marks + veins + shade,
    )  # fmt: skip


def furry_trunk(one, wide, long, tail):
    """Head, furry thorax and abdomen of a moth, from above."""
    spine = np.stack([np.zeros(24), np.linspace(-12, tail, 24)], 1)
    art = abdomen(
        one,
        spine,
        profile(0.8 * wide, 0.85 * wide, 0.7 * wide, 0.25 * wide),
        8,
        heights=(0.2, 0.6),
        gloss=0.05,
        rough=0.7,
    )
    art += hair(
        tube(spine, profile(0.8 * wide, 0.85 * wide, 0.7 * wide, 0.2 * wide)), one.ink.light, 3, one.random, 40, 0.4
    )
    chest = oval(0, -24, wide, long, 2.4)
    art += plate(oval(0, -24 - long - 2, 0.55 * wide, 5.5), one.ink.dark, (0.2, 0.6), 0.1, 0.6)
    art += eye(0.5 * wide, -26 - long, 2.9, 3.2, one.ink.eyes, 0, False).both()
    art += plate(
        chest,
        one.ink.ground,
        (0.3, 0.85),
        0.05,
        0.9,
        marks=ellipse(0, -24, 0.5 * wide, 0.8 * long, one.ink.pattern, 0.5),
    )
    return art + hair(chest, one.ink.light, 4, one.random, 60) + hair(chest, one.ink.dark, 4, one.random, 40)


def moth_antennae(one, y, combed):
    """Antennae of a moth; males of some forms have combs."""
    size = one.span("antenna_length", 0.7, 1.5) * (1.0 if one.male else 0.35)
    reach = one.span("antenna_length", 30, 54)
    return feelers(one, (3, y), reach, "combed" if combed else "thread", -48, 10, 1.3, size)


def geometer(one):
    """A moth with spread wings, slender, from above."""
    open_by = one.pose.normal(0, 3)
    length, drop = one.span("wing_length", 82, 98), one.span("wing_tip", -6, 12) + open_by
    fore, back = fore_wing(one, (5, -26), -12 + drop, length), hind_wing(one, (4, -14), 42 + drop, 0.72 * length)
    wings = scaled_wing(one, back, slice(30, 78), dim=True) + scaled_wing(one, fore, slice(38, 74))
    trunk = furry_trunk(one, one.span("thorax", 7, 10), one.span("thorax", 12, 15), one.span("elongation", 34, 52))
    return (wings.both() + moth_antennae(one, -44, one["texture"] > -0.3) + trunk).moved("translate(0,8)")


def owlet(one):
    """A moth at rest, from above: the fore wings lie like a roof over the rest."""
    length = one.span("wing_length", 108, 132)
    half = one.span("wing_width", 64, 74) + one.pose.normal(0, 1.5)
    wide, long = one.span("thorax", 15, 22), one.span("thorax", 17, 21)
    art = walking_legs(one, [(9, -44), (14, -26), (14, -10)], 30, 3.4, (-1.05, -0.25, 0.3), shares=(1, 0.9, 0.5))
    art += moth_antennae(one, -60, one["texture"] > 0.4)
    for side in (-1, 1):
        wing = fore_wing(one, (0.55 * wide, -42), half, length, 0.02)
        art += scaled_wing(one, wing, slice(38, 74), 2, heights=(0.2, 0.62)).moved(f"scale({side},1)")
    chest = oval(0, -40, wide, long, 2.5)
    art += plate(oval(0, -44 - long, 0.5 * wide, 7), one.ink.ground, (0.3, 0.7), 0.05, 0.9)
    art += eye(0.47 * wide, -45 - long, 3.2, 3.4, one.ink.eyes, 0, False).both()
    collar = line(
        curve([(-0.8 * wide, -46), (0, -50 - 0.3 * long), (0.8 * wide, -46)], 20, closed=False), one.ink.dark, 2.2, 0.7
    )
    art += plate(
        chest,
        one.ink.ground,
        (0.4, 0.95),
        0.04,
        1.0,
        marks=ellipse(0, -30, 0.4 * wide, 13, one.ink.pattern, 0.6) + collar,
    )
    return art + hair(chest, one.ink.light, 4.5, one.random, 70) + hair(chest, one.ink.dark, 4, one.random, 50)


def butterfly(one):
    """A butterfly with spread wings, from above: broad wings and clubbed antennae."""
    open_by = one.pose.normal(0, 3)
    length, lift = one.span("wing_length", 84, 98), one.span("elongation", -44, -30) + open_by
    fore, back = fore_wing(one, (4, -18), lift, length), hind_wing(one, (3, -8), 46 + 0.5 * open_by, 0.78 * length)
    wings = scaled_wing(one, back, slice(28, 80), 4) + scaled_wing(one, fore, slice(38, 74), 4)
    reach = one.span("antenna_length", 34, 52)
    art = wings.both() + feelers(one, (2, -40), reach, "clubbed", -64, 6, 1.2, one.span("antenna_length", 0.8, 1.2))
    trunk = furry_trunk(one, one.span("thorax", 5.5, 7.5), 14, one.span("hind_wing", 34, 48))
    return (art + trunk).moved("translate(0,14)")


def hawkmoth(one):
    """A moth with narrow wings and a stout body, pointed at the end."""
    length, drop = one.span("wing_length", 90, 104), one.span("elongation", 14, 38) + one.pose.normal(0, 3)
    narrow = Insect(one | {"wing_width": one["wing_width"] - 1.6}, one.random, one.pose)
    fore, back = (
        fore_wing(narrow, (8, -26), drop - 12, length, 0.1),
        hind_wing(one, (6, -12), 52 + 0.5 * drop, 0.52 * length),
    )
    wings = scaled_wing(one, back, slice(30, 78), dim=True) + scaled_wing(narrow, fore, slice(38, 76))
    wide = one.span("thorax", 12, 16)
    art = wings.both() + moth_antennae(one, -46, False)
    return (art + furry_trunk(one, wide, 19, one.span("hind_wing", 58, 80))).moved("translate(0,6)")
