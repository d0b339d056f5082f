"""Publish trained networks: calibrate, measure, and write their model cards."""
