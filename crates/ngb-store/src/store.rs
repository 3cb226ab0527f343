//! The handle that everybody holds.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use ngb_core::{
    clock::{Clock, Timestamp},
    tasks::{Crew, blocking},
};
use tokio::sync::{Mutex, mpsc, oneshot, watch};

use crate::{
    Accept, AcceptDone, Finish, Finished, NewDecision, OutboxItem, Recorded, Settle, StoreError,
    checkpoint::{self, Commits},
    db::Readers,
    dialect::Dialect,
    migrate::{self, Opened, Opening},
    notes::Notes,
    reserve::{Disk, Reserve},
    schema::MIGRATIONS,
    sql::{Row, Sql},
    sqlite,
    writer::{Answer, Command, Run, Write, Writer},
};

/// How a database is opened.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// `sqlite:///path/db.sqlite` or `postgres://user:password@host/name`.
    pub url: String,
    /// Where an SQLite database is copied to before it is migrated.
    pub backups_dir: PathBuf,
    /// The name under which this process claims work.
    pub node: String,
    pub clock: Clock,
}

/// The database. Cheap to clone; all clones share one writer.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    commands: mpsc::UnboundedSender<Command>,
    notes: Arc<Notes>,
    readers: Readers,
    /// Of an SQLite database.
    file: Option<PathBuf>,
    clock: Clock,
    node: Arc<str>,
    tasks: Mutex<Crew>,
    disk: watch::Receiver<Disk>,
    /// Repeats since the process began.
    repeats: AtomicU64,
}

impl Store {
    /// Opens the database, makes it where there is none, and migrates it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Newer`] and [`StoreError::Damaged`] leave it as it was; so does a failed migration.
    pub async fn open(options: OpenOptions) -> Result<Self, StoreError> {
        let OpenOptions { url, backups_dir, node, clock } = options;
        let node: Arc<str> = node.into();
        let file = migrate::file(&url);
        let (now, migrations) = (clock.now(), MIGRATIONS);
        let opening = Opening { url, backups_dir, node: Arc::clone(&node), now, migrations };
        let Opened { tx, readers } = match &file {
            Some(_) => blocking("open the database", move || opening.open_here()).await?,
            None => opening.open().await?,
        };
        let (commands, inbox) = mpsc::unbounded_channel();
        let commits = Arc::new(Commits::default());
        let notes = Arc::new(Notes::default());
        let mut tasks = Crew::default();
        // On a server the disk is not ours: then nobody holds the other end, and it never changes.
        let (disk_tx, disk) = watch::channel(Disk::Roomy);
        let reserve = file.as_ref().map(|it| Arc::new(Reserve::of(it, disk_tx)));
        let writer = Writer {
            tx,
            clock: clock.clone(),
            commands: inbox,
            notes: Arc::clone(&notes),
            commits: Arc::clone(&commits),
            reserve: reserve.clone(),
        };
        let (noted, noting_clock, weak) = (Arc::clone(&notes), clock.clone(), commands.downgrade());
        tasks.spawn("store notes", async move { noted.work(noting_clock, weak).await });
        if let Some(reserve) = reserve {
            tasks.spawn("store reserve", reserve.keep(clock.clone()));
        }
        match file.clone() {
            Some(path) => {
                tasks.spawn_thread("store writer", writer.work());
                // What an earlier process left in the log is moved now.
                commits.nudge();
                let writer = commands.downgrade();
                tasks.spawn("store checkpoint", checkpoint::work(path, commits, writer));
            }
            None => tasks.spawn("store writer", writer.work()),
        }
        let (tasks, repeats) = (Mutex::new(tasks), AtomicU64::new(0));
        let inner = Inner { commands, notes, readers, file, clock, node, tasks, disk, repeats };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Writes what waits, then closes the database. Later calls get [`StoreError::Closed`].
    pub async fn close(&self) {
        self.inner.readers.close().await;
        let (to, done) = oneshot::channel();
        if self.inner.commands.send(Command::Close(to)).is_ok() && done.await.is_err() {
            tracing::debug!("the writer had ended already");
        }
        *self.inner.tasks.lock().await = Crew::default();
    }

    /// Moves SQLite's log into the database and empties its file, so that nothing removed is left in it. A log that
    /// somebody reads at that moment is tried again for a while.
    pub async fn cut_log(&self) -> Result<(), StoreError> {
        let Some(path) = self.inner.file.clone() else { return Ok(()) };
        let done =
            blocking("cut the log", move || sqlite::Connection::open(&path)?.checkpoint(true));
        done.await.map_err(|source| StoreError::Sql { doing: "cut the log", source })
    }

    pub fn is_sqlite(&self) -> bool {
        self.inner.readers.dialect() == Dialect::Sqlite
    }

    /// Stores a batch of arrivals and opens runs for lanes that are free: one transaction.
    ///
    /// # Errors
    ///
    /// When the database can't be written; then nothing of the batch is stored, and nothing may be acknowledged.
    pub async fn accept(&self, accept: Accept) -> Result<AcceptDone, StoreError> {
        let done = self.ask(|to| Command::Accept(accept, to)).await?;
        let repeats = done.recorded.iter().filter(|it| matches!(it, Recorded::Repeat { .. }));
        let repeats = u64::try_from(repeats.count()).unwrap_or(u64::MAX);
        self.inner.repeats.fetch_add(repeats, Ordering::Relaxed);
        Ok(done)
    }

    /// Ends a run, with its answer and all that follows: one transaction.
    ///
    /// # Errors
    ///
    /// [`StoreError::Fenced`] when the run no longer holds its lane; then nothing was written.
    pub async fn finish(&self, finish: Finish) -> Result<Finished, StoreError> {
        self.ask(|to| Command::Finish(Box::new(finish), to)).await
    }

    /// Notes what became of sends; returns the next items of the places that are free now.
    pub async fn settle(&self, settles: Vec<Settle>) -> Result<Vec<OutboxItem>, StoreError> {
        self.ask(|to| Command::Settle(settles, to)).await
    }

    /// Notes decisions; they are written with the next commit, and nobody waits.
    pub fn note(&self, decisions: Vec<NewDecision>) {
        let many = self.inner.notes.add(self.inner.clock.now(), decisions);
        let closed = if many {
            self.inner.commands.send(Command::WriteNotes).is_err()
        } else {
            self.inner.commands.is_closed()
        };
        if closed {
            tracing::warn!("decisions came after the store was closed");
        }
    }

    /// How it stands with the disk that the database is on.
    pub fn disk(&self) -> watch::Receiver<Disk> {
        self.inner.disk.clone()
    }

    /// Repeats that were dropped since the process began.
    pub(crate) fn repeats(&self) -> u64 {
        self.inner.repeats.load(Ordering::Relaxed)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    pub(crate) fn node(&self) -> &str {
        &self.inner.node
    }

    /// Runs `run` in the writer's next transaction.
    pub(crate) async fn write<A, T>(&self, arguments: A, run: Run<A, T>) -> Result<T, StoreError>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
    {
        self.ask(|to| Command::One(Box::new(Write { run, arguments, result: None, to }))).await
    }

    async fn ask<T>(&self, command: impl FnOnce(Answer<T>) -> Command) -> Result<T, StoreError> {
        let (to, answer) = oneshot::channel();
        self.inner.commands.send(command(to)).map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    pub(crate) async fn rows(&self, query: Sql) -> Result<Vec<Row>, StoreError> {
        self.inner.readers.rows(query).await
    }

    pub(crate) async fn row(&self, query: Sql) -> Result<Option<Row>, StoreError> {
        self.inner.readers.row(query).await
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("node", &self.node()).finish_non_exhaustive()
    }
}
