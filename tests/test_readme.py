"""README's numbers are those of the runs, its figures exist, and none of them shows a photograph of somebody else's."""

import re

import pandas as pd
import pytest
from conftest import ROOT
from scipy.stats import t as student_t

README = (ROOT / "README.md").read_text()


def mean_scores(dataset):
    """Mean over seeds of value, ci_low and ci_high by (encoder, clusterer, rank, metric)."""
    scores = pd.read_csv(ROOT / "figures" / dataset / "scores.csv")
    return scores.groupby(["encoder", "clusterer", "rank", "metric"])[["value", "ci_low", "ci_high"]].mean()


def score_table(dataset, encoders, clusterers=None):
    """README's table of some encoders and of what needs none ("none"), by species AMI."""
    mean = mean_scores(dataset)
    lines = [
        "| encoder | clusterer | genus AMI | above family | species AMI | above family | behind the best method | species NMI "
        "| species clusters |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    comparisons = pd.read_csv(ROOT / "figures" / dataset / "comparisons.csv").set_index(
        ["rank", "encoder", "clusterer"]
    )
    behind_the_best = comparisons.loc["species", ["difference", "ci_low", "ci_high"]]
    runs = (
        mean.xs(("species", "ami"), level=("rank", "metric"))["value"].sort_values(ascending=False, kind="stable").index
    )
    for run in [run for run in runs if run[0] in encoders and (clusterers is None or run[1] in clusterers)]:
        cells = []
        for rank in ("genus", "species"):
            above, low, high = mean.loc[(*run, rank, "ami_above_family")]
            cells.append(f"{mean.loc[(*run, rank, 'ami'), 'value']:.2f}")
            cells.append("0" if run[1] == "floor_family" else f"{above:+.2f} [{low:.2f}, {high:.2f}]")
        behind, low, high = behind_the_best.loc[run]
        apart = f"{behind:+.2f} [{low:.2f}, {high:.2f}]"
        cells.append("0" if low == high == 0 else apart if low > 0 or high < 0 else f"{behind:+.2f}, not told apart")
        cells.append(f"{mean.loc[(*run, 'species', 'nmi'), 'value']:.2f}")
        cells.append(f"{mean.loc[(*run, 'species', 'n_found'), 'value']:,.0f}")
        lines.append(f"| {run[0]} | {run[1].replace('_', ' ')} | {' | '.join(cells)} |".replace("-0.00", "0.00"))
    return "\n".join(lines)


TUNED = ("simclr", "supcon_family", "gcd", "autoencoder")
FLOORS = ("floor_family", "floor_singletons", "floor_random_10x10")
CEILINGS = ("ceiling_prepared_true_number", "ceiling_ward_true_number")
DEMO_ROWS = (*CEILINGS, "nested_ward", *FLOORS)
EU_ROWS = (*DEMO_ROWS, "images_alone", "nested_kmeans_10", "nested_kmeans_30", "flat_kmeans")
TABLES = {
    "eu_moths": (("none", "gcd", "fused_imagenet", "resnet50_double", "pixels"), EU_ROWS),
    "demo": (("none", "true_traits", "specimen_resnet18_double", *TUNED, "resnet18_untrained", "pixels"), DEMO_ROWS),
}


@pytest.mark.parametrize("dataset", TABLES)
def test_the_table_is_that_of_the_scores(dataset):
    table = score_table(dataset, *TABLES[dataset])
    assert table in README, f"the table in README should be\n\n{table}"


def figures_table(dataset, name):
    return pd.read_csv(ROOT / "figures" / dataset / f"{name}.csv")


def alone_table():
    """README's table of what is lost without family names, on EU Moths."""
    ami = mean_scores("eu_moths").xs("ami", level="metric")["value"].unstack("rank")
    lines = [
        "| encoder | species AMI, family given | images alone | genus AMI, family given | images alone | family AMI |",
        "|---|---|---|---|---|---|",
    ]
    for encoder in ("gcd", "fused_imagenet", "resnet50_double", "resnet18_double", "deit_tiny", "pixels"):
        given, alone = ami.loc[(encoder, "nested_ward")], ami.loc[(encoder, "images_alone")]
        cells = [f"{run[rank]:.2f}" for rank in ("species", "genus") for run in (given, alone)]
        lines.append(f"| {encoder} | {' | '.join(cells)} | {alone['family']:.2f} |")
    told, floor = ami.loc[("resnet50_double", "ceiling_prepared_true_number")], ami.loc[("none", "floor_family")]
    for name, known in (("ceiling, resnet50_double told the numbers", told), ("floor, the family", floor)):
        lines.append(f"| {name} | {known['species']:.2f} | | {known['genus']:.2f} | | |")
    return "\n".join(lines)


def choosing_table():
    """README's table of internal indices on both datasets, by the mean of their rank correlations."""
    tables = {dataset: figures_table(dataset, "choosing").set_index("index") for dataset in ("eu_moths", "demo")}
    order = (
        sum(table["spearman"].fillna(-1) for table in tables.values()).sort_values(ascending=False, kind="stable").index
    )
    lines = ["| index | EU Moths | chosen AMI | demo | chosen AMI |", "|---|---|---|---|---|"]
    for name in order:
        cells = []
        for table in tables.values():
            row = table.loc[name]
            cells.append(
                "" if pd.isna(row["spearman"]) else "{spearman:+.2f} [{ci_low:.2f}, {ci_high:.2f}]".format(**row)
            )
            cells.append("" if pd.isna(row["chosen_ami"]) else f"{row['chosen_ami']:.2f}")
        lines.append(f"| {name} | {' | '.join(cells)} |".replace("-0.00", "0.00"))
    species = [mean_scores(dataset).xs(("species", "ami"), level=("rank", "metric"))["value"] for dataset in tables]
    methods = [ami.drop("none", level="encoder").filter(regex="nested|flat|alone") for ami in species]
    for name, of in (
        ("the best run, told names", [ami.max() for ami in methods]),
        ("floor, the family", [ami["none", "floor_family"] for ami in species]),
    ):
        lines.append(f"| {name} | | {of[0]:.2f} | | {of[1]:.2f} |")
    return "\n".join(lines)


IMAGENET = ["resnet50_double", "resnet18_double", "deit_tiny", "fused_imagenet"]


def of_imagenet(name):
    """The rows of a table of EU Moths on encoders that are trained on ImageNet alone."""
    table = figures_table("eu_moths", name)
    return table[table["encoder"].isin(IMAGENET)]


def halves_table():
    """README's table of AMI on halves of the families, chosen on the other half and fixed; mean over halves."""
    halves = of_imagenet("halves")
    mean = halves.groupby(["encoder", "setting"], sort=False)[["species", "genus"]].mean()
    settings = list(dict.fromkeys(halves["setting"]))
    lines = [f"| encoder | {' | '.join(settings)} |", "|---" * (1 + len(settings)) + "|"]
    for encoder in IMAGENET:
        cells = ["{species:.2f}, {genus:.2f}".format(**mean.loc[(encoder, setting)]) for setting in settings]
        lines.append(f"| {encoder} | {' | '.join(cells)} |")
    return "\n".join(lines)


def numbers_table():
    """README's table of species AMI on EU Moths by rule and preparation, mean over encoders."""
    table = of_imagenet("numbers")
    species = table[(table["clusters"] == "species") & table["half"].isna()]
    ami = species.pivot_table(index="rule", columns="preparation", values="ami", sort=False)
    lines = [f"| number of species by | {' | '.join(ami.columns)} |", "|---" * (1 + len(ami.columns)) + "|"]
    for rule, row in ami.iterrows():
        name = "told (a ceiling)" if rule == "told" else rule.replace("_", " ")
        lines.append(f"| {name} | {' | '.join(f'{value:.2f}' for value in row)} |")
    floor = mean_scores("eu_moths").loc[("none", "floor_family", "species", "ami"), "value"]
    lines.append(f"| floor, the family | {' | '.join([f'{floor:.2f}'] * len(ami.columns))} |")
    return "\n".join(lines)


def few_table():
    """README's table of species AMI on samples of EU Moths by rule, mean over encoders and draws."""
    ami = of_imagenet("few").pivot_table(index="left", columns="rule", values="ami", sort=False)
    lines = [f"| what is left | {' | '.join(ami.columns).replace('_', ' ')} |", "|---" * (1 + len(ami.columns)) + "|"]
    lines += [f"| {left} | {' | '.join(f'{value:.2f}' for value in row)} |" for left, row in ami.iterrows()]
    return "\n".join(lines)


@pytest.mark.parametrize("table", [alone_table, choosing_table, halves_table, numbers_table, few_table])
def test_a_table_is_that_of_the_runs(table):
    assert table() in README, f"the table in README should be\n\n{table()}"


GAINS = {
    "species AMI": "species AMI",
    "genus AMI": "genus AMI",
    "species AMI, told the number": "species AMI, told their number",
    "genus AMI, told the number": "genus AMI, told their number",
    "species kNN, told names": "kNN, told names",
    "species linear probe, told names": "linear probe, told names",
}


def gains(dataset, sweep):
    """Tuned minus frozen by (trainer, layer, measure): mean and 95 % interval by Student's t over seeds."""
    table = pd.read_csv(ROOT / "figures" / dataset / f"sweep_{sweep}.csv")
    runs = table.groupby(["trainer", "seed", "encoder", "layer", "measure"], sort=False)["value"].mean()
    frozen = runs.xs("frozen", level="encoder").xs("avgpool", level="layer")
    gain = runs.xs("tuned", level="encoder") - frozen
    by_trainer = gain.groupby(["trainer", "layer", "measure"], sort=False)
    assert (by_trainer.size() >= 3).all()
    half = by_trainer.sem() * student_t.ppf(0.975, by_trainer.size() - 1)
    mean = by_trainer.mean()
    gained = pd.DataFrame({"mean": mean, "low": mean - half, "high": mean + half})
    return gained.reindex(table["trainer"].dropna().unique(), level="trainer"), frozen


def gain_table(dataset, sweep):
    """README's table of what tuning gains over the frozen encoder, and for the study's recipe also what its head gives."""
    gain, frozen = gains(dataset, sweep)
    lines = [f"| | {' | '.join(GAINS.values())} |", "|---" * (len(GAINS) + 1) + "|"]
    start = frozen.groupby("measure").mean()
    table = pd.read_csv(ROOT / "figures" / dataset / f"sweep_{sweep}.csv")
    floor = table[table["encoder"].str.startswith("floor")].set_index("measure")["value"]
    lines.append(f"| floor, the family itself | {' | '.join(f'{floor[m]:.2f}' if m in floor else '' for m in GAINS)} |")
    lines.append(f"| frozen | {' | '.join(f'{start[measure]:.2f}' for measure in GAINS)} |")
    for trainer in gain.index.unique("trainer"):
        for layer in ("avgpool", "head_avgpool") if trainer == "supcon_original" else ("avgpool",):
            rows = [gain.loc[(trainer, layer, measure)] for measure in GAINS]
            cells = [f"{row['mean']:+.2f} [{row['low']:.2f}, {row['high']:.2f}]" for row in rows]
            name = trainer + (", its head" if layer.startswith("head") else "")
            lines.append(f"| {name} | {' | '.join(cells)} |".replace("-0.00", "0.00"))
    return "\n".join(lines)


SWEEPS = [
    ("eu_moths", "resnet50"),
    *((dataset, sweep) for dataset in ("eu_moths", "demo") for sweep in ("trainers", "unseen")),
]


@pytest.mark.parametrize(("dataset", "sweep"), SWEEPS)
def test_the_table_of_tuning_is_that_of_the_sweep(dataset, sweep):
    table = gain_table(dataset, sweep)
    assert table in README, f"the table in README should be\n\n{table}"


@pytest.mark.parametrize(("dataset", "sweep"), SWEEPS)
def test_the_scores_that_are_published_hold_those_of_the_sweep(dataset, sweep):
    gain, _ = gains(dataset, sweep)
    scores = pd.read_csv(ROOT / "figures" / dataset / "scores.csv")
    rows = scores[scores["clusterer"] == f"sweep_{sweep}"].set_index(["encoder", "rank", "metric"]).sort_index()
    for (trainer, layer, measure), expected in gain.iterrows():
        rank, metric = measure.split(" ", 1)
        metric = metric.lower().replace(",", "").replace(" ", "_")
        reached = rows.loc[(f"{trainer}/{layer}", rank, metric)]
        gained = rows.loc[(f"{trainer}/{layer}", rank, f"{metric}_above_frozen")]
        for found in (reached, gained):
            assert found["seed"].dropna().tolist() == [0, 1, 2]
        (over_seeds,) = gained[gained["seed"].isna()][["value", "ci_low", "ci_high"]].to_numpy()
        assert over_seeds == pytest.approx(expected.to_numpy(), abs=1e-4), (trainer, layer, measure)


def test_what_readme_says_of_tuning_on_moths_holds_in_the_sweep():
    gain, frozen = gains("eu_moths", "trainers")
    start = frozen.groupby("measure").mean()
    clusters = [f"{rank} AMI{told}" for rank in ("species", "genus") for told in ("", ", told the number")]

    def of(trainer, measure, column="mean", layer="avgpool"):
        return gain.loc[(trainer, layer, measure), column]

    runs = pd.read_csv(ROOT / "figures" / "eu_moths" / "sweep_trainers.csv").groupby(["encoder", "measure"])["value"]
    floor = runs.mean().loc["floor: the family itself"]
    for measure in floor.index:
        assert abs(start[measure] + of("supcon_original", measure, layer="head_avgpool") - floor[measure]) < 0.02
    for measure in clusters:
        head = of("supcon_original", measure, layer="head_avgpool")
        assert (
            of("supcon_original", measure, "high", "head_avgpool") < 0 and head < of("supcon_original", measure) - 0.05
        )
    for told in ("", ", told the number"):
        species = f"species AMI{told}"
        path = [of(name, species) for name in ("supcon_original", "supcon_no_self", "supcon_views", "supcon_family")]
        assert path[1] < 0 < path[2] > path[1] + 0.06
        assert abs(path[1] - path[0]) < 0.02 and abs(path[3] - path[2]) < 0.02
        for measure in (species, f"genus AMI{told}"):
            assert of("gcd", measure) > of("simclr", measure) > of("supcon_family", measure)
            assert of("gcd", measure, "low") > 0.05
    for rank in ("species", "genus"):
        assert abs(of("gcd", f"{rank} AMI") - of("gcd", f"{rank} AMI, told the number")) < 0.02


def test_what_readme_says_of_tuning_resnet50_holds_in_the_sweep():
    gain, frozen = gains("eu_moths", "resnet50")
    runs = pd.read_csv(ROOT / "figures" / "eu_moths" / "sweep_resnet50.csv").groupby(["encoder", "measure"])["value"]
    for measure, floor in runs.mean().loc["floor: the family itself"].items():
        head = gain.loc[("supcon_original", "head_avgpool", measure), "mean"]
        assert frozen.groupby("measure").mean()[measure] + head < floor + 0.005
        assert gain.loc[("gcd", "avgpool", measure), "low"] > 0.05
        assert gain.loc[("supcon_family", "avgpool", measure), "low"] > 0


def test_what_readme_says_of_tuning_on_the_demo_holds_in_the_sweep():
    gain, _ = gains("demo", "trainers")
    backbone = gain.xs("avgpool", level="layer")
    assert (backbone["low"] < 0.005).all()
    for trainer in ("supcon_family", "supcon_views"):
        assert backbone.loc[(trainer, "species linear probe, told names"), "high"] < 0


def test_what_readme_says_of_unseen_families_of_moths_holds_in_the_sweep():
    unseen, seen = (gains("eu_moths", sweep)[0].xs("avgpool", level="layer") for sweep in ("unseen", "trainers"))
    clusters = [f"{rank} AMI{told}" for rank in ("species", "genus") for told in ("", ", told the number")]
    for measure in clusters:
        assert unseen.loc[("simclr", measure), "low"] > 0.04
        assert -0.04 < unseen.loc[("simclr", measure), "mean"] - seen.loc[("simclr", measure), "mean"] < 0
        assert abs(unseen.loc[("gcd", measure), "mean"] - unseen.loc[("simclr", measure), "mean"]) < 0.01
        assert abs(unseen.loc[("supcon_family", measure), "mean"]) < 0.02
    table = figures_table("eu_moths", "sweep_unseen")
    table = table[(table["trainer"] == "supcon_family") & (table["layer"] == "avgpool")]
    means = table.groupby(["measure", "half", "encoder"])["value"].mean().unstack()
    better = (means["tuned"] - means["frozen"]).unstack().loc[["species AMI", "genus AMI"]]
    assert (better.max(axis=1) > 0.01).all() and (better.min(axis=1) < -0.01).all()


def test_what_readme_says_of_unseen_families_of_the_demo_holds_in_the_sweep():
    backbone = gains("demo", "unseen")[0].xs("avgpool", level="layer")
    assert backbone.loc[("supcon_family", "species AMI, told the number"), "high"] < 0
    for trainer in ("simclr", "gcd"):
        for measure in ("species AMI", "species AMI, told the number"):
            assert abs(backbone.loc[(trainer, measure), "mean"]) < 0.015


def test_the_findings_hold_in_the_scores():
    """What README says of EU Moths in words, sentence by sentence."""
    mean = mean_scores("eu_moths")
    frozen = ["resnet50_double", "resnet50_single", "resnet18_double"]
    trained = [*frozen, "deit_tiny", "fused_imagenet", "gcd", "simclr", "supcon_family"]

    def score(clusterer, rank, metric, column="value"):
        """One value per encoder."""
        return mean.xs((clusterer, rank, metric), level=("clusterer", "rank", "metric"))[column]

    caps = [f"nested_kmeans_{cap}" for cap in (10, 20, 30)]
    for rank in ("genus", "species"):
        ward, prepared, plain = (
            score(name, rank, "ami")
            for name in ("nested_ward", "ceiling_prepared_true_number", "ceiling_ward_true_number")
        )
        assert abs(ward["resnet50_double"] - prepared["resnet50_double"]) < 0.01
        assert ward["resnet50_double"] > plain["resnet50_double"] + 0.05
        assert ward["gcd"] > ward["fused_imagenet"] > ward["resnet50_double"] + 0.01
        assert ward["fused_imagenet"] > 1.1 * plain["resnet50_double"]
        assert (score("nested_ward", rank, "ami_above_family", "ci_low")[trained] > 0).all()
    apart = figures_table("eu_moths", "comparisons").set_index(["rank", "encoder", "clusterer"])["told_apart"]
    assert apart["species", "fused_imagenet", "nested_ward"] == "yes"
    singletons = {metric: score("floor_singletons", "species", metric).item() for metric in ("nmi", "ami")}
    assert abs(singletons["ami"]) < 1e-6 and 0.726 < singletons["nmi"] < 0.892
    assert (score("nested_kmeans_30", "species", "nmi").max() - singletons["nmi"]) < 0.01
    assert all((score(name, "species", "ami_above_family", "value") < 0).all() for name in caps)
    for control in ("resnet50_untrained", "pixels"):
        assert score("nested_ward", "species", "ami_above_family")[control] < 0
        assert score("nested_ward", "genus", "ami_above_family")[control] < 0
    missed = score("ward_dendrogram", "all", "clades_missed_taxonomy")
    assert (missed > 2 / 3).all()
    alone = {rank: score("images_alone", rank, "ami_above_family", "ci_low") for rank in ("genus", "species")}
    assert all((alone[rank][[*frozen, "gcd", "fused_imagenet"]] > 0).all() for rank in alone)
    assert (score("images_alone", "family", "ami") < 0.4).all()


def test_what_readme_says_of_the_demo_holds_in_the_scores():
    mean = mean_scores("demo")
    told = mean.loc["true_traits"]
    for rank in ("genus", "species"):
        assert told.loc[("nested_ward", rank, "ami_above_family"), "ci_low"] > 0
    best, ward = (told.loc[(name, "species", "ami"), "value"] for name in ("ceiling_ward_true_number", "nested_ward"))
    assert 0 < best - ward < 0.05 and ward > 0.9
    for control in ("resnet18_untrained", "pixels"):
        for rank in ("genus", "species"):
            scores = mean.loc[control].xs(rank, level="rank")["value"].unstack("metric")
            assert (
                len(scores) == 4 and (scores["ami_above_family"] < 0.005).all() and (scores["ami_within"] < 0.08).all()
            )
    ships = mean.loc[("specimen_resnet18_double", "nested_ward")]
    assert ships.loc[("species", "ami_above_family"), "ci_low"] > 0 > ships.loc[("genus", "ami_above_family"), "ci_low"]
    for name in TUNED:
        gained = mean.loc[(name, "nested_ward", "species", "ami"), "value"] - ships.loc[("species", "ami"), "value"]
        assert gained < 0.005 and (gained < -0.01) == (name not in ("simclr", "gcd"))


def test_what_readme_says_of_choosing_and_of_numbers_holds():
    tables = {dataset: figures_table(dataset, "choosing").set_index("index") for dataset in ("eu_moths", "demo")}
    assert sum(table["spearman"] for table in tables.values()).idxmax() == "consensus"
    for table in tables.values():
        assert table["chosen_ami"].max() - table.loc["forgetful silhouette", "chosen_ami"] < 0.05
        assert table.loc["consensus", "chosen_ami"] < table.loc["forgetful silhouette", "chosen_ami"] - 0.1
        assert table.loc["davies-bouldin, embedding", "ci_high"] < 0
    assert tables["eu_moths"].loc["silhouette, embedding", "chosen_ami"] < 0.15
    halves = of_imagenet("halves").set_index(["encoder", "half", "setting"])[["species", "genus"]].unstack()
    for rank in ("species", "genus"):
        above = halves[rank].sub(halves[rank]["ceiling, told"], axis=0)
        assert (above["chosen on the other half"] > -0.002).all()
        assert (above["recommended"].drop("resnet18_double") > 0).all()
        mean = above.groupby("encoder").mean()
        assert (mean["recommended"] > 0).all()
        assert (mean["chosen on the other half"] - mean["recommended"]).between(-0.005, 0.025).all()
        assert (halves[rank]["usual"] < halves[rank]["ceiling, told"]).all()


def test_what_readme_says_of_few_photographs_holds():
    ami = of_imagenet("few").pivot_table(index="left", columns="rule", values="ami")
    each = ami[["silhouette", "silhouette_without_nearest", "silhouette_without_two"]]
    assert each.idxmax(axis=1).nunique() > 1
    assert (each.max(axis=1) - ami["forgetful_silhouette"] < 0.02).all()
    assert (ami["forgetful_silhouette"] > ami["told, as it came"]).all()


def test_what_readme_says_of_taxa_holds():
    taxa, confused = figures_table("eu_moths", "taxa"), figures_table("eu_moths", "confused")
    verdicts = taxa["verdict"].value_counts()
    assert len(taxa) == 200 and abs(verdicts["found"] - 100) < 10 and verdicts["merged"] < 10
    missed = taxa[taxa["verdict"].isin(["split", "lost"])]["family"].value_counts()
    assert missed[["Geometridae", "Noctuidae"]].sum() > 0.8 * missed.sum()
    assert (confused["same genus"].head(3) == "yes").all()


def test_what_readme_says_of_hardships_holds():
    mean = figures_table("demo", "robustness").groupby(["hardship", "dose", "rank"])[["ami", "floor"]].mean()
    species = mean.xs("species", level="rank")
    untouched = species.loc[("crop (share of side)", 1.0), "ami"]
    for slight in (("JPEG (quality)", 5.0), ("crop (share of side)", 0.4), ("background swapped", 1.0)):
        assert abs(species.loc[slight, "ami"] - untouched) < 0.04
    for heavy in (("blur (pixels of 256)", 8.0), ("noise (grey levels)", 60.0), ("brightness (factor)", 0.2)):
        assert species.loc[heavy, "ami"] < species.loc[heavy, "floor"]
    lead = species["ami"] - species["floor"]
    for spread in ("photographs per species", "imbalance (power)"):
        assert lead[spread].between(0.04, 0.08).all()
    wrong = mean.loc["share of wrong families"]
    lost = wrong.loc[0.0] - wrong.loc[0.2]
    assert lost.loc["genus", "ami"] > lost.loc["species", "ami"] > 0.1 and (lost["floor"] > 0.1).all()


def test_what_readme_says_of_hardships_of_moths_holds():
    columns = ["ami", "floor", "ceiling"]
    mean = figures_table("eu_moths", "robustness").groupby(["hardship", "dose", "rank"])[columns].mean()
    behind = mean["ceiling"] - mean["ami"]
    for rank in ("genus", "species"):
        assert behind.xs(rank, level="rank").loc["photographs per species"].max() < 0.05
    species = mean.xs("species", level="rank")
    assert behind["imbalance (power)", 1.0, "species"] > 0.14
    lost = mean.loc[("share of wrong families", 0.0)] - mean.loc[("share of wrong families", 0.2)]
    assert lost.stack().between(0.12, 0.18).all()
    untouched = species.loc[("crop (share of side)", 1.0), "ami"]
    for slight, cost in ((("crop (share of side)", 0.4), 0.04), (("brightness (factor)", 0.2), 0.1)):
        assert abs(species.loc[slight, "ami"] - untouched) < cost
    for heavy in (("JPEG (quality)", 5.0), ("noise (grey levels)", 60.0), ("blur (pixels of 256)", 8.0)):
        assert species.loc[heavy, "ami"] < species.loc[heavy, "floor"] + 0.05


def recovered(measure, encoder, **departure):
    """Values of the five worlds at one point of the signal sweep, in the order of their seeds."""
    table = pd.read_csv(ROOT / "figures" / "demo" / "sweep_signal.csv").sort_values("seed")
    point = {"pagel_lambda": 1.0, "within_species": 0.25, "clutter": 0.0, "mimicry": 0.0} | departure
    here = (
        (table[list(point)] == pd.Series(point)).all(axis=1)
        & (table["measure"] == measure)
        & (table["encoder"] == encoder)
    )
    values = table.loc[here, "value"].to_numpy()
    assert len(values) == 5
    return values


def test_what_readme_says_of_the_signal_holds_in_the_sweep():
    traits, network, pixels, marked = "true_traits", "resnet18_double", "pixels", "none"
    for encoder in (traits, network):
        assert abs(recovered("triplet accuracy", encoder, pagel_lambda=0).mean() - 1 / 3) < 0.02
        beyond = recovered("genus AMI", encoder, pagel_lambda=0) - recovered("genus AMI", marked, pagel_lambda=0)
        assert beyond.mean() < 0.01
        assert (recovered("triplet accuracy", encoder) > 0.5).all()
    by_lambda = [recovered("species AMI", network, pagel_lambda=lam).mean() for lam in (0, 0.4, 0.7, 1.0)]
    assert by_lambda == sorted(by_lambda, reverse=True) and by_lambda[0] > by_lambda[-1] + 0.2
    assert recovered("species AMI", traits, within_species=1.0).mean() < 0.5 < recovered("species AMI", traits).mean()
    natural, board = recovered("species AMI", network, clutter=1.0), recovered("species AMI", network)
    assert (natural < board).all() and 0.28 < 1 - natural.mean() / board.mean() < 0.4
    assert (recovered("species AMI", traits, clutter=2.0) == recovered("species AMI", traits)).all()
    for share in (0.3, 0.6, 1.0):
        assert recovered("species AMI", network, mimicry=share).mean() > recovered("species AMI", network).mean() - 0.01
        lost = recovered("genus AMI", network).mean() - recovered("genus AMI", network, mimicry=share).mean()
        assert (
            0 < lost < 0.11
            and 0 < recovered("genus AMI", traits).mean() - recovered("genus AMI", traits, mimicry=share).mean() < 0.11
        )
    knobs = {
        "pagel_lambda": (0, 0.4, 0.7),
        "within_species": (0.5, 1, 2),
        "clutter": (0.5, 1, 2),
        "mimicry": (0.3, 0.6, 1),
    }
    for knob, values in knobs.items():
        for value in values:
            assert recovered("species AMI", pixels, **{knob: value}).mean() < 0.13
            assert abs(recovered("triplet accuracy", pixels, **{knob: value}).mean() - 1 / 3) < 0.04


def test_every_figure_is_there_and_has_a_text_for_those_who_cannot_see_it():
    figures = re.findall(r"!\[([^]]*)\]\(([^)]+)\)", README)
    assert len(figures) >= 4
    for text, path in figures:
        assert len(text) > 40, f"{path} needs an alt text"
        assert (ROOT / path).is_file()


def test_every_file_named_in_a_link_is_there():
    links = [path for path in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in path]
    assert links and all((ROOT / path).exists() for path in links)


def test_every_figure_committed_is_written_by_a_notebook():
    """The names that save_figure is given in the notebooks are the only pictures in figures/.

    They are plots; only of simulated worlds is there a picture with photographs, as JPEG.
    """
    sources = "\n".join(path.read_text() for path in (ROOT / "notebooks").glob("*.py"))
    written = re.findall(r'(?:figures_dir\(dataset\)|out|figures) / f?"([^"]+\.(?:png|jpg))"', sources)
    patterns = [re.sub(r"\\\{\w+\\\}", r"\\w+", re.escape(name)) for name in written]
    for picture in (ROOT / "figures").glob("*/*"):
        assert re.fullmatch(
            r"(scores|comparisons|choosing|robustness|numbers|halves|few|taxa|confused|sweep_\w+)\.csv", picture.name
        ) or any(re.fullmatch(p, picture.name) for p in patterns), picture
        assert picture.suffix != ".jpg" or (ROOT / "params" / "worlds" / f"{picture.parent.name}.yaml").is_file()


def test_what_readme_says_of_clusterers_holds():
    table = figures_table("eu_moths", "sweep_clusterers").pivot_table(
        index="clusterer", columns="measure", values="value"
    )
    ami, told = table["species AMI"], table.loc["ceiling: Ward told the true numbers", "species AMI"]
    plain = ["nested_ward_silhouette", "nested_kmeans_10", "flat_kmeans"]
    assert len(table) == 17 + 2
    assert (ami.drop([*plain, *ami.index[ami.index.str.contains(":")]]) > told).all() and (ami[plain] < told).all()
    genus = table["genus AMI"]
    below = genus.index[genus < genus["ceiling: Ward told the true numbers"]]
    assert set(below) == {*plain, "flat_leiden", "images_alone", "floor: the family itself"}
    assert ami["nested_average"] > ami["nested_ward"] and ami["nested_hdbscan"] > ami["nested_ward"]


def test_what_readme_says_of_preparations_holds():
    table = figures_table("eu_moths", "sweep_preparation")
    runs = table[table["clusterer"] == "nested_ward"]
    for rank in ("genus", "species"):
        ami = runs[runs["measure"] == f"{rank} AMI"]
        mean = ami.groupby(["whiten", "neighbours", "root"])["value"].mean()
        told = table["clusterer"].str.startswith("ceiling") & (table["measure"] == f"{rank} AMI")
        above = mean - table.loc[told, "value"].mean()
        assert (above.loc[0.25:0.75] > 0).all()
        assert above.loc[0.0].min() < 0 and above.loc[1.0].min() < 0
        assert above.groupby("whiten").mean().idxmax() == 0.5
        by_root = ami[ami["neighbours"] == 0].pivot(index=["encoder", "whiten"], columns="root", values="value")
        root = by_root[True] - by_root[False]
        assert root["resnet50_double", 0.5] > 0 and (root["deit_tiny"] < 0).all()
    assert (mean.xs(3, level="neighbours") - mean.xs(0, level="neighbours")).loc[0.25:0.75].max() < 0
