"""geopanoptic"""
