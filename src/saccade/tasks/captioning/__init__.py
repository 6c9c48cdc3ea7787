"""Captioning images. Nothing here is loaded before it is asked for."""
