"""Marks the phases of one call of a diffusers video pipeline: text_encode, denoise, decode.

Done by wrapping methods of the pipeline at hand for the length of a call, not by editing classes,
so that two pipelines never meet and nothing stays behind. Each denoising step is a phase within
`denoise`; the first begins where the text encoder ends, so preparing the noise belongs to it.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self

import vidmeter


class PipelinePhases:
    """A context around one call of `pipeline`; pass `on_step_end` to that call.

    `edge` is called wherever a phase begins or ends: on a GPU it waits for the work so far, since
    calls return before their work is done. `steps` counts the denoising steps that really ran.
    """

    def __init__(self, pipeline: Any, edge: Callable[[], None]) -> None:
        self.steps = 0
        self._pipeline = pipeline
        self._edge = edge
        self._open: list[AbstractContextManager[object]] = []
        self._wrapped: list[tuple[Any, str, bool, Any]] = []

    def __enter__(self) -> Self:
        self._wrap(self._pipeline, "encode_prompt", self._encode)
        self._wrap(self._pipeline.vae, "decode", self._decode)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._wrapped:
            owner, name, had_own, own = self._wrapped.pop()
            if had_own:
                object.__setattr__(owner, name, own)
            else:
                object.__delattr__(owner, name)
        while self._open:
            self._open.pop().__exit__(kind, error, trace)

    def on_step_end(
        self, pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]
    ) -> dict[str, Any]:
        """For `callback_on_step_end`: ends a step's phase and begins the next one's."""
        self.steps += 1
        self._end()
        if step + 1 < pipeline.num_timesteps:
            self._begin("step")
        else:
            self._end()
        return tensors

    def _encode(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._begin("text_encode")
        result = method(*args, **kwargs)
        self._end()
        self._begin("denoise")
        self._begin("step")
        return result

    def _decode(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._begin("decode")
        result = method(*args, **kwargs)
        self._end()
        return result

    def _begin(self, name: str) -> None:
        self._edge()
        phase = vidmeter.phase(name)
        phase.__enter__()
        self._open.append(phase)

    def _end(self) -> None:
        self._edge()
        self._open.pop().__exit__(None, None, None)

    def _wrap(self, owner: Any, name: str, around: Callable[..., Any]) -> None:
        method = getattr(owner, name)

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return around(method, *args, **kwargs)

        # A module's own __setattr__ would file the function among its parameters and submodules.
        own = vars(owner)
        self._wrapped.append((owner, name, name in own, own.get(name)))
        object.__setattr__(owner, name, wrapper)
