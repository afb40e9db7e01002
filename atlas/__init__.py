"""The atlas: map, tree and photographs of a dataset in one HTML file that opens from disk, in which clusters can be corrected.

`write_atlas` writes the page from the files beside this module: page.html, atlas.css, model.js (the data and the review),
views.js (what is drawn), main.js (what is done), and deck.gl in vendor/. The page loads nothing: data, thumbnails and scripts
are inside, and its content security policy forbids connections. Texts from a dataset are JSON in which "<" is escaped, and the
scripts show them as text only. Where thumbnails need more than MAX_INSIDE bytes, their pages are files beside the page.
"""

import base64
import hashlib
import html
import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.cluster.hierarchy import leaves_list
from sklearn.preprocessing import normalize

import clustering
import utils
from files import atomic_write

HERE = Path(__file__).resolve().parent
SCRIPTS = ("vendor/deck.gl-core-9.4.0.min.js", "vendor/deck.gl-layers-9.4.0.min.js", "model.js", "views.js", "main.js")
SHEET = 2048  # pixels of the side of a page of thumbnails; graphics hardware takes at least 4096
CELLS = ((3_000, 128), (12_000, 96), (np.inf, 64))  # up to so many photographs, thumbnails of so many pixels
MAX_INSIDE = 50_000_000  # bytes of thumbnails in the page itself
DIMENSIONS = 128  # of the vectors in the page, for nearest neighbours


def order_photographs(points, labels, method="average"):
    """Rows (n,) in the order of the atlas, and the trees of all species clusters in it.

    `points` (n, d) are prepared vectors, `labels` a cluster table with family_cluster, genus_cluster and species_cluster,
    missing for noise. Clusters that are alike stand beside each other within their genus, genera within their family, and
    photographs within their cluster; noise comes last. The trees are a DataFrame with label and size of every species cluster,
    and arrays `merges` (m, 2) and `heights` (m,), those of one cluster after the other, size - 1 each. In `merges`, number i
    below the size is the cluster's photograph i in the order of the atlas, and number size + j its merge j.
    """
    inside = labels["species_cluster"].notna().to_numpy()
    rows, clusters, merges, heights = [], [], [np.empty((0, 2), int)], [np.empty(0)]
    for _, family in labels[inside].reset_index().groupby("family_cluster", sort=True):
        for genus in _alike(points, family, "genus_cluster"):
            for species in _alike(points, genus, "species_cluster"):
                members = species["index"].to_numpy()
                tree = clustering.LinkageTree(points[members], method=_affordable(method, len(members))).merges
                leaves = leaves_list(tree) if len(tree) else np.zeros(1, int)
                place = np.concatenate([np.argsort(leaves), np.arange(len(members), 2 * len(members))])
                rows.append(members[leaves])
                merges.append(place[tree[:, :2].astype(int)])
                heights.append(tree[:, 2])
                clusters.append({"label": species["species_cluster"].iloc[0], "size": len(members)})
    rows.append(np.flatnonzero(~inside))
    clusters = pd.DataFrame(clusters, columns=["label", "size"])
    return np.concatenate(rows), clusters, np.concatenate(merges), np.concatenate(heights)


def _alike(points, table, column):
    """The parts of a table by a column, in the order of the leaves of a tree of their centroids."""
    parts = [part for _, part in table.groupby(column, sort=True)]
    centroids = np.stack([points[part["index"]].mean(axis=0) for part in parts])
    tree = clustering.LinkageTree(centroids, method=_affordable("average", len(parts))).merges
    return [parts[i] for i in (leaves_list(tree) if len(tree) else [0])]


def _affordable(method, size):
    return method if size <= clustering.MAX_PAIRWISE else "ward"  # which needs no distances of all pairs


def quantised(points):
    """The first DIMENSIONS of vectors (n, d), scaled to length 1, as int8: their products rank neighbours."""
    values = normalize(points[:, :DIMENSIONS])
    return np.round(values / (np.abs(values).max() or 1) * 127).astype(np.int8)


def thumbnail_pages(thumbnails, cell, side=SHEET):
    """Yield pages (PIL, side by side pixels, transparent) of square cells with one thumbnail each, row by row.

    A thumbnail keeps its proportions; None leaves its cell empty.
    """
    per_line = side // cell
    page, used = None, 0
    for picture in thumbnails:
        if page is None:
            page = Image.new("RGBA", (side, side))
        if picture is not None:
            picture = picture.copy()
            picture.thumbnail((cell, cell), Image.Resampling.LANCZOS)
            left, top = (
                used % per_line * cell + (cell - picture.width) // 2,
                used // per_line * cell + (cell - picture.height) // 2,
            )
            page.paste(picture, (left, top))
        used += 1
        if used == per_line**2:
            yield page
            page, used = None, 0
    if used:
        yield page


def cell_size(n):
    """Pixels of the thumbnails of an atlas with n photographs."""
    return next(size for most, size in CELLS if n <= most)


def safe_json(value):
    """A value as JSON that may stand in a script element: no tag can begin in it."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c").replace("\u2028", "\\u2028")


def packed(values, kind):
    """An array as base64 text, with the name of its JavaScript type."""
    values = np.ascontiguousarray(values, dtype=np.dtype(kind).newbyteorder("<"))
    name = {"f4": "Float32Array", "i4": "Int32Array", "i1": "Int8Array"}[kind]
    return {"type": name, "data": base64.b64encode(values.tobytes()).decode()}


def _texts(column):
    """A column as JSON: a list with null where missing."""
    return [None if pd.isna(one) else str(one) for one in column]


def contents(dataset, title, table, xy, points, method="average"):
    """Everything but the thumbnails: the data of the page (dict), and the rows (n,) in its order.

    `table` has a row per photograph: hash_id, path, the given names (RANKS), family_cluster, genus_cluster, species_cluster,
    trust (missing where unknown), `right` (1, 0, or -1 where unknown), and of a review decision, duplicate_of, given_family,
    given_genus and given_species. `xy` (n, 2) is the map, `points` (n, d) the prepared vectors, `method` the linkage of the
    trees.
    """
    rows, clusters, merges, heights = order_photographs(points, table, method)
    table, xy = table.iloc[rows].reset_index(drop=True), np.asarray(xy, float)[rows]
    span = np.ptp(xy, axis=0).max() or 1.0
    xy = (xy - (xy.min(axis=0) + xy.max(axis=0)) / 2) / span * 1000  # the longer side of the map has 1000 units
    codes, names = {}, {}
    for rank in utils.RANKS:
        codes[rank], levels = pd.factorize(utils.lineage(table, rank), sort=True)
        first = pd.Series(table[rank].to_numpy()).groupby(codes[rank]).first()
        names[rank] = [str(first[code]) for code in range(len(levels))]
    cell = cell_size(len(table))
    decided = table["decision"].notna().any()
    seen = pd.util.hash_pandas_object(table[["hash_id", "species_cluster"]], index=False).to_numpy()
    data = {
        "dataset": dataset,
        "title": title,
        "fingerprint": hashlib.sha256(seen.tobytes()).hexdigest()[:16],
        "ids": _texts(table["hash_id"]),
        "paths": _texts(table["path"]),
        "names": names,
        "clusters": {"label": _texts(clusters["label"]), "size": clusters["size"].tolist()},
        "review": {
            column: _texts(table[column])
            for column in ("decision", "duplicate_of", "given_family", "given_genus", "given_species")
            if decided
        },
        "thumbnails": {"cell": cell, "side": SHEET, "pages": -(-len(table) // (SHEET // cell) ** 2), "beside": ""},
        "arrays": {
            "xy": packed(xy, "f4"),
            "trust": packed(table["trust"].fillna(-1), "f4"),
            "correct": packed(table["right"], "i1"),
            "merges": packed(merges, "i4"),
            "heights": packed(heights, "f4"),
            "vectors": packed(quantised(points[rows]), "i1"),
            **{rank: packed(code, "i4") for rank, code in codes.items()},
        },
    }
    return data, rows


def write_atlas(path, data, thumbnails, max_inside=MAX_INSIDE):
    """Write the page at `path` from the `data` of `contents` and the thumbnails (PIL or None) in their order.

    Return the paths of all files. Pages of thumbnails lie beside the page, as `<name>.page-<number>.js`, if they are larger
    than `max_inside` bytes together. Only one page of thumbnails is in memory.
    """
    path = Path(path)
    scripts = [(HERE / name).read_text(encoding="utf-8") for name in SCRIPTS]
    style = (HERE / "atlas.css").read_text(encoding="utf-8")
    template = (HERE / "page.html").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as scratch:
        pages = []
        for number, page in enumerate(
            thumbnail_pages(thumbnails, data["thumbnails"]["cell"], data["thumbnails"]["side"])
        ):
            pages.append(Path(scratch, f"{number}.webp"))
            page.save(pages[-1], "webp", quality=75)
        beside = sum(page.stat().st_size for page in pages) * 4 / 3 > max_inside
        data = data | {"thumbnails": data["thumbnails"] | {"beside": f"{path.stem}.page-" if beside else ""}}
        written = []
        if beside:
            for number, page in enumerate(pages):
                written.append(path.with_name(f"{path.stem}.page-{number}.js"))
                with atomic_write(written[-1]) as temporary:
                    temporary.write_text(f'atlasPage({number}, "{_base64(page)}");\n')
        with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as out:
            before, after = template.split("<!-- data -->")
            out.write(_fill(before, data["title"], style, scripts))
            out.write(f'<script type="application/json" id="data">{safe_json(data)}</script>\n')
            for number, page in enumerate([] if beside else pages):
                out.write(f'<script type="text/plain" id="page-{number}">{_base64(page)}</script>\n')
            for script in scripts:
                out.write(f"<script>{script}</script>\n")
            out.write(after)
    for old in path.parent.glob(f"{path.stem}.page-*.js"):  # of a run with more pages
        if old not in written:
            old.unlink()
    return [path, *written]


def _base64(path):
    return base64.b64encode(path.read_bytes()).decode()


def _fill(text, title, style, scripts):
    """The head of the page, with its title, style and content security policy."""

    def hashes(parts):
        return " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}'" for part in parts
        )

    # scripts that the page's own scripts add, which are the pages of thumbnails beside it, are allowed ('strict-dynamic')
    licence = (HERE / "vendor" / "LICENSE").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; script-src {hashes(scripts)} 'strict-dynamic'; style-src {hashes([style])}; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    for mark, value in (
        ("{{policy}}", policy),
        ("{{licence}}", licence),
        ("{{style}}", style),
        ("{{title}}", html.escape(title)),
    ):
        text = text.replace(mark, value)
    return text
