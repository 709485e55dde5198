"""Which nodes of the merge tree are parcels, and how sure that is."""
