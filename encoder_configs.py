"""Configs of encoders: how to build an encoder, which pretrained weights it comes from, and its title and role."""

import parameters
import utils

ABOUT = ("title", "role", "start", "half")  # not needed to build an encoder
INHERITED = ("upper bound", "reference")  # what knew the answer is no fair method when it was tuned or fused, either


def load_config(dataset, encoder):
    """The whole config of an encoder (dict), from data/<dataset>/models/ if it is tuned, otherwise from params/encoders/."""
    tuned = utils.dataset_dir(dataset) / "models" / f"{encoder}.yaml"
    return parameters.read_yaml(tuned) if tuned.is_file() else utils.load_params("encoders", encoder)


def build_config(dataset, encoder):
    """The part of an encoder's config (dict) that is needed to build it, without ABOUT.

    The config is in params/encoders/, or in data/<dataset>/models/ if chapter 03 tuned the encoder.
    """
    config = load_config(dataset, encoder)
    return {name: value for name, value in config.items() if name not in ABOUT}


def check_encoder(dataset, encoder, given):
    """Raise ValueError if there is a config of this name that differs from the `given` settings; it names the differences."""
    try:
        config = {"role": ""} | load_config(dataset, encoder)
    except FileNotFoundError:
        return  # no config has this name

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
    """The pretrained networks that an encoder comes from: a frozenset of "library/architecture/weights".

    A fused encoder comes from the networks of its parts. A tuned encoder comes from that of its `start`, if its config has one.
    """
    found = set()
    for config in _configs(dataset, encoder):
        if config["library"] != "fused" and not config.get("start"):
            found.add("/".join(str(config[key]) for key in ("library", "architecture", "weights")))
    return frozenset(found)


def _configs(dataset, encoder):
    """Configs of an encoder and of all that it was tuned from or fused of, itself first."""
    seen, pending = set(), [encoder]
    while pending:
        name = pending.pop(0)
        if name in seen:
            continue
        seen.add(name)
        config = load_config(dataset, name)
        yield config
        if config["library"] == "fused":
            pending += config["architecture"].split()
        elif config.get("start"):
            pending.append(config["start"])


def role(dataset, encoder):
    """Role of an encoder that is not a method, such as "control" or "upper bound: ..."; empty for a method.

    An encoder that was tuned from an upper bound or a reference, or fused of one, has its role.
    """
    about = _about(dataset, encoder)
    if about.get("role") or not about:
        return about.get("role") or ""
    roles = [config.get("role") or "" for config in _configs(dataset, encoder)]
    return next((role for role in roles if role.startswith(INHERITED)), "")


def readable_name(dataset, encoder):
    """Title of an encoder for figures, with its role; the name of the encoder if no config gives a title."""
    title, known = _about(dataset, encoder).get("title") or encoder, role(dataset, encoder)
    return f"{title} ({known})" if known else title


def is_mirrored(dataset, encoder):
    """Whether the config of an encoder, if there is one, averages every photograph with its mirror image."""
    return bool(_about(dataset, encoder).get("mirrored"))


def _about(dataset, encoder):
    try:
        return load_config(dataset, encoder)
    except FileNotFoundError:  # "none", or embeddings that a user added
        return {}
