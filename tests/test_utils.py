"""Tables, clusters and scores: known answers, invariants, failures."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

import encoder_configs
import plotting
import sampling
import shard_files
import utils


def test_dataset_names_cannot_leave_their_folder():
    for name in ("../elsewhere", "/etc", "a/b", "", ".hidden"):
        with pytest.raises(ValueError, match="plain name"):
            utils.dataset_dir(name)


def test_an_unknown_config_is_answered_with_the_nearest_name():
    with pytest.raises(FileNotFoundError, match="did you mean nested_ward"):
        utils.load_params("clusterers", "nested_wart")


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "table.csv"
    utils.write_table(pd.DataFrame({"a": [1]}), path)
    with pytest.raises(RuntimeError), utils.atomic_write(path) as temporary:
        temporary.write_text("half a")
        raise RuntimeError
    assert path.read_text() == "a\n1\n"
    assert list(tmp_path.iterdir()) == [path]


def test_threads_that_write_one_file_at_the_same_time_do_not_disturb_each_other(tmp_path):
    path, both = tmp_path / "thumbnail", threading.Barrier(2, timeout=20)

    def write(text):
        with utils.atomic_write(path) as temporary:
            temporary.write_text(text)
            both.wait()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, ("same", "same")))
    assert path.read_text() == "same" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["t.parquet", "t.csv"])
def test_a_table_that_is_missing_or_broken_is_named_with_what_to_do(in_tmp, name):
    path = in_tmp / "data" / "d" / name
    with pytest.raises(FileNotFoundError, match=f"^data/d/{name} is missing: run make again"):
        utils.read_table(path)
    utils.write_table(pd.DataFrame({"a": ["NA", "x"]}), path)
    options = {} if path.suffix == ".parquet" else {"keep_default_na": False}
    assert utils.read_table(path, **options)["a"].tolist() == ["NA", "x"]
    whole = path.read_bytes()
    for content in (b"", whole[:-6] if path.suffix == ".parquet" else b"a\n\xff\n", b'"'):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"^data/d/{name} cannot be read \(.+\): delete it and run make again$"):
            utils.read_table(path)


def test_one_changed_byte_in_an_embedding_or_a_table_is_noticed_though_the_size_is_the_same(in_tmp):
    vectors, shard = np.random.default_rng(0).normal(size=(3, 64)).astype("float32"), in_tmp / "e" / "part-00000.parquet"
    shard_files.write(shard, ["a", "b", "c"], {"last": vectors}, {"settings": "s", "photographs": "[]"})
    table = in_tmp / "t.parquet"
    utils.write_table(pd.DataFrame({"x": vectors[:, 0]}), table)
    for path, value, read in (
        (shard, vectors[1, 7], lambda: utils.read_shards(shard.parent, ["b"])),
        (table, vectors[1, 0], lambda: utils.read_table(table)),
    ):
        read()
        content = bytearray(path.read_bytes())
        content[content.index(value.tobytes()) + 1] ^= 64
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"{path.name} cannot be read \(.*CRC.*\): delete it and run make again"):
            read()


def test_metadata_and_embeddings_that_were_cut_off_are_named(in_tmp):
    folder = in_tmp / "data" / "d"
    for path in (folder / "metadata.parquet", folder / "embeddings" / "e" / "part-00000.parquet"):
        utils.write_table(pd.DataFrame({"hash_id": ["a"], "x": [[1.0]]}), path)
        path.write_bytes(path.read_bytes()[:-20])
    (folder / "embeddings" / "e" / "_SUCCESS").touch()
    with pytest.raises(ValueError, match=r"data/d/metadata.parquet cannot be read .*delete it"):
        utils.load_metadata("d")
    with pytest.raises(ValueError, match=r"data/d/embeddings/e/part-00000.parquet cannot be read .*delete it"):
        utils.load_embeddings("d", "e", ["a"])
    (folder / "embeddings" / "e" / "part-00000.parquet").unlink()
    with pytest.raises(FileNotFoundError, match="holds no embeddings: run chapter 02 with encoder = 'e'"):
        utils.load_embeddings("d", "e", ["a"])


@pytest.fixture
def encoders(in_tmp):
    """Configs of four encoders: a pretrained one, two tuned from it in turn, and one that is fused of others."""
    models, params = in_tmp / "data" / "d" / "models", in_tmp / "params" / "encoders"
    models.mkdir(parents=True)
    params.mkdir(parents=True)
    plain = "library: timm\narchitecture: vit\nweights: big\nlayers: {a: 1, b: 2}\ninput_size: 8\n"
    (params / "vit.yaml").write_text(f"{plain}role: learned something\n")
    (params / "both.yaml").write_text(
        "library: fused\narchitecture: again other\nweights: null\nlayers: {fused: last}\n"
    )
    (params / "other.yaml").write_text(plain.replace("big", "null"))
    tuned = "library: tuned\narchitecture: vit\nweights: {}.safetensors\nlayers: {{a: 1}}\ninput_size: 8\n"
    (models / "once.yaml").write_text(f"{tuned.format('once')}start: vit\n")
    (models / "again.yaml").write_text(f"{tuned.format('again')}start: once\n")
    (models / "unsaid.yaml").write_text(tuned.format("unsaid"))


def test_an_encoder_goes_back_to_pretrained_networks(encoders):
    assert encoder_configs.encoder_lineage("d", "vit") == {"timm/vit/big"}
    assert encoder_configs.encoder_lineage("d", "once") == encoder_configs.encoder_lineage("d", "again") == {"timm/vit/big"}
    assert encoder_configs.encoder_lineage("d", "both") == {"timm/vit/big", "timm/vit/None"}
    assert encoder_configs.encoder_lineage("d", "unsaid") == {"tuned/vit/unsaid.safetensors"}
    assert isinstance(encoder_configs.encoder_lineage("d", "both"), frozenset)
    with pytest.raises(FileNotFoundError, match=r"no params/encoders/none_such.yaml"):
        encoder_configs.encoder_lineage("d", "none_such")


def test_an_encoder_that_comes_from_an_upper_bound_is_one(encoders, in_tmp):
    models, params = in_tmp / "data/d/models", in_tmp / "params/encoders"
    plain, tuned = (params / "other.yaml").read_text(), (models / "once.yaml").read_text()
    (params / "bound.yaml").write_text(f"{plain}role: 'upper bound: knows'\n")
    (params / "control.yaml").write_text(f"{plain}role: control\n")
    (params / "joined.yaml").write_text((params / "both.yaml").read_text().replace("again", "from_bound"))
    for start in ("bound", "control"):
        (models / f"from_{start}.yaml").write_text(tuned.replace("start: vit", f"start: {start}"))
    roles = dict.fromkeys(("bound", "from_bound", "joined"), "upper bound: knows")
    roles |= {"control": "control", "from_control": "", "again": "", "vit": "learned something", "none_such": ""}
    assert {name: encoder_configs.role("d", name) for name in roles} == roles
    assert encoder_configs.readable_name("d", "from_bound") == "from_bound (upper bound: knows)"


def test_what_builds_an_encoder_leaves_out_what_is_said_about_it(encoders):
    assert set(encoder_configs.build_config("d", "vit")) == {"library", "architecture", "weights", "layers", "input_size"}
    assert "start" not in encoder_configs.build_config("d", "once")


def test_settings_under_the_name_of_another_config_are_refused(encoders):
    config = encoder_configs.build_config("d", "vit") | {"role": "learned something"}
    encoder_configs.check_encoder("d", "vit", config)
    encoder_configs.check_encoder("d", "name_of_its_own", config | {"library": "torchvision"})
    encoder_configs.check_encoder("d", "other", config | {"weights": "", "role": ""})
    fused = {"library": "fused", "architecture": "again other", "weights": None, "layers": {"fused": "last"}}
    encoder_configs.check_encoder("d", "both", fused | {"input_size": 128, "role": ""})
    for wrong in ({"weights": None}, {"layers": {"b": 2, "a": 1}}, {"input_size": 9}, {"role": ""}):
        ((key, value),) = wrong.items()
        with pytest.raises(ValueError, match="'vit' has a config, and the parameters given differ") as caught:
            encoder_configs.check_encoder("d", "vit", config | wrong)
        assert f"{key} = {value!r} (there {config[key]!r})" in str(caught.value)
    with pytest.raises(ValueError, match=r"library = 'timm' \(there 'tuned'\), weights = 'big'"):
        encoder_configs.check_encoder("d", "once", config)


def test_homonyms_are_kept_apart_by_lineage():
    table = pd.DataFrame(
        {
            "family": ["Plantae", "Animalia", "Animalia", None],
            "genus": ["Morus", "Morus", "Morus", "Morus"],
            "species": [None] * 4,
        }
    )
    genus = utils.lineage(table, "genus")
    assert genus.nunique() == 3 and genus[1] == genus[2]
    assert utils.lineage(table, "species").isna().all()


def test_a_blank_ancestor_is_taken_from_the_other_rows_where_they_agree():
    table = pd.DataFrame(
        {
            "family": ["F", None, "F", None, "G"],
            "genus": ["A", "A", None, None, "B"],
            "species": ["a", "a", "a", "a", "b"],
        }
    )
    assert utils.lineage(table, "species").tolist() == ["F > A > a"] * 4 + ["G > B > b"]
    homonym = pd.DataFrame({"family": ["F", "G", None], "genus": ["A", "A", "A"]})
    assert utils.lineage(homonym, "genus").nunique() == 3  # its parent is unknown


def test_names_that_hold_the_mark_between_ranks_stay_apart():
    parts = ["A", "B", "A > B", "A >", "> B", "A >> B", ">"]
    table = pd.DataFrame([(one, other) for one in parts for other in parts], columns=["family", "genus"])
    assert utils.lineage(table, "genus").nunique() == len(table)
    paths = utils.name_clusters(range(4), ["A", "A", "A/g1", "A/g1/s1"], [0, 1, 0, 0], [0, 0, 0, 0])
    assert paths.drop(columns="hash_id").nunique().tolist() == [3, 4, 4]
    assert paths["species_cluster"].str.rsplit("/", n=2).str[0].tolist() == paths["family_cluster"].tolist()


def test_halves_of_the_families_hold_whole_families_and_about_as_many_photographs():
    families = pd.Series([*"aaaa", *"bbb", *"cc", *"ddd", None, "e"])
    halves = sampling.family_halves(families)
    assert (halves.groupby(families).nunique() == 1).all() and halves.isna().tolist() == families.isna().tolist()
    assert sorted(halves.value_counts()) == [6, 7]
    assert sampling.family_halves(pd.Series(["a", "a", None])).tolist()[:2] == [0, 0]


def test_a_sample_of_each_taxon_has_so_many_of_it_and_another_seed_has_others():
    taxa = np.array(["a", "b", "a", "c", "a", "b", "a"])
    rows = sampling.sample_of_each(taxa, {"a": 2, "b": 9, "c": 0}, seed=0)
    assert sorted(taxa[rows]) == ["a", "a", "b", "b"] and (np.diff(rows) > 0).all()
    draws = {tuple(sampling.sample_of_each(taxa, {"a": 2, "b": 9, "c": 0}, seed)) for seed in range(100)}
    assert len(draws) == 6  # two of the four


def test_uneven_sizes_fall_with_the_power_and_never_to_nothing():
    counts = pd.Series(30, index=[*"abcdefghij"])
    assert set(sampling.uneven_sizes(counts, 0, seed=0).values()) == {30}
    sizes = sampling.uneven_sizes(counts, 1, seed=0)
    assert sorted(sizes.values(), reverse=True) == [30, 15, 10, 8, 6, 5, 5, 4, 4, 3]
    assert min(sampling.uneven_sizes(counts, 9, seed=0).values()) == 1
    assert sizes != sampling.uneven_sizes(counts, 1, seed=1)


def test_missing_embeddings_are_named(in_tmp):
    folder = in_tmp / "data" / "d" / "embeddings" / "e"
    utils.write_table(
        pd.DataFrame({"hash_id": ["b", "a"], "x": [[1.0, 2.0], [3.0, 4.0]]}), folder / "part-00000.parquet"
    )
    with pytest.raises(FileNotFoundError, match="not complete"):
        utils.load_embeddings("d", "e", ["a"])
    (folder / "_SUCCESS").touch()
    np.testing.assert_array_equal(utils.load_embeddings("d", "e", ["a", "b"])["x"], [[3, 4], [1, 2]])
    with pytest.raises(KeyError, match="2 specimens: c, d"):
        utils.load_embeddings("d", "e", ["a", "c", "d"])


def test_layers_are_picked_by_place_or_name():
    layers = {"layer3": 3, "avgpool": 5}
    assert [utils.pick_layer(layers, name) for name in ("first", "last", "layer3", "avgpool")] == [3, 5, 3, 5]
    with pytest.raises(ValueError, match="layer3, avgpool"):
        utils.pick_layer(layers, "layer4")


def test_parts_of_a_fused_encoder_are_one_layer():
    layers = {"low": np.zeros((2, 1)), "fused:a": np.ones((2, 3)), "fused:b": np.full((2, 2), 2)}
    assert list(utils.layer_parts(layers, "last")) == ["fused:a", "fused:b"]
    np.testing.assert_array_equal(utils.pick_layer(layers, "fused"), [[1, 1, 1, 2, 2]] * 2)
    assert {name: values.shape for name, values in utils.whole_layers(layers).items()} == {"low": (2, 1), "fused": (2, 5)}
    with pytest.raises(ValueError, match="this encoder has low, fused "):
        utils.pick_layer(layers, "fused:a")


# ------------------------------------------------------------------------------------------------------ clusters


def test_any_labels_become_nested_and_unique_names():
    random = np.random.default_rng(0)
    ids = [f"i{n}" for n in range(500)]
    family, genus, species = (random.integers(k, size=500) for k in (4, 5, 6))
    clusters = utils.name_clusters(ids, family.astype(str), genus, species)
    utils.check_clusters(clusters, ids)
    assert clusters["species_cluster"].nunique() == len(set(zip(family, genus, species, strict=True)))
    renamed = utils.name_clusters(ids, family.astype(str), 7 - genus, species * 3)
    pd.testing.assert_frame_equal(clusters, renamed)  # numbers follow the rows, not the labels


def test_bad_clusters_are_refused():
    good = utils.name_clusters(["a", "b", "c"], ["F", "F", "G"], [0, 1, 0], [0, 0, 0])
    utils.check_clusters(good, ["a", "b", "c"])
    with pytest.raises(ValueError, match="exactly once"):
        utils.check_clusters(pd.concat([good, good.iloc[:1]]), ["a", "b", "c"])
    with pytest.raises(ValueError, match="exactly once"):
        utils.check_clusters(good, ["a", "b", "c", "d"])
    with pytest.raises(ValueError, match="not nested"):
        utils.check_clusters(good.assign(species_cluster="same"), ["a", "b", "c"])
    with pytest.raises(ValueError, match="no cluster"):
        utils.check_clusters(good.assign(genus_cluster=pd.NA), ["a", "b", "c"])


# --------------------------------------------------------------------------------------------------------- plots


def test_figures_are_the_same_to_the_byte(tmp_path):
    for name in ("a.png", "b.png"):
        figure, ax = plotting.plt.subplots()
        plotting.draw_map(
            ax,
            np.arange(20.0).reshape(10, 2),
            np.array(list("aaabbbccdd")),
            plotting.family_colours(list("aaabbbccdd"), 2),
        )
        plotting.save_figure(figure, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    pages = [(tmp_path / "vector" / f"{name}.pdf").read_bytes() for name in "ab"]
    assert pages[0] == pages[1] and pages[0].startswith(b"%PDF-")


@pytest.mark.parametrize(
    ("text", "drawn"),
    [("Noctuidae", "Noctuidae"), ("$x_{$", r"\$x_{\$"), ("$$", r"\$\$"), ("a\n b\t", "a b"), ("x" * 41, "x" * 39 + "…"),
     ("_a", " _a"), ("a\udcff", "a\N{REPLACEMENT CHARACTER}"), ("蛾 🦋", "蛾 🦋"), (7, "7")],
)  # fmt: skip
def test_text_from_users_is_drawn_letter_by_letter(text, drawn):
    assert plotting.plain(text) == drawn and plotting.plain(plotting.plain(text)).strip() == drawn.strip()


@pytest.mark.filterwarnings("ignore:Glyph")
def test_any_text_can_be_a_label_of_a_figure(tmp_path):
    families = pd.Series(["$x_{$", "$$", r"\$x_{$", "_a", "🦋", "x" * 300, "a\x00b"])
    figure, ax = plotting.plt.subplots()
    colours = plotting.family_colours(families)
    plotting.draw_map(ax, np.eye(7, 2), families, colours)
    plotting.family_legend(figure, families, colours)
    assert len(figure.legends[0].get_texts()) == 7
    plotting.save_figure(figure, tmp_path / "a.png")
    plotting.save_figure(plotting.contact_sheet({family: [tmp_path / "a.png"] for family in families}, 1), tmp_path / "b.png")


def test_where_no_family_is_known_there_is_no_legend(tmp_path):
    figure, ax = plotting.plt.subplots()
    families = pd.Series([None, None], dtype="string")
    plotting.draw_map(ax, np.eye(2), families, plotting.family_colours(families))
    plotting.family_legend(figure, families, {})
    assert not figure.legends
    plotting.save_figure(figure, tmp_path / "a.png")


def test_a_photograph_that_is_gone_leaves_its_place_on_a_contact_sheet_white(tmp_path):
    image = plotting.contact_sheet({"a": [tmp_path / "gone.png"]}, 2).axes[0].images[0]
    assert (image.get_array() == 255).all()
    assert plotting.contact_sheet({}, 2).axes[0].images[0].get_array().shape == (100, 200, 3)


def test_the_largest_families_have_the_colours():
    colours = plotting.family_colours(["b"] * 3 + ["a"] * 2 + ["c"] * 2 + [None] * 9, n_coloured=2)
    assert list(colours) == ["b", "a"]


def test_the_readable_name_tells_the_role_and_a_name_of_ones_own_stays(tmp_path):
    for encoder, title in (("bioclip", "BioCLIP"), ("bioclip2", "BioCLIP 2")):
        assert encoder_configs.readable_name("d", encoder) == f"{title} (upper bound: trained on species names)"
    assert encoder_configs.readable_name("d", "true_traits") == "true traits (reference: the traits themselves)"
    assert encoder_configs.readable_name("d", "pixels") == "pixels (control)"
    assert encoder_configs.readable_name("d", "my_own") == "my_own" and encoder_configs.readable_name("d", "none") == "none"


def test_only_one_process_has_all_cores_and_a_killed_one_leaves_them(tmp_path):
    code = (
        f"import sys, time, pathlib; sys.path.insert(0, {str(utils.ROOT)!r}); import utils\n"
        "utils.ROOT = pathlib.Path(sys.argv[1])\n"
        "with utils.all_cores():\n    print('begin', flush=True)\n    time.sleep(float(sys.argv[2]))\n    print(time.time())\n"
    )

    def started(seconds):
        return subprocess.Popen([sys.executable, "-c", code, tmp_path, str(seconds)], stdout=subprocess.PIPE, text=True)

    first = started(2)
    assert first.stdout.readline() == "begin\n"
    second = started(60)
    assert second.stdout.readline() == "begin\n"  # the first has them for two seconds
    assert time.time() >= float(first.stdout.read()) and first.wait() == 0
    third = started(0)
    second.kill()
    second.wait()
    assert third.stdout.readline() == "begin\n" and third.wait() == 0
