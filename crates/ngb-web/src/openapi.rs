//! `/api/openapi.json`: the table of routes, with what each handler's types say of it.

use axum::{Json, extract::State};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    App,
    describe::Operation,
    login,
    routes::{self, Route},
};

/// The document itself is described by OpenAPI's own standard.
#[derive(Serialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct Document(Map<String, Value>);

/// What every refusal looks like.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Error")]
struct Refusal {
    error: Why,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ErrorDetail")]
struct Why {
    /// What to branch on; never changes.
    code: String,
    /// What is wrong, in a sentence.
    message: String,
    /// What to do about it.
    hint: Option<String>,
}

/// The API for machines that read.
pub(crate) async fn show(State(app): State<App>) -> Json<Document> {
    Json(Document(document(app.gateway.about().version)))
}

fn document(version: &str) -> Map<String, Value> {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut schemas = settings.into_generator();
    let error = schemas.subschema_for::<Refusal>().to_value();
    let mut paths: Map<String, Value> = Map::new();
    routes::describe(&mut schemas, |route, described| {
        let methods = paths.entry(route.path).or_insert_with(|| json!({}));
        methods[route.method] = operation(route, described, &error);
    });
    let schemas = schemas.take_definitions(true);
    let all = json!({
        "openapi": "3.1.0",
        "info": { "title": "NanoGridBot", "version": version, "description": "docs/api.md says more." },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "session": { "type": "apiKey", "in": "cookie", "name": "ngb_8080", "description": "What `POST /api/login` sets; the name carries the port." },
            },
            "schemas": schemas,
        },
    });
    match all {
        Value::Object(it) => it,
        _ => Map::new(),
    }
}

fn operation(route: &Route, it: Operation<'_>, error: &Value) -> Value {
    let content = json!({ "application/json": { "schema": error } });
    let mut answers = it.answers;
    let mut refuses = |status: &str, says: &str| {
        answers.insert(status.to_owned(), json!({ "description": says, "content": content }));
    };
    refuses("default", "Refused, or something failed.");
    if it.body.is_some() || !it.parameters.is_empty() {
        refuses("400", "What was sent is not what is asked for.");
    }
    if route.want.right().is_some() {
        refuses("401", "Nobody is logged in.");
        refuses("403", "Who is logged in may not.");
    }
    if route.path.contains('{') {
        refuses("404", "There is no such thing, or it is of a group that one does not belong to.");
    }
    let mut res = json!({
        "operationId": operation_id(route),
        "summary": route.says,
        "parameters": it.parameters,
        "responses": answers,
    });
    if let Some(right) = route.want.right() {
        res["security"] = json!([{ "token": [] }, { "session": [] }]);
        res["x-right"] = login::word(right).into();
    }
    if let Some(body) = it.body {
        res["requestBody"] = body;
    }
    res
}

/// `get_groups_id` for `GET /api/groups/{id}`.
fn operation_id(route: &Route) -> String {
    let path = route.path.trim_start_matches("/api");
    let words = path.split(|it: char| !it.is_alphanumeric()).filter(|it| !it.is_empty());
    std::iter::once(route.method).chain(words).collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::routes::TABLE;

    /// Answers that are no JSON of ours.
    const NOT_JSON: &[&str] = &["/healthz", "/readyz", "/metrics", "/ws"];

    #[test]
    fn every_route_is_described() {
        let document = document("1");
        let mut ids = HashSet::new();
        for route in TABLE {
            let line = format!("{} {}", route.method, route.path);
            let operation = &document["paths"][route.path][route.method];
            assert_eq!(operation["summary"], route.says, "{line}");
            assert!(ids.insert(operation["operationId"].to_string()), "{line}");
            let parameters = operation["parameters"].as_array().unwrap();
            let in_path = parameters.iter().filter(|it| it["in"] == "path").count();
            assert_eq!(in_path, route.path.matches('{').count(), "{line}");
            let answer = &operation["responses"]["200"]["content"]["application/json"]["schema"];
            // `true`, or nothing but a description, would be anything at all.
            let says = ["$ref", "type", "oneOf", "anyOf"].iter().any(|it| answer.get(it).is_some());
            assert!(says || NOT_JSON.contains(&route.path), "{line} answers {answer}");
        }
        let named: usize = document["paths"]
            .as_object()
            .unwrap()
            .values()
            .map(|it| it.as_object().unwrap().len())
            .sum();
        assert_eq!(named, TABLE.len(), "nothing is in it that is no route");
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn walk(value: &Value, all: &Map<String, Value>) {
            match value {
                Value::Object(fields) => {
                    if let Some(to) = fields.get("$ref").and_then(Value::as_str) {
                        let name = to.strip_prefix("#/components/schemas/").unwrap_or(to);
                        assert!(all["components"]["schemas"].get(name).is_some(), "{to}");
                    }
                    fields.values().for_each(|it| walk(it, all));
                }
                Value::Array(items) => items.iter().for_each(|it| walk(it, all)),
                _ => (),
            }
        }
        let document = document("1");
        walk(&Value::Object(document.clone()), &document);
    }
}
