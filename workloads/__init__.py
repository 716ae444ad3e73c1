"""Reference jobs that are worth measuring, and the harness that runs them."""
