"""One look for every figure: colours, maps, sheets of photographs, and files without a date in them."""

import io
import re
from contextlib import suppress
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import Image, Markdown, display
from PIL import ImageOps
from PIL.Image import Image as Picture
from scipy.cluster.hierarchy import dendrogram

import parameters
from files import atomic_write
from images import load_rgb

# Okabe and Ito's eight colours (https://jfly.uni-koeln.de/color/), distinct under the common colour vision deficiencies;
# black and grey are left for reference marks.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442", "#000000")
GREY = "#BBBBBB"
MARKS = "osD^vPX<>p*h8"
OUTCOME_COLOURS = {"found": PALETTE[2], "merged": PALETTE[1], "split": PALETTE[4], "missed": GREY}


def set_style():
    """One look for every figure: white ground, light grid, type that stays readable at README width."""
    sns.set_theme(context="notebook", style="whitegrid", palette=PALETTE)
    plt.rcParams.update({"figure.dpi": 100, "savefig.dpi": 150, "savefig.bbox": "tight", "axes.titlesize": "medium"})


def save_figure(figure, path):
    """Write a figure as .png or .jpg, whole or absent, with no date or software stamp: same figure, same bytes.

    A PNG carries the title of the figure as metadata; `make docs` begins the alt text with it. Beside it, vector/<name>.pdf has
    the same figure for print.
    """
    path = Path(path)
    png = {"metadata": {"Software": None, "Title": title_of(figure)}}
    options = {".png": png, ".jpg": {"pil_kwargs": {"quality": 85}}}[path.suffix]
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], **options)
    if path.suffix == ".png":
        with atomic_write(path.parent / "vector" / f"{path.stem}.pdf") as temporary:
            figure.savefig(temporary, format="pdf", metadata={"Creator": None, "Producer": None, "CreationDate": None})


def remove_figures(folder, *names):
    """Remove figures and tables, and the vector/<name>.pdf beside a figure, that an earlier run has left in a folder."""
    for name in map(Path, names):
        (Path(folder) / name).unlink(missing_ok=True)
        (Path(folder) / "vector" / f"{name.stem}.pdf").unlink(missing_ok=True)


def title_of(figure):
    """The title of a figure in one line: that of the whole, or of its first panel with a title; empty without any."""
    titles = [figure.get_suptitle(), *(ax.get_title(place) for ax in figure.axes for place in ("center", "left"))]
    return " ".join(next(filter(None, titles), "").replace("\\$", "$").split())


def printable(text, width=40):
    """Text from a user on one line, at most `width` letters.

    What cannot be printed, such as half a character from a file's name, becomes a replacement character.
    """
    text = " ".join(str(text).split())
    text = text if len(text) <= width else f"{text[: width - 1].rstrip()}…"
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def plain(text, width=40):
    """Text from a user as matplotlib draws it letter by letter: `printable`, and no mathematics."""
    text = re.sub(r"(?<!\\)\$", r"\\$", printable(text, width))  # two dollars would enclose a formula
    return f" {text}" if text.startswith("_") else text  # a legend leaves out what starts with an underscore


def dataset_name(dataset):
    """Name of a dataset in figures: `title` in params/datasets/<dataset>.yaml, or the name of its folder."""
    known = dataset in parameters.config_names("datasets")
    return plain((parameters.load_params("datasets", dataset) if known else {}).get("title") or dataset.replace("_", " "))


def contact_sheet(lines, columns, size=100):
    """Figure with a line of square photographs for every {label: paths}: at most `columns` of them, `size` pixels wide.

    The place of a photograph that cannot be read any more stays white, as does the whole figure if there are no lines.
    """
    height = max(len(lines), 1)
    sheet = np.full((height * size, columns * size, 3), 255, np.uint8)
    for row, paths in enumerate(lines.values()):
        for column, path in enumerate(paths[:columns]):
            with suppress(ValueError):
                thumbnail = ImageOps.fit(load_rgb(path), (size, size))
                sheet[row * size : (row + 1) * size, column * size : (column + 1) * size] = thumbnail
    figure, ax = plt.subplots(figsize=(columns * size / 100, height * size / 100))
    ax.imshow(sheet, extent=(0, columns, height, 0))
    ax.set(xticks=[], yticks=np.arange(len(lines)) + 0.5, yticklabels=[plain(label, 120) for label in lines])
    ax.tick_params(length=0)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    return figure


def members_of(merges, k):
    """Leaves below every node of a SciPy linkage of k leaves: a list of lists, the leaves first."""
    members = [[leaf] for leaf in range(k)]
    for left, right in merges[:, :2].astype(int):
        members.append(members[left] + members[right])
    return members


def photo_dendrogram(merges, points, paths, clusters, n_leaves=24, size=96):
    """Figure of a dendrogram with photographs at its leaves, framed in the colours of their clusters.

    `merges` is the SciPy linkage of `points` (k, d), `paths` (k) their photographs, `clusters` (k,) their labels. The uppermost
    branches are drawn, `n_leaves` at most; each shows the photograph nearest to its centre, and how many it holds. Branches
    inside one cluster have its colour, others are grey. Colours repeat where there are more clusters than colours.
    """
    codes, points = pd.factorize(np.asarray(clusters))[0], np.asarray(points)
    members = members_of(merges, len(points))

    def colour(node):
        inside = np.unique(codes[members[node]])
        return PALETTE[inside[0] % len(PALETTE)] if len(inside) == 1 else "0.6"

    figure, (above, below) = plt.subplots(
        2, 1, figsize=(0.5 * min(len(points), n_leaves) + 1.5, 4), height_ratios=(3, 1), gridspec_kw={"hspace": 0.02}
    )
    options = {"truncate_mode": "lastp", "p": n_leaves, "no_labels": True, "link_color_func": colour}
    leaves = dendrogram(merges, ax=above, **options)["leaves"]
    above.set(ylabel="height")
    above.spines[["top", "right", "bottom"]].set_visible(False)
    above.grid(visible=False)
    for place, leaf in enumerate(leaves):
        inside = members[leaf]
        central = inside[np.linalg.norm(points[inside] - points[inside].mean(axis=0), axis=1).argmin()]
        with suppress(ValueError):
            below.imshow(ImageOps.fit(load_rgb(paths[central]), (size, size)), extent=(place, place + 1, 0, 1))
        box = plt.Rectangle((place + 0.04, 0.04), 0.92, 0.92, fill=False, linewidth=2.5, edgecolor=colour(leaf))
        below.add_patch(box)
        below.text(place + 0.5, -0.1, f"×{len(inside)}", ha="center", va="top", fontsize=8, color="0.3")
    below.set(xlim=(0, len(leaves)), ylim=(-0.4, 1), anchor="N")
    below.axis("off")
    return figure


def show_photos(figure):
    """Show a figure, or a picture, that holds photographs in the notebook: as JPEG, which takes a tenth of the room."""
    stream = io.BytesIO()
    if isinstance(figure, Picture):
        figure.save(stream, format="jpeg", quality=80)
    else:
        figure.savefig(stream, format="jpg", pil_kwargs={"quality": 80})
        plt.close(figure)
    display(Image(stream.getvalue(), format="jpeg"))


def family_colours(families, n_coloured=7):
    """{family: colour} for the `n_coloured` largest families, by falling size; the rest are drawn grey."""
    largest = (
        pd.Series(families).dropna().value_counts(sort=True).sort_index().sort_values(kind="stable", ascending=False)
    )
    return dict(zip(largest.index[:n_coloured], PALETTE, strict=False))


def draw_map(ax, xy, families, colours):
    """Scatter a 2-D map (n, 2), coloured by family. The axes of such a map have no unit, so they carry no ticks."""
    size = np.clip(6000 / len(xy), 1, 14)
    rest = ~pd.Series(families).isin(colours).to_numpy()
    ax.scatter(*xy[rest].T, s=size, color=GREY, linewidths=0, rasterized=True)
    shown = np.flatnonzero(~rest)
    ax.scatter(*xy[shown].T, s=size, c=[colours[families[i]] for i in shown], linewidths=0, rasterized=True)
    ax.set(xticks=[], yticks=[], aspect="equal", adjustable="datalim")


def family_legend(figure, families, colours):
    """Legend of the coloured families below a figure, with the number of those drawn grey."""
    n_rest = pd.Series(families).nunique() - len(colours)
    names = [*map(plain, colours), *([f"{n_rest} other families"] if n_rest else [])]
    if not names:  # no family is known
        return
    marks = [plt.Line2D([], [], marker="o", linestyle="", color=c) for c in [*colours.values(), GREY]]
    figure.legend(marks[: len(names)], names, loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=4, frameon=False)


def say(*sentences):
    """Show sentences in the notebook as a paragraph: what was learned, with the numbers of this run."""
    display(Markdown(" ".join(sentences)))
