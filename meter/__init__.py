"""Measuring: from the hardware to the numbers of a run.

The way of a joule through the files: a sensor (`sensors/`) is read by the loop (`sampler`) in a
process of its own (`service`, started by `recorder`), which writes the run file (`store`,
`runfile`). `reader` makes a `run` of it, and `summarize` the numbers (`summary`): `sources` turns
readings into curves of energy (`energy`), `trust` sets aside what can't be true, `deviceenergy`
lets the sharpest source answer, `uncertainty` and `aliasing` say how far off it may be, `cautions`
and `conditions` what is to be doubted. What is known of a card (`quality`, `cards`) comes from
`probing`, `learning` and `calibrating/`. `command` meters a command (`launch`, `outputs`),
`measure` a piece of a program (`session`, `measurement`, `marks`), `checkup` is the doctor.
"""
