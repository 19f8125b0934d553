"""What lies in run directories already: found by what decides it, taken instead of made again, and counted."""
