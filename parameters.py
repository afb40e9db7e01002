"""Parameters of chapters and the YAML files in params/: reading them and checking names and types.

Make's plan is written at every call of make, so this module imports nothing outside the standard library at start-up.
"""

import ast
import difflib
import functools
import re
import reprlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent
DEFAULT_CLUSTERER = "pooled_average"  # of params/clusterers/
ENGINES = ("local", "ray")  # where embeddings are computed: see distributed.py
DEEPEST = 20  # levels of a YAML file


def suggestion(name, known):
    """The end of an error message: the known name closest to a misspelt one, or all known names."""
    near = difflib.get_close_matches(name, known, 1, 0.5)
    return f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"


def is_plain_name(name):
    """Whether a name cannot point outside its folder and has no special meaning to make or the shell."""
    return re.fullmatch(r"\w[\w.-]*", str(name)) is not None


# ---- parameters of a chapter -------------------------------------------------------------------------------------


def literal_assignments(source):
    """{name: value} of the assignments in Python source whose values are literals."""
    assignments = [node for node in ast.parse(source).body if isinstance(node, ast.Assign)]
    return {node.targets[0].id: ast.literal_eval(node.value) for node in assignments}


@functools.cache
def declared_parameters(notebook):
    """{name: default} from the cell tagged "parameters" in notebooks/<notebook>.py; ValueError if there is none."""
    text = (ROOT / "notebooks" / f"{notebook}.py").read_text()
    cells = re.findall(r'^# %%[^\n]*"parameters"[^\n]*\n(.*?)(?=^# %%|\Z)', text, re.MULTILINE | re.DOTALL)
    if len(cells) != 1:
        raise ValueError(f"notebooks/{notebook}.py has {len(cells)} cells tagged 'parameters', not 1")
    return literal_assignments(cells[0])


def check_parameters(given, declared, source):
    """Return `given` if every name is declared and every value has the type of its default; ValueError otherwise.

    `source` says in the message where the values come from. A default of None accepts any value, a float parameter accepts
    an int, and None is accepted everywhere.
    """
    if not isinstance(given, dict):
        raise ValueError(f"{source}: should hold lines of 'name: value', but holds {reprlib.repr(given)}")
    for name, value in given.items():
        if name not in declared:
            raise ValueError(f"{source}: unknown parameter {name!r}; the notebook knows {', '.join(declared)}")
        kind = type(declared[name])
        fits = isinstance(value, kind) and isinstance(value, bool) == (kind is bool)
        if not (fits or value is None or declared[name] is None or (kind is float and type(value) is int)):
            found = reprlib.repr(value)
            raise ValueError(f"{source}: {name} should be a {kind.__name__}, as {declared[name]!r}, but is {found}")
    return given


def parse_assignments(assignments, declared):
    """{name: value} of "name=value" arguments, by the type of the default.

    Text stays text, a list is split at blanks, everything else is read as YAML.
    """
    parsed = {}
    for assignment in assignments:
        name, _, text = assignment.partition("=")
        default = declared.get(name)
        if isinstance(default, list):
            as_text = default and isinstance(default[0], str)
            parsed[name] = [item if as_text else parse_yaml(item) for item in text.split()]
        else:
            parsed[name] = text if isinstance(default, str) else parse_yaml(text)
            if isinstance(default, float) and re.fullmatch(r"[+-]?[\d.]+e[+-]?\d+", str(parsed[name]), re.IGNORECASE):
                parsed[name] = float(text)  # YAML 1.1 reads 1e-4 as text
    return parsed


# ---- YAML files --------------------------------------------------------------------------------------------------


def parse_yaml(text):
    """YAML text as plain values. ValueError if it cannot be read, gives a name twice, is deeply nested or has aliases.

    With aliases, a text of a few lines can stand for billions of values.
    """
    import yaml  # imported here: `make clean` and the check of variable names run on a Python without packages

    loader_class = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        depth = 0
        for event in yaml.parse(text, loader_class):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent):
                raise ValueError(f"*{event.anchor} is an alias: write the value out, in quotes if it begins with *")
            if depth > DEEPEST:
                raise ValueError(f"more than {DEEPEST} brackets or levels inside each other")
        loader = loader_class(text)
        node = loader.get_single_node()
        _check_names(node)
        return None if node is None else loader.construct_document(node)
    except Exception as error:  # of YAML's classes, or as values are constructed: 2024-99-99, !!bool x
        kind = "" if isinstance(error, (ValueError, yaml.YAMLError)) else f"{type(error).__name__}: "
        raise ValueError(kind + " ".join(str(error).split()).replace(' in "<unicode string>",', "")) from None


def _check_names(node):
    """ValueError if a mapping below a node gives a name twice: YAML would keep the last."""
    names = set()
    for child in getattr(node, "value", None) if isinstance(getattr(node, "value", None), list) else ():
        for part in child if isinstance(child, tuple) else (child,):
            _check_names(part)
        if isinstance(child, tuple) and isinstance(child[0].value, str):
            if child[0].value in names:
                raise ValueError(f"{child[0].value!r} is given twice, again in line {child[0].start_mark.line + 1}")
            names.add(child[0].value)


def read_yaml(path):
    """Read a YAML file of `name: value` lines; ValueError if it cannot be read. A relative path is below the project."""
    try:
        content = parse_yaml((ROOT / path).read_text(encoding="utf-8"))
    except ValueError as error:  # also of the encoding
        raise ValueError(f"{path} cannot be read as YAML: {error}") from None
    if not isinstance(content, dict | None):
        raise ValueError(f"{path} should hold lines of 'name: value', but holds {reprlib.repr(content)}")
    return content or {}


@functools.cache
def load_yaml(path):
    """As `read_yaml`; a file is read only once."""
    return read_yaml(path)


def load_params(kind, name):
    """Read params/<kind>/<name>.yaml as a dict; FileNotFoundError suggests another name if there is none."""
    if not is_plain_name(name) or not (ROOT / "params" / kind / f"{name}.yaml").is_file():
        raise FileNotFoundError(f"there is no params/{kind}/{name}.yaml; {suggestion(str(name), config_names(kind))}")
    return load_yaml(f"params/{kind}/{name}.yaml")


@functools.cache
def config_names(kind):
    """Sorted names of all YAML files in params/<kind>/."""
    return sorted(path.stem for path in (ROOT / "params" / kind).glob("*.yaml") if is_plain_name(path.stem))
