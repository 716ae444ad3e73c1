"""What a pipeline returned: how many videos or images of which size, told from shapes alone."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KINDS = ("frames", "videos", "images")


def shape_of(result: "Any", asked: "dict[str, Any]") -> "dict[str, Any]":
    """Number and size of the videos or images that came out, from their shapes."""
    if asked.get("output_type") == "latent":
        return {}
    out = _made(result, asked.get("output"))
    if out is None:
        return {}
    shape = getattr(out, "shape", None)
    if shape is not None and len(shape) in (4, 5):
        return _of_array([int(n) for n in shape])
    if isinstance(out, list | tuple) and out:
        return _of_list(out)
    return {}


def _made(result: "Any", output: "Any") -> "Any":
    """The videos or images in what came out; `output` is what a modular pipeline was asked for."""
    for kind in _KINDS:
        found = result.get(kind) if isinstance(result, dict) else getattr(result, kind, None)
        if found is not None:
            return found
    if output in _KINDS:
        return result
    return result[0] if isinstance(result, tuple) and result else None


def _of_array(shape: "list[int]") -> "dict[str, Any]":
    """Of an array: (batch, [frames,] height, width, channels), or channels before the size."""
    channels_last = shape[-1] in (1, 3, 4)
    height, width = shape[-3:-1] if channels_last else shape[-2:]
    facts = {"batch": shape[0], "height": height, "width": width}
    if len(shape) == 5:
        facts["frames"] = shape[1] if channels_last or shape[2] in (1, 3, 4) else shape[2]
    return facts


def _of_list(out: "Any") -> "dict[str, Any]":
    """Of a list of images, or of videos that are lists or arrays themselves."""
    first = out[0]
    size = getattr(first, "size", None)
    if isinstance(size, tuple) and len(size) == 2:  # a PIL image
        return {"batch": len(out), "width": int(size[0]), "height": int(size[1])}
    shape = getattr(first, "shape", None)
    if shape is not None and len(shape) == 4:
        return _of_array([len(out), *(int(n) for n in shape)])
    if isinstance(first, list | tuple) and first:
        inner = _of_list(first)
        frames = inner.pop("batch", None)
        return {"batch": len(out), "frames": frames, **inner} if frames else {}
    return {}
