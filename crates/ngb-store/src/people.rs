//! People, their addresses and roles; their logins; the audit log; and small values under a name.

use ngb_core::{
    address::Account,
    clock::Timestamp,
    id::{GroupId, UserId},
    role::Role,
};

use crate::{
    AuditRow, Session, Store, StoreError,
    db::Tx,
    sql::{Row, row, sql},
};

const SESSION: &str = "SELECT s.user_id AS id, p.name, s.created_at, s.expires_at
     FROM sessions s JOIN people p ON p.id = s.user_id WHERE";

fn session(row: &Row) -> Result<Session, StoreError> {
    Ok(Session {
        user: UserId(row.int("id")?),
        name: row.text("name")?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
    })
}

async fn add_person(tx: &mut Tx, name: &String) -> Result<UserId, StoreError> {
    let text = "INSERT INTO people (name, created_at) VALUES ($1, $2) RETURNING id";
    let row = tx.row(sql("add a person", text).bind(name).bind(tx.now)).await?;
    row.map_or(Err(StoreError::Closed), |it| it.int("id").map(UserId))
}

async fn add_session(
    tx: &mut Tx,
    (hash, user, now, expires_at): &(String, UserId, Timestamp, Timestamp),
) -> Result<(), StoreError> {
    let text = "DELETE FROM sessions WHERE expires_at <= $1";
    tx.run(sql("forget old logins", text).bind(*now)).await?;
    let text = "INSERT INTO sessions (hash, user_id, created_at, expires_at) VALUES {values}";
    let values = row![hash, *user, *now, *expires_at];
    tx.run_many(sql("add a login", text), vec![values]).await
}

impl Store {
    pub async fn add_person(&self, name: &str) -> Result<UserId, StoreError> {
        self.write(name.to_owned(), |tx, it| Box::pin(add_person(tx, it))).await
    }

    /// Says that a sender on an account is this person.
    pub async fn link(
        &self,
        user: UserId,
        account: &Account,
        sender: &str,
    ) -> Result<(), StoreError> {
        let values = row![account.to_string(), sender, user];
        self.write(values, |tx, it| {
            Box::pin(async move {
                let text = "INSERT INTO identities (account, sender_id, user_id) VALUES {values}
                            ON CONFLICT (account, sender_id) DO UPDATE SET user_id = excluded.user_id";
                tx.run_many(sql("link a person", text), vec![it.clone()]).await
            })
        })
        .await
    }

    /// Gives a person a role for a group, or for the whole gateway; it takes the place of the one they had there.
    pub async fn grant(
        &self,
        user: UserId,
        group: Option<GroupId>,
        role: Role,
    ) -> Result<(), StoreError> {
        let values = row![user, group.map_or(0, |it| it.0), role.as_str()];
        self.write(values, |tx, it| {
            Box::pin(async move {
                let text = "INSERT INTO roles (user_id, group_id, role) VALUES {values}
                            ON CONFLICT (user_id, group_id) DO UPDATE SET role = excluded.role";
                tx.run_many(sql("give a role", text), vec![it.clone()]).await
            })
        })
        .await
    }

    /// Takes the role that a person has for a group, or for the whole gateway.
    pub async fn revoke(&self, user: UserId, group: Option<GroupId>) -> Result<(), StoreError> {
        self.write((user, group.map_or(0, |it| it.0)), |tx, (user, group)| {
            Box::pin(async move {
                let text = "DELETE FROM roles WHERE user_id = $1 AND group_id = $2";
                tx.run(sql("take a role", text).bind(*user).bind(*group)).await.map(drop)
            })
        })
        .await
    }

    /// The value under a name.
    pub async fn get(&self, key: &str) -> Result<Option<String>, StoreError> {
        let query = sql("read a value", "SELECT value FROM kv WHERE name = $1").bind(key);
        self.row(query).await?.map(|it| it.text("value")).transpose()
    }

    pub async fn put(&self, key: &str, value: &str) -> Result<(), StoreError> {
        self.write(row![key, value], |tx, it| {
            Box::pin(async move {
                let text = "INSERT INTO kv (name, value) VALUES {values}
                            ON CONFLICT (name) DO UPDATE SET value = excluded.value";
                tx.run_many(sql("write a value", text), vec![it.clone()]).await
            })
        })
        .await
    }

    /// Keeps the hash of a code that lets a person log in once.
    pub async fn add_login_code(
        &self,
        hash: &str,
        user: UserId,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(row![hash, user, expires_at], |tx, it| {
            Box::pin(async move {
                let text = "DELETE FROM login_codes WHERE expires_at < $1";
                tx.run(sql("forget old codes", text).bind(tx.now)).await?;
                let text = "INSERT INTO login_codes (hash, user_id, expires_at) VALUES {values}";
                tx.run_many(sql("add a login code", text), vec![it.clone()]).await
            })
        })
        .await
    }

    /// Whom the code lets in; it does so once.
    pub async fn use_login_code(
        &self,
        hash: &str,
        now: Timestamp,
    ) -> Result<Option<UserId>, StoreError> {
        self.write((hash.to_owned(), now), |tx, (hash, now)| {
            Box::pin(async move {
                let text = "UPDATE login_codes SET used_at = $2
                            WHERE hash = $1 AND used_at IS NULL AND expires_at > $2 RETURNING user_id";
                let row = tx.row(sql("use a login code", text).bind(hash).bind(*now)).await?;
                Ok(row.map(|it| it.opt_int("user_id")).transpose()?.flatten().map(UserId))
            })
        })
        .await
    }

    /// Keeps the hash of a login's token.
    pub async fn add_session(
        &self,
        hash: &str,
        user: UserId,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let it = (hash.to_owned(), user, now, expires_at);
        self.write(it, |tx, it| Box::pin(add_session(tx, it))).await
    }

    /// The login that a token's hash belongs to, while it lasts.
    pub async fn session(&self, hash: &str, now: Timestamp) -> Result<Option<Session>, StoreError> {
        let text = format!("{SESSION} s.hash = $1 AND s.expires_at > $2");
        let row = self.row(sql("read a login", text).bind(hash).bind(now)).await?;
        row.as_ref().map(session).transpose()
    }

    /// A person's logins, the newest first.
    pub async fn sessions(&self, user: UserId, now: Timestamp) -> Result<Vec<Session>, StoreError> {
        let text =
            format!("{SESSION} s.user_id = $1 AND s.expires_at > $2 ORDER BY s.created_at DESC");
        let rows = self.rows(sql("read logins", text).bind(user).bind(now)).await?;
        rows.iter().map(session).collect()
    }

    pub async fn end_session(&self, hash: &str) -> Result<(), StoreError> {
        self.write(hash.to_owned(), |tx, it| {
            Box::pin(async move {
                let query = sql("end a login", "DELETE FROM sessions WHERE hash = $1").bind(it);
                tx.run(query).await.map(drop)
            })
        })
        .await
    }

    /// Ends all logins of a person, and their codes.
    pub async fn end_sessions(&self, user: UserId) -> Result<(), StoreError> {
        self.write(user, |tx, it| {
            Box::pin(async move {
                let query =
                    sql("end codes", "DELETE FROM login_codes WHERE user_id = $1").bind(*it);
                tx.run(query).await?;
                let query = sql("end logins", "DELETE FROM sessions WHERE user_id = $1").bind(*it);
                tx.run(query).await.map(drop)
            })
        })
        .await
    }

    /// Gives a person exactly these roles.
    pub async fn set_roles(
        &self,
        user: UserId,
        roles: Vec<(Option<GroupId>, Role)>,
    ) -> Result<(), StoreError> {
        self.write((user, roles), |tx, (user, roles)| {
            Box::pin(async move {
                let query = sql("take roles", "DELETE FROM roles WHERE user_id = $1").bind(*user);
                tx.run(query).await?;
                let text = "INSERT INTO roles (user_id, group_id, role) VALUES {values}";
                let row = |(group, role): &(Option<GroupId>, Role)| {
                    row![*user, group.map_or(0, |it| it.0), role.as_str()]
                };
                let rows: Vec<_> = roles.iter().map(row).collect();
                if rows.is_empty() {
                    Ok(())
                } else {
                    tx.run_many(sql("give roles", text), rows).await
                }
            })
        })
        .await
    }

    /// Adds a line to the audit log.
    pub async fn audit(&self, who: &str, what: &str, detail: &str) -> Result<(), StoreError> {
        self.write(row![self.now(), who, what, detail], |tx, it| {
            Box::pin(async move {
                let text = "INSERT INTO audit (at, who, what, detail) VALUES {values}";
                tx.run_many(sql("write the audit log", text), vec![it.clone()]).await
            })
        })
        .await
    }

    /// The newest lines of the audit log.
    pub async fn audit_log(&self, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let text = "SELECT at, who, what, detail FROM audit ORDER BY id DESC LIMIT $1";
        let line = |row: &Row| {
            let (who, what) = (row.text("who")?, row.text("what")?);
            Ok(AuditRow { at: row.time("at")?, who, what, detail: row.text("detail")? })
        };
        self.rows(sql("read the audit log", text).bind(limit)).await?.iter().map(line).collect()
    }
}
