"""The eight steps from scene to map: ``planning``, ``network``, ``grouping`` and ``emission`` in the order of ``run``; what they
compute with is in ``execution``, what they keep in ``store`` and ``resuming``, and ``detections`` is the way of networks
that state parcels one by one."""
