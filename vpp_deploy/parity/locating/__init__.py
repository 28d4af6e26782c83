"""Where an engine begins to differ: the first part of the graph that does not compute what the graph says."""
