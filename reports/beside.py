"""A run beside what was published of the same work, in words: how it compares.

A ratio is stated only against a figure of the same job; beside a similar one stands what differs,
and the reader judges.
"""

from typing import TYPE_CHECKING, NamedTuple

from vidmeter.meter.rows import weights
from vidmeter.meter.run import Run
from vidmeter.meter.summary import Summary
from vidmeter.reports import terminal
from vidmeter.reports.format import digits

if TYPE_CHECKING:
    from vidmeter.reports.published import Comparable, Published

MOST_IN_TEXT = 3


class Beside(NamedTuple):
    """Published figures beside a run's own `value`; `unit` in words.

    `part` names the phase that the value is of; empty if it is the run's.
    """

    value: float
    unit: str
    part: str
    found: "Comparable"
    random: bool


def beside(run: Run, summary: Summary) -> Beside | None:
    """What was published of the run's work or of similar work; None where there is nothing."""
    if not summary.work.video_seconds:
        return None
    from vidmeter.reports.published import comparable, job_of_run

    job = job_of_run(run, summary)
    found = comparable(job)
    if job is None or not found.rows:
        return None
    random = weights(summary.workload) == "random"
    return Beside(job.value, terminal.unit_name(job.headline), job.part, found, random)


def text(run: Run, summary: Summary, *, color: bool = False) -> str:
    """A run's numbers for a terminal, with what was published of the same."""
    published = lines(beside(run, summary))
    return terminal.render(summary, path=run.path, color=color, published=published)


def sentence(of: Beside) -> str:
    """How the run compares with the figure that is most alike."""
    row = of.found.rows[0]
    stated = f"{digits(row.value)} {of.unit} was published for {row.system} on {row.about}"
    if row.differs:
        return f"{stated}: {row.likeness}"
    trained = ", with trained weights where these are random" if of.random else ""
    own = f"in {of.part} alone {digits(of.value)}, " if of.part else ""
    return (
        f"{own}{_ratio(of.value / row.value)} the {stated} by {row.source} ({row.likeness}"
        f"{trained}; another card or stack may explain the rest)"
    )


def lines(of: Beside | None) -> list[str]:
    """For a terminal: a line for each figure, the same job first."""
    if of is None:
        return []
    own = f", beside {digits(of.value)} in {of.part} alone" if of.part else ""
    out = [f"  published, {of.unit}{own}:"]
    for row in of.found.rows[:MOST_IN_TEXT]:
        ratio = "" if row.differs else f", this is {_ratio(of.value / row.value)} it"
        out.append(f"    {digits(row.value)}  {row.about}{ratio}; {row.likeness}; {source(row)}")
    return out


def source(row: "Published") -> str:
    """Where a figure is from, and whether it was read there."""
    return row.source + ("" if row.confidence == "read" else ", quoted by others")


def _ratio(ratio: float) -> str:
    return f"{ratio:.2g} times"
