"""A real Wan pipeline, so small that a video takes a tenth of a second."""

import os
import warnings
from collections.abc import Iterator

import pytest

from vidmeter.workloads.base import load_workload
from vidmeter.workloads.video.text_to_video import TextToVideo

UNIT = {
    "height": 64,
    "width": 96,
    "frames": 9,
    "steps": 4,
}


@pytest.fixture(scope="session")
def wan() -> Iterator[TextToVideo]:
    for package in ("torch", "diffusers", "transformers", "accelerate"):
        pytest.importorskip(package, reason="the extra vidmeter[workloads] is not installed")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    import torch

    torch.set_num_threads(1)
    workload = load_workload("wan2.1-t2v-1.3b-tiny", UNIT)
    assert isinstance(workload, TextToVideo)
    with warnings.catch_warnings():
        # What the frameworks say about themselves while they are imported is not tested here.
        warnings.simplefilter("ignore")
        workload.prepare("cpu")
    yield workload
    workload.close()
