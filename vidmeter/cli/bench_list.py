"""`vidmeter bench --list`: what there is to run, what it needs, and how long it takes here."""

import sys
from collections.abc import Sequence
from typing import Any

from vidmeter.workloads.base import load_workload, models
from vidmeter.workloads.suite import load_suite, suite_names


def show(names: Sequence[str]) -> int:
    """Print all suites and workloads; or of the named ones, their settings as well."""
    if names:
        for name in names:
            _print_one(name)
        return 0
    print("suites")
    for name in suite_names():
        print(f"  {name:<22} {load_suite(name).description}")
    print()
    gpu = _gpu()
    print(f"workloads{' ' * 14}   memory download     work  {gpu[0] if gpu else ''}".rstrip())
    for name, model in models().items():
        print(_row(name, model, gpu))
    print(
        "\nA name with -tiny after it is the same pipeline, shrunk to run on a CPU. Nothing is\n"
        "downloaded unless --weights hub asks for it. `vidmeter bench --list NAME` shows settings."
    )
    sys.stdout.flush()
    return 0
