"""Contact sheets of clusters: the order of a strip, what a cluster is worth where taxa are known, and the pages."""

import functools
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.font_manager import FontProperties, findfont
from PIL import Image, ImageDraw, ImageFont

import plotting
from files import atomic_write
from images import THUMBNAIL, thumbnails
from plotting import printable

PURE = 0.9  # share of its named photographs that a pure cluster has of one species
ODD = 0.1  # share of the photographs of a dataset that is least trusted
STRIPS = 14  # on a page
PHOTOS = 11  # in a strip
MARGIN = 3.4  # width of the text at the left, in photographs
ALONE = "alone in a cluster"  # name of a strip of single photographs
ODD_COLOUR = plotting.PALETTE[3]
TEXT_GREY = "#4d4d4d"
VERDICT_COLOURS = {
    "pure": plotting.PALETTE[2],
    "split": plotting.PALETTE[4],
    "merged": plotting.PALETTE[1],
    "": plotting.GREY,
}


class Strip(NamedTuple):
    """One line of a contact sheet: a cluster, or some photographs that are each alone in their cluster."""

    name: str  # of the cluster, below its family
    rows: np.ndarray  # of all its photographs, in their order
    trust: float  # mean of the cluster
    verdict: str  # pure, split, merged, or empty where no species is known
    about: str  # the species in it


def order_members(points, trust, odd):
    """Order (n,) of the photographs of one cluster: the medoid first, then by falling trust, the `odd` ones (n,) last.

    `points` (n, d) have length 1; the medoid has the smallest sum of squared distances to the others.
    """
    medoid = np.argmax(points @ points.sum(axis=0))
    first = np.arange(len(points)) == medoid
    return np.lexsort((np.arange(len(points)), -trust, odd & ~first, ~first))


def odd_ones(trust):
    """Which photographs (n,) are among the least trusted of the dataset; missing trust counts as least."""
    filled = np.nan_to_num(trust)
    return filled <= np.quantile(filled, ODD) if len(filled) else np.zeros(0, bool)


def verdicts(labels, species):
    """What every cluster is worth, by the `species` (n,) of its photographs: DataFrame by cluster.

    Species are paths of names (`utils.lineage`), missing where unknown, because two genera may share an epithet.

    A cluster is *merged* if less than PURE of its named photographs are of one species. It is *pure* if most photographs of
    that species are in it, and otherwise *split*. Without any name the verdict is empty. `about` says which species it holds.
    """
    clusters = pd.unique(np.asarray(labels, object))
    named = pd.DataFrame({"cluster": labels, "species": species}).dropna()
    if named.empty:
        return pd.DataFrame("", clusters, ["verdict", "about"])
    counts = named.groupby(["cluster", "species"]).size().rename("n").reset_index()
    counts = counts.sort_values(["n", "species"], ascending=[False, True], kind="stable")
    sizes, totals = named["cluster"].value_counts(), named["species"].value_counts()
    main = counts.drop_duplicates("cluster").set_index("cluster")
    merged = main["n"] < PURE * sizes[main.index]
    split = main["n"] <= 0.5 * main["species"].map(totals)
    parts = counts.groupby("species")["cluster"].nunique()

    def describe(cluster, group):
        one, n = group["species"].iloc[0], group["n"].iloc[0]
        name = one.rpartition(" > ")[2]
        if merged[cluster]:
            return f"{name} {n}, {len(group) - 1} other species"
        return f"{name}: {n} of {totals[one]}" + (f", in {parts[one]} clusters" if split[cluster] else "")

    found = pd.DataFrame({"verdict": np.select([merged, split], ["merged", "split"], "pure")}, index=main.index)
    found["about"] = pd.Series({c: describe(c, group) for c, group in counts.groupby("cluster")}, dtype="string")
    return found.reindex(clusters).fillna("")


def strips_of(rows, labels, points, trust, odd, judged):
    """Strips of the photographs `rows` of one family, by falling trust of their clusters; those that are alone come last.

    `labels` (n,), `points` (n, d), `trust` (n,) and `odd` (n,) are of the whole dataset, `judged` is the table of `verdicts`.
    """
    strips, alone = [], []
    for cluster, members in pd.Series(rows).groupby(labels[rows]):
        members = members.to_numpy()
        if len(members) == 1:
            alone += members.tolist()
            continue
        members = members[order_members(points[members], trust[members], odd[members])]
        name = "/".join(str(cluster).rsplit("/", 2)[-2:])  # without the family
        verdict, about = judged.loc[cluster, ["verdict", "about"]]
        strips.append(Strip(name, members, float(np.nanmean(trust[members])), verdict, about))
    strips.sort(key=lambda strip: -strip.trust)
    for start in range(0, len(alone), PHOTOS):
        members = np.array(alone[start : start + PHOTOS])
        strips.append(Strip(ALONE, members, float(np.nanmean(trust[members])), "", ""))
    return strips


def shown(strip, odd):
    """The photographs of a strip that are drawn: all, or the first ones and up to four of the odd ones at the end."""
    if len(strip.rows) <= PHOTOS:
        return strip.rows
    rest = strip.rows[1:]  # the medoid is first, even if it is odd
    last = rest[odd[rest]][-4:]
    return np.concatenate([strip.rows[: PHOTOS - len(last)], last])


def draw_page(title, strips, photographs, odd, size=THUMBNAIL + 8):
    """Picture of `strips`: one line each, odd photographs framed, with name, size and trust of the cluster at the left.

    `photographs` is {row: PIL image}, or None for a photograph that cannot be read. A photograph has `size` pixels of the
    page; small ones are not enlarged. Pillow draws ten times as fast as matplotlib, which counts where there are many pages.
    """
    left, top = round(MARGIN * size), size // 2
    page = Image.new("RGB", (left + PHOTOS * size, top + max(len(strips), 1) * size), "white")
    draw = ImageDraw.Draw(page)
    draw.text((page.width / 2, top / 2), printable(title, 120), "black", _font(0.19 * size), anchor="mm")
    for line, strip in enumerate(strips):
        above = top + line * size
        _label(draw, above, size, strip)
        for place, row in enumerate(shown(strip, odd)):
            picture, x = photographs[row], left + place * size
            if picture is not None:
                picture = picture.copy()
                picture.thumbnail((size - 8, size - 8))
                page.paste(picture, (x + (size - picture.width) // 2, above + (size - picture.height) // 2))
            if odd[row] and strip.name != ALONE:
                draw.rectangle((x + 2, above + 2, x + size - 3, above + size - 3), outline=ODD_COLOUR, width=3)
    return page


def _label(draw, above, size, strip):
    """Name, number of photographs, trust and verdict of a strip, at its left."""

    def box(x, y, width, height, colour):
        if width > 0:
            draw.rectangle((x * size, above + y * size, (x + width) * size, above + (y + height) * size), fill=colour)

    def text(x, y, words, height, colour="black", anchor="lm", bold=False):
        font = _font(height * size, bold)
        while font.getlength(words) > (MARGIN - 0.1 - x) * size:
            words = f"{words[:-2].rstrip()}…"
        draw.text((x * size, above + y * size), words, colour, font, anchor=anchor)

    text(0.1, 0.17, printable(strip.name, 34), 0.155, bold=True)
    text(0.1, 0.4, f"{len(strip.rows):,} photographs", 0.125, TEXT_GREY)
    box(1.95, 0.34, 0.8, 0.12, "#e6e6e6")
    box(1.95, 0.34, 0.8 * np.nan_to_num(strip.trust), 0.12, plotting.PALETTE[0])
    text(2.85, 0.4, f"{strip.trust:.2f}", 0.125, TEXT_GREY)
    if strip.verdict:
        box(0.1, 0.53, 0.76, 0.2, VERDICT_COLOURS[strip.verdict])
        text(0.48, 0.63, strip.verdict, 0.115, anchor="mm")
        text(0.1, 0.86, printable(strip.about, 46), 0.115)


@functools.cache
def _font(height, bold=False):
    """The font of all figures, so many pixels high."""
    return ImageFont.truetype(findfont(FontProperties("DejaVu Sans", weight="bold" if bold else "normal")), round(height))


def photographs_of(strips, odd, specimens, folder):
    """{row: PIL image} of the photographs that `strips` show, None for one that cannot be read.

    `specimens` has the `path` below `folder`/photos and the `sha256` of these rows, or of more. Thumbnails are kept in
    `folder`/previews/thumbnails.
    """
    rows = np.concatenate([shown(strip, odd) for strip in strips])
    chosen = specimens.loc[rows]
    paths = [folder / "photos" / path for path in chosen["path"].fillna("")]  # a barcode alone has no photograph
    return dict(zip(rows, thumbnails(paths, chosen["sha256"], folder / "previews" / "thumbnails"), strict=True))


def write_page(path, title, strips, odd, specimens, folder):
    """Write a page of `strips` as a picture; see `photographs_of`. It may run in a process of its own."""
    save_page(draw_page(title, strips, photographs_of(strips, odd, specimens, folder), odd), path)


def save_page(page, path):
    """Write a page as JPEG, whole or absent."""
    with atomic_write(path) as temporary:
        page.save(temporary, "JPEG", quality=85)
