#!/bin/bash
# A map by a Slurm job array, without any scheduler of our own: each job computes its part of the scene into a
# shared folder, a last one makes the map. The result is byte for byte that of one machine.
#
#   SCENE=/shared/scene.tif OUT=/shared/parcels.gpkg WORK=/shared/run bash slurm-array.sh
#
# Where jobs failed or ran out of time, the last one names their parts in its log. Run the script again, with the
# same settings, and what is stored by then is kept; ONLY=3,7 before it sends these parts alone. Where some machines of
# the cluster compute in bfloat16 and others do not, PRECISION=f32 before it suits all of them.
set -euo pipefail

: "${SCENE:?the scene}" "${OUT:?the GeoPackage to write}" "${WORK:?a folder that all machines share}"
PARTS=${PARTS:-16} CPUS=${CPUS:-4}
RESOURCES=(--cpus-per-task="$CPUS" --mem="${MEMORY:-16G}" --time="${WALLTIME:-01:00:00}")

run() {
  printf '%q ' geopanoptic run "$SCENE" --work "$WORK" --threads "$CPUS" --precision "${PRECISION:-auto}" "$@"
}

parts=$(sbatch --parsable --job-name=geopanoptic-parts --array="${ONLY:-1-$PARTS}" "${RESOURCES[@]}" \
  --wrap="$(run --shard)\$SLURM_ARRAY_TASK_ID/$PARTS")
sbatch --job-name=geopanoptic-finish --dependency="afterany:${parts%%;*}" "${RESOURCES[@]}" \
  --wrap="$(run --finish --out "$OUT")"
