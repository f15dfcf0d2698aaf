"""Boxes, rotated squares and resampling; pure functions without parameters."""
