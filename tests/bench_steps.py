"""Where does the time of `make all` go? Seconds of the last run of every chapter of a dataset, the longest first.

    make bench DATASET=demo

Chapters that ran at the same time share the processor, so with -j2 the sum is more than the time that passed.
"""

import sys
from pathlib import Path

import nbformat
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import utils


def main(dataset):
    runs = sorted((utils.dataset_dir(dataset) / "runs").glob("[0-9]*.ipynb"))
    seconds = {run.stem: nbformat.read(run, 4).metadata.get("papermill", {}).get("duration") for run in runs}
    table = pd.Series(seconds, dtype=float).dropna().rename("seconds").to_frame()
    table["chapter"] = table.index.str.split("-").str[0]
    steps = table.groupby("chapter")["seconds"].agg(["count", "sum"]).sort_values("sum", ascending=False)
    steps["share"] = (steps["sum"] / steps["sum"].sum()).map("{:.0%}".format)
    print(steps.rename(columns={"count": "runs", "sum": "seconds"}).round(1).to_string())


if __name__ == "__main__":
    main(sys.argv[1])
