"""Patterns of wings and bodies, as SVG in coordinates of their own.

x runs from 0 at the base to 1 at the tip, y from -1 to 1 across. The traits of an individual determine most of a pattern (see
insects.traits.Insect); a small random part differs between individuals.
"""

import math

import numpy as np

from simulation.svg import curve, ellipse, group, line, shape


def plain(one):
    edge = 0.78 + one.span("pattern_place", 0, 0.12)
    hem = [(edge, -1.2), (edge + 0.06, 0), (edge, 1.2), (1.3, 1.2), (1.3, -1.2)]
    return shape(hem, one.ink.dark, one.span("pattern_strength", 0.2, 0.35))


def bands(one):
    scale, place, strength = one.span("pattern_scale", 0, 1), one.span("pattern_place", 0, 1), opacity(one)
    y = np.linspace(-1.2, 1.2, 15)
    drawn = ""
    for x in np.linspace(0.22 + 0.2 * place, 0.92, 2 + round(3 * (1 - scale))):
        x = x + 0.035 * np.sin(4 * y + 9 * place) + 0.06 * y**2 + one.random.normal(0, 0.006, len(y))
        drawn += line(np.stack([x, y], 1), one.ink.pattern, 0.035 + 0.09 * scale, strength)
        drawn += line(np.stack([x + 0.03 + 0.05 * scale, y], 1), one.ink.dark, 0.014, 0.8 * strength)
    return drawn


def spots(one):
    scale, place = one.span("pattern_scale", 0, 1), one.span("pattern_place", 0, 1)
    rows = 3 + round(3 * (1 - scale))
    drawn = ""
    for i in range(rows):
        for y in np.arange(-0.8 + 0.22 * (i % 2), 0.9, 0.44):
            (x, y), r = (
                one.random.normal((0.15 + 0.75 * (i + 0.5 * place) / rows, y), (0.012, 0.02)),
                0.045 + 0.075 * scale,
            )
            r *= one.random.normal(1, 0.06)
            drawn += ellipse(x, y, r, 1.7 * r, one.ink.pattern, opacity(one))
    return drawn


def eyespots(one):
    r, place = one.span("pattern_scale", 0.11, 0.2), one.span("pattern_place", 0, 1)
    x, y = 0.5 + 0.25 * place, -0.1 + 0.3 * place + one.random.normal(0, 0.02)
    rings = ((1.25, one.ink.light), (1, one.ink.dark), (0.72, one.ink.accent), (0.42, one.ink.dark))
    drawn = "".join(ellipse(x, y, r * k, 1.8 * r * k, colour, opacity(one)) for k, colour in rings)
    return drawn + ellipse(x - 0.2 * r, y - 0.25 * r, 0.12 * r, 0.2 * r, "#fff", 0.9)


def stripes(one):
    scale, place = one.span("pattern_scale", 0, 1), one.span("pattern_place", 0, 0.1)
    x = np.linspace(0.02, 1.05, 12)
    drawn = ""
    for y in np.linspace(-1, 1, 5 + round(4 * (1 - scale))) + place:
        wavering = y * (0.35 + 0.75 * x) + one.random.normal(0, 0.008, len(x))
        drawn += line(np.stack([x, wavering], 1), one.ink.pattern, 0.05 + 0.1 * scale, opacity(one))
    return drawn


def marbled(one):
    scale, place = one.span("pattern_scale", 0, 1), one.span("pattern_place", 0, 1)
    # one arrangement of blotches for all, shifted by `place`, so that it changes as smoothly as the trait
    arrangement = np.random.default_rng(0)
    angle = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    drawn = ""
    for _ in range(7 + round(9 * (1 - scale))):
        u, v, w = arrangement.uniform(size=3)
        ragged = (0.06 + 0.1 * scale) * (0.7 + 0.8 * w) * one.random.uniform(0.65, 1.25, len(angle))
        x, y = (u + place) % 1, (v + 0.6 * place) % 1 * 1.8 - 0.9
        blotch = np.stack([x + ragged * np.cos(angle), y + 1.6 * ragged * np.sin(angle)], 1)
        drawn += shape(curve(blotch, 30), one.ink.pattern, opacity(one))
    return drawn


PATTERNS = {f.__name__: f for f in (plain, bands, spots, eyespots, stripes, marbled)}


def opacity(one):
    return one.span("pattern_strength", 0.55, 0.95)


def framed(content, root, tip, width):
    """A pattern, drawn from `root` to `tip` and `width` to either side."""
    (x, y), (dx, dy) = root, np.subtract(tip, root)
    across = width / math.hypot(dx, dy)
    return group(content, f"matrix({dx:.4g},{dy:.4g},{-dy * across:.4g},{dx * across:.4g},{x:.4g},{y:.4g})")
