"""From a parameter file to a `Plan`."""
