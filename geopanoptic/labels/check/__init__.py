"""``labels check``: what is wrong with labels, where, and how sure that is; one module per group of checks."""
