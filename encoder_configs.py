"""What the configs of encoders say: how to build one, what it goes back to, and what people call it."""

import yaml

import utils

ABOUT = ("title", "role", "start", "half")  # not needed to build an encoder


def load_config(dataset, encoder):
    """All that the config of an encoder says: of a tuned one in data/<dataset>/models/, of others in params/encoders/."""
    tuned = utils.dataset_dir(dataset) / "models" / f"{encoder}.yaml"
    return yaml.safe_load(tuned.read_text()) if tuned.is_file() else utils.load_params("encoders", encoder)


def build_config(dataset, encoder):
    """How to build an encoder: its config in params/encoders/, or the one that chapter 03 left in data/<dataset>/models/.

    What the config says besides is left out: title, role, and for a tuned encoder where the tuning started.
    """
    config = load_config(dataset, encoder)
    return {name: value for name, value in config.items() if name not in ABOUT}


def check_encoder(dataset, encoder, given):
    """ValueError if there is a config of this name and it differs from the `given` settings; it names those that do."""
    try:
        config = {"role": ""} | load_config(dataset, encoder)
    except FileNotFoundError:
        return  # a name of its own

    def comparable(value):
        return list(value.items()) if isinstance(value, dict) else value or None  # layers have an order

    differing = [k for k, v in config.items() if k in given and comparable(v) != comparable(given[k])]
    if differing:
        changes = ", ".join(f"{key} = {given[key]!r} (there {config[key]!r})" for key in differing)
        raise ValueError(
            f"encoder = {encoder!r} has a config, and the parameters given differ from it: {changes}. Give those of the "
            "config, or choose another name"
        )


def encoder_lineage(dataset, encoder):
    """Which pretrained networks an encoder goes back to: a frozenset of "library/architecture/weights".

    A fused encoder goes back to what its parts do, and a tuned one to what its tuning started from, where its config tells.
    """
    found, seen, pending = set(), set(), [encoder]
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        config = load_config(dataset, name)
        if config["library"] == "fused":
            pending += config["architecture"].split()
        elif config.get("start"):
            pending.append(config["start"])
        else:
            found.add("/".join(str(config[key]) for key in ("library", "architecture", "weights")))
    return frozenset(found)


def role(dataset, encoder):
    """What an encoder is besides a method, such as "control" or "upper bound: ..."; empty for a method."""
    return _about(dataset, encoder).get("role") or ""


def readable_name(dataset, encoder):
    """Title of an encoder for people, with its role; the encoder's own name where no config gives it a title."""
    about = _about(dataset, encoder)
    title = about.get("title") or encoder
    return f"{title} ({about['role']})" if about.get("role") else title


def _about(dataset, encoder):
    try:
        return load_config(dataset, encoder)
    except FileNotFoundError:  # "none", or embeddings that were made by hand
        return {}
