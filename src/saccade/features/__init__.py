"""Images to region features.

`spec` says how regions are made, `backbones` makes the networks, `proposals` says where regions lie that are no cells
of a grid, `extract` goes from images to regions, `store` reads them from disk, and `writer` writes stores, also of
features that were made elsewhere.
"""
