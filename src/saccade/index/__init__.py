"""Embeddings in a folder, found by inner product: made from photographs or sentences, searched by either."""
