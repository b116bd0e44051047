#!/usr/bin/env bash
# Makes sure that a MariaDB server can be started by the tests (they run a private one; the system's stays untouched).
set -eu

PATH="$PATH:/usr/sbin:/usr/local/sbin"
wanted="${OBSYNC_TEST_DATABASES:-sqlite,mariadb}"

case "$wanted" in *mariadb*) ;; *) echo "OBSYNC_TEST_DATABASES=$wanted: MariaDB is left out"; exit 0 ;; esac
if command -v mariadbd >/dev/null || command -v mysqld >/dev/null; then exit 0; fi

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "Installing MariaDB for the tests ..."
  # A package's start script would run a server that nobody asked for; 101 is Debian's word for "not here".
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update
  apt-get -qq install -y --no-install-recommends mariadb-server >/dev/null
  exit 0
fi

echo "MariaDB is not installed, and the tests run on it too. Install it (Debian: apt-get install mariadb-server)," >&2
echo "or run the suite on SQLite alone: OBSYNC_TEST_DATABASES=sqlite make test" >&2
exit 1
