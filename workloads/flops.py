"""How many operations a job takes, counted from its networks without running them.

PyTorch's own counter watches a call of each network whose tensors have shapes and no memory. A
multiplication and the addition after it are two operations; what isn't a product of matrices or a
convolution isn't counted (some 1 %), masks and causality are ignored: every prompt is as long as it
is padded to. Never counted beside a measured run: the counter slows every operation down.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from vidmeter.workloads.base import Setting
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
    with _without_memory():
        network = model.parts[model.denoisers[0]]().eval()
        inputs = _tensors(model.inputs(model.layout, size))
        return _count(lambda: network(**inputs))


def _decode(model: Model, size: Size, *, tiled: bool) -> float:
    with _without_memory():
        network = model.parts["vae"]().eval()
        if tiled:  # tiles overlap, and what is decoded twice counts twice
            network.enable_tiling()
        latents = _tensors({"z": Tensor(model.decoded(model.layout, size))})["z"]
        return _count(lambda: network.decode(latents))


def _encode(model: Model) -> float:
    """The operations of encoding one prompt."""
    import torch

    total = 0.0
    for name, tokens in model.encoders.items():
        with _without_memory():
            network = model.parts[name]().eval()
            ids = torch.zeros(1, tokens, dtype=torch.long)
            total += _count(lambda network=network, ids=ids: network(input_ids=ids))
    return total


@contextmanager
def _without_memory() -> Iterator[None]:
    """Makes tensors of shapes alone, on a CPU that isn't asked to compute.

    Not on meta: some classes ask it for more than it has (autocast, values of masks). The numbers'
    type changes no count, so all are of torch's default.
    """
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.overrides import TorchFunctionMode

    class AllThere(TorchFunctionMode):
        """Answers what is asked of a mask's values as a mask that leaves nothing out would."""

        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if func in (torch.nonzero, torch.Tensor.nonzero) and args[0].dim() == 1:
                return torch.arange(len(args[0]))[:, None]
            return func(*args, **(kwargs or {}))

    with FakeTensorMode(allow_non_fake_inputs=True), AllThere():
        yield


def _tensors(inputs: Mapping[str, Any]) -> dict[str, Any]:
    import torch

    return {
        name: torch.empty(value.shape, dtype=getattr(torch, value.dtype or "float32"))
        if isinstance(value, Tensor)
        else value
        for name, value in inputs.items()
    }


def _count(call: Any) -> float:
    import torch
    from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

    def attention(q: Any, k: Any, v: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
        return int(sdpa_flop_count(q, k, v))  # type: ignore[no-untyped-call]

    # The CPU's own attention is missing from torch's table (pytorch/pytorch issue 195460).
    missing = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention}
    with FlopCounterMode(display=False, custom_mapping=missing) as counter, torch.no_grad():
        call()
    return float(counter.get_total_flops())
