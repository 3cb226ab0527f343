-- NanoClaw 2.0: outbound.db of a session
CREATE TABLE messages_out (id TEXT PRIMARY KEY, seq INTEGER UNIQUE, in_reply_to TEXT, timestamp TEXT NOT NULL,
  deliver_after TEXT, recurrence TEXT, kind TEXT NOT NULL, platform_id TEXT, channel_type TEXT, thread_id TEXT,
  content TEXT NOT NULL);
CREATE TABLE session_state (key TEXT PRIMARY KEY, value TEXT NOT NULL, updated_at TEXT NOT NULL);
INSERT INTO messages_out VALUES ('o1', 3, 'm1', '2026-05-01T10:00:09.000Z', NULL, NULL, 'chat', 'telegram:100', 'telegram', NULL, '{"text":"half a zebra"}');
INSERT INTO session_state VALUES ('sdk_session_id', '3f0c', '2026-05-01T10:00:09.000Z');
