"""Predictions against labels."""
