"""Meshes of the circle, the sphere and tori as numpy arrays, mesh files, and interpolation."""
