"""Codecs between the networks' tensors and points."""
