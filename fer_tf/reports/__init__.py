"""Figures, tables and self-contained pages made from results. Functions return figures and strings; edges write."""
