"""Smooth lines, and SVG made from them."""

import colorsys
import zlib

import numpy as np

# ---------------------------------------------------------------------------------------------------------- lines


def curve(points, n=90, closed=True):
    """A smooth line (n, 2) through points (k, 2): the spline of Catmull and Rom (1974)."""
    p = np.asarray(points, float)
    k = len(p)
    t = np.arange(n) * k / n if closed else np.linspace(0, k - 1 - 1e-9, n)
    i, u = t.astype(int), (t % 1)[:, None]
    a, b, c, d = (p[(i + j) % k] if closed else p[np.clip(i + j, 0, k - 1)] for j in (-1, 0, 1, 2))
    return 0.5 * (2 * b + (c - a) * u + (2 * a - 5 * b + 4 * c - d) * u**2 + (3 * b - a - 3 * c + d) * u**3)


def frill(outline, margin, depth, waves, stretch):
    """Make a stretch (a slice) of a closed outline (n, 2) scalloped or toothed: `waves` teeth, at most `depth` high."""
    if margin == "entire":
        return outline
    along = np.roll(outline, -1, 0) - np.roll(outline, 1, 0)
    outward = np.stack([along[:, 1], -along[:, 0]], 1) / np.linalg.norm(along, axis=1, keepdims=True)
    n = len(outline[stretch])
    phase = np.linspace(0, waves, n)
    wave = np.abs(np.sin(np.pi * phase)) if margin == "scalloped" else 1 - phase % 1
    fading = np.sin(np.linspace(0, np.pi, n)) ** 0.5  # to 0 at both ends, so that the outline stays connected
    frilled = outline.copy()
    frilled[stretch] += outward[stretch] * (depth * wave * fading)[:, None]
    return frilled


# ------------------------------------------------------------------------------------------------------------ SVG


def path(points, closed=True):
    rows = np.asarray(points, float).tolist()  # Python's own numbers are printed in half the time
    return "M" + "L".join([f"{x:.4g},{y:.4g}" for x, y in rows]) + ("Z" if closed else "")


def shape(points, fill, opacity=1.0, edge="none", width=0.0):
    style = f'fill="{fill}" fill-opacity="{opacity:.2f}" stroke="{edge}" stroke-width="{width:.3g}"'
    return f'<path d="{path(points)}" {style}/>'


def line(points, colour, width, opacity=1.0):
    style = f'stroke="{colour}" stroke-width="{width:.3g}" stroke-opacity="{opacity:.2f}"'
    return (
        f'<path d="{path(points, closed=False)}" fill="none" stroke-linecap="round" stroke-linejoin="round" {style}/>'
    )


def ellipse(x, y, rx, ry, fill, opacity=1.0):
    return (
        f'<ellipse cx="{x:.4g}" cy="{y:.4g}" rx="{rx:.4g}" ry="{ry:.4g}" fill="{fill}" fill-opacity="{opacity:.2f}"/>'
    )


def group(content, transform):
    return f'<g transform="{transform}">{content}</g>'


def mirrored(content):
    """The drawing of the right side together with its mirror image on the left."""
    return content + group(content, "scale(-1,1)")


def clipped(outline, content):
    name = f"c{zlib.crc32(path(outline).encode()):x}"
    return f'<clipPath id="{name}"><path d="{path(outline)}"/></clipPath><g clip-path="url(#{name})">{content}</g>'


def gradient(inner, outer, x, y, r):
    """A radial gradient centred at (x, y) of the box of its shape, and the value of `fill` that refers to it."""
    name = f"g{zlib.crc32(f'{inner}{outer}{x}{y}{r}'.encode()):x}"
    stops = f'<stop offset="0" stop-color="{inner}"/><stop offset="1" stop-color="{outer}"/>'
    return f'<radialGradient id="{name}" cx="{x}" cy="{y}" r="{r}">{stops}</radialGradient>', f"url(#{name})"


def css(hue, saturation, lightness):
    """Colour (#rrggbb) from a hue in degrees, a saturation and a lightness, both clipped to valid values."""
    rgb = colorsys.hls_to_rgb(hue / 360 % 1, min(max(lightness, 0.03), 0.97), min(max(saturation, 0), 1))
    return "#" + "".join(f"{round(255 * c):02x}" for c in rgb)
