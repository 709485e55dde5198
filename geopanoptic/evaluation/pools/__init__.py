"""Bundles and classical segmentations on labelled samples."""
