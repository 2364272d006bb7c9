-- The database users of jdpay-listener, each with what it needs and nothing else. An administrator runs this once, before
-- `jdpay-listener migrate`, and again when a new version says so; it may be repeated. Nothing runs before each {placeholder}
-- is replaced, by an editor or by
--
--   sed -e "s/{account}/account/g; s/{main}/main/g; s/{hosts}/10.0.%/g" \
--       -e "s/{password of jdpay}/'…'/; s/{password of jdpay_migrate}/'…'/" \
--       -e "s/{password of jdpay_operator}/'…'/; s/{password of jdpay_read}/'…'/" deploy/grants.sql | mysql -u root -p
--
-- {account}, {main}: the databases, which may be one. On two servers run it on both, and leave out what the server has not.
-- {hosts}: the addresses that may connect, in MySQL's form. Views in the place of the business tables are granted like tables.
--
-- MySQL 5.7 and later, MariaDB 10.5 and later. MySQL 5.6 knows no IF NOT EXISTS here: leave it out.
-- Not needed, and not given: PROCESS, REPLICATION CLIENT, FILE, SUPER, DROP, LOCK TABLES, anything on other tables. The daemon's
-- named locks (GET_LOCK), its session variables and what it reads of information_schema need no grant.

CREATE USER IF NOT EXISTS 'jdpay'@'{hosts}' IDENTIFIED BY {password of jdpay};
CREATE USER IF NOT EXISTS 'jdpay_migrate'@'{hosts}' IDENTIFIED BY {password of jdpay_migrate};
CREATE USER IF NOT EXISTS 'jdpay_operator'@'{hosts}' IDENTIFIED BY {password of jdpay_operator};
CREATE USER IF NOT EXISTS 'jdpay_read'@'{hosts}' IDENTIFIED BY {password of jdpay_read};
-- Once the servers have certificates: ALTER USER … REQUIRE SSL;

-- jdpay_migrate: `jdpay-listener migrate`. It creates and alters the daemon's own tables and sees no business table.
-- MySQL asks for INSERT of whoever alters a table.
GRANT CREATE, ALTER, INDEX, SELECT, INSERT ON `{account}`.jdpay_job TO 'jdpay_migrate'@'{hosts}';
GRANT CREATE, ALTER, INDEX, SELECT, INSERT ON `{account}`.jdpay_audit TO 'jdpay_migrate'@'{hosts}';
GRANT CREATE, ALTER, INDEX, SELECT, INSERT ON `{account}`.jdpay_cursor TO 'jdpay_migrate'@'{hosts}';
GRANT CREATE, ALTER, INDEX, SELECT, INSERT ON `{account}`.jdpay_alert TO 'jdpay_migrate'@'{hosts}';
GRANT CREATE, ALTER, INDEX, SELECT, INSERT ON `{account}`.jdpay_replica TO 'jdpay_migrate'@'{hosts}';
GRANT CREATE, ALTER, INDEX, SELECT, INSERT ON `{account}`.jdpay_minute TO 'jdpay_migrate'@'{hosts}';
GRANT CREATE, ALTER, INDEX, SELECT, INSERT ON `{account}`.jdpay_pause TO 'jdpay_migrate'@'{hosts}';
GRANT CREATE, ALTER, INDEX, SELECT, INSERT ON `{account}`.jdpay_job_version TO 'jdpay_migrate'@'{hosts}';

-- The servers grant on a table that is not there yet only together with CREATE, which is taken away at once.

-- jdpay: the daemon. Of an order it can change only the ten columns of a payment, and no row of jdpay_audit.
GRANT CREATE, SELECT, INSERT, UPDATE, DELETE ON `{account}`.jdpay_replica TO 'jdpay'@'{hosts}';
GRANT CREATE, SELECT, INSERT, UPDATE, DELETE ON `{account}`.jdpay_minute TO 'jdpay'@'{hosts}';
GRANT CREATE, SELECT ON `{account}`.jdpay_pause TO 'jdpay'@'{hosts}';
REVOKE CREATE ON `{account}`.jdpay_replica FROM 'jdpay'@'{hosts}';
REVOKE CREATE ON `{account}`.jdpay_minute FROM 'jdpay'@'{hosts}';
REVOKE CREATE ON `{account}`.jdpay_pause FROM 'jdpay'@'{hosts}';
GRANT CREATE, SELECT, INSERT, UPDATE, DELETE ON `{account}`.jdpay_job TO 'jdpay'@'{hosts}';
GRANT CREATE, SELECT ON `{account}`.jdpay_job_version TO 'jdpay'@'{hosts}';
GRANT CREATE, SELECT, INSERT ON `{account}`.jdpay_audit TO 'jdpay'@'{hosts}';
GRANT CREATE, SELECT, INSERT, UPDATE ON `{account}`.jdpay_cursor TO 'jdpay'@'{hosts}';
GRANT CREATE, SELECT, INSERT, UPDATE, DELETE ON `{account}`.jdpay_alert TO 'jdpay'@'{hosts}';
REVOKE CREATE ON `{account}`.jdpay_job FROM 'jdpay'@'{hosts}';
REVOKE CREATE ON `{account}`.jdpay_job_version FROM 'jdpay'@'{hosts}';
REVOKE CREATE ON `{account}`.jdpay_audit FROM 'jdpay'@'{hosts}';
REVOKE CREATE ON `{account}`.jdpay_cursor FROM 'jdpay'@'{hosts}';
REVOKE CREATE ON `{account}`.jdpay_alert FROM 'jdpay'@'{hosts}';
GRANT SELECT, UPDATE (is_paid, pay_type, pay_amount, pay_time, order_type, order_source, external_id, business_type, out_biz_no, term_no)
  ON `{account}`.kernelorder_charge TO 'jdpay'@'{hosts}';
GRANT SELECT ON `{main}`.kernel_post_order TO 'jdpay'@'{hosts}';
GRANT SELECT ON `{main}`.kernel_device_group TO 'jdpay'@'{hosts}';
GRANT SELECT ON `{main}`.kernel_smartbox_boxact_info TO 'jdpay'@'{hosts}';
GRANT SELECT, INSERT, UPDATE ON `{main}`.kernel_postorder_pay_info TO 'jdpay'@'{hosts}';

-- jdpay_operator: acts (`jobs retry`, `jobs discard`, `jobs redact`, `alerts silence`, `jobs pause`, `queue pause`, `send`) and questions. It can put work to the front and end it, and
-- cannot mark an order paid, add or delete a job, or change what jdpay_audit says.
GRANT CREATE, SELECT ON `{account}`.jdpay_replica TO 'jdpay_operator'@'{hosts}';
GRANT CREATE, SELECT ON `{account}`.jdpay_minute TO 'jdpay_operator'@'{hosts}';
GRANT CREATE, SELECT, INSERT, UPDATE, DELETE ON `{account}`.jdpay_pause TO 'jdpay_operator'@'{hosts}';
REVOKE CREATE ON `{account}`.jdpay_replica FROM 'jdpay_operator'@'{hosts}';
REVOKE CREATE ON `{account}`.jdpay_minute FROM 'jdpay_operator'@'{hosts}';
REVOKE CREATE ON `{account}`.jdpay_pause FROM 'jdpay_operator'@'{hosts}';
GRANT CREATE, SELECT, UPDATE ON `{account}`.jdpay_job TO 'jdpay_operator'@'{hosts}';
GRANT CREATE, SELECT ON `{account}`.jdpay_job_version TO 'jdpay_operator'@'{hosts}';
GRANT CREATE, SELECT, INSERT ON `{account}`.jdpay_audit TO 'jdpay_operator'@'{hosts}';
GRANT CREATE, SELECT, UPDATE ON `{account}`.jdpay_alert TO 'jdpay_operator'@'{hosts}';
REVOKE CREATE ON `{account}`.jdpay_alert FROM 'jdpay_operator'@'{hosts}';
REVOKE CREATE ON `{account}`.jdpay_job FROM 'jdpay_operator'@'{hosts}';
REVOKE CREATE ON `{account}`.jdpay_job_version FROM 'jdpay_operator'@'{hosts}';
REVOKE CREATE ON `{account}`.jdpay_audit FROM 'jdpay_operator'@'{hosts}';
GRANT SELECT ON `{account}`.kernelorder_charge TO 'jdpay_operator'@'{hosts}';
GRANT SELECT ON `{main}`.kernel_post_order TO 'jdpay_operator'@'{hosts}';
GRANT SELECT ON `{main}`.kernel_device_group TO 'jdpay_operator'@'{hosts}';
GRANT SELECT ON `{main}`.kernel_smartbox_boxact_info TO 'jdpay_operator'@'{hosts}';
GRANT SELECT ON `{main}`.kernel_postorder_pay_info TO 'jdpay_operator'@'{hosts}';

-- jdpay_read: the console and the questions: `config check --connect`, `status`, `alerts`, `jobs list`, `jobs show`, `find`, `trace`, `explain`,
-- `verify --job`, `audit`, `doctor` (which says what it could not check as this user).
GRANT CREATE, SELECT ON `{account}`.jdpay_replica TO 'jdpay_read'@'{hosts}';
GRANT CREATE, SELECT ON `{account}`.jdpay_minute TO 'jdpay_read'@'{hosts}';
GRANT CREATE, SELECT ON `{account}`.jdpay_pause TO 'jdpay_read'@'{hosts}';
REVOKE CREATE ON `{account}`.jdpay_replica FROM 'jdpay_read'@'{hosts}';
REVOKE CREATE ON `{account}`.jdpay_minute FROM 'jdpay_read'@'{hosts}';
REVOKE CREATE ON `{account}`.jdpay_pause FROM 'jdpay_read'@'{hosts}';
GRANT CREATE, SELECT ON `{account}`.jdpay_job TO 'jdpay_read'@'{hosts}';
GRANT CREATE, SELECT ON `{account}`.jdpay_job_version TO 'jdpay_read'@'{hosts}';
GRANT CREATE, SELECT ON `{account}`.jdpay_audit TO 'jdpay_read'@'{hosts}';
GRANT CREATE, SELECT ON `{account}`.jdpay_alert TO 'jdpay_read'@'{hosts}';
REVOKE CREATE ON `{account}`.jdpay_alert FROM 'jdpay_read'@'{hosts}';
REVOKE CREATE ON `{account}`.jdpay_job FROM 'jdpay_read'@'{hosts}';
REVOKE CREATE ON `{account}`.jdpay_job_version FROM 'jdpay_read'@'{hosts}';
REVOKE CREATE ON `{account}`.jdpay_audit FROM 'jdpay_read'@'{hosts}';
GRANT SELECT ON `{account}`.kernelorder_charge TO 'jdpay_read'@'{hosts}';
GRANT SELECT ON `{main}`.kernel_post_order TO 'jdpay_read'@'{hosts}';
GRANT SELECT ON `{main}`.kernel_device_group TO 'jdpay_read'@'{hosts}';
GRANT SELECT ON `{main}`.kernel_smartbox_boxact_info TO 'jdpay_read'@'{hosts}';
GRANT SELECT ON `{main}`.kernel_postorder_pay_info TO 'jdpay_read'@'{hosts}';
