"""A diffusers pipeline that runs when told, hooked or not; it is run under the hook.

Each line on stdin names how the next call is to be made: `plain` calls the pipeline's own method
behind the hook's, `hooked` calls it as a script does, `modules` in deep mode. With `empty` in
front, the call's models give at once what they gave before: nothing is left but what surrounds
them, and what the hook adds shows without the noise of seconds of arithmetic. The answer is the
time it took, s.

All are calls of one pipeline in one process, with the same memory, threads and caches, which
separate runs don't have. The scheduler's class stays wrapped in a plain call; that wrapper looks at
an empty list then.
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
    workload = load_workload("wan2.1-t2v-1.3b-tiny", settings)
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


class Remembered:
    """A model's forward that gives again what it gave for inputs of the same shapes."""

    def __init__(self, model: Any) -> None:
        self.model, self.real = model, model.forward
        self.known: dict[Any, Any] = {}

    def use(self, empty: bool) -> None:
        """Let the model compute, or remember."""
        self.model.forward = self if empty else self.real

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        key = tuple(getattr(a, "shape", None) for a in (*args, *kwargs.values()))
        if key not in self.known:
            self.known[key] = self.real(*args, **kwargs)
        return self.known[key]


def main() -> None:
    device, *words = sys.argv[1:]
    settings = dict(word.split("=") for word in words)
    pipeline, asked = pipeline_on(device, settings)
    hooked = type(pipeline).__call__
    ways = {"plain": hooked.__wrapped__, "hooked": hooked, "modules": hooked}
    models = (pipeline.transformer, pipeline.vae.decoder, pipeline.text_encoder)
    remembered = [Remembered(model) for model in models]
    wait = (lambda: None) if device == "cpu" else __import__("torch").cuda.synchronize
    print("ready", flush=True)
    for line in sys.stdin:
        *empty, way = line.split()
        for each in remembered:
            each.use(bool(empty))
        os.environ[INSTRUMENT_ENV] = "modules" if way == "modules" else "phases"
        wait()
        started = time.perf_counter()
        ways[way](pipeline, **asked)
        wait()
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main()
