//! The one writer of a database: it takes all commands that wait, runs them in one transaction, commits, then answers.
//!
//! A command that is alone is committed at once. When a batch fails, its commands run one by one, so that a bad one costs
//! itself only; when the database itself is the trouble (a full disk, a lock), each gets that error and nothing is half done.

use std::sync::Arc;

use futures::BoxFuture;
use ngb_core::{
    clock::{Clock, Timestamp},
    failpoint::reach,
};
use tokio::sync::{mpsc, oneshot};

use crate::{
    Accept, AcceptDone, DatabaseError, Finish, Finished, NewDecision, OutboxItem, Recorded, Settle,
    StoreError,
    checkpoint::Commits,
    db::Tx,
    error::{chain, is_full, is_trouble},
    intake,
    notes::Notes,
    outbox,
    reserve::Reserve,
    runs,
};

/// The one type of future that commands come in.
pub(crate) mod futures {
    use std::pin::Pin;
    pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
}

/// Commands in one transaction.
const MAX_BATCH: usize = 512;

/// Arrivals in one transaction: so long that the statements don't count, so short that nobody waits for them.
const MAX_ARRIVALS: usize = 1_000;

pub(crate) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the writer is asked to do.
pub(crate) enum Command {
    Accept(Accept, Answer<AcceptDone>),
    Finish(Box<Finish>, Answer<Finished>),
    Settle(Vec<Settle>, Answer<Vec<OutboxItem>>),
    One(Box<dyn One>),
    /// Notes wait that no other command took along.
    WriteNotes,
    /// The log was moved into the database but for what came meanwhile: with that it begins anew.
    RestartLog,
    Close(oneshot::Sender<()>),
}

/// A write of any other kind.
pub(crate) trait One: Send {
    /// May run again in a transaction of its own when the first one failed.
    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, Result<(), StoreError>>;
    /// `Ok` once what `run` did is durable.
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);
}

/// How a write is written: a function of the transaction and its arguments.
pub(crate) type Run<A, T> = for<'a> fn(&'a mut Tx, &'a A) -> BoxFuture<'a, Result<T, StoreError>>;

/// A [`One`] made of a [`Run`].
pub(crate) struct Write<A, T> {
    pub(crate) run: Run<A, T>,
    pub(crate) arguments: A,
    pub(crate) result: Option<T>,
    pub(crate) to: Answer<T>,
}

impl<A: Send + Sync, T: Send> One for Write<A, T> {
    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.result = Some((self.run)(tx, &self.arguments).await?);
            Ok(())
        })
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Self { result, to, .. } = *self;
        tell(to, outcome.and_then(|()| result.ok_or(StoreError::Closed)));
    }
}

/// Whoever asked may have gone; what was written stays written.
fn tell<T>(to: Answer<T>, result: Result<T, StoreError>) {
    if to.send(result).is_err() {
        tracing::trace!("nobody waits for the answer to a write");
    }
}

/// The task itself.
pub(crate) struct Writer {
    pub(crate) tx: Tx,
    pub(crate) clock: Clock,
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    pub(crate) notes: Arc<Notes>,
    pub(crate) commits: Arc<Commits>,
    /// What is given up when the disk is full; none where the disk is not ours.
    pub(crate) reserve: Option<Arc<Reserve>>,
}

/// The commands of one transaction, by kind.
#[derive(Default)]
struct Batch {
    ones: Vec<Box<dyn One>>,
    settles: Vec<(Vec<Settle>, Answer<Vec<OutboxItem>>)>,
    finishes: Vec<(Finish, Answer<Finished>)>,
    accepts: Vec<(Accept, Answer<AcceptDone>)>,
    notes: Vec<(Timestamp, NewDecision)>,
    restart_log: bool,
    close: Option<oneshot::Sender<()>>,
}

impl Batch {
    fn commands(&self) -> usize {
        self.ones.len() + self.settles.len() + self.finishes.len() + self.accepts.len()
    }

    fn is_full(&self) -> bool {
        let arrivals: usize = self.accepts.iter().map(|it| it.0.arrivals.len()).sum();
        MAX_BATCH <= self.commands() || MAX_ARRIVALS <= arrivals
    }

    fn push(&mut self, command: Command) {
        match command {
            Command::Accept(accept, to) => self.accepts.push((accept, to)),
            Command::Finish(finish, to) => self.finishes.push((*finish, to)),
            Command::Settle(settles, to) => self.settles.push((settles, to)),
            Command::One(one) => self.ones.push(one),
            Command::WriteNotes => (),
            Command::RestartLog => self.restart_log = true,
            Command::Close(to) => self.close = Some(to),
        }
    }
}

/// What a transaction gave, command by command.
#[derive(Default)]
struct Results {
    settles: Vec<Vec<OutboxItem>>,
    finishes: Vec<Result<Finished, StoreError>>,
    accepts: Vec<AcceptDone>,
}

impl Writer {
    /// Works until it is told to close or nobody is left who could ask.
    pub(crate) async fn work(mut self) {
        while let Some(mut batch) = self.next().await {
            let close = batch.close.take();
            let restart_log = batch.restart_log;
            if 0 < batch.commands() || !batch.notes.is_empty() {
                self.commit(batch).await;
            }
            // After the commit, which somebody waits for.
            if restart_log {
                self.tx.restart_log();
            }
            if let Some(to) = close {
                self.commands.close();
                self.tx.close().await;
                // Whoever closes may have gone.
                let _ = to.send(());
                return;
            }
        }
    }

    /// The commands that wait, and all notes.
    async fn next(&mut self) -> Option<Batch> {
        let mut batch = Batch::default();
        let first = self.commands.recv().await;
        let ended = first.is_none();
        first.into_iter().for_each(|it| batch.push(it));
        while !batch.is_full() && batch.close.is_none() {
            match self.commands.try_recv() {
                Ok(command) => batch.push(command),
                Err(_) => break,
            }
        }
        batch.notes = self.notes.take();
        // Those who noted something and left without closing have it written all the same.
        (!ended || !batch.notes.is_empty()).then_some(batch)
    }

    async fn commit(&mut self, mut batch: Batch) {
        match self.transact(&mut batch).await {
            Ok(results) => answer(batch, results),
            Err(err) if batch.commands() <= 1 && batch.notes.is_empty() => {
                self.fail(batch, err).await;
            }
            Err(err) if is_trouble(&err) => {
                tracing::warn!("{} writes failed: {}", batch.commands(), chain(&err));
                fail_all(batch, &err);
            }
            Err(err) => {
                tracing::debug!("a batch failed and runs one by one: {}", chain(&err));
                self.one_by_one(batch).await;
            }
        }
    }

    /// Runs a batch in one transaction, and on a full disk again in the room that was reserved.
    async fn transact(&mut self, batch: &mut Batch) -> Result<Results, StoreError> {
        let done = self.attempt(batch).await;
        match (&done, &self.reserve) {
            (Err(err), Some(reserve)) if is_full(err) && reserve.give_up(self.clock.now()) => {
                self.attempt(batch).await
            }
            _ => done,
        }
    }

    async fn attempt(&mut self, batch: &mut Batch) -> Result<Results, StoreError> {
        self.tx.begin(self.clock.now()).await?;
        match fill(&mut self.tx, batch).await {
            Ok(results) => {
                reach("before-commit");
                self.tx.commit().await?;
                reach("after-commit");
                self.commits.count();
                Ok(results)
            }
            Err(err) => {
                self.tx.rollback().await;
                Err(err)
            }
        }
    }

    async fn one_by_one(&mut self, batch: Batch) {
        let alone = |change: &dyn Fn(&mut Batch)| {
            let mut res = Batch::default();
            change(&mut res);
            res
        };
        let mut singles = Vec::new();
        for one in batch.ones {
            singles.push(Batch { ones: vec![one], ..Batch::default() });
        }
        for it in batch.settles {
            singles.push(Batch { settles: vec![it], ..Batch::default() });
        }
        for it in batch.finishes {
            singles.push(Batch { finishes: vec![it], ..Batch::default() });
        }
        for it in batch.accepts {
            singles.push(Batch { accepts: vec![it], ..Batch::default() });
        }
        singles.push(alone(&|it| it.notes.clone_from(&batch.notes)));
        for single in singles {
            if 0 < single.commands() || !single.notes.is_empty() {
                self.commit_alone(single).await;
            }
        }
    }

    async fn commit_alone(&mut self, mut batch: Batch) {
        match self.transact(&mut batch).await {
            Ok(results) => answer(batch, results),
            Err(err) => self.fail(batch, err).await,
        }
    }

    /// A single command failed. Arrivals are tried one by one, so that a bad one is refused and the others are stored.
    async fn fail(&mut self, mut batch: Batch, err: StoreError) {
        if let Some((accept, to)) = batch.accepts.pop() {
            if is_trouble(&err) {
                return tell(to, Err(err));
            }
            return tell(to, self.accept_singly(accept).await);
        }
        if !batch.notes.is_empty() {
            tracing::error!(
                "{} decisions could not be written: {}",
                batch.notes.len(),
                chain(&err)
            );
        }
        if let Some((_, to)) = batch.settles.pop() {
            tell(to, Err(err));
        } else if let Some((_, to)) = batch.finishes.pop() {
            tell(to, Err(err));
        } else if let Some(one) = batch.ones.pop() {
            one.answer(Err(err));
        }
    }
}

impl Writer {
    /// Stores arrivals one by one, after they failed together; one that the database can't hold is refused.
    async fn accept_singly(&mut self, accept: Accept) -> Result<AcceptDone, StoreError> {
        let Accept { arrivals, now, permits, lease_until } = accept;
        let mut res = AcceptDone::default();
        for arrival in arrivals {
            let permits = permits.saturating_sub(res.claims.len());
            let accept = Accept { arrivals: vec![arrival], now, permits, lease_until };
            // The answer is given for all of them together.
            let (to, _) = oneshot::channel();
            let mut single = Batch { accepts: vec![(accept, to)], ..Batch::default() };
            match self.transact(&mut single).await {
                Ok(results) => {
                    for mut done in results.accepts {
                        res.recorded.append(&mut done.recorded);
                        res.claims.append(&mut done.claims);
                        res.work.extend(done.work);
                    }
                }
                Err(err) if is_trouble(&err) => return Err(err),
                Err(err) => {
                    tracing::warn!("an event was refused: {}", chain(&err));
                    res.recorded.push(Recorded::Refused { why: chain(&err) });
                }
            }
        }
        Ok(res)
    }
}

/// Runs all of `batch` in `tx`.
async fn fill(tx: &mut Tx, batch: &mut Batch) -> Result<Results, StoreError> {
    let mut res = Results::default();
    for one in &mut batch.ones {
        one.run(tx).await?;
    }
    if !batch.finishes.is_empty() {
        let finishes: Vec<&Finish> = batch.finishes.iter().map(|it| &it.0).collect();
        res.finishes = runs::finish_all(tx, &finishes).await?;
    }
    if !batch.settles.is_empty() {
        let settles: Vec<&[Settle]> = batch.settles.iter().map(|it| it.0.as_slice()).collect();
        res.settles = outbox::settle_all(tx, &settles).await?;
    }
    if !batch.accepts.is_empty() {
        let accepts: Vec<&Accept> = batch.accepts.iter().map(|it| &it.0).collect();
        res.accepts = intake::accept_all(tx, &accepts).await?;
    }
    for (at, note) in &batch.notes {
        tx.decide_at(*at, note.clone());
    }
    Ok(res)
}

fn answer(batch: Batch, results: Results) {
    for one in batch.ones {
        one.answer(Ok(()));
    }
    for ((_, to), result) in batch.settles.into_iter().zip(results.settles) {
        tell(to, Ok(result));
    }
    for ((_, to), result) in batch.finishes.into_iter().zip(results.finishes) {
        tell(to, result);
    }
    for ((_, to), result) in batch.accepts.into_iter().zip(results.accepts) {
        tell(to, Ok(result));
    }
}

fn fail_all(batch: Batch, err: &StoreError) {
    let copy =
        || StoreError::Sql { doing: "commit a batch", source: DatabaseError::Batch(chain(err)) };
    if !batch.notes.is_empty() {
        tracing::error!("{} decisions could not be written: {}", batch.notes.len(), chain(err));
    }
    batch.ones.into_iter().for_each(|one| one.answer(Err(copy())));
    batch.settles.into_iter().for_each(|it| tell(it.1, Err(copy())));
    batch.finishes.into_iter().for_each(|it| tell(it.1, Err(copy())));
    batch.accepts.into_iter().for_each(|it| tell(it.1, Err(copy())));
}
