//! The table of routes: what there is, what right it wants, and what it does. The router, `/api/openapi.json` and the
//! check of `docs/api.md` all come from it.

use axum::{
    Router,
    extract::{Request, State},
    middleware::{from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{any, delete, get, patch, post},
};
use ngb_core::role::Right;
use schemars::SchemaGenerator;

use crate::{
    App, alerts, assets, channels, chats, dead,
    describe::{Described as _, Operation},
    door::{self, Door, Gate, Want},
    error::ApiError,
    events, groups, guard, health, hooks, imports, known_plugins, live, log, login, messages,
    model, openai, openapi, overview, people, plugins, prune, restored, sessions, simulate, status,
    tasks, usage,
};

/// One line of the table.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) want: Want,
    pub(crate) says: &'static str,
}

macro_rules! table {
    ($($method:ident $path:literal $want:expr, $handler:path, $says:literal;)+) => {
        pub(crate) const TABLE: &[Route] = &[$(
            Route { method: stringify!($method), path: $path, want: $want, says: $says }
        ),+];

        fn api(app: &App, door: Door) -> Router<App> {
            let gate = |want| from_fn_with_state(Gate { app: app.clone(), door, want }, door::check);
            Router::new()$(.route($path, $method($handler).route_layer(gate($want))))+
        }

        /// Tells of each route what its handler's types say.
        pub(crate) fn describe(
            schemas: &mut SchemaGenerator,
            mut tell: impl FnMut(&'static Route, Operation<'_>),
        ) {
            let mut table = TABLE.iter();
            $(if let Some(route) = table.next() {
                let names = route.path.split('/').filter_map(|it| it.strip_prefix('{')?.strip_suffix('}'));
                let mut it = Operation {
                    schemas: &mut *schemas,
                    names: names.collect(),
                    parameters: Vec::new(),
                    body: None,
                    answers: serde_json::Map::new(),
                };
                $handler.describe(&mut it);
                tell(route, it);
            })+
        }
    };
}

const OPEN: Want = Want::Nothing;
// Who belongs to some groups only sees and does these there.
const READ: Want = Want::Within(Right::Read);
const SPEAK: Want = Want::Within(Right::Speak);
const STOP_OWN: Want = Want::Within(Right::StopOwn);
const SCHEDULE: Want = Want::Within(Right::Schedule);
const MEND: Want = Want::Within(Right::Operate);
// These concern everybody.
const READ_ALL: Want = Want::Wide(Right::Read);
const APPROVE: Want = Want::Wide(Right::ApproveChat);
const OPERATE: Want = Want::Wide(Right::Operate);
const CONFIGURE: Want = Want::Wide(Right::Configure);
const INVITE: Want = Want::Wide(Right::Invite);
const GRANT: Want = Want::Wide(Right::GrantRoles);

table! {
    get    "/healthz"                              OPEN,      health::live,       "Whether the process answers.";
    get    "/readyz"                               OPEN,      health::ready,      "Whether messages are taken and answered.";
    post   "/api/login"                            OPEN,      login::login,       "Take a one-time `code` or the `token`, give a session cookie.";
    post   "/api/login/link"                       GRANT,     login::link,        "Make a one-time link that logs in as owner: `url`.";
    post   "/api/logout"                           READ,      login::logout,      "End the session.";
    get    "/api/me"                               READ,      login::me,          "Who one is, and what one may.";
    get    "/api/groups"                           READ,      groups::list,       "Every group with its bindings and limits.";
    post   "/api/groups"                           CONFIGURE, groups::add,        "Make a group: `name`, `folder`.";
    get    "/api/groups/{id}"                      READ,      groups::show,       "One group.";
    patch  "/api/groups/{id}"                      CONFIGURE, groups::change,     "Rename a group, or change some of its `limits`.";
    delete "/api/groups/{id}"                      CONFIGURE, groups::remove,     "Remove a group; `?purge=true` deletes its folder as well.";
    post   "/api/groups/{id}/bindings"             CONFIGURE, groups::bind,       "Bind a chat: `jid`, `thread`, `engage`, `pattern`, `scope`, `senders`.";
    delete "/api/groups/{id}/bindings"             CONFIGURE, groups::unbind,     "Unbind a chat: `jid`, `thread`.";
    get    "/api/groups/{id}/openai/v1/models"     READ,      openai::models,     "The group as a model of OpenAI's API.";
    post   "/api/groups/{id}/openai/v1/chat/completions" SPEAK, openai::complete, "Chat completions in OpenAI's shape, whole or streamed.";
    get    "/api/messages"                         READ,      messages::list,     "A page of messages: `chat_jid`, `group`, `before`, `after`, `limit`; `q` searches.";
    post   "/api/messages"                         SPEAK,     messages::post,     "Write to an agent; wait for the answer, stream it, or neither.";
    get    "/api/messages/{id}"                    READ,      messages::show,     "One message.";
    get    "/api/messages/{id}/why"                READ,      messages::why,      "What was decided about a message, and how long each step took.";
    get    "/api/groups/{id}/memory"               MEND,      groups::memory,     "What the group's lanes remember, and the versions before.";
    post   "/api/lanes/{id}/memory"                MEND,      groups::put_memory_back, "Put back what a lane remembered before: `version`.";
    post   "/api/press"                            STOP_OWN,  messages::press,    "Press a button under a question: `jid`, `value`.";
    post   "/api/lanes/{id}/stop"                  STOP_OWN,    messages::stop,     "Stop what an agent does on a lane.";
    get    "/api/sessions"                         READ,      sessions::list,     "Conversations, the latest first: `group`.";
    get    "/api/sessions/{lane}"                  READ,      sessions::show,     "One conversation, with the transcripts that are kept.";
    post   "/api/sessions/{lane}/new"              STOP_OWN,  sessions::begin_anew, "Have the next message begin a new session.";
    post   "/api/sessions/{lane}/kill"             STOP_OWN,  sessions::kill,     "Stop what runs there and end its agent.";
    post   "/api/sessions/{lane}/resume"           MEND,      sessions::resume,   "Have the next message go on with an earlier `session`.";
    post   "/api/sessions/{lane}/fork"             MEND,      sessions::fork,     "Make a conversation that goes on from where this one stands.";
    get    "/api/live"                             READ,      live::show,         "What agents do at this moment, and the cursor for `/ws`.";
    get    "/api/chats"                            READ,      chats::list,        "Chats that wrote, the latest first.";
    get    "/api/threads"                          READ,      chats::threads,     "The threads of a chat, the latest first: `chat_jid`.";
    get    "/api/people"                           INVITE,    people::list,       "Who has which role.";
    post   "/api/people"                           INVITE,    people::invite,     "Invite somebody: `name`, `role`, `groups`; gives a one-time link.";
    patch  "/api/people/{id}"                      INVITE,    people::change,     "Give a person other roles: `role`, `groups`.";
    delete "/api/people/{id}"                      INVITE,    people::remove,     "Take a person's roles and end their logins.";
    post   "/api/people/{id}/link"                 INVITE,    people::link,       "Make a one-time link that logs a person in: `url`.";
    post   "/api/people/{id}/addresses"            INVITE,    people::add_address, "Say that an address is a person's: `address`.";
    delete "/api/people/{id}/addresses"            INVITE,    people::remove_address, "Say that it is theirs no more: `address`.";
    post   "/api/people/forget"                    GRANT,     people::forget,     "Forget a person: all that an `address` of theirs said, wherever it is kept.";
    get    "/api/pairings"                         APPROVE,   chats::pairings,    "Chats and people that ask to be let in.";
    post   "/api/pairings/{code}/approve"          APPROVE,   chats::approve,     "Let one in: `me`, or `group`, or neither for a group of its own.";
    post   "/api/pairings/{code}/deny"             APPROVE,   chats::deny,        "Refuse one.";
    get    "/api/tasks"                            READ,      tasks::list,        "What is scheduled: `group`.";
    post   "/api/tasks"                            SCHEDULE,  tasks::add,         "Schedule a task: `group`, `prompt`, `schedule_type`, `schedule_value`, `zone`, ...";
    post   "/api/tasks/preview"                    SCHEDULE,  tasks::preview,     "When a schedule would fire, without making a task.";
    get    "/api/tasks/{id}"                       READ,      tasks::show,        "One task.";
    patch  "/api/tasks/{id}"                       SCHEDULE,  tasks::change,      "Change some of a task's fields.";
    delete "/api/tasks/{id}"                       SCHEDULE,  tasks::cancel,      "Cancel a task, and what waits of it.";
    get    "/api/tasks/{id}/next"                  READ,      tasks::next,        "Its next fires: `n`.";
    get    "/api/tasks/{id}/logs"                  READ,      tasks::logs,        "Its latest fires, their outcome and delivery: `n`.";
    post   "/api/tasks/{id}/pause"                 SCHEDULE,  tasks::pause,       "Have it fire no more for now.";
    post   "/api/tasks/{id}/resume"                SCHEDULE,  tasks::resume,      "Have it fire again.";
    post   "/api/tasks/{id}/run"                   SCHEDULE,  tasks::run,         "Fire it now, beside its schedule.";
    get    "/api/overview"                         READ,      overview::show,     "What happened lately, by the minute and by the step: `minutes`.";
    get    "/api/usage"                            READ,      usage::show,        "What was used by day, group and model, in tokens and money: `group`, `days`.";
    get    "/api/alerts"                           OPERATE,   alerts::list,       "What is not as it should be now.";
    post   "/api/alerts/test"                      OPERATE,   alerts::test,       "Say a test wherever alerts go: `to`.";
    post   "/api/alerts/mute"                      OPERATE,   alerts::mute,       "Have an alert be told no more for a while: `key`, `for`.";
    get    "/api/dead"                             MEND,      dead::list,         "Work that was given up.";
    get    "/api/dead/sends"                       MEND,      dead::sends,        "What a platform refused for good.";
    get    "/api/dead/sends/{id}"                  MEND,      dead::show_send,    "One of it: the `send`, and `why` of the message that it answers.";
    post   "/api/dead/sends/{id}/requeue"          MEND,      dead::resend,       "Have it sent again.";
    post   "/api/dead/sends/{id}/drop"             MEND,      dead::discard_send, "Throw it away.";
    get    "/api/dead/{id}"                        MEND,      dead::show,         "One of it: the `job`, and `why` of its message.";
    post   "/api/dead/{id}/requeue"                MEND,      dead::requeue,      "Put it back into its queue.";
    post   "/api/dead/{id}/drop"                   MEND,      dead::discard,      "Throw it away.";
    get    "/api/plugins"                          READ_ALL,  plugins::list,      "The plugins that are on, in their order, and how they fare.";
    get    "/api/plugins/held"                     OPERATE,   plugins::held,      "What plugins hold until somebody decides.";
    get    "/api/plugins/logs"                     OPERATE,   plugins::lines,     "What plugins wrote to their logs, and failed at: `plugin`, `after`, `wait_s`.";
    get    "/api/plugins/known"                    CONFIGURE, known_plugins::list, "All plugins that come along or are installed, with their settings.";
    get    "/api/plugins/known/{name}"             CONFIGURE, known_plugins::show, "One of them.";
    patch  "/api/plugins/known/{name}"             CONFIGURE, known_plugins::change, "Change its settings: `enabled`, `order`, `required`, `config`, `groups`.";
    get    "/api/plugins/known/{name}/history"     CONFIGURE, known_plugins::history, "Its settings before, the newest first.";
    post   "/api/plugins/known/{name}/revert"      CONFIGURE, known_plugins::revert, "Put earlier settings back: `version`, 0 for those of the file.";
    post   "/api/plugins/known/{name}/reload"      CONFIGURE, known_plugins::reload, "Read its files anew.";
    post   "/api/plugins/held/{id}/release"        OPERATE,   plugins::release,   "Let it go its way.";
    post   "/api/plugins/held/{id}/drop"           OPERATE,   plugins::discard,   "Throw it away.";
    get    "/api/restored"                         OPERATE,   restored::list,     "What waits while a restored gateway is held.";
    post   "/api/restored/release"                 CONFIGURE, restored::release,  "Have it go on; with `give_up` what waits becomes dead letters.";
    post   "/api/imports"                          CONFIGURE, imports::add,       "Keep messages of another program's history: `group`, `messages`; none is answered or sent.";
    post   "/api/prune"                            CONFIGURE, prune::prune,       "Forget what is older than `before_ms`; only count with `dry_run`.";
    get    "/api/model/offers"                     CONFIGURE, model::offers,       "Where models are to be had, and what of it is found on this machine.";
    post   "/api/model"                            CONFIGURE, model::set,          "Have a model answer from now on, once it has answered: `kind`, `model`, `base_url`, `api_key`.";
    post   "/api/simulate"                         OPERATE,   simulate::simulate, "What would become of a message: `jid`, `thread`, `sender`, `text`, `addressed`, `is_bot`; nothing is written or sent.";
    get    "/api/log"                              READ_ALL,  log::show,          "What is logged: a level, and others for parts of the program.";
    get    "/api/log/lines"                        OPERATE,   log::lines,         "The newest lines of the log: `after`, `wait_s`.";
    patch  "/api/log"                              CONFIGURE, log::change,        "Log more or less until the end: `level`, `target`.";
    get    "/api/status"                           READ,      status::show,       "How the gateway is doing.";
    get    "/api/channels"                         READ_ALL,  channels::list,     "Every account and how it is doing.";
    post   "/api/channels"                         CONFIGURE, channels::add,      "Add an account and connect it: `kind`, `name`, `settings`.";
    get    "/api/channels/kinds"                   CONFIGURE, channels::kinds,    "The platforms, and what an account on each wants.";
    delete "/api/channels/{account}"               CONFIGURE, channels::remove,   "Take an account away; its messages and bindings stay.";
    post   "/api/channels/reload"                  CONFIGURE, channels::reload,   "Read the accounts of the settings anew.";
    patch  "/api/channels/{account}"               OPERATE,   channels::change,   "Have an account rest or go on: `paused`.";
    get    "/api/channels/{account}/setup"         OPERATE,   channels::setup,    "What is left to do at the platform, and what may be missing: `after`, `wait_s`.";
    post   "/api/channels/{account}/test"          OPERATE,   channels::test,     "Ask the platform who we are to it.";
    get    "/api/health"                           READ_ALL,  health::health,     "One word for the whole.";
    get    "/api/health/metrics"                   READ_ALL,  health::metrics,    "Figures, with the original's names.";
    get    "/metrics"                              OPERATE,   health::prometheus, "The same for Prometheus.";
    get    "/api/openapi.json"                     READ,      openapi::show,      "This API, for machines.";
    get    "/ws"                                   READ,      events::open,       "What happens, as it happens.";
}

/// The server for one door.
pub(crate) fn router(app: &App, door: Door, with_hooks: bool) -> Router {
    let rest = Gate { app: app.clone(), door, want: Want::Nothing };
    let mut router = api(app, door).fallback(any(other).with_state(rest)).with_state(app.clone());
    if door == Door::Network {
        router = router.layer(from_fn_with_state(app.clone(), guard::check));
    }
    if with_hooks {
        // Platforms know us by names of their own; they are not checked, their signatures are.
        router = router.merge(hooks::router(app));
    }
    router.layer(from_fn(wrong_method))
}

/// The page's files for everybody; whoever is logged in is told that there is no such thing.
async fn other(State(gate): State<Gate>, request: Request) -> Result<Response, ApiError> {
    let path = request.uri().path();
    if matches!(*request.method(), http::Method::GET | http::Method::HEAD)
        && let Some(file) = assets::serve(path, request.headers())
    {
        return Ok(file);
    }
    match door::identify(&gate.app, gate.door, request.headers()).await? {
        Some(_) => Err(ApiError::not_found(format_args!("`{path}`"))),
        None => Err(ApiError::login_needed()),
    }
}

/// Every refusal has the same shape, the router's own too.
async fn wrong_method(request: Request, next: axum::middleware::Next) -> Response {
    let what = format!("`{}` is nothing that `{}` can do", request.method(), request.uri().path());
    let mut res = next.run(request).await;
    if res.status() != http::StatusCode::METHOD_NOT_ALLOWED {
        return res;
    }
    let allow = res.headers_mut().remove(http::header::ALLOW);
    let mut err =
        ApiError::new(http::StatusCode::METHOD_NOT_ALLOWED, "wrong_method", what).into_response();
    if let Some(allow) = allow {
        err.headers_mut().insert(http::header::ALLOW, allow);
    }
    err
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_the_api_names_every_route() {
        let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/api.md"));
        for Route { method, path, .. } in TABLE {
            let line = format!("`{} {path}`", method.to_uppercase());
            assert!(page.contains(&line), "docs/api.md lacks {line}");
        }
    }

    #[test]
    fn few_things_are_open() {
        let open: Vec<&str> =
            TABLE.iter().filter(|it| it.want == Want::Nothing).map(|it| it.path).collect();
        assert_eq!(open, ["/healthz", "/readyz", "/api/login"]);
    }
}
