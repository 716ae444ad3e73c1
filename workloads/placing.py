"""Where a workload runs: the device that was asked for, whether it is there, whether it fits."""

from vidmeter.meter.errors import WorkloadUnavailable


def choose_device(workload: str, asked: str, *, meant_for: tuple[str, ...]) -> str:
    """`cpu`, `cuda` or `cuda:N` for what was asked; `auto` takes the first of `meant_for` here.

    Raises WorkloadUnavailable if it isn't here. What a workload isn't meant for must be stated.
    """
    import torch

    kind, _, index = asked.partition(":")
    if asked not in ("auto", "cpu", "cuda") and not (kind == "cuda" and index.isdecimal()):
        raise WorkloadUnavailable(f"there is no device {asked!r}: take auto, cpu, cuda or cuda:N")
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if asked == "auto":
        kind = next((k for k in meant_for if k == "cpu" or gpus), "")
        if not kind:
            raise WorkloadUnavailable(
                f"{workload} is meant for a GPU, and torch {torch.__version__} sees none here: "
                "take another workload, or state --device cpu and wait for hours"
            )
        return kind
    if kind == "cuda" and int(index or 0) >= gpus:
        raise WorkloadUnavailable(
            f"device {asked} isn't here, torch {torch.__version__} sees {gpus} of its kind: "
            "install a torch built for CUDA and a driver, or state --device cpu"
        )
    return asked


def free_b(device: str) -> int:
    """The free memory of a device, in bytes."""
    if device == "cpu":
        import psutil

        return int(psutil.virtual_memory().available)
    import torch

    return torch.cuda.mem_get_info(device)[0]


def device_name(device: str) -> str:
    """What the maker calls a GPU; `cpu` for the CPU."""
    if device == "cpu":
        return "cpu"
    import torch

    return torch.cuda.get_device_name(device)
