from geopanoptic.training.samples.pool import main

main()
