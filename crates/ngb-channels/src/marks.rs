//! Where the places of an account stand, so that an adapter can fetch what it missed before it goes on.

use std::{fmt, sync::Arc};

use futures_util::future::BoxFuture;
use ngb_core::{address::Place, clock::Timestamp};

use crate::NotAccepted;

/// Up to where what people wrote in a place is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub place: Place,
    /// When the newest message that is stored was written, by the platform's clock.
    pub sent_at: Timestamp,
}

type Read = dyn Fn() -> BoxFuture<'static, Result<Vec<Mark>, NotAccepted>> + Send + Sync;

/// Reads the marks of one account.
#[derive(Clone)]
pub struct Marks(Arc<Read>);

impl Marks {
    pub fn new<F>(read: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Vec<Mark>, NotAccepted>> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(read())))
    }

    pub(crate) async fn read(&self) -> Result<Vec<Mark>, NotAccepted> {
        (self.0)().await
    }
}

impl fmt::Debug for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Marks")
    }
}
