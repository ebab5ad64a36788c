"""The splitting of a spatial network that has learnt several tasks."""
