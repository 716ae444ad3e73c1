"""Marks the phases of unmodified scripts: what runs inside the metered program.

`vidmeter run` puts the folder `boot` in front of the child's PYTHONPATH (`hook` does that), so that
its Python finds our sitecustomize first. That one puts everything back as it was, hands over to the
sitecustomize that it stands before, and leaves two things behind: `children` sees that programs
started from here get the hook as well, and `imports` waits for the modules that it has an adapter
for. Nothing else is loaded until one of those is imported, torch never is.

The adapters: `loading` (models and their components), `pipelines` (a call of a diffusers pipeline,
with `pipelinecall`, its course, `pipelinefacts`, what it ran with, and `pipelineresult`, what came
out), `generation` (language models), both by `watching` instances, `exporting` (files), `ranges`
(NVTX), `modules` (deep mode).

Everything here works in any Python from 3.10 on, under the name `_vidmeter.instrument`, because the
program's own environment need not hold vidmeter. Hence relative imports and the standard library
alone. `guard` keeps failures of ours away from the program.
"""
