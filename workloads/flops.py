"""How many operations a video job takes, counted from its networks without running them.

PyTorch's own counter watches a call of each network whose tensors have shapes and no memory. A
multiplication and the addition after it are two operations; what isn't a product of matrices or a
convolution isn't counted (some 1 %), masks and causality are ignored. Never counted beside a
measured run: the counter slows every operation down (`operations` counts in a process of its own).
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vidmeter.workloads.base import Setting
from vidmeter.workloads.parts import Part, named
from vidmeter.workloads.video.model import Model, Size, Tensor


@dataclass(frozen=True, slots=True)
class Operations:
    """The operations of one repeat (a batch), by its phases; `runs` are those of the denoiser."""

    text_encode: float
    denoise: float
    decode: float
    runs: int

    @property
    def total(self) -> float:
        """All of them."""
        return self.text_encode + self.denoise + self.decode


def count_video(model: Model, settings: Mapping[str, Setting], size: Size) -> Operations:
    """The operations of making one batch of videos with these settings."""
    per_step = model.runs_per_step(float(settings["guidance"]))
    runs = int(settings["steps"]) * per_step
    return Operations(
        text_encode=per_step * size.batch * _encode(model),
        denoise=runs * run_of_denoiser(model, size),
        decode=_decode(model, size, tiled=settings.get("vae_tiling") == "on"),
        runs=runs,
    )


def run_of_denoiser(model: Model, size: Size) -> float:
    """The operations of one run of the denoiser, for a batch."""
    inputs = model.inputs(model.layout, size)
    return _of(model.parts[model.denoisers[0]], lambda network: network(**_tensors(inputs)))


def _decode(model: Model, size: Size, *, tiled: bool) -> float:
    latents = Tensor(model.decoded(model.layout, size))

    def decode(vae: Any) -> None:
        if tiled:
            vae.enable_tiling()
        vae.decode(**_tensors({"z": latents}))

    if not tiled:
        return _of(model.parts["vae"], decode)
    alike: list[_OnceForEachShape] = []

    def decode_tiles(vae: Any) -> None:
        alike.append(_OnceForEachShape(vae.decoder))
        decode(vae)

    return _of(model.parts["vae"], decode_tiles) + alike[0].spared


class _OnceForEachShape:
    """Stands in for a network's `forward`: what was counted for arguments of the same shapes is
    added to `spared`, and not done again. Hundreds of tiles have a handful of shapes.

    Arguments that hold a list are never taken for known: Wan's decoder keeps its state in one.
    """

    def __init__(self, network: Any) -> None:
        self.spared = 0.0
        self._forward = network.forward
        self._known: dict[Any, tuple[float, Any]] = {}
        network.forward = self

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        try:
            key = _shapes((arguments, keywords))
        except TypeError:
            return self._forward(*arguments, **keywords)
        if key in self._known:
            operations, result = self._known[key]
            self.spared += operations
            return result
        with counter() as operations:
            result = self._forward(*arguments, **keywords)
        self._known[key] = float(operations.get_total_flops()), result
        return result


def _shapes(value: Any) -> Any:
    """The shapes of all tensors in a value, to be looked up by; TypeError if it holds a list."""
    if isinstance(value, dict):
        return tuple((k, _shapes(v)) for k, v in value.items())
    if isinstance(value, tuple):
        return tuple(_shapes(v) for v in value)
    if isinstance(value, list):
        raise TypeError
    return tuple(value.shape) if hasattr(value, "shape") else value


def _encode(model: Model) -> float:
    """The operations of encoding one prompt."""

    def of(name: str, tokens: int) -> float:
        inputs = {"input_ids": Tensor((1, tokens), "int64")}
        return _of(model.parts[name], lambda encoder: encoder(**_tensors(inputs)))

    return sum(of(name, tokens) for name, tokens in model.encoders.items())


def _of(part: Part, call: Callable[[Any], Any]) -> float:
    """The operations of calling the network that `part` makes, in float32."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    # Made on meta, where nothing is drawn: some initial values are drawn until they are good, which
    # those of a tensor without any never are. But not run there: meta has no autocast, which Mochi
    # asks for, and is warned of on a CPU.
    with torch.device("meta"):
        network = part().eval()
    with FakeTensorMode(allow_non_fake_inputs=True), _masks_of_ones(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="In CPU autocast")
        network.to_empty(device="cpu")
        return _count(lambda: call(network))


def _tensors(inputs: Mapping[str, Any]) -> dict[str, Any]:
    import torch

    def made(value: Any) -> Any:
        if isinstance(value, Tensor):
            return torch.zeros(value.shape, dtype=getattr(torch, value.dtype or "float32"))
        return [made(v) for v in value] if isinstance(value, list) else value

    return {name: made(value) for name, value in inputs.items()}


def _masks_of_ones() -> Any:
    """A mode that answers what is asked of tensors' values, which aren't there, as of ones.

    HunyuanVideo-1.5 and Mochi take out the tokens of a prompt that their masks name. However many
    those are, the first does the same work; for the second it is a prompt as long as can be.
    """
    import torch
    from torch._subclasses.fake_tensor import DataDependentOutputException
    from torch.overrides import TorchFunctionMode

    def is_mask(index: object) -> bool:
        return isinstance(index, torch.Tensor) and index.dtype == torch.bool

    class MasksOfOnes(TorchFunctionMode):
        def __torch_function__(
            self, function: Any, types: Any, arguments: Any = (), keywords: Any = None
        ) -> Any:
            if function is torch.Tensor.__bool__:
                try:
                    return function(*arguments)
                except DataDependentOutputException:
                    return True
            if function is torch.nonzero:
                (mask,) = arguments
                return torch.zeros(mask.numel(), mask.dim(), dtype=torch.long)
            if function is torch.Tensor.__getitem__ and is_mask(arguments[1]):
                tensor, mask = arguments
                taken = tensor.flatten(0, mask.dim() - 1)
                return taken[:0] if getattr(mask, "of_zeros", False) else taken
            result = function(*arguments, **(keywords or {}))
            if function is torch.Tensor.__invert__ and is_mask(result):
                result.of_zeros = True
            return result

    return MasksOfOnes()


def _count(call: Any) -> float:
    import torch

    with counter() as operations, torch.no_grad():
        call()
    return float(operations.get_total_flops())


def counter() -> Any:
    """PyTorch's counter of operations, to be entered, and right for attention on the CPU too."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    of_shapes = named("torch.utils.flop_counter.sdpa_flop_count")

    def attention(q: Any, k: Any, v: Any, *_: Any, out_shape: Any = None, **__: Any) -> Any:
        return of_shapes(q, k, v)

    # The CPU's own attention is missing from torch's table (pytorch/pytorch issue 195460).
    missing = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention}
    return FlopCounterMode(display=False, custom_mapping=missing)
