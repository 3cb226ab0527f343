//! Meta's error codes: what next, and what it means.
//!
//! <https://developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes>

use std::time::Duration;

use crate::Retry;

/// The code for "more than 24 hours since the person last wrote".
pub(super) const WINDOW_CLOSED: u64 = 131_047;

/// What Meta means by a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code {
    pub(super) retry: Retry,
    /// Said besides Meta's own words; empty where those suffice.
    pub(super) hint: &'static str,
}

/// Meta asks for 6 seconds between two messages to one person.
const PAIR: Duration = Duration::from_secs(6);

#[rustfmt::skip]
const CODES: &[(u64, Retry, &str)] = &[
    (0,       Retry::Never,        "the access token is no longer good; make one of a system user, which doesn't expire"),
    (1,       Retry::Backoff,      ""),
    (2,       Retry::Backoff,      ""),
    (3,       Retry::Never,        "the token lacks the permission `whatsapp_business_messaging`"),
    (4,       Retry::Backoff,      "too many calls of this app"),
    (10,      Retry::Never,        "the token lacks the permission `whatsapp_business_messaging`"),
    (33,      Retry::Never,        "there is no such `phone_number_id`"),
    (100,     Retry::Never,        ""),
    (190,     Retry::Never,        "the access token has expired; make one of a system user, which doesn't expire"),
    (368,     Retry::Never,        "the business account is blocked for a breach of policy"),
    (80_007,  Retry::Backoff,      "too many calls of this business account"),
    (130_429, Retry::Backoff,      "too many messages from this number"),
    (130_472, Retry::Never,        "the person is in an experiment of Meta's that gets no such messages"),
    (130_497, Retry::Never,        "the business may not write to people in that country"),
    (131_000, Retry::Backoff,      ""),
    (131_005, Retry::Never,        "the token lacks a permission"),
    (131_008, Retry::Never,        ""),
    (131_009, Retry::Never,        ""),
    (131_016, Retry::Backoff,      ""),
    (131_021, Retry::Never,        "a number can't write to itself"),
    (131_026, Retry::Never,        "the person can't be reached: no WhatsApp on that number, an old version, or new terms not accepted"),
    (131_030, Retry::Never,        "the number is a test number, and this recipient is not on its list; add it under API setup"),
    (131_031, Retry::Never,        "the business account is locked"),
    (131_037, Retry::Never,        "the number's display name is not approved yet"),
    (131_042, Retry::Never,        "the business account has a problem with its payment method"),
    (131_045, Retry::Never,        "the number is not registered; register it in the WhatsApp Manager"),
    (131_047, Retry::Never,        "the person last wrote more than 24 hours ago, so that only a template may be sent; set `template` for the account"),
    (131_048, Retry::Backoff,      "people block or report this number too often"),
    (131_049, Retry::Never,        "Meta chose not to deliver it, to keep people engaged"),
    (131_050, Retry::Never,        "the person wants no marketing messages of this business"),
    (131_051, Retry::Never,        ""),
    (131_052, Retry::Backoff,      ""),
    (131_053, Retry::Never,        "WhatsApp does not take this kind of file"),
    (131_056, Retry::After(PAIR),  "too many messages to one person"),
    (131_057, Retry::Backoff,      "the account is being moved or maintained"),
    (131_062, Retry::Never,        "this kind of message can't be sent to a person without a phone number"),
    (131_208, Retry::Backoff,      "too many messages to this group"),
    (132_000, Retry::Never,        "the template doesn't have exactly one parameter in its body"),
    (132_001, Retry::Never,        "there is no such template in that language, or it is not approved"),
    (132_005, Retry::Never,        "the text is too long for the template"),
    (132_007, Retry::Never,        "the template breaks a policy"),
    (132_012, Retry::Never,        "the template's parameter is no plain text"),
    (132_015, Retry::Never,        "the template is paused for its quality"),
    (132_016, Retry::Never,        "the template is disabled for its quality"),
    (133_004, Retry::Backoff,      ""),
    (133_010, Retry::Never,        "the number is not registered; register it in the WhatsApp Manager"),
    (133_016, Retry::Backoff,      "the number was registered too often"),
    (135_000, Retry::Never,        ""),
    (137_000, Retry::Never,        "the person has a new phone"),
];

/// What `code` means; of a code that is not known here the HTTP status tells.
pub(super) fn find(code: u64, status: u16) -> Code {
    let known = CODES.iter().find(|it| it.0 == code);
    match known {
        Some((_, retry, hint)) => Code { retry: *retry, hint },
        None if (200..300).contains(&code) => {
            let hint = "the token lacks the permission `whatsapp_business_messaging`";
            Code { retry: Retry::Never, hint }
        }
        None if status == 429 || 500 <= status => Code { retry: Retry::Backoff, hint: "" },
        None => Code { retry: Retry::Never, hint: "" },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order_and_found() {
        assert!(CODES.is_sorted_by(|a, b| a.0 < b.0));
        #[rustfmt::skip]
        let table = [
            (190,     401, Retry::Never),
            (210,     403, Retry::Never),
            (130_429, 429, Retry::Backoff),
            (131_056, 400, Retry::After(PAIR)),
            (131_047, 400, Retry::Never),
            (999_999, 400, Retry::Never),
            (999_999, 503, Retry::Backoff),
            (999_999, 429, Retry::Backoff),
        ];
        for (code, status, retry) in table {
            assert_eq!(find(code, status).retry, retry, "{code} {status}");
        }
        assert!(find(WINDOW_CLOSED, 400).hint.contains("`template`"));
    }
}
