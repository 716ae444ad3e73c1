"""Measurements of vidmeter itself and of the sensors that it reads; results are kept as data."""
