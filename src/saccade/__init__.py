"""Small attention models that look at an image, read a text, and show where they looked and what they read."""
