"""Kernels of drugs, doses and lines, and kernel ridge on their products."""
