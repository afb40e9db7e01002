"""Parts of insects: plates, limbs, antennae, eyes, wings with veins, ringed abdomens and hair.

Everything is drawn twice. One drawing has the colours. The other has the matter: red is the height of the surface, green its
gloss, and blue how rough it is, from which photographs.py computes light. Coordinates are those of `svg`: a body fills the box
from -100 to 100.
"""

import math
from dataclasses import dataclass

import numpy as np

from simulation.svg import clipped, curve, group, line, path, shape


@dataclass(frozen=True)
class Art:
    """A drawing: SVG of its colours, and SVG of its matter (red: height, green: gloss, blue: roughness)."""

    colour: str = ""
    matter: str = ""

    def __add__(self, other):
        return Art(self.colour + other.colour, self.matter + other.matter)

    def moved(self, transform):
        return Art(group(self.colour, transform), group(self.matter, transform))

    def both(self):
        """This drawing of the right side together with its mirror image on the left."""
        return self.moved("scale(-1,1)") + self


def matter(height, gloss, rough):
    """The colour (#rrggbb) that stands for a surface; all values from 0 to 1."""
    return "#" + "".join(f"{round(255 * min(max(value, 0), 1)):02x}" for value in (height, gloss, rough))


def dome(low, high, gloss, rough):
    """A gradient of matter from the height `low` at the rim to `high` in the middle, and the `fill` that refers to it."""
    low, high, gloss, rough = (round(value, 2) for value in (low, high, gloss, rough))
    name = f"d{low}{high}{gloss}{rough}".replace(".", "").replace("-", "m")
    stops = "".join(
        f'<stop offset="{r}" stop-color="{matter(low + (high - low) * math.sqrt(1 - r * r), gloss, rough)}"/>'
        for r in (0, 0.4, 0.65, 0.82, 0.93, 1)
    )
    return f'<radialGradient id="{name}">{stops}</radialGradient>', f"url(#{name})"


# --------------------------------------------------------------------------------------------------- plates and limbs


def plate(outline, fill, heights=(0.2, 0.6), gloss=0.2, rough=0.1, edge="none", width=0.7, marks=""):
    """A closed piece of cuticle (n, 2), domed from its rim to its middle (`heights`), with `marks` (SVG) on it."""
    definition, surface = dome(*heights, gloss, rough)
    colour = shape(outline, fill) + (clipped(outline, marks) if marks else "")
    colour += shape(outline, "none", edge=edge, width=width) if edge != "none" else ""
    return Art(colour, definition + shape(outline, surface))


def limb(points, colour, width, height=0.3, gloss=0.3):
    """A thin round part along `points` (n, 2)."""
    return Art(line(points, colour, width), line(points, matter(height, gloss, 0.1), width))


def oval(x, y, rx, ry, power=2.0, n=28):
    """The outline (n, 2) of a superellipse: an ellipse at power 2, squarer above."""
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([x + rx * np.sign(c) * np.abs(c) ** (2 / power), y + ry * np.sign(s) * np.abs(s) ** (2 / power)], 1)


def tube(spine, widths):
    """The outline of a round body along a `spine` (n, 2), with half `widths` (n,)."""
    spine = np.asarray(spine, float)
    along = np.gradient(spine, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], 1) / np.linalg.norm(along, axis=1, keepdims=True)
    offset = normal * np.asarray(widths, float)[:, None]
    return np.concatenate([spine + offset, (spine - offset)[::-1]])


def rings(spine, widths, fills, heights=(0.2, 0.6), gloss=0.2, rough=0.1, edge="none"):
    """A body of overlapping rings along a `spine` (n, 2) with half `widths` (n,), one ring for each of the `fills`."""
    spine, widths, n = np.asarray(spine, float), np.asarray(widths, float), len(fills)
    at, art = np.linspace(0, n, len(spine)), Art()
    for i in reversed(range(n)):
        t = np.linspace(i, min(i + 1.22, n), 6)
        axis = np.stack([np.interp(t, at, spine[:, k]) for k in (0, 1)], 1)
        half = np.interp(t, at, widths)
        if i + 1.22 < n:
            half *= 1 - 0.25 * np.linspace(0, 1, 6) ** 4
        art += plate(tube(axis, half), fills[i], heights, gloss, rough, edge, 0.5)
    return art


def profile(*widths, n=24):
    """Half widths (n,) of a body from its front to its end: a smooth line through `widths`, never below 0.4."""
    at = np.linspace(0, 1, len(widths))
    return np.maximum(curve(np.stack([at, widths], 1), n, closed=False)[:, 1], 0.4)


def leg(joints, colour, thick, gloss=0.3, foot=None):
    """A leg through its `joints` (5, 2): hip, knee, ankle, and two of the foot. `thick` is the width of the femur."""
    hip, knee, ankle, middle, toe = np.asarray(joints, float)
    femur = tube(np.linspace(hip, knee, 5), thick * np.array([0.34, 0.52, 0.5, 0.4, 0.3]))
    tibia = tube(np.linspace(knee, ankle, 3), thick * np.array([0.26, 0.24, 0.28]))
    art = limb([ankle, middle, toe], foot or colour, max(0.22 * thick, 0.9), 0.12, gloss)
    art += plate(tibia, foot or colour, (0.16, 0.28), gloss)
    return art + plate(femur, colour, (0.2, 0.36), gloss)


def strokes(starts, ends, colour, width, opacity=1.0):
    """Many straight lines as one SVG path: from `starts` to `ends`, both (n, 2)."""
    rows = np.concatenate([np.asarray(starts, float), np.asarray(ends, float)], 1).tolist()
    d = "".join([f"M{a:.4g},{b:.4g}L{c:.4g},{e:.4g}" for a, b, c, e in rows])
    style = f'stroke="{colour}" stroke-width="{width:.3g}" stroke-opacity="{opacity:.2f}" stroke-linecap="round"'
    return f'<path d="{d}" fill="none" {style}/>'


def lines(paths, colour, width, opacity=1.0):
    """Several lines, each (n, 2), as one SVG path."""
    d = "".join(path(points, closed=False) for points in paths)
    style = f'stroke="{colour}" stroke-width="{width:.3g}" stroke-opacity="{opacity:.2f}" stroke-linejoin="round"'
    return f'<path d="{d}" fill="none" {style}/>'


def hair(outline, colour, length, random, count=70, inward=0.8):
    """Hair on the inner side of a closed outline (n, 2), standing out over it by `length`."""
    outline = np.asarray(outline, float)
    centre = outline.mean(0)
    rim = outline[random.integers(len(outline), size=count)]
    foot = centre + (rim - centre) * random.uniform(1 - inward, 1.0, (count, 1))
    out = foot - centre
    out /= np.linalg.norm(out, axis=1, keepdims=True) + 1e-9
    tips = foot + out * length * random.uniform(0.6, 1.2, (count, 1)) + random.normal(0, 0.25 * length, (count, 2))
    return Art(strokes(foot, tips, colour, 0.8, 0.75), strokes(foot, tips, matter(0.55, 0, 0.8), 0.8, 0.4))


def eye(x, y, rx, ry, colour, turn=0.0, facets=True):
    """A compound eye: dark, glossy, with a bright rim and a glimpse of its facets."""
    outline = oval(0, 0, rx, ry)
    glint = shape(oval(-0.25 * rx, -0.3 * ry, 0.4 * rx, 0.35 * ry), "#ffffff", 0.18) if facets else ""
    art = plate(outline, colour, (0.3, 0.75), 0.9, 0.05, "#0c0a08", 0.5, glint)
    return art.moved(f"translate({x:.4g},{y:.4g}) rotate({turn:.4g})")


def antenna(spine, colour, kind, width=1.3, size=1.0):
    """An antenna along a `spine` (n, 2): thread, beaded, clubbed or combed. `size` scales its club and branches."""
    spine = np.asarray(spine, float)
    art = limb(spine, colour, width, 0.3, 0.2)
    along = spine[-1] - spine[-3]
    along = along / np.linalg.norm(along)
    if kind == "clubbed":
        club = tube(
            spine[-1] + along * np.linspace(-7 * size, 1, 6)[:, None], size * np.array([0.6, 1.5, 2.2, 2.4, 2, 0.8])
        )
        art += plate(club, colour, (0.2, 0.4))
    if kind == "beaded":
        steps = spine[:: max(1, len(spine) // 10)]
        art += Art("".join(shape(oval(*p, 1.15 * width, 1.15 * width, n=8), colour) for p in steps))
    if kind == "combed":
        k = np.arange(1, len(spine) - 1)
        tangent = np.gradient(spine, axis=0)[k]
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
        normal = np.stack([-tangent[:, 1], tangent[:, 0]], 1)
        reach = (7 * size * np.sin(np.pi * (k / len(spine)) ** 0.7))[:, None]
        for side in (-1, 1):
            art += Art(strokes(spine[k], spine[k] + reach * (side * normal + 0.45 * tangent), colour, 0.75, 0.9))
    return art


# -------------------------------------------------------------------------------------------------------------- wings


@dataclass(frozen=True)
class Wing:
    """Where a wing is: its outline (n, 2) from the root at (0, 0) to the tip at (1, 0), the leading edge at negative y."""

    outline: np.ndarray
    root: tuple
    angle: float  # degrees; 0 points right, 90 down
    length: float

    def place(self, points):
        """Points (n, 2) of the wing in coordinates of the body."""
        turn = math.radians(self.angle)
        along = np.array([math.cos(turn), math.sin(turn)])
        points = np.asarray(points, float) * self.length
        return np.array(self.root) + points[:, :1] * along + points[:, 1:] * np.array([-along[1], along[0]])

    @property
    def tip(self):
        return tuple(self.place([(1, 0)])[0])

    def edges(self, x):
        """y of the leading and of the trailing edge (k,) at every x (k,)."""
        split = self.outline[:, 0].argmax()
        lead, trail = self.outline[: split + 1], self.outline[split:][::-1]
        lead, trail = (side[np.argsort(side[:, 0], kind="stable")] for side in (lead, trail))
        return np.interp(x, *lead.T), np.interp(x, *trail.T)

    def vein(self, share, fall, start=0.02, end=1.0):
        """A vein (k, 2): it leaves the root at a `share` of the width and has fallen by `fall` of it at the tip."""
        x = np.linspace(start, end, 24)
        lead, trail = self.edges(x)
        f = share + fall * x**2.2
        x, lead, trail, f = (v[f <= 1.0] for v in (x, lead, trail, f))
        return np.stack([x, lead + f * (trail - lead)], 1)

    def crossing(self, x, upper, lower):
        """A cross-vein (2, 2) at `x` between two veins, each (share, fall)."""
        lead, trail = self.edges(np.array([x, x + 0.012]))
        f = np.minimum([upper[0] + upper[1] * x**2.2, lower[0] + lower[1] * x**2.2], 1.0)
        return np.stack([[x, x + 0.012], lead + f * (trail - lead)], 1)

    def veined(self, veins, crossings, colour, width, opacity):
        """SVG of its veins, each (share, fall), and cross-veins, each (x, number of the upper vein)."""
        drawn = [self.place(self.vein(*v)) for v in veins]
        drawn += [self.place(self.crossing(x, veins[k], veins[k + 1])) for x, k in crossings]
        return lines(drawn, colour, width, opacity)

    def stigma(self, x, long, deep, colour):
        """SVG of the dark cell at the leading edge, the pterostigma."""
        lead, trail = self.edges(np.array([x, x + long]))
        deep = deep * (trail - lead)
        cell = [(x, lead[0]), (x + long, lead[1]), (x + long, lead[1] + deep[1]), (x, lead[0] + deep[0])]
        return shape(self.place(cell), colour, 0.9)


def membrane(wing, tint, opacity, veins, edge, width=0.8, marks=""):
    """A translucent wing: a membrane of a `tint`, `marks` and `veins` (SVG), and a firm edge."""
    outline = wing.place(wing.outline)
    lead = outline[: wing.outline[:, 0].argmax() + 1]
    colour = shape(outline, tint, opacity) + clipped(outline, marks + veins)
    colour += line(outline, edge, 0.6 * width, 0.7) + line(lead, edge, 1.5 * width, 0.95)
    x = np.linspace(0, 1, 4)[1:3]
    ripples = [wing.place(np.stack([x, (1 - s) * wing.edges(x)[0] + s * wing.edges(x)[1]], 1)) for s in (0.3, 0.7)]
    film = shape(outline, matter(0.3, 0.75, 0), 0.6) + clipped(outline, lines(ripples, matter(0.4, 0.9, 0), 4, 0.4))
    return Art(colour, film)
