"""One rule of the makefile per chapter: what it depends on, and whether it has to run again.

make compares dates. It cannot see that a chapter was given other parameters, that one of several files is lost, or that a
later run failed; this module compares with what papermill recorded in the executed notebook.
"""

import ast
import functools
import json
import re
from datetime import UTC, datetime
from typing import NamedTuple

from parameters import DEFAULT_CLUSTERER, ROOT, config_names

NEUTRAL = ("engine",)  # parameters that say where a chapter computes, and change nothing of what it writes
IMPORT = re.compile(r"^[ \t]*((?:import|from)[ \t][^\n(]*(?:\([^)]*\))?)", re.MULTILINE)


class Rule(NamedTuple):
    """An executed notebook, the files that the chapter writes, its prerequisites, and its shell commands.

    The target is the notebook, which appears last and only after success. execute.py gives it the date of the start of the
    run, so that whatever changed during the run is newer. The files have no command of their own, so make never deletes one.
    """

    run: str
    files: list
    needs: list
    commands: list

    def __str__(self):
        lines = [f"{self.run}: {make_list(self.needs)} | $(READY)", *(f"\t@{line}" for line in self.commands)]
        if self.files:
            lines.append(f"{make_list(self.files)}: {self.run} ;")
        return "\n".join(lines) + "\n"


def make_list(names):
    """File names as a list in a makefile, one a line."""
    return " \\\n    ".join(names).replace("=", "$(EQ)")


# ---- what a chapter imports --------------------------------------------------------------------------------------


@functools.cache
def imported(path):
    """Modules of this project that a Python file imports, directly or through others, as sorted paths below the project."""
    found, pending = set(), [path]
    while pending:
        for module in _imported_directly(pending.pop()) - found:
            found.add(module)
            pending.append(module)
    return sorted(found)


@functools.cache
def _imported_directly(path):
    names = set()
    # only the import statements are parsed: whole files would double the time of planning
    for statement in IMPORT.findall((ROOT / path).read_text()):
        try:
            node = ast.parse(statement).body[0]
        except (SyntaxError, IndexError):  # a line of prose
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = path.rpartition("/")[0].replace("/", ".") if node.level else ""
            module = ".".join(filter(None, (package, node.module)))
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    parents = {name.rpartition(".")[0] for name in names}
    places = {name.replace(".", "/") for name in names | parents if name}
    files = {f"{place}{end}" for place in places for end in (".py", "/__init__.py")}
    return {file for file in files if (ROOT / file).is_file()}


@functools.cache
def clusterers_of(notebook):
    """Configs of the clusterers that a chapter reads by name, the default or others, as paths below the project."""
    text = (ROOT / notebook).read_text()
    if not re.search(r"Clusterer\.named\(|load_prepared\(", text):
        return []
    names = {DEFAULT_CLUSTERER} if "DEFAULT_CLUSTERER" in text else set()
    names |= set(re.findall(r'"(\w+)"', text)) & set(config_names("clusterers"))
    return [f"params/clusterers/{name}.yaml" for name in sorted(names)]


# ---- the last run ------------------------------------------------------------------------------------------------


def last_run(run):
    """Parameters and end time that papermill recorded in an executed notebook; {} and None if it cannot be read."""
    try:
        text = (ROOT / run).read_text()
        start = text.rfind('\n "metadata": {')  # the notebook's own metadata come last: no need to parse the outputs
        recorded = json.loads("{" + text[start:] if start > 0 else text)["metadata"]["papermill"]
        end = datetime.fromisoformat(recorded["end_time"])
        return recorded["parameters"], end if end.tzinfo else end.replace(tzinfo=UTC)
    except (OSError, ValueError, KeyError, TypeError):
        return {}, None


def must_run_again(run, given, files, covering=()):
    """Whether the last successful run had other parameters, one of its files is lost, or a later run failed halfway.

    For the list parameters named in `covering` it is enough that the last successful run had all items of the list.
    """
    if not (ROOT / run).is_file():
        return False  # make sees a missing target by itself
    if not all((ROOT / file).is_file() for file in files):
        return True
    parameters, end = last_run(run)
    for name in covering:
        if set(given.get(name) or []) <= set(parameters.get(name) or []):
            parameters = parameters | {name: given.get(name)}
    before, now = ({name: value for name, value in each.items() if name not in NEUTRAL} for each in (parameters, given))
    if before != now:
        return True
    failed = any((ROOT / run).with_suffix(suffix).is_file() for suffix in (".failed.ipynb", ".running.ipynb"))
    return failed and any((ROOT / file).stat().st_mtime > end.timestamp() for file in files)


def shard_lost(folder):
    """Whether a file that embeddings/<encoder>/_SUCCESS lists, as lines of name and size, is missing or of another size."""
    try:
        about = (ROOT / folder / "_SUCCESS").read_text(errors="replace")
        listed = re.findall(r"^(part-\d+\.parquet) (\d+)$", about, re.MULTILINE)
        return any((ROOT / folder / name).stat().st_size != int(size) for name, size in listed)
    except FileNotFoundError:
        return (ROOT / folder / "_SUCCESS").is_file()
