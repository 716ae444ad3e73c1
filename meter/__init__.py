"""Measuring: sensors, the sampler, run files and the numbers of a run."""
