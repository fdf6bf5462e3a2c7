"""Reports of runs and studies, as HTML and as text."""
