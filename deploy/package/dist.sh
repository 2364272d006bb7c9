#!/bin/sh
# Makes the files of a release in bin/dist: a deb, an rpm and a tar.gz for each of ARCHS, the source with all modules, a bill of
# materials and SHA256SUMS. `make dist` calls it, with VERSION, COMMIT, SOURCE_DATE_EPOCH (the time of the commit) and NFPM (the
# module that makes packages).
#
# It packs what is committed, and builds it from the packed source without network, so that the source archive is known to
# build. Nothing in the files depends on the time, the folder, the user or the machine. It needs GNU tar.
set -eu
: "${VERSION:?}" "${COMMIT:?}" "${SOURCE_DATE_EPOCH:?}" "${NFPM:?}"
export SOURCE_DATE_EPOCH VERSION COMMIT
ARCHS=${ARCHS:-amd64 arm64}
export MAINTAINER="${MAINTAINER:-jdpay-listener <root@localhost>}"
GO=${GO:-go}
umask 022
cd "$(dirname "$0")/../.."
out=$PWD/bin/dist
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
rm -rf "$out" && mkdir -p "$out"
GOBIN=$stage/bin GOFLAGS= $GO install "$NFPM"

pack() { # archive folder: the folder, which is in $stage
	tar -C "$stage" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" --mode=u=rwX,go=rX --format=gnu -cf - "$2" |
		gzip -9n >"$out/$1"
}

# The source, with the modules. release.mk tells its Makefile what git does not know there.
source=jdpay-listener-$VERSION
mkdir "$stage/$source"
[ -z "$(git status --porcelain)" ] || echo "dist: what is not committed is not packed" >&2
git archive HEAD | tar -xf - -C "$stage/$source"
printf 'VERSION ?= %s\nCOMMIT ?= %s\nSOURCE_DATE_EPOCH ?= %s\n' "$VERSION" "$COMMIT" "$SOURCE_DATE_EPOCH" >"$stage/$source/release.mk"
(cd "$stage/$source" && $GO run ./deploy/sbom spdx) >"$out/jdpay-listener-$VERSION.spdx.json"
(cd "$stage/$source" && GOFLAGS= $GO mod vendor)
pack "$source-source.tar.gz" "$source"

build() { # arguments of go build
	(cd "$stage/$source" && env CGO_ENABLED=0 GOOS=linux GOFLAGS=-mod=vendor GOPROXY=off "$@")
}
build $GO run -trimpath -tags manual ./cmd/jdpay-listener "$stage/manual" "$VERSION"
gzip -9n "$stage"/manual/man1/*
cp -R "$stage/$source/deploy/package" "$stage/package"
mkdir "$stage/package/completions" && cp "$stage/manual/zsh/_jdpay-listener" "$stage/package/completions"

for arch in $ARCHS; do
	echo "dist: $arch" >&2
	root=$stage/package/root
	mkdir "$root"
	build env GOARCH="$arch" $GO build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION -X main.commit=$COMMIT" \
		-o "$root/usr/lib/jdpay-listener/jdpay-listener" ./cmd/jdpay-listener

	put() { # mode folder files
		mode=$1 folder=$2 && shift 2
		install -D -m "$mode" -t "$root/$folder" "$@"
	}
	from=$stage/$source
	put 755 usr/bin "$from/deploy/package/jdpay-listener"
	put 644 usr/lib/systemd/system "$from"/deploy/*.service
	install -D -m 644 "$from/deploy/package/sysusers.conf" "$root/usr/lib/sysusers.d/jdpay-listener.conf"
	put 644 usr/share/man/man1 "$stage"/manual/man1/*
	put 644 usr/share/bash-completion/completions "$stage/manual/bash/jdpay-listener"
	put 644 usr/share/fish/vendor_completions.d "$stage/manual/fish/jdpay-listener.fish"
	# The documents keep their folders; what they link to in configs and deploy is beside the samples.
	doc=usr/share/doc/jdpay-listener
	put 644 $doc "$from"/README*.md "$from/CHANGELOG.md" "$from/THIRD_PARTY_LICENSES"
	put 644 $doc/docs "$from"/docs/*.md "$from"/docs/*.svg "$from"/docs/*.yaml
	put 644 $doc/docs/zh "$from"/docs/zh/*.*
	put 644 $doc/docs/console "$from"/docs/console/*
	put 644 $doc/docs/zh/console "$from"/docs/zh/console/*
	put 644 $doc/docs/model "$from"/docs/model/*.md "$from"/docs/model/*.pml
	sed -i -E 's/\[([^]]*)\]\(e2e[^)]*\)/\1/g' "$root/$doc"/README*.md # of the tests, which are not installed
	ln -s ../../jdpay-listener "$root/$doc/configs"
	ln -s ../../jdpay-listener "$root/$doc/deploy"
	put 644 usr/share/jdpay-listener "$from"/configs/* "$from/deploy/grants.sql"
	for folder in acl prometheus grafana; do
		[ ! -d "$from/deploy/$folder" ] || cp -R "$from/deploy/$folder" "$root/usr/share/jdpay-listener/"
	done
	find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

	for kind in deb rpm; do
		(cd "$stage/package" && ARCH="$arch" "$stage/bin/nfpm" package -f nfpm.yaml -p $kind -t "$out/" >&2)
	done
	plain=jdpay-listener-$VERSION-linux-$arch
	cp -R "$root" "$stage/$plain" && mkdir -p "$stage/$plain/usr/share/zsh/site-functions"
	cp "$stage/manual/zsh/_jdpay-listener" "$stage/$plain/usr/share/zsh/site-functions"
	pack "$plain.tar.gz" "$plain"
	rm -rf "$root"
done
(cd "$out" && sha256sum -- * >"$stage/SHA256SUMS" && mv "$stage/SHA256SUMS" . && ls -l >&2)
