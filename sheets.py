"""Contact sheets of clusters: the order of a strip, what a cluster is worth where taxa are known, and the pages."""

import gc
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import plotting
from images import thumbnails

PURE = 0.9  # share of its named photographs that a pure cluster has of one species
ODD = 0.1  # share of the photographs of a dataset that is least trusted
STRIPS = 14  # on a page
PHOTOS = 11  # in a strip
MARGIN = 3.4  # width of the text at the left, in photographs
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
        strips.append(Strip("alone in a cluster", members, float(np.nanmean(trust[members])), "", ""))
    return strips


def shown(strip, odd):
    """The photographs of a strip that are drawn: all, or the first ones and up to four of the odd ones at the end."""
    if len(strip.rows) <= PHOTOS:
        return strip.rows
    rest = strip.rows[1:]  # the medoid is first, even if it is odd
    last = rest[odd[rest]][-4:]
    return np.concatenate([strip.rows[: PHOTOS - len(last)], last])


def draw_page(title, strips, photographs, odd, size=100):
    """Figure of `strips`: one line each, odd photographs framed, with name, size and trust of the cluster at the left.

    `photographs` is {row: PIL image}, or None for a photograph that cannot be read.
    """
    height = max(len(strips), 1)
    sheet = np.full((height * size, PHOTOS * size, 3), 255, np.uint8)
    figure, ax = plt.subplots(figsize=((PHOTOS + MARGIN) * size / 100, height * size / 100 + 0.4))
    for line, strip in enumerate(strips):
        for place, row in enumerate(shown(strip, odd)):
            picture = photographs[row]
            if picture is not None:
                picture = picture.copy()
                picture.thumbnail((size - 6, size - 6))
                top, left = line * size + (size - picture.height) // 2, place * size + (size - picture.width) // 2
                sheet[top : top + picture.height, left : left + picture.width] = picture
            if odd[row] and strip.name != "alone in a cluster":
                frame = {"fill": False, "edgecolor": plotting.PALETTE[3], "linewidth": 2, "linestyle": (0, (3, 1))}
                ax.add_patch(plt.Rectangle((place + 0.02, line + 0.02), 0.96, 0.96, **frame))
        _label(ax, line, strip)
    ax.imshow(sheet, extent=(0, PHOTOS, height, 0), aspect="equal")
    ax.set(xlim=(-MARGIN, PHOTOS), ylim=(height, 0), title=title)
    ax.axis("off")
    return figure


def _label(ax, line, strip):
    """Name, number of photographs, trust and verdict of a strip, at its left."""
    left = -MARGIN + 0.05
    ax.text(left, line + 0.17, plotting.plain(strip.name, 34), va="center", fontsize=11, weight="bold")
    ax.text(left, line + 0.4, f"{len(strip.rows):,} photographs", va="center", fontsize=9, color="0.3")
    ax.add_patch(plt.Rectangle((left + 1.9, line + 0.34), 0.8, 0.12, facecolor="0.9"))
    ax.add_patch(plt.Rectangle((left + 1.9, line + 0.34), 0.8 * strip.trust, 0.12, facecolor=plotting.PALETTE[0]))
    ax.text(left + 2.8, line + 0.4, f"{strip.trust:.2f}", va="center", fontsize=9, color="0.3")
    if strip.verdict:
        ax.add_patch(plt.Rectangle((left, line + 0.53), 0.75, 0.2, facecolor=VERDICT_COLOURS[strip.verdict]))
        ax.text(left + 0.38, line + 0.63, strip.verdict, va="center", ha="center", fontsize=8, color="black")
        ax.text(left, line + 0.86, plotting.plain(strip.about, 46), va="center", fontsize=8)


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
    plt.switch_backend("agg")
    plotting.set_style()
    plotting.save_figure(draw_page(title, strips, photographs_of(strips, odd, specimens, folder), odd), path)
    plt.close("all")
    gc.collect()  # a figure refers to itself: it would stay in memory for many pages
