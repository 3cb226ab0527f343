//! Groups and what is bound to them.

use ngb_core::{
    address::{Account, ChannelKind, Place},
    egress::MAX_HOSTS,
    environment,
    group::{Engage, Exceptions, FolderName, Group, GroupName, Limits, Scope, Senders},
    id::{BindingId, GroupId},
    queue::Queue,
    route::Access,
    tasks::blocking,
};
use ngb_plugins::hook::{self, Event};
use ngb_store::NewGroup;

use super::{Bind, Gateway, HandleError};
use crate::{mounts, plugins::Of};

impl Gateway {
    /// Makes a group with its folder, and a chat on the page that belongs to it.
    pub async fn add_group(
        &self,
        name: &str,
        folder: Option<&str>,
        is_main: bool,
    ) -> Result<GroupId, HandleError> {
        let name: GroupName = name.parse()?;
        let folder = match folder {
            Some(it) => it.parse()?,
            None => self.0.directory.snapshot().free_folder(&FolderName::like(name.as_str())),
        };
        self.0
            .homes
            .make_group(&folder)
            .await
            .map_err(|source| HandleError::Folder { group: name.to_string(), source })?;
        let jid = Account::new(ChannelKind::Web, Account::DEFAULT_NAME)?.chat(folder.as_str())?;
        let new = NewGroup { name, folder, is_main, limits: Limits::default() };
        let group = self.0.store.add_group(new).await?;
        self.bind(Bind {
            place: jid.into(),
            group,
            engage: Engage::Always,
            scope: Scope::Thread,
            senders: Senders::Everyone,
            queue: Queue::default(),
            exceptions: Exceptions::default(),
        })
        .await?;
        self.tell_plugins(group, Event::GroupRegistered).await;
        Ok(group)
    }

    /// Tells plugins of a group that came or goes.
    async fn tell_plugins(&self, group: GroupId, event: fn(hook::Group) -> Event) {
        if self.0.plugins.chain().is_empty() {
            return;
        }
        let snapshot = self.0.directory.snapshot();
        let Some(name) = self.group_name(group) else { return };
        let places = snapshot.bindings_of(group).map(|it| it.place.clone()).collect();
        let event = event(hook::Group { name, places });
        self.0.ask_plugins(event, None, Of::default()).await;
    }

    /// The currency that costs are in.
    pub fn currency(&self) -> &str {
        &self.0.limits.prices.currency
    }

    pub async fn change_group(
        &self,
        group: GroupId,
        change: ngb_store::GroupChange,
    ) -> Result<(), HandleError> {
        if let Some(limits) = &change.limits {
            self.check_limits(group, limits).await?;
        }
        self.0.store.change_group(group, change).await?;
        self.changed().await?;
        // What waited for a group that rested is due.
        self.0.dispatcher.wake();
        Ok(())
    }

    /// Whether a group may have these limits, as far as that can be said before a run.
    async fn check_limits(&self, group: GroupId, limits: &Limits) -> Result<(), HandleError> {
        let refused = |message: String| HandleError::Limit { message, hint: None };
        environment::check(&limits.environment).map_err(|err| refused(err.to_string()))?;
        limits.toolbox().check().map_err(|err| refused(err.to_string()))?;
        self.0.answers.get().of(limits, &self.0).map_err(refused)?;
        if MAX_HOSTS < limits.hosts.len() {
            return Err(refused(format!("a group has at most {MAX_HOSTS} `hosts`")));
        }
        mounts::well_formed(&limits.mounts).map_err(refused)?;
        let found = self.0.directory.snapshot().group(group).cloned();
        let Some(found) = found else { return Err(HandleError::NoGroup(group.to_string())) };
        let changed = Group { limits: limits.clone(), ..found };
        let home = self.0.homes.home().to_owned();
        blocking("judge mounts", move || mounts::judge_all(&home, &changed)).await
    }

    /// Takes a group away. Its folder and those of its lanes are kept aside unless `purge`.
    pub async fn remove_group(&self, group: GroupId, purge: bool) -> Result<(), HandleError> {
        let found = self.0.directory.snapshot().group(group).cloned();
        let Some(found) = found else { return Err(HandleError::NoGroup(group.to_string())) };
        if found.is_main {
            return Err(HandleError::MainGroup);
        }
        self.tell_plugins(group, Event::GroupUnregistered).await;
        let lanes = self.0.store.lanes(group).await?.into_iter().map(|it| it.0).collect();
        self.0.store.remove_group(group).await?;
        self.changed().await?;
        self.0.dispatcher.end_group(group);
        self.0
            .homes
            .put_aside(&found.folder, lanes, purge, self.0.clock.now())
            .await
            .map_err(|source| HandleError::Folder { group: found.name.to_string(), source })
    }

    /// Binds a place to a group; the chat counts as approved from then on.
    pub async fn bind(&self, bind: Bind) -> Result<BindingId, HandleError> {
        let jid = bind.place.jid.clone();
        let new = ngb_store::NewBinding {
            group: bind.group,
            place: bind.place,
            engage: bind.engage,
            scope: bind.scope,
            senders: bind.senders,
            queue: bind.queue,
            exceptions: bind.exceptions,
        };
        let id = self.0.store.bind(new).await?;
        self.0.store.set_access(&jid, Access::Approved).await?;
        self.changed().await?;
        Ok(id)
    }

    pub async fn unbind(&self, place: &Place, group: GroupId) -> Result<(), HandleError> {
        self.0.store.unbind(place, group).await?;
        self.changed().await
    }
}
