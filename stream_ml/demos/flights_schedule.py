"""What the flights demo is compared with: the same model on columns of the timetable alone."""

from stream_ml import Pipeline
from stream_ml.demos.flights import LATE, Flight, Schedule, model

pipeline = Pipeline(
    "flights_schedule",
    features=Schedule,
    label=LATE,
    model=model,
    slices=(Flight.carrier, Flight.origin),
)
