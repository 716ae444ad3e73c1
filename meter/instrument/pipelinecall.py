"""One call of a diffusers pipeline, in its parts: text_encode, denoise with its steps, vae_decode.

The parts are told by what runs: `encode_prompt` or a text encoder, the denoising model, the
scheduler, the VAE. Only what belongs to this call is touched (hooks and attributes on the
instances, put back when it ends), and nothing that a compiled graph would see: a compiled model is
watched from outside its graph.

A step ends with its last call of the scheduler, because some pipelines call it several times a step
(one latent frame after another, video and then audio). So it is closed, at that moment, when the
next thing begins.
"""

from functools import partial

from .. import marks
from . import modules, pipelinefacts
from .guard import Phase, guarded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_DENOISERS = ("transformer", "unet", "prior", "decoder_unet", "controlnet", "denoiser")
_BESIDE = ("controlnet",)
"""Runs beside the denoiser: its forwards are not counted as the denoiser's."""
_ENCODERS = ("text_encoder",)


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
        self._asked = pipelinefacts.asked_for(pipeline, method, args, kwargs)
        self._undo: list[Callable[[], None]] = []
        self._denoise: Phase | None = None
        self._step: Phase | None = None
        self._last_step_end: marks.Instant | None = None
        self._encoding = 0
        self._loose: list[Phase] = []
        self._phase = Phase("generate", **pipelinefacts.identity(pipeline))
        self._deep = modules.wanted()
        self._watch()

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
        self._end_loose(error)
        self._end_denoise(error)
        facts: dict[str, Any] = {}
        if error is None:
            seen = {"steps": self.steps, "forwards": self.forwards, "decodes": self.decodes}
            facts = pipelinefacts.done(self.pipeline, self._asked, result, seen)
            pipelinefacts.say_work(facts)
            for kind, text in pipelinefacts.doubts(self.pipeline, facts):
                marks.note(kind, text)
        self._phase.end(error, **facts)

    def _watch(self) -> None:
        """Hook what belongs to this pipeline, until the call ends."""
        pipeline = self.pipeline
        if callable(getattr(pipeline, "encode_prompt", None)):
            self._replace(pipeline, "encode_prompt", self._encoded)
        for name, part in pipelinefacts.components(pipeline):
            if name.startswith(_DENOISERS):
                self._watch_model(part, partial(self._denoising, name), None)
                self._deeply(part)
            elif name.startswith(_ENCODERS):
                self._watch_model(part, self._encoder_begins, self._end_loose)
                self._deeply(part)
            elif name.startswith(("vae", "vqvae", "video_vae", "movq")):
                self._watch_vae(part)
                self._deeply(part)

    def _watch_vae(self, vae: "Any") -> None:
        for name, phase in (("decode", "vae_decode"), ("encode", "vae_encode")):
            if callable(getattr(vae, name, None)):
                self._replace(vae, name, self._coded(phase))
        if getattr(vae, "use_tiling", False) and hasattr(vae, "decoder"):
            self._watch_model(vae.decoder, self._tile_begins, self._end_loose)

    def _deeply(self, part: "Any") -> None:
        if self._deep:
            self._undo += modules.watch(part)

    def _watch_model(
        self,
        model: "Any",
        before: "Callable[[], None] | None",
        after: "Callable[[], None] | None",
    ) -> None:
        """Be told of each forward of a model, from outside its graph if it is compiled."""
        if getattr(model, "_compiled_call_impl", None) is not None:
            compiled = model._compiled_call_impl

            def call(*args: "Any", **kwargs: "Any") -> "Any":
                if before:
                    guarded("forward", before)
                result = compiled(*args, **kwargs)
                if after:
                    guarded("forward", after)
                return result

            model._compiled_call_impl = call
            self._undo.append(lambda: setattr(model, "_compiled_call_impl", compiled))
            return
        if before is not None:
            begin = before
            hook = model.register_forward_pre_hook(lambda *_: guarded("forward", begin))
            self._undo.append(hook.remove)
        if after is not None:
            finish = after
            hook = model.register_forward_hook(lambda *_: guarded("forward", finish))
            self._undo.append(hook.remove)

    def _replace(self, owner: "Any", name: str, wrap: "Callable[..., Callable[..., Any]]") -> None:
        """Wrap a method on the instance, past a module's own __setattr__, which would file it."""
        method, own = getattr(owner, name), vars(owner)
        had, before = name in own, own.get(name)
        object.__setattr__(owner, name, wrap(method))

        def undo() -> None:
            if had:
                object.__setattr__(owner, name, before)
            else:
                object.__delattr__(owner, name)

        self._undo.append(undo)

    def _encoded(self, method: "Callable[..., Any]") -> "Callable[..., Any]":
        return self._wrapped(method, "text_encode", self._enter_encoding, self._leave_encoding)

    def _enter_encoding(self) -> None:
        self._encoding += 1

    def _leave_encoding(self) -> None:
        self._encoding -= 1

    def _coded(self, phase: str) -> "Callable[..., Callable[..., Any]]":
        def count() -> None:
            if phase == "vae_decode":
                self.decodes += 1

        return lambda method: self._wrapped(method, phase, count, None)

    def _wrapped(
        self,
        method: "Callable[..., Any]",
        name: str,
        entering: "Callable[[], None] | None",
        leaving: "Callable[[], None] | None",
    ) -> "Callable[..., Any]":
        """A method as a phase; not a second one where it calls itself."""
        inside = False

        def call(*args: "Any", **kwargs: "Any") -> "Any":
            nonlocal inside
            if inside:
                return method(*args, **kwargs)
            inside = True
            if entering:
                entering()
            phase = guarded(name, lambda: self.open(name))
            left: BaseException | None = None
            try:
                return method(*args, **kwargs)
            except BaseException as error:
                left = error
                raise
            finally:
                inside = False
                if leaving:
                    leaving()
                if phase is not None:
                    guarded(name, lambda: phase.end(left))

        return call

    def _encoder_begins(self) -> None:
        if not self._encoding:
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
