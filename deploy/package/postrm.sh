#!/bin/sh
# After a removal; dpkg calls it with "remove" and later, if asked to, with "purge", rpm with 0. A removal keeps /etc/jdpay, and
# whether the service is enabled; a purge takes both. User jdpay stays, so that its number is not given to somebody else.
set -e
case "$1" in
purge)
	rm -rf /etc/jdpay
	rm -f /etc/systemd/system/multi-user.target.wants/jdpay-listener.service /etc/systemd/system/multi-user.target.wants/jdpay-listener-console.service
	;;
remove | 0) ;;
*) exit 0 ;;
esac

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
