"""Features, their kernels and null spaces, and the projection of the outer layer."""
