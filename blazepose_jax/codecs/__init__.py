"""Networks' tensors on one side, points on the other: encode and decode."""
