//! From what there is to what the file wants: the steps, each with the line that is shown of it.

use ngb_core::clock::Timestamp;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{
    document::{Binding, Document, Group, whole_limits},
    export::Now,
    people, tasks,
};
use crate::{cli::BadArgument, client::escaped};

/// Stands in a path for the number of what the step's first call made.
pub(super) const MADE: &str = "{made}";

/// One change, or something to be said.
#[derive(Debug)]
pub(crate) struct Step {
    /// `+` comes, `~` changes, `-` goes, `=` stays though the file does not name it, `!` can't be.
    sign: char,
    what: String,
    pub(super) calls: Vec<Call>,
}

#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: Option<Value>,
}

impl Step {
    pub(super) fn new(sign: char, what: impl Into<String>, calls: Vec<Call>) -> Self {
        Self { sign, what: what.into(), calls }
    }

    /// Whether it only says that something stays.
    pub(super) fn is_surplus(&self) -> bool {
        self.sign == '='
    }

    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.sign, self.what)
    }

    /// What the file does not name: it goes with `--prune`, and is said to stay without.
    pub(super) fn surplus(what: String, prune: bool, path: String, body: Option<Value>) -> Self {
        if prune {
            Self::new('-', what, vec![call(Method::DELETE, path, body)])
        } else {
            Self::new('=', format!("{what} is not in the file, and stays"), Vec::new())
        }
    }
}

pub(super) fn call(method: Method, path: impl Into<String>, body: Option<Value>) -> Call {
    Call { method, path: path.into(), body }
}

/// The steps from `now` to `wanted`, in an order in which each is possible.
pub(super) fn plan(
    wanted: &Document,
    now: &Now,
    zone: &str,
    at: Timestamp,
    prune: bool,
) -> Result<Vec<Step>, BadArgument> {
    let mut steps = Vec::new();
    for group in &wanted.groups {
        of_group(group, now, prune, &mut steps)?;
    }
    people::plan(wanted, now, prune, &mut steps)?;
    tasks::plan(wanted, now, (zone, at), prune, &mut steps)?;
    for (group, id) in now.document.groups.iter().zip(&now.groups) {
        // There is always a main group.
        let is_wanted = wanted.groups.iter().any(|it| it.folder == group.folder);
        if !is_wanted && group.folder != "main" {
            let what = format!("group `{}`", group.folder);
            steps.push(Step::surplus(what, prune, format!("/api/groups/{id}"), None));
        }
    }
    Ok(steps)
}

/// How the API is told which group is meant: its number, or, of one that is made on the way, its folder.
pub(super) fn group_path(folder: &str, now: &Now) -> String {
    let at = now.document.groups.iter().position(|it| it.folder == folder);
    match at.and_then(|at| now.groups.get(at)) {
        Some(id) => format!("/api/groups/{id}"),
        None => format!("/api/groups/{}", escaped(folder)),
    }
}

fn of_group(
    group: &Group,
    now: &Now,
    prune: bool,
    steps: &mut Vec<Step>,
) -> Result<(), BadArgument> {
    let path = group_path(&group.folder, now);
    let bad = |why| BadArgument(format!("group `{}`: {why}", group.name));
    let old = now.document.groups.iter().find(|it| it.folder == group.folder);
    let fresh =
        Group { folder: group.folder.clone(), name: group.name.clone(), ..Group::default() };
    if old.is_none() {
        let body = json!({ "name": group.name, "folder": group.folder });
        let made = vec![call(Method::POST, "/api/groups", Some(body))];
        steps.push(Step::new('+', format!("group `{}`", group.folder), made));
    }
    let before = old.unwrap_or(&fresh);
    let mut body = Map::new();
    let mut said = Vec::new();
    if before.name != group.name {
        body.insert("name".to_owned(), group.name.clone().into());
        said.push(format!("name {} -> {}", before.name, group.name));
    }
    if before.paused != group.paused {
        body.insert("paused".to_owned(), group.paused.into());
        said.push(format!("paused {} -> {}", before.paused, group.paused));
    }
    let (was, is) =
        (whole_limits(&before.limits).map_err(bad)?, whole_limits(&group.limits).map_err(bad)?);
    let changed: Map<String, Value> =
        is.into_iter().filter(|(name, value)| was.get(name) != Some(value)).collect();
    for (name, value) in &changed {
        said.push(format!("{name} {} -> {value}", was.get(name).unwrap_or(&Value::Null)));
    }
    if !changed.is_empty() {
        body.insert("limits".to_owned(), changed.into());
    }
    if !body.is_empty() {
        let what = format!("group `{}`: {}", group.folder, said.join(", "));
        steps.push(Step::new(
            '~',
            what,
            vec![call(Method::PATCH, path.clone(), Some(body.into()))],
        ));
    }
    bindings(group, before, &path, prune, steps);
    Ok(())
}

fn is_same_place(a: &Binding, b: &Binding) -> bool {
    (&a.jid, &a.thread) == (&b.jid, &b.thread)
}

fn bindings(group: &Group, before: &Group, path: &str, prune: bool, steps: &mut Vec<Step>) {
    let path = format!("{path}/bindings");
    // Every group has one to the page from the moment that it is made.
    let page = format!("web@main:{}", group.folder);
    for binding in &group.bindings {
        let old = before.bindings.iter().find(|it| is_same_place(it, binding));
        if old == Some(binding) {
            continue;
        }
        let is_new = old.is_none() && binding.jid != page;
        let as_made =
            Binding { jid: page.clone(), engage: "always".to_owned(), ..Binding::default() };
        if old.is_none() && *binding == as_made {
            continue;
        }
        let body = json!({
            "jid": binding.jid, "thread": binding.thread, "engage": binding.engage,
            "pattern": binding.pattern, "scope": binding.scope, "senders": binding.senders,
            "queue": binding.queue, "exceptions": binding.exceptions,
        });
        let what =
            format!("binding of `{}` to `{}`: {}", place(binding), group.folder, binding.engage);
        let calls = vec![call(Method::POST, path.clone(), Some(body))];
        steps.push(Step::new(if is_new { '+' } else { '~' }, what, calls));
    }
    for old in &before.bindings {
        let is_wanted = group.bindings.iter().any(|it| is_same_place(it, old));
        // The doors of our own are there in every home.
        let is_ours = old.jid.starts_with("web@") || old.jid.starts_with("terminal@");
        if !is_wanted && !is_ours {
            let what = format!("binding of `{}` to `{}`", place(old), group.folder);
            let body = json!({ "jid": old.jid, "thread": old.thread });
            steps.push(Step::surplus(what, prune, path.clone(), Some(body)));
        }
    }
}

fn place(it: &Binding) -> String {
    match &it.thread {
        Some(thread) => format!("{} thread {thread}", it.jid),
        None => it.jid.clone(),
    }
}
