"""A comparison as a table for a page or a paper: Markdown and LaTeX, of one pandas DataFrame."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vidmeter.reports import benchwords as words
from vidmeter.reports.arm import Arm
from vidmeter.reports.comparison import Compared
from vidmeter.reports.doubts import together
from vidmeter.reports.format import digits, seconds, watts

if TYPE_CHECKING:
    import pandas as pd

_ESCAPED = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "±": r"$\pm$", "−": "$-$", "·": r"$\cdot$", "–": "--", "×": r"$\times$", "›": "$>$",
    "µ": r"$\mu$", "…": r"\dots{}", "\u202f": r"\,",
}  # fmt: skip


def frame(arms: Sequence[Arm], comparisons: Sequence[Compared] = ()) -> "pd.DataFrame":
    """A row for each arm, every cell a text for people; what is unknown is empty."""
    import pandas as pd

    against = {c.b.label: c for c in comparisons}
    rows = [_row(n, arm, against.get(arm.label)) for n, arm in enumerate(arms)]
    return pd.DataFrame(rows).fillna("")  # arms may answer in different figures


def markdown(arms: Sequence[Arm], comparisons: Sequence[Compared] = ()) -> str:
    """A table of GitHub's Markdown, and under it how it is to be read."""
    return as_markdown(frame(arms, comparisons), _notes(arms, comparisons))


def latex(arms: Sequence[Arm], comparisons: Sequence[Compared] = ()) -> str:
    """A `tabular` with the rules of booktabs, and under it how it is to be read."""
    return as_latex(frame(arms, comparisons), _notes(arms, comparisons))


def as_markdown(table: "pd.DataFrame", notes: Sequence[str]) -> str:
    """A table of texts as GitHub's Markdown, with notes below it, each a paragraph."""
    rows = [list(table.columns), *table.to_numpy().tolist()]
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    lines.insert(1, "|" + "|".join(["---", *["---:"] * (len(cells[0]) - 1)]) + "|")
    return "\n".join([*lines, "", "\n\n".join(notes)]) + "\n"


def as_latex(table: "pd.DataFrame", notes: Sequence[str]) -> str:
    """A table of texts as a `tabular`, with notes below it as comments."""
    escaped = table.map(_escaped).rename(columns=_escaped)
    text = escaped.to_latex(index=False, column_format="l" + "r" * (len(table.columns) - 1))
    below = "\n".join(f"% {note}" for note in notes)
    return f"% needs \\usepackage{{booktabs}}\n{text}{below}\n"


def _row(n: int, arm: Arm, compared: Compared | None) -> dict[str, str]:
    found = arm.estimate
    change = interval = ""
    if compared is not None and compared.found is not None:
        ratio = compared.found
        change = words.signed(ratio.ratio - 1)
        if ratio.low is not None and ratio.high is not None:
            interval = f"{words.signed(ratio.low - 1)} to {words.signed(ratio.high - 1)}"
        if ratio.verdict == "not distinguishable":
            change += " (n.d.)"
    spread = f" ±{words.difference(found.relative)}" if found and found.relative is not None else ""
    return {
        "": " ".join([f"{words.letters(n)}: {arm.label}", *words.marks(arm)]),
        arm.unit: digits(found.mean) + spread if found else "",
        "runs": str(len(arm.repeats)),
        "mean power": watts(arm.mean_w) if arm.mean_w is not None else "",
        "time": seconds(arm.seconds),
        "pJ/FLOP": digits(arm.pj_per_flop) if arm.pj_per_flop is not None else "",
        "against A": change,
        "95 % interval": interval,
    }


def _notes(arms: Sequence[Arm], comparisons: Sequence[Compared]) -> list[str]:
    """What a table must not be quoted without."""
    devices = ", ".join(dict.fromkeys(name for arm in arms for name in arm.device_names))
    notes = [
        f"Energy of {devices or 'unknown devices'}; ± is the 95 % interval by Student's t over"
        " processes. n.d.: not distinguishable."
    ]
    for n, c in enumerate(comparisons, 1):
        if c.why:
            notes.append(words.sentence_of(c, a="A", b=words.letters(n)) + ".")
        if c.unlike:
            notes.append(f"A and {words.letters(n)} differ in {'; '.join(c.unlike)}.")
    for doubt in together(arms):
        if doubt.first:
            about = f" ({doubt.about})" if doubt.about else ""
            notes.append(f"Caution: {doubt.text}{about}.")
    return notes


def _escaped(text: str) -> str:
    return "".join(_ESCAPED.get(c, c) for c in text)
