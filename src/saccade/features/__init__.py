"""Images to region features.

`spec` says how regions are made, `backbones` makes the networks, `extract` goes from images to regions, `store` reads
them from disk, and `writer` writes stores, also of features that were made elsewhere.
"""
