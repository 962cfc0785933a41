#!/bin/sh
# Every person in every garment the plain shell way, here four at a time:
#
#     sh examples/batch.sh out 4 'people/*.mp4' 'shirts/*.jpg'
#
# One "vtryon run" each; through the cache each person is analysed only once. Beside each output lies its result,
# OUTPUT.json. Called again, it does what is missing; what fails is named, the rest goes on, and the exit code is then 3.
# "vtryon batch" does this too, knows what each output was made from, loads its libraries once, minds memory and reports.
set -eu

out=$1 jobs=$2 persons=$3 garments=$4
mkdir -p "$out"

row='
    out=$0 person=$1 garment=$2
    name=${person##*/} worn=${garment##*/}
    output=$out/${name%.*}_${worn%.*}.mp4
    [ ! -e "$output" ] || exit 0
    code=0
    result=$(vtryon run "$person" "$garment" -o "$output" --cache --json -q) || code=$?
    if [ "$code" -eq 0 ]; then
        printf "%s\n" "$result" >"$output.json"
    else
        echo "$person in $garment: failed with exit code $code" >&2
        [ "$code" -lt 128 ] || exit 255 # stopped: xargs then starts no more
        exit 1
    fi
'

IFS=       # the patterns are expanded, names with spaces stay whole
code=0
for person in $persons; do
    for garment in $garments; do printf '%s\0%s\0' "$person" "$garment"; done
done | xargs -0 -n 2 -P "$jobs" sh -c "$row" "$out" || code=$?
case $code in 0) ;; 123) code=3 ;; *) code=130 ;; esac
exit "$code"
