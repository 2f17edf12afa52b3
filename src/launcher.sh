#!/bin/sh
# Starts hupwatch and keeps this pid. Three traps of the runtime are closed here and nowhere else:
# - a SIGHUP in the first milliseconds, before any handler can stand, would kill it: ignored until main.ts listens;
# - bun reads .env and bunfig.toml (whose preload runs code) from the application's directory: both flags off;
# - bun swallows a leading `--`: the word `cli` stands before it.
# What the user has exported is the command's: no variable here has a name that it could have (those of hupwatch's are kept from it).
HUPWATCH_SIGHUP=deliver
while read -r HUPWATCH_key HUPWATCH_value; do
  case $HUPWATCH_key in
  SigIgn:)
    # Bit 0 of the last hexadecimal digit is SIGHUP: set by nohup(1), and then it stays the user's wish.
    case $HUPWATCH_value in *[13579bdf]) HUPWATCH_SIGHUP=nohup ;; esac
    break
    ;;
  esac
done </proc/$$/status
trap '' HUP

HUPWATCH_self=$0
while [ -L "$HUPWATCH_self" ]; do
  HUPWATCH_link=$(readlink "$HUPWATCH_self")
  case $HUPWATCH_link in /*) HUPWATCH_self=$HUPWATCH_link ;; *) HUPWATCH_self=${HUPWATCH_self%/*}/$HUPWATCH_link ;; esac
done
case $HUPWATCH_self in */*) HUPWATCH_here=${HUPWATCH_self%/*} ;; *) HUPWATCH_here=. ;; esac

# These two would let the environment choose what bun runs.
unset BUN_OPTIONS BUN_BE_BUN
# A process that waits for signals gains nothing from compiled code, and it costs 13 of 60 MB. load and verify count
# requests and do gain; complete, which asks every sub-command for its options, is in the bundle that has them all. Garbage is
# collected without threads, because the runtime aborts where it cannot start one: when no process may be forked any more,
# hupwatch must stay. JavaScriptCore reserves a gigabyte of executable memory at once and goes without a compiler, which
# bun:ffi cannot, where an address space limit refuses it: 8 MiB are more than enough here, and fit below 600 MB (ulimit -v).
# environment.ts keeps all of these from the command.
case ${1-} in
demo) HUPWATCH_entry=demo ;;
load | verify | complete) HUPWATCH_entry=load ;;
*)
  HUPWATCH_entry=main
  [ "${BUN_JSC_jitMemoryReservationSize-}" ] ||
    export BUN_JSC_jitMemoryReservationSize=8388608 HUPWATCH_SMALL_JIT=1
  [ "${BUN_JSC_useBaselineJIT-}${BUN_JSC_useDFGJIT-}" ] ||
    export BUN_JSC_useBaselineJIT=0 BUN_JSC_useDFGJIT=0 BUN_JSC_useConcurrentGC=0 BUN_JSC_numberOfGCMarkers=1 \
      HUPWATCH_INTERPRETS=1
  ;;
esac
# A shell forgets variables whose names it does not accept (`spring.profile`, functions that bash has exported), and the command
# is to have them: os/caller.ts gets them in hexadecimal digits. execve(2) refuses a variable of 128 KiB.
case ${1-} in
reload | status | stop | load | complete | demo) ;;
*)
  if LC_ALL=C grep -qzv '^[A-Za-z_][A-Za-z0-9_]*=' /proc/$$/environ 2>/dev/null; then
    HUPWATCH_ODD=$(LC_ALL=C grep -zv '^[A-Za-z_][A-Za-z0-9_]*=' /proc/$$/environ | od -An -v -tx1 | tr -d ' \n')
    if [ ${#HUPWATCH_ODD} -lt 130000 ]; then
      export HUPWATCH_ODD
    else
      echo "hupwatch: warn: the command does not get the variables whose names a shell does not know: they are longer than 65 KB" >&2
    fi
  fi
  ;;
esac
# verify starts hupwatch as its user did.
export HUPWATCH_SIGHUP HUPWATCH_LAUNCHER="$HUPWATCH_here/${HUPWATCH_self##*/}"

# Where a clone has its parts; the package and the executable have other lines here (docker/release/launcher.ts).
HUPWATCH_installed=$HUPWATCH_here/../node_modules/.bin/bun
case $HUPWATCH_entry in demo) HUPWATCH_main=$HUPWATCH_here/../fixtures/demo/demo.ts ;; *) HUPWATCH_main=$HUPWATCH_here/main.ts ;; esac

if [ "${HUPWATCH_BUN-}" ]; then
  HUPWATCH_runtime=$HUPWATCH_BUN
elif [ -x "$HUPWATCH_installed" ]; then
  HUPWATCH_runtime=$HUPWATCH_installed
else
  HUPWATCH_runtime=$(command -v bun) || {
    echo "hupwatch: bun is not on the PATH, and hupwatch runs on it" >&2
    echo "To fix: npm install -g bun (1.4 or newer), or set HUPWATCH_BUN to its path" >&2
    exit 125
  }
fi
case $HUPWATCH_entry in demo) shift ;; *) set -- cli "$@" ;; esac
exec "$HUPWATCH_runtime" --no-env-file --config=/dev/null "$HUPWATCH_main" "$@"
