"""A diffusers pipeline that runs when told, hooked or not; it is run under the hook.

Each line on stdin names how the next call is to be made: `plain` calls the pipeline's own method
behind the hook's, `hooked` calls it as a script does, `modules` in deep mode. The answer is the
time it took, s. All are calls of one pipeline in one process, with the same memory, threads and
caches, which separate runs don't have. The scheduler's class stays wrapped in a plain call; that
wrapper looks at an empty list then.
"""

import os
import sys
import time
from typing import Any

from vidmeter.meter.instrument.hook import INSTRUMENT_ENV
from vidmeter.workloads.base import load_workload


def pipeline_on(device: str, settings: dict[str, str]) -> tuple[Any, dict[str, Any]]:
    """The tiny Wan pipeline and what it is called with."""
    import torch

    if device == "cpu":
        torch.set_num_threads(1)
    workload = load_workload("wan2.1-t2v-tiny", settings)
    workload.prepare(device)
    pipeline = workload._pipeline  # type: ignore[attr-defined]
    pipeline.set_progress_bar_config(disable=True)
    asked = {
        "prompt": "a cat",
        "height": workload.settings["height"],
        "width": workload.settings["width"],
        "num_frames": workload.settings["frames"],
        "num_inference_steps": workload.settings["steps"],
        "max_sequence_length": 64,
        "output_type": "pt",
    }
    return pipeline, asked


def main() -> None:
    device, *words = sys.argv[1:]
    settings = dict(word.split("=") for word in words)
    pipeline, asked = pipeline_on(device, settings)
    hooked = type(pipeline).__call__
    ways = {"plain": hooked.__wrapped__, "hooked": hooked, "modules": hooked}
    wait = (lambda: None) if device == "cpu" else __import__("torch").cuda.synchronize
    print("ready", flush=True)
    for line in sys.stdin:
        way = line.strip()
        os.environ[INSTRUMENT_ENV] = "modules" if way == "modules" else "phases"
        wait()
        started = time.perf_counter()
        ways[way](pipeline, **asked)
        wait()
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main()
