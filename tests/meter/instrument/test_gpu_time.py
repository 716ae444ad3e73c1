"""A pipeline whose kernels are queued ahead: its phases lie on the GPU's time, and nobody waited.

The pipeline computes on the processor; a simulated torch.cuda gets the kernels that a GPU would
have run, and knows when it came to each event.
"""

import json
import sys
from typing import Any

import pytest

from vidmeter.meter.clock import Anchor
from vidmeter.meter.device import Device, Kind, Provenance
from vidmeter.meter.placed import Placed, place
from vidmeter.meter.run import Run

from .conftest import ROOT, Ended, run_hooked

pytestmark = pytest.mark.slow
UUID = "GPU-51b1a7ed-0000-4000-8000-00000000000c"
STEP_MS, DECODE_MS = 80, 120

SCRIPT = f"""
import json, sys
from tests.simulated_cuda.simulated import Gpu, install
gpu = install(Gpu(drift_ppm=40))
from tests.meter.instrument.tiny import generate, ltx
import torch

pipe = ltx()
torch.cuda.current_stream()
gpu.launch(0.01)
forward, decode = pipe.transformer.forward, pipe.vae.decoder.forward

def slow_forward(*args, **kwargs):
    gpu.launch({STEP_MS})
    return forward(*args, **kwargs)

def slow_decode(*args, **kwargs):
    gpu.launch({DECODE_MS})
    return decode(*args, **kwargs)

pipe.transformer.forward, pipe.vae.decoder.forward = slow_forward, slow_decode
for n in range(2):
    generate(pipe)
    waited = dict(gpu.waits)
    torch.cuda.synchronize()  # the script looks at its video
plain = type(pipe).__call__.__wrapped__
gpu.waits.clear()
plain(pipe, prompt="a cat", height=64, width=96, num_frames=9, num_inference_steps=3,
      max_sequence_length=16)
print(json.dumps({{"waited": waited, "without": dict(gpu.waits),
                  "calls": sorted(gpu.calls),
                  "done_ns": [r.done_ns for r in gpu.recorded]}}))
"""


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    folder = tmp_path_factory.mktemp("gpu")
    found = run_hooked(folder, None, sys.executable, "-c", SCRIPT, PYTHONPATH=str(ROOT))
    assert found.code == 0, found.err
    return found


@pytest.fixture(scope="module")
def told(ended: Ended) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ended.out)
    return found


@pytest.fixture(scope="module")
def placed(ended: Ended) -> list[Placed]:
    device = Device(UUID, "C", Kind.GPU, "board", Provenance.SIMULATED, "fake", 0, {})
    start = min(p.start_ns for p in ended.marked.phases)
    end = max(p.end_ns or 0 for p in ended.marked.phases) + 3_000_000_000
    run = Run(
        id="1",
        command=(),
        start_ns=start,
        end_ns=end,
        exit_code=0,
        period_ns=1,
        devices=(device,),
        traces={},
        phases=ended.marked.phases,
        gpu_events=ended.marked.gpu_events,
        anchors=(Anchor(start, start),),
    )
    return [p for p in place(run, start, end) if "import" not in p.path]


def ms(span: tuple[int, int] | None) -> float:
    assert span is not None
    return (span[1] - span[0]) / 1e6


def test_no_call_that_waits_for_the_gpu_is_added(told: dict[str, Any]) -> None:
    assert told["without"] == {}
    # The only one is the script's own, after its first video.
    assert told["waited"] == {"device": 1}


def test_steps_have_the_gpus_length_and_not_the_hosts(placed: list[Placed]) -> None:
    steps = [p for p in placed if p.path == ("generate", "denoise", "step")]

    assert len(steps) == 6
    # The host queues a step in a few milliseconds; the GPU works 80 on it.
    assert all(abs(ms(p.gpu) - STEP_MS) < 1 for p in steps)
    assert max(ms(p.host) for p in steps) < STEP_MS / 2
    edges = [t for p in steps for t in p.gpu or ()]
    assert edges == sorted(edges)


def test_the_decode_begins_on_the_gpu_when_the_denoising_is_done_there(
    placed: list[Placed],
) -> None:
    denoise = next(p for p in placed if p.path == ("generate", "denoise"))
    decode = next(p for p in placed if p.path == ("generate", "vae_decode"))

    assert denoise.gpu and decode.gpu
    assert decode.gpu[0] >= denoise.gpu[1] > decode.host[0]
    # The simulated GPU rests where the program asks for the next only after a busy machine's pause.
    assert ms(denoise.gpu) == pytest.approx(3 * STEP_MS, rel=0.05)
    assert ms(decode.gpu) == pytest.approx(DECODE_MS, rel=0.05)


def test_every_event_is_placed_within_half_a_millisecond_of_the_truth(
    ended: Ended, told: dict[str, Any]
) -> None:
    from vidmeter.meter.gputime import timelines

    ((_, device),) = {(e.pid, e.device) for e in ended.marked.gpu_events}
    ((_, timeline),) = timelines(ended.marked.gpu_events).items()
    truth = told["done_ns"]
    # What is queued at the process's end comes after the script has told.
    known = {seq: t for seq, t in timeline.at_ns.items() if seq <= len(truth)}
    errors = [abs(t - truth[seq - 1]) for seq, t in known.items()]

    assert device == UUID
    assert len(errors) == 30
    assert max(errors) <= min(500_000, timeline.error_ns)
    assert timeline.anchors >= 2
