#!/bin/sh
# Turns a checkout that `npm run setup` has built into what the image holds: dependencies of the services alone, no
# sources, no tests. Run it in a copy: it deletes.
set -eu

for service in gateway orchestrator model-runtime shard-worker; do
  set -- "$@" --filter "@errata/$service..."
done
cache="${XDG_CACHE_HOME:-$HOME/.cache}/errata"
pnpm=$(find "$cache/tools" -path '*/@pnpm/exe.*/pnpm' -type f | head -n 1)

find . -name node_modules -type d -prune -exec rm -rf {} +
"$pnpm" install --prod --frozen-lockfile --offline --store-dir "$cache/pnpm-store" "$@"
# The engine is in the cache: set-up links it again, and does nothing else.
npm run setup

for package in packages/cli packages/client packages/devstack packages/deploy packages/evaluation; do
  rm -rf "$package"
done
find packages services workflows -mindepth 2 -maxdepth 2 \( -name src -o -name tools -o -name fixtures -o -name .turbo \) -exec rm -rf {} +
find packages services workflows -path '*/dist/*' \( -name '*.test.*' -o -name '*.d.ts' -o -name .tsbuildinfo -o -name testing \) \
  -prune -exec rm -rf {} +
rm -rf .errata/data "$cache/pnpm-store" "$cache/downloads" "$cache/tools"
