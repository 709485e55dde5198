"""What became of each parcel between two maps: lineage, stable ids and the ground that changed hands.

``parcelmap`` reads a map, ``plane`` lays two on one plane in metres, ``overlaps`` finds what shares ground,
``matching`` pairs parcels one to one, ``lineage`` names what happened, ``identity`` carries ids on, ``ground``
cuts the changed areas out, ``layers`` writes them, and ``compare`` is the public verb.
"""
