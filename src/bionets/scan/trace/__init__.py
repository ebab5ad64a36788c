"""From a step to its graph: the step is run once and every operation of it recorded."""
