-- NanoGridBot in Python: store/messages.db
CREATE TABLE messages (id TEXT PRIMARY KEY, chat_jid TEXT NOT NULL, sender TEXT NOT NULL, sender_name TEXT, content TEXT NOT NULL,
  timestamp TEXT NOT NULL, is_from_me INTEGER NOT NULL DEFAULT 0, role TEXT NOT NULL DEFAULT 'user');
CREATE TABLE groups (jid TEXT PRIMARY KEY, name TEXT NOT NULL, folder TEXT NOT NULL, user_id INTEGER, trigger_pattern TEXT,
  container_config TEXT, requires_trigger INTEGER NOT NULL DEFAULT 1);
CREATE TABLE tasks (id INTEGER PRIMARY KEY AUTOINCREMENT, group_folder TEXT NOT NULL, prompt TEXT NOT NULL,
  schedule_type TEXT NOT NULL, schedule_value TEXT NOT NULL, status TEXT NOT NULL DEFAULT 'active', next_run TEXT,
  context_mode TEXT NOT NULL DEFAULT 'group', target_chat_jid TEXT);
CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, username TEXT UNIQUE NOT NULL, email TEXT UNIQUE,
  password_hash TEXT NOT NULL, role TEXT NOT NULL DEFAULT 'user');

INSERT INTO groups VALUES
  ('telegram:100', 'Team', 'team', NULL, '(?i)andy', NULL, 1),
  ('slack:C01', 'Team', 'team', NULL, NULL, NULL, 0);
INSERT INTO messages VALUES
  ('5', 'telegram:100', '7', 'Bob', 'andy, a giraffe?', '2026-01-02T10:00:00', 0, 'user'),
  ('6', 'slack:C01', 'bot', NULL, 'tall', '2026-01-02T10:00:05', 0, 'assistant');
INSERT INTO tasks (group_folder, prompt, schedule_type, schedule_value, target_chat_jid) VALUES
  ('team', 'stand up', 'interval', '3600', 'slack:C01'),
  ('team', 'sit down', 'interval', '2h', NULL),
  ('gone', 'nobody', 'interval', '2h', NULL);
INSERT INTO users (username, password_hash, role) VALUES ('root', 'x', 'owner');
