#!/bin/sh
# Makes the namespace of the workflows. Streams run for as long as they live: retention counts for closed runs alone.
set -eu
temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" ||
  temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention 72h
