//! A text of Discord's as people see it: <https://docs.discord.com/developers/reference#message-formatting>.

use serde_json::Value;

use super::known::{Facts, list};

/// Longest of what stands in angle brackets, in bytes: an emoji's name has 32.
const MAX_INSIDE: usize = 80;

/// `said` with names where Discord writes ids; `message` brings those of the people whom it mentions.
pub(super) fn plain(said: &str, message: &Value, facts: &Facts) -> String {
    let mut shown = String::with_capacity(said.len());
    let mut rest = said;
    while let Some((before, after)) = rest.split_once('<') {
        shown += before;
        let inside = after.split_once('>').filter(|(it, _)| it.len() <= MAX_INSIDE);
        match inside.and_then(|(inside, behind)| Some((name(inside, message, facts)?, behind))) {
            Some((name, behind)) => {
                shown += &name;
                rest = behind;
            }
            None => {
                shown.push('<');
                rest = after;
            }
        }
    }
    shown + rest
}

/// What stands for the inside of angle brackets; none where they are but brackets.
fn name(inside: &str, message: &Value, facts: &Facts) -> Option<String> {
    let is_id = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit());
    if let Some(id) = inside.strip_prefix("@&").filter(|it| is_id(it)) {
        return Some(format!("@{}", facts.role(id).unwrap_or(id)));
    }
    let person = inside.strip_prefix('@').map(|it| it.strip_prefix('!').unwrap_or(it));
    if let Some(id) = person.filter(|it| is_id(it)) {
        let user = list(&message["mentions"]).find(|it| it["id"] == id).unwrap_or(&Value::Null);
        let names = [&user["member"]["nick"], &user["global_name"], &user["username"]];
        let own = Some(facts.me.name.as_str()).filter(|_| facts.me.id == id);
        let name = names.into_iter().find_map(|it| it.as_str()).or(own).unwrap_or(id);
        return Some(format!("@{name}"));
    }
    if let Some(id) = inside.strip_prefix('#').filter(|it| is_id(it)) {
        return Some(format!("#{}", facts.room(id).map_or(id, |it| &it.name)));
    }
    let parts: Vec<&str> = inside.split(':').collect();
    match parts.as_slice() {
        ["" | "a", emoji, id] if is_id(id) => Some(format!(":{emoji}:")),
        [command, id] if command.starts_with('/') && is_id(id) => Some((*command).to_owned()),
        ["t", seconds] | ["t", seconds, _] => {
            let at = jiff::Timestamp::from_second(seconds.parse().ok()?).ok()?;
            Some(at.to_string())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn facts() -> Facts {
        let mut facts = Facts::default();
        let guild = json!({"channels": [{"id": "5", "name": "general", "type": 0}], "roles": [{"id": "6", "name": "team"}]});
        facts.learn("GUILD_CREATE", &guild);
        facts.learn("READY", &json!({"user": {"id": "9", "username": "nano"}}));
        facts
    }

    #[test]
    fn plain_table() {
        let message = json!({"mentions": [
            {"id": "1", "username": "ada", "global_name": "Ada"}, {"id": "2", "username": "bo", "global_name": null},
        ]});
        #[rustfmt::skip]
        let table = [
            ("hi",                           "hi"),
            ("<@1> and <@!2> and <@3>",      "@Ada and @bo and @3"),
            ("<@9>",                         "@nano"),
            ("<#5> <#7> <@&6> <@&8>",        "#general #7 @team @8"),
            ("<:wave:9> <a:dance_1:9>",      ":wave: :dance_1:"),
            ("</ask:9> <t:0:R> <t:0>",       "/ask 1970-01-01T00:00:00Z 1970-01-01T00:00:00Z"),
            ("1 < 2 > 1 <b>x</b>",           "1 < 2 > 1 <b>x</b>"),
            ("<@> <#> <:> <t:> <",           "<@> <#> <:> <t:> <"),
            ("<<@1>>",                       "<@Ada>"),
            ("@everyone 😀 שלום",            "@everyone 😀 שלום"),
        ];
        for (said, want) in table {
            assert_eq!(plain(said, &message, &facts()), want, "{said:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_shown(said in "(<[@#:/t&!]{0,3}[0-9a-z:]{0,8}>?|[<>|日 a😀])*") {
            plain(&said, &json!({"mentions": [{"id": 5}, null]}), &facts());
        }
    }
}
