"""Marks the loading of models: `load`, and in it each component of a pipeline.

A pipeline loads its components through one function that knows their names; a model that a script
loads by itself is named by its class. What is nested in a component belongs to it: only the
outermost loading of a thread is a `load`, and what it loads is one floor below.
"""

import functools
from threading import local

from .guard import Phase, around

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

_place = local()
"""Of each thread: how deep it is in loading, `load` being 1 and a component 2."""


def of_pipelines(module: "ModuleType") -> None:
    """Pipelines loaded from a folder or the hub, and moved to a device."""
    base = module.DiffusionPipeline
    _wrap_class_method(base, "from_pretrained", component=False)
    base.to = around(base.to, "load", lambda args, kwargs: _open("to_device"), _close)
    # The name was imported before the module was done.
    module.load_sub_model = _component(module.load_sub_model)  # type: ignore[attr-defined]


def of_components(module: "ModuleType") -> None:
    """The components of a pipeline, by the names that they have in it."""
    module.load_sub_model = _component(module.load_sub_model)  # type: ignore[attr-defined]


def of_single_files(module: "ModuleType") -> None:
    """Pipelines loaded from one checkpoint file."""
    _wrap_class_method(module.FromSingleFileMixin, "from_single_file", component=False)
    load = module.load_single_file_sub_model
    module.load_single_file_sub_model = _component(load)  # type: ignore[attr-defined]


def of_diffusers_models(module: "ModuleType") -> None:
    """Models that a script loads by themselves."""
    _wrap_class_method(module.ModelMixin, "from_pretrained", component=True)


def of_transformers_models(module: "ModuleType") -> None:
    """Models of transformers, such as text encoders and language models."""
    _wrap_class_method(module.PreTrainedModel, "from_pretrained", component=True)


class _Loading:
    """The phases of one loading, and how deep the thread was before it."""

    def __init__(self, names: "list[tuple[str, dict[str, Any]]]") -> None:
        self.depth = getattr(_place, "depth", 0)
        _place.depth = self.depth + len(names)
        self.phases = [Phase(name, **facts) for name, facts in names]


def _open(*names: str, **facts: "Any") -> "_Loading | None":
    """Begin loading one floor below where the thread is; None where it is deep enough."""
    missing = names[getattr(_place, "depth", 0) :] if len(names) > 1 else names
    if getattr(_place, "depth", 0) >= 2 or not missing:
        return None
    return _Loading([(name, facts if name == missing[-1] else {}) for name in missing])


def _close(loading: _Loading, result: "Any", error: "BaseException | None") -> None:
    _place.depth = loading.depth
    for phase in reversed(loading.phases):
        phase.end(error)


def _component(load: "Callable[..., Any]") -> "Callable[..., Any]":
    if getattr(load, "_vidmeter", False):
        return load

    def before(args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> "_Loading | None":
        name = str(kwargs.get("name") or "component")
        return _open("load", name, **_class_facts(kwargs.get("class_name")))

    wrapped = around(load, "load", before, _close)
    wrapped._vidmeter = True  # type: ignore[attr-defined]
    return wrapped


def _class_facts(name: "Any") -> "dict[str, Any]":
    return {"class": name} if isinstance(name, str) else {}


def _wrap_class_method(owner: type, name: str, *, component: bool) -> None:
    """Mark a class method that loads: a pipeline as `load`, a model as its component."""
    method = owner.__dict__[name].__func__

    def before(args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> "_Loading | None":
        loaded = args[0].__name__
        if component:
            return _open("load", loaded)
        return _open("load", **{"class": loaded})

    @classmethod  # type: ignore[misc]
    @functools.wraps(method)
    def load(cls: type, *args: "Any", **kwargs: "Any") -> "Any":
        return marked(cls, *args, **kwargs)

    marked = around(method, "load", before, _close)
    setattr(owner, name, load)
