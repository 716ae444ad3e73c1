import os
import subprocess
import sys
from pathlib import Path

import pytest

import vidmeter
from vidmeter.meter.errors import WorkloadUnavailable
from vidmeter.workloads.base import Parameter, load_workload, models, settle

ROOT = Path(vidmeter.__file__).parent.parent

PARAMETERS = {
    "prompt": Parameter("a cat", "what to show"),
    "frames": Parameter(81, "frames", minimum=1, step=4),
    "guidance": Parameter(5.0, "guidance scale", minimum=0),
    "dtype": Parameter("bfloat16", "numbers", choices=("bfloat16", "float32")),
}


def test_importing_the_workloads_imports_no_framework() -> None:
    code = (
        "import sys, vidmeter.workloads.base, vidmeter.workloads.suite;"
        "vidmeter.workloads.base.load_workload('wan2.1-t2v-1.3b').memory_b;"
        "heavy = {'torch', 'diffusers', 'transformers', 'numpy', 'av', 'pandas'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert shown.stdout == "[]\n"


@pytest.mark.parametrize("name", [f"{name}{end}" for name in models() for end in ("", "-tiny")])
def test_every_workload_says_what_it_is_and_needs_before_it_is_prepared(name: str) -> None:
    workload = load_workload(name)
    assert workload.name == name
    assert workload.description
    assert "torch" in workload.packages
    assert set(workload.devices) <= {"cpu", "cuda"}
    assert workload.settings == {k: p.default for k, p in workload.parameters.items()}
    assert all(p.meaning for p in workload.parameters.values())


def test_the_native_settings_of_the_published_model() -> None:
    settings = load_workload("wan2.1-t2v-1.3b").settings
    assert settings == {
        "prompt": "",
        "height": 480,
        "width": 832,
        "frames": 81,
        "steps": 50,
        "guidance": 5.0,
        "seed": 0,
        "weights": "random",
        "batch": 1,
        "dtype": "bfloat16",
        "attention": "default",
        "compile": "none",
        "offload": "none",
        "vae_tiling": "off",
        "vae_slicing": "off",
        "cache": "none",
    }


def test_stated_settings_replace_defaults_and_take_their_type() -> None:
    stated = {"frames": "33", "guidance": "1", "prompt": "a=b"}
    assert settle("w", PARAMETERS, stated) == {
        "prompt": "a=b",
        "frames": 33,
        "guidance": 1.0,
        "dtype": "bfloat16",
    }
    assert isinstance(settle("w", PARAMETERS, {"guidance": 3})["guidance"], float)


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"stpes": 3}, "w has no setting 'stpes'; it has prompt, frames, guidance, dtype"),
        ({"frmaes": 3}, "w has no setting 'frmaes': did you mean frames?"),
        ({"frames": "many"}, "w: frames must be a whole number, not 'many'"),
        ({"frames": 9.0}, "w: frames must be a whole number, not 9.0"),
        ({"frames": True}, "w: frames must be a whole number, not True"),
        ({"frames": "0"}, "w: frames must be at least 1, not 0"),
        ({"frames": 16}, "w: frames can't be 16: the nearest that fit are 13 and 17"),
        ({"guidance": "nan"}, "w: guidance must be a number, not 'nan'"),
        ({"guidance": "inf"}, "w: guidance must be a number, not 'inf'"),
        ({"guidance": -1}, "w: guidance must be at least 0, not -1"),
        ({"prompt": 3}, "w: prompt must be text, not 3"),
        ({"dtype": "int8"}, "w: dtype is one of bfloat16, float32, not 'int8'"),
    ],
)
def test_a_setting_that_does_not_fit_is_refused_in_one_line(
    stated: dict[str, object], message: str
) -> None:
    with pytest.raises(WorkloadUnavailable) as refused:
        settle("w", PARAMETERS, stated)
    assert str(refused.value) == message


def test_an_unknown_workload_is_refused_with_the_names_that_are_near() -> None:
    with pytest.raises(WorkloadUnavailable, match=r"'wan2\.1-1\.3b'.* wan2\.1-t2v-1\.3b"):
        load_workload("wan2.1-1.3b")
    with pytest.raises(WorkloadUnavailable, match=r"'sora'.*bench --list"):
        load_workload("sora")


@pytest.mark.parametrize(
    "path", ["no_such_module_here:make", "vidmeter.workloads.video.wan:no_such", "json:"]
)
def test_a_dotted_path_that_leads_nowhere_is_refused(path: str) -> None:
    with pytest.raises(WorkloadUnavailable, match=path):
        load_workload(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def make(:\n", "can't be imported: invalid syntax"),
        ("from json import nothing_of_that_name\n", "can't be imported: cannot import name"),
        ("class make: ...\n", "can't be made of its settings: make() takes no arguments"),
        (
            "class make:\n    name = 'own'\n    def __init__(self, stated): ...\n",
            "makes no workload: it has no close, description, devices, facts, generate, ",
        ),
    ],
)
def test_a_module_that_makes_no_workload_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    name = f"own_{abs(hash(text))}"
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(WorkloadUnavailable) as refused:
        load_workload(f"{name}:make")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_dotted_path_is_accepted_where_a_name_is() -> None:
    workload = load_workload("tests.workloads.own:sleepy", {"nap_s": 0.5})
    assert workload.settings["nap_s"] == 0.5


@pytest.mark.parametrize("name", ["ltx-video-2b", "ltx-video-13b", "ltx-2", "mochi-1"])
def test_a_schedule_that_divides_by_what_lies_between_steps_is_not_given_one(name: str) -> None:
    with pytest.raises(WorkloadUnavailable, match="steps must be at least 2, not 1"):
        load_workload(f"{name}-tiny", {"steps": 1})


def test_memory_follows_the_size_of_the_video() -> None:
    native = load_workload("wan2.1-t2v-1.3b")
    # 14.7 GB of weights, 8.2 GB at the peak of decoding, and what the framework takes.
    assert native.memory_b == pytest.approx(24.4e9, rel=0.01)
    small = load_workload("wan2.1-t2v-1.3b", {"height": 240, "width": 416, "frames": 17})
    assert 16e9 < small.memory_b < 19e9


def test_a_missing_package_is_named_with_the_command_that_helps(tmp_path: Path) -> None:
    # -S leaves out the installed packages, so the frameworks are really not there.
    code = (
        "from vidmeter.workloads.base import load_workload\n"
        "from vidmeter.meter.errors import VidmeterError\n"
        "try: load_workload('wan2.1-t2v-1.3b-tiny').prepare('cpu')\n"
        "except VidmeterError as error: print(error)"
    )
    shown = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert shown.stdout == (
        "wan2.1-t2v-1.3b-tiny needs torch, diffusers, transformers, av: "
        "pip install 'vidmeter[workloads]'\n"
    )
