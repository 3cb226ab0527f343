//! What a handler's signature says of its route: parameters, body and answer. `/api/openapi.json` is made of it, so it
//! says what the program does, and a handler whose types can't be described does not compile.

use axum::{
    Extension, Json,
    extract::{State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    response::AppendHeaders,
};
use http::{HeaderMap, HeaderName, StatusCode};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::{
    App,
    door::Who,
    error::ApiError,
    input::{Input, Path, Query},
};

/// One route, as its handler describes it.
pub(crate) struct Operation<'a> {
    pub(crate) schemas: &'a mut SchemaGenerator,
    /// Names in the path.
    pub(crate) names: Vec<&'a str>,
    pub(crate) parameters: Vec<Value>,
    pub(crate) body: Option<Value>,
    /// By status.
    pub(crate) answers: Map<String, Value>,
}

impl Operation<'_> {
    /// What it answers with `status`.
    pub(crate) fn answers(&mut self, status: &str, says: &str, media_type: &str, schema: Value) {
        let answer = self.answers.entry(status).or_insert_with(|| json!({ "content": {} }));
        answer["description"] = says.into();
        answer["content"][media_type] = json!({ "schema": schema });
    }

    fn schema<T: JsonSchema>(&mut self) -> Value {
        self.schemas.subschema_for::<T>().to_value()
    }
}

/// A handler that takes `Args`.
pub(crate) trait Described<Args> {
    fn describe(&self, to: &mut Operation<'_>);
}

/// Something that a handler takes of a request.
pub(crate) trait Taken {
    fn describe(_: &mut Operation<'_>) {}
}

/// Something that a handler answers.
pub(crate) trait Given {
    fn describe(to: &mut Operation<'_>);
}

macro_rules! described {
    ($($arg:ident),*) => {
        impl<Handler, Work, Answer, $($arg,)*> Described<($($arg,)*)> for Handler
        where
            Handler: Fn($($arg),*) -> Work,
            Work: Future<Output = Answer>,
            Answer: Given,
            $($arg: Taken,)*
        {
            fn describe(&self, to: &mut Operation<'_>) {
                $($arg::describe(to);)*
                Answer::describe(to);
            }
        }
    };
}

described!();
described!(A);
described!(A, B);
described!(A, B, C);
described!(A, B, C, D);
described!(A, B, C, D, E);

impl Taken for State<App> {}
impl Taken for Who {}
impl Taken for HeaderMap {}
impl Taken for Result<WebSocketUpgrade, WebSocketUpgradeRejection> {}
impl<T> Taken for Option<Extension<T>> {}

impl<T: JsonSchema> Taken for Path<T> {
    fn describe(to: &mut Operation<'_>) {
        let schema = to.schema::<T>();
        for name in std::mem::take(&mut to.names) {
            to.parameters.push(
                json!({ "name": name, "in": "path", "required": true, "schema": schema.clone() }),
            );
        }
    }
}

impl<T: JsonSchema> Taken for Query<T> {
    fn describe(to: &mut Operation<'_>) {
        let schema = T::json_schema(to.schemas).to_value();
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            let is_required = required.contains(&name.as_str());
            to.parameters.push(
                json!({ "name": name, "in": "query", "required": is_required, "schema": schema }),
            );
        }
    }
}

impl<T: JsonSchema, const LIMIT_BYTES: usize> Taken for Input<T, LIMIT_BYTES> {
    fn describe(to: &mut Operation<'_>) {
        let schema = to.schema::<T>();
        to.body = Some(json!({ "content": { "application/json": { "schema": schema } } }));
    }
}

impl<T: JsonSchema> Given for Json<T> {
    fn describe(to: &mut Operation<'_>) {
        let schema = to.schema::<T>();
        to.answers("200", "Done.", "application/json", schema);
    }
}

impl<T: Given> Given for Result<T, ApiError> {
    fn describe(to: &mut Operation<'_>) {
        T::describe(to);
    }
}

impl<T: Given> Given for (AppendHeaders<[(HeaderName, String); 1]>, T) {
    fn describe(to: &mut Operation<'_>) {
        T::describe(to);
    }
}

impl Given for &'static str {
    fn describe(to: &mut Operation<'_>) {
        to.answers("200", "Yes.", "text/plain", json!({ "type": "string" }));
    }
}

impl Given for (StatusCode, &'static str) {
    fn describe(to: &mut Operation<'_>) {
        <&'static str>::describe(to);
        to.answers("503", "Not now.", "text/plain", json!({ "type": "string" }));
    }
}
