"""For a machine with an NVIDIA card: what its sensors are worth. Start with README.md."""
