"""Grounding: which region of an image a phrase of a sentence names. Nothing here is loaded before it is asked for."""
