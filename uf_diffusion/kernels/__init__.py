"""Features, the kernels they make, what they see, and the projection of an outer layer."""
