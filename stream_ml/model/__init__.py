"""Models: river estimators, run by compiled kernels where those give river's answers, by river itself elsewhere."""

from stream_ml.model.lighter import load_river

load_river()
