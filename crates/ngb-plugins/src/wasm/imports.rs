//! The capabilities as functions that a component may import. Each asks for its grant at each call.

use wasmtime::{
    StoreContextMut,
    component::{Linker, LinkerInstance},
};

use crate::wasm::{
    compiled::import_name,
    engine::WasmEngine,
    guest::Guest,
    manifest::Capability,
    services::Once,
    words::{WasmGroup, WasmLevel, WasmQueue, WasmRequest, WasmResponse},
};

/// The longest key that a plugin keeps something under, in bytes.
pub const MAX_KEY_BYTES: usize = 256;

/// The largest value under a key, in bytes.
pub const MAX_VALUE_BYTES: usize = 64 << 10;

/// All keys and values of a plugin, in bytes.
pub const MAX_KV_BYTES: usize = 1 << 20;

/// Random bytes that are given at a time.
const MAX_RANDOM_BYTES: u32 = 4 << 10;

/// An answer to an error of the plugin's own: `result<T, string>`.
type Answer<T> = wasmtime::Result<(Result<T, String>,)>;

/// The future of an import that waits.
type Later<'a, T> = Box<dyn Future<Output = Answer<T>> + Send + 'a>;

type Calling<'a> = StoreContextMut<'a, Guest>;

/// All imports that there are. Which of them a component may name was checked when it was installed.
pub(super) fn linker(engine: &WasmEngine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(&engine.inner);
    for capability in Capability::ALL {
        let mut instance = linker.instance(&import_name(capability))?;
        match capability {
            Capability::Log => log(&mut instance)?,
            Capability::Kv => kv(&mut instance)?,
            Capability::Config => config(&mut instance)?,
            Capability::SendMessage => send_message(&mut instance)?,
            Capability::GroupsRead => groups(&mut instance)?,
            Capability::EnqueueRun => enqueue_run(&mut instance)?,
            Capability::QueueRead => queue(&mut instance)?,
            Capability::Http => http(&mut instance)?,
            Capability::Clock => clock(&mut instance)?,
            Capability::Random => random(&mut instance)?,
            Capability::Metrics => metrics(&mut instance)?,
        }
    }
    Ok(linker)
}

fn log(it: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    it.func_wrap("write", |mut store: Calling<'_>, (level, text): (WasmLevel, String)| {
        store.data_mut().may(Capability::Log)?;
        store.data_mut().write_log(level, &text);
        Ok(())
    })
}

fn kv(it: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    it.func_wrap_async(
        "get",
        |mut store: Calling<'_>, (key,): (String,)| -> Later<'_, Option<Vec<u8>>> {
            Box::new(async move {
                let guest = granted(&mut store, Capability::Kv)?;
                Ok((guest.services.kv_get(&guest.name, &key).await,))
            })
        },
    )?;
    it.func_wrap_async(
        "set",
        |mut store: Calling<'_>, (key, value): (String, Vec<u8>)| -> Later<'_, ()> {
            Box::new(async move {
                let guest = granted(&mut store, Capability::Kv)?;
                if let Some(why) = too_large(&key, &value) {
                    return Ok((Err(why),));
                }
                Ok((guest.services.kv_set(&guest.name, &key, Some(value)).await,))
            })
        },
    )?;
    it.func_wrap_async("delete", |mut store: Calling<'_>, (key,): (String,)| -> Later<'_, ()> {
        Box::new(async move {
            let guest = granted(&mut store, Capability::Kv)?;
            Ok((guest.services.kv_set(&guest.name, &key, None).await,))
        })
    })?;
    it.func_wrap_async(
        "keys",
        |mut store: Calling<'_>, (prefix,): (String,)| -> Later<'_, Vec<String>> {
            Box::new(async move {
                let guest = granted(&mut store, Capability::Kv)?;
                Ok((guest.services.kv_keys(&guest.name, &prefix).await,))
            })
        },
    )
}

fn too_large(key: &str, value: &[u8]) -> Option<String> {
    if key.is_empty() || MAX_KEY_BYTES < key.len() {
        return Some(format!("a key has 1 to {MAX_KEY_BYTES} bytes, this one {}", key.len()));
    }
    (MAX_VALUE_BYTES < value.len())
        .then(|| format!("a value has up to {MAX_VALUE_BYTES} bytes, this one {}", value.len()))
}

fn config(it: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    it.func_wrap("get", |mut store: Calling<'_>, (): ()| {
        let guest = granted(&mut store, Capability::Config)?;
        Ok((guest.config.to_string(),))
    })
}

fn send_message(it: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    it.func_wrap_async(
        "send",
        |mut store: Calling<'_>, (chat, text): (String, String)| -> Later<'_, ()> {
            Box::new(async move {
                granted(&mut store, Capability::SendMessage)?;
                let once = store.data_mut().next_act();
                Ok((send_one(store.data(), &chat, &text, once).await,))
            })
        },
    )?;
    it.func_wrap_async(
        "broadcast",
        |mut store: Calling<'_>, (group, text): (String, String)| -> Later<'_, u32> {
            Box::new(async move {
                granted(&mut store, Capability::SendMessage)?;
                let once = store.data_mut().next_act();
                Ok((broadcast(store.data(), &group, &text, once).await,))
            })
        },
    )
}

async fn send_one(guest: &Guest, chat: &str, text: &str, once: Once) -> Result<(), String> {
    if !guest.granted.allows(Capability::SendMessage, chat) {
        return Err(format!("the plugin was not granted to send to `{chat}`"));
    }
    if guest.limits.output_bytes < text.len() {
        return Err(format!("a message has up to {} bytes", guest.limits.output_bytes));
    }
    guest.services.send(&guest.name, chat, text, once).await
}

async fn broadcast(guest: &Guest, group: &str, text: &str, once: Once) -> Result<u32, String> {
    let groups = guest.services.groups(&guest.name).await?;
    let Some(found) = groups.into_iter().find(|it| it.name == group) else {
        return Err(format!("there is no group `{group}`"));
    };
    let mut count = 0;
    for chat in found.chats {
        if guest.granted.allows(Capability::SendMessage, &chat) {
            let once = once.as_ref().map(|it| format!("{it}:{chat}"));
            send_one(guest, &chat, text, once).await?;
            count += 1;
        }
    }
    Ok(count)
}

fn groups(it: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    it.func_wrap_async("all", |mut store: Calling<'_>, (): ()| -> Later<'_, Vec<WasmGroup>> {
        Box::new(async move {
            let guest = granted(&mut store, Capability::GroupsRead)?;
            Ok((guest.services.groups(&guest.name).await,))
        })
    })?;
    it.func_wrap_async(
        "get",
        |mut store: Calling<'_>, (name,): (String,)| -> Later<'_, Option<WasmGroup>> {
            Box::new(async move {
                let guest = granted(&mut store, Capability::GroupsRead)?;
                let all = guest.services.groups(&guest.name).await;
                Ok((all.map(|it| it.into_iter().find(|it| it.name == name)),))
            })
        },
    )
}

fn enqueue_run(it: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    it.func_wrap_async(
        "enqueue",
        |mut store: Calling<'_>, (group, prompt): (String, String)| -> Later<'_, i64> {
            Box::new(async move {
                granted(&mut store, Capability::EnqueueRun)?;
                let once = store.data_mut().next_act();
                let guest = store.data();
                Ok((guest.services.enqueue(&guest.name, &group, &prompt, once).await,))
            })
        },
    )
}

fn queue(it: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    it.func_wrap_async("get", |mut store: Calling<'_>, (): ()| -> Later<'_, WasmQueue> {
        Box::new(async move {
            let guest = granted(&mut store, Capability::QueueRead)?;
            Ok((guest.services.queue(&guest.name).await,))
        })
    })
}

fn http(it: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    it.func_wrap_async(
        "send",
        |mut store: Calling<'_>, (request,): (WasmRequest,)| -> Later<'_, WasmResponse> {
            Box::new(async move {
                let guest = granted(&mut store, Capability::Http)?;
                let host = match host_of(&request.url) {
                    Ok(host) => host,
                    Err(why) => return Ok((Err(why),)),
                };
                if !guest.granted.allows(Capability::Http, host) {
                    return Ok((Err(format!("the plugin was not granted to ask `{host}`")),));
                }
                Ok((guest.services.http(&guest.name, request).await,))
            })
        },
    )
}

/// The host of an HTTPS address, as it is to be granted.
fn host_of(url: &str) -> Result<&str, String> {
    let bad = || {
        format!("`{}` is no address like `https://host/path`", &url[..url.floor_char_boundary(200)])
    };
    let rest = url.strip_prefix("https://").ok_or_else(bad)?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // A name before `@` is no host, and what a `\` means differs between readers of addresses.
    let fits = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '-' | ':');
    if host.is_empty() || !host.chars().all(fits) { Err(bad()) } else { Ok(host) }
}

fn clock(it: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    it.func_wrap("now-ms", |mut store: Calling<'_>, (): ()| {
        Ok((granted(&mut store, Capability::Clock)?.services.now_ms(),))
    })
}

fn random(it: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    it.func_wrap("bytes", |mut store: Calling<'_>, (count,): (u32,)| {
        granted(&mut store, Capability::Random)?;
        let mut bytes = vec![0; count.min(MAX_RANDOM_BYTES) as usize];
        getrandom::fill(&mut bytes)
            .map_err(|err| wasmtime::format_err!("no random bytes: {err}"))?;
        Ok((bytes,))
    })
}

fn metrics(it: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    it.func_wrap("add", |mut store: Calling<'_>, (name, by): (String, f64)| {
        store.data_mut().may(Capability::Metrics)?;
        store.data_mut().count(&name, by);
        Ok(())
    })
}

/// The guest, if it was granted `it`; otherwise its call ends here.
fn granted<'a>(store: &'a mut Calling<'_>, it: Capability) -> wasmtime::Result<&'a Guest> {
    store.data_mut().may(it)?;
    Ok(store.data())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_table() {
        let table = [
            ("https://api.example.com/v1?x=1", Some("api.example.com")),
            ("https://api.example.com:8443", Some("api.example.com:8443")),
            ("http://api.example.com", None),
            ("https://api.example.com@evil.com/", None),
            (r"https://evil.com\@api.example.com/", None),
            ("https://", None),
            ("file:///etc/passwd", None),
        ];
        for (url, want) in table {
            assert_eq!(host_of(url).ok(), want, "{url}");
        }
    }
}
