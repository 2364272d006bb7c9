#!/bin/sh
# After an installation or an upgrade; dpkg calls it with "configure", rpm with 1 or 2. It never starts what did not run.
set -e
case "$1" in configure | 1 | 2) ;; *) exit 0 ;; esac

systemd-sysusers jdpay-listener.conf
chgrp jdpay /etc/jdpay
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	# The tables are upgraded first (the unit wants jdpay-listener-migrate); what is running is finished, and nothing is lost.
	systemctl --no-block try-restart jdpay-listener.service jdpay-listener-console.service
fi
if [ ! -e /etc/jdpay/appsettings.json ]; then
	cat <<'END'
jdpay-listener is installed and does nothing until it is configured:
  1. cp /usr/share/jdpay-listener/appsettings.json /etc/jdpay/, and fill in what is REQUIRED
     chgrp jdpay /etc/jdpay/appsettings.json; chmod 640 /etc/jdpay/appsettings.json
  2. write the connection string of database user jdpay_migrate (/usr/share/jdpay-listener/grants.sql makes the users)
     into /etc/jdpay/secrets/migrate
  3. jdpay-listener config check --connect
  4. systemctl enable --now jdpay-listener
/usr/share/doc/jdpay-listener/docs/operations.md says more.
END
fi
