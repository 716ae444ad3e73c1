"""One call of a diffusers pipeline, in its parts: text_encode, denoise with its steps, vae_decode.

The parts are told by what runs: `encode_prompt` or a text encoder, the denoising model, the
scheduler, the VAE. Only what belongs to this call is touched (`watching`), and taken back when it
ends. What runs is the innermost call's: pipelines share models, with others in other threads and
with those that they are made of.

A step ends with its last call of the scheduler, because some pipelines call it several times a step
(one latent frame after another, video and then audio). So it is closed, at that moment, when the
next thing begins.
"""

from functools import partial
from threading import local

from .. import marks
from . import modules, pipelinefacts, watching
from .guard import Phase, guarded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_DENOISERS = ("transformer", "unet", "prior", "decoder_unet", "controlnet", "denoiser")
_BESIDE = ("controlnet",)
"""Runs beside the denoiser: its forwards are not counted as the denoiser's."""
_ENCODERS = ("text_encoder",)
_VAES = ("vae", "vqvae", "video_vae", "movq")

_thread = local()


def calls() -> "list[PipelineCall]":
    """The calls that this thread is in, the innermost last."""
    found: list[PipelineCall] | None = getattr(_thread, "calls", None)
    if found is None:
        found = _thread.calls = []
    return found


class PipelineCall:
    """Follows one call; `end` closes what is open, says what was produced and takes back hooks."""

    def __init__(
        self,
        pipeline: "Any",
        method: "Callable[..., Any]",
        args: "tuple[Any, ...]",
        kwargs: "dict[str, Any]",
    ) -> None:
        self.pipeline = pipeline
        self.forwards = 0
        self.steps = 0
        self.decodes = 0
        self.postprocessing = False
        self._around = calls()[-1] if calls() else None
        self._within = 0
        self._made_within: list[dict[str, Any]] = []
        self._asked = pipelinefacts.asked_for(pipeline, method, args, kwargs)
        self._undo: list[Callable[[], None]] = []
        self._denoise: Phase | None = None
        self._step: Phase | None = None
        self._last_step_end: marks.Instant | None = None
        self._inside: set[str] = set()
        self._loose: list[Phase] = []
        self._phase = Phase("generate", **pipelinefacts.identity(pipeline))
        guarded("pipeline", self._watch)

    def handed_over(
        self, method: "Callable[..., Any]", args: "tuple[Any, ...]", kwargs: "dict[str, Any]"
    ) -> None:
        """A subclass's call goes on in that of its base, whose arguments are those that count."""
        self._asked |= pipelinefacts.asked_for(self.pipeline, method, args, kwargs)

    def open(self, name: str) -> Phase:
        """Begin a part that isn't denoising; what was denoised is over then."""
        self._end_denoise()
        return Phase(name)

    def stepped(self) -> None:
        """The scheduler has made a step."""
        if self._step is not None:
            self._last_step_end = marks.instant()

    def end(self, result: "Any", error: "BaseException | None") -> None:
        """The call is over, by an exception if one left it."""
        for undo in reversed(self._undo):
            guarded("pipeline", undo)
        self._undo.clear()  # they know this call, and it knows the program's tensors
        self._end_loose(error)
        self._end_denoise(error)
        facts = guarded("pipeline", self._facts, result) if error is None else None
        guarded("pipeline", self._say_work, facts or {})
        self._phase.end(error, **(facts or {}))

    def _facts(self, result: "Any") -> "dict[str, Any]":
        seen = {"steps": self.steps, "forwards": self.forwards, "decodes": self.decodes}
        facts = pipelinefacts.done(self.pipeline, self._asked, result, seen)
        if not self._within:  # else the steps and decodes may be those of the calls within
            for kind, text in pipelinefacts.doubts(self.pipeline, facts):
                marks.note(kind, text)
        return facts

    def _say_work(self, facts: "dict[str, Any]") -> None:
        """Say what was made, once: what came out of the outermost call, else of those within."""
        made = [facts] if facts.get("batch") else self._made_within
        if self._around is not None:
            self._around._within += 1
            self._around._made_within += made
            return
        for one in made:
            pipelinefacts.say_work(one)

    def _is_innermost(self) -> bool:
        """Whether this thread runs for this call, and for none within it."""
        return bool(calls()) and calls()[-1] is self

    def _watch(self) -> None:
        """Hook what belongs to this pipeline, until the call ends."""
        if callable(getattr(self.pipeline, "encode_prompt", None)):
            guarded("pipeline", self._watch_method, self.pipeline, "encode_prompt", "text_encode")
        for name, part in pipelinefacts.components(self.pipeline):
            guarded("pipeline", self._watch_part, name, part)

    def _watch_part(self, name: str, part: "Any") -> None:
        if name.startswith(_DENOISERS):
            self._watch_model(part, partial(self._denoising, name), None)
        elif name.startswith(_ENCODERS):
            self._watch_model(part, self._encoder_begins, self._end_loose)
        elif name.startswith(_VAES):
            self._watch_vae(part)
        else:
            return
        if modules.wanted():
            self._undo += modules.watch(part, self._is_innermost)

    def _watch_vae(self, vae: "Any") -> None:
        for name, phase in (("decode", "vae_decode"), ("encode", "vae_encode")):
            if callable(getattr(vae, name, None)):
                self._watch_method(vae, name, phase)
        if getattr(vae, "use_tiling", False) and hasattr(vae, "decoder"):
            self._watch_model(vae.decoder, self._tile_begins, self._end_loose)

    def _watch_model(
        self,
        model: "Any",
        before: "Callable[[], None] | None",
        after: "Callable[[], None] | None",
    ) -> None:
        self._undo.append(watching.forwards(model, self._is_innermost, before, after))

    def _watch_method(self, owner: "Any", name: str, phase: str) -> None:
        """Have the runs of a method as a phase; not a second one where it calls itself."""

        def before() -> "Phase | None":
            if phase in self._inside:
                return None
            begun = self.open(phase)
            self._inside.add(phase)
            self.decodes += phase == "vae_decode"
            return begun

        def after(begun: Phase, error: "BaseException | None") -> None:
            self._inside.discard(phase)
            begun.end(error)

        self._undo.append(watching.method(owner, name, self._is_innermost, before, after))

    def _encoder_begins(self) -> None:
        if "text_encode" not in self._inside:
            self._loose.append(self.open("text_encode"))

    def _tile_begins(self) -> None:
        self._loose.append(Phase("tile"))

    def _end_loose(self, error: "BaseException | None" = None) -> None:
        """End what began with a module's forward."""
        while self._loose:
            self._loose.pop().end(error)

    def _denoising(self, model: str) -> None:
        """A denoising model is about to run."""
        self.forwards += not model.startswith(_BESIDE)
        if self._last_step_end is not None:
            self._end_step()
        if self._denoise is None:
            self._denoise = Phase("denoise")
        if self._step is None:
            self._step = Phase("step", index=self.steps, model=model)

    def _end_step(self, error: "BaseException | None" = None) -> None:
        if self._step is None:
            return
        if self._last_step_end is not None:
            self.steps += 1
        self._step.end(error if self._last_step_end is None else None, at=self._last_step_end)
        self._step = self._last_step_end = None

    def _end_denoise(self, error: "BaseException | None" = None) -> None:
        if self._denoise is not None:
            ended = self._last_step_end
            self._end_step(error)
            self._denoise.end(error, at=ended)
            self._denoise = None
