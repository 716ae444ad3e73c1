"""Facts about the machine and the program that a number can't be understood without."""

import os
import platform
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidmeter.meter.processor import read_processor

RELEVANT = (
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "NVIDIA_VISIBLE_DEVICES",
    "CUDA_LAUNCH_BLOCKING",
    "PYTORCH_CUDA_ALLOC_CONF",
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "SLURM_JOB_ID",
    "RANK",
    "WORLD_SIZE",
)
"""Environment variables that change what is measured; no others are stored."""


def environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Facts about this host, as plain JSON values with the unit in the key; None where unknown."""
    uname, processor = os.uname(), read_processor()
    return {
        "host": socket.gethostname(),
        "system": f"{uname.sysname} {uname.release} {uname.machine}",
        "distribution": _distribution(),
        "container": container(),
        "virtual_machine": processor.virtual,
        "cpu": processor.model,
        "logical_cpus": os.cpu_count(),
        "memory_b": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "python": platform.python_version(),
        "variables": {name: environ[name] for name in RELEVANT if name in environ},
    }


def container() -> str | None:
    """The kind of container this process runs in, or None."""
    if Path("/.dockerenv").exists():
        return "docker"
    if Path("/run/.containerenv").exists():
        return "podman"
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return "kubernetes"
    if "APPTAINER_CONTAINER" in os.environ or "SINGULARITY_CONTAINER" in os.environ:
        return "apptainer"
    return None


def peculiarities(root: Path = Path("/")) -> tuple[str, ...]:
    """What is special about a machine where its power is concerned, one sentence each.

    `root` is where /proc and /etc are.
    """
    found = []
    kernel = _read(root / "proc/version").lower()
    if "microsoft" in kernel or "wsl" in kernel:
        found.append(
            "this is WSL2: energy counters were seen to run at several hundred W on idle cards"
            " here, so trust no counter that nothing else confirms; CPU energy (RAPL) isn't there"
        )
    model = _read(root / "proc/device-tree/model").lower()
    if (root / "etc/nv_tegra_release").exists() or "jetson" in model or "tegra" in model:
        found.append(
            "this is a Jetson: its driver lists a GPU and refuses every reading of power; the rails"
            " (INA3221 sensors, `tegrastats`) are not read by vidmeter"
        )
    return tuple(found)


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace").rstrip("\0")
    except OSError:
        return ""


def _distribution() -> str | None:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:
        return None
