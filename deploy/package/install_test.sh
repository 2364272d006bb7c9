#!/bin/sh
# install_test.sh DEB VERSION: installs, upgrades, removes and purges a package, and fails where it does not do what it
# promises. Runs in a mount namespace of its own (unshare --mount): what dpkg writes goes to a layer above this machine's
# files, which ends with the namespace.
set -eu
deb=$1 version=$2
layer=$(mktemp -d)
mount -t tmpfs tmpfs "$layer"
mkdir "$layer/upper" "$layer/work" "$layer/root"
mount -t overlay -o "lowerdir=/,upperdir=$layer/upper,workdir=$layer/work" overlay "$layer/root"
mount -t proc proc "$layer/root/proc"
mount --bind /dev "$layer/root/dev"
mkdir -p "$layer/root/run" "$layer/root/tmp" && mount -t tmpfs tmpfs "$layer/root/run"
mount -t tmpfs tmpfs "$layer/root/tmp"

# The same package as of a later version.
dpkg-deb -R "$deb" "$layer/later"
sed -i 's/^Version: .*/Version: 99.0/' "$layer/later/DEBIAN/control"
dpkg-deb --root-owner-group -b "$layer/later" "$layer/root/tmp/later.deb" >/dev/null
cp "$deb" "$layer/root/tmp/first.deb"

cat >"$layer/root/tmp/steps" <<'STEPS'
set -eu
fail() { echo "FAILED: $*"; exit 1; }
is() { [ "$1" = "$2" ] || fail "$3: '$1', want '$2'"; }
config=/etc/jdpay/appsettings.json
export PATH=/usr/sbin:/usr/bin:/sbin:/bin

echo "--- install"
out=$(dpkg -i /tmp/first.deb 2>&1) || fail "$out"
echo "$out"
case $out in *"does nothing until it is configured"*) ;; *) fail "no word about the configuration" ;; esac
getent passwd jdpay || fail "no user"
is "$(stat -c '%U:%G %a' /etc/jdpay)" "root:jdpay 750" "/etc/jdpay"
is "$(stat -c '%U:%G %a' /etc/jdpay/secrets)" "root:root 700" "the secrets' folder"
jdpay-listener version
case $(jdpay-listener version) in "jdpay-listener $version, commit "*) ;; *) fail "another version" ;; esac
for unit in /usr/lib/systemd/system/jdpay-listener*.service; do
	systemd-analyze verify --man=no "$unit" || fail "$unit"
	case $unit in *console*) wanted=/etc/jdpay/console.json ;; *) wanted=$config ;; esac
	grep -qx "ConditionPathExists=$wanted" "$unit" || fail "$unit starts without a configuration"
done
[ -z "$(ls /etc/systemd/system/multi-user.target.wants/jdpay-listener* 2>/dev/null)" ] || fail "it is enabled"
for f in man/man1/jdpay-listener.1.gz bash-completion/completions/jdpay-listener zsh/vendor-completions/_jdpay-listener \
	fish/vendor_completions.d/jdpay-listener.fish doc/jdpay-listener/THIRD_PARTY_LICENSES jdpay-listener/appsettings.json; do
	dpkg -L jdpay-listener | grep -qx "/usr/share/$f" || fail "no /usr/share/$f"
done

echo "--- upgrade"
echo '{ "Mqtt": { "Server": "mine" } }' >$config
chgrp jdpay $config && chmod 640 $config
before=$(stat -c '%U:%G %a' $config; cat $config)
out=$(dpkg -i /tmp/later.deb 2>&1) || fail "$out"
case $out in *configured*) fail "it asks for a configuration again: $out" ;; esac
is "$(stat -c '%U:%G %a' $config; cat $config)" "$before" "the configuration after an upgrade"
is "$(stat -c '%U:%G %a' /etc/jdpay)" "root:jdpay 750" "/etc/jdpay after an upgrade"
is "$(dpkg-query -Wf '${Version}' jdpay-listener)" 99.0 "the version"

echo "--- remove"
out=$(dpkg -r jdpay-listener 2>&1) || fail "$out"
is "$(stat -c '%U:%G %a' $config; cat $config)" "$before" "the configuration after a removal"
[ ! -e /usr/bin/jdpay-listener ] && [ ! -e /usr/lib/jdpay-listener ] || fail "the program is still there"

echo "--- purge"
out=$(dpkg -P jdpay-listener 2>&1) || fail "$out"
[ ! -e /etc/jdpay ] || fail "the configuration is still there"
is "$(dpkg --audit)" "" "dpkg --audit"
is "$(find /usr /etc -newer /tmp/steps -name '*jdpay*' 2>/dev/null)" "" "what is left"
echo "as expected"
STEPS
version=$version chroot "$layer/root" sh /tmp/steps
