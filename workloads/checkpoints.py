"""Trained weights: a folder, or the hub. The frameworks' own loading code, and plain lines for what
goes wrong on the way."""

import hashlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import vidmeter
from vidmeter.meter.errors import WorkloadUnavailable
from vidmeter.workloads.memory import is_out_of_memory

RANDOM, HUB = "random", "hub"
HEADER_B = 1 << 16


def check_weights(workload: str, where: str, *, released: str | None) -> None:
    """Raise WorkloadUnavailable for weights that can't be, before anything is loaded.

    `released` is the name of the released model where this one is its shrunk likeness.
    """
    if where == HUB and released is not None:
        raise WorkloadUnavailable(
            f"{workload} was never released: take weights=random, or {released}"
        )
    if where not in (RANDOM, HUB) and not (where and Path(where).expanduser().is_dir()):
        raise WorkloadUnavailable(
            f"{workload}: weights={where} is no folder: take random, hub, or the folder of a "
            "checkpoint"
        )


def load_weights(
    workload: str, repository: str, where: str, open_at: Callable[[str], Any]
) -> tuple[Any, dict[str, Any]]:
    """What `open_at` loads from `where`, a folder or `hub`, and the facts on where it came from.

    Raises WorkloadUnavailable if the hub can't be reached, or what is there is no checkpoint of
    this model.
    """
    place = repository if where == HUB else str(Path(where).expanduser())
    try:
        with vidmeter.phase("weights"):
            loaded = open_at(place)
    except _errors_of_loading() as error:
        if is_out_of_memory(error):
            raise
        raise WorkloadUnavailable(_why(workload, repository, where, error)) from error
    facts: dict[str, Any] = {"weights": where if where == HUB else "path", "checkpoint": place}
    if where == HUB:
        facts["revision"] = revision(repository)
    else:
        facts["fingerprint"] = fingerprint(Path(place))
    return loaded, facts


def revision(repository: str) -> str | None:
    """The commit of a repository of the hub that is kept here as its newest; None if none is."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = repo_folder_name(repo_id=repository, repo_type="model")
    try:
        return (Path(constants.HF_HUB_CACHE) / folder / "refs" / "main").read_text().strip()
    except OSError:
        return None


def fingerprint(folder: Path) -> str:
    """Tells one checkpoint from another: SHA-256 of names, sizes and starts of its weight files.

    The start of a safetensors file names every tensor with its shape, type and place. Hashing tens
    of gigabytes would take minutes.
    """
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".safetensors", ".bin")):
        digest.update(f"{path.relative_to(folder)}\\0{path.stat().st_size}\\0".encode())
        with path.open("rb") as file:
            digest.update(file.read(HEADER_B))
    return digest.hexdigest()


def _errors_of_loading() -> tuple[type[Exception], ...]:
    """What the frameworks raise for files that are missing, damaged or of something else."""
    from safetensors import SafetensorError

    damaged = (EOFError, UnpicklingError, SafetensorError)
    return (OSError, ValueError, KeyError, RuntimeError, *damaged)


def hub_offline() -> bool:
    """Whether the environment forbids asking the hub."""
    return os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "TRUE", "YES", "ON")


def _why(workload: str, repository: str, where: str, error: BaseException) -> str:
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    if where != HUB:
        return f"{workload}: {where} is no checkpoint that can be loaded: {first}"
    kept = (
        f"get it once with `hf download {repository}` where there is a network, and give its "
        "folder as weights=PATH; weights=random needs none"
    )
    if hub_offline():
        return (
            f"{workload}: {repository} isn't kept here, and HF_HUB_OFFLINE forbids to ask: {kept}"
        )
    if (cause := _unreachable(error)) is not None:
        return f"{workload}: the hub can't be reached ({cause}) and {repository} isn't here: {kept}"
    return f"{workload}: {repository} can't be had from the hub ({first}): {kept}"


def _unreachable(error: BaseException) -> str | None:
    """What the system said when nobody answered, at the root of an error; None if that isn't it."""
    root = error
    while (deeper := root.__cause__ or root.__context__) is not None:
        root = deeper
    if isinstance(root, (ConnectionError, TimeoutError, socket.gaierror)):
        return root.strerror or type(root).__name__
    return None
