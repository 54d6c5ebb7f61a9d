#!/usr/bin/env bash
# Runs the tests with everything they need: private PostgreSQL and Redis servers
# and a Chromium, which it installs if it may and otherwise asks for.
#
#   ./test.sh                  all tests, with the race detector
#   ./test.sh -run Outbox      arguments go to: go test -race
#   ./test.sh run COMMAND…     any other command, with the servers up
#
# The servers live in a temporary folder, listen on 127.0.0.1 only, and end with
# this script.
set -euo pipefail
cd "$(dirname "$0")"

say() { printf '\n== %s\n' "$*" >&2; }
die() { printf '\ntest.sh: %s\n' "$*" >&2; exit 1; }

find_postgres() { # the folder with initdb and postgres
  local dir
  for dir in $(ls -d /usr/lib/postgresql/*/bin /opt/homebrew/opt/postgresql*/bin 2>/dev/null | sort -rV) $(dirname "$(command -v initdb || echo /none/initdb)"); do
    if [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ]; then echo "$dir"; return; fi
  done
}

find_chromium() {
  local name
  for name in "${DESKBELL_TEST_CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable headless-shell; do
    if [ -n "$name" ] && command -v "$name"; then return; fi
  done
}

has_font() { command -v fc-list >/dev/null && [ -n "$(fc-list :lang=zh-cn family 2>/dev/null)" ]; }

install() {
  local wanted=()
  [ -n "$(find_postgres)" ] || wanted+=(postgresql)
  command -v redis-server >/dev/null || wanted+=(redis-server)
  [ -n "$(find_chromium)" ] || wanted+=(chromium)
  has_font || wanted+=(fontconfig fonts-noto-cjk)
  [ ${#wanted[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    die "these are missing; install them and run this again: ${wanted[*]}
on Debian or Ubuntu: sudo apt-get install --no-install-recommends ${wanted[*]}"
  fi
  say "installing ${wanted[*]}"
  export DEBIAN_FRONTEND=noninteractive
  # No service may start by itself: the tests bring up their own.
  local policy=/usr/sbin/policy-rc.d
  [ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' >"$policy"; chmod +x "$policy"; made_policy=$policy; }
  apt-get update -qq >&2
  apt-get install -y -qq --no-install-recommends "${wanted[@]}" >&2
}

free_port() { # 30000–32767 is below the ports the kernel hands out
  local port
  for _ in $(seq 100); do
    port=$((30000 + RANDOM % 2768))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then echo "$port"; return; fi
  done
  die "no free port between 30000 and 32767"
}

wait_for() { # NAME LOG COMMAND…
  local name=$1 log=$2
  shift 2
  for _ in $(seq 100); do
    if "$@" >/dev/null 2>&1; then return; fi
    sleep 0.1
  done
  cat "$log" >&2
  die "$name did not start"
}

start_postgres() { # OPTION… of the server
  local bin port as=() data=$work/postgres
  bin=$(find_postgres)
  port=$(free_port)
  mkdir "$data"
  if [ "$(id -u)" = 0 ]; then # postgres refuses to run as root
    local user=nobody
    if id postgres >/dev/null 2>&1; then user=postgres; fi
    chown "$user" "$data"
    as=(setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups)
  fi
  say "PostgreSQL on port $port"
  (cd "$data" && "${as[@]}" "$bin/initdb" --pgdata="$data/db" --username=deskbell --auth=trust --encoding=UTF8 --locale=C >"$work/initdb.log" 2>&1) ||
    { cat "$work/initdb.log" >&2; die "initdb failed"; }
  (cd "$data" && exec "${as[@]}" "$bin/postgres" -D "$data/db" -p "$port" -c listen_addresses=127.0.0.1 \
    -c unix_socket_directories="$data" -c max_connections=200 "$@") >"$work/postgres.log" 2>&1 &
  pids+=($!)
  wait_for PostgreSQL "$work/postgres.log" "$bin/psql" -h 127.0.0.1 -p "$port" -U deskbell -d postgres -c 'CREATE DATABASE deskbell'
  export DESKBELL_TEST_POSTGRES_LOG="$work/postgres.log"
  export DESKBELL_TEST_POSTGRES="postgres://deskbell@127.0.0.1:$port/deskbell?sslmode=disable"
}

start_redis() {
  local port
  port=$(free_port)
  say "Redis on port $port"
  redis-server --port "$port" --bind 127.0.0.1 --save "" --appendonly no --dir "$work" >"$work/redis.log" 2>&1 &
  pids+=($!)
  wait_for Redis "$work/redis.log" redis-cli -p "$port" ping
  export DESKBELL_TEST_REDIS="redis://127.0.0.1:$port/0"
}

stop() {
  local pid
  for pid in "${pids[@]}"; do kill -INT "$pid" 2>/dev/null || true; done # for postgres: do not wait for clients
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
  [ -z "$made_policy" ] || rm -f "$made_policy"
}

pids=() made_policy=''
work=$(mktemp -d "${TMPDIR:-/tmp}/deskbell-test.XXXXXX")
chmod 755 "$work"
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

command -v go >/dev/null || die "Go is missing: https://go.dev/dl"
install
# The tests kill the gateway, never the database, so that one need not wait for the
# disk. Benchmarks and whatever else is run by itself get one that does.
if [ "${1:-}" = run ]; then start_postgres; else start_postgres -c fsync=off -c full_page_writes=off; fi
start_redis
DESKBELL_TEST_CHROMIUM=$(find_chromium)
export DESKBELL_TEST_CHROMIUM

if [ "${1:-}" = run ]; then
  shift
  [ $# -gt 0 ] || die "run needs a command"
  "$@"
  exit
fi
# Package main has the fault tests, which measure how late things are: it comes
# last and has the machine for itself.
failed=0
say "go test -race, all packages but main"
# shellcheck disable=SC2046
go test -race -timeout 30m $(go list ./... | grep -v '^deskbell$') "$@" || failed=1
say "go test -race, package main"
go test -race -timeout 30m . "$@" || failed=1
exit $failed
