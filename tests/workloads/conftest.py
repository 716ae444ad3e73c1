"""A real Wan pipeline, so small that a video takes a tenth of a second."""

import os
import warnings
from collections.abc import Iterator

import pytest

from vidmeter.workloads.base import load_workload
from vidmeter.workloads.video.wan import WanTextToVideo

UNIT = {
    "height": 64,
    "width": 96,
    "frames": 9,
    "steps": 4,
    "layers": 2,
    "heads": 2,
    "ffn": 128,
}


@pytest.fixture(scope="session")
def wan() -> Iterator[WanTextToVideo]:
    for package in ("torch", "diffusers", "transformers", "accelerate"):
        pytest.importorskip(package, reason="the extra vidmeter[workloads] is not installed")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    import torch

    torch.set_num_threads(1)
    workload = load_workload("wan2.1-t2v-tiny", UNIT)
    assert isinstance(workload, WanTextToVideo)
    with warnings.catch_warnings():
        # What the frameworks say about themselves while they are imported is not tested here.
        warnings.simplefilter("ignore")
        workload.prepare("cpu")
    yield workload
    workload.close()
