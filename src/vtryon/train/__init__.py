"""Training of the networks: pictures prepared once, augmented on the fly, one loop for all."""
