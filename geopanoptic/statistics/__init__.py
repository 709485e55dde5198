"""Every parcel's values over time: per date, band and index, with exact area weights.

``coverage`` finds how much of each pixel a parcel covers, ``grouping`` walks through a scene in windows of
bounded size, ``indices`` are the spectral indices, ``summary`` the weighted figures, ``tables`` their rows as
Parquet or CSV, and ``stats`` is the public verb.
"""
