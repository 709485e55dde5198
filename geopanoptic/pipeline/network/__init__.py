"""Steps 3 and 4: tiles of the scene are read, shown to the network and quantised into the run store."""
