"""Drawings of insects from their traits: seven orders, each with a body plan and four forms that its families share.

A trait is a number on the scale of the evolutionary model, with a standard deviation of about 1 between species. `span` maps it
to the length, angle or colour that is drawn. A body fills the box from -100 to 100; the y axis points down. Insects seen from
above have the head up, those seen from the side have it on the left.
"""

import math
from types import SimpleNamespace

import numpy as np

from simulation.insect_parts import (
    Art,
    Wing,
    antenna,
    eye,
    hair,
    leg,
    limb,
    lines,
    membrane,
    oval,
    plate,
    profile,
    rings,
    strokes,
    tube,
)
from simulation.patterns import PATTERNS, framed
from simulation.svg import clipped, css, curve, ellipse, frill, line, shape

SHAPE_TRAITS = (
    "size", "elongation", "taper", "wing_length", "wing_width", "wing_tip", "hind_wing", "head", "eyes", "thorax",
    "antenna_length", "leg_length", "venation", "texture",
)  # fmt: skip
COLOUR_TRAITS = (
    "hue", "second_hue", "saturation", "lightness", "pattern_scale", "pattern_place", "pattern_strength", "border", "shade",
    "gloss",
)  # fmt: skip
# The orders as they branch off one after the other (Misof et al. 2014, Science 346:763-767), and their forms
ORDERS = {
    "Odonata": ("skimmer", "hawker", "damselfly", "demoiselle"),
    "Orthoptera": ("grasshopper", "bush-cricket", "cricket", "groundhopper"),
    "Hemiptera": ("shieldbug", "plantbug", "cicada", "assassin"),
    "Hymenoptera": ("bee", "wasp", "ichneumon", "sawfly"),
    "Coleoptera": ("ground beetle", "ladybird", "longhorn", "weevil"),
    "Lepidoptera": ("geometer", "owlet", "butterfly", "hawkmoth"),
    "Diptera": ("hoverfly", "blowfly", "cranefly", "robberfly"),
}
SHARES = {  # of the species: large orders have more
    "Odonata": 0.1, "Orthoptera": 0.1, "Hemiptera": 0.13, "Hymenoptera": 0.15, "Coleoptera": 0.2, "Lepidoptera": 0.18,
    "Diptera": 0.14,
}  # fmt: skip
SIDE_VIEWS = ("damselfly", "demoiselle", *ORDERS["Orthoptera"])  # the other forms are seen from above
ZOOMS = {  # so that all orders fill the picture
    "Odonata": 1.0, "Orthoptera": 1.2, "Hemiptera": 1.12, "Hymenoptera": 1.2, "Coleoptera": 1.14, "Lepidoptera": 1.0,
    "Diptera": 1.18,
}  # fmt: skip
MARKS = ("none", "stigma", "zigzag", "dots", "patch")
CHARACTERS = {
    "body_plan": tuple(ORDERS),
    "form": tuple(form for forms in ORDERS.values() for form in forms),
    "pattern": tuple(PATTERNS),
    "mark": MARKS,
    "margin": ("entire", "scalloped", "toothed"),
    "sculpture": ("smooth", "furrowed", "pitted"),
}

# Hues in degrees at even steps of the trait, ranges of saturation and of lightness, greatest difference to the hue of the pattern
PALETTES = {
    "Odonata": ((2, 15, 35, 60, 100, 165, 195, 215), (0.25, 0.7), (0.26, 0.5), 60),
    "Orthoptera": ((18, 26, 32, 40, 54, 70, 84, 96), (0.15, 0.45), (0.26, 0.5), 24),
    "Hemiptera": ((2, 14, 24, 32, 42, 58, 74, 96), (0.2, 0.6), (0.2, 0.46), 30),
    "Hymenoptera": ((8, 18, 26, 32, 38, 42, 46, 50), (0.15, 0.7), (0.1, 0.34), 14),
    "Coleoptera": ((0, 12, 20, 28, 38, 52, 120, 195), (0.2, 0.75), (0.12, 0.42), 26),
    "Lepidoptera": ((8, 18, 24, 28, 32, 38, 46, 58), (0.08, 0.45), (0.24, 0.7), 16),
    "butterfly": ((4, 14, 20, 26, 34, 42, 50, 58), (0.3, 0.8), (0.26, 0.75), 24),
    "Diptera": ((16, 24, 30, 34, 40, 52, 110, 200), (0.1, 0.45), (0.12, 0.34), 22),
}


class Insect(dict):
    """Traits of one insect by name, with its colours (`ink`).

    `random` draws what differs between individuals, `pose` what differs between photographs.
    """

    def __init__(self, traits, random, pose):
        super().__init__(traits)
        self.random, self.pose = random, pose
        self.male = traits.get("sex") == "male"
        self.ink = colours(self)

    def span(self, trait, low, high):
        """Map a trait to the interval from `low` to `high` by its normal quantile, so that species fill it evenly."""
        return low + (high - low) * 0.5 * (1 + math.erf(self[trait] / math.sqrt(2)))


def draw(traits, random, pose):
    """Art of an insect with the given traits (all of SHAPE_TRAITS, COLOUR_TRAITS and CHARACTERS; sex and wear)."""
    one = Insect(traits, random, pose)
    zoom = ZOOMS[traits["body_plan"]] * one.span("size", 0.86, 1.06)
    return FORMS[traits["form"]](one).moved(f"scale({zoom:.4f})")


def thorax(form):
    """Where a collector puts the pin: (x, y)."""
    return (-42, -4) if form in SIDE_VIEWS else (0, -26)


def colours(one):
    """The colours of an individual: ground, pattern, accent, a darker and a lighter ground, legs, eyes and wing membrane."""
    hues, saturations, lightnesses, apart = PALETTES.get(one["form"], PALETTES[one["body_plan"]])
    hue = float(np.interp(one.span("hue", 0, len(hues) - 1), range(len(hues)), hues))
    fade = one.get("wear", 0.0)  # old scales and old cuticle are paler
    saturation = one.span("saturation", *saturations) * (1 - 0.4 * fade)
    lightness = one.span("lightness", *lightnesses) * (1 - 0.25 * fade) + 0.25 * fade * 0.6
    other = hue + one.span("second_hue", -apart, apart)
    step = 0.36 if lightness < 0.46 else -0.36
    return SimpleNamespace(
        ground=css(hue, saturation, lightness),
        pattern=css(
            other, saturation * 0.95, lightness + step * one.span("pattern_strength", 0.5, 1.1) * (1 - 0.4 * fade)
        ),
        accent=css(hue - 2 * (other - hue), saturation + 0.1, 0.5 - 0.3 * step),
        dark=css(hue, saturation * 0.7, lightness * 0.36),
        light=css(hue, saturation * 0.6, lightness + (1 - lightness) * 0.45),
        legs=css(hue - 4, saturation * 0.7, one.span("second_hue", 0.1, 0.32)),
        eyes=css(one.span("eyes", -10, 34), 0.45, one.span("second_hue", 0.1, 0.3)),
        membrane=css(one.span("second_hue", 20, 60), 0.24, 0.58),
    )


# ------------------------------------------------------------------------------------------------------------ surfaces


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
    return drawn + shape(kidney + (x + 0.08, 0.02), one.ink.light, 0.9, one.ink.dark, 0.025)


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
    return shape(blotch + (x, -0.45), one.ink.accent, 0.85)


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


# --------------------------------------------------------------------------------------------- moths and butterflies


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
        (0, -0.06), (0.3, -0.26), (0.7, -0.32), (0.96, -0.12), (1.0, 0.14), (0.9 + tail, 0.34 + tail), (0.72, 0.44), (0.45, 0.5),
        (0.18, 0.4), (0, 0.1),
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


# -------------------------------------------------------------------------------------------------------------- beetles


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
    rows = [np.stack([s * np.interp(np.linspace(0, 1, 16), (0, 0.4, 1), (shoulder, half, 0.5 * half)), np.linspace(top + 3, low - 3, 16)], 1)
            for s in np.linspace(0.13, 0.9, 5 + round(one.span("venation", 0, 3)))]  # fmt: skip
    strength = one.span("texture", 0.35, 1.0)
    if one["sculpture"] == "furrowed":
        marks = lines(rows, one.ink.dark, 1.1, 0.6 * strength)
        relief = Art("", clipped(case, lines(rows, "#303000", 1.8, 0.5 * strength)))
    if one["sculpture"] == "pitted":
        pits = np.concatenate(rows)
        marks = strokes(pits, pits + (0, 0.1), one.ink.dark, 1.3, 0.5 * strength)
        relief = Art("", clipped(case, strokes(pits, pits + (0, 0.1), "#202000", 1.8, 0.4 * strength)))
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
    spots = "".join(
        ellipse(s * 0.6 * middle, y + 0.5 * long, 0.16 * middle, 0.22 * long, one.ink.pattern, 0.9) for s in (-1, 1)
    )
    marks = spots if one["mark"] in ("dots", "patch") else line([(0, y), (0, top)], one.ink.dark, 1.2, 0.6)
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
    return beetle(one, half, one.span("elongation", 70, 88), 1, 0.82 * half, one.span("taper", 0.7, 1.1), shape_of,
                  (one.span("head", 11, 16), 10), "thread", one.span("antenna_length", 34, 54), 4.4, 40)  # fmt: skip


def ladybird(one):
    """A round dome with short legs; spots and patches."""
    half, low = one.span("elongation", 62, 48), one.span("elongation", 62, 70)
    middle = half * one.span("thorax", 0.64, 0.76)
    return beetle(one, half, low, -4, 0.86 * half, one.span("taper", 0.62, 0.82), (0.7 * middle, middle, 0.96 * middle, 20),
                  (one.span("head", 15, 19), 8), "clubbed", one.span("antenna_length", 12, 22), 4.2, 17)  # fmt: skip


def longhorn(one):
    """Parallel sides and antennae that are longer than the body."""
    half = one.span("elongation", 27, 20)
    middle = half * one.span("thorax", 0.66, 0.85)
    reach = one.span("antenna_length", 64, 100) * (1.12 if one.male else 0.92)
    return beetle(one, half, one.span("elongation", 78, 92), 0, 0.98 * half, one.span("taper", 0.8, 1.2),
                  (0.7 * middle, middle, 0.74 * middle, one.span("head", 20, 27)), (0.62 * middle, 11), "beaded", reach, 4.2, 34,
                  turn=-28)  # fmt: skip


def weevil(one):
    """A snout with elbowed antennae, pear-shaped wing cases, pits."""
    half, low = one.span("elongation", 46, 32), one.span("elongation", 66, 78)
    rear = half * one.span("thorax", 0.58, 0.74)
    return beetle(one, half, low, 0, 0.84 * half, one.span("taper", 0.6, 0.95), (0.55 * rear, rear, 0.95 * rear, 27),
                  (0.4 * rear + 2, 7), "clubbed", one.span("antenna_length", 20, 32), 5.4, 27, snout=one.span("head", 20, 40),
                  turn=-34)  # fmt: skip


# ------------------------------------------------------------------------------------------------------- wasps and bees


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
    dots = [(-1.6, y - 0.1 * deep), (1.6, y - 0.1 * deep), (0, y - 0.1 * deep - 2.4)]
    return art + Art(strokes(dots, np.add(dots, (0, 0.1)), "#d8c8a0", 1.3))


def wasp_body(one, waist, wide, tail, chest_wide, chest_long, furry, shine):
    """Abdomen on its waist, thorax with shoulders, and head of a wasp or bee; SVG of all from above."""
    chest_low = -22 + chest_long
    spine = np.stack([np.zeros(24), np.linspace(chest_low - 3, tail, 24)], 1)
    swell = profile(waist, max(waist, 0.45 * wide), wide, 0.92 * wide, 0.62 * wide, 0.08 * wide)
    belly = abdomen(one, spine, swell, 6, heights=(0.34, 0.75), gloss=shine, rough=furry)
    if furry > 0.5:
        belly += hair(tube(spine, swell), one.ink.pattern, 4, one.random, 90, 0.7)
    chest = oval(0, -22, chest_wide, chest_long, 2.5)
    collar = line(curve([(-0.8 * chest_wide, -22 - 0.55 * chest_long), (0, -22 - 0.8 * chest_long), (0.8 * chest_wide, -22 - 0.55 * chest_long)], 14, False),
                  one.ink.pattern, one.span("pattern_scale", 1, 4), 0.9)  # fmt: skip
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


# ---------------------------------------------------------------------------------------------------------------- flies

FLY_VEINS = ((0.12, 0.02), (0.24, 0.06), (0.4, 0.1), (0.56, 0.3), (0.76, 0.6))


def fly(one, belly, chest, head, wings, legs, furry=0.2, shine=0.4):
    """A fly from above. `belly` (waist, width, end), `chest` (half width, half length), `head` (half width, half length), `wings`
    (angle, length, depth), `legs` (reach, thickness)."""
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
    stripes = [
        [(s * chest_wide, -26 - chest_long), (s * chest_wide, -26 + 0.8 * chest_long)] for s in (-0.5, -0.17, 0.17, 0.5)
    ]
    marks = lines(
        stripes,
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
        wing = clear_wing(one, (0.8 * chest_wide, -32), swing, length, deep, FLY_VEINS, [(0.42 + shift, 2), (0.66 - shift, 3), (0.36, 3)],
                          dark_tip=max(0.0, one["border"] - 0.4))  # fmt: skip
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
    return fly(one, (9, one.span("taper", 13, 28), one.span("elongation", 42, 80)), (one.span("thorax", 14, 22), 18),
               (one.span("eyes", 15, 20), 9), (one.span("wing_width", 22, 54), one.span("wing_length", 60, 88), 1.1), (34, 3.6),
               one.span("texture", 0.1, 0.7), gloss(one, 0.3, 0.8)).moved("translate(0,6)")  # fmt: skip


def blowfly(one):
    """A stout, bristly, often metallic fly."""
    return fly(one, (14, one.span("taper", 18, 30), one.span("elongation", 36, 62)), (one.span("thorax", 18, 27), 22),
               (one.span("eyes", 16, 21), 9.5), (one.span("wing_width", 36, 66), one.span("wing_length", 60, 86), 1.25), (42, 4.6),
               one.span("texture", 0.1, 0.3), gloss(one, 0.4, 1.0)).moved("translate(0,8)")  # fmt: skip


def cranefly(one):
    """A gnat with very long legs and narrow wings."""
    return fly(one, (5, one.span("taper", 5, 10), one.span("elongation", 52, 84)), (one.span("thorax", 9, 14), 14),
               (one.span("eyes", 7, 10), 7), (one.span("wing_width", 4, 46), one.span("wing_length", 64, 90), 0.95),
               (one.span("leg_length", 66, 90), 2.2), 0.2, 0.2).moved("translate(0,2)")  # fmt: skip


def robberfly(one):
    """A long, bristly hunter with strong legs."""
    return fly(one, (11, one.span("taper", 8, 16), one.span("elongation", 60, 88)), (one.span("thorax", 15, 19), 21),
               (one.span("eyes", 12, 15), 7), (one.span("wing_width", 40, 74), one.span("wing_length", 60, 90), 0.95), (48, 5.4),
               one.span("texture", 0.4, 0.9), gloss(one, 0.1, 0.5)).moved("translate(0,0)")  # fmt: skip


# ----------------------------------------------------------------------------------------------------------------- bugs


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
    dotted = strokes(pits, pits + (0, 0.1), one.ink.dark, 1.1, one.span("texture", 0.1, 0.8))
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
    return bug(one, half, one.span("elongation", 58, 76), 1.02 * half, (0.46 * half, one.span("thorax", 22, 28)),
               (0.55 * half, one.span("taper", 14, 40)), (one.span("head", 11, 15), 11), one.span("antenna_length", 30, 48), 24, 3.8,
               max(0.0, 11 * one["wing_tip"])).moved("translate(0,4)")  # fmt: skip


def plantbug(one):
    """A slender, soft bug with long antennae."""
    half = one.span("elongation", 31, 21)
    return bug(one, half, one.span("elongation", 70, 88), 0.86 * half, (0.42 * half, one.span("thorax", 17, 22)),
               (0.42 * half, one.span("taper", -16, -4)), (one.span("head", 8, 11), 9), one.span("antenna_length", 52, 78), 36, 2.9
               ).moved("translate(0,6)")  # fmt: skip


def assassin(one):
    """A hunter with a narrow head, a waisted pronotum and a broad flat abdomen."""
    half = one.span("elongation", 40, 26)
    return bug(one, half, one.span("elongation", 70, 86), one.span("thorax", 0.5, 0.72) * half, (0.3 * half, 26),
               (0.3 * half, one.span("taper", -14, 0)), (one.span("head", 6, 8), 14), one.span("antenna_length", 40, 62), 46, 3.8,
               max(0.0, 7 * one["wing_tip"])).moved("translate(0,8)")  # fmt: skip


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


# ---------------------------------------------------------------------------------------------------------- dragonflies


def net_wing(one, root, angle, length, deep, hind=False):
    """A wing of a dragonfly: a dense net of veins, nodus and pterostigma, in some species dark patches."""
    base = one.span("hind_wing", 0.15, 0.34) if hind else 0.1
    outline = curve([
        (0, -0.02), (0.25, -0.075), (0.5, -0.085), (0.8, -0.08), (0.96, -0.05), (1.0, 0.03), (0.9, 0.1), (0.6, 0.13 + 0.2 * base),
        (0.25, 0.09 + 0.42 * base), (0.06, 0.05 + 0.2 * base), (0, 0.02),
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


# --------------------------------------------------------------------------------------------------------- grasshoppers


def hopper(one, deep, wing_end, feeler, reach, thigh, shin, slant, blade=0.0):
    """A grasshopper or cricket from the side, the head on the left. `deep` is the depth of its body, `thigh` and `shin` are the
    lengths of the hind leg, `blade` that of the ovipositor."""
    far, near = side_legs(one, [(-46, 8), (-30, 10), (-14, 10)], 44, 4.2, shares=(0.85, 0.85, 0.1), reach=26)
    body = curve([(-52, -6), (0, -6), (one.span("elongation", 46, 70), 2)], 26, closed=False)
    art = far + abdomen(
        one,
        body + (0, 4),
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
        tail = [end + (0.5 * reach, -0.02 * reach)] if feeler == "long" else []
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
    art += Art(strokes(spines, spines + (4, -1), one.ink.dark, 0.9)) + limb(
        [ankle, ankle + (8, 1), ankle + (13, 1)], one.ink.legs, 1.8
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


FORMS = {
    "skimmer": skimmer, "hawker": hawker, "damselfly": damselfly, "demoiselle": demoiselle,
    "grasshopper": grasshopper, "bush-cricket": bushcricket, "cricket": cricket, "groundhopper": groundhopper,
    "shieldbug": shieldbug, "plantbug": plantbug, "cicada": cicada, "assassin": assassin,
    "bee": bee, "wasp": wasp, "ichneumon": ichneumon, "sawfly": sawfly,
    "ground beetle": ground_beetle, "ladybird": ladybird, "longhorn": longhorn, "weevil": weevil,
    "geometer": geometer, "owlet": owlet, "butterfly": butterfly, "hawkmoth": hawkmoth,
    "hoverfly": hoverfly, "blowfly": blowfly, "cranefly": cranefly, "robberfly": robberfly,
}  # fmt: skip
