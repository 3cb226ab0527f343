//! One person on several accounts: a code that is shown in one chat and typed in another.

use ngb_core::{
    address::{Account, Place},
    clock::Timestamp,
    id::UserId,
    notice::{Lang, Notice},
};

use crate::{
    NewOutbox, Queued, Store, StoreError,
    db::Tx,
    outbox::{self, OutRow},
    sql::{Row, row, sql, thread},
};
use ngb_core::message::Outbound;

/// Whoever writes somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Speaker {
    pub account: Account,
    pub sender_id: String,
    pub name: String,
    pub place: Place,
    pub lang: Lang,
    /// Who they are, where one of our own doors says so. Of platforms the database knows.
    pub user: Option<UserId>,
}

impl Speaker {
    fn by(&self) -> String {
        self.account.person(&self.sender_id)
    }

    /// How the other side is told of them.
    fn shown(&self) -> String {
        format!("{} ({})", self.name, self.account)
    }
}

/// What came of a code that somebody typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Linked {
    /// They are one person now; the other side, and what it is told.
    Now { other: String, said: Vec<Queued> },
    /// They were already.
    Before { other: String },
    /// It was typed where it was shown.
    SameChat,
    /// Whoever typed it has roles, which nobody gets by having them type something.
    OtherWay,
    /// It is unknown, used, too old, or for somebody else.
    NoCode,
}

/// Which side of a link got its person by it, and loses it when the link is undone.
const SHOWN: &str = "shown";
const TYPED: &str = "typed";

struct Offer {
    code: String,
    by: Speaker,
    expires_at: Timestamp,
}

async fn offer(tx: &mut Tx, it: &Offer) -> Result<(), StoreError> {
    let text = "DELETE FROM links WHERE used_at IS NULL AND (expires_at <= $1 OR account = $2 AND sender_id = $3)";
    let query = sql("forget old codes", text).bind(tx.now).bind(it.by.account.to_string());
    tx.run(query.bind(&it.by.sender_id)).await?;
    let text = "INSERT INTO links (code, account, sender_id, sender_name, jid, thread, lang, door_user, expires_at)
                VALUES {values}";
    let values = row![
        &it.code,
        it.by.account.to_string(),
        &it.by.sender_id,
        &it.by.name,
        it.by.place.jid.to_string(),
        thread(&it.by.place),
        word(it.by.lang),
        it.by.user.map(|it| it.0),
        it.expires_at,
    ];
    tx.run_many(sql("offer a code", text), vec![values]).await
}

fn word(lang: Lang) -> &'static str {
    match lang {
        Lang::En => "en",
        Lang::Zh => "zh",
    }
}

/// The side of a row that the code was shown to, or typed by.
fn side(row: &Row, which: &str) -> Result<Speaker, StoreError> {
    let (account, sender, name, jid, thread, lang, user) = match which {
        SHOWN => ("account", "sender_id", "sender_name", "jid", "thread", "lang", "door_user"),
        _ => (
            "used_account",
            "used_sender",
            "used_name",
            "used_jid",
            "used_thread",
            "used_lang",
            "used_door_user",
        ),
    };
    let thread = row.text(thread)?;
    let jid = row.parsed(jid)?;
    Ok(Speaker {
        account: row.parsed(account)?,
        sender_id: row.text(sender)?,
        name: row.text(name)?,
        place: Place { jid, thread: (!thread.is_empty()).then(|| thread.into()) },
        lang: if row.text(lang)? == "zh" { Lang::Zh } else { Lang::En },
        user: row.opt_int(user)?.map(UserId),
    })
}

const SIDES: &str = "id, account, sender_id, sender_name, jid, thread, lang, door_user, used_account, used_sender, used_name,
    used_jid, used_thread, used_lang, used_door_user, user_id, joined, used_at";

async fn person_of(tx: &mut Tx, it: &Speaker) -> Result<Option<UserId>, StoreError> {
    if it.user.is_some() {
        return Ok(it.user);
    }
    let text = "SELECT user_id FROM identities WHERE account = $1 AND sender_id = $2";
    let query = sql("look for a person", text).bind(it.account.to_string()).bind(&it.sender_id);
    Ok(tx.row(query).await?.map(|it| it.int("user_id")).transpose()?.map(UserId))
}

async fn has_roles(tx: &mut Tx, user: UserId) -> Result<bool, StoreError> {
    let text = "SELECT count(*) AS n FROM roles WHERE user_id = $1";
    let row = tx.row(sql("count roles", text).bind(user)).await?;
    Ok(row.map_or(Ok(0), |it| it.int("n"))? != 0)
}

async fn is_person(tx: &mut Tx, it: &Speaker, user: UserId) -> Result<(), StoreError> {
    let text = "INSERT INTO identities (account, sender_id, user_id) VALUES {values}
                ON CONFLICT (account, sender_id) DO UPDATE SET user_id = excluded.user_id";
    let values = row![it.account.to_string(), &it.sender_id, user];
    tx.run_many(sql("link a person", text), vec![values]).await
}

async fn use_code(tx: &mut Tx, (code, by): &(String, Speaker)) -> Result<Linked, StoreError> {
    let text = format!(
        "SELECT {SIDES} FROM links WHERE code = $1 AND expires_at > $2 AND undone_at IS NULL"
    );
    let Some(found) = tx.row(sql("look for a code", text).bind(code).bind(tx.now)).await? else {
        return Ok(Linked::NoCode);
    };
    let shown = side(&found, SHOWN)?;
    if shown.by() == by.by() {
        return Ok(Linked::SameChat);
    }
    if found.opt_int("used_at")?.is_some() {
        // Whoever typed it may type it again; to a third person it is no code.
        let is_theirs = side(&found, TYPED)?.by() == by.by();
        return Ok(if is_theirs {
            Linked::Before { other: shown.shown() }
        } else {
            Linked::NoCode
        });
    }
    let (theirs, mine) = (person_of(tx, &shown).await?, person_of(tx, by).await?);
    let (user, joined) = match (theirs, mine) {
        (Some(a), Some(b)) if a == b => return Ok(Linked::Before { other: shown.shown() }),
        // Somebody else, who only saw the code.
        (Some(_), Some(_)) => return Ok(Linked::NoCode),
        (None, Some(b)) if has_roles(tx, b).await? => return Ok(Linked::OtherWay),
        (None, Some(b)) => (b, SHOWN),
        (Some(a), None) => (a, TYPED),
        (None, None) => {
            let text = "INSERT INTO people (name, created_at) VALUES ($1, $2) RETURNING id";
            let made = tx.row(sql("add a person", text).bind(&shown.name).bind(tx.now)).await?;
            let user = UserId(made.ok_or(StoreError::Closed)?.int("id")?);
            is_person(tx, &shown, user).await?;
            (user, TYPED)
        }
    };
    is_person(tx, if joined == TYPED { by } else { &shown }, user).await?;
    let text = "UPDATE links SET used_account = $2, used_sender = $3, used_name = $4, used_jid = $5, used_thread = $6,
                    used_lang = $7, used_door_user = $8, user_id = $9, joined = $10, used_at = $11 WHERE id = $1";
    let query = sql("use a code", text).bind(found.int("id")?).bind(by.account.to_string());
    let query = query.bind(&by.sender_id).bind(&by.name).bind(by.place.jid.to_string());
    let query = query.bind(thread(&by.place)).bind(word(by.lang)).bind(by.user.map(|it| it.0));
    tx.run(query.bind(user).bind(joined).bind(tx.now)).await?;
    audit(
        tx,
        &by.by(),
        "people linked",
        &format!("{} and {} are person {user}", shown.by(), by.by()),
    )
    .await?;
    let said = tell(tx, &shown, &Notice::Linked { other: by.shown() }).await?;
    Ok(Linked::Now { other: shown.shown(), said })
}

async fn audit(tx: &mut Tx, who: &str, what: &str, detail: &str) -> Result<(), StoreError> {
    let text = "INSERT INTO audit (at, who, what, detail) VALUES {values}";
    let values = row![tx.now, who, what, detail];
    tx.run_many(sql("write the audit log", text), vec![values]).await
}

async fn tell(tx: &mut Tx, to: &Speaker, notice: &Notice) -> Result<Vec<Queued>, StoreError> {
    let text = notice.say(to.lang, None);
    let item = Outbound::Text { text, reply_to: None, buttons: Vec::new() };
    let new = NewOutbox { place: to.place.clone(), item, about: None, job: None, live: false };
    outbox::queue(tx, &[OutRow::from(&new)]).await
}

async fn undo(tx: &mut Tx, by: &Speaker) -> Result<Option<(String, Vec<Queued>)>, StoreError> {
    let text = format!(
        "SELECT {SIDES} FROM links WHERE used_at IS NOT NULL AND undone_at IS NULL
         AND (account = $1 AND sender_id = $2 OR used_account = $1 AND used_sender = $2) ORDER BY id DESC LIMIT 1"
    );
    let query = sql("look for a link", text).bind(by.account.to_string()).bind(&by.sender_id);
    let Some(found) = tx.row(query).await? else { return Ok(None) };
    let (shown, typed) = (side(&found, SHOWN)?, side(&found, TYPED)?);
    let joined = if found.text("joined")? == SHOWN { &shown } else { &typed };
    let text = "DELETE FROM identities WHERE account = $1 AND sender_id = $2 AND user_id = $3";
    let query = sql("unlink a person", text).bind(joined.account.to_string());
    tx.run(query.bind(&joined.sender_id).bind(found.int("user_id")?)).await?;
    let text = "UPDATE links SET undone_at = $2 WHERE id = $1";
    tx.run(sql("undo a link", text).bind(found.int("id")?).bind(tx.now)).await?;
    let detail = format!("{} and {} are no longer one", shown.by(), typed.by());
    audit(tx, &by.by(), "people unlinked", &detail).await?;
    let other = if typed.by() == by.by() { &shown } else { &typed };
    let said = tell(tx, other, &Notice::Unlinked { other: by.shown() }).await?;
    Ok(Some((other.shown(), said)))
}

impl Store {
    /// Keeps a code that somebody was shown; the one that they were shown before is good no more.
    pub async fn offer_link(
        &self,
        code: &str,
        by: Speaker,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let it = Offer { code: code.to_owned(), by, expires_at };
        self.write(it, |tx, it| Box::pin(offer(tx, it))).await
    }

    /// Makes one person of whoever typed a code and whoever was shown it, and tells the latter.
    pub async fn use_link(&self, code: &str, by: Speaker) -> Result<Linked, StoreError> {
        self.write((code.to_owned(), by), |tx, it| Box::pin(use_code(tx, it))).await
    }

    /// Takes back the latest link that `by` is a side of; the other side, and what it is told.
    pub async fn undo_link(
        &self,
        by: Speaker,
    ) -> Result<Option<(String, Vec<Queued>)>, StoreError> {
        self.write(by, |tx, by| Box::pin(undo(tx, by))).await
    }

    /// Says no more that a sender on an account is this person; whether it was said.
    pub async fn unlink(
        &self,
        user: UserId,
        account: &Account,
        sender: &str,
    ) -> Result<bool, StoreError> {
        self.write((account.to_string(), sender.to_owned(), user), |tx, (account, sender, user)| {
            Box::pin(async move {
                let text =
                    "DELETE FROM identities WHERE account = $1 AND sender_id = $2 AND user_id = $3";
                let query = sql("unlink a person", text).bind(account).bind(sender).bind(*user);
                Ok(tx.run(query).await? != 0)
            })
        })
        .await
    }
}
