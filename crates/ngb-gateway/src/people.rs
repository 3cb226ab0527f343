//! People: inviting them, what they may, and letting them go.

use ngb_core::{
    address::Account,
    id::{GroupId, UserId},
    role::Role,
};

use crate::handle::{Gateway, HandleError};

impl Gateway {
    /// Makes a person with these roles, each for the whole gateway (no group) or for one group.
    pub async fn add_person(
        &self,
        name: &str,
        roles: Vec<(Option<GroupId>, Role)>,
    ) -> Result<UserId, HandleError> {
        let user = self.store().add_person(name).await?;
        self.set_roles(user, roles).await?;
        Ok(user)
    }

    /// Gives a person exactly these roles; what they do from now on is judged by them.
    pub async fn set_roles(
        &self,
        user: UserId,
        roles: Vec<(Option<GroupId>, Role)>,
    ) -> Result<(), HandleError> {
        self.store().set_roles(user, roles).await?;
        self.changed().await
    }

    /// Says that a sender on an account is this person.
    pub async fn link(
        &self,
        user: UserId,
        account: &Account,
        sender: &str,
    ) -> Result<(), HandleError> {
        self.store().link(user, account, sender).await?;
        self.changed().await
    }

    /// Says so no more; false when it was not said.
    pub async fn unlink(
        &self,
        user: UserId,
        account: &Account,
        sender: &str,
    ) -> Result<bool, HandleError> {
        let found = self.store().unlink(user, account, sender).await?;
        self.changed().await?;
        Ok(found)
    }

    /// Takes every role of a person and ends their logins.
    pub async fn let_go(&self, user: UserId) -> Result<(), HandleError> {
        self.set_roles(user, Vec::new()).await?;
        self.store().end_sessions(user).await?;
        Ok(())
    }
}
