#!/bin/sh
# Builds the image with docker, podman or buildah, whichever works here, or with $BUILDER. `make image` calls it with VERSION
# and COMMIT; GO_IMAGE, GOPROXY and GOSUMDB are passed on where they are set, and TARGET=sandbox builds the stand-ins' image.
set -eu
: "${VERSION:?}" "${COMMIT:?}"
cd "$(dirname "$0")/../.."
name=jdpay-listener
[ -z "${TARGET-}" ] || name=jdpay-$TARGET
if [ -z "${BUILDER-}" ]; then
	if docker info >/dev/null 2>&1; then
		BUILDER=docker
	elif podman info >/dev/null 2>&1; then
		BUILDER=podman
	elif command -v buildah >/dev/null 2>&1; then
		BUILDER=buildah
	else
		echo "image: there is no docker that runs, no podman and no buildah" >&2
		exit 1
	fi
fi
set -- --tag "$name:$VERSION" --build-arg "VERSION=$VERSION" --build-arg "COMMIT=$COMMIT"
for arg in GO_IMAGE GOPROXY GOSUMDB; do
	eval "value=\${$arg-}"
	[ -z "$value" ] || set -- "$@" --build-arg "$arg=$value"
done
[ -z "${TARGET-}" ] || set -- "$@" --target "$TARGET"
# The health check is a part of docker's format of images, and not of OCI's, which the others make unless told.
[ "$BUILDER" = docker ] || set -- --format docker "$@"
echo "image: $BUILDER builds $name:$VERSION"
exec "$BUILDER" build "$@" .
