"""Trained networks in use: to load, to ask, to score and to export them."""
