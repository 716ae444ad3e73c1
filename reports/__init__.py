"""Runs in, text out: nothing is measured here.

Every report is a pure function of runs and their summaries: `terminal`, `jsonfile`, `csvfile`,
`htmlpage`, `trace` and `speedscope`; `exports` gives the raw samples; `live` follows a run that is
still growing. `format` holds the numbers for people, `thin` and `chart` what is drawn of a curve,
`flame` and `phasetree` what is drawn of the phases. `files` is the one place that writes a file.
"""

from vidmeter.reports.files import check_writable, write

__all__ = ["check_writable", "write"]
