"""Traits of insects, their orders, and the colours that traits stand for.

A trait is a number on the scale of the evolutionary model, with a standard deviation of about 1 between species.
"""

import math
from types import SimpleNamespace

import numpy as np

from simulation.patterns import PATTERNS
from simulation.svg import css

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
    "order": tuple(ORDERS),
    "form": tuple(form for forms in ORDERS.values() for form in forms),
    "pattern": tuple(PATTERNS),
    "mark": MARKS,
    "margin": ("entire", "scalloped", "toothed"),
    "sculpture": ("smooth", "furrowed", "pitted"),
}

# Hues in degrees at even steps of the trait, ranges of saturation and lightness, greatest difference to the hue of the pattern
PALETTES = {
    "Odonata": ((2, 15, 35, 60, 100, 165, 195, 215), (0.25, 0.7), (0.26, 0.5), 45),
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


def colours(one):
    """The colours of an individual: ground, pattern, accent, a darker and a lighter ground, legs, eyes and wing membrane."""
    hues, saturations, lightnesses, apart = PALETTES.get(one["form"], PALETTES[one["order"]])
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
