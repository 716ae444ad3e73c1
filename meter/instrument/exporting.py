"""Marks the writing of videos to files as `export`, with what was written and where."""

import inspect
import os
from numbers import Real
from threading import local

from .. import marks
from .guard import Phase, around

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

_FRAMES = ("video_frames", "video", "image", "video_array", "ims", "image_array")
_PATHS = ("output_video_path", "output_path", "output_gif_path", "filename", "uri")
_RATES = ("fps", "video_fps", "frame_rate")
_thread = local()
"""Of each thread: whether it is writing a file; diffusers itself may call imageio."""


def of_diffusers(module: "ModuleType") -> None:
    """export_to_video, export_to_gif and encode_video of diffusers."""
    _mark(module, "export_to_video", "export_to_gif", "encode_video")


def of_torchvision(module: "ModuleType") -> None:
    """write_video of torchvision."""
    _mark(module, "write_video")


def of_imageio(module: "ModuleType") -> None:
    """mimwrite of imageio, by both of its names, and imwrite of version 3."""
    _mark(module, *(n for n in ("mimwrite", "mimsave", "imwrite") if hasattr(module, n)))


class _Export:
    """One call that writes a file."""

    def __init__(self, asked: "dict[str, Any]") -> None:
        self.asked = asked
        self.phase = Phase("export")


def _mark(module: "ModuleType", *names: str) -> None:
    for name in names:
        function = getattr(module, name, None)
        if function is not None:
            signature = inspect.signature(function)
            setattr(module, name, around(function, "export", _begins(signature), _end))


def _begins(signature: inspect.Signature) -> "Any":
    def begin(args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> "_Export | None":
        if getattr(_thread, "writing", False):
            return None
        try:
            asked = dict(signature.bind(*args, **kwargs).arguments)
        except TypeError:
            return None  # the call itself will say what is wrong with it
        asked |= asked.pop("kwargs", {})
        export = _Export(asked)
        _thread.writing = True
        return export

    return begin


def _end(export: _Export, result: "Any", error: "BaseException | None") -> None:
    _thread.writing = False
    facts: dict[str, Any] = {}
    path = _first(export.asked, _PATHS) or result
    if isinstance(path, str | os.PathLike):
        facts["path"] = os.path.abspath(os.fspath(path))
    rate = _first(export.asked, _RATES)
    if isinstance(rate, Real) and float(rate) > 0:  # a number of numpy's is one, a tensor isn't
        facts["fps"] = float(rate)
    facts |= _size(_first(export.asked, _FRAMES))
    export.phase.end(error, **facts)
    # Said behind the phase: the energy of writing a file is not what its seconds cost.
    if error is None and facts.get("frames", 0) > 1:
        seconds = facts["frames"] / facts["fps"] if "fps" in facts else None
        marks.work("video", 1, origin="export", video_seconds=seconds, **facts)


def _first(asked: "dict[str, Any]", names: "tuple[str, ...]") -> "Any":
    return next((asked[name] for name in names if asked.get(name) is not None), None)


def _size(frames: "Any") -> "dict[str, Any]":
    """How many frames there are and how large; no value of theirs is looked at."""
    if not hasattr(frames, "__len__") or not len(frames):
        return {}
    facts = {"frames": len(frames)}
    size, shape = getattr(frames[0], "size", None), getattr(frames[0], "shape", None)
    if isinstance(size, tuple) and len(size) == 2:
        facts |= {"width": int(size[0]), "height": int(size[1])}
    elif shape is not None and len(shape) == 3:
        height, width = shape[:2] if shape[-1] in (1, 3, 4) else shape[1:]
        facts |= {"width": int(width), "height": int(height)}
    return facts
