#!/bin/sh
# release.sh [--check] VERSION: makes a release of the commit that is checked out, on this machine alone. `make release` calls it.
#
# It refuses a work tree with changes, a version that CHANGELOG.md does not tell of, and one that another commit has. Then it
# runs what CI runs, makes the files (make dist), the image where something can build one, and tags the commit v$VERSION: last, so
# that what has a tag has passed. It publishes nothing, and says at its end how to. --check only refuses.
set -eu
cd "$(dirname "$0")/../.."
only=
[ "${1-}" != --check ] || { only=1; shift; }
version=${1-}
refuse() { echo "release: $*" >&2; exit 1; }

printf '%s\n' "$version" | grep -Eqx '[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?' ||
	refuse "'$version' is no version: make release VERSION=1.2.3 (or 1.2.3-rc.1)"
case $version in *-dev.*) refuse "give a version: make release VERSION=1.2.3" ;; esac
[ -z "$(git status --porcelain)" ] || refuse "there are changes that are not committed: git status"
grep -q "^## \[$version\] - [0-9]\{4\}-[0-9][0-9]-[0-9][0-9]\$" CHANGELOG.md ||
	refuse "CHANGELOG.md has no line '## [$version] - $(date -u +%Y-%m-%d)': give what is under Unreleased this title"
commit=$(git rev-parse HEAD)
tagged=$(git rev-parse -q --verify "refs/tags/v$version^{commit}" || true)
[ -z "$tagged" ] || [ "$tagged" = "$commit" ] || refuse "v$version is commit $tagged already: take another version"
[ -z "$only" ] || exit 0

make lint vuln model test
make dist VERSION="$version"
(cd bin/dist && sha256sum --quiet -c SHA256SUMS)
shown=$(tar -xzOf "bin/dist/jdpay-listener-$version-linux-$(go env GOHOSTARCH).tar.gz" --wildcards '*/lib/jdpay-listener/jdpay-listener' >bin/released && chmod 755 bin/released && bin/released version)
rm -f bin/released
case $shown in "jdpay-listener $version, commit "*) ;; *) refuse "the program says: $shown" ;; esac
if docker info >/dev/null 2>&1 || command -v podman >/dev/null || command -v buildah >/dev/null; then
	make image VERSION="$version"
else
	echo "release: no image: there is no docker that runs, no podman and no buildah" >&2
fi
[ -n "$tagged" ] || git tag -a -m "jdpay-listener $version" "v$version"
cat <<END
release: $shown
release: bin/dist has the files, and v$version is this commit. To publish it:
  git push origin v$version
  upload bin/dist/* (sign SHA256SUMS with the key that your users know: gpg --detach-sign bin/dist/SHA256SUMS)
  push image jdpay-listener:$version to your registry, and put the digest that it prints into deploy/kubernetes/production
END
