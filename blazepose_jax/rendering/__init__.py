"""Pictures of people made from random keys, with all labels that a renderer knows."""
