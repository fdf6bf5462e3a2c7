"""How results are stored: names and units of variables, NetCDF files, provenance, timings."""
