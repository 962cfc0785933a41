#!/bin/sh
# One person, many garments; the person is analysed only once:
#
#     sh examples/many_garments.sh person.mp4 out shirts/*.jpg
#
# Videos that are in the folder "out" already stay as they are, so that it can be called again after a stop. What fails
# is named, the rest goes on, and the exit code is then 3.
set -eu

person=$1
out=$2
shift 2
mkdir -p "$out"
analysis=$out/person.vtp
failed=0
for garment in "$@"; do
    name=${garment##*/}
    if [ -e "$analysis" ]; then how=--person; else how=--save-person; fi
    vtryon run "$person" "$garment" "$how" "$analysis" -n -o "$out/${name%.*}.mp4" || {
        code=$?
        [ "$code" -lt 128 ] || exit "$code" # stopped: so is the whole batch
        echo "$garment: failed with exit code $code" >&2
        failed=3
    }
done
exit "$failed"
