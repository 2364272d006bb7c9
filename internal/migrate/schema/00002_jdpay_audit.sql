-- +goose Up
-- Acts of operators, oldest first; rows are only ever inserted. The program gives the ids, without gaps: two acts at the
-- same moment want the same id, and the key lets one of them have it. Texts in utf8mb4_bin, so that what is read is what
-- was hashed.
CREATE TABLE IF NOT EXISTS jdpay_audit (
  id         BIGINT       NOT NULL PRIMARY KEY,
  at         DATETIME(6)  NOT NULL,
  who        VARCHAR(128) NOT NULL,
  from_host  VARCHAR(255) NOT NULL,
  act        VARCHAR(32)  NOT NULL,
  refs       MEDIUMTEXT   NOT NULL,
  jobs       MEDIUMTEXT   NOT NULL,
  detail     MEDIUMTEXT   NOT NULL,
  before_act MEDIUMTEXT   NOT NULL,
  after_act  MEDIUMTEXT   NOT NULL,
  reason     TEXT         NOT NULL,
  prev_hash  CHAR(64)     NOT NULL,
  hash       CHAR(64)     NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- +goose Down
DROP TABLE jdpay_audit;
