"""What a text-to-video model is, as plain data: enough to build it, call it, and count its work.

A family's file holds its models and nothing else. `TextToVideo` (text_to_video) runs any of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vidmeter.workloads.base import Setting
from vidmeter.workloads.parts import Part

if TYPE_CHECKING:
    from vidmeter.workloads.video.text_to_video import TextToVideo


@dataclass(frozen=True, slots=True)
class Native:
    """The settings that a model was released with."""

    height: int
    width: int
    frames: int
    fps: float
    steps: int
    guidance: float


@dataclass(frozen=True, slots=True)
class Layout:
    """How videos and prompts become tensors: what the shapes of a pipeline's insides follow from.

    The VAE makes one latent of `spatial` × `spatial` pixels and of `temporal` frames (the first
    frame has one of its own), with `channels` numbers each. A prompt is padded to `text_tokens`,
    and the denoiser gets `text_channels` numbers for each, and `pooled_channels` for the whole of
    it.
    """

    channels: int
    text_tokens: int
    text_channels: int
    spatial: int = 8
    temporal: int = 4
    pooled_channels: int = 0

    def latents(self, size: "Size") -> tuple[int, int, int, int, int]:
        """The shape of the latents of a batch: videos, channels, times, rows, columns."""
        times = (size.frames - 1) // self.temporal + 1
        rows, columns = size.height // self.spatial, size.width // self.spatial
        return size.batch, self.channels, times, rows, columns


@dataclass(frozen=True, slots=True)
class Size:
    """How large a video is, in pixels and frames, and how many are made at once."""

    height: int
    width: int
    frames: int
    batch: int = 1


@dataclass(frozen=True, slots=True)
class Tensor:
    """The shape of an input, and its type of number; None takes the type of the network."""

    shape: tuple[int, ...]
    dtype: str | None = None


Inputs = Mapping[str, Any]
"""Arguments of a network's call: a `Tensor` for each tensor, other values as they are."""


@dataclass(frozen=True, slots=True)
class Peaks:
    """Memory above the weights at the native size, in bytes, while denoising and while decoding.

    Storages alive at once, counted without running; where both halves of the guidance run as one
    batch, of both. They grow with the pixels of a frame, and with the frames, but for `decode_b`
    where the VAE decodes `in_chunks`.
    """

    denoise_b: float
    decode_b: float
    in_chunks: bool = False


@dataclass(frozen=True, slots=True)
class Tiny:
    """What a model becomes when it is shrunk to run in seconds on two CPU cores.

    `parts` take the place of those of the same name; so do `call` and `options`.
    """

    parts: Mapping[str, Part]
    native: Native
    layout: Layout
    call: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    sides: tuple[tuple[int, int], tuple[int, int]] | None = None
    encoders: Mapping[str, int] = field(default_factory=dict)
    """How many tokens a text encoder reads, where it isn't the layout's `text_tokens`."""


@dataclass(frozen=True, slots=True)
class Model:
    """A text-to-video model that diffusers has a pipeline for.

    `parts` and `options` are the arguments that the class `pipeline` is made of; `call` goes with
    each call of it. `names` are the call's names for our settings, where they differ. `inputs` are
    those of one run of a denoiser for a batch; with guidance above `guided_above` there are two
    runs in each step (None: guidance is an input, and there is always one). `flops` is what one run
    takes at the native size, a multiplication with its addition counted as two (None: not known).
    `lacks` are the settings that its classes don't have, or that don't work with them. `source`
    says where its configuration was read.
    """

    name: str
    title: str
    repository: str
    pipeline: str
    parts: Mapping[str, Part]
    native: Native
    layout: Layout
    inputs: Callable[[Layout, Size], Inputs]
    tiny: Tiny
    source: str
    peaks: Peaks
    flops: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    call: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    denoisers: tuple[str, ...] = ("transformer",)
    encoders: Mapping[str, int] = field(default_factory=dict)
    """The text encoders, and how many tokens each reads for a prompt."""
    guided_above: float | None = 1.0
    size_step: int = 16
    sides: tuple[tuple[int, int], tuple[int, int]] | None = None
    """The least height and its step, and those of the width, where not every multiple will do."""
    frame_step: int = 4
    least_frames: int = 1
    most_frames: int | None = None
    least_steps: int = 1
    lacks: frozenset[str] = frozenset()
    caches: tuple[str, ...] = ("first_block", "pyramid", "taylorseer")
    """Those of diffusers' caches that work with its classes, found by trying."""
    defaults: Mapping[str, Setting] = field(default_factory=dict)
    """What a setting is unless it is stated, where its classes' own default is not that."""
    decoded: Callable[[Layout, Size], tuple[int, ...]] = Layout.latents
    """The shape of what the VAE decodes."""
    videos: Callable[[Any], Any] = lambda output: output.frames
    """The videos in what the pipeline returns: a batch of them."""
    dress: Callable[[Any, Mapping[str, Any]], None] | None = None
    """What is done to the pipeline for the settings, once it is built or loaded."""
    load: Callable[..., Any] | None = None
    """Loads the pipeline from a place and with keyword arguments; None: `from_pretrained`."""
    is_tiny: bool = False

    def shrunk(self) -> "Model":
        """The same pipeline, small: named `NAME-tiny`."""
        return replace(
            self,
            name=f"{self.name}-tiny",
            title=f"{self.title}, tiny",
            parts={**self.parts, **self.tiny.parts},
            native=self.tiny.native,
            layout=self.tiny.layout,
            call={**self.call, **self.tiny.call},
            options={**self.options, **self.tiny.options},
            encoders={
                name: self.tiny.encoders.get(name, self.tiny.layout.text_tokens)
                for name in self.encoders
            },
            sides=self.tiny.sides,
            peaks=Peaks(3e8, 3e8),
            flops=None,
            is_tiny=True,
        )

    def workload(self, settings: Mapping[str, object]) -> "TextToVideo":
        """The job of making videos with it. Raises WorkloadUnavailable for a bad setting."""
        from vidmeter.workloads.video.text_to_video import TextToVideo

        return TextToVideo(self, settings)

    def networks(self) -> dict[str, Part]:
        """The parts that have weights."""
        return {name: part for name, part in self.parts.items() if part.dtype is not None}

    def runs_per_step(self, guidance: float) -> int:
        """How often a denoiser runs in each step for one video."""
        return 2 if self.guided_above is not None and guidance > self.guided_above else 1
