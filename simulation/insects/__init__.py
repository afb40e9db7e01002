"""Drawings of insects from their traits: seven orders, each with a body plan and four forms that its families share.

A body fills the box from -100 to 100; the y axis points down. Insects seen from above have the head up, those seen from the
side have it on the left. parts.py has the pieces of which all are made.
"""

from simulation.insects.beetles import ground_beetle, ladybird, longhorn, weevil
from simulation.insects.bugs import assassin, cicada, plantbug, shieldbug
from simulation.insects.dragonflies import damselfly, demoiselle, hawker, skimmer
from simulation.insects.flies import blowfly, cranefly, hoverfly, robberfly
from simulation.insects.grasshoppers import bushcricket, cricket, grasshopper, groundhopper
from simulation.insects.moths import butterfly, geometer, hawkmoth, owlet
from simulation.insects.traits import (
    CHARACTERS,
    COLOUR_TRAITS,
    MARKS,
    ORDERS,
    PALETTES,
    SHAPE_TRAITS,
    SHARES,
    SIDE_VIEWS,
    ZOOMS,
    Insect,
)
from simulation.insects.wasps import bee, ichneumon, sawfly, wasp

__all__ = ["CHARACTERS", "COLOUR_TRAITS", "FORMS", "MARKS", "ORDERS", "PALETTES", "SHAPE_TRAITS", "SHARES", "draw", "thorax"]

FORMS = {
    "skimmer": skimmer, "hawker": hawker, "damselfly": damselfly, "demoiselle": demoiselle,
    "grasshopper": grasshopper, "bush-cricket": bushcricket, "cricket": cricket, "groundhopper": groundhopper,
    "shieldbug": shieldbug, "plantbug": plantbug, "cicada": cicada, "assassin": assassin,
    "bee": bee, "wasp": wasp, "ichneumon": ichneumon, "sawfly": sawfly,
    "ground beetle": ground_beetle, "ladybird": ladybird, "longhorn": longhorn, "weevil": weevil,
    "geometer": geometer, "owlet": owlet, "butterfly": butterfly, "hawkmoth": hawkmoth,
    "hoverfly": hoverfly, "blowfly": blowfly, "cranefly": cranefly, "robberfly": robberfly,
}  # fmt: skip


def draw(traits, random, pose):
    """Art of an insect with the given traits (all of SHAPE_TRAITS, COLOUR_TRAITS and CHARACTERS; sex and wear)."""
    one = Insect(traits, random, pose)
    zoom = ZOOMS[traits["order"]] * one.span("size", 0.86, 1.06)
    return FORMS[traits["form"]](one).moved(f"scale({zoom:.4f})")


def thorax(form):
    """Where a collector puts the pin: (x, y)."""
    return (-42, -4) if form in SIDE_VIEWS else (0, -26)
