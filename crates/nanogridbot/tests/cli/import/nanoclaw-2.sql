-- NanoClaw 2.0: data/v2.db
CREATE TABLE agent_groups (id TEXT PRIMARY KEY, name TEXT NOT NULL, folder TEXT NOT NULL UNIQUE, agent_provider TEXT,
  created_at TEXT NOT NULL);
CREATE TABLE messaging_groups (id TEXT PRIMARY KEY, channel_type TEXT NOT NULL, platform_id TEXT NOT NULL, name TEXT,
  is_group INTEGER DEFAULT 0, unknown_sender_policy TEXT NOT NULL DEFAULT 'strict', created_at TEXT NOT NULL, denied_at TEXT,
  UNIQUE(channel_type, platform_id));
CREATE TABLE messaging_group_agents (id TEXT PRIMARY KEY, messaging_group_id TEXT NOT NULL REFERENCES messaging_groups(id),
  agent_group_id TEXT NOT NULL REFERENCES agent_groups(id), session_mode TEXT DEFAULT 'shared', priority INTEGER DEFAULT 0,
  created_at TEXT NOT NULL, engage_mode TEXT, engage_pattern TEXT, sender_scope TEXT, ignored_message_policy TEXT,
  UNIQUE(messaging_group_id, agent_group_id));
CREATE TABLE users (id TEXT PRIMARY KEY, kind TEXT NOT NULL, display_name TEXT, created_at TEXT NOT NULL);
CREATE TABLE user_roles (user_id TEXT NOT NULL REFERENCES users(id), role TEXT NOT NULL,
  agent_group_id TEXT REFERENCES agent_groups(id), granted_by TEXT REFERENCES users(id), granted_at TEXT NOT NULL,
  PRIMARY KEY (user_id, role, agent_group_id));
CREATE TABLE agent_group_members (user_id TEXT NOT NULL REFERENCES users(id),
  agent_group_id TEXT NOT NULL REFERENCES agent_groups(id), added_by TEXT REFERENCES users(id), added_at TEXT NOT NULL,
  PRIMARY KEY (user_id, agent_group_id));
CREATE TABLE sessions (id TEXT PRIMARY KEY, agent_group_id TEXT NOT NULL REFERENCES agent_groups(id),
  messaging_group_id TEXT REFERENCES messaging_groups(id), thread_id TEXT, agent_provider TEXT, status TEXT DEFAULT 'active',
  container_status TEXT DEFAULT 'stopped', last_active TEXT, created_at TEXT NOT NULL);

INSERT INTO agent_groups VALUES ('ag-1', 'Family', 'dm-with-ann', NULL, '2026-04-27T02:00:49.927Z'),
  ('ag-2', 'Work', 'Work_Team', 'claude', '2026-04-27T02:00:49.927Z');
INSERT INTO messaging_groups VALUES
  ('mg-1', 'telegram', 'telegram:100', 'Ann', 0, 'strict', '2026-04-27T02:00:49.927Z', NULL),
  ('mg-2', 'slack', 'slack:C0B1', 'marketing', 1, 'request_approval', '2026-04-27T02:00:49.927Z', NULL),
  ('mg-3', 'discord', 'discord:77:99', NULL, 1, 'public', '2026-04-27T02:00:49.927Z', NULL),
  ('mg-4', 'imessage', 'imessage:x', NULL, 0, 'public', '2026-04-27T02:00:49.927Z', NULL);
INSERT INTO messaging_group_agents VALUES
  ('mga-1', 'mg-1', 'ag-1', 'shared', 0, '2026-04-27T02:00:49.927Z', 'pattern', '.', 'all', 'drop'),
  ('mga-2', 'mg-2', 'ag-2', 'per-thread', 0, '2026-04-27T02:00:49.927Z', 'mention-sticky', NULL, 'known', 'accumulate'),
  ('mga-3', 'mg-3', 'ag-2', 'agent-shared', 0, '2026-04-27T02:00:49.927Z', 'pattern', '(?<=a)b', 'all', 'drop');
INSERT INTO users VALUES ('telegram:100', 'telegram', 'Ann', '2026-04-27T02:00:49.927Z'),
  ('slack:U7', 'slack', 'Bob', '2026-04-27T02:00:49.927Z'), ('slack:U8', 'slack', 'Passer-by', '2026-04-27T02:00:49.927Z');
INSERT INTO user_roles VALUES ('telegram:100', 'owner', NULL, NULL, '2026-04-27T02:00:49.927Z'),
  ('slack:U7', 'admin', 'ag-2', 'telegram:100', '2026-04-27T02:00:49.927Z');
INSERT INTO agent_group_members VALUES ('slack:U7', 'ag-1', NULL, '2026-04-27T02:00:49.927Z');
INSERT INTO sessions VALUES ('sess-1', 'ag-1', 'mg-1', NULL, NULL, 'active', 'stopped', NULL, '2026-04-27T02:00:49.927Z');
