"""Training: one loop, two kinds of step, and what is trained before the networks of the method."""
