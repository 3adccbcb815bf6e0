"""The learner: examples in order; it scores, learns, measures and watches."""
