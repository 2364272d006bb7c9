#!/bin/sh
# Before a removal; dpkg calls it with "remove", rpm with 0. An upgrade stops nothing here: the new package restarts.
set -e
case "$1" in remove | 0) ;; *) exit 0 ;; esac

if [ -d /run/systemd/system ]; then
	systemctl stop jdpay-listener.service jdpay-listener-console.service jdpay-listener-migrate.service
fi
