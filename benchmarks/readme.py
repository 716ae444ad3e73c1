"""Writes the tables of README.md from results/*.json, so that no figure is typed by hand.

How accurate vidmeter is beside others goes into the repository's README too, where its marks stand.
"""

import json
from pathlib import Path
from typing import Any

from accuracy.table import Row, by_class, markdown
from side_by_side import RESULTS, Figure, goal, interval, shown, verdict

README = Path(__file__).with_name("README.md")
FRONT = Path(__file__).parent.with_name("README.md")
BEGIN, END = "<!-- tables: python benchmarks/readme.py -->", "<!-- end of tables -->"
FRONT_BEGIN, FRONT_END = (
    "<!-- accuracy: python benchmarks/readme.py -->",
    "<!-- end of accuracy -->",
)
ORDER = (
    *(
        "accuracy",
        "startup",
        "sampler",
        "slowdown",
        "summarize",
        "compare_many",
        "appending",
        "overhead",
        "first_watt",
    ),
    *("error_rates", "differences"),
)


def main() -> None:
    paths = [RESULTS / f"{name}.json" for name in ORDER]
    results = [json.loads(path.read_text()) for path in paths if path.exists()]
    fill(README, BEGIN, END, "\n".join(section(result) for result in results))
    for result in results:
        if result["benchmark"] == "accuracy":
            fill(FRONT, FRONT_BEGIN, FRONT_END, front(result))


def fill(path: Path, begin: str, end: str, text: str) -> None:
    """Put text between two marks of a file, if it has them."""
    head, mark, rest = path.read_text().partition(begin)
    _, closing, tail = rest.partition(end)
    if not (mark and closing):
        print(f"{path} has no {begin} with {end} after it")
        return
    path.write_text(f"{head}{begin}\n\n{text}\n{end}{tail}")
    print(f"wrote {path}")


def front(result: dict[str, Any]) -> str:
    """How accurate the meters are: a line for each class of sensor, the whole table folded up."""
    table = [Row.from_json(entry) for entry in result["raw"]["rows"]]
    folded = f"<details><summary>Every waveform</summary>\n\n{markdown(table)}\n\n</details>"
    return f"{by_class(table)}\n\n{folded}\n"


def section(result: dict[str, Any]) -> str:
    """One benchmark as Markdown."""
    machine, versions = result["machine"], result["versions"]
    names = ", ".join(f"{name} {version}" for name, version in versions.items())
    lines = [
        f"### {result['benchmark']}",
        "",
        f"{result['taken'][:10]}, {machine['logical_cpus']} CPUs ({machine['cpu']}), Python"
        f" {machine['python']}, {names}; others took"
        f" {result['others_share_of_machine']:.0%} of the machine meanwhile.",
        "",
        "| | figure | 95 % interval | goal | |",
        "|---|---:|---:|---:|---|",
    ]
    for entry in result["figures"]:
        figure = Figure(**{k: v for k, v in entry.items() if k != "met"})
        cells = (figure.what, shown(figure), interval(figure), goal(figure), verdict(figure))
        lines.append(f"| {' | '.join(cells)} |")
    if result["benchmark"] == "accuracy":
        lines += ["", markdown([Row.from_json(entry) for entry in result["raw"]["rows"]])]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
