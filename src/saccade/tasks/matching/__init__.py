"""Matching images and sentences. Nothing here is loaded before it is asked for."""
