"""A key comes in, a picture of a person that never lived leaves, with all that can be known of
her.
"""
