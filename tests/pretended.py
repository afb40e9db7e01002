"""A simulated accelerator for tests on any machine: its tensors report another device, and the CPU computes.

Most errors that occur on a GPU only have a few causes: tensors of two devices are combined, NumPy gets a tensor of the device,
or a number format or an operation is missing. This device raises errors in the same cases, with the missing features of Apple's
GPUs. It records the names of all operations, so that tests can check whether a real device has them.
"""

import torch
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

NAME = "pretended"
asked_for = set()  # names of the operations that were called


class Elsewhere(torch.Tensor):
    """A tensor on the simulated device; `here` is its copy on the CPU."""

    @staticmethod
    def __new__(cls, here):
        about = {"strides": here.stride(), "storage_offset": here.storage_offset(), "dtype": here.dtype}
        return torch.Tensor._make_wrapper_subclass(cls, here.size(), device=torch.device(NAME, 0), **about)

    def __init__(self, here):
        if here.dtype == torch.float64:
            raise TypeError("this device has no float64")
        self.here = here

    def __reduce_ex__(self, protocol):
        """Pickle the CPU tensor, as torch.load(..., "cpu") reads it."""
        return self.here.__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(cls, operation, types, arguments=(), keywords=None):
        return _carry_out(operation, arguments, keywords or {})


class Device(TorchDispatchMode):
    """Context in which the simulated device exists."""

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
    # an in-place operation returns the tensor it was given; a new tensor may be a view, which an inference tensor cannot be
    with torch.inference_mode(False):
        return tree_map_only(torch.Tensor, lambda t: elsewhere[id(t)] if id(t) in elsewhere else Elsewhere(t), found)


class _Module(backend_registration._DummyBackendModule):
    def get_amp_supported_dtype(self):
        return [torch.float16, torch.bfloat16]


def register():
    """Register the device in this process, if it is not registered yet, and return it."""
    if torch._C._get_privateuse1_backend_name() != NAME:
        backend_registration._setup_privateuseone_for_python_backend(NAME, _Module())
    return torch.device(NAME, 0)
