//! What routing needs to know, kept in memory: groups, bindings, who was let in, who has which role.
//!
//! The store is the truth; this is read anew after each change.

use std::{collections::HashMap, sync::Arc};

use ngb_core::{
    address::{Account, ChannelKind, Jid, Place},
    group::{Binding, FolderName, Group},
    id::{GroupId, UserId},
    role::Role,
    route::Access,
};
use ngb_store::{Person, Registry, Store, StoreError};
use tokio::sync::watch;

/// The sender id of whoever sits at this machine: the terminal and the local socket.
pub const LOCAL_SENDER: &str = "local";

/// The sender id, on our own channels, of a person who is logged in.
pub fn sender_of(user: UserId) -> String {
    format!("user:{user}")
}

/// Whether an account is a door of our own, which knows who comes through it.
pub(crate) fn is_ours(account: &Account) -> bool {
    matches!(account.channel(), ChannelKind::Web | ChannelKind::Terminal)
}

/// The current [`Snapshot`].
#[derive(Clone, Debug)]
pub struct Directory(Arc<Current>);

#[derive(Debug)]
struct Current {
    snapshot: watch::Sender<Arc<Snapshot>>,
    /// Held while it is read anew, so that what was read earlier never takes the place of what was read later.
    reading: tokio::sync::Mutex<()>,
}

/// All of it at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    groups: HashMap<GroupId, Group>,
    bindings: HashMap<Jid, Vec<Binding>>,
    access: HashMap<Jid, Access>,
    people: Vec<Person>,
    identities: HashMap<(Account, String), usize>,
}

impl Directory {
    pub async fn load(store: &Store) -> Result<Self, StoreError> {
        let snapshot = watch::Sender::new(Arc::new(Snapshot::new(store.registry().await?)));
        Ok(Self(Arc::new(Current { snapshot, reading: tokio::sync::Mutex::default() })))
    }

    pub async fn reload(&self, store: &Store) -> Result<(), StoreError> {
        let _reading = self.0.reading.lock().await;
        self.0.snapshot.send_replace(Arc::new(Snapshot::new(store.registry().await?)));
        Ok(())
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.snapshot.borrow().clone()
    }
}

impl Snapshot {
    pub fn new(registry: Registry) -> Self {
        let mut bindings: HashMap<Jid, Vec<Binding>> = HashMap::new();
        for binding in registry.bindings {
            bindings.entry(binding.place.jid.clone()).or_default().push(binding);
        }
        let mut identities = HashMap::new();
        for (at, person) in registry.people.iter().enumerate() {
            for (account, sender) in &person.identities {
                identities.insert((account.clone(), sender.clone()), at);
            }
        }
        Self {
            groups: registry.groups.into_iter().map(|it| (it.id, it)).collect(),
            bindings,
            access: registry.access.into_iter().collect(),
            people: registry.people,
            identities,
        }
    }

    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    pub fn group(&self, id: GroupId) -> Option<&Group> {
        self.groups.get(&id)
    }

    pub fn main_group(&self) -> Option<&Group> {
        self.groups.values().find(|it| it.is_main)
    }

    /// The bindings of a chat and its threads, the oldest first.
    pub fn bindings(&self, jid: &Jid) -> &[Binding] {
        self.bindings.get(jid).map_or(&[], Vec::as_slice)
    }

    /// The binding that a command in `place` is about: of the group that it names, or else the first, those of the thread
    /// before those of the whole chat.
    pub fn about(&self, place: &Place, name: &str) -> Option<&Binding> {
        let here = |it: &&Binding| it.place == *place || (it.place.thread.is_none());
        let named = |it: &&Binding| {
            self.group(it.group).is_some_and(|it| it.name.as_str().eq_ignore_ascii_case(name))
        };
        let mut fits: Vec<&Binding> = self.bindings(&place.jid).iter().filter(here).collect();
        fits.sort_by_key(|it| it.place.thread.is_none());
        fits.iter().copied().find(named).or_else(|| fits.first().copied())
    }

    /// The binding by which a place belongs to a group, one of the thread before one of the whole chat.
    pub fn binding(&self, group: GroupId, place: &Place) -> Option<&Binding> {
        let fits =
            |it: &&Binding| it.group == group && (it.place == *place || it.place.thread.is_none());
        self.bindings(&place.jid).iter().filter(fits).max_by_key(|it| it.place == *place)
    }

    /// Every binding of a group.
    pub fn bindings_of(&self, group: GroupId) -> impl Iterator<Item = &Binding> {
        self.bindings.values().flatten().filter(move |it| it.group == group)
    }

    /// Whether a chat was let in. Our own doors check who comes through them, so their chats always are.
    pub fn access(&self, jid: &Jid) -> Access {
        match jid.channel() {
            ChannelKind::Web | ChannelKind::Terminal => Access::Approved,
            _ => self.access.get(jid).copied().unwrap_or(Access::Unknown),
        }
    }

    /// The roles of a sender: for the whole gateway (no group), and for single groups.
    pub fn roles(&self, account: &Account, sender: &str) -> Vec<(Option<GroupId>, Role)> {
        if is_ours(account) && sender == LOCAL_SENDER {
            return vec![(None, Role::Owner)];
        }
        self.sender(account, sender).map(|it| it.roles.clone()).unwrap_or_default()
    }

    /// The person that a sender is known to be.
    pub fn sender(&self, account: &Account, sender: &str) -> Option<&Person> {
        if is_ours(account) {
            return self.people.iter().find(|it| sender_of(it.user) == sender);
        }
        let key = (account.clone(), sender.to_owned());
        self.identities.get(&key).and_then(|at| self.people.get(*at))
    }

    pub fn people(&self) -> &[Person] {
        &self.people
    }

    /// A person whom we know.
    pub fn person(&self, user: UserId) -> Option<&Person> {
        self.people.iter().find(|it| it.user == user)
    }

    /// The first person who owns the whole gateway.
    pub fn owner(&self) -> Option<UserId> {
        let owns = |it: &&Person| it.roles.contains(&(None, Role::Owner));
        self.people.iter().find(owns).map(|it| it.user)
    }

    /// `like` itself, or with the first number that makes it a folder no group has.
    pub fn free_folder(&self, like: &FolderName) -> FolderName {
        let taken = |name: &FolderName| self.groups.values().any(|it| it.folder == *name);
        if !taken(like) {
            return like.clone();
        }
        (2..)
            .map(|n| FolderName::like(&format!("{:.50}-{n}", like.as_str())))
            .find(|it| !taken(it))
            .expect("there are more numbers than groups")
    }
}
