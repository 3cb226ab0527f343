//! Settings of plugins, held against the schema that the plugin gives.

use jsonschema::Validator;
use serde_json::Value;

/// Whether `config` is what `schema` lets settings be.
///
/// # Errors
///
/// The first thing that is wrong, and where; or that the schema is none.
pub fn check(schema: &Value, config: &Value) -> Result<(), String> {
    let validator = validator(schema)?;
    validator.validate(config).map_err(|err| match err.instance_path().to_string() {
        at if at.is_empty() => err.to_string(),
        at => format!("at `{at}`: {err}"),
    })
}

/// Whether `schema` is one. What it names elsewhere is not fetched.
///
/// # Errors
///
/// What is wrong with it.
pub fn check_schema(schema: &Value) -> Result<(), String> {
    validator(schema).map(drop)
}

fn validator(schema: &Value) -> Result<Validator, String> {
    jsonschema::validator_for(schema).map_err(|err| format!("its schema can't be used: {err}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn check_table() {
        let schema = json!({
            "type": "object",
            "additionalProperties": false,
            "properties": {"max": {"type": "integer", "minimum": 1, "maximum": 100}},
        });
        #[rustfmt::skip]
        let table = [
            (json!({}),            None),
            (json!({"max": 5}),    None),
            (json!({"max": 500}),  Some("at `/max`: 500 is greater than the maximum of 100")),
            (json!({"max": "5"}),  Some("at `/max`: \"5\" is not of type \"integer\"")),
            (json!({"min": 5}),    Some("'min' was unexpected")),
            (json!([]),            Some("[] is not of type \"object\"")),
        ];
        for (config, want) in table {
            let got = check(&schema, &config);
            match want {
                None => assert_eq!(got, Ok(()), "{config}"),
                Some(want) => {
                    assert!(got.as_ref().unwrap_err().contains(want), "{config}: {got:?}")
                }
            }
        }
        let elsewhere = json!({"$ref": "https://example.com/schema.json"});
        assert!(check_schema(&elsewhere).is_err());
        assert!(check_schema(&json!({"type": 7})).is_err());
    }
}
