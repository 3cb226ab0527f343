-- NanoClaw 2.0: inbound.db of a session
CREATE TABLE messages_in (id TEXT PRIMARY KEY, seq INTEGER UNIQUE, kind TEXT NOT NULL, timestamp TEXT NOT NULL,
  status TEXT DEFAULT 'pending', process_after TEXT, recurrence TEXT, series_id TEXT, tries INTEGER DEFAULT 0,
  trigger INTEGER NOT NULL DEFAULT 1, platform_id TEXT, channel_type TEXT, thread_id TEXT, content TEXT NOT NULL,
  source_session_id TEXT, on_wake INTEGER NOT NULL DEFAULT 0);
INSERT INTO messages_in (id, seq, kind, timestamp, status, process_after, recurrence, series_id, platform_id, channel_type, content) VALUES
  ('m1', 2, 'chat', '2026-05-01T10:00:00.000Z', 'completed', NULL, NULL, NULL, 'telegram:100', 'telegram', '{"text":"an okapi?","sender":"Ann","senderId":"telegram:100"}'),
  ('t1', 4, 'task', '2026-05-01T10:00:00.000Z', 'pending', '2026-05-02T07:00:00.000Z', '0 9 * * 1-5', 't0', 'telegram:100', 'telegram', '{"prompt":"the weather"}'),
  ('t0', 6, 'task', '2026-05-01T09:00:00.000Z', 'completed', '2026-05-01T07:00:00.000Z', '0 9 * * 1-5', 't0', 'telegram:100', 'telegram', '{"prompt":"the weather"}');
