//! The button under an answer that is being made, which stops it.

use crate::{id::JobId, message::Button, notice::Lang};

/// What stands before the job in the button's value. The values of questions begin with something random.
const STOP: &str = "stop:";

/// The button under the answer to a job. It names the job and no run: after a failure another run goes on with the same
/// message. A button that was left under an old answer stops nothing else.
pub fn button(job: JobId, lang: Lang) -> Button {
    let label = match lang {
        Lang::En => "Stop",
        Lang::Zh => "停止",
    };
    Button { label: label.to_owned(), value: format!("{STOP}{job}") }
}

/// The job whose answer a pressed button is to stop; none when it is another button.
pub fn pressed(value: &str) -> Option<JobId> {
    value.strip_prefix(STOP)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::MAX_BUTTON_BYTES;

    #[test]
    fn a_press_names_its_job_and_nothing_else_does() {
        let last = button(JobId(i64::MAX), Lang::Zh);
        assert!(last.value.len() <= MAX_BUTTON_BYTES, "{}", last.value);
        #[rustfmt::skip]
        let table = [
            (last.value.as_str(), Some(JobId(i64::MAX))),
            ("stop:7",            Some(JobId(7))),
            ("stop:",             None),
            ("stop:x",            None),
            ("7",                 None),
            ("nonce:7",           None),
            ("",                  None),
        ];
        for (value, want) in table {
            assert_eq!(pressed(value), want, "{value:?}");
        }
    }
}
