"""Image, DNA and taxonomic name in one space: which pairs match, the loss, towers with gaps, and chapter 08."""

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import make_world
from torch import nn
from torch.nn import functional as F

import align
import utils
from simulation import evolution

TAXA = pd.DataFrame(
    [
        ("Apidae", "Apis", "Apis mellifera"),
        ("Apidae", "Apis", "Apis cerana"),
        ("Apidae", "Bombus", None),
        ("Apidae", None, None),
        ("Vespidae", None, "Vespa crabro"),
        (None, None, None),
    ],
    columns=utils.RANKS,
)


def test_a_name_ends_before_the_first_gap():
    expected = ["Apidae Apis Apis mellifera", "Apidae Apis Apis cerana", "Apidae Bombus", "Apidae", "Vespidae", None]
    assert align.lineages(TAXA) == expected
    assert (align.taxon_codes(TAXA) >= 0).sum(axis=1).tolist() == [3, 3, 2, 1, 1, 0]


def test_vectors_of_names_are_near_where_names_are_alike():
    one, sister, other = align.name_vectors(
        ["Apidae Apis Apis mellifera", "Apidae Apis Apis cerana", "Culicidae Culex"]
    )
    assert one @ sister > one @ other and np.linalg.norm(one) == pytest.approx(1)


def test_which_names_describe_which_specimens():
    codes = torch.from_numpy(align.taxon_codes(TAXA))[:5]
    yes, no, unknown = 1, 0, align.UNKNOWN
    assert align.described_by(codes, codes).tolist() == [
        [yes, no, no, yes, no],
        [no, yes, no, yes, no],
        [no, no, yes, yes, no],  # a bumblebee is neither of the two honeybees
        [unknown, unknown, unknown, yes, no],
        [no, no, no, no, yes],
    ]


def test_with_one_match_each_the_loss_is_that_of_clip():
    left, right = (F.normalize(torch.randn(6, 4, generator=torch.Generator().manual_seed(i)), dim=1) for i in (0, 1))
    logits, target = 5 * left @ right.T, torch.arange(6)
    expected = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    found = align.contrast(left, right, torch.eye(6, dtype=torch.long), 5.0)
    assert found.item() == pytest.approx(expected.item())


def test_unknown_pairs_have_no_part_in_the_loss():
    left, right = F.normalize(torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)), dim=2)
    match = torch.tensor([[1, align.UNKNOWN, 0], [align.UNKNOWN, 1, 0], [0, 0, 1]])
    before = align.contrast(left[:2], right[:2], match[:2, :2], 5.0)
    assert before.item() == pytest.approx(0, abs=1e-6)  # each has only its own match to choose from
    assert torch.isfinite(align.contrast(left, right, match, 5.0))


def test_a_specimen_without_a_barcode_does_not_change_that_of_the_others():
    random = torch.Generator().manual_seed(0)
    placed = {
        tower: F.normalize(torch.randn(5, 8, generator=random), dim=1).requires_grad_() for tower in ("image", "DNA")
    }
    known = {"image": torch.ones(5, dtype=bool), "DNA": torch.tensor([True, True, False, True, True])}
    codes = torch.from_numpy(align.taxon_codes(TAXA[:5]))
    align.objective(placed, known, torch.arange(5), codes, codes, torch.tensor(5.0)).backward()
    for values in placed.values():
        assert values.grad[2].abs().sum() == 0 and (values.grad[[0, 1, 3, 4]].abs().sum(dim=1) > 0).all()
    none = {"image": known["image"], "DNA": torch.zeros(5, dtype=bool)}
    assert align.objective(placed, none, torch.arange(5), codes, codes, torch.tensor(5.0)) == 0


def small_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5))


def test_corrections_begin_as_nothing_and_only_they_are_trained():
    network, images = small_network(), torch.randn(4, 3, 12, 12)
    before, fixed = network(images), {name: value.clone() for name, value in network.state_dict().items()}
    align.add_low_rank(network, "0", 2)
    assert torch.equal(network(images), before)
    names = {name for name, p in network.named_parameters() if p.requires_grad}
    assert names == {f"{layer}.parametrizations.weight.0.{part}" for layer in (1, 4) for part in ("up", "down")}
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], 0.1)
    network(images).square().sum().backward()
    optimizer.step()
    assert not torch.equal(network(images), before)
    after = network.state_dict()
    assert torch.equal(after["0.weight"], fixed["0.weight"])
    assert torch.equal(after["1.parametrizations.weight.original"], fixed["1.weight"])
    for layer, message in (("layer9", "is no layer"), ("4", "nothing to train")):
        with pytest.raises(ValueError, match=message):
            align.add_low_rank(small_network(), layer, 2)


@pytest.fixture(scope="module")
def twins():
    """400 specimens of 40 species whose photographs and barcodes are two views of the same hidden vectors."""
    random = np.random.default_rng(0)
    species = np.repeat(np.arange(40), 10)
    hidden = random.normal(size=(40, 6))[species] + 0.1 * random.normal(size=(400, 6))
    image, dna = ((hidden @ random.normal(size=(6, 30))).astype(np.float32) for _ in range(2))
    dna[::7] = np.nan
    names = pd.DataFrame({"family": species // 20, "genus": species // 4, "species": species}).astype(str)
    return align.Specimens([], image, dna, species.astype(str), names), species


def found_in_dna(model, specimens, rows, species):
    """Share of photographs whose nearest barcode, among those of the others, is of their species."""
    image, dna = model.place("image", specimens.image[rows]), model.place("DNA", specimens.dna[rows])
    cosines = np.nan_to_num(image @ dna.T, nan=-2)
    np.fill_diagonal(cosines, -2)
    return (species[rows][cosines.argmax(axis=1)] == species[rows]).mean()


def test_photographs_find_barcodes_of_species_never_seen_and_not_if_these_are_shuffled(twins):
    specimens, species = twins
    train, unseen = np.flatnonzero(species < 30), np.flatnonzero(species >= 30)
    settings = align.Settings(epochs=30, batch_size=64)
    model = align.align(specimens, train, ("image", "DNA"), settings)
    assert found_in_dna(model, specimens, unseen, species) > 0.5
    order = np.arange(400)
    order[train] = np.random.default_rng(0).permutation(train)
    shuffled = align.Specimens([], specimens.image, specimens.dna[order], specimens.barcodes[order], specimens.taxa)
    control = align.align(shuffled, train, ("image", "DNA"), settings)
    assert found_in_dna(control, specimens, unseen, species) < 0.3


def test_the_same_seed_gives_the_same_model_and_names_lead_to_photographs(twins):
    specimens, species = twins
    settings, towers = align.Settings(epochs=10, batch_size=64), ("image", "DNA", "name")
    model, again = (align.align(specimens, np.arange(400), towers, settings, seed=3) for _ in range(2))
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
    texts = align.lineages(specimens.taxa.iloc[::10])
    names = model.place("name", align.name_vectors(texts))
    assert (
        species[::10][(model.place("image", specimens.image) @ names.T).argmax(axis=1)] == species
    ).mean() > 0.5  # chance: 0.03


def test_chapter_08_with_missing_barcodes_and_names(bench, tmp_path):
    make_world(tmp_path)
    table = pd.read_csv(tmp_path / "metadata.csv", dtype="string")
    table["barcode"] = evolution.barcodes(evolution.birth_death_tree(12, 0), [6] * 12, 0)["nucleotides"]
    table.loc[::5, "barcode"] = pd.NA
    table.loc[::11, "species"] = pd.NA
    table.to_csv(tmp_path / "metadata.csv", index=False)
    bench.run("01", dataset="d", source=str(tmp_path))
    short = {"n_folds": 2, "epochs": 2, "network_epochs": 1, "image_size": 32, "batch_size": 16, "after": "layer3"}
    printed, found = bench.run("08", dataset="d", encoder="resnet18_untrained", **short)
    clusters = pd.read_csv(bench.root / "figures" / "d" / "alignment_clusters.csv")
    assert (clusters["gain"][clusters["training"] == "frozen encoder"] == 0).all() and clusters["ami"].between(
        -1, 1
    ).all()
    oracle = clusters[clusters["setting"] == "oracle k"]
    assert (oracle["clusters"] == 12).all() and (oracle["species"] == 12).all()
    retrieved = pd.read_csv(bench.root / "figures" / "d" / "alignment_retrieval.csv")
    assert retrieved["mean_over_species"].between(0, 1).all()
    assert set(retrieved["task"]) == {"image to image", "DNA to DNA", "image to DNA", "DNA to image", "image to name"}
    dna = retrieved[(retrieved["task"] == "DNA to DNA") & (retrieved["rank"] == "species")].groupby("species")
    assert (dna["mean_over_species"].mean() > 0.9).all()
    fold, fourth = found["fold"], found["fourth"]
    assert not set(found["taxa"]["species"][fold == 0].dropna()) & set(found["taxa"]["species"][fold == 1].dropna())
    assert "72 photographs, 57 with a barcode" in printed and fourth.sum() > 0
