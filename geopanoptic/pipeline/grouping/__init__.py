"""Steps 5 and 6: from quantised layers to labelled regions, things and stuff in one map."""
