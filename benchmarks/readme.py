"""Writes the tables of README.md from results/*.json, so that no figure is typed by hand."""

import json
from pathlib import Path
from typing import Any

from side_by_side import RESULTS, Figure, goal, interval, shown, verdict

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- tables: python benchmarks/readme.py -->", "<!-- end of tables -->"
ORDER = ("startup", "sampler", "slowdown", "summarize", "marks")


def main() -> None:
    head, _, rest = README.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    results = [RESULTS / f"{name}.json" for name in ORDER]
    tables = [section(json.loads(path.read_text())) for path in results if path.exists()]
    README.write_text(f"{head}{BEGIN}\n\n{chr(10).join(tables)}\n{END}{tail}")
    print(f"wrote {README}")


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
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
