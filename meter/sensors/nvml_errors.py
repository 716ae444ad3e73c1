"""NVML's error codes in plain words, and what to do when no GPU can be opened.

The one table that maps codes to words. The numbers are NVML's ABI (nvmlReturn_t in nvml.h).
"""

import ctypes
from pathlib import Path

SUCCESS = 0
NOT_FOUND = 6
INSUFFICIENT_SIZE = 7
LIBRARY_NOT_FOUND = 12
NOT_OFFERED = frozenset({2, 3, 13})
"""What a reading answers at the first try that the device or its driver does not offer."""
LOST = frozenset({15, 28})
"""The device is gone, whatever else was answered."""
DEAD = frozenset({1, 9, 16, 999})
"""The device is taken for gone if every call answers one of these, several times in a row."""

_WORDS = {
    1: "the driver's library was shut down",
    2: "the driver does not know this reading",
    3: "the device does not offer this reading",
    4: "no permission",
    6: "nothing found",
    7: "more came than was asked for",
    8: "the card's external power is not connected",
    9: "the driver is not loaded",
    10: "the driver took too long",
    11: "the card's interrupts do not arrive",
    12: "the driver's library was not found",
    13: "this version of the driver lacks the call",
    14: "the card's own settings (infoROM) are damaged",
    15: "the GPU is lost: it fell off the bus or does not respond",
    16: "the GPU needs a reset",
    17: "the operating system refused",
    18: "driver and library have different versions",
    20: "not enough memory",
    21: "the driver has no data",
    28: "the GPU is not there any more",
    999: "the driver failed without giving a reason",
}

_CONTAINER_START = (
    "start the container with the NVIDIA container toolkit, such as `docker run --gpus all`"
)
_CONTAINER_MARKS = (".dockerenv", "run/.containerenv", "run/secrets/kubernetes.io")


def library_found() -> bool:
    """Whether the driver's library can be loaded at all."""
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return False
    return True


def words(code: int) -> str:
    """What the NVML return value `code` means."""
    return _WORDS.get(code, "the driver failed") + f" (NVML error {code})"


def why_no_gpu(code: int, *, root: Path = Path("/")) -> str:
    """One line on why NVML answered `code` when it was opened, and what to do about it.

    Success as `code` stands for a driver that lists no GPU. `root` is where /dev and /proc are.
    """
    container = any((root / mark).exists() for mark in _CONTAINER_MARKS)
    module = (root / "proc/driver/nvidia/version").exists()
    nodes = (root / "dev/nvidiactl").exists()
    if code == 12 and module:
        if container:
            return (
                "this container has no NVIDIA driver library (libnvidia-ml.so.1), though the"
                f" driver runs: {_CONTAINER_START} and"
                " NVIDIA_DRIVER_CAPABILITIES=compute,utility"
            )
        return (
            "the NVIDIA driver runs, but its library libnvidia-ml.so.1 was not found: install the"
            " library of the same version (libnvidia-compute-*, nvidia-driver-cuda-libs), or set"
            " LD_LIBRARY_PATH"
        )
    if code == 12:
        what = "no NVIDIA driver here (libnvidia-ml.so.1 was not found)"
        if container:
            return f"{what}: if the host has a GPU, {_CONTAINER_START}"
        return f"{what}: if this machine has an NVIDIA GPU, install the driver for it"
    if code == 9 and container and not nodes:
        return (
            "the NVIDIA driver's library is here, but no device node (/dev/nvidiactl):"
            f" {_CONTAINER_START}"
        )
    if code == 9 and module and not nodes:
        return (
            "the NVIDIA driver is loaded, but there is no device node (/dev/nvidiactl): run"
            " `nvidia-modprobe -c 0 -u`"
        )
    if code == 9:
        return (
            "the NVIDIA driver is installed, but not loaded: run `modprobe nvidia`, or reboot; if"
            " that fails, it was not built for this kernel"
        )
    if code == 18:
        return (
            "the NVIDIA driver was updated while it ran, and its library no longer fits the"
            " kernel module: reboot, or start the container anew"
        )
    if code == 4:
        return (
            "no permission to use the NVIDIA driver: let this user read and write /dev/nvidia*"
            " (often the group `video` or `render`)"
        )
    if code == SUCCESS:
        where = "; in a container, start it with `--gpus all`" if container else ""
        return f"the NVIDIA driver runs, but shows no GPU: see `nvidia-smi -L` and `dmesg`{where}"
    if code == 999 and container:
        return (
            "the NVIDIA driver failed without giving a reason; in a container that is often access"
            " lost after `systemctl daemon-reload` on the host: start the container anew"
        )
    return f"the NVIDIA driver can't be used: {words(code)}; see `nvidia-smi` and `dmesg`"
