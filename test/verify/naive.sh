#!/bin/sh
# What people do without hupwatch, as a reload command: a new copy on the same path, then TERM to the old one.
# Needs SOCKET, PIDFILE, BUN, TINY, and VERIFY_SWAP, which verify sets.
old=$(cat "$PIDFILE" 2>/dev/null)
rm -f "$SOCKET"
APP_VERSION=$VERIFY_SWAP "$BUN" "$TINY" "unix:$SOCKET" >/dev/null 2>&1 &
echo $! >"$PIDFILE"
while [ ! -S "$SOCKET" ]; do sleep 0.01; done
[ -z "$old" ] || kill -TERM "$old"
