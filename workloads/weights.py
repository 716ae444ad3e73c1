"""Weights without a download: the true architecture, filled at random on the device itself.

Energy depends on the architecture and hardly on which trained values the weights hold, as long as
the values are dense and of ordinary size: a product of zeros draws up to 40 % less (Gregersen,
Patel, Choukse, arXiv 2409.18324). PyTorch's own default initialisation is that. Never
`to_empty()`: it also empties buffers such as rotary tables, and the output becomes NaN.
"""

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def build(make: Callable[[], Any], *, dtype: "torch.dtype", device: str, seed: int) -> Any:
    """The module that `make` makes, on `device`, as if it had been loaded from a checkpoint.

    Frozen and in evaluation mode, with the parts in float32 that loading in `dtype` would keep so.
    The same seed gives the same weights on one kind of device; the caller's generators are left as
    they were.
    """
    import torch

    before = torch.get_default_dtype()
    cuda = [torch.device(device)] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(seed)
        torch.set_default_dtype(dtype)
        try:
            with torch.device(device):
                module = make().eval()
        finally:
            torch.set_default_dtype(before)
    if device != "meta":
        _fill(module, seed)
    keep = _kept_in_fp32(module, dtype)
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if tensor.dtype == dtype and keep.intersection(name.split(".")):
            tensor.data = tensor.data.float()
    return module.requires_grad_(False)


def _fill(module: Any, seed: int) -> None:
    """Draw the matrices that their class leaves at one value, to be filled by a checkpoint.

    A product with zeros is cheaper than any a trained model does.
    """
    import torch

    generator = None
    for tensor in module.parameters():
        if tensor.dim() > 1 and bool((tensor == tensor.flatten()[0]).all()):
            generator = generator or torch.Generator(tensor.device).manual_seed(seed)
            with torch.no_grad():
                tensor.normal_(std=0.02, generator=generator)


def _kept_in_fp32(module: Any, dtype: "torch.dtype") -> frozenset[str]:
    """The parts of names that `from_pretrained(torch_dtype=dtype)` keeps in float32."""
    import torch

    # transformers honours the list for float16 alone, diffusers for every type.
    transformers: Any = importlib.import_module("transformers")
    if isinstance(module, transformers.PreTrainedModel) and dtype != torch.float16:
        return frozenset()
    return frozenset(getattr(module, "_keep_in_fp32_modules", None) or ())


def parameter_count(module: Any) -> int:
    """How many parameters a module has, shared ones once."""
    return sum(parameter.numel() for parameter in module.parameters())


def release() -> None:
    """Give back the memory that torch keeps for later."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
