#!/bin/sh
# Starts hupwatch and keeps this pid. Three traps of the runtime are closed here and nowhere else:
# - a SIGHUP in the first milliseconds, before any handler can stand, would kill it: ignored until main.ts listens;
# - bun reads .env and bunfig.toml (whose preload runs code) from the application's directory: both flags off;
# - bun swallows a leading `--`: the word `cli` stands before it.
hup=deliver
while read -r key value; do
  case $key in
  SigIgn:)
    # Bit 0 of the last hexadecimal digit is SIGHUP: set by nohup(1), and then it stays the user's wish.
    case $value in *[13579bdf]) hup=nohup ;; esac
    break
    ;;
  esac
done </proc/$$/status
trap '' HUP

self=$0
while [ -L "$self" ]; do
  link=$(readlink "$self")
  case $link in /*) self=$link ;; *) self=${self%/*}/$link ;; esac
done
case $self in */*) here=${self%/*} ;; *) here=. ;; esac

# These two would let the environment choose what bun runs.
unset BUN_OPTIONS BUN_BE_BUN
# A process that waits for signals gains nothing from compiled code, and it costs 13 of 60 MB. load and verify count
# requests and do gain; complete, which asks every sub-command for its options, is in the bundle that has them all. Garbage is
# collected without threads, because the runtime aborts where it cannot start one: when no process may be forked any more,
# hupwatch must stay. JavaScriptCore reserves a gigabyte of executable memory at once and goes without a compiler, which
# bun:ffi cannot, where an address space limit refuses it: 8 MiB are more than enough here, and fit below 600 MB (ulimit -v).
# environment.ts keeps all of these from the command.
case ${1-} in
demo) entry=demo ;;
load | verify | complete) entry=load ;;
*)
  entry=main
  [ "${BUN_JSC_jitMemoryReservationSize-}" ] ||
    export BUN_JSC_jitMemoryReservationSize=8388608 HUPWATCH_SMALL_JIT=1
  [ "${BUN_JSC_useBaselineJIT-}${BUN_JSC_useDFGJIT-}" ] ||
    export BUN_JSC_useBaselineJIT=0 BUN_JSC_useDFGJIT=0 BUN_JSC_useConcurrentGC=0 BUN_JSC_numberOfGCMarkers=1 \
      HUPWATCH_INTERPRETS=1
  ;;
esac
# verify starts hupwatch as its user did.
export HUPWATCH_SIGHUP=$hup HUPWATCH_LAUNCHER="$here/${self##*/}"

# Where a clone has its parts; the package and the executable have other lines here (docker/release/launcher.ts).
installed=$here/../node_modules/.bin/bun
case $entry in demo) main=$here/../fixtures/demo/demo.ts ;; *) main=$here/main.ts ;; esac

if [ "${HUPWATCH_BUN-}" ]; then
  bun=$HUPWATCH_BUN
elif [ -x "$installed" ]; then
  bun=$installed
else
  bun=$(command -v bun) || {
    echo "hupwatch: bun is not on the PATH, and hupwatch runs on it" >&2
    echo "To fix: npm install -g bun (1.4 or newer), or set HUPWATCH_BUN to its path" >&2
    exit 125
  }
fi
case $entry in demo) shift ;; *) set -- cli "$@" ;; esac
exec "$bun" --no-env-file --config=/dev/null "$main" "$@"
