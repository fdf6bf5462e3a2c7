"""What every room needs and has no mathematics: errors, ranks, threads, files, sentences."""
