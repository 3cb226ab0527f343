//! One page from outside, by way of the broker.

use regex::Regex;
use serde::Deserialize;

use crate::{
    turn::cut_to,
    way_out::{self, WayOut},
};

/// Longest text of a page, in bytes.
const MAX_PAGE_BYTES: usize = 32 * 1024;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fetch {
    url: String,
}

impl Fetch {
    pub(crate) async fn run(self, way_out: &WayOut) -> Result<String, String> {
        let answer = way_out.get(&self.url).await.map_err(|it| it.to_string())?;
        let body = String::from_utf8_lossy(&answer.body);
        if answer.refused.is_some() {
            return Err(way_out::message_of(&body));
        }
        if body.contains('\0') {
            return Err(format!("`{}` is no text", self.url));
        }
        let is_html = answer.content_type.contains("html");
        let text = if is_html { text_of_html(&body) } else { body.into_owned() };
        let text = cut_to(text, MAX_PAGE_BYTES);
        match answer.status {
            200..300 => Ok(text),
            status => Err(format!("status {status}\n{text}")),
        }
    }
}

/// What a reader sees of a page, roughly: without scripts, styles, tags and empty lines.
fn text_of_html(html: &str) -> String {
    const HIDDEN: &str = r"(?is)<(script|style|head|svg|noscript)\b.*?</(script|style|head|svg|noscript)\s*>|<!--.*?-->";
    const TAG: &str = r"(?s)<[^>]*>";
    let mut text = html.to_owned();
    for (pattern, with) in [(HIDDEN, " "), (TAG, " ")] {
        if let Ok(pattern) = Regex::new(pattern) {
            text = pattern.replace_all(&text, with).into_owned();
        }
    }
    for (entity, is) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&nbsp;", " "),
        ("&amp;", "&"),
    ] {
        text = text.replace(entity, is);
    }
    let lines = text.lines().map(|it| it.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|it| !it.is_empty()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html() {
        let page = "<html><head><title>x</title></head><body><script>if(a<b){}</script>\n<h1>Hi &amp; you</h1>\n\n<p>a  b</p></body>";
        assert_eq!(text_of_html(page), "Hi & you\na b");
    }
}
