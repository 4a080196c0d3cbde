"""How fast a preset's stages are on this machine: a few steps of each, on random images."""
