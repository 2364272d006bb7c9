#!/bin/bash
# systemd.sh DEB: boots a Debian with systemd in a container, installs the package, and does to the service what happens to
# services: it is started while its database is down, killed, stopped, upgraded under load, removed, purged. Prints what was
# seen, and fails where it is not what docs/operations.md promises. `make systemd` calls it. It takes some minutes, needs root and
# Debian's packages debootstrap and systemd-container, and leaves this machine as it was.
#
# BASE names a root made by an earlier run (or by debootstrap with $packages), to save its time; it is not changed.
set -euo pipefail
[ "${UNSHARED-}" ] || exec env UNSHARED=1 unshare --mount --propagation private bash "$0" "$@"
deb=$(realpath "$1")
cd "$(dirname "$0")/../.."
packages=systemd,systemd-sysv,dbus,iproute2,procps,ca-certificates,mariadb-server,mosquitto,redis-server
tmp=$(mktemp -d)
mount -t tmpfs -o size=4g tmpfs "$tmp"
console=$tmp/console nspawn=
end() {
	code=$?
	[ $code = 0 ] || { tail -n 20 "$console" 2>/dev/null; [ -z "${leader-}" ] || within journalctl -n 15 --no-pager -u 'jdpay*' || true; }
	[ -z "$nspawn" ] || { kill -s RTMIN+4 "$leader" 2>/dev/null && wait "$nspawn" || true; }
	umount -R "$tmp/root" 2>/dev/null || true
	umount "$tmp" && rmdir "$tmp"
	exit $code
}
trap end EXIT

begin=$SECONDS
say() { printf '%4d s  %s\n' $((SECONDS - begin)) "$*"; }
fail() { say "FAILED: $*"; exit 1; }
within() { nsenter -t "$leader" -m -u -i -n -p -C env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C "$@"; }
eventually() { # SECONDS WHAT COMMAND…: says how long it took
	local limit=$1 what=$2 from=$EPOCHREALTIME && shift 2
	until "$@" >/dev/null 2>&1; do
		[ "${EPOCHREALTIME%.*}" -lt $((${from%.*} + limit)) ] || fail "not within $limit s: $what"
		sleep 0.2
	done
	say "$what, after $(awk "BEGIN { printf \"%.1f\", $EPOCHREALTIME - $from }") s"
}
show() { within systemctl show -P "$1" jdpay-listener; }
active() { [ "$(show ActiveState)" = active ]; }
another() { active && [ "$(show MainPID)" != "$pid" ]; }
sql() { within mariadb -N company -e "$1"; }
settled() { sql "SELECT COUNT(*) FROM kernelorder_charge WHERE is_paid"; }
flows() { [ "$(settled)" -gt "$count" ]; }
on() { count=$(settled); eventually 60 "payments are settled" flows; } # others than up to now

# A root with the servers, a layer above it, the container.
base=${BASE-}
if [ -z "$base" ]; then
	base=$tmp/base
	say "debootstrap"
	debootstrap --variant=minbase --include="$packages" bookworm "$base" >"$tmp/debootstrap.log" 2>&1 || { tail "$tmp/debootstrap.log"; exit 1; }
fi
mkdir "$tmp/upper" "$tmp/work" "$tmp/root"
mount -t overlay -o "lowerdir=$base,upperdir=$tmp/upper,workdir=$tmp/work" overlay "$tmp/root"
CGO_ENABLED=0 "${GO:-go}" build -trimpath -o "$tmp/root/usr/local/bin/" ./cmd/jdpay-sandbox
cp "$deb" "$tmp/root/root/first.deb"
dpkg-deb -R "$deb" "$tmp/later" && sed -i 's/^Version: .*/Version: 99.0/' "$tmp/later/DEBIAN/control"
dpkg-deb --root-owner-group -b "$tmp/later" "$tmp/root/root/later.deb" >/dev/null
cp deploy/grants.sql "$tmp/root/root/"
systemd-nspawn --boot --register=no --keep-unit --private-network --console=pipe -M jdpay-systemd -D "$tmp/root" >"$console" 2>&1 </dev/null &
nspawn=$!
leader=
for _ in $(seq 50); do leader=$(pgrep -P $nspawn | head -n 1) && [ -n "$leader" ] && break; sleep 0.1; done
booted() { within systemctl is-system-running | grep -qE 'running|degraded'; }
eventually 90 "systemd is up: $(within systemctl --version | head -n 1)" booted
eventually 60 "MariaDB answers" within mariadb -e "CREATE DATABASE IF NOT EXISTS company"

say "--- installed, not configured"
within dpkg -i /root/first.deb | tail -n 9
[ "$(show ActiveState),$(show UnitFileState)" = inactive,disabled ] || fail "it runs or is enabled"
within systemctl start jdpay-listener
[ "$(show ActiveState),$(show ConditionResult)" = inactive,no ] || fail "it starts without a configuration"
say "systemctl start skips it: $(within systemctl status jdpay-listener | grep -i condition | head -n 1 | xargs)"

say "--- configured: secrets are credentials of systemd"
within sh -eu <<'END'
cat >/etc/systemd/system/stand-ins.service <<'UNIT'
[Service]
ExecStart=/usr/local/bin/jdpay-sandbox serve --database root@unix(/run/mysqld/mysqld.sock)/company --broker 127.0.0.1:1883 --rate 20
Restart=always
UNIT
systemctl daemon-reload && systemctl start stand-ins
until mariadb company -e 'SELECT * FROM kernel_smartbox_boxact_info LIMIT 1' >/dev/null 2>&1; do sleep 0.2; done
sed -e "s/{account}/company/g; s/{main}/company/g; s/{hosts}/127.0.0.1/g; s/{password of [a-z_]*}/'a-password'/" /root/grants.sql | mariadb
cat >/etc/jdpay/appsettings.json <<'CONFIG'
{
  "Mns": { "Endpoint": "http://127.0.0.1:8080", "AccessKeyId": "sandbox-ak", "WaitSeconds": 5 },
  "JDPay": { "NotifyQueueName": "JDPayNotify" },
  "SyncReply": { "QueueName": "SyncReply" },
  "Mqtt": { "Server": "127.0.0.1", "RequireReply": true },
  "Redis": { "Server": "127.0.0.1:6379" },
  "JDApi": { "BaseUrl": "http://127.0.0.1:8081", "ProducerCode": "P", "CloudProducerCode": "C" }
}
CONFIG
chgrp jdpay /etc/jdpay/appsettings.json && chmod 640 /etc/jdpay/appsettings.json
umask 077
cd /etc/jdpay/secrets
printf 'Server=127.0.0.1;Database=company;Uid=jdpay;Pwd=a-password;SslMode=None' >database
printf 'Server=127.0.0.1;Database=company;Uid=jdpay_migrate;Pwd=a-password;SslMode=None' >migrate
printf sandbox-sk >mns && printf sandbox-signing-key >jd
mkdir -p /etc/systemd/system/jdpay-listener.service.d /etc/systemd/system/jdpay-listener-migrate.service.d
cat >/etc/systemd/system/jdpay-listener.service.d/secrets.conf <<'DROPIN'
[Service]
LoadCredential=database:/etc/jdpay/secrets/database
LoadCredential=mns:/etc/jdpay/secrets/mns
LoadCredential=jd:/etc/jdpay/secrets/jd
Environment=ConnectionStrings__Account_FILE=%d/database ConnectionStrings__Main_FILE=%d/database
Environment=Mns__AccessKeySecret_FILE=%d/mns "JDPay__Md5Key_FILE=%d/jd"
DROPIN
cat >/etc/systemd/system/jdpay-listener-migrate.service.d/secrets.conf <<'DROPIN'
[Service]
LoadCredential=mns:/etc/jdpay/secrets/mns
LoadCredential=jd:/etc/jdpay/secrets/jd
Environment=ConnectionStrings__Main_FILE=%d/migrate Mns__AccessKeySecret_FILE=%d/mns JDPay__Md5Key_FILE=%d/jd
DROPIN
systemctl daemon-reload
END
say "the service does not run, and root's commands know its secrets:"
within jdpay-listener config check >"$tmp/check" || { cat "$tmp/check"; fail "config check"; }
grep -E 'Md5Key|AccessKeySecret' "$tmp/check"

say "--- started while its database is down"
within systemctl stop --quiet mariadb.socket mariadb
within systemctl enable --quiet jdpay-listener
within systemctl start --no-block jdpay-listener
sleep 15 && tries=$(show NRestarts) && sleep 15
active && fail "it says that it is ready"
[ "$(show NRestarts)" -gt "$tries" ] || fail "it is $(show ActiveState), and is not started again"
say "after 30 s: $(show NRestarts) restarts; migrate: $(within systemctl show -P NRestarts jdpay-listener-migrate) restarts"
say "it says: $(within journalctl -u jdpay-listener -o cat -n 40 | grep -v systemd | grep -iE 'database|migrat' | tail -n 1 | cut -c1-200)"
within systemctl start mariadb.socket mariadb
eventually 60 "the database is back, and the service is active without a hand" active
eventually 60 "it is ready: jdpay-listener probe --ready" within jdpay-listener probe --ready
on

say "--- kill -9"
pid=$(show MainPID) && within kill -9 "$pid"
eventually 20 "another process runs" another
on

say "--- SIGSTOP"
pid=$(show MainPID) && within kill -STOP "$pid"
eventually 150 "systemd's watchdog has put another process in its place" another
within journalctl -u jdpay-listener -o cat -g watchdog | tail -n 2
on

say "--- upgraded under load"
pid=$(show MainPID)
within dpkg -i /root/later.deb | grep Unpacking
eventually 60 "the new program runs" another
on

say "--- the database restarts under load"
pid=$(show MainPID) && within systemctl restart mariadb
on
another && fail "the service restarted, too"

say "--- nothing is lost"
last=$(sql "SELECT MAX(order_id) FROM kernelorder_charge")
drained() { [ "$(sql "SELECT COUNT(*) FROM kernelorder_charge WHERE order_id <= $last AND NOT is_paid")" = 0 ]; }
eventually 60 "all of $(sql "SELECT COUNT(*) FROM kernelorder_charge") orders up to now are paid" drained
told() { [ "$(sql "SELECT COUNT(*) FROM jdpay_job j JOIN kernelorder_charge c ON c.order_no = j.ref WHERE c.order_id <= $last AND j.state <> 'done'")" = 0 ]; }
eventually 60 "cabinets and JD are told of each" told
say "as root, from the credentials: $(within jdpay-listener audit 2>&1 | tail -n 1)"
within jdpay-listener audit >/dev/null || fail "audit"

say "--- removed"
within dpkg -r jdpay-listener | tail -n 1
[ "$(show LoadState),$(show ActiveState)" = not-found,inactive ] || fail "it is $(show LoadState), $(show ActiveState)"
[ -z "$(within pgrep jdpay-listener)" ] || fail "a process is left"
within test -s /etc/jdpay/appsettings.json -a -s /etc/jdpay/secrets/migrate || fail "the configuration is gone"
within dpkg -i /root/first.deb | tail -n 1
within systemctl start jdpay-listener
eventually 60 "installed again and started, it goes on with the configuration that was kept" active
on

say "--- purged, while it runs"
within dpkg -P jdpay-listener | tail -n 1
[ "$(show LoadState),$(show ActiveState)" = not-found,inactive ] || fail "it is $(show LoadState), $(show ActiveState)"
within test ! -e /etc/jdpay || fail "/etc/jdpay is still there"
[ -z "$(within systemctl list-units --failed --no-legend 'jdpay*')" ] || fail "a unit is left as failed"
say "as promised"
