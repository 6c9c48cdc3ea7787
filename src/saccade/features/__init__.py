"""Images to region features: backbones, extraction, and the memory-mapped store.

    from saccade.features.spec import FeatureSpec            how regions are made (no torch)
    from saccade.features.backbones import create_backbone, known_backbones
    from saccade.features.extract import Extractor, extract
    from saccade.features.store import FeatureStore
    from saccade.features.writer import FeatureWriter        for features made elsewhere
"""
