"""Fill the generated parts of README.md and docs/*.md from the tables in figures/<dataset>/: `make docs`.

A part stands between `<!-- generated: FUNCTION ARGUMENTS -->` and `<!-- end -->`, where FUNCTION is one of `GENERATED` and the
arguments are words. So no number in a table is typed, and a test checks that all come from the last runs.
"""

import itertools
import re
import sys
from pathlib import Path

import pandas as pd
from PIL import Image

import plotting
import scoring
import utils

ROOT = Path(__file__).resolve().parent
IMAGE = re.compile(r"!\[(?P<title>[^]]*?[.?!](?= [A-Z])) (?P<rest>[^]]*)\]\((?P<path>[^)]+)\)")
PART = re.compile(r"(<!-- generated: ([^>]*?) -->)\n.*?(<!-- end -->)", re.DOTALL)
BOUNDS = ["value", "ci_low", "ci_high"]
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
WRITERS = {  # of the tables in figures/<dataset>/ that pages read: chapter and target of make
    "scores": ("06_evaluate", "all"), "trust": ("16_trust", "all"), "comparisons": ("06_evaluate", "all"),
    "choosing": ("10_choosing_without_labels", "report"), "robustness": ("11_robustness", "report"),
    "k_rules": ("13_how_many", "report"), "held_out_families": ("13_how_many", "report"),
    "stress": ("15_stress_test", "report"), "effort": ("17_naming_effort", "report"), "how_sure": ("18_how_sure", "report"),
    "heads": ("29_learned_heads", "report"),
    "trees": ("24_trees", "report"), "heatmaps": ("26_what_the_encoder_sees", "report"),
    "probes": ("27_what_can_be_read", "report"), "sweep_worlds": ("95_sweep_recoverability", "sweep SWEEP=worlds"),
    "barcode_scores": ("07_dna_barcodes", "barcodes"), "image_and_dna": ("22_image_and_dna", "referee"),
    "alignment_retrieval": ("08_align_image_dna_text", "align"), "alignment_clusters": ("08_align_image_dna_text", "align"),
    "sweep_trainers": ("97_sweep_training", "sweep SWEEP=trainers"),
    "speed_of_extraction": ("28_speed", "bench"), "speed_of_clustering": ("28_speed", "bench"),
}  # fmt: skip
opened = []  # tables that were read, as (dataset, name), for `artifacts`
IMAGENET = ("resnet50_crops", "resnet50_double", "resnet18_double", "deit_tiny", "fused_imagenet")


def read(dataset, name):
    """A table of figures/<dataset>/."""
    opened.append((dataset, name))
    return utils.read_table(ROOT / "figures" / dataset / f"{name}.csv")


def rows_of(header, rows):
    """A Markdown table of lists of cells, with no -0.00."""
    lines = [f"| {' | '.join(map(str, cells))} |" for cells in (header, ["---"] * len(header), *rows)]
    return re.sub(r"-(0\.0+)\b", r"\1", "\n".join(lines))


def interval(mean, low, high, sign=""):
    """0.25 [0.21, 0.30], without brackets where there is no interval."""
    return f"{mean:{sign}.2f}" + (f" [{low:.2f}, {high:.2f}]" if pd.notna(low) else "")


def mean_scores(dataset):
    """Means over seeds of value, ci_low and ci_high by (encoder, clusterer, rank, metric)."""
    scores = read(dataset, "scores")
    return scores.groupby(["encoder", "clusterer", "rank", "metric"])[BOUNDS].mean()


def shown(name):
    return name.replace("_", " ")


# ------------------------------------------------------------------------------------------------------- clusters


def headline(dataset, encoder, clusterer=utils.DEFAULT_CLUSTERER):
    """What a run finds, in two sentences."""
    value = mean_scores(dataset)["value"].xs("species", level="rank")
    run, oracle, prepared, family = (
        value[key]
        for key in (
            (encoder, clusterer),
            (encoder, "oracle_k_ward"),
            (encoder, "oracle_k_ward_prepared"),
            ("none", "baseline_family"),
        )
    )
    shares = ", ".join(f"{run[f'taxa_{kind}']:.0%} {kind}" for kind in scoring.OUTCOMES[1:])
    without = ""
    if (encoder, "images_alone") in value:
        without = f", photographs without family names {value[encoder, 'images_alone', 'ami']:.2f}"
    return (
        f"**{run['n_found']:,.0f} clusters for {run['n_true']:,.0f} species.** {run['taxa_found']:.0%} of the species are "
        f"found, {shares}. Agreement with the true species (AMI: 0 is chance, 1 is perfect) is **{run['ami']:.2f}**; family "
        f"names alone give {family['ami']:.2f}{without}. The oracle-k reference, trees by Ward's method cut at the true "
        f"numbers, has {prepared['ami']:.2f} ({oracle['ami']:.2f} on the embedding as it comes)."
    )


def answer(*runs):
    """What the default finds, a row per <dataset>/<encoder>."""
    rows = []
    for dataset, encoder in (run.split("/") for run in runs):
        value = mean_scores(dataset)["value"].xs("species", level="rank")
        run, photographs = value[encoder, utils.DEFAULT_CLUSTERER], read(dataset, "effort")["photographs"].iloc[0]
        found = f"{run['taxa_found']:.0%}"
        others = (encoder, "images_alone"), ("none", "baseline_family"), (encoder, "oracle_k_ward_prepared")
        scores = [run["ami"], *(value.get((*other, "ami")) for other in others)]
        rows.append([plotting.dataset_name(dataset), f"{photographs:,}", f"{run['n_true']:.0f}", f"{run['n_found']:,.0f}"])
        rows[-1] += [found, *("–" if score is None else f"{score:.2f}" for score in scores)]
    header = ["", "photographs", "species", "clusters", "species found", "AMI", "AMI, photographs alone"]
    header += ["AMI, family names alone", "AMI at the true number"]
    return rows_of(header, rows)


def check_known(dataset, table, asked, known):
    """ValueError if a page asks for what is not in a table: its rows would be missing without a word."""
    if unknown := set(asked) - set(known):
        raise ValueError(f"figures/{dataset}/{table}.csv knows no {', '.join(sorted(unknown))}")


def scores(dataset, *names):
    """Runs by species AMI; `names` are the encoders and clusterers to show, of both all where none is named."""
    mean, comparisons = mean_scores(dataset), read(dataset, "comparisons").set_index(["rank", "encoder", "clusterer"])
    value = mean["value"].unstack(["rank", "metric"])
    header = ["encoder", "clusterer", "species AMI", "above family-only", "difference to best", "clusters / species"]
    header += [*scoring.OUTCOMES, "genus AMI", "clusters / genera"]
    order, rows = value["species", "ami"].sort_values(ascending=False, kind="stable").index, []
    known = {*value.index.get_level_values(0), *value.index.get_level_values(1)}
    check_known(dataset, "scores", names, known)
    for run in order:
        asked = not names or (run[1] in names and (run[0] in names or run[0] == "none"))
        if not asked or ("species", *run) not in comparisons.index:
            continue
        at = value.loc[run]
        best = comparisons.loc["species", *run]
        above = mean.loc[(*run, "species", "ami_above_family")]
        difference = interval(*best[["difference", "ci_low", "ci_high"]], sign="+")
        rows.append([run[0], shown(run[1]), f"{at['species', 'ami']:.2f}", interval(*above, sign="+")])
        rows[-1] += [difference + ("" if best["significant"] else " (n.s.)")]
        rows[-1] += [f"{at['species', 'n_found']:,.0f} / {at['species', 'n_true']:,.0f}"]
        rows[-1] += [f"{at['species', f'taxa_{kind}']:.0%}" for kind in scoring.OUTCOMES]
        rows[-1] += [f"{at['genus', 'ami']:.2f}", f"{at['genus', 'n_found']:,.0f} / {at['genus', 'n_true']:,.0f}"]
    return rows_of(header, rows)


def clusterers():
    """Every config in params/clusterers/ and the comment that it begins with."""
    rows = []
    for path in sorted((ROOT / "params" / "clusterers").glob("*.yaml")):
        comment = itertools.takewhile(lambda line: line.startswith("#"), path.read_text().splitlines())
        rows.append([f"[{path.stem}](../params/clusterers/{path.name})", " ".join(line[1:].strip() for line in comment)])
    return rows_of(["name", "what it does"], rows)


def images_alone(dataset, *encoders):
    """What is lost without family names."""
    ami = mean_scores(dataset)["value"].unstack("rank")
    header = ["encoder", "species AMI, family given", "images alone", "genus AMI, family given", "images alone", "family AMI"]
    header += ["clusters for species, family given", "images alone"]
    rows = []
    for encoder in encoders:
        given, alone = (ami.loc[encoder, name] for name in (utils.DEFAULT_CLUSTERER, "images_alone"))
        cells = [f"{run.loc['ami', rank]:.2f}" for rank in ("species", "genus") for run in (given, alone)]
        counts = [f"{run.loc['n_found', 'species']:,.0f}" for run in (given, alone)]
        rows.append([encoder, *cells, f"{alone.loc['ami', 'family']:.2f}", *counts])
    family = ami.loc["none", "baseline_family"].loc["ami"]
    rows.append(["family-only baseline", f"{family['species']:.2f}", "", f"{family['genus']:.2f}", *[""] * 4])
    return rows_of(header, rows)


# --------------------------------------------------------------------------------------- indices and numbers of clusters


def choosing(*datasets):
    """Rank correlation of every index with the species AMI, and the AMI of the run it likes best."""
    tables = {dataset: read(dataset, "choosing").set_index("index") for dataset in datasets}
    order = sum(table["spearman"].fillna(-1) for table in tables.values()).sort_values(ascending=False, kind="stable").index
    header, rows = ["index"], []
    for dataset in datasets:
        header += [dataset, "chosen AMI"]
    for name in order:
        rows.append([name])
        for table in tables.values():
            row = table.loc[name]
            known = pd.notna(row["spearman"])
            rows[-1].append(interval(*row[["spearman", "ci_low", "ci_high"]], sign="+") if known else "")
            rows[-1].append(f"{row['chosen_ami']:.2f}" if pd.notna(row["chosen_ami"]) else "")
    return rows_of(header, rows)


def of_imagenet(dataset, name):
    """The rows of a table on encoders that are trained on ImageNet alone."""
    table = read(dataset, name)
    return table[table["encoder"].isin(IMAGENET)]


def held_out(dataset):
    """Species and genus AMI of settings chosen on one half of the families and reported on the other; mean of both ways."""
    table = of_imagenet(dataset, "held_out_families")
    mean = table.groupby(["encoder", "setting"], sort=False)[["species", "genus"]].mean()
    settings = list(dict.fromkeys(table["setting"]))
    encoders = list(dict.fromkeys(table["encoder"]))
    cells = {e: ["{species:.2f}, {genus:.2f}".format(**mean.loc[e, setting]) for setting in settings] for e in encoders}
    return rows_of(["encoder", *settings], [[encoder, *row] for encoder, row in cells.items()])


def k_rules(dataset):
    """Species AMI, and number found over the true one, by rule and preparation; mean over encoders."""
    table = of_imagenet(dataset, "k_rules")
    species = table[(table["clusters"] == "species") & table["half"].isna()]
    true = mean_scores(dataset)["value"].loc["none", "baseline_family", "species", "n_true"]
    pivot = species.pivot_table(index="rule", columns="preparation", values=["ami", "found"], sort=False)
    rows = [
        [shown(rule), *(f"{row['ami', name]:.2f} ({row['found', name] / true:.1f})" for name in pivot["ami"])]
        for rule, row in pivot.iterrows()
    ]
    return rows_of(["rule for k", *pivot["ami"].columns], rows)


def elsewhere(*datasets):
    """The setting that is best on all other datasets, on each dataset; beside it fixed settings, all relative to oracle k.

    A setting is a preparation and a rule for k. Its value on a dataset is the mean over encoders of its species AMI divided by
    that of oracle-k Ward on the plain embedding.
    """
    values, counts = {}, {}
    for dataset in datasets:
        table = of_imagenet(dataset, "k_rules")
        table = table[(table["clusters"] == "species") & table["half"].isna()].set_index(["preparation", "rule", "encoder"])
        oracle = table["ami"].xs(("plain", "oracle k"), level=["preparation", "rule"])
        settings = table.drop("oracle k", level="rule")
        values[dataset] = (settings["ami"] / oracle).groupby(level=[0, 1]).mean()
        counts[dataset] = settings["found"].groupby(level=[0, 1]).mean()
    values, counts = pd.DataFrame(values), pd.DataFrame(counts)
    default, usual = ("signed sqrt, half whitened", "common height"), ("plain", "silhouette")
    rows = []
    for dataset in datasets:
        true = mean_scores(dataset)["value"].loc["none", "baseline_family", "species", "n_true"]
        chosen = values.drop(columns=dataset).mean(axis=1).idxmax()
        cells = [f"{values.loc[s, dataset]:.2f} ({counts.loc[s, dataset] / true:.1f})" for s in (chosen, default, usual)]
        rows.append([plotting.dataset_name(dataset), f"{chosen[1]}; {chosen[0]}".replace("_", " "), *cells])
    return rows_of(["dataset", "best on the others", "its value here", "default", "plain silhouette"], rows)


def stress(*datasets):
    """Number found and plausible numbers over the true one, and AMI, by situation: simulated, then samples of every dataset."""
    rules = {
        "common height": "default",
        "common height, Ward": "common height, Ward",
        "silhouette excluding 0 to 2": "silhouette excluding 0 to 2",
        "silhouette, plain embedding": "plain silhouette",
        "common height, no family names": "default, no family names",
    }
    rows = []
    for number, dataset in enumerate(datasets):
        table = read(dataset, "stress")
        if number:  # the simulated embeddings are the same everywhere
            table = table[table["embedding"] != "simulated"]
        ratios = table[["found", "fewest", "most"]].div(table["true"], axis=0)
        table = table.drop(columns=["fewest", "most"]).join(ratios.set_axis(["ratio", "fewest", "most"], axis=1))
        for (kind, situation), part in table.groupby(["embedding", "situation"], sort=False):
            mean = part.groupby("rule")[["ratio", "ami", "fewest", "most"]].mean()
            cells = [f"{mean.loc[rule, 'ratio']:.1f} ({mean.loc[rule, 'ami']:.2f})" for rule in rules]
            cells.insert(1, "{fewest:.1f} to {most:.1f}".format(**mean.loc["common height"]))
            rows.append([shown(kind), situation, *cells, f"{mean.loc['oracle k', 'ami']:.2f}"])
    first, *others = rules.values()
    return rows_of(["embedding", "situation", first, "plausible", *others, "oracle k (plain embedding), AMI"], rows)


def plausible(*datasets):
    """How often the plausible numbers of the default hold the true one, a sentence."""
    tables = [read(dataset, "stress") for dataset in datasets]
    tables = [tables[0].query("embedding == 'simulated'"), *(table.query("embedding != 'simulated'") for table in tables)]
    parts, widths = [], []
    for table, what in zip(tables, ("simulated embeddings", *map(plotting.dataset_name, datasets)), strict=True):
        default = table[table["rule"] == "common height"]
        holds = default["true"].between(default["fewest"], default["most"])
        parts.append(f"{holds.sum()} of {len(holds)} {'samples of ' if parts else ''}{what}")
        widths.extend(default["most"] / default["fewest"])
    *first, last = parts
    where = ", ".join(first)
    width = pd.Series(widths).median()
    return f"The true number is plausible in {where} and {last}. The range spans a factor of {width:.1f} (median)."


# ---------------------------------------------------------------------------------------------------- trust and effort


def trust(*datasets):
    """How well trust tells right photographs from wrong ones."""
    header = ["dataset", "run", "right", "mean trust", "right one trusted more"]
    header += ["right in the top 20 %", "top 40 %", "top 60 %", "purity of the most trusted 60 % of clusters"]
    rows = []
    for dataset in datasets:
        table = read(dataset, "trust").set_index("share")
        at = table["photographs_right"]
        cells = [at[1.0], table["trust_of_tenth"].mean(), table["auc"].iloc[0], at[0.2], at[0.4], at[0.6]]
        cells.append(table.loc[0.6, "clusters_pure"])
        rows.append([plotting.dataset_name(dataset), shown(table["run"].iloc[0]), *(f"{value:.0%}" for value in cells)])
    return rows_of(header, rows)


def saved(*datasets):
    """Decisions of an expert with clusters, with nearest neighbours and one by one, a row per dataset."""
    rows, goals, strategies = [], (0.8, 0.9, 0.95), ["clusters, mixed ones split", "nearest neighbours", "one by one"]
    for dataset in datasets:
        table = read(dataset, "effort")
        name = f"{plotting.dataset_name(dataset)}, {table['photographs'].iloc[0]:,} photographs"
        table = table.set_index(["strategy", "goal"])["decisions"].unstack("goal")
        rows.append([name, *(" / ".join(f"{number:,.0f}" for number in table.loc[strategies, goal]) for goal in goals)])
    return rows_of(["", *(f"{goal:.0%} right" for goal in goals)], rows)


def clades(*datasets):
    """Genera that are clades of the tree of clusters, a row per dataset."""
    header = ["dataset", "families", "species", "genera of several species", "clades", "by chance"]
    rows = []
    for dataset in datasets:
        table = read(dataset, "trees")
        chance = table["by_chance"].sum()
        cells = (f"{table[name].sum():,}" for name in ("species", "genera", "clades"))
        rows.append([plotting.dataset_name(dataset), len(table), *cells, f"{chance:.1f}"])
    return rows_of(header, rows)


def heat(dataset, *encoders):
    """Where the heat of networks lies, and how far the embedding moves if the hottest fifth is hidden, a row per map."""
    table = read(dataset, "heatmaps")
    check_known(dataset, "heatmaps", encoders, table["encoder"])
    part = "organism" if "heat, organism" in set(table["measure"]) else "central half"
    header = ["encoder", "layer", "map", f"heat in the {part}", "area", "hottest fifth hidden", "that of another photograph"]
    header += ["a random fifth", "hottest minus another's"]
    rows = []
    for encoder in encoders:
        for (layer, kind), at in table[table["encoder"] == encoder].groupby(["layer", "map"], sort=False):
            at = at.set_index("measure")[BOUNDS]
            means = [at.loc[name, "value"] for name in (f"area, {part}", "hottest", "another", "random")]
            rows.append([encoder, layer, kind, interval(*at.loc[f"heat, {part}"]), *(f"{mean:.2f}" for mean in means)])
            rows[-1].append(interval(*at.loc["hottest above another"], sign="+"))
    return rows_of(header, rows)


def worlds(dataset):
    """Species AMI with families given, and clusters found, in every world of the sweep `worlds`."""
    table = read(dataset, "sweep_worlds")
    value = table[table["rank"] == "species"].set_index(["encoder", "seed", "metric"])["value"]
    names = [name for name in table["encoder"].unique() if name != "none"]
    rows = []
    for seed in table["seed"].unique():
        cells = [f"{value[name, seed, 'ami_families_given']:.2f} ({value[name, seed, 'n_found']:.0f})" for name in names]
        rows.append([seed, *cells])
    return rows_of(["world (seed)", *map(shown, names)], rows)


def orders(dataset, *encoders):
    """Species AMI of a simulated world by order: the clusters, and a linear classifier trained on half of the names."""
    table = read(dataset, "probes").set_index(["part", "encoder", "measure"])
    parts = [part for part in table.index.unique("part") if part not in ("species", "trait")]
    both = ("clusters", "linear classifier")
    header = ["order", *(f"{shown(encoder)}, {measure}" for encoder in encoders for measure in both)]
    rows = []
    for part in ("species", *parts):
        at = table.loc[part]
        cells = [interval(*at.loc[(encoder, m), BOUNDS]) for encoder in encoders for m in both]
        rows.append([part if part in parts else "all", *cells])
    return rows_of(header, rows)


def how_sure(*datasets):
    """Three intervals of the AMI of the default, and its difference to oracle k."""
    header = ["dataset", "encoder", "clusters / species", "plausible", "species AMI", "over species", "over genera"]
    header += ["on 80 % of the photographs", "normalised by the larger entropy"]
    header += ["default minus oracle k [90 %]", "shown to be equivalent"]
    rows = []
    for dataset in datasets:
        for row in of_imagenet(dataset, "how_sure").to_dict("records"):
            over = [f"[{row[f'ami_low_{rank}']:.2f}, {row[f'ami_high_{rank}']:.2f}]" for rank in ("species", "genus")]
            difference = interval(row["difference"], row["difference_low_species"], row["difference_high_species"], sign="+")
            cells = [f"{row['found']:,} / {row['true']:,}", f"{row['fewest']:,} to {row['most']:,}", f"{row['ami']:.2f}", *over]
            cells += [f"{row['subsamples']:.2f} ± {row['subsamples_sd']:.2f}", f"{row['ami_max']:.2f}", difference]
            rows.append([plotting.dataset_name(dataset), row["encoder"], *cells, "yes" if row["equivalent"] else "no"])
    return rows_of(header, rows)


def learned(part, *datasets):
    """Chapter 29's heads ("head") or maps ("map"): species AMI and clusters at numbers that are found, and at the true ones."""
    header = ["dataset", "encoder", "method", "species AMI", "clusters / species"]
    header += ["oracle k", "difference to Ward" if part == "head" else "difference to as prepared", "triplets"]
    rows = []
    for dataset in datasets:
        table = read(dataset, "heads")
        wide = table[table["part"] == part].set_index(["encoder", "method", "numbers"])
        for encoder, method in wide.index.droplevel("numbers").unique():
            found, oracle = (wide.loc[(encoder, method, numbers)] for numbers in ("found", "oracle k"))
            cells = [f"{found['ami']:.2f}", f"{found['clusters']:,.0f} / {found['species']:,}", f"{oracle['ami']:.2f}"]
            same = method in ("Ward", "as prepared")
            bounds = oracle[["difference", "difference_low", "difference_high"]]
            cells += ["" if same else interval(*bounds, sign="+"), f"{found['triplets']:.2f}"]
            rows.append([plotting.dataset_name(dataset), encoder, method, *cells])
    keep = slice(None) if part == "map" else slice(-1)  # a head has no tree, and so no triplets
    return rows_of(header[keep], [row[keep] for row in rows])


def kinship(dataset, *encoders):
    """What the default finds with some encoders, and how far their trees agree with the taxonomy."""
    means = mean_scores(dataset)["value"]
    header = ["encoder", "species AMI", "clusters / species", "oracle k", "triplets", "dendrogram purity of genera"]
    rows = []
    for encoder in encoders:
        species = means.loc[encoder, utils.DEFAULT_CLUSTERER, "species"]
        tree = means.loc[encoder, "ward_dendrogram", "all"]
        oracle = means.loc[encoder, "oracle_k_ward_prepared", "species"]["ami"]
        cells = [f"{species['ami']:.2f}", f"{species['n_found']:,.0f} / {species['n_true']:,.0f}", f"{oracle:.2f}"]
        rows.append([encoder, *cells, f"{tree['triplet_accuracy']:.2f}", f"{tree['dendrogram_purity_genus']:.2f}"])
    return rows_of(header, rows)


def effort(*datasets):
    """Decisions of an expert until so many photographs carry the right name."""
    rows = []
    for dataset in datasets:
        table = read(dataset, "effort")
        for strategy, part in table.groupby("strategy", sort=False):
            part = part.set_index("goal")
            cells = [
                f"{row['decisions']:,.0f} [{row['ci_low']:,.0f}, {row['ci_high']:,.0f}]" for _, row in part.iterrows()
            ]
            name = f"{plotting.dataset_name(dataset)} ({part['photographs'].iloc[0]:,} of {part['species'].iloc[0]:,} species)"
            rows.append([name, strategy, *cells, f"{part.loc[0.9, 'photographs_per_decision']:.1f}"])
    return rows_of(["photographs", "strategy", "80 %", "90 %", "95 %", "photographs per decision at 90 %"], rows)


def robustness(dataset):
    """AMI and number of clusters at the first and the last severity of every perturbation, mean over seeds."""
    table = read(dataset, "robustness")
    ends = table.groupby("perturbation")["severity"].agg(["first", "last"])
    mean = table[table["seed"].isna()].set_index(["rank", "clusterer", "metric"])[["perturbation", "severity", *BOUNDS]]
    header = ["perturbation", "severity", "species AMI", "family-only", "oracle k", "clusters / species", "genus AMI"]
    rows = []
    for key, part in mean.groupby(["perturbation", "severity"], sort=False):
        if key[1] not in ends.loc[key[0]].to_numpy():
            continue
        species, genus = part.loc["species"], part.loc["genus"]
        amis = [interval(*of.loc[(utils.DEFAULT_CLUSTERER, "ami"), BOUNDS]) for of in (species, genus)]
        references = [f"{species.loc[(name, 'ami'), 'value']:.2f}" for name in ("baseline_family", "oracle_k_ward_prepared")]
        counts = " / ".join(f"{species.loc[(utils.DEFAULT_CLUSTERER, name), 'value']:,.0f}" for name in ("n_found", "n_true"))
        rows.append([key[0], f"{key[1]:g}", amis[0], *references, counts, amis[1]])
    return rows_of(header, rows)


# --------------------------------------------------------------------------------------------------------- tuning

GAINS = {name: name.removeprefix("species ") if "supervised" in name else name for name in scoring.MEASURES.values()}


def tuning(dataset, sweep):
    """What tuning gains over the frozen encoder by layer avgpool, with the head for the config of the study."""
    table = read(dataset, f"sweep_{sweep}")
    frozen, _, gain = scoring.tuning_gains(table)
    start = frozen.xs("avgpool", level="layer").groupby("measure").mean()
    family = table[table["clusterer"] == "baseline_family"].set_index("rank")["value"]
    of_family = {f"{rank} AMI": f"{value:.2f}" for rank, value in family.items()}
    rows = [["family-only baseline", *(of_family.get(measure, "") for measure in GAINS)]]
    rows.append(["frozen", *(f"{start[measure]:.2f}" for measure in GAINS)])
    means = scoring.mean_interval(gain, ["trainer", "layer", "measure"])
    for trainer in dict.fromkeys(table["trainer"].dropna()):
        for layer in ("avgpool", "head_avgpool") if trainer == "supcon_original" else ("avgpool",):
            name = trainer + (", its head" if layer.startswith("head") else "")
            rows.append([name, *(interval(*means.loc[trainer, layer, measure], sign="+") for measure in GAINS)])
    return rows_of(["", *GAINS.values()], rows)


# ------------------------------------------------------------------------------------------------------- barcodes


def unseen_genus(dataset):
    """Encoders of barcodes: genus accuracy of unseen species by the nearest neighbour, and time relative to 6-mers."""
    table = read(dataset, "barcode_scores")
    value = table[table["setting"].isin(["unseen genus", "time"])].pivot(index="encoder", columns="metric", values="value")
    rows = []
    for encoder in dict.fromkeys(table.loc[table["setting"] == "unseen genus", "encoder"]):
        at = value.loc[encoder]
        rows.append([encoder, interval(*at[["mean over species", "low", "high"]]), f"{at['distinct']:.2f}"])
        difference = interval(*at[["above 6-mers", "above, low", "above, high"]], sign="+")
        rows[-1] += ["" if encoder == "6-mers" else difference, f"{at['over barcodes']:.2f}"]
        rows[-1].append(f"{at['encoding, ms'] / value.loc['6-mers', 'encoding, ms']:.1f}")
    header = ["encoder", "mean over species", "distinct barcodes", "above 6-mers", "over barcodes", "time (6-mers = 1)"]
    return rows_of(header, rows)


def barcode_clusters(dataset, subset):
    """AMI of clusters of barcodes of unseen species: `subset` is "all" or "distinct"."""
    table = read(dataset, "barcode_scores")
    chosen = table[table["setting"].str.endswith(f", {subset}")]
    value = chosen.set_index(["setting", "encoder", "rank", "metric"])["value"].sort_index()
    header, rows = ["encoder", "setting", "family", "genus", "species", "BIN", "clusters found", "time (6-mers = 1)"], []
    for setting, encoder in dict.fromkeys(zip(chosen["setting"], chosen["encoder"], strict=True)):
        at = value[setting, encoder]
        amis = [f"{at[rank, 'ami']:.3f}" if (rank, "ami") in at else "" for rank in (*utils.RANKS, "bin")]
        found, time = at.get(("species", "clusters found")), at.get(("barcode", "clustering, ms"))
        of_kmers = value.get((setting, "6-mers", "barcode", "clustering, ms"))
        rows.append([encoder, setting.rpartition(",")[0], *amis])
        rows[-1] += ["" if found is None else f"{found:,.0f}", "" if time is None else f"{time / of_kmers:.1f}"]
    return rows_of(header, sorted(rows, key=lambda row: row[1]))  # family given, family withheld, oracle k


def seen_species(dataset):
    """Accuracy of classifiers that learn the names of species, on barcodes set aside; and trees of a few species."""
    table = read(dataset, "barcode_scores")
    value = table[table["setting"] == "seen species"].pivot(index="encoder", columns="metric", values="value")
    rows = [[name, *("" if pd.isna(cell) else f"{cell:.2f}" for cell in row)] for name, row in value.iterrows()]
    return rows_of(["encoder", *value], rows)


def barcode_trees(dataset):
    """Share of families and genera that are clades in trees of a few barcodes."""
    table = read(dataset, "barcode_scores")
    chosen = table[table["setting"] == "tree"]
    rows = [[name, f"{value:.2f}"] for name, value in zip(chosen["encoder"], chosen["value"], strict=True)]
    return rows_of(["tree", "share of families and genera that are clades"], rows)


def image_and_dna(dataset):
    """AMI of clusters of image, DNA and both, by setting and rank."""
    table = read(dataset, "image_and_dna")
    rows = []
    for (setting, kind), at in table.groupby(["setting", "input"], sort=False):
        at = at.set_index("rank")
        cells = [interval(*at.loc[rank, ["ami", "ci_low", "ci_high"]]) if rank in at.index else "" for rank in utils.RANKS]
        rows.append([setting, kind, *cells, f"{at['clusters'].iloc[-1]:,}"])
    header = ["setting", "input", "family", "genus", "species", "clusters for species"]
    return rows_of(header, sorted(rows, key=lambda row: row[0]))


def retrieval(dataset):
    """Accuracy of every rank by task and training, for seen and unseen species, and the harmonic mean at the species rank."""
    table = read(dataset, "alignment_retrieval")
    means = table.groupby(["task", "training", "rank", "species"], sort=False)["mean_over_species"].mean().unstack()
    rows = []
    for (task, training), at in means.groupby(["task", "training"], sort=False):
        at = at.droplevel(["task", "training"])
        one, other = at.loc["species", ["seen", "unseen"]]
        cells = [f"{at.loc[rank, 'seen']:.2f} / {at.loc[rank, 'unseen']:.2f}" for rank in utils.RANKS]
        rows.append([task, training, *cells, f"{scoring.harmonic_mean(one, other):.2f}"])
    return rows_of(["task", "training", *(f"{rank}, seen / unseen" for rank in utils.RANKS), "harmonic mean, species"], rows)


def alignment(dataset):
    """Species AMI of the photographs of unseen species, by training, with gains over the frozen encoder and the control."""
    rows = []
    for row in read(dataset, "alignment_clusters").sort_values("setting", kind="stable").itertuples():
        gain = interval(row.gain, row.gain_low, row.gain_high, "+") if row.training != "frozen encoder" else ""
        above = [row.above_control, row.above_control_low, row.above_control_high]
        above = interval(*above, "+") if pd.notna(row.above_control) else ""
        ami = interval(row.ami, row.ci_low, row.ci_high)
        rows.append([row.setting, row.training, row.embedding, ami, gain, above, f"{row.clusters} / {row.species}"])
    header = ["setting", "training", "embedding", "species AMI", "over frozen", "over control", "clusters / species"]
    return rows_of(header, rows)


# ---------------------------------------------------------------------------------------------------------- speed


def extraction(dataset):
    """How many times as fast chapter 02 is as other loops, by size of the photographs."""
    table = read(dataset, "speed_of_extraction").set_index("photographs")
    loops = [name for name in table if name != "network alone"]
    header = ["JPEGs", *(f"times as fast as {name}" for name in loops), "share of the network alone"]
    rows = [
        [size, *("" if pd.isna(row[name]) else f"{row[name]:.1f}" for name in loops), f"{row['network alone']:.0%}"]
        for size, row in table.iterrows()
    ]
    return rows_of(header, rows)


def growth(dataset):
    """Time, memory and agreement of clusterers by number of photographs."""
    table = read(dataset, "speed_of_clustering")
    header = ["photographs", "families", "clusterer", "time / that of the fastest", "memory at most", "species AMI"]
    rows = [
        [
            f"{row.photographs:,}", f"{row.families:,}", shown(row.clusterer), f"{row.times_the_fastest:.1f}",
            f"{row.gigabytes:.1f} GB", f"{row.species_ami:.2f}", f"{row.clusters:,} / {row.species:,}",
        ]
        for row in table.itertuples()
    ]  # fmt: skip
    return rows_of([*header, "clusters / species"], rows)


# -------------------------------------------------------------------------------------------------------- writing


def artifacts():
    """Where the numbers come from: a row for every section of a page and every kind of table behind its generated parts."""
    datasets_of = {}
    for page in pages():
        text = page.read_text()
        for match in PART.finditer(text):
            name, *arguments = match[2].split()
            if name == "artifacts":
                continue
            opened.clear()
            GENERATED[name](*arguments)
            section = HEADING.findall(text, 0, match.start())[-1]
            for dataset, table in dict.fromkeys(opened):
                datasets_of.setdefault((page.relative_to(ROOT), section, table), {})[dataset] = None
    rows = []
    for (page, section, table), datasets in datasets_of.items():
        chapter, target = WRITERS[table]
        links = ", ".join(f"[{dataset}](../figures/{dataset}/{table}.csv)" for dataset in datasets)
        rows.append([
            f"[{page}](../{page}): {section}", f"`{table}.csv` of {links}",
            f"[{chapter}](../notebooks/{chapter}.ipynb)", f"`make {target}`",
        ])  # fmt: skip
    return rows_of(["numbers in", "tables", "chapter", "command"], rows)


FUNCTIONS = (headline, answer, scores, orders, worlds, images_alone, choosing, held_out, k_rules, elsewhere, stress, plausible)
FUNCTIONS += (how_sure, trust, effort, saved, robustness, tuning, clades, heat, artifacts)
FUNCTIONS += (unseen_genus, barcode_clusters, seen_species, barcode_trees, image_and_dna, retrieval, alignment)
FUNCTIONS += (extraction, growth, learned, kinship, clusterers)
GENERATED = {function.__name__: function for function in FUNCTIONS}


def fill(text):
    """`text` with every generated part made anew; ValueError if a part asks for a function that is not there."""

    def part(match):
        name, *arguments = match[2].split()
        if name not in GENERATED:
            raise ValueError(f"{name} is not one of {', '.join(GENERATED)}")
        return f"{match[1]}\n\n{GENERATED[name](*arguments)}\n\n{match[3]}"

    return PART.sub(part, text)


def title_of(path):
    """The title that plotting.save_figure wrote into a PNG, with a full stop; empty where there is none."""
    with Image.open(path) as image:
        title = image.info.get("Title", "")
    return title if not title or title[-1] in ".?!" else f"{title}."


def retitle(text, folder):
    """`text` in which the alt text of every figure begins with the title in the figure; the rest of the alt text stays."""

    def image(match):
        path = folder / match["path"]
        title = title_of(path) if path.is_file() else ""
        return f"![{title} {match['rest']}]({match['path']})" if title else match[0]

    return IMAGE.sub(image, text)


def pages():
    """The pages that may have generated parts."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


if __name__ == "__main__":
    for page in pages():
        before = page.read_text()
        if (after := retitle(fill(before), page.parent)) != before:
            page.write_text(after)
            print(f"{page.relative_to(ROOT)} is brought up to date", file=sys.stderr)
