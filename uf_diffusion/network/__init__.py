"""The network as a system of particles: its neurons are placed, trained and recorded."""
