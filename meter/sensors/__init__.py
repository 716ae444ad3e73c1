"""Sources of readings; `base` holds the Protocol, every other file one source."""
