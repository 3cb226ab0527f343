//! Steps of people: who comes, who has other roles or addresses, who goes.

use ngb_core::role::Role;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    document::{Document, Person},
    export::Now,
    plan::{MADE, Step, call, group_path},
};
use crate::{cli::BadArgument, client::escaped};

pub(super) fn plan(
    wanted: &Document,
    now: &Now,
    prune: bool,
    steps: &mut Vec<Step>,
) -> Result<(), BadArgument> {
    let mut met = vec![false; now.people.len()];
    for person in &wanted.people {
        for folder in person.groups.keys() {
            let is_there = |all: &Document| all.groups.iter().any(|it| it.folder == *folder);
            if !is_there(wanted) && !is_there(&now.document) {
                let why = format!(
                    "`{}` has a role in the group `{folder}`, which is not there",
                    person.name
                );
                return Err(BadArgument(why));
            }
        }
        match find(person, now, &met)? {
            Some(at) => {
                met[at] = true;
                change(person, &now.document.people[at], now.people[at], (now, prune), steps);
            }
            None => steps.push(come(person, now)?),
        }
    }
    for ((person, id), met) in now.document.people.iter().zip(&now.people).zip(met) {
        let has_role = person.role.is_some() || !person.groups.is_empty();
        // Whoever owns a home is not of the file's making, and somebody must.
        if !met && has_role && person.role != Some(Role::Owner) {
            let what = format!("person `{}`", person.name);
            steps.push(Step::surplus(what, prune, format!("/api/people/{id}"), None));
        }
    }
    Ok(())
}

/// Who of those that are there is meant: who has one of the addresses, else the only one of that name.
fn find(person: &Person, now: &Now, met: &[bool]) -> Result<Option<usize>, BadArgument> {
    let all = now.document.people.iter().enumerate().filter(|(at, _)| !met[*at]);
    // Two that have addresses, and none in common, are two.
    let may_be = |it: &Person| {
        person.addresses.is_empty() || it.addresses.is_empty() && it.role == person.role
    };
    let mut named = all.clone().filter(|(_, it)| it.name == person.name && may_be(it));
    let mut known =
        all.clone().filter(|(_, it)| it.addresses.iter().any(|it| person.addresses.contains(it)));
    if let Some((at, _)) = known.next() {
        return Ok(Some(at));
    }
    match (named.next(), named.next()) {
        (Some((at, _)), None) => Ok(Some(at)),
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(BadArgument(format!(
            "several people are called `{}`; give the one that is meant an address of theirs",
            person.name
        ))),
    }
}

/// Each role with where it counts, as the API takes them.
fn roles(person: &Person, now: &Now) -> Value {
    let wide = person.role.map(|role| json!({ "role": role }));
    let of_groups = person.groups.iter().map(|(folder, role)| {
        let path = group_path(folder, now);
        let name = path.rsplit('/').next().unwrap_or_default();
        let group = name.parse::<i64>().map_or_else(|_| Value::from(folder.as_str()), Value::from);
        json!({ "role": role, "group": group })
    });
    wide.into_iter().chain(of_groups).collect::<Vec<_>>().into()
}

fn come(person: &Person, now: &Now) -> Result<Step, BadArgument> {
    let of_groups = person.groups.values().copied().max();
    let Some(role) = person.role.or(of_groups) else {
        let why = format!("`{}` has no `role`, neither everywhere nor in a group", person.name);
        return Err(BadArgument(why));
    };
    // With the least first, and at once with what the file says.
    let body = json!({ "name": person.name, "role": Role::Viewer });
    let its = |rest: &str| format!("/api/people/{MADE}{rest}");
    let mut calls = vec![
        call(Method::POST, "/api/people", Some(body)),
        call(Method::PATCH, its(""), Some(json!({ "roles": roles(person, now) }))),
    ];
    let address =
        |it: &String| call(Method::POST, its("/addresses"), Some(json!({ "address": it })));
    calls.extend(person.addresses.iter().map(address));
    Ok(Step::new('+', format!("person `{}`: {role}", person.name), calls))
}

fn change(
    person: &Person,
    old: &Person,
    id: i64,
    (now, prune): (&Now, bool),
    steps: &mut Vec<Step>,
) {
    if (person.role, &person.groups) != (old.role, &old.groups) {
        let body = json!({ "roles": roles(person, now) });
        let what = format!("person `{}`: {} -> {}", person.name, said(old), said(person));
        steps.push(Step::new(
            '~',
            what,
            vec![call(Method::PATCH, format!("/api/people/{id}"), Some(body))],
        ));
    }
    let path = format!("/api/people/{id}/addresses");
    for address in person.addresses.iter().filter(|it| !old.addresses.contains(it)) {
        let add = call(Method::POST, path.clone(), Some(json!({ "address": address })));
        steps.push(Step::new('+', format!("address `{address}` of `{}`", person.name), vec![add]));
    }
    for address in old.addresses.iter().filter(|it| !person.addresses.contains(it)) {
        let what = format!("address `{address}` of `{}`", person.name);
        let path = format!("{path}?address={}", escaped(address));
        steps.push(Step::surplus(what, prune, path, None));
    }
}

fn said(it: &Person) -> String {
    let wide = it.role.map(|it| it.to_string());
    let of_groups = it.groups.iter().map(|(folder, role)| format!("{role} of `{folder}`"));
    let all: Vec<String> = wide.into_iter().chain(of_groups).collect();
    if all.is_empty() { "no role".to_owned() } else { all.join(", ") }
}
