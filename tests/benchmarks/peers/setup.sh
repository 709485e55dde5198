#!/usr/bin/env bash
# A virtual environment with geopanoptic and the peers it is measured against:
#   tests/benchmarks/peers/setup.sh FOLDER
# GDAL's and Orfeo ToolBox's programs come from the system's packages (Debian: gdal-bin otb-bin); peers that are
# not installed are left out of the comparison.
set -euo pipefail
folder=${1:?usage: setup.sh FOLDER}
repository=$(cd "$(dirname "$0")/../../.." && pwd)

python3 -m venv "$folder"
"$folder/bin/pip" install --quiet -c "$repository/constraints.txt" \
    -e "$repository[train,cpu]" monai==1.6.1 torchgeo==0.8.1 sahi==0.12.8

for program in gdal_polygonize.py otbcli_Segmentation; do
    command -v "$program" > /dev/null || echo "$program is not installed: apt-get install gdal-bin otb-bin"
done
echo "$folder/bin/python $repository/tests/benchmarks/peers/compare.py"
