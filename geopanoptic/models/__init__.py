"""Networks, the bundles that carry them, and the runtimes that run them."""
