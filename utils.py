"""What two or more chapters share, in the order in which the data flows.

Paths and tables, embeddings, clusters, scores, plots. What only one chapter needs lives in that chapter.
"""

import hashlib
import io
import itertools
import re
from contextlib import suppress
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import yaml
from IPython.display import Image, display
from PIL import ImageOps

from files import whole_or_absent
from images import load_rgb

ROOT = Path(__file__).resolve().parent
RANKS = ("family", "genus", "species")

# ---------------------------------------------------------------------------------------------- paths and tables


def _simple_name(name):
    """Return `name` if it can only name something inside its folder; ValueError otherwise."""
    if not re.fullmatch(r"\w[\w.-]*", str(name)):
        raise ValueError(f"{name!r} is no plain name: letters, digits, '.', '_' and '-' only, no folders")
    return name


def dataset_dir(dataset):
    """Folder of everything computed from one dataset (ignored by git): data/<dataset>/."""
    return ROOT / "data" / _simple_name(dataset)


def figures_dir(dataset):
    """Folder of the figures of one dataset: figures/<dataset>/. Never holds a photograph."""
    return ROOT / "figures" / _simple_name(dataset)


def load_params(kind, name):
    """Read params/<kind>/<name>.yaml as a dict; FileNotFoundError names what there is instead."""
    path = ROOT / "params" / kind / f"{_simple_name(name)}.yaml"
    if not path.is_file():
        known = sorted(p.stem for p in path.parent.glob("*.yaml"))
        raise FileNotFoundError(f"no {path.relative_to(ROOT)}; there are: {', '.join(known)}")
    return yaml.safe_load(path.read_text()) or {}


def _encoder_config(dataset, encoder):
    """All that the config of an encoder says: of a tuned one in data/<dataset>/models/, of others in params/encoders/."""
    tuned = dataset_dir(dataset) / "models" / f"{_simple_name(encoder)}.yaml"
    return yaml.safe_load(tuned.read_text()) if tuned.is_file() else load_params("encoders", encoder)


def encoder_card(dataset, encoder):
    """How to build an encoder: its config in params/encoders/, or the one that chapter 03 left in data/<dataset>/models/.

    What the config says about the encoder beside that, `role` and `start`, is left out.
    """
    config = _encoder_config(dataset, encoder)
    return {name: value for name, value in config.items() if name not in ("role", "start")}


def check_encoder(dataset, encoder, given):
    """ValueError if there is a config of this name and it differs from the `given` settings; it names those that do."""
    try:
        config = {"role": ""} | _encoder_config(dataset, encoder)
    except FileNotFoundError:
        return  # a name of its own

    def comparable(value):
        return list(value.items()) if isinstance(value, dict) else value or None  # layers have an order

    differing = [k for k, v in config.items() if k in given and comparable(v) != comparable(given[k])]
    if differing:
        changes = ", ".join(f"{key} = {given[key]!r} (there {config[key]!r})" for key in differing)
        raise ValueError(
            f"encoder = {encoder!r} has a config, and the parameters given differ from it: {changes}. Give those of the "
            "config, or choose another name"
        )


def encoder_lineage(dataset, encoder):
    """Which pretrained networks an encoder goes back to: a frozenset of "library/architecture/weights".

    A fused encoder goes back to what its parts do, and a tuned one to what its tuning started from, where its config tells.
    """
    found, seen, pending = set(), set(), [encoder]
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        config = _encoder_config(dataset, name)
        if config["library"] == "fused":
            pending += config["architecture"].split()
        elif config.get("start"):
            pending.append(config["start"])
        else:
            found.add("/".join(str(config[key]) for key in ("library", "architecture", "weights")))
    return frozenset(found)


def load_plan(dataset):
    """What chapter 06 was last asked for by make: encoders, clusterers, seeds, and the run to submit.

    FileNotFoundError if make has not come so far.
    """
    path = dataset_dir(dataset) / "config.yaml"
    plan = (yaml.safe_load(path.read_text()) or {}).get("plan") if path.is_file() else None
    if not plan:
        raise FileNotFoundError(
            f"{path} holds no plan: name encoders, clusterers and seeds, or run make all DATASET={dataset}"
        )
    return plan


def write_table(table, path):
    """Write a DataFrame to .parquet or .csv (by suffix), whole or not at all."""
    with whole_or_absent(path) as temporary:
        if Path(path).suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False)


def read_table(path, **options):
    """Read a table of this project, .parquet or .csv (by suffix, with pandas' `options`).

    FileNotFoundError if there is none, ValueError if it cannot be read; both name the file and what to do.
    """
    path = Path(path)
    shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    read = pd.read_parquet if path.suffix == ".parquet" else pd.read_csv
    try:
        return read(path, **options)
    except FileNotFoundError:
        raise FileNotFoundError(f"{shown} is missing: run make again, or the chapter that writes it") from None
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split()).replace(str(path), "it")
        raise ValueError(f"{shown} cannot be read ({reason}): delete it and run make again") from error


def file_digest(path):
    """SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def load_metadata(dataset):
    """The specimens that chapter 01 accepted, one row each, sorted by `hash_id`."""
    path = dataset_dir(dataset) / "metadata.parquet"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: run chapter 01 first (make all DATASET={dataset} SOURCE=<folder with photos and a CSV>)"
        )
    return read_table(path)


def lineage(metadata, rank):
    """The taxon of every row at `rank`, told apart by its ancestors; missing where the rank is not known.

    Two families may each hold a genus of the same name (plants and animals share names, and spelling slips):
    "Noctuidae > Agrotis" and "Poaceae > Agrotis" are two genera. Where a row leaves an ancestor blank and its taxon has
    one and only one in the other rows, that one is taken. A ">" in a name is doubled, so that " > " only ever joins.
    """
    names = metadata[list(RANKS[: RANKS.index(rank) + 1])].astype("string")
    names = names.apply(lambda column: column.str.replace(">", ">>", regex=False))
    for parent, child in reversed(list(itertools.pairwise(names.columns))):
        known = names[parent].groupby(names[child])
        names[parent] = names[parent].fillna(names[child].map(known.first()[known.nunique() == 1]).astype("string"))
    return names.fillna("").agg(" > ".join, axis=1).astype("string").where(metadata[rank].notna())


def family_halves(families):
    """0 or 1 for every one of a Series of family names, missing where no name is: families dealt out by falling size."""
    sizes = families.value_counts().sort_index().sort_values(kind="stable", ascending=False)
    return families.map(dict(zip(sizes.index, np.resize([0, 1, 1, 0], len(sizes)), strict=True)))


def sample_of_each(taxa, sizes, seed):
    """Rows, in their order, of `sizes[taxon]` or fewer of every taxon in (n,) names, drawn at random."""
    taxa = np.asarray(taxa)
    order = np.random.default_rng(seed).permutation(len(taxa))
    place = pd.Series(order).groupby(taxa[order]).cumcount().to_numpy()
    return np.sort(order[place < pd.Series(taxa[order]).map(sizes).to_numpy()])


def uneven_sizes(counts, power, seed):
    """{taxon: size}, 1 or more, that falls with a power of the taxon's place in a random order (Zipf's law).

    `counts` is a Series, taxon to the size it has: at power 0 all keep it, at 1 the tenth keeps a tenth.
    """
    place = np.random.default_rng(seed).permutation(len(counts)) + 1
    return dict(zip(counts.index, np.ceil(counts.to_numpy() / place**power).astype(int), strict=True))


def load_truth(dataset, ids):
    """What is known of simulated specimens beyond their photographs, a row for each id: columns trait_<name>, scene_<name>.

    FileNotFoundError if the dataset is not simulated.
    """
    path = dataset_dir(dataset) / "truth.parquet"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: only a world of params/worlds/ has one, and chapter 00 writes it")
    return read_table(path).set_index("hash_id").loc[list(ids)].reset_index()


# ---------------------------------------------------------------------------------------------------- embeddings


def load_embeddings(dataset, encoder, ids):
    """Embeddings of the given specimens: {layer: float32 array (len(ids), d)}, layers from shallow to deep.

    Rows are joined by `hash_id`. KeyError names the ids that have no embedding.
    """
    folder = dataset_dir(dataset) / "embeddings" / _simple_name(encoder)
    if not (folder / "_SUCCESS").is_file():
        raise FileNotFoundError(f"{folder} is not complete: run chapter 02 with encoder = {encoder!r}")
    return read_shards(folder, ids)


def read_shards(folder, ids):
    """What `load_embeddings` gives, from a folder that need not be complete."""
    shards = sorted(folder.glob("part-*.parquet"))
    if not shards:
        raise FileNotFoundError(f"{folder} holds no embeddings: run chapter 02 with encoder = {folder.name!r}")
    table = pd.concat(map(read_table, shards), ignore_index=True).set_index("hash_id")
    missing = [i for i in ids if i not in table.index]
    if missing:
        raise KeyError(f"{folder.name} has no embedding for {len(missing)} specimens: {', '.join(missing[:10])}")
    return {layer: np.stack(column.to_numpy()).astype(np.float32) for layer, column in table.loc[list(ids)].items()}


def pick_layer(embeddings, layer):
    """One layer by name, or the "first" (shallowest) or "last" (deepest) of those extracted."""
    names = list(embeddings)
    if layer not in ("first", "last", *names):
        raise ValueError(f"no layer {layer!r}: this encoder has {', '.join(names)} (or say first, last)")
    return embeddings[{"first": names[0], "last": names[-1]}.get(layer, layer)]


# ------------------------------------------------------------------------------------------------------ clusters


def name_clusters(ids, family, genus, species):
    """Cluster table from three label arrays (n,): a cluster is named by its path, as in Noctuidae/g2/s1.

    Labels may be local (a genus label counts within its family, a species label within its genus): the names are
    unique over the dataset and nested by construction. Numbers follow the order of the rows. A family's name may hold a
    slash itself: whoever takes a path apart does it from the right.
    """
    family = pd.Series(np.asarray(family, object), dtype="string")

    def inside(parent, labels, letter):
        number = pd.Series(np.asarray(labels)).groupby(parent).transform(lambda group: pd.factorize(group)[0] + 1)
        return parent + f"/{letter}" + number.astype("string")

    genus = inside(family, genus, "g")
    species = inside(genus, species, "s")
    ids = np.asarray(ids, object)
    return pd.DataFrame(
        {"hash_id": ids, "family_cluster": family, "genus_cluster": genus, "species_cluster": species}
    ).astype("string")


def check_clusters(clusters, ids):
    """Raise ValueError unless every id has one row, no label is missing, and species nest in genera in families."""
    if clusters["hash_id"].duplicated().any() or set(clusters["hash_id"]) != set(ids):
        raise ValueError("the clusters do not hold every specimen exactly once")
    labels = clusters[[f"{rank}_cluster" for rank in RANKS]]
    if labels.isna().any(axis=None):
        raise ValueError("some specimens have no cluster")
    for parent, child in itertools.pairwise(labels.columns):
        if (labels.groupby(child)[parent].nunique() > 1).any():
            raise ValueError(f"a {child} lies in two {parent}s: the clusters are not nested")


# --------------------------------------------------------------------------------------------------------- plots

# Okabe and Ito's eight colours (https://jfly.uni-koeln.de/color/), told apart with any common colour blindness;
# black and grey are left for reference marks.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442", "#000000")
GREY = "#BBBBBB"


def set_style():
    """One look for every figure: white ground, light grid, type that stays readable at README width."""
    sns.set_theme(context="notebook", style="whitegrid", palette=PALETTE)
    plt.rcParams.update({"figure.dpi": 100, "savefig.dpi": 150, "savefig.bbox": "tight", "axes.titlesize": "medium"})


def save_figure(figure, path):
    """Write a figure as .png or .jpg, whole or absent, with no date or software stamp: same figure, same bytes."""
    kind = Path(path).suffix[1:]
    options = {"png": {"metadata": {"Software": None}}, "jpg": {"pil_kwargs": {"quality": 85}}}[kind]
    with whole_or_absent(path) as temporary:
        figure.savefig(temporary, format=kind, **options)


def plain(text, width=40):
    """Text from a user as matplotlib draws it letter by letter: on one line, at most `width` letters, no mathematics.

    What cannot be printed, such as half a character from a file's name, becomes a replacement character.
    """
    text = " ".join(str(text).split())
    text = text if len(text) <= width else f"{text[: width - 1].rstrip()}…"
    text = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    text = re.sub(r"(?<!\\)\$", r"\\$", text)  # two dollars would enclose a formula
    return f" {text}" if text.startswith("_") else text  # a legend leaves out what starts with an underscore


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


def show_photos(figure):
    """Show a figure that holds photographs in the notebook: as JPEG, which takes a tenth of the room."""
    stream = io.BytesIO()
    figure.savefig(stream, format="jpg", pil_kwargs={"quality": 80})
    plt.close(figure)
    display(Image(stream.getvalue(), format="jpeg"))


def encoder_label(encoder):
    """Name of an encoder for people, with its role where it knows anything but the photographs."""
    pretrained = (ROOT / "params" / "encoders" / f"{encoder}.yaml").is_file()
    role = encoder != "none" and load_params("encoders" if pretrained else "trainers", encoder).get("role")
    return f"{encoder} ({role})" if role else encoder


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
