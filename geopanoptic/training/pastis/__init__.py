"""PASTIS, the Panoptic Agricultural Satellite Time Series (Garnot and Landrieu, ICCV 2021), by its protocol.

The folder as it is published, its five folds and its centre targets; scores of a fold by both panoptic
protocols, and the table in which the papers state them.
"""
