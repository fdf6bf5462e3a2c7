"""What a result is called and how it is stored: names, units, NetCDF, provenance, timings."""
