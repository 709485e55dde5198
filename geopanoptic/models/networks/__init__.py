"""Networks as they are trained, and the same functions in less work as they are run."""
