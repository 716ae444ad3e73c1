"""What a reference job is, where to find one by name, and how its settings are stated.

A workload is made cheaply, from a name and settings, so that it can be listed and its settings
refused before anything heavy is imported; `prepare` is where the frameworks and the weights come
in. A dotted path, `module:attribute`, is accepted where a name is: the attribute is called with the
settings and returns a workload.
"""

import difflib
import importlib
import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from vidmeter.meter.errors import WorkloadUnavailable

Setting = int | float | str


@dataclass(frozen=True, slots=True)
class Parameter:
    """A setting that can be changed with `name=value`; its type is that of its default.

    A number is at least `minimum`, and `minimum` plus a multiple of `step` where that is given; it
    is at most `maximum`. A text is one of `choices`, if there are any.
    """

    default: Setting
    meaning: str
    minimum: float | None = None
    step: int | None = None
    choices: tuple[str, ...] = ()
    maximum: float | None = None


@dataclass(frozen=True, slots=True)
class Produced:
    """What a repeat made: its files, and how much of what, as `vidmeter.work` takes it.

    `work` has `video_seconds`, `frames`, `width`, `height`, `fps` and `videos` for videos, and
    `input_tokens` and `output_tokens` for text. Videos' seconds are frames over frame rate, which
    containers state inexactly.
    """

    paths: tuple[Path, ...]
    work: Mapping[str, float]


class Workload(Protocol):
    """A reference job. `prepare` once, `generate` any number of times, `close` in every case."""

    @property
    def name(self) -> str:
        """What it is asked for by, and what its files are named after."""
        ...

    @property
    def description(self) -> str:
        """One line for a person."""
        ...

    @property
    def packages(self) -> tuple[str, ...]:
        """The packages it imports; all come with the extra `workloads`."""
        ...

    @property
    def devices(self) -> tuple[str, ...]:
        """The kinds of device it is meant for, of `cuda` and `cpu`."""
        ...

    @property
    def memory_b(self) -> int:
        """How much free memory of the device it needs with its settings, estimated."""
        ...

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """The settings that can be stated."""
        ...

    @property
    def settings(self) -> Mapping[str, Setting]:
        """The settings in force."""
        ...

    def prepare(self, device: str) -> None:
        """Load it on `auto`, `cpu`, `cuda` or `cuda:N`. Raises WorkloadUnavailable if it can't."""
        ...

    def generate(self, seed: int, out: Path) -> Produced:
        """Do the work once and write what came of it; the same seed gives the same.

        `out` is the path of its file without a suffix.
        """
        ...

    def facts(self) -> Mapping[str, Any]:
        """What was really used, as plain JSON values; known after `prepare`."""
        ...

    def close(self) -> None:
        """Let go of the device's memory."""
        ...


_PARTS = tuple(sorted(name for name in vars(Workload) if not name.startswith("_")))
"""What every workload has, by name."""

FAMILIES = (
    "vidmeter.workloads.video.wan",
    "vidmeter.workloads.video.ltx",
    "vidmeter.workloads.video.ltx2",
    "vidmeter.workloads.video.cogvideox",
    "vidmeter.workloads.video.hunyuan",
    "vidmeter.workloads.video.hunyuan15",
    "vidmeter.workloads.video.mochi",
    "vidmeter.workloads.video.skyreels",
    "vidmeter.workloads.video.animatediff",
    "vidmeter.workloads.video.allegro",
    "vidmeter.workloads.video.latte",
    "vidmeter.workloads.video.sana",
    "vidmeter.workloads.video.kandinsky",
    "vidmeter.workloads.language.llama",
    "vidmeter.workloads.language.qwen",
    "vidmeter.workloads.language.mistral",
    "vidmeter.workloads.language.gpt2",
)
"""The modules that hold the shipped models: each has `MODELS`; listed in this order."""

TINY = "-tiny"
"""A model's name with this after it stands for the same pipeline, shrunk to run on a CPU."""


def models() -> dict[str, Any]:
    """Every shipped model by its name, as data. No framework is imported."""
    found = [model for path in FAMILIES for model in importlib.import_module(path).MODELS]
    return {model.name: model for model in found}


def load_workload(name: str, settings: Mapping[str, object] | None = None) -> Workload:
    """The workload of that name or dotted path, not yet prepared.

    Raises WorkloadUnavailable for an unknown name, an unknown setting or a bad value.
    """
    if ":" in name:
        return _from_dotted_path(name, settings or {})
    known = models()
    model = known.get(name)
    if model is None and name.endswith(TINY):
        model = known.get(name.removesuffix(TINY))
        model = None if model is None else model.shrunk()
    if model is None:
        near = difflib.get_close_matches(name.removesuffix(TINY), known, n=3)
        there_is = f"did you mean {' or '.join(near)}?" if near else "`vidmeter bench --list` shows"
        raise WorkloadUnavailable(
            f"there is no workload {name!r}: {there_is}{'' if near else ' what there is'}; "
            "module:attribute names one of your own"
        )
    return cast(Workload, model.workload(settings or {}))


def asked_for(words: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
    """Names of workloads or suites, each with the `NAME=VALUE` settings that follow it.

    Raises WorkloadUnavailable for a setting that follows none.
    """
    groups: list[tuple[str, dict[str, str]]] = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            groups.append((word, {}))
        elif groups and name:
            groups[-1][1][name] = value
        else:
            raise WorkloadUnavailable(f"{word} comes before any workload")
    return groups


def _from_dotted_path(name: str, settings: Mapping[str, object]) -> Workload:
    module_name, _, attribute = name.partition(":")
    if not (module_name and attribute):
        raise WorkloadUnavailable(f"{name!r} is no workload: write module:attribute")
    try:
        module = importlib.import_module(module_name)
    except (ImportError, SyntaxError) as error:
        raise WorkloadUnavailable(f"workload {name!r} can't be imported: {error}") from error
    make = getattr(module, attribute, None)
    if not callable(make):
        raise WorkloadUnavailable(f"workload {name!r}: {module_name} has no callable {attribute!r}")
    try:
        workload = cast(Callable[[Mapping[str, object]], Workload], make)(dict(settings))
    except TypeError as error:
        raise WorkloadUnavailable(
            f"workload {name!r} can't be made of its settings: {error}"
        ) from error
    lacks = [part for part in _PARTS if not hasattr(workload, part)]
    if lacks:
        raise WorkloadUnavailable(
            f"{name!r} makes no workload: it has no {', '.join(lacks)} (docs/bench.md shows one)"
        )
    return workload


def settle(
    workload: str, parameters: Mapping[str, Parameter], stated: Mapping[str, object]
) -> dict[str, Setting]:
    """Every parameter's value: the stated one, checked, or its default.

    Raises WorkloadUnavailable for a name that is none of `parameters`, or a value that doesn't fit.
    """
    for name in stated:
        if name not in parameters:
            near = difflib.get_close_matches(name, parameters, n=1, cutoff=0.7)
            there_is = f": did you mean {near[0]}?" if near else f"; it has {', '.join(parameters)}"
            raise WorkloadUnavailable(f"{workload} has no setting {name!r}{there_is}")
    return {
        name: _value(f"{workload}: {name}", parameter, stated.get(name, parameter.default))
        for name, parameter in parameters.items()
    }


def _value(what: str, parameter: Parameter, stated: object) -> Setting:
    if isinstance(parameter.default, str):
        if not isinstance(stated, str):
            raise WorkloadUnavailable(f"{what} must be text, not {stated!r}")
        if parameter.choices and stated not in parameter.choices:
            known = ", ".join(parameter.choices)
            raise WorkloadUnavailable(f"{what} is one of {known}, not {stated!r}")
        return stated
    number = _number(what, parameter.default, stated)
    low, step = parameter.minimum, parameter.step
    if low is not None and number < low:
        raise WorkloadUnavailable(f"{what} must be at least {low:g}, not {number:g}")
    if parameter.maximum is not None and number > parameter.maximum:
        raise WorkloadUnavailable(f"{what} can be {parameter.maximum:g} at most, not {number:g}")
    if low is not None and step is not None and (number - low) % step:
        below = number - (number - low) % step
        raise WorkloadUnavailable(
            f"{what} can't be {number:g}: the nearest that fit are {below:g} and {below + step:g}"
        )
    return number


def _number(what: str, default: int | float, stated: object) -> int | float:
    kind = type(default)
    wanted = "a whole number" if kind is int else "a number"
    if isinstance(stated, bool) or not isinstance(stated, (int, float, str)):
        raise WorkloadUnavailable(f"{what} must be {wanted}, not {stated!r}")
    if kind is int and isinstance(stated, float):
        raise WorkloadUnavailable(f"{what} must be {wanted}, not {stated!r}")
    try:
        number = kind(stated)
    except ValueError:
        raise WorkloadUnavailable(f"{what} must be {wanted}, not {stated!r}") from None
    if not math.isfinite(number):
        raise WorkloadUnavailable(f"{what} must be {wanted}, not {stated!r}")
    return number


def require(workload: str, packages: tuple[str, ...]) -> None:
    """Raise WorkloadUnavailable, with the command that helps, if a package is not installed."""
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise WorkloadUnavailable(
            f"{workload} needs {', '.join(missing)}: pip install 'vidmeter[workloads]'"
        )
