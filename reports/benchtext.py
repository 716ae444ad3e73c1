"""What a bench ends with in the terminal: grave doubts, the comparison, the table, other doubts.

Everything fits into 100 columns and is legible in 80. What was simulated or modelled, and random
weights, are marked on the line of the number itself, so that no line can be quoted without.
"""

import textwrap
from collections.abc import Sequence

from vidmeter.reports import benchwords as words
from vidmeter.reports.arm import Arm
from vidmeter.reports.comparison import Compared
from vidmeter.reports.doubts import Told, together
from vidmeter.reports.format import NONE, digits, seconds, watts
from vidmeter.reports.published import comparable, job_of_arm

WIDTH = 100
MOST_IN_FULL = 3
"""So many comparisons are told with everything; of more, a sentence each and what differs."""
_INDENT = "  "


def render(
    arms: Sequence[Arm], comparisons: Sequence[Compared] = (), *, color: bool = False
) -> str:
    """The results for a person, grave doubts and the answer first; `color` adds ANSI emphasis."""
    bold = "\x1b[1m{}\x1b[0m" if color else "{}"
    brief = len(comparisons) > MOST_IN_FULL
    blocks = [_compared(n, c, bold, brief=brief) for n, c in enumerate(comparisons, 1)]
    if brief:
        blocks = [[line for block in blocks for line in block]]
    if comparisons:
        blocks.insert(1, _letters([comparisons[0].a, *(c.b for c in comparisons)]))
    if not brief:
        blocks += [_where(n, c) for n, c in enumerate(comparisons, 1)]
    if len(arms) > 1:
        blocks += [_table(group) for group in words.together(arms)]
    blocks += [_arm(arm, bold) for arm in arms]
    blocks += [_published(arm) for arm in arms]
    told = together(arms)
    blocks.insert(0, _doubts([doubt for doubt in told if doubt.first]))
    blocks.append(_doubts([doubt for doubt in told if not doubt.first]))
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _compared(n: int, c: Compared, bold: str, *, brief: bool) -> list[str]:
    """What an arm takes against A, in one sentence, and what has to be known beside it."""
    a, b = words.letters(0), words.letters(n)
    stand = dict.fromkeys([*words.marks(c.a), *words.marks(c.b)])
    sentence = "  ".join([words.sentence_of(c, a=a, b=b), *stand])
    first, *rest = _wrap(sentence, "     ")
    notes = (words.unlike_notes if brief else words.comparison_notes)(c, a=a, b=b)
    return [
        bold.format(first),
        *rest,
        *(line for note in notes for line in _wrap(f"  {note}", "  ")),
    ]


def _letters(arms: Sequence[Arm]) -> list[str]:
    return [
        line
        for n, arm in enumerate(arms)
        for line in _wrap(f"  {words.letters(n)}: {arm.label}", "     ")
    ]


def _where(n: int, c: Compared) -> list[str]:
    """In which phases the difference is; they add up to all of it."""
    told = words.phases_told(c)
    if not told:
        return []
    a, b = words.letters(0), words.letters(n)
    head = (f"where the difference is, {c.a.unit}", a, b, f"{b} − {a}", "95 %")
    rows = [head, *(words.phase_words(phase) for phase in told)]
    wide = [max(len(row[i]) for row in rows) for i in range(len(head))]
    return [
        (_INDENT + "  ".join(cell.rjust(wide[i]) if i else _short(cell, 48).ljust(min(wide[i], 48))
                             for i, cell in enumerate(row))).rstrip()
        for row in rows
    ]  # fmt: skip


def _table(arms: Sequence[Arm]) -> list[str]:
    """A line for each arm, in the order in which they were asked for: nothing is ranked."""
    head = ("", arms[0].unit, "±", "mean", "a repeat", "")
    rows = [head]
    for arm in arms:
        found = arm.estimate
        rows.append(
            (
                _short(arm.label, 28),
                digits(found.mean if found else None),
                words.difference(found.relative) if found and found.relative is not None else NONE,
                watts(arm.mean_w),
                seconds(arm.seconds),
                " ".join(words.marks(arm)),
            )
        )
    wide = [max(len(row[i]) for row in rows) for i in range(len(head))]
    return [
        (_INDENT + "  ".join(cell.rjust(wide[i]) if 0 < i < 5 else cell.ljust(wide[i])
                             for i, cell in enumerate(row))).rstrip()
        for row in rows
    ]  # fmt: skip


def _short(text: str, most: int) -> str:
    """A text shortened in its middle: settings that tell arms apart stand at its end."""
    if len(text) <= most:
        return text
    return f"{text[: most // 2 - 1]}…{text[-(most - most // 2) :]}"


def _arm(arm: Arm, bold: str) -> list[str]:
    lines = _wrap(arm.label, _INDENT)
    found = arm.estimate
    if found is None:
        head = "energy unknown"
    else:
        parts = [bold.format(f"{digits(found.mean)} {arm.unit}"), words.interval_words(found)]
        head = "  ".join(part for part in parts if part)
    lines.append("  ".join([f"{_INDENT}{head}", *words.marks(arm)]))
    if wide := words.wide_words(arm):
        lines += _wrap(_INDENT + wide, _INDENT)
    for parts in (
        words.more_words(arm),
        words.operation_words(arm),
        words.idle_words(arm),
        [words.repeats_words(arm)],
    ):
        if parts:
            lines += _wrap(_INDENT + " · ".join(parts), _INDENT)
    return lines


def _published(arm: Arm) -> list[str]:
    """What others published of the same job or similar ones."""
    rows = comparable(job_of_arm(arm)).rows
    if not rows:
        return []
    lines = _wrap(f"published of {arm.workload}, {arm.unit}{words.trained_words(arm)}", _INDENT)
    for row in rows:
        quoted = ", quoted by others" if row.confidence != "read" else ""
        text = f"{digits(row.value)}  {row.likeness}; {row.about}; {row.source}{quoted}"
        lines += _wrap(_INDENT + text, _INDENT * 2)
    return lines


def _doubts(told: Sequence[Told]) -> list[str]:
    lines = []
    for text, remedy, about, _ in told:
        lines += _wrap(f"! {text}" + (f" ({about})" if about else ""), _INDENT)
        if remedy:
            lines += _wrap(f"  {remedy}", _INDENT)
    return lines


def _wrap(text: str, indent: str) -> list[str]:
    """Lines of at most `WIDTH` columns; a long word (a path) is broken."""
    held = text.replace(" %", "\xa0%")
    lines = textwrap.wrap(held, WIDTH, subsequent_indent=indent, break_on_hyphens=False)
    return [line.replace("\xa0", " ") for line in lines]
