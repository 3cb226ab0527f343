//! Which hosts a run may reach.

use ngb_core::{
    egress::{Rules, links},
    group::Group,
    role::Role,
};
use ngb_store::{JobKind, Work};

/// The group's hosts, and the addresses that somebody with a role wrote in the messages that are answered.
pub(crate) fn rules(group: &Group, work: &Work) -> Rules {
    let of_people = work.jobs.iter().filter(|it| Role::Guest < it.role);
    let links = of_people.flat_map(|it| match &it.kind {
        JobKind::Message(message) => {
            links(&message.content.text).map(str::to_owned).collect::<Vec<_>>()
        }
        _ => Vec::new(),
    });
    let limits = &group.limits;
    Rules { egress: limits.egress, hosts: limits.hosts.clone(), links: links.collect() }
}
