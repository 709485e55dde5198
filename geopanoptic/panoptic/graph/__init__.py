"""The graph of regions and what lies between them: united, cleared of crumbs, merged into a tree."""
