"""Reports on runs and studies, as HTML and as text."""
