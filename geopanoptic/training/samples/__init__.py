"""Training and validation samples: what is written to a pool, from generated and real scenes."""
