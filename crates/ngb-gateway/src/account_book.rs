//! The accounts of the settings: read anew, added and taken away while the gateway runs.

use ngb_core::{
    address::{Account, ChannelKind},
    secret::Secret,
};

use crate::{
    accounts::{Configured, Reloaded},
    answers::NotTaken,
    handle::{Gateway, HandleError},
};

/// Where the accounts are written down.
pub trait AccountBook: Send + Sync {
    /// In which ways an account of a platform is connected, the usual one first; none for our own doors.
    fn ways(&self, kind: ChannelKind) -> Vec<Way>;

    /// Every account.
    ///
    /// # Errors
    ///
    /// When the settings make no sense.
    fn read(&self) -> anyhow::Result<Vec<Configured>>;

    /// Writes a new account down, by its settings' names and values.
    ///
    /// # Errors
    ///
    /// When it is there already, or makes no sense; then nothing is written.
    fn add(&self, account: &Account, settings: &[(String, Secret)]) -> Result<(), NotTaken>;

    /// Takes an account away.
    ///
    /// # Errors
    ///
    /// When it is not there, or the file can't be written.
    fn remove(&self, account: &Account) -> Result<(), NotTaken>;
}

/// One way to connect an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// What it is, in a few words.
    pub says: &'static str,
    pub wants: Vec<Want>,
}

/// A setting that has to be filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    pub key: &'static str,
    /// Where it is found.
    pub help: &'static str,
    pub is_secret: bool,
}

impl Gateway {
    /// In which ways an account of a platform is connected.
    pub fn account_ways(&self, kind: ChannelKind) -> Vec<Way> {
        self.0.account_book.as_ref().map(|it| it.ways(kind)).unwrap_or_default()
    }

    /// Writes an account into the settings and connects it.
    ///
    /// # Errors
    ///
    /// [`HandleError::Account`] when it is not taken; then nothing changes.
    pub async fn add_account(
        &self,
        account: &Account,
        settings: &[(String, Secret)],
    ) -> Result<Reloaded, HandleError> {
        self.write_accounts(|book| book.add(account, settings)).await
    }

    /// Takes an account out of the settings and disconnects it; its messages and bindings stay.
    ///
    /// # Errors
    ///
    /// [`HandleError::Account`] when it is not taken away; then nothing changes.
    pub async fn remove_account(&self, account: &Account) -> Result<Reloaded, HandleError> {
        self.write_accounts(|book| book.remove(account)).await
    }

    async fn write_accounts(
        &self,
        change: impl FnOnce(&dyn AccountBook) -> Result<(), NotTaken>,
    ) -> Result<Reloaded, HandleError> {
        let Some(book) = &self.0.account_book else {
            let message = "this gateway lives only for one command and has no settings to write";
            return Err(HandleError::Account(NotTaken { message: message.to_owned(), hint: None }));
        };
        let alone = self.0.answers.changing_settings().await;
        change(&**book).map_err(HandleError::Account)?;
        drop(alone);
        self.reload_accounts().await
    }
}
