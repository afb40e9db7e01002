"""The notebooks as documents: .py and .ipynb agree, configs fit the declared parameters, cells are short enough to read."""

import re

import jupytext
import nbformat
import pytest
import yaml
from conftest import ROOT

import execute

SOURCES = sorted((ROOT / "notebooks").glob("*.py"))
CHAPTER_OF = {
    "worlds": "00_simulate_specimens",
    "encoders": "02_extract_embeddings",
    "trainers": "03_supcon_finetune",
    "clusterers": "05_hierarchical_clustering",
    "barcodes": "07_dna_barcodes",
}
named_by_file = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)


def test_all_chapters_exist():
    numbers = "00 01 02 03 04 05 06 07 08 09 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 95 96 97 98 99"
    assert " ".join(path.stem[:2] for path in SOURCES) == numbers


@named_by_file
def test_script_and_notebook_agree(source):
    script, notebook = jupytext.read(source), nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    nbformat.validate(notebook)

    def cells(n):
        return [(c.cell_type, c.source, c.metadata.get("tags", [])) for c in n.cells]

    assert cells(script) == cells(notebook), f"run make pair: {source.stem}.ipynb differs from its .py"


@named_by_file
def test_notebook_shows_a_clean_run_of_the_demo(source):
    path = source.with_suffix(".ipynb")
    assert path.stat().st_size < 2_000_000
    code = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    assert [c.execution_count for c in code] == list(range(1, len(code) + 1)), "run make publish"
    outputs = [output for cell in code for output in cell.outputs]
    assert outputs and {o.output_type for o in outputs} <= {"stream", "display_data", "execute_result"}
    texts = [
        o.get("text", "") + "".join(o.get("data", {}).get(f"text/{kind}", "") for kind in ("html", "plain"))
        for o in outputs
    ]
    assert not [t for t in texts if re.search(r"/(home|root|tmp|work|Users|private|opt)/", t)]
    assert not [o for o in outputs if o.get("name") == "stderr"]


@named_by_file
def test_tags_survive_pairing(source):
    notebook = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    code = [c for c in notebook.cells if c.cell_type == "code"]
    assert code[0].metadata.tags == ["parameters"]
    assert code[-1].metadata.tags == ["summary"]
    back = jupytext.reads(jupytext.writes(notebook, "py:percent"), "py:percent")
    assert [c.metadata.get("tags") for c in back.cells] == [c.metadata.get("tags") for c in notebook.cells]


@named_by_file
def test_chapter_states_its_question_and_cells_are_short(source):
    cells = jupytext.read(source).cells
    assert cells[0].cell_type == "markdown" and "**The question.**" in cells[0].source
    assert re.search(r"\*\*In:\*\*.*\*\*Out:\*\*", cells[0].source, re.DOTALL)
    assert len(cells) <= 32
    code = [c for c in cells if c.cell_type == "code" and c.metadata.get("tags") != ["parameters"]]
    too_long = [c.source.splitlines()[0] for c in code if len(c.source.splitlines()) > 30]
    assert not too_long


def declared(stem):
    return execute.declared_parameters(jupytext.read(ROOT / "notebooks" / f"{stem}.py"))


CONFIGS = [path for kind in CHAPTER_OF for path in sorted((ROOT / "params" / kind).glob("*.yaml"))]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_keys_of_configs_are_parameters_of_their_chapter(config):
    parameters = yaml.safe_load(config.read_text())
    execute.check_parameters(parameters, declared(CHAPTER_OF[config.parent.name]), config)


def test_trainers_set_the_weights_of_all_losses():
    """Otherwise the weight would be the chapter's default, which belongs to another trainer."""
    for path in (ROOT / "params" / "trainers").glob("*.yaml"):
        config = yaml.safe_load(path.read_text())
        assert {"weight_labels", "weight_views", "weight_pixels"} <= set(config), path.stem


@pytest.mark.parametrize("path", sorted((ROOT / "params" / "sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_sweeps_vary_parameters_of_their_chapter(path):
    sweep = yaml.safe_load(path.read_text())
    known = declared(sweep["notebook"])
    assert sweep["names"] in known
    for name, values in (sweep.get("grid", {}) | sweep.get("vary", {})).items():
        for value in ["pixels"] if values == "all" else values:
            execute.check_parameters({**sweep.get("fixed", {}), name: value}, known, path)


def test_documented_configs_exist():
    assert {path.stem for path in CONFIGS} >= {
        "resnet50_single", "resnet50_double", "resnet101_double", "resnet18_double", "efficientnet_b0", "deit_tiny",
        "dinov2_vits14", "dino_vits16", "clip_vit_b32", "bioclip", "bioclip2", "resnet50_untrained", "pixels",
        "nested_kmeans_10", "nested_kmeans_20", "nested_kmeans_30", "flat_kmeans", "pooled_average",
        "specimen_resnet18_double",
        "supcon_family", "supcon_original", "supcon_no_self", "supcon_views", "simclr", "coarse_to_fine", "autoencoder",
    }  # fmt: skip


def test_defaults_of_a_chapter_equal_the_config_it_names():
    for kind, name in (
        ("worlds", "dataset"),
        ("encoders", "encoder"),
        ("trainers", "trainer"),
        ("clusterers", "clusterer"),
    ):
        defaults = declared(CHAPTER_OF[kind])
        config = yaml.safe_load((ROOT / "params" / kind / f"{defaults[name]}.yaml").read_text())
        config.pop("mirrored", None)  # none in the chapter stands for what the config says
        assert config.items() <= defaults.items()
