"""Models: river estimators, run by compiled kernels where those give river's answers, by river itself elsewhere."""
