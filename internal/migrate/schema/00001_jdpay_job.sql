-- +goose Up
-- Runs on MySQL 5.6 to 8.4, MariaDB 10.5 and later. Keys compare byte by byte: message ids and order numbers that
-- differ in case are different.
CREATE TABLE IF NOT EXISTS jdpay_job (
  id          BIGINT       NOT NULL AUTO_INCREMENT PRIMARY KEY,
  kind        VARCHAR(32)  NOT NULL,
  unique_key  VARCHAR(191) NULL,
  ref         VARCHAR(64)  NULL,
  args        MEDIUMTEXT   NOT NULL,
  state       VARCHAR(16)  NOT NULL,
  outcome     VARCHAR(32)  NULL,
  priority    TINYINT      NOT NULL DEFAULT 15,
  try_count   INT          NOT NULL DEFAULT 0,
  next_try_at DATETIME(6)  NOT NULL,
  give_up_at  DATETIME(6)  NULL,
  lease       VARCHAR(64)  NULL,
  lease_until DATETIME(6)  NULL,
  last_error  TEXT         NULL,
  errors      MEDIUMTEXT   NULL,
  created_at  DATETIME(6)  NOT NULL,
  finished_at DATETIME(6)  NULL,
  UNIQUE KEY uk_jdpay_job_unique_key (unique_key),
  KEY ix_jdpay_job_ref (ref),
  KEY ix_jdpay_job_due (state, kind, priority, next_try_at, try_count)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- +goose Down
DROP TABLE jdpay_job;
