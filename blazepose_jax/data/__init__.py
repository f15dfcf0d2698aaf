"""Annotated people come in from files, records for training and evaluation leave."""
