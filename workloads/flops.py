"""How many operations a job takes, counted from its networks without running them.

PyTorch's own counter watches a call of each network whose tensors have shapes and no memory. A
multiplication and the addition after it are two operations; what isn't a product of matrices or a
convolution isn't counted (some 1 %), masks and causality are ignored. Never counted beside a
measured run: the counter slows every operation down.

    python -m vidmeter.workloads.flops wan2.1-t2v-1.3b --set frames=41
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vidmeter.workloads.base import Setting
from vidmeter.workloads.video.model import Model, Size, Tensor
from vidmeter.workloads.weights import build


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
        decode=_decode(model, size),
        runs=runs,
    )


def run_of_denoiser(model: Model, size: Size) -> float:
    """The operations of one run of the denoiser, for a batch."""
    part = model.parts[model.denoisers[0]]
    network = _on_meta(part)
    return _count(lambda: network(**_meta(model.inputs(model.layout, size), part.dtype)))


def _decode(model: Model, size: Size) -> float:
    part = model.parts["vae"]
    network = _on_meta(part)
    latents = _meta({"z": Tensor(model.decoded(model.layout, size))}, part.dtype)["z"]
    return _count(lambda: network.decode(latents))


def _encode(model: Model) -> float:
    """The operations of encoding one prompt."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    total = 0.0
    for name, tokens in model.encoders.items():
        # Their masks ask for values, which tensors on meta haven't.
        with FakeTensorMode(allow_non_fake_inputs=True):
            network = build(model.parts[name], dtype=torch.float32, device="cpu", seed=0)
            ids = torch.zeros(1, tokens, dtype=torch.long)
            total += _count(lambda network=network, ids=ids: network(input_ids=ids))
    return total


def _on_meta(part: Any) -> Any:
    import torch

    return build(part, dtype=getattr(torch, part.dtype), device="meta", seed=0)


def _meta(inputs: Mapping[str, Any], dtype: str | None) -> dict[str, Any]:
    import torch

    return {
        name: torch.empty(value.shape, dtype=getattr(torch, value.dtype or dtype), device="meta")
        if isinstance(value, Tensor)
        else value
        for name, value in inputs.items()
    }


def _count(call: Any) -> float:
    import torch
    from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

    def attention(q: Any, k: Any, v: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
        return sdpa_flop_count(q, k, v)

    # The CPU's own attention is missing from torch's table (pytorch/pytorch issue 195460).
    missing = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention}
    with FlopCounterMode(display=False, custom_mapping=missing) as counter, torch.no_grad():
        call()
    return float(counter.get_total_flops())
