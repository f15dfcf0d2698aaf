"""Annotations, records of them for training, and readers of records."""
