//! `nanogridbot plugin install`, `list` and `remove`: what is there, and what it may do.

use std::{
    io::IsTerminal as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use ngb_core::clock::Clock;
use ngb_plugins::wasm::{
    Candidate, Capabilities, Capability, Folder, Installed, Package, Proof, Record, WasmEngine,
    digest, read_component,
};
use serde_json::{Value, json};

use crate::{
    cli::{self, BadArgument},
    context::Context,
    plugin::{cache, folder},
    print::{self, harmless, say},
};

/// What lies at `source`, proved and compiled.
pub(super) async fn candidate(
    ctx: &Context,
    source: &Path,
    proof: &Proof,
) -> anyhow::Result<Candidate> {
    let package = Package::read(source, proof)?;
    ctx.home.make()?;
    let engine =
        WasmEngine::new().map_err(|err| anyhow::anyhow!("no engine for WebAssembly: {err:#}"))?;
    let name = source.file_stem().and_then(|it| it.to_str()).unwrap_or_default();
    Ok(Candidate::compile(&engine, &cache(ctx), package, name).await?)
}

pub(super) async fn install(ctx: &Context, args: &cli::Install) -> anyhow::Result<ExitCode> {
    let it = candidate(ctx, &args.source, &proof(args)?).await?;
    let folder = folder(ctx);
    folder.check_free(&it.manifest.name, args.replace)?;
    let granted = granted(ctx, args, &it)?;
    it.check(granted.clone()).await?;
    let record = Record {
        sha256: it.package.sha256.clone(),
        is_signed: it.package.is_signed,
        installed_at: Clock::System.now(),
        granted: granted.clone(),
    };
    folder.put(&it.manifest, &it.text, &it.package.component, &record)?;
    if args.replace {
        forget(ctx)?;
    }
    let (name, version) = (&it.manifest.name, &it.manifest.version);
    let answer = json!({
        "name": name, "version": version, "sha256": record.sha256, "is_signed": record.is_signed,
        "granted": granted, "not_granted": names(&it.manifest.capabilities.beyond(&granted)),
    });
    ctx.show(&answer, |_| {
        say(&format!("installed `{name}` {version}"));
        for it in it.manifest.capabilities.beyond(&granted) {
            say(&format!("  without `{it}`: where it calls that, it fails"));
        }
    });
    Ok(ExitCode::SUCCESS)
}

fn proof(args: &cli::Install) -> anyhow::Result<Proof> {
    let Some(key) = &args.signed_by else {
        return Ok(Proof { sha256: args.sha256.clone(), signature: None });
    };
    let key = match std::fs::read_to_string(key) {
        Ok(file) => file,
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => key.clone(),
        Err(err) => return Err(err).with_context(|| format!("could not read the key `{key}`")),
    };
    let beside = || PathBuf::from(format!("{}.minisig", args.source.display()));
    let signature = args.signature.clone().unwrap_or_else(beside);
    Ok(Proof { sha256: args.sha256.clone(), signature: Some((key, signature)) })
}

/// What the operator lets the plugin do, by argument or asked.
fn granted(ctx: &Context, args: &cli::Install, it: &Candidate) -> anyhow::Result<Capabilities> {
    let declared = &it.manifest.capabilities;
    match args.grant.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] if declared.0.is_empty() => Ok(Capabilities::default()),
        [] => ask(ctx, it),
        ["all"] => Ok(declared.clone()),
        ["none"] => Ok(Capabilities::default()),
        names => {
            let mut granted = Capabilities::default();
            for name in names {
                let one: Capability = name.parse().map_err(|err| BadArgument(format!("{err}")))?;
                let Some(things) = declared.0.get(&one) else {
                    let why = format!("`{}` does not ask for `{one}`", it.manifest.name);
                    return Err(BadArgument(why).into());
                };
                granted.0.insert(one, things.clone());
            }
            Ok(granted)
        }
    }
}

fn ask(ctx: &Context, it: &Candidate) -> anyhow::Result<Capabilities> {
    let declared = &it.manifest.capabilities;
    let wishes: Vec<String> = declared.0.iter().map(|(it, names)| wish(*it, names)).collect();
    if ctx.json || !std::io::stdin().is_terminal() {
        let list = names(&declared.0.keys().copied().collect::<Vec<_>>()).join(",");
        return Err(BadArgument(format!(
            "`{}` wants to {}; say what it may with `--grant all`, `--grant none` or `--grant {list}`",
            it.manifest.name,
            wishes.join("; ")
        ))
        .into());
    }
    eprintln!("`{}` {} wants to:", it.manifest.name, it.manifest.version);
    wishes.iter().for_each(|it| eprintln!("  {it}"));
    match print::ask("Let it? [y/N]")?.as_deref() {
        Some("y" | "Y" | "yes") => Ok(declared.clone()),
        _ => bail!("not installed"),
    }
}

fn wish(it: Capability, names: &[String]) -> String {
    match names {
        [] => format!("{} ({it})", it.explained()),
        names => harmless(&format!("{} ({it}): {}", it.explained(), names.join(", "))),
    }
}

fn names(all: &[Capability]) -> Vec<&'static str> {
    all.iter().map(|it| it.as_str()).collect()
}

pub(super) fn list(ctx: &Context) -> anyhow::Result<ExitCode> {
    let folder = folder(ctx);
    let all: Vec<Value> = folder.names()?.iter().map(|name| shown(&folder, name)).collect();
    ctx.show(&json!({ "plugins": all }), |_| {
        if all.is_empty() {
            return say("no plugin is installed");
        }
        let rows: Vec<Vec<String>> = all.iter().map(row).collect();
        print::table(&["name", "version", "hooks", "may", "note"], &rows);
    });
    Ok(ExitCode::SUCCESS)
}

fn shown(folder: &Folder, name: &str) -> Value {
    match folder.open(name) {
        Ok(Installed { manifest, record, .. }) => json!({
            "name": name, "version": manifest.version, "description": manifest.description,
            "hooks": manifest.hooks, "granted": record.granted,
            "not_granted": names(&manifest.capabilities.beyond(&record.granted)),
            "sha256": record.sha256, "is_signed": record.is_signed,
            "installed_at": record.installed_at.to_string(),
        }),
        Err(err) => json!({ "name": name, "error": err.to_string() }),
    }
}

fn row(it: &Value) -> Vec<String> {
    let text = |key: &str| harmless(print::text(it, key));
    let list = |value: &Value| {
        let all = value.as_array().into_iter().flatten().filter_map(Value::as_str);
        all.collect::<Vec<_>>().join(", ")
    };
    let may = it["granted"].as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    let refused = list(&it["not_granted"]);
    let note = match (it["error"].as_str(), refused.is_empty()) {
        (Some(err), _) => harmless(err),
        (None, true) => String::new(),
        (None, false) => format!("not granted: {refused}"),
    };
    vec![
        text("name"),
        text("version"),
        list(&it["hooks"]),
        may.collect::<Vec<_>>().join(", "),
        note,
    ]
}

/// Removes what was compiled of components that are not installed, which may be tens of MiB each.
fn forget(ctx: &Context) -> anyhow::Result<()> {
    let folder = folder(ctx);
    let mut keep = Vec::new();
    for name in folder.names()? {
        // What can't be read was not compiled.
        if let Ok(it) = folder.open(&name)
            && let Ok(bytes) = read_component(&it.component)
        {
            keep.push(digest(&bytes));
        }
    }
    cache(ctx).prune(&keep).context("could not remove what was compiled")
}

pub(super) fn remove(ctx: &Context, name: &str) -> anyhow::Result<ExitCode> {
    folder(ctx).remove(name)?;
    forget(ctx)?;
    ctx.show(&json!({ "removed": name }), |_| say(&format!("removed `{name}`")));
    Ok(ExitCode::SUCCESS)
}
