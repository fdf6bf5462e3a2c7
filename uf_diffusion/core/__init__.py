"""Helpers without mathematics that all packages use: errors, MPI ranks, threads, files, wording."""
