"""The notebooks as documents: pairs in step, parameters declared, cards that fit, cells that can be read."""

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
}
named_by_file = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)


def test_all_chapters_are_here():
    assert [path.stem[:2] for path in SOURCES] == "00 01 02 03 04 05 06 09 10 11 12 13 97 98 99".split()  # noqa: SIM905


@named_by_file
def test_the_pair_is_in_step(source):
    script, notebook = jupytext.read(source), nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    nbformat.validate(notebook)

    def cells(n):
        return [(c.cell_type, c.source, c.metadata.get("tags", [])) for c in n.cells]

    assert cells(script) == cells(notebook), f"run make pair: {source.stem}.ipynb differs from its .py"


@named_by_file
def test_the_notebook_shows_a_clean_run_on_the_demo(source):
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
def test_tags_survive_the_pairing(source):
    notebook = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    code = [c for c in notebook.cells if c.cell_type == "code"]
    assert code[0].metadata.tags == ["parameters"]
    assert code[-1].metadata.tags == ["summary"]
    back = jupytext.reads(jupytext.writes(notebook, "py:percent"), "py:percent")
    assert [c.metadata.get("tags") for c in back.cells] == [c.metadata.get("tags") for c in notebook.cells]


@named_by_file
def test_a_chapter_opens_with_its_question_and_stays_readable(source):
    cells = jupytext.read(source).cells
    assert cells[0].cell_type == "markdown" and "**The question.**" in cells[0].source
    assert re.search(r"\*\*In:\*\*.*\*\*Out:\*\*", cells[0].source, re.DOTALL)
    assert len(cells) <= 32
    code = [c for c in cells if c.cell_type == "code" and c.metadata.get("tags") != ["parameters"]]  # a line for each
    too_long = [c.source.splitlines()[0] for c in code if len(c.source.splitlines()) > 30]
    assert not too_long


def declared(stem):
    return execute.declared_parameters(jupytext.read(ROOT / "notebooks" / f"{stem}.py"))


CARDS = [path for kind in CHAPTER_OF for path in sorted((ROOT / "params" / kind).glob("*.yaml"))]


@pytest.mark.parametrize("card", CARDS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_key_of_every_card_is_a_parameter_of_its_chapter(card):
    parameters = yaml.safe_load(card.read_text())
    execute.check_parameters(parameters, declared(CHAPTER_OF[card.parent.name]), card)


def test_every_config_says_what_it_weighs():
    """A loss that a config is silent on would be taken from the chapter's default, which is another config's."""
    for path in (ROOT / "params" / "trainers").glob("*.yaml"):
        config = yaml.safe_load(path.read_text())
        assert {"weight_labels", "weight_views", "weight_pixels"} <= set(config), path.stem


@pytest.mark.parametrize("card", sorted((ROOT / "params" / "sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_sweep_varies_parameters_of_its_notebook(card):
    sweep = yaml.safe_load(card.read_text())
    known = declared(sweep["notebook"])
    assert sweep["names"] in known
    for name, values in (sweep.get("grid", {}) | sweep.get("vary", {})).items():
        for value in ["pixels"] if values == "all" else values:
            execute.check_parameters({**sweep.get("fixed", {}), name: value}, known, card)


def test_the_cards_promised_are_shipped():
    shipped = {path.stem for path in CARDS}
    assert shipped >= {
        "resnet50_single", "resnet50_double", "resnet101_double", "resnet18_double", "efficientnet_b0", "deit_tiny",
        "dinov2_vits14", "dino_vits16", "clip_vit_b32", "bioclip", "bioclip2", "resnet50_untrained", "pixels",
        "nested_kmeans_10", "nested_kmeans_20", "nested_kmeans_30", "flat_kmeans", "nested_ward",
        "specimen_resnet18_single", "specimen_resnet18_double",
        "supcon_family", "supcon_original", "supcon_no_self", "supcon_views", "simclr", "coarse_to_fine", "autoencoder",
    }  # fmt: skip


def test_the_defaults_of_a_chapter_are_those_of_the_card_it_names():
    for kind, name in (
        ("worlds", "dataset"),
        ("encoders", "encoder"),
        ("trainers", "trainer"),
        ("clusterers", "clusterer"),
    ):
        defaults = declared(CHAPTER_OF[kind])
        card = yaml.safe_load((ROOT / "params" / kind / f"{defaults[name]}.yaml").read_text())
        assert card.items() <= defaults.items()


def test_publishing_keeps_the_outputs_of_a_run_or_changes_nothing(tmp_path):
    header = SOURCES[0].read_text().partition("# %% [markdown]")[0]
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(
            header + '# %% tags=["parameters"]\na = 1\n\n# %%\nimport sys\n\nprint(a, file=sys.stderr)\na\n'
        )
        execute.run(tmp_path / f"{name}.py", tmp_path / "runs" / f"{name}.ipynb", [], ["a=2"])
    pairs = [f"{tmp_path / name}.py={tmp_path / 'runs' / name}.ipynb" for name in ("one", "two")]
    execute.publish(pairs)
    cells = nbformat.read(tmp_path / "one.ipynb", as_version=4).cells
    assert [c.execution_count for c in cells] == [1, 2] and cells[0].source == "a = 1"
    assert [o.output_type for o in cells[1].outputs] == ["execute_result"]  # not what went to stderr
    assert cells[1].outputs[0].data["text/plain"] == "2"

    before = (tmp_path / "one.ipynb").read_bytes()
    (tmp_path / "one.py").write_text((tmp_path / "one.py").read_text() + "\n# %%\nb = 3\n")
    execute.run(tmp_path / "one.py", tmp_path / "runs" / "one.ipynb", [], [])
    (tmp_path / "two.py").write_text((tmp_path / "two.py").read_text().replace("a = 1", "a = 9"))
    with pytest.raises(ValueError, match=r"made by another version of .*two\.py: run it again"):
        execute.publish(pairs)
    assert (tmp_path / "one.ipynb").read_bytes() == before


# --------------------------------------------------------------------------------------------- strict parameters


def test_types_are_held_to_the_defaults():
    known = {"n": 15, "x": 0.1, "name": "a", "on": True, "many": [1], "any": None}
    fine = {"n": 3, "x": 1, "name": "b", "on": False, "many": [], "any": "thing"}
    assert execute.check_parameters(fine, known, "card") == fine
    for wrong in ({"n": 0.5}, {"n": True}, {"x": "1"}, {"name": 3}, {"on": 1}, {"many": "1 2"}):
        with pytest.raises(ValueError, match=f"card: {next(iter(wrong))} should be a"):
            execute.check_parameters(wrong, known, "card")
    with pytest.raises(ValueError, match="unknown parameter 'm'; the notebook knows n, x"):
        execute.check_parameters({"m": 1}, known, "card")


def test_words_of_the_command_line_take_the_type_of_the_default():
    known = {"n": 15, "name": "a", "encoders": ["x"], "seeds": [0]}
    words = ["n=3", "name=123", "encoders=a 1 c", "seeds=0 1 2"]
    assert execute.parse_assignments(words, known) == {
        "n": 3,
        "name": "123",
        "encoders": ["a", "1", "c"],
        "seeds": [0, 1, 2],
    }


def test_without_a_parameters_cell_nothing_runs(tmp_path):
    (tmp_path / "x.py").write_text("# %%\na = 1\n")
    with pytest.raises(ValueError, match="0 cells tagged"):
        execute.run(tmp_path / "x.py", tmp_path / "x.ipynb", [], [])
