"""Encoders of barcodes: k-mers, registration, tokens, masking, training, and the split by species."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from skbio import DNA

import barcodes
import dna
import encoders
import utils
from simulation import evolution


@pytest.fixture(scope="module")
def coi():
    """Barcodes of 200 specimens of 40 simulated species, in 8 genera: DataFrame with species, genus, nucleotides."""
    tree = evolution.birth_death_tree(40, 1)
    table = evolution.barcodes(tree, [5] * 40, 1)
    _, genera = np.unique(np.arange(len(table)) // 25, return_inverse=True)
    return table.assign(genus=[f"G{genus}" for genus in genera])


@pytest.fixture(scope="module")
def profile(coi):
    return dna.Profile.fit(coi["nucleotides"].tolist())


@pytest.fixture(scope="module")
def tokens(coi, profile):
    codes, _ = profile.register(coi["nucleotides"].tolist())
    return dna.tokenise(codes, dna.reading_frame(codes))


# ---- k-mers


def test_kmers_are_those_of_scikit_bio(coi):
    for sequence, k in itertools.product([coi["nucleotides"][0], "ACGTACGTTTNACGRACC"], (2, 3, 6)):
        counts = DNA(sequence).kmer_frequencies(k)
        words = ["".join(word) for word in itertools.product("ACGT", repeat=k)]
        expected = np.sqrt([counts.get(word, 0) for word in words])
        assert dna.kmers([sequence], k)[0] == pytest.approx(expected) and dna.kmers([sequence], k).dtype == np.float32


# ---- registration


def test_a_shifted_cut_or_turned_barcode_comes_back_to_its_place(coi, profile):
    whole = coi["nucleotides"].tolist()[:20]
    placed, fits = profile.register(whole)
    assert (placed == dna.as_codes(whole)).all() and (fits > dna.MIN_FIT).all()
    for change, kept in (
        (lambda s: s[100:], slice(100, None)),
        (lambda s: s[:300], slice(0, 300)),
        (lambda s: "ACGTTGCATTGCA" * 3 + s + "ACCA" * 50, slice(None)),
        (lambda s: "N" * 30 + s[30:], slice(30, None)),
        (barcodes.reverse_complement, slice(None)),
    ):
        found, _ = profile.register([change(s) for s in whole])
        assert (found[:, kept] == placed[:, kept]).all()
        outside = np.ones(placed.shape[1], bool)
        outside[kept] = False
        assert (found[:, outside] == 4).all()


def test_another_sequence_fits_badly_and_every_batch_gives_the_same(coi, profile):
    random = np.random.default_rng(0)
    strange = ["".join(random.choice(list("ACGT"), n)) for n in (60, 400, 2000)]
    mixed = [*coi["nucleotides"][:9], *strange]
    codes, fits = profile.register(mixed)
    assert (fits[:9] > dna.MIN_FIT).all() and (fits[9:] < dna.MIN_FIT).all()
    assert ((codes[9:] < 4).sum(axis=1) >= [30, 200, 329]).all()  # at least half overlaps
    again, _ = profile.register(mixed, batch_size=1)
    assert (again == codes).all() and len(profile.register([])[0]) == 0


def test_a_profile_needs_barcodes_of_one_length():
    with pytest.raises(ValueError, match="only 1 of 30 barcodes have the most common length"):
        dna.Profile.fit(["ACGT" * n for n in range(20, 50)])


def test_the_reading_frame_is_that_without_stop_codons(coi, profile):
    codes, _ = profile.register(coi["nucleotides"].tolist())
    assert dna.reading_frame(codes) == 1  # simulated barcodes begin with the last base of a codon
    assert dna.reading_frame(codes[:, 1:]) == 0 and dna.reading_frame(codes[:, 2:]) == 2


# ---- tokens and masking


def test_tokens_are_codons_and_unknown_letters_hide_them():
    assert dna.tokenise(dna.as_codes(["AAAAACTTT"]), 0).tolist() == [[0, 1, 63]]
    assert dna.tokenise(dna.as_codes(["GAAAAACTTTGG"]), 1).tolist() == [[0, 1, 63]]
    assert dna.tokenise(dna.as_codes(["AANAACTT"]), 0).tolist() == [[64, 1]]


def test_masking_hides_the_share_that_was_asked_for():
    tokens = torch.zeros(4000, 219, dtype=torch.long)
    generator = torch.Generator().manual_seed(0)
    shares = dna.hide(tokens, generator, 0.3, 0.9, cropped=0.0).float().mean(dim=1)
    assert 0.2 < shares.min() < 0.35 and 0.85 < shares.max() < 0.98 and float(shares.mean()) == pytest.approx(0.6, abs=0.02)
    only_ends = dna.hide(tokens, generator, 0.0, 0.0, cropped=1.0)
    assert (only_ends.long().diff(dim=1).abs().sum(dim=1) <= 2).all()  # one visible stretch
    assert not dna.hide(tokens, generator, 0.0, 0.0, cropped=0.0).any()


def test_mutations_are_rare_and_of_what_a_position_may_hold():
    tokens = torch.zeros(3000, 5, dtype=torch.long)
    tokens[:, 4] = dna.N_TOKENS
    frequency = torch.zeros(5, dna.N_TOKENS)
    frequency[:, 7] = 1.0
    changed = dna.mutate(tokens, frequency, torch.Generator().manual_seed(0), 0.4)
    assert (changed[:, 4] == dna.N_TOKENS).all() and set(changed[:, :4].unique().tolist()) == {0, 7}
    assert float((changed[:, :4] == 7).float().mean()) == pytest.approx(0.2, abs=0.02)


def test_rare_barcodes_weigh_as_much_as_all_copies_of_a_common_one():
    vectors = np.eye(3)[[0] * 50 + [1] * 5 + [2]]
    weights = dna.rarity(vectors)
    assert weights[:50].sum() == pytest.approx(1) and weights[50:55].sum() == pytest.approx(1) and weights[55] == 1
    many = np.repeat(np.eye(2), [3000, 1000], axis=0)
    assert dna.rarity(many, sample=400)[:3000].sum() == pytest.approx(1, rel=0.15)


# ---- the model


def test_hidden_and_unknown_tokens_do_not_reach_the_vector(tokens):
    model = dna.start_model(tokens, 16).eval()
    table, data = model.table(), torch.from_numpy(tokens[:8])
    visible = torch.zeros_like(data, dtype=torch.bool)
    visible[:, ::2] = True
    changed = data.clone()
    changed[:, 1::2] = torch.randint(64, changed[:, 1::2].shape, generator=torch.Generator().manual_seed(0))
    unknown = data.clone()
    unknown[:, 1::2] = dna.N_TOKENS
    expected = model.bottleneck(data, table, visible)
    assert torch.equal(model.bottleneck(changed, table, visible), expected)
    assert torch.allclose(model.bottleneck(unknown, table), expected, atol=1e-5)
    assert not torch.allclose(model.bottleneck(changed, table), expected, atol=1e-2)


def test_an_average_barcode_has_no_direction(tokens):
    """The vectors of the tokens of a position have mean 0, so what is unknown does not pull a barcode anywhere."""
    model = dna.start_model(tokens, 16)
    mean = (model.frequency[..., None] * model.table()).sum(dim=1)
    assert float(mean.detach().abs().max()) < 1e-5


def test_training_lowers_the_loss_and_goes_on_where_it_stopped(tokens, tmp_path):
    options = {"dimensions": 16, "batch_size": 32, "n_targets": 32, "every": 5}
    whole, log = dna.pretrain(tokens, tokens[:20], steps=20, checkpoint=tmp_path / "a.checkpoint", **options)
    assert log["step"].tolist() == [5, 10, 15, 20] and log["held_out_loss"].iloc[-1] < log["held_out_loss"].iloc[0]
    done = []

    def stop(n):
        done.append(n)
        if sum(done) == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dna.pretrain(tokens, tokens[:20], steps=20, checkpoint=tmp_path / "b.checkpoint", progress=stop, **options)
    steps = []
    options |= {"progress": steps.append, "checkpoint": tmp_path / "b.checkpoint"}
    again, log_again = dna.pretrain(tokens, tokens[:20], steps=20, **options)
    assert steps[0] == 10 and sum(steps) == 20
    without_time = (table.drop(columns="seconds") for table in (log_again, log))
    pd.testing.assert_frame_equal(*without_time, rtol=1e-3)  # sums of floats differ in their last digits
    assert np.corrcoef(again.embed(tokens).ravel(), whole.embed(tokens).ravel())[0, 1] > 0.999
    steps.clear()
    _, log = dna.pretrain(tokens[1:], tokens[:0], steps=1, **options)
    assert steps[0] == 0  # other barcodes: from the start
    assert log["held_out_loss"].isna().all() and log["loss"].notna().all()  # nothing is held out


def test_the_output_is_whitened(tokens):
    model = dna.start_model(tokens, 16).eval()
    model.fit_outputs(tokens, 1.0)
    values = model.embed(tokens)
    covariance = np.cov(values.T)
    assert covariance == pytest.approx(np.eye(16) * covariance[0, 0], abs=0.02 * covariance[0, 0])
    assert np.abs(values.mean(axis=0)).max() < 1e-3 * values.std()


def test_a_model_comes_back_from_its_file(coi, profile, tokens, tmp_path):
    model = dna.start_model(tokens, 16).eval()
    model.fit_outputs(tokens, 0.5)
    dna.save_model(model, profile, 1, tmp_path / "m.safetensors")
    again, other, frame = dna.load_model(tmp_path / "m.safetensors")
    codes, _ = other.register(coi["nucleotides"].tolist())
    values, expected = again.embed(dna.tokenise(codes, frame)), model.embed(tokens)
    assert values == pytest.approx(expected, abs=float(expected.std()) / 20)
    with pytest.raises(ValueError, match="holds no barcode model"):
        dna.load_model(utils.ROOT / "models" / "specimen_resnet18.safetensors")


def test_fine_tuning_learns_names(coi, tokens):
    model = dna.start_model(tokens, 16).eval()
    before = model.embed(tokens)
    rows = np.arange(len(tokens)) % 5 > 0
    named = dna.fine_tune(model, tokens[rows], coi["species"][rows], tokens[~rows], steps=60, learning_rate=0.01)
    assert (named == coi["species"][~rows]).mean() > 0.8
    assert (model.embed(tokens) == before).all()  # a copy was trained


# ---- evaluation


def test_species_are_held_out_whole_and_most_have_a_relative_in_training():
    taxa = pd.DataFrame({"species": [f"s{n % 100:02d}" for n in range(300)]})
    taxa["genus"] = taxa["species"].str[:2].where(taxa["species"] < "s60", taxa["species"])
    taxa.loc[len(taxa)] = [None, "s0"]
    part = dna.split_species(taxa, 0, 0.2, 0.1)
    assert taxa.assign(part=part).groupby("species")["part"].nunique().eq(1).all() and part[-1] == "train"
    counts = taxa.assign(part=part).dropna().drop_duplicates("species")["part"].value_counts()
    assert counts.to_dict() == {"train": 70, "test": 20, "validation": 10}
    held = taxa[part != "train"].drop_duplicates("species")
    assert held["genus"].isin(taxa["genus"][part == "train"]).mean() == pytest.approx(0.75, abs=0.04)
    assert (dna.split_species(taxa, 0, 0.2, 0.1) == part).all() and (dna.split_species(taxa, 1, 0.2, 0.1) != part).any()


def test_the_nearest_has_the_highest_cosine():
    references = np.array([[1.0, 0], [0, 9], [-1, -1]])
    assert dna.nearest(np.array([[3, 1], [1, 3], [-5, 0.1], [1e-3, 1]]), references).tolist() == [0, 1, 2, 1]
    assert len(dna.nearest(np.empty((0, 2)), references)) == 0


def test_p_distances_are_those_of_scikit_bio_where_all_is_known():
    codes = dna.as_codes(["ACGTACGT", "ACGTACGA", "TCGTNNNN", "NNNNACGT"])
    found = dna.p_distances(codes)
    assert found[0, 1] == DNA("ACGTACGT").distance(DNA("ACGTACGA")) == 1 / 8
    assert found[0, 2] == 1 / 4 and found[0, 3] == 0 and found[2, 3] == 1 and (found == found.T).all()


def test_registered_letters_leave_out_what_is_unknown():
    codes = dna.as_codes(["AC", "AG", "AN"])
    found = dna.registered_letters(codes, codes)
    assert found[:, [0, 5, 6]] == pytest.approx(np.array([[0, 0.5, -0.5], [0, -0.5, 0.5], [0, 0, 0]]))


# ---- encoders


@pytest.mark.parametrize("library", ["kmers", "dna_mlm"])
def test_encoders_of_barcodes_stream_their_rows(library, coi, profile, tokens, in_tmp):
    model = dna.start_model(tokens, 16)
    dna.save_model(model, profile, 1, in_tmp / "models" / "m.safetensors")
    (in_tmp / "models" / "SHA256SUMS").touch()
    config = {"library": library, "architecture": "x", "weights": "models/m.safetensors", "layers": {"a": "embedding"}}
    config |= {"weights": None, "layers": {"three": 3, "four": 4}} if library == "kmers" else {}
    sequences = coi["nucleotides"].tolist()
    source = encoders.Source([None] * len(sequences), barcodes=lambda: sequences)
    opened = encoders.open_encoder(config, source)
    one, two = opened.describe([[5, 0], [7]])
    assert not opened.sees_photographs and list(one) == list(config["layers"]) and {len(v) for v in one.values()} == {2}
    (all_rows,) = opened.describe([list(range(10))])
    for name in config["layers"]:
        assert all_rows[name][[5, 0]] == pytest.approx(one[name], abs=1e-4)
        assert all_rows[name][[7]] == pytest.approx(two[name], abs=1e-4)
    sequences[3] = sequences[3][:-1]
    assert encoders.open_encoder(config, source).digest != opened.digest


def test_what_cannot_be_encoded_is_said(in_tmp):
    table = pd.DataFrame({"hash_id": ["a", "b"], "path": [pd.NA, pd.NA], "barcode": ["ACGT", pd.NA]}, dtype="string")
    source = encoders.dataset_source("d", table)
    with pytest.raises(ValueError, match=r"1 of 2 specimens have no DNA barcode \(b\)"):
        encoders.open_encoder({"library": "kmers", "layers": {"k": 2}}, source)
    with pytest.raises(ValueError, match="there are no photographs in this dataset"):
        encoders.open_encoder({"library": "torchvision", "layers": {}}, source)
    source.barcodes = lambda: ["ACGT"]
    outside = {"library": "dna_mlm", "weights": "../m.safetensors", "layers": {"a": "embedding"}}
    with pytest.raises(ValueError, match="lie outside the project"):
        encoders.open_encoder(outside, source)
    with pytest.raises(FileNotFoundError, match=r"models/none\.safetensors is missing"):
        encoders.open_encoder(outside | {"weights": "models/none.safetensors"}, source)


def test_where_few_species_can_be_held_out_validation_and_test_both_get_their_share():
    species = [f"S{i}" for i in range(200)]  # 20 genera of ten: no species is alone in its genus
    taxa = pd.DataFrame({"genus": [f"G{i // 10}" for i in range(200)], "species": species})
    part = pd.Series(dna.split_species(taxa)).value_counts()
    assert part.to_dict() == {"train": 152, "test": 30, "validation": 18}
    small = pd.Series(dna.split_species(taxa.iloc[:16])).value_counts()
    assert small["test"] >= 2 and small["validation"] >= 1


@pytest.mark.parametrize(
    ("partition", "part"),
    [
        (["train", "pretrain", "test_unseen", "val_unseen", "key_unseen", None], "train train test validation other other"),
        (["train", "test", "test", "val", "train", None], None),  # of somebody else
        (["test_unseen"] * 6, None),  # a download of one partition
        (["all"] * 6, None),
    ],
)
def test_only_the_partitions_of_bioscan_are_taken_for_a_split(partition, part):
    found = dna.own_split(pd.DataFrame({"partition": pd.array(partition, "string")}))
    assert (part is None and found is None) or found.tolist() == part.split()
    assert dna.own_split(pd.DataFrame({"family": partition})) is None
