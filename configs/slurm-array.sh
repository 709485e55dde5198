#!/bin/bash
# A map by a Slurm job array, without any scheduler of our own: each job computes its part of the scene into a
# shared folder, a last one makes the map. The result is byte for byte that of one machine.
#
#   SCENE=/shared/scene.tif OUT=/shared/parcels.gpkg WORK=/shared/run bash slurm-array.sh
#
# A job that failed or ran out of time is sent again with the same number: what it had stored is kept.
set -euo pipefail

: "${SCENE:?the scene}" "${OUT:?the GeoPackage to write}" "${WORK:?a folder that all machines share}"
PARTS=${PARTS:-16}
RESOURCES=(--cpus-per-task="${CPUS:-4}" --mem="${MEMORY:-16G}" --time="${WALLTIME:-01:00:00}")
OPTIONS=(--threads "${CPUS:-4}")

parts=$(sbatch --parsable --job-name=geopanoptic-parts --array="1-$PARTS" "${RESOURCES[@]}" \
  --wrap="geopanoptic run '$SCENE' --work '$WORK' --shard \$SLURM_ARRAY_TASK_ID/$PARTS ${OPTIONS[*]}")
sbatch --job-name=geopanoptic-finish --dependency="afterok:$parts" "${RESOURCES[@]}" \
  --wrap="geopanoptic run '$SCENE' --work '$WORK' --finish --out '$OUT' ${OPTIONS[*]}"
