"""BIOSCAN-1M and BIOSCAN-5M as a folder with a table that chapter 01 reads.

    python bioscan.py ~/data --version 5m --split unseen              # what was downloaded before
    python bioscan.py ~/data --version 5m --split train --download    # 1.5 to 36 GB

The package bioscan-dataset downloads and checks the files, and reads their metadata. The table lies beside the images, or alone
in a folder where only barcodes are wanted (`--barcodes`). Gharaee et al. (2023, 2024), NeurIPS Datasets and Benchmarks.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

import utils

# Names in our table: names in the metadata, by version.
COLUMNS = {
    "5m": {
        "hash_id": "processid", "family": "family", "genus": "genus", "species": "species", "barcode": "dna_barcode",
        "bin": "dna_bin", "partition": "split", "country": "country", "latitude": "coord-lat", "longitude": "coord-lon",
        "size": "image_measurement_value",
    },
    "1m": {
        "hash_id": "processid", "family": "family", "genus": "genus", "species": "species", "barcode": "nucraw", "bin": "uri",
    },
}  # fmt: skip


def read_metadata(root, version="5m", split="all"):
    """The metadata of one or more partitions, joined by "+", as a DataFrame with our columns (see COLUMNS).

    `root` is the folder that the package downloads to. A species that BIOSCAN only describes, as in "Megaselia sp. BOLD:AAA1",
    keeps its name. FileNotFoundError if the metadata were not downloaded, ValueError if there is no such partition.
    """
    import bioscan_dataset  # takes time to load

    kind = {"5m": bioscan_dataset.BIOSCAN5M, "1m": bioscan_dataset.BIOSCAN1M}[version]
    load = {"5m": bioscan_dataset.load_bioscan5m_metadata, "1m": bioscan_dataset.load_bioscan1m_metadata}[version]
    path = Path(root).expanduser() / kind.base_folder / kind.meta["filename"]
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: add --download, or give the folder that holds {kind.base_folder}/")
    table = load(path, split=None if split == "all" else split)
    found = pd.DataFrame({name: table[column].astype("string") for name, column in COLUMNS[version].items()})
    if version == "1m":  # image files are not named after the specimen
        found["hash_id"] = table["image_file"].astype("string").str.rpartition(".")[0]
    return found.reset_index(drop=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="folder that holds bioscan5m/ or bioscan1m/")
    parser.add_argument("--version", choices=("5m", "1m"), default="5m")
    parser.add_argument("--split", default="all", help='a partition, or several joined by "+"')
    parser.add_argument("--barcodes", action="store_true", help="barcodes only, without photographs")
    parser.add_argument("--download", action="store_true", help="download what is missing")
    given = parser.parse_args()
    root = given.root.expanduser()
    try:
        if given.download:
            import bioscan_dataset

            kind = {"5m": bioscan_dataset.BIOSCAN5M, "1m": bioscan_dataset.BIOSCAN1M}[given.version]
            modality = "dna" if given.barcodes else ("image", "dna")
            kind(str(root), split=given.split, modality=modality, image_package="cropped_256", download=True)
        folder = root / f"bioscan{given.version}" / ("barcodes" if given.barcodes else "images/cropped_256")
        table = read_metadata(root, given.version, given.split)
        if not given.barcodes and not folder.is_dir():
            raise FileNotFoundError(f"{folder} is missing: add --download, or take --barcodes only")
        utils.write_table(table, folder / "metadata.csv")
    except (ValueError, OSError) as error:
        sys.exit(f"error: {' '.join(str(error).split())}")
    print(f"{len(table):,} specimens: make all DATASET=bioscan{given.version} SOURCE={folder}")


if __name__ == "__main__":
    main()
