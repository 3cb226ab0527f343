//! Groups, the places bound to them, and the chats we know.

use ngb_core::{
    address::{Account, Jid, Place},
    group::{Binding, Engage, Exceptions, Group, Scope, Senders},
    id::{BindingId, GroupId, UserId},
    queue::Queue,
    role::Role,
    route::Access,
};

use crate::{
    ChatRow, GroupChange, NewBinding, NewBound, NewGroup, Person, Registry, Store, StoreError,
    db::Tx,
    schema::MAX_SLOTS,
    sql::{Row, row, sql, thread, to_json},
};

/// `max_parallel` as the database keeps it.
fn slots(limits: &ngb_core::group::Limits) -> i64 {
    i64::from(limits.max_parallel).clamp(1, MAX_SLOTS)
}

async fn add(tx: &mut Tx, it: &NewGroup) -> Result<GroupId, StoreError> {
    let text =
        "INSERT INTO groups (name, folder, is_main, limits, max_parallel, home_node, created_at)
                VALUES {values} ON CONFLICT DO NOTHING RETURNING id";
    let node = tx.node.clone();
    let values = row![
        it.name.as_str(),
        it.folder.as_str(),
        it.is_main,
        to_json(&it.limits)?,
        slots(&it.limits),
        &*node,
        tx.now,
    ];
    let made = tx.rows_many(sql("add a group", text), vec![values]).await?;
    if let Some(row) = made.first() {
        return Ok(GroupId(row.int("id")?));
    }
    let text = "SELECT count(*) AS n FROM groups WHERE name = $1 AND removed_at IS NULL";
    let row = tx.row(sql("look for a group", text).bind(it.name.as_str())).await?;
    Err(match row.map_or(Ok(0), |it| it.int("n"))? {
        0 => StoreError::Taken { what: "group folder", name: it.folder.to_string() },
        _ => StoreError::Taken { what: "group", name: it.name.to_string() },
    })
}

/// Makes a group where there is none of its name, and binds places to it, whose chats count as approved from then on.
pub(crate) async fn register(
    tx: &mut Tx,
    new: &NewGroup,
    bound: &[NewBound],
) -> Result<GroupId, StoreError> {
    let text = "SELECT id FROM groups WHERE name = $1 AND removed_at IS NULL";
    let there = tx.row(sql("look for a group", text).bind(new.name.as_str())).await?;
    let id = match there {
        Some(row) => GroupId(row.int("id")?),
        None => add(tx, new).await?,
    };
    for it in bound {
        let binding = NewBinding {
            group: id,
            place: it.place.clone(),
            engage: it.engage.clone(),
            scope: Scope::default(),
            senders: Senders::default(),
            queue: Queue::default(),
            exceptions: Exceptions::default(),
        };
        bind(tx, &binding).await?;
        set_access(tx, &(it.place.jid.clone(), Access::Approved)).await?;
    }
    Ok(id)
}

fn no_group(id: GroupId) -> StoreError {
    StoreError::NotFound { what: "group", name: id.to_string() }
}

async fn change(tx: &mut Tx, (id, it): &(GroupId, GroupChange)) -> Result<(), StoreError> {
    if let Some(name) = &it.name {
        let text = "UPDATE groups SET name = $2 WHERE id = $1 AND removed_at IS NULL AND NOT EXISTS (
                        SELECT 1 FROM groups o WHERE o.name = $2 AND o.removed_at IS NULL AND o.id <> $1)";
        if tx.run(sql("rename a group", text).bind(*id).bind(name.as_str())).await? == 0 {
            let text = "SELECT id FROM groups WHERE id = $1 AND removed_at IS NULL";
            tx.row(sql("look for a group", text).bind(*id)).await?.ok_or_else(|| no_group(*id))?;
            return Err(StoreError::Taken { what: "group", name: name.to_string() });
        }
    }
    if let Some(limits) = &it.limits {
        let text =
            "UPDATE groups SET limits = $2, max_parallel = $3 WHERE id = $1 AND removed_at IS NULL";
        let query = sql("limit a group", text).bind(*id).bind(to_json(limits)?).bind(slots(limits));
        if tx.run(query).await? == 0 {
            return Err(no_group(*id));
        }
    }
    match it.paused {
        Some(paused) => pause(tx, *id, paused).await,
        None => Ok(()),
    }
}

/// Has a group's agent rest, or go on. A rest that goes on keeps the time when it began.
pub(crate) async fn pause(tx: &mut Tx, id: GroupId, paused: bool) -> Result<(), StoreError> {
    let text =
        "UPDATE groups SET paused_at = CASE WHEN $2 = 1 THEN coalesce(paused_at, $3) ELSE NULL END
                WHERE id = $1 AND removed_at IS NULL";
    match tx.run(sql("pause a group", text).bind(id).bind(paused).bind(tx.now)).await? {
        0 => Err(no_group(id)),
        _ => Ok(()),
    }
}

async fn remove(tx: &mut Tx, id: &GroupId) -> Result<(), StoreError> {
    let text = "UPDATE groups SET removed_at = $2 WHERE id = $1 AND removed_at IS NULL";
    if tx.run(sql("remove a group", text).bind(*id).bind(tx.now)).await? == 0 {
        return Err(no_group(*id));
    }
    let text = "DELETE FROM bindings WHERE group_id = $1";
    tx.run(sql("unbind a group", text).bind(*id)).await?;
    let text = "UPDATE jobs SET state = 'cancelled', ended_at = $2, error = 'the group was removed'
                WHERE group_id = $1 AND state IN ('queued', 'held') AND lane_id IN (SELECT id FROM lanes WHERE group_id = $1)";
    tx.run(sql("cancel a group's jobs", text).bind(*id).bind(tx.now)).await?;
    let text = "UPDATE lanes SET due_at = NULL WHERE group_id = $1";
    tx.run(sql("empty a group's lanes", text).bind(*id)).await.map(drop)
}

async fn bind(tx: &mut Tx, it: &NewBinding) -> Result<BindingId, StoreError> {
    let text = "SELECT id FROM groups WHERE id = $1 AND removed_at IS NULL";
    tx.row(sql("look for a group", text).bind(it.group))
        .await?
        .ok_or_else(|| no_group(it.group))?;
    let (engage, pattern) = it.engage.as_parts();
    let text = "INSERT INTO bindings (group_id, jid, thread, engage, pattern, scope, senders, queue, exceptions,
                    created_at) VALUES {values}
                ON CONFLICT (jid, thread, group_id) DO UPDATE SET engage = excluded.engage,
                    pattern = excluded.pattern, scope = excluded.scope, senders = excluded.senders,
                    queue = excluded.queue, exceptions = excluded.exceptions
                RETURNING id";
    let values = row![
        it.group,
        it.place.jid.to_string(),
        thread(&it.place),
        engage,
        pattern,
        it.scope.as_str(),
        it.senders.as_str(),
        to_json(&it.queue)?,
        to_json(&it.exceptions)?,
        tx.now,
    ];
    let made = tx.rows_many(sql("bind a place", text), vec![values]).await?;
    made.first().map_or_else(|| Err(no_group(it.group)), |it| it.int("id").map(BindingId))
}

async fn unbind(tx: &mut Tx, (place, group): &(Place, GroupId)) -> Result<(), StoreError> {
    let text = "DELETE FROM bindings WHERE jid = $1 AND thread = $2 AND group_id = $3";
    let query = sql("unbind a place", text).bind(place.jid.to_string()).bind(thread(place));
    match tx.run(query.bind(*group)).await? {
        0 => Err(StoreError::NotFound { what: "binding of", name: place.to_string() }),
        _ => Ok(()),
    }
}

/// Writes what somebody decided about a chat.
pub(crate) async fn set_access(
    tx: &mut Tx,
    (jid, access): &(Jid, Access),
) -> Result<(), StoreError> {
    let text = "INSERT INTO chats (jid, title, is_direct, access, last_seen_at) VALUES {values}
                ON CONFLICT (jid) DO UPDATE SET access = excluded.access";
    let values = row![jid.to_string(), "", false, access.as_str(), tx.now];
    tx.run_many(sql("decide about a chat", text), vec![values]).await
}

fn group(row: &Row) -> Result<Group, StoreError> {
    Ok(Group {
        id: GroupId(row.int("id")?),
        name: row.parsed("name")?,
        folder: row.parsed("folder")?,
        is_main: row.flag("is_main")?,
        paused: row.opt_int("paused_at")?.is_some(),
        limits: row.json("limits")?,
    })
}

fn binding(row: &Row) -> Result<Binding, StoreError> {
    let pattern = row.opt_text("pattern")?;
    Ok(Binding {
        id: BindingId(row.int("id")?),
        group: GroupId(row.int("group_id")?),
        place: row.place()?,
        engage: row.word("engage", |it| Engage::from_parts(it, pattern.as_deref()).ok())?,
        scope: row.word("scope", Scope::parse)?,
        senders: row.word("senders", Senders::parse)?,
        queue: match row.opt_text("queue")? {
            Some(_) => row.json("queue")?,
            None => Queue::default(),
        },
        exceptions: match row.opt_text("exceptions")? {
            Some(_) => row.json("exceptions")?,
            None => Exceptions::default(),
        },
    })
}

impl Store {
    pub async fn add_group(&self, group: NewGroup) -> Result<GroupId, StoreError> {
        self.write(group, |tx, it| Box::pin(add(tx, it))).await
    }

    pub async fn change_group(&self, id: GroupId, to: GroupChange) -> Result<(), StoreError> {
        self.write((id, to), |tx, it| Box::pin(change(tx, it))).await
    }

    /// Removes a group and its bindings; what was said stays, and name and folder are free again.
    pub async fn remove_group(&self, id: GroupId) -> Result<(), StoreError> {
        self.write(id, |tx, it| Box::pin(remove(tx, it))).await
    }

    /// Binds a place to a group; the same again changes the binding.
    pub async fn bind(&self, binding: NewBinding) -> Result<BindingId, StoreError> {
        self.write(binding, |tx, it| Box::pin(bind(tx, it))).await
    }

    pub async fn unbind(&self, place: &Place, group: GroupId) -> Result<(), StoreError> {
        self.write((place.clone(), group), |tx, it| Box::pin(unbind(tx, it))).await
    }

    pub async fn set_access(&self, jid: &Jid, access: Access) -> Result<(), StoreError> {
        self.write((jid.clone(), access), |tx, it| Box::pin(set_access(tx, it))).await
    }

    /// The chats that wrote last.
    pub async fn chats(&self, limit: u32) -> Result<Vec<ChatRow>, StoreError> {
        let text = "SELECT jid, title, is_direct, access, last_seen_at FROM chats
                    ORDER BY last_seen_at DESC LIMIT $1";
        let rows = self.rows(sql("read chats", text).bind(limit)).await?;
        let chat = |row: &Row| {
            Ok(ChatRow {
                jid: row.parsed("jid")?,
                title: row.text("title")?,
                is_direct: row.flag("is_direct")?,
                access: row.word("access", Access::parse)?,
                last_seen_at: row.time("last_seen_at")?,
            })
        };
        rows.iter().map(chat).collect()
    }

    /// All that routing needs to know.
    pub async fn registry(&self) -> Result<Registry, StoreError> {
        let text = "SELECT id, name, folder, is_main, paused_at, limits FROM groups WHERE removed_at IS NULL ORDER BY id";
        let groups = self.rows(sql("read groups", text)).await?;
        let text = "SELECT id, group_id, jid, thread, engage, pattern, scope, senders, queue, exceptions FROM bindings ORDER BY id";
        let bindings = self.rows(sql("read bindings", text)).await?;
        let text = "SELECT jid, access FROM chats WHERE access <> 'unknown'";
        let access = self.rows(sql("read who was let in", text)).await?;
        let decided = |row: &Row| Ok((row.parsed("jid")?, row.word("access", Access::parse)?));
        Ok(Registry {
            groups: groups.iter().map(group).collect::<Result<_, _>>()?,
            bindings: bindings.iter().map(binding).collect::<Result<_, _>>()?,
            access: access.iter().map(decided).collect::<Result<_, StoreError>>()?,
            people: self.people().await?,
        })
    }

    async fn people(&self) -> Result<Vec<Person>, StoreError> {
        let mut res: Vec<Person> = Vec::new();
        for row in self.rows(sql("read people", "SELECT id, name FROM people ORDER BY id")).await? {
            let (user, name) = (UserId(row.int("id")?), row.text("name")?);
            res.push(Person { user, name, identities: Vec::new(), roles: Vec::new() });
        }
        let find =
            |res: &mut Vec<Person>, user: i64| res.binary_search_by_key(&user, |it| it.user.0).ok();
        let text = "SELECT user_id, account, sender_id FROM identities";
        for row in self.rows(sql("read identities", text)).await? {
            if let Some(i) = find(&mut res, row.int("user_id")?) {
                let account: Account = row.parsed("account")?;
                res[i].identities.push((account, row.text("sender_id")?));
            }
        }
        let text = "SELECT user_id, group_id, role FROM roles ORDER BY group_id";
        for row in self.rows(sql("read roles", text)).await? {
            if let Some(i) = find(&mut res, row.int("user_id")?) {
                let group = row.int("group_id")?;
                let group = (group != 0).then_some(GroupId(group));
                res[i].roles.push((group, row.parsed::<Role>("role")?));
            }
        }
        Ok(res)
    }
}
