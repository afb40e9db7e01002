"""`make clean`: remove what the chapters wrote to data/<dataset>/ and nothing else."""

import os
import re
import shutil
from pathlib import Path

import listing
from files import final_name
from parameters import ROOT, config_names
from settings import BadSetting, check_dataset, is_stored_settings


def plans_of(dataset):
    """Makefiles that plan.py wrote for a dataset."""
    pattern = re.compile(re.escape(dataset) + r"-[0-9a-f]{12}\.mk")
    return [path for path in (ROOT / "data" / ".plans").glob("*.mk") if pattern.fullmatch(path.name)]


def clean(dataset):
    """Remove what the chapters wrote to data/<dataset>/ and folders that are empty afterwards. No link is followed.

    BadSetting if data/<dataset> itself is a link.
    """
    folder = ROOT / "data" / check_dataset(dataset)
    if folder.is_symlink():
        raise BadSetting(f"data/{dataset} is a link to {folder.resolve()}: nothing was removed; remove it by hand")
    for path in plans_of(dataset):
        path.unlink(missing_ok=True)
    if not folder.is_dir():
        return
    if dataset in config_names("worlds"):
        for name in ("photos.unfinished", "photos.replaced"):
            if not (folder / name).is_symlink():
                shutil.rmtree(folder / name, ignore_errors=True)

    # a user's file may have the name of a result: remove a table only if its chapter has run, a map only of a known encoder
    chapters = {path.name[:2] for path in (folder / "runs").glob("[0-9][0-9]_*.ipynb")}
    encoders = {
        *config_names("encoders"), *config_names("trainers"), *(path.name for path in (folder / "embeddings").glob("*"))
    }  # fmt: skip
    names = next(os.walk(folder))[2]
    for name in listing.made_by_chapters("", names):
        if listing.RESULTS[final_name(name)] in chapters:
            (folder / name).unlink()
    if is_stored_settings(folder / "config.yaml"):
        (folder / "config.yaml").unlink()
    for top in listing.PLACES:
        if (folder / top).is_symlink():
            continue
        for parent, _, names in os.walk(folder / top, topdown=False):
            place = Path(parent).relative_to(folder).as_posix()
            if not place.startswith("maps/") or Path(parent).name in encoders:
                for name in listing.made_by_chapters(place, names):
                    Path(parent, name).unlink()
            if not any(Path(parent).iterdir()):
                Path(parent).rmdir()
    if not any(folder.iterdir()):
        folder.rmdir()
