#!/bin/sh
#
# Runs event-worker as the owner of the working directory, which is the user's folder when one is mounted there: so
# .env can be read, error.log written, and nothing of root's is left behind.
#
#   docker run ... imart-event-worker:v1                    event-worker run
#   docker run ... imart-event-worker:v1 status --json      event-worker status --json
#   docker run -it ... imart-event-worker:v1 /bin/sh        a path: that program, as the same user

set -eu

case "${1:-}" in
    */* | event-worker) ;;
    *) set -- event-worker "$@" ;;
esac

# Libraries look for files of the user's in HOME, and root's is closed to others.
export HOME="$PWD"

# With `docker run --user` the user is decided already.
if [ "$(id -u)" != 0 ]; then
    exec "$@"
fi

uid=$(stat -c %u .)
gid=$(stat -c %g .)

if [ "$uid" = 0 ]; then
    # In a rootless engine "root" is the user who started it, and there is nothing to warn about.
    if grep -Eq '^ *0 +0 ' /proc/self/uid_map; then
        echo "warning: $PWD belongs to root, so event-worker runs as root; to avoid it, chown the mounted folder to a user" >&2
    fi
    exec "$@"
fi

# exec, so that SIGTERM reaches the worker and not a shell in front of it.
exec setpriv --reuid "$uid" --regid "$gid" --clear-groups --no-new-privs -- "$@"
