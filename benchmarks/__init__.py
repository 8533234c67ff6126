"""Windtunnel beside what people use today, on one machine, in one run. `windtunnel bench --help` tells more."""
