"""Waits for the modules that have an adapter, and marks the time that frameworks take to import.

A finder in front of the others lets them find the module, and has the adapter called when the
module has been executed, before anyone else gets to see it. Imports of torch, diffusers and
transformers take seconds: each outermost one that takes long is a phase `import`.
"""

import sys
from _thread import get_ident
from time import monotonic_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

ADAPTERS = {
    "diffusers.pipelines.pipeline_utils": ("loading:of_pipelines", "pipelines:watch"),
    "diffusers.pipelines.pipeline_loading_utils": ("loading:of_components",),
    "diffusers.modular_pipelines.modular_pipeline": ("pipelines:watch_modular",),
    "diffusers.schedulers.scheduling_utils": ("pipelines:watch_schedulers",),
    "diffusers.models.modeling_utils": ("loading:of_diffusers_models",),
    "diffusers.loaders.single_file": ("loading:of_single_files",),
    "diffusers.utils.export_utils": ("exporting:of_diffusers",),
    "diffusers.video_processor": ("pipelines:watch_video_processor",),
    "diffusers.image_processor": ("pipelines:watch_image_processor",),
    "transformers.modeling_utils": ("loading:of_transformers_models",),
    "transformers.generation.utils": ("generation:watch",),
    "torchvision.io.video": ("exporting:of_torchvision",),
    "imageio.v2": ("exporting:of_imageio",),
    "imageio.v3": ("exporting:of_imageio",),
    "torch.cuda.nvtx": ("ranges:of_torch",),
    "nvtx.nvtx": ("ranges:of_nvtx",),
}
"""Module -> what is done with it once it is there, as `adapter:function`."""

FRAMEWORKS = frozenset({"torch", "diffusers", "transformers"})
LONG_NS = 50_000_000
"""Imports that take less are not worth a phase."""


def install() -> None:
    """Watch imports from here on."""
    sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds nothing itself: it asks those behind it, and stays for the module's execution."""

    def __init__(self) -> None:
        self._importing: set[int] = set()

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "Any":
        """The spec that the next finder gives, with a word said when it is executed."""
        adapters = ADAPTERS.get(name)
        thread = get_ident()
        first = thread not in self._importing and name.partition(".")[0] in FRAMEWORKS
        if adapters is None and not first:
            return None
        spec = _found_by_others(self, name, path, target)
        if spec is None or not hasattr(spec.loader, "exec_module"):
            return None
        execute = spec.loader.exec_module

        def exec_module(module: "ModuleType") -> None:
            # The loader is the module's own for good: it is left as it was.
            del spec.loader.exec_module
            began_ns = monotonic_ns()
            if first:
                self._importing.add(thread)
            try:
                execute(module)
            finally:
                if first:
                    self._importing.discard(thread)
                    _guarded("import", _mark_import, name, began_ns)
            if name in FRAMEWORKS:
                _guarded("import", _say_version, name, module)
            for adapter in adapters or ():
                _guarded(adapter, _adapt, adapter, module)

        try:
            spec.loader.exec_module = exec_module
        except AttributeError:
            return None  # a loader that can't be watched: the import goes on without us
        return spec


def _found_by_others(us: "_Finder", name: str, path: "Any", target: "Any") -> "Any":
    for finder in sys.meta_path:
        if finder is not us and (find := getattr(finder, "find_spec", None)) is not None:
            spec = find(name, path, target)
            if spec is not None:
                return spec
    return None


def _mark_import(name: str, began_ns: int) -> None:
    ended_ns = monotonic_ns()
    if ended_ns - began_ns >= LONG_NS:
        from .. import marks

        phase = marks.begin("import", at=(began_ns, None), facts={"module": name})
        marks.end(phase, at=(ended_ns, None))


def _say_version(name: str, module: "ModuleType") -> None:
    from .. import marks

    marks.process(**{name: str(getattr(module, "__version__", "unknown"))})


def _adapt(adapter: str, module: "ModuleType") -> None:
    from importlib import import_module

    place, _, function = adapter.partition(":")
    work: Callable[[ModuleType], None] = getattr(import_module(f".{place}", __package__), function)
    work(module)


def _guarded(where: str, function: "Callable[..., Any]", *args: "Any") -> None:
    from . import guard  # when a framework is there: most programs have none

    guard.guarded(where, function, *args)
