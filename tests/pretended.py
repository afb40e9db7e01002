"""A device that is not the processor, on any machine: its tensors say so, and the processor does their sums.

What goes wrong on a graphics card only is mostly the same on all: tensors of two devices meet, numpy is handed one, a number
format or an operation is not there. This one refuses the same, with the gaps of Apple's GPUs, and keeps a record of the
operations it was asked for, so that they can be looked up for a device nobody here has.
"""

import torch
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

NAME = "pretended"
asked_for = set()  # names of operations


class Elsewhere(torch.Tensor):
    """A tensor on the pretended device; `here` is what the processor holds of it."""

    @staticmethod
    def __new__(cls, here):
        about = {"strides": here.stride(), "storage_offset": here.storage_offset(), "dtype": here.dtype}
        return torch.Tensor._make_wrapper_subclass(cls, here.size(), device=torch.device(NAME, 0), **about)

    def __init__(self, here):
        if here.dtype == torch.float64:
            raise TypeError("this device has no float64")
        self.here = here

    def __reduce_ex__(self, protocol):
        """Pickled as torch.load(..., "cpu") would read it again."""
        return self.here.__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(cls, operation, types, arguments=(), keywords=None):
        return _carry_out(operation, arguments, keywords or {})


class Device(TorchDispatchMode):
    """Inside this context the device exists."""

    def __torch_dispatch__(self, operation, types, arguments=(), keywords=None):
        return _carry_out(operation, arguments, keywords or {})


def _carry_out(operation, arguments, keywords):
    name = str(operation).removeprefix("aten.").removesuffix(".default")
    tensors = [value for value in tree_flatten((arguments, keywords))[0] if isinstance(value, torch.Tensor)]
    elsewhere = {id(tensor.here): tensor for tensor in tensors if isinstance(tensor, Elsewhere)}
    target = keywords.get("device")
    there = target.type == NAME if target else bool(elsewhere)
    if elsewhere and "copy" not in name and any(t.ndim and not isinstance(t, Elsewhere) for t in tensors):
        raise RuntimeError(f"{name}: tensors of two devices")
    if there:
        asked_for.add(name)
        if "adaptive_avg_pool2d" in name and any(
            a % b for a, b in zip(arguments[0].shape[-2:], arguments[1], strict=True)
        ):
            raise NotImplementedError(f"{name}: this device pools by whole numbers only")
    if target and there:
        keywords = keywords | {"device": torch.device("cpu")}
    arguments, keywords = tree_map_only(Elsewhere, lambda tensor: tensor.here, (arguments, keywords))
    found = operation(*arguments, **keywords)
    if not there:
        return found
    # an operation in place gives back the tensor that it was given; a new one may be a view, which inference tensors cannot be
    with torch.inference_mode(False):
        return tree_map_only(torch.Tensor, lambda t: elsewhere[id(t)] if id(t) in elsewhere else Elsewhere(t), found)


class _Module(backend_registration._DummyBackendModule):
    def get_amp_supported_dtype(self):
        return [torch.float16, torch.bfloat16]


def register():
    """Make the device known to this process, once and for all, and return it."""
    if torch._C._get_privateuse1_backend_name() != NAME:
        backend_registration._setup_privateuseone_for_python_backend(NAME, _Module())
    return torch.device(NAME, 0)
