"""Files and pixels in and out."""
