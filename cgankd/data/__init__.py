"""What networks are shown: images with their labels, and the batches of every kind of training."""
