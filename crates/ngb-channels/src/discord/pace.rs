//! How fast Discord may be asked: it names a budget with each answer, and we keep to it.
//!
//! <https://docs.discord.com/developers/topics/rate-limits>: a budget (a bucket) belongs to one or more routes, and to one
//! channel or server; beyond 10,000 refusals in ten minutes an address is shut out.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ngb_core::clock::Timestamp;
use reqwest::header::HeaderMap;

/// Most budgets that are remembered; then those that are full again are forgotten.
const MOST: usize = 5_000;

/// What a request counts for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Route {
    /// The method, and the path without ids.
    shape: String,
    /// The channel or server.
    major: String,
}

impl Route {
    /// The route of a path like `/channels/1/messages/2`.
    pub(super) fn of(method: &str, path: &str) -> Self {
        let mut shape = method.to_owned();
        let mut major = String::new();
        let path = path.split('?').next().unwrap_or_default();
        let mut before = "";
        for part in path.split('/').filter(|it| !it.is_empty()) {
            let is_id = part.bytes().all(|it| it.is_ascii_digit());
            if is_id && major.is_empty() && matches!(before, "channels" | "guilds") {
                part.clone_into(&mut major);
            }
            shape.push('/');
            // The token of an interaction is one of its kind.
            let is_token = before == ":interaction";
            shape += if is_id || is_token { ":" } else { part };
            before = if is_id && before == "interactions" { ":interaction" } else { part };
        }
        Self { shape, major }
    }
}

#[derive(Clone, Copy, Debug)]
struct Budget {
    limit: u32,
    left: u32,
    full_at: Timestamp,
}

/// All budgets, as far as they are known.
#[derive(Default)]
pub(super) struct Pace(Mutex<State>);

#[derive(Default)]
struct State {
    /// No request at all before.
    all_at: Timestamp,
    /// Discord's name for the budget of a shape.
    names: HashMap<String, String>,
    /// By Discord's name (the shape, until that is known) and the channel.
    budgets: HashMap<(String, String), Budget>,
}

impl State {
    fn key(&self, route: &Route) -> (String, String) {
        let name = self.names.get(&route.shape).unwrap_or(&route.shape);
        (name.clone(), route.major.clone())
    }
}

impl Pace {
    /// Takes one request out of its budget.
    ///
    /// # Errors
    ///
    /// How long to wait, when nothing is left.
    pub(super) fn take(&self, route: &Route, now: Timestamp) -> Result<(), Duration> {
        let mut state = self.lock();
        if now < state.all_at {
            return Err(state.all_at.since(now));
        }
        let key = state.key(route);
        let Some(budget) = state.budgets.get_mut(&key) else { return Ok(()) };
        if budget.full_at <= now {
            budget.left = budget.limit;
        }
        match budget.left.checked_sub(1) {
            Some(left) => budget.left = left,
            None => return Err(budget.full_at.since(now)),
        }
        Ok(())
    }

    /// Notes what an answer says of its budget.
    pub(super) fn learn(&self, route: &Route, headers: &HeaderMap, now: Timestamp) {
        let said = |name: &str| headers.get(name).and_then(|it| it.to_str().ok());
        let mut state = self.lock();
        if let Some(name) = said("x-ratelimit-bucket") {
            state.names.insert(route.shape.clone(), name.to_owned());
        }
        let number = |name: &str| said(name)?.parse::<u32>().ok();
        let wait = said("x-ratelimit-reset-after").and_then(|it| it.parse::<f64>().ok());
        let wait = wait.and_then(|it| Duration::try_from_secs_f64(it).ok());
        let (Some(left), Some(wait)) = (number("x-ratelimit-remaining"), wait) else { return };
        if MOST <= state.budgets.len() {
            state.budgets.retain(|_, it| now < it.full_at);
        }
        let limit = number("x-ratelimit-limit").unwrap_or(1).max(1);
        let full_at = now + wait;
        let key = state.key(route);
        let budget = state.budgets.entry(key).or_insert(Budget { limit, left, full_at });
        // Answers come in any order; within one stretch the least is right.
        let left = if full_at <= budget.full_at { left.min(budget.left) } else { left };
        *budget = Budget { limit, left, full_at: full_at.max(budget.full_at) };
    }

    /// Discord said that it was too much.
    pub(super) fn too_much(&self, route: &Route, wait: Duration, is_global: bool, now: Timestamp) {
        let mut state = self.lock();
        let at = now + wait;
        if is_global {
            state.all_at = state.all_at.max(at);
            return;
        }
        let key = state.key(route);
        let budget = state.budgets.entry(key).or_insert(Budget { limit: 1, left: 0, full_at: at });
        (budget.left, budget.full_at) = (0, budget.full_at.max(at));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn route_table() {
        #[rustfmt::skip]
        let table = [
            ("/channels/1/messages",                "X/channels/:/messages",       "1"),
            ("/channels/1/messages/2",              "X/channels/:/messages/:",     "1"),
            ("/channels/1/messages?after=5",        "X/channels/:/messages",       "1"),
            ("/applications/7/commands",            "X/applications/:/commands",   ""),
            ("/interactions/5/s3cret/callback",     "X/interactions/:/:/callback", ""),
            ("/gateway/bot",                        "X/gateway/bot",               ""),
        ];
        for (path, shape, major) in table {
            let got = Route::of("X", path);
            assert_eq!((got.shape.as_str(), got.major.as_str()), (shape, major), "{path}");
        }
    }

    fn headers(bucket: &'static str, limit: u32, left: u32, wait: &'static str) -> HeaderMap {
        let name = |name| HeaderName::from_static(name);
        HeaderMap::from_iter([
            (name("x-ratelimit-bucket"), HeaderValue::from_static(bucket)),
            (name("x-ratelimit-limit"), HeaderValue::from(limit)),
            (name("x-ratelimit-remaining"), HeaderValue::from(left)),
            (name("x-ratelimit-reset-after"), HeaderValue::from_static(wait)),
        ])
    }

    #[test]
    fn a_budget_is_kept_for_each_channel_and_shared_by_its_routes() {
        let pace = Pace::default();
        let second = Duration::from_secs(1);
        let now = Timestamp(1_000);
        let post = Route::of("POST", "/channels/1/messages");
        let file = Route::of("POST", "/channels/1/files");
        let other = Route::of("POST", "/channels/2/messages");
        assert_eq!(pace.take(&post, now), Ok(()), "nothing is known yet");
        pace.learn(&post, &headers("b", 5, 1, "1"), now);
        pace.learn(&file, &headers("b", 5, 1, "1"), now);
        assert_eq!(pace.take(&post, now), Ok(()));
        assert_eq!(pace.take(&file, now), Err(second), "one budget");
        assert_eq!(pace.take(&other, now), Ok(()), "of another channel");
        let later = now + second;
        assert_eq!(pace.take(&post, later), Ok(()), "it is full again");
        pace.too_much(&other, second * 2, false, later);
        assert_eq!(pace.take(&other, later), Err(second * 2));
        pace.too_much(&other, second * 9, true, later);
        assert_eq!(pace.take(&Route::of("GET", "/users/@me"), later), Err(second * 9));
    }
}
