//! `docs/configuration.md`, made of the doc comments in `settings.rs` and `settings/accounts.rs`: what says what a setting means is where it is read.

/// The text that is read.
const SETTINGS: &str = concat!(include_str!("settings.rs"), include_str!("settings/accounts.rs"));

const HEAD: &str = "\
# Configuration

Settings are read from `config.toml` in the home folder (or the file that `serve --config FILE` names), then from
`<home>/.env`, then from the environment; what comes later wins. Each is optional unless it says otherwise: without any
file the gateway starts with the demonstration agent on `127.0.0.1:8080`. `nanogridbot config` prints the settings in
force, without secrets; a misspelt name or a value of the wrong type is refused with exit code 2.

The home folder is the first of `--home DIR`, `NGB_HOME`, `XDG_DATA_HOME/nanogridbot`, `~/.local/share/nanogridbot`.

A variable is named after section and setting, with two underscores between the parts: `NGB_WEB__PORT=9000` is `port` in
`[web]`. Lengths of time are written `30s`, `10m`, `2h`, `7d`. A secret is written as itself, as `env:NAME` (the
variable that holds it) or as `file:PATH` (the file that holds it).

This page is generated from `crates/nanogridbot/src/settings.rs` and `settings/accounts.rs` (`nanogridbot docs configuration`); a test compares them.
";

/// One section of the file: its heading, what it is about, its settings.
struct Section {
    name: String,
    about: String,
    rows: Vec<(String, String)>,
}

/// Reads `/// [name]: about` above a struct and `/// text` above its fields.
fn sections(source: &str) -> Vec<Section> {
    let mut res: Vec<Section> = Vec::new();
    let mut doc: Vec<&str> = Vec::new();
    let mut is_inside = false;
    for line in source.lines() {
        let line = line.trim();
        if let Some(text) = line.strip_prefix("///") {
            doc.push(text.trim());
        } else if line.starts_with("#[") {
            // Between a comment and what it is about.
        } else if line.starts_with("pub(crate) struct ") {
            let text = doc.join(" ");
            doc.clear();
            is_inside = false;
            if let Some((name, about)) = text.strip_prefix("`[").and_then(|it| it.split_once("]`"))
            {
                is_inside = true;
                let about = about.trim_start_matches(':').trim().to_owned();
                res.push(Section { name: name.to_owned(), about, rows: Vec::new() });
            }
        } else if let Some(field) = line.strip_prefix("pub(crate) ").filter(|_| is_inside)
            && let Some((name, _)) = field.split_once(':')
            && let Some(section) = res.last_mut()
        {
            section.rows.push((name.to_owned(), doc.join(" ")));
            doc.clear();
        } else {
            is_inside &= line != "}";
            doc.clear();
        }
    }
    res
}

/// The text of `docs/configuration.md`.
pub(crate) fn document() -> String {
    let mut res = HEAD.to_owned();
    for Section { name, about, rows } in sections(SETTINGS) {
        let mut about = about.chars();
        let first = about.next().map(|it| it.to_uppercase().to_string()).unwrap_or_default();
        let about = about.as_str();
        res += &format!(
            "\n## `[{name}]`\n\n{first}{about}\n\n| setting | variable | |\n| --- | --- | --- |\n"
        );
        for (setting, text) in rows {
            let path = format!("{name}.{setting}").replace('.', "__").to_uppercase();
            let text = text.replace('|', "\\|");
            res += &format!("| `{setting}` | `NGB_{path}` | {text} |\n");
        }
    }
    res
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_and_setting_is_explained() {
        let all = sections(SETTINGS);
        let names: Vec<&str> = all.iter().map(|it| it.name.as_str()).collect();
        #[rustfmt::skip]
        let want = [
            "web", "database", "agent", "providers.<name>", "prices", "sandbox", "egress", "credentials.<name>", "network",
            "log", "retention", "plugins.<name>", "alerts", "backup",
            "channels.telegram.<account>", "channels.slack.<account>", "channels.discord.<account>",
            "channels.feishu.<account>", "channels.whatsapp.<account>", "channels.wecom.<account>",
            "channels.dingtalk.<account>", "channels.qq.<account>",
        ];
        assert_eq!(names, want);
        for section in &all {
            assert!(!section.rows.is_empty(), "[{}]", section.name);
            for (setting, text) in &section.rows {
                assert!(!text.is_empty(), "[{}] {setting}", section.name);
            }
        }
    }

    #[test]
    fn the_page_says_what_the_code_reads() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        let page = std::fs::read_to_string(path).unwrap_or_default();
        let how = "`nanogridbot docs configuration > docs/configuration.md` writes it anew";
        assert_eq!(page, document(), "{how}");
    }
}
