"""The pages: their numbers are those of the runs, their links and figures are there, and what they say holds in the tables."""

import re

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT

import docs
from settings import DEFAULTS

PAGES = docs.pages()
named_by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


@named_by_page
def test_every_generated_part_is_that_of_the_runs(page):
    text = page.read_text()
    assert docs.fill(text) == text, f"run make docs: {page.name} is behind the tables in figures/"
    assert text.count("<!-- generated:") == len(docs.PART.findall(text)) == text.count("<!-- end -->")


def test_a_part_that_nobody_can_make_is_named():
    with pytest.raises(ValueError, match="tables is not one of headline, answer, scores"):
        docs.fill("<!-- generated: tables demo -->\n\n<!-- end -->")
    with pytest.raises(ValueError, match=r"figures/demo/scores.csv knows no nested_wart"):
        docs.fill("<!-- generated: scores demo nested_wart -->\n\n<!-- end -->")


@named_by_page
def test_every_figure_has_a_text_and_every_link_leads_somewhere(page):
    text = page.read_text()
    for alternative, path in re.findall(r"!\[([^]]*)\]\(([^)]+)\)", text):
        assert len(alternative) > 40, f"{path} needs an alt text"
        assert (page.parent / path).is_file(), path
        assert alternative.startswith(docs.title_of(page.parent / path)), f"run make docs: {path} has another title"
    for path in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert "://" in path or (page.parent / path).exists(), path
    for path, heading in re.findall(r"\]\(([^)#]*\.md)#([^)]+)\)", text):
        headings = re.findall(r"^#+ (.+)$", (page.parent / path).read_text(), re.MULTILINE)
        assert heading in [re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings], heading


@pytest.mark.parametrize("dataset", ["demo", "eu_moths", "reef_fish", "leaf_scans"])
def test_two_tables_say_the_same_of_the_default(dataset):
    scores = docs.read(dataset, "scores").query("clusterer == 'pooled_average' and rank == 'species' and seed == 0")
    scores = scores.pivot(index="encoder", columns="metric", values="value")
    sure = docs.read(dataset, "how_sure").set_index("encoder")
    assert len(sure) > 1 and set(sure.index) <= set(scores.index)
    assert (sure["found"] == scores["n_found"].reindex(sure.index)).all()
    assert np.allclose(sure["ami"], scores["ami"].reindex(sure.index), atol=2e-4)


def test_the_front_page_is_short():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 150 and len(re.findall(r"!\[", text)) <= 5


def test_every_figure_and_table_committed_is_explained():
    """In data/README.md: by its name, or as one of those of every encoder or sweep."""
    text = (ROOT / "data/README.md").read_text().partition("## Files in `figures/<dataset>/`")[2].partition("\n## ")[0]
    explained = [re.sub(r"<\w+>", r"\\w+", name) for name in re.findall(r"`([\w<>]+?)(?:\.\w+)?`", text)]
    for path in ROOT.glob("figures/*/*.*"):
        assert any(re.fullmatch(name, path.stem) for name in explained), path


def test_every_setting_is_explained():
    makefile = (ROOT / "Makefile").read_text()
    settings = re.search(r"^SETTINGS := (.+)$", makefile, re.MULTILINE)[1].split()
    rows = dict(re.findall(r"^\| `([A-Z]+)` \|(.+)$", (ROOT / "docs/settings.md").read_text(), re.MULTILINE))
    assert list(rows) == sorted(rows, key=settings.index) and set(rows) == set(settings)
    for name, default in DEFAULTS.items():
        assert f"| `{default}` |" in rows[name.upper()] or not default


def test_every_figure_committed_is_written_by_a_notebook():
    """The names that save_figure is given in the notebooks are the only pictures in figures/.

    They are plots; only of simulated worlds is there a picture with photographs, as JPEG.
    """
    sources = "\n".join(path.read_text() for path in (ROOT / "notebooks").glob("*.py"))
    written = re.findall(r'(?:figures_dir\(dataset\)|out|figures) / f?"([^"]+\.(?:png|jpg))"', sources)
    patterns = [re.sub(r"\\\{\w+\\\}", r"\\w+", re.escape(name)) for name in written]
    tables = r"(scores|comparisons|choosing|robustness|k_rules|held_out_families|taxa|confused|sweep_\w+)\.csv"
    tables += r"|(stress|trees|map_quality|heatmaps|probes|trust|effort|how_sure|heads|speed_of_\w+)\.csv"
    tables += r"|(barcode_scores|image_and_dna|alignment_\w+)\.csv"
    for picture in (path for path in (ROOT / "figures").glob("*/*") if path.name != "vector"):
        assert re.fullmatch(tables, picture.name) or any(re.fullmatch(p, picture.name) for p in patterns), picture
        assert picture.suffix != ".jpg" or (ROOT / "params" / "worlds" / f"{picture.parent.name}.yaml").is_file()


# --------------------------------------------------------------------------------------------- what the pages say


def recovered(measure, encoder, **departure):
    """Values of a measure, "rank metric", over the five worlds of a point of the sweep `signal`."""
    table = pd.read_csv(ROOT / "figures" / "demo" / "sweep_signal.csv")
    point = {"pagel_lambda": 1.0, "within_species": 0.1, "clutter": 0.0, "mimicry": 0.0} | departure
    here = (table[list(point)] == pd.Series(point)).all(axis=1)
    measures = table["rank"] + " " + table["metric"]
    values = table.loc[here & (measures == measure) & (table["encoder"] == encoder), "value"].to_numpy()
    assert len(values) == 5
    return values


def test_what_the_simulation_page_says_of_the_signal_holds_in_the_sweep():
    traits, network, pixels, marked = "true_traits", "specimen_resnet18_double", "pixels", "none"
    assert abs(recovered("tree triplet_accuracy", traits, pagel_lambda=0).mean() - 1 / 3) < 0.02
    species_alone = recovered("genus ami", marked, pagel_lambda=0).mean()
    assert recovered("genus ami", traits, pagel_lambda=0).mean() - species_alone < 0.02
    assert 0.02 < recovered("genus ami", network, pagel_lambda=0).mean() - species_alone < 0.1
    assert recovered("tree triplet_accuracy", network, pagel_lambda=0).mean() > 0.4
    by_lambda = [recovered("species ami", network, pagel_lambda=value).mean() for value in (0, 0.4, 0.7, 1.0)]
    assert by_lambda == sorted(by_lambda, reverse=True)
    varied = {encoder: recovered("species ami", encoder, within_species=1.0).mean() for encoder in (traits, network)}
    assert 0.5 < varied[network] / by_lambda[-1] < 0.6 and 0.75 < varied[traits] < 0.85
    natural, board = recovered("species ami", network, clutter=1.0), recovered("species ami", network)
    assert 0 < 1 - natural.mean() / board.mean() < 0.1
    assert recovered("species ami", pixels, clutter=1.0).mean() < 0.75 * recovered("species ami", pixels).mean()
    assert recovered("place ami", pixels, clutter=1.0).mean() > 0.15
    assert recovered("place ami", network, clutter=1.0).mean() < 0.05
    assert (recovered("species ami", traits, clutter=2.0) == recovered("species ami", traits)).all()
    lost = {r: recovered(r, network).mean() - recovered(r, network, mimicry=1.0).mean() for r in ("genus ami", "species ami")}
    assert lost["genus ami"] < 0.03 and 0.05 < lost["species ami"] < 0.2


def of_sweep(sweep, encoder, measure):
    """Means over worlds of a measure, "rank metric", with the varied properties as index."""
    table = pd.read_csv(ROOT / "figures" / "demo" / f"sweep_{sweep}.csv")
    properties = [name for name in ("habitat", "imbalance", "n_specimens") if name in table]
    here = (table["rank"] + " " + table["metric"] == measure) & (table["encoder"] == encoder)
    return table[here].groupby(properties or "seed")["value"].mean()


def test_what_the_simulation_page_says_of_places_numbers_and_worlds_holds_in_the_sweeps():
    traits, network, pixels, marked, names = "true_traits", "specimen_resnet18_double", "pixels", "none", "family_names"
    at_home, places = of_sweep("habitat", network, "species ami"), of_sweep("habitat", network, "place ami")
    assert np.ptp(at_home) < 0.02 and (places - of_sweep("habitat", marked, "place ami")).abs().max() < 0.05
    assert of_sweep("habitat", pixels, "place ami").min() > 0.2
    assert of_sweep("habitat", pixels, "species ami")[1.0] > 2 * of_sweep("habitat", pixels, "species ami")[0.0]

    given = "species ami_families_given"
    above = {encoder: of_sweep("numbers", encoder, given) - of_sweep("numbers", names, given) for encoder in (network, traits)}
    assert (above[network][0.0] > 0.05).all()
    assert (above[network][1.0][:-1] < 0.06).all()
    found = {encoder: of_sweep("numbers", encoder, "species n_found") for encoder in (network, traits, marked)}
    assert (found[network] < 48).all()
    assert (of_sweep("numbers", pixels, "species n_found")[0.0][[30, 100]] > [500, 2000]).all()
    assert (of_sweep("numbers", pixels, given) - of_sweep("numbers", names, given))[0.0][[30, 100]].max() < -0.2
    assert all(found[encoder][1.0][[2, 5]].max() < 24 for encoder in found)  # of 48 species in 14 families
    better = of_sweep("numbers", network, "species ami") - of_sweep("numbers", network, given)
    assert (better[1.0][[5, 10, 30]] > 0.09).all()

    assert (of_sweep("worlds", network, given) - of_sweep("worlds", names, given)).min() > 0.2
    assert of_sweep("worlds", network, "species n_found").between(120 / 1.6, 120 * 1.6).all()


def test_what_the_simulation_page_says_of_probes_holds():
    value = docs.read("demo", "probes").set_index(["part", "encoder", "measure"])
    of_network = value.xs("specimen_resnet18_double", level="encoder")
    assert of_network.loc[("species", "accuracy"), "value"] > 0.98
    clusters = of_network.xs("clusters", level="measure")[docs.BOUNDS]
    orders = clusters.drop("species")
    assert orders["value"].idxmin() == "Coleoptera" and orders["ci_high"].min() > orders["ci_low"].max()
    assert orders.drop(["Coleoptera", "Odonata"])["value"].between(orders.loc["Odonata", "value"] - 0.1, 1).all()
    read = of_network.loc["trait", "value"]
    assert read.sort_values(ascending=False).index[:3].tolist() == ["order", "hue", "form"]
    assert 0.2 < read["pattern"] < read["saturation"] < 0.6
    assert (read[["head", "thorax", "taper", "leg length", "eyes", "antenna length"]] < 0.05).all()


def test_what_the_page_for_experts_says_of_the_moths_holds():
    decisions = docs.read("eu_moths", "effort").set_index(["strategy", "goal"])["decisions"].unstack()[0.9]
    clusters = decisions[["clusters", "clusters, mixed ones split"]].min()
    assert 0.45 < clusters / decisions["one by one"] < 0.55 and 0.6 < clusters / decisions["nearest neighbours"] < 0.7
    taxa = docs.read("eu_moths", "taxa")
    largest = taxa[taxa["family"].isin(taxa["family"].value_counts().index[:3])]
    assert 0.45 < (largest["outcome"] == "found").mean() < 0.55


@pytest.mark.parametrize("dataset", ["eu_moths", "reef_fish", "leaf_scans"])
def test_the_prior_for_genera_changes_their_score_little(dataset):
    """As docs/number_of_clusters.md says: by about 0.02 between 1 and 2 species in a genus."""
    table = docs.read(dataset, "k_rules")
    here = (table["rule"] == "common height") & (table["preparation"] == "signed sqrt, half whitened") & table["half"].isna()
    trained = ~table["encoder"].isin(["pixels", "true_traits"])
    ami = table[here & trained].groupby("clusters")["ami"].mean()
    assert abs(ami["genus, 1"] - ami["genus, 2"]) < 0.025


def test_what_the_page_says_of_the_rule_on_ward_trees_holds():
    average, ward = "common height", "common height, Ward"
    for dataset in ("eu_moths", "reef_fish", "leaf_scans"):
        table = docs.read(dataset, "stress")
        table["off"] = np.abs(np.log(table["found"] / table["true"]))
        means = table.groupby(["rule", "embedding", "situation"])[["off", "ami"]].mean()
        near = (means["off"] < np.log(1.5)).groupby("rule").sum()
        ami = means["ami"].groupby(["rule", "embedding"]).mean()
        assert (near[ward] > near[average]) == (dataset == "eu_moths") and abs(ami[ward] - ami[average]).max() < 0.04
        table = docs.of_imagenet(dataset, "k_rules")
        here = (table["preparation"] == "signed sqrt, half whitened") & table["half"].isna() & (table["clusters"] == "species")
        ami = table[here].groupby("rule")["ami"].mean()
        assert abs(ami[average] - ami[ward]) < 0.02


def test_what_the_page_says_of_single_families_and_species_holds():
    datasets = ("eu_moths", "reef_fish", "leaf_scans")
    table = pd.concat([docs.read(dataset, "stress") for dataset in datasets]).query("embedding != 'simulated'")
    alone = table[table["situation"] == "one species at a time"].query("rule == 'common height'")
    assert (len(alone), (alone["found"] == 1).sum()) == (36, 32) and (alone["true"] == 1).all()
    families = table[table["situation"] == "one family at a time"].set_index(["rule", "embedding"]).sort_index()
    default, plain = families.loc["common height"], families.loc["silhouette, plain embedding"]
    leaves = default.loc["leaf_scans"]
    assert ((leaves["found"] == leaves["true"]).sum(), len(leaves)) == (6, 7)
    assert abs(default.loc["eu_moths", "ami"].mean() - plain.loc["eu_moths", "ami"].mean()) < 0.03
    assert (default.loc["reef_fish", "found"] == 1).sum() == 3 and len(default.loc["reef_fish"]) == 5
    assert (default["true"] > 1).all()


def test_what_the_training_page_says_of_heads_and_maps_holds():
    def at(dataset, part, encoder, numbers):
        table = docs.read(dataset, "heads").set_index(["part", "encoder", "numbers", "method"]).sort_index()
        return table.loc[(part, encoder, numbers)]

    one, three = (at("reef_fish", "head", encoder, "oracle k") for encoder in ("resnet50_crops", "fused_imagenet"))
    demo = at("demo", "head", "specimen_resnet18_double", "oracle k")
    assert one.loc["TURTLE", "difference_high"] < 0
    assert one.loc["TEMI", "difference_low"] < 0 < one.loc["TEMI", "difference_high"]
    for head in ("TEMI", "TURTLE"):
        assert demo.loc[head, "difference_high"] < -0.05
        assert three.loc[head, "difference_low"] < 0 < three.loc[head, "difference_high"]
    assert one["ami"].idxmin() == "TURTLE"
    assert at("reef_fish", "map", "fused_imagenet", "oracle k").loc["neighbours whitened", "difference"] > 0
    for encoder in ("resnet50_crops", "fused_imagenet"):
        torn = at("reef_fish", "map", encoder, "found").loc["contrast in families"]
        assert 4 < torn["clusters"] / torn["species"] < 6
    demo = at("demo", "map", "specimen_resnet18_double", "found")
    for contrast in ("contrast in families", "contrast with all"):
        assert demo.loc[contrast, "difference_low"] > 0 and demo.loc[contrast, "triplets"] < 0.4
    assert demo.loc["as prepared", "triplets"] > 0.8


def test_what_the_training_page_says_of_two_sweeps_holds():
    gains = {}
    for dataset in ("eu_moths", "reef_fish"):
        gain = docs.scoring.tuning_gains(docs.read(dataset, "sweep_trainers"))[2]
        gains[dataset] = docs.scoring.mean_interval(gain.xs("avgpool", level="layer"), ["measure", "trainer"])
    fish, moths = gains["reef_fish"].loc["species AMI"], gains["eu_moths"].loc["species AMI"]
    assert fish.loc[["supcon_family", "coarse_to_fine", "soft_labels"], "mean"].between(0.025, 0.045).all()
    assert abs(fish.loc["simclr", "mean"]) < 0.005 and fish.loc["supcon_original", "mean"] < 0
    both = pd.concat([fish["mean"], moths["mean"]], axis=1).min(axis=1).loc[moths.index]  # soft labels: fish only
    assert set(both.index[both > 0.01]) == {"coarse_to_fine", "supcon_family"}
    assert 2.5 < moths.loc["coarse_to_fine", "mean"] / moths.loc["supcon_family", "mean"] < 3.5
    assert (fish["ci_low"] < 0.005).all() and moths.loc["coarse_to_fine", "ci_low"] > 0.05
    for measure in docs.scoring.SUPERVISED:
        assert (gains["reef_fish"].loc[measure].loc[["supcon_family", "coarse_to_fine", "soft_labels"], "ci_low"] > 0).all()


def test_what_the_training_page_says_of_kinship_holds():
    means = docs.mean_scores("eu_moths")["value"]
    frozen, tuned, both = "resnet18_double", "coarse_to_fine", "resnet18_tuned_and_frozen"
    species = {encoder: means.loc[encoder, "pooled_average", "species"]["ami"] for encoder in (frozen, tuned, both)}
    triplets = {encoder: means.loc[encoder, "ward_dendrogram", "all"]["triplet_accuracy"] for encoder in species}
    assert species[tuned] > species[frozen] and species[both] - species[frozen] > 0.8 * (species[tuned] - species[frozen])
    assert 0.03 < triplets[frozen] - triplets[tuned] < 0.08 and triplets[both] >= triplets[frozen]
    purity = {encoder: means.loc[encoder, "ward_dendrogram", "all"]["dendrogram_purity_genus"] for encoder in species}
    assert purity[tuned] > purity[frozen]


def test_every_table_behind_the_pages_is_written_by_the_chapter_that_is_named():
    for table, (chapter, target) in docs.WRITERS.items():
        source = (ROOT / "notebooks" / f"{chapter}.py").read_text()
        if table.startswith("sweep_"):
            sweep = yaml.safe_load((ROOT / "params" / "sweeps" / f"{table.removeprefix('sweep_')}.yaml").read_text())
            chapters = {"03": "97", "04": "96", "05": "98", "09": "95"}
            assert target == f"sweep SWEEP={table.removeprefix('sweep_')}" and "sweep_{sweep}.csv" in source
            assert chapter.startswith(chapters[sweep["notebook"][:2]])
        else:
            assert f"{table}.csv" in source, table


def test_the_results_page_describes_the_scores():
    def at(dataset, clusterer, encoder="resnet50_double"):
        return docs.mean_scores(dataset)["value"].loc[encoder, clusterer, "species"]

    for dataset in ("eu_moths", "reef_fish", "leaf_scans"):
        default, each_family = at(dataset, "pooled_average"), at(dataset, "nested_ward")
        assert 1 / 2 < default["n_found"] / default["n_true"] < 2
        assert default["ami"] > max(each_family["ami"], at(dataset, "baseline_family", "none")["ami"])
    fish = at("reef_fish", "nested_ward")
    assert fish["n_found"] > 3 * fish["n_true"] and fish["ami"] < at("reef_fish", "baseline_family", "none")["ami"]
    for clusterer in ("pooled_average", "oracle_k_ward", "oracle_k_ward_prepared"):  # three crops against the whole
        gains = {d: at(d, clusterer, "resnet50_crops")["ami"] - at(d, clusterer)["ami"] for d in ("eu_moths", "reef_fish")}
        assert gains["eu_moths"] > 0.01
        assert abs(gains["reef_fish"] - (0 if clusterer == "oracle_k_ward" else 0.03)) < 0.02
        assert all(at("leaf_scans", clusterer, encoder)["ami"] > 0.97 for encoder in ("resnet50_double", "resnet50_crops"))
    table = docs.of_imagenet("eu_moths", "k_rules")
    plain = table[(table["rule"] == "silhouette") & (table["preparation"] == "plain") & table["half"].isna()]
    assert plain.loc[plain["clusters"] == "species", "found"].mean() > 2 * at("eu_moths", "pooled_average")["n_true"]
