"""Answering questions about images. Nothing here is loaded before it is asked for."""
