//! What to do with a message: a pure decision, with its reason.

use crate::{
    group::{Binding, Engage, Hearing, Senders},
    id::{BindingId, GroupId},
    message::{Addressed, ChatKind, Content, Inbound},
    queue::Queue,
    role::{Right, Role, role_in},
};

/// What is known about the chat and the sender when a message arrives.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The bindings of the place and of the chat around it, the oldest first.
    pub bindings: &'a [Binding],
    pub access: Access,
    /// The sender's own roles, if somebody gave any: for the whole gateway (no group), or for one group.
    pub roles: &'a [(Option<GroupId>, Role)],
    /// What happens with chats that nobody has approved.
    pub new_chats: NewChats,
    /// How often the sender, a bot, had an agent answer it in this chat within the last hour.
    pub bot_turns: u32,
}

/// Whether a chat was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Approved,
    /// Nobody decided yet.
    Unknown,
    /// Somebody said no.
    Denied,
}

impl Known<'_> {
    /// The sender's role in `group`: the higher of the gateway's and the group's own.
    fn role_in(&self, group: GroupId) -> Option<Role> {
        role_in(self.roles, group)
    }
}

impl Access {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Unknown => "unknown",
            Self::Denied => "denied",
        }
    }

    /// The access that [`Access::as_str`] names.
    pub fn parse(s: &str) -> Option<Self> {
        [Self::Approved, Self::Unknown, Self::Denied].into_iter().find(|it| it.as_str() == s)
    }
}

/// The setting `new_chats` of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NewChats {
    /// Offer a pairing code, which an operator approves.
    #[default]
    Ask,
    /// Say nothing.
    Ignore,
    /// Make a group for the chat.
    OwnGroup,
}

/// What to do with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Give it to an agent.
    Engage {
        binding: BindingId,
        group: GroupId,
        lane_key: String,
        role: Role,
        queue: Queue,
        why: &'static str,
    },
    /// Keep it as context for the next engaged message of that lane.
    Keep { group: GroupId, lane_key: String, why: &'static str },
    /// Nothing; the reason is for `why`.
    Drop { why: &'static str },
    /// Offer a pairing code, if none was offered lately.
    OfferPairing,
    /// Make a group for this chat, bind it, then route again.
    MakeGroup,
}

/// Decides about a new message. Total: any input has exactly one answer.
///
/// Several groups may be bound to one place: the first that the text names by its trigger has it, or else the first (by age)
/// that engages; those bound to the thread before those bound to the whole chat.
pub fn route(inbound: &Inbound, content: &Content, known: &Known<'_>) -> Route {
    if inbound.sender.is_bot && known.access != Access::Approved {
        return Route::Drop { why: "the sender is a bot, and nobody approved this chat" };
    }
    if content.text.trim().is_empty() && content.media.is_empty() {
        return Route::Drop { why: "it has neither text nor a file" };
    }
    match known.access {
        Access::Denied => return Route::Drop { why: "this chat was denied" },
        Access::Unknown => return unknown_chat(inbound, content, known),
        Access::Approved => (),
    }

    let fits = |it: &&Binding| match &it.place.thread {
        Some(_) => it.place == inbound.place,
        None => it.place.jid == inbound.place.jid,
    };
    let mut bindings: Vec<&Binding> = known.bindings.iter().filter(fits).collect();
    // What is said of a thread counts there instead of what is said of its chat.
    let own: Vec<GroupId> =
        bindings.iter().filter(|it| it.place.thread.is_some()).map(|it| it.group).collect();
    bindings.retain(|it| it.place.thread.is_some() || !own.contains(&it.group));
    bindings.sort_by_key(|it| it.place.thread.is_none());

    let heard: Vec<(&Binding, Heard)> =
        bindings.into_iter().map(|it| (it, hears(it, inbound, content, known))).collect();
    let of_thread = heard.partition_point(|it| it.0.place.thread.is_some());
    for level in [&heard[..of_thread], &heard[of_thread..]] {
        let named = level.iter().filter_map(|(it, heard)| match heard {
            Heard::Named { at, role } => Some((*at, *it, *role)),
            _ => None,
        });
        if let Some((_, binding, role)) = named.min_by_key(|it| it.0) {
            return engage(binding, inbound, role, "the text matches the trigger");
        }
        let engaged = level.iter().find_map(|(it, heard)| match heard {
            Heard::Engages { why, role } => Some((*it, *role, *why)),
            _ => None,
        });
        if let Some((binding, role, why)) = engaged {
            return engage(binding, inbound, role, why);
        }
    }
    let left = heard.into_iter().find_map(|(it, heard)| match heard {
        Heard::Refused { why } => Some(Route::Drop { why }),
        Heard::Quiet { why } => {
            let lane_key = it.scope.key(&inbound.place, &inbound.sender.id);
            Some(Route::Keep { group: it.group, lane_key, why })
        }
        Heard::Named { .. } | Heard::Engages { .. } => None,
    });
    left.unwrap_or(Route::Drop { why: "no group is bound to this chat" })
}

/// What one binding makes of a message.
#[derive(Clone, Copy, Debug)]
enum Heard {
    /// Its trigger matches, so many bytes from the start.
    Named {
        at: usize,
        role: Role,
    },
    Engages {
        why: &'static str,
        role: Role,
    },
    /// It is context.
    Quiet {
        why: &'static str,
    },
    /// Its sender has no say here.
    Refused {
        why: &'static str,
    },
}

fn engage(binding: &Binding, inbound: &Inbound, role: Role, why: &'static str) -> Route {
    Route::Engage {
        binding: binding.id,
        group: binding.group,
        lane_key: binding.scope.key(&inbound.place, &inbound.sender.id),
        role,
        queue: binding.queue,
        why,
    }
}

fn hears(binding: &Binding, inbound: &Inbound, content: &Content, known: &Known<'_>) -> Heard {
    let given = known.role_in(binding.group);
    if binding.senders == Senders::Known && given.is_none() {
        return Heard::Refused { why: "only known people may speak here" };
    }
    let role = given.unwrap_or(Role::Guest);
    if !role.may(Right::Speak) {
        return Heard::Refused { why: "the sender may only read" };
    }
    if inbound.sender.is_bot {
        match binding.exceptions.bots_per_hour {
            0 => return Heard::Refused { why: "the sender is a bot, and no bot is heard here" },
            most if most <= known.bot_turns => {
                let why = "this bot was answered as often within an hour as it may be here: it looks like a loop";
                return Heard::Refused { why };
            }
            _ => (),
        }
    }
    match binding.exceptions.senders.get(&inbound.sender.id) {
        Some(Hearing::Never) => return Heard::Quiet { why: "this sender is not heard here" },
        Some(Hearing::Always) => {
            return Heard::Engages { why: "whatever this sender writes is for the agent", role };
        }
        Some(Hearing::Mention) => return addressed(content, role),
        None => (),
    }
    match &binding.engage {
        Engage::Never => Heard::Quiet { why: "the agent only listens here" },
        Engage::Always => Heard::Engages { why: "every message here is for the agent", role },
        Engage::Mention => addressed(content, role),
        Engage::Trigger(trigger) => match trigger.finds(&content.text) {
            Some(at) => Heard::Named { at, role },
            None => addressed(content, role),
        },
    }
}

fn addressed(content: &Content, role: Role) -> Heard {
    let why = match content.addressed {
        Addressed::No => return Heard::Quiet { why: "nobody addressed the agent" },
        Addressed::Mention => "the bot was mentioned",
        Addressed::Reply => "it answers a message of the bot",
        Addressed::Direct => "it was written to the bot alone",
    };
    Heard::Engages { why, role }
}

fn unknown_chat(inbound: &Inbound, content: &Content, known: &Known<'_>) -> Route {
    match known.new_chats {
        NewChats::Ignore => {
            Route::Drop { why: "nobody approved this chat, and `new_chats` is `ignore`" }
        }
        NewChats::OwnGroup => Route::MakeGroup,
        NewChats::Ask => {
            let meant = inbound.chat.kind == ChatKind::Direct || content.addressed != Addressed::No;
            if meant {
                Route::OfferPairing
            } else {
                Route::Drop { why: "nobody approved this chat, and the bot was not addressed" }
            }
        }
    }
}

#[cfg(test)]
mod tests;
