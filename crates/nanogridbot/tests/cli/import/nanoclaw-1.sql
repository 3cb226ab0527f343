-- NanoClaw 1.2: store/messages.db
CREATE TABLE chats (jid TEXT PRIMARY KEY, name TEXT, last_message_time TEXT, channel TEXT, is_group INTEGER DEFAULT 0);
CREATE TABLE messages (id TEXT, chat_jid TEXT, sender TEXT, sender_name TEXT, content TEXT, timestamp TEXT,
  is_from_me INTEGER, is_bot_message INTEGER DEFAULT 0, PRIMARY KEY (id, chat_jid), FOREIGN KEY (chat_jid) REFERENCES chats(jid));
CREATE TABLE scheduled_tasks (id TEXT PRIMARY KEY, group_folder TEXT NOT NULL, chat_jid TEXT NOT NULL, prompt TEXT NOT NULL,
  schedule_type TEXT NOT NULL, schedule_value TEXT NOT NULL, next_run TEXT, last_run TEXT, last_result TEXT,
  status TEXT DEFAULT 'active', created_at TEXT NOT NULL, context_mode TEXT DEFAULT 'isolated', script TEXT);
CREATE TABLE task_run_logs (id INTEGER PRIMARY KEY AUTOINCREMENT, task_id TEXT NOT NULL, run_at TEXT NOT NULL,
  duration_ms INTEGER NOT NULL, status TEXT NOT NULL, result TEXT, error TEXT);
CREATE TABLE router_state (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE sessions (group_folder TEXT PRIMARY KEY, session_id TEXT NOT NULL);
CREATE TABLE registered_groups (jid TEXT PRIMARY KEY, name TEXT NOT NULL, folder TEXT NOT NULL UNIQUE,
  trigger_pattern TEXT NOT NULL, added_at TEXT NOT NULL, container_config TEXT, requires_trigger INTEGER DEFAULT 1,
  is_main INTEGER DEFAULT 0);

INSERT INTO chats VALUES ('tg:100', 'Me', '2026-01-02T10:00:00.000Z', 'telegram', 0), ('tg:-200', 'Family', '', 'telegram', 1),
  ('tg:555', 'Eve', '', 'telegram', 0);
INSERT INTO registered_groups VALUES
  ('tg:100', 'Me', 'main', '@Andy', '2026-01-01T00:00:00.000Z', NULL, 0, 1),
  ('tg:-200', 'Family', 'telegram_Family', '@Andy', '2026-01-01T00:00:00.000Z', '{"additionalMounts":[]}', 1, 0),
  ('120363@g.us', 'Club', 'whatsapp_club', '@Andy', '2026-01-01T00:00:00.000Z', NULL, 1, 0);
INSERT INTO messages VALUES
  ('1', 'tg:100', '100', 'Ann', 'what about the zebra?', '2026-01-02T10:00:00.000Z', 0, 0),
  ('2', 'tg:100', 'bot', 'Andy', 'it has stripes', '2026-01-02T10:00:05.000Z', 1, 1),
  ('1', 'tg:-200', '7', 'Bob', '@Andy hello', '2026-01-02T11:00:00.000Z', 0, 0),
  ('9', 'tg:555', '8', 'Eve', 'of a chat that was let go', '2026-01-02T11:00:00.000Z', 0, 0);
INSERT INTO scheduled_tasks VALUES
  ('task-1', 'main', 'tg:100', 'the news', 'cron', '0 9 * * *', NULL, NULL, NULL, 'active', '2026-01-01T00:00:00.000Z', 'group', NULL),
  ('task-2', 'telegram_Family', 'tg:-200', 'water the plants', 'interval', '7200000', NULL, NULL, NULL, 'active', '2026-01-01T00:00:00.000Z', 'isolated', NULL),
  ('task-3', 'main', 'tg:100', 'long ago', 'once', '2026-01-01T09:00:00', NULL, NULL, NULL, 'active', '2026-01-01T00:00:00.000Z', 'group', NULL),
  ('task-4', 'main', 'tg:100', 'only sometimes', 'cron', '0 8 * * *', NULL, NULL, NULL, 'active', '2026-01-01T00:00:00.000Z', 'group', 'echo {}'),
  ('task-5', 'main', 'tg:100', 'over', 'once', '2025-01-01T09:00:00', NULL, NULL, NULL, 'completed', '2025-01-01T00:00:00.000Z', 'group', NULL);
INSERT INTO sessions VALUES ('main', '3f0c');
