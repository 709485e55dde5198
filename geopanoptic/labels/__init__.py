"""Labels in, labels out, labels checked: what annotation tools and other panoptic systems read and write."""
