"""Meshes as numpy arrays: circle, sphere, tori, and those of files; interpolation on them."""
