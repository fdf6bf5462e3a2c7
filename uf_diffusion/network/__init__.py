"""The particles: neurons placed, trained, recorded."""
